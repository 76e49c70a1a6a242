//! The files of a model.

/// Without these and a `vocabulary.*` there is no Whisper model in CTranslate2 form.
const REQUIRED: [&str; 2] = ["config.json", "model.bin"];
/// These are taken where they are. Without `tokenizer.json` the engine makes a tokenizer from the vocabulary.
const OPTIONAL: [&str; 2] = ["tokenizer.json", "preprocessor_config.json"];
const VOCABULARY: &str = "vocabulary.";

/// The largest file.
pub(crate) const WEIGHTS: &str = "model.bin";

/// Whether a file of the repository belongs to the model: the patterns of faster-whisper 1.2.1.
pub(crate) fn is_wanted(name: &str) -> bool {
    REQUIRED.contains(&name)
        || OPTIONAL.contains(&name)
        || name
            .strip_prefix(VOCABULARY)
            .is_some_and(|rest| rest.len() <= 16 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// What a model with these files lacks.
pub(crate) fn missing<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<&'static str> {
    let has = |file: &str| names.clone().any(|name| name == file);
    let mut missing: Vec<_> = REQUIRED.into_iter().filter(|file| !has(file)).collect();
    if !names.clone().any(|name| name.starts_with(VOCABULARY)) {
        missing.push("vocabulary.json");
    }
    missing
}
