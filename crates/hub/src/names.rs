//! The names of models.

use crate::HubError;

/// The names that faster-whisper 1.2.1 gives to repositories of the hub (`faster_whisper/utils.py`, `_MODELS`).
pub const MODELS: [(&str, &str); 19] = [
    ("tiny", "Systran/faster-whisper-tiny"),
    ("tiny.en", "Systran/faster-whisper-tiny.en"),
    ("base", "Systran/faster-whisper-base"),
    ("base.en", "Systran/faster-whisper-base.en"),
    ("small", "Systran/faster-whisper-small"),
    ("small.en", "Systran/faster-whisper-small.en"),
    ("medium", "Systran/faster-whisper-medium"),
    ("medium.en", "Systran/faster-whisper-medium.en"),
    ("large-v1", "Systran/faster-whisper-large-v1"),
    ("large-v2", "Systran/faster-whisper-large-v2"),
    ("large-v3", "Systran/faster-whisper-large-v3"),
    ("large", "Systran/faster-whisper-large-v3"),
    ("distil-small.en", "Systran/faster-distil-whisper-small.en"),
    ("distil-medium.en", "Systran/faster-distil-whisper-medium.en"),
    ("distil-large-v2", "Systran/faster-distil-whisper-large-v2"),
    ("distil-large-v3", "Systran/faster-distil-whisper-large-v3"),
    ("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2"),
    ("turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
    ("large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
];

/// The repository that `model` names: by the table, or as `org/repo`.
pub(crate) fn repository(model: &str) -> Result<&str, HubError> {
    if let Some((_, repository)) = MODELS.iter().find(|(name, _)| *name == model) {
        return Ok(repository);
    }
    match model.split_once('/') {
        Some((organisation, name)) if is_part(organisation) && is_part(name) => Ok(model),
        _ => Err(HubError::UnknownModel {
            model: model.to_owned(),
        }),
    }
}

/// The hub's rule for the two parts of a repository's name, which also keeps them from leaving the cache directory.
fn is_part(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=96).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("--")
        && !text.contains("..")
}

/// What a revision may be called; it becomes a part of a URL, and the name of a file.
pub(crate) fn is_revision(text: &str) -> bool {
    is_part(text)
}

/// Whether a revision is a commit, which never changes.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_a_name_nor_a_repository_is_told_the_names() {
        for model in [
            "",
            "smal",
            "Small",
            "a/b/c",
            "/models/small",
            "./small",
            "../small",
            "org/",
            "/repo",
            "org/a b",
            "org/..",
            "org/a--b",
            "org/a?b",
            "org/a#b",
            "-x/y",
        ] {
            let error = repository(model).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{model:?}")) && error.contains("distil-large-v3.5"),
                "{error}"
            );
        }
    }

    #[test]
    fn names_lead_to_repositories() {
        for (model, found) in [
            ("small", "Systran/faster-whisper-small"),
            ("large", "Systran/faster-whisper-large-v3"),
            ("org/My_model-v1.2", "org/My_model-v1.2"),
        ] {
            assert_eq!(repository(model).unwrap(), found);
        }
        for (name, found) in MODELS {
            assert_eq!(repository(found).unwrap(), found, "the repository of {name}");
        }
    }
}
