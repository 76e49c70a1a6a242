//! Models whose files are known here, so that the hub's word is not all there is.

use crate::HubError;

/// Repository, file and SHA-256, of the branch `main`.
const FILES: [(&str, &str, &str); 8] = [
    (
        "Systran/faster-whisper-base",
        "config.json",
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    ),
    (
        "Systran/faster-whisper-base",
        "model.bin",
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
    (
        "Systran/faster-whisper-base",
        "tokenizer.json",
        "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    ),
    (
        "Systran/faster-whisper-base",
        "vocabulary.txt",
        "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    ),
    (
        "Systran/faster-whisper-tiny.en",
        "config.json",
        "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    ),
    (
        "Systran/faster-whisper-tiny.en",
        "model.bin",
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    (
        "Systran/faster-whisper-tiny.en",
        "tokenizer.json",
        "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    ),
    (
        "Systran/faster-whisper-tiny.en",
        "vocabulary.txt",
        "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    ),
];

/// The SHA-256 that a file must have.
fn sha256(repository: &str, file: &str) -> Option<&'static str> {
    let mut known = FILES.iter().filter(|(of, ..)| *of == repository);
    known.find(|(_, name, _)| *name == file).map(|(.., sha256)| *sha256)
}

/// Whether a file is the one that is known, if one is.
pub(crate) fn check(repository: &str, file: &str, found: &str) -> Result<(), HubError> {
    match sha256(repository, file) {
        Some(known) if known != found => Err(HubError::Unknown {
            repository: repository.to_owned(),
            file: file.to_owned(),
            found: found.to_owned(),
            known,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_files_are_those_of_the_fixtures() {
        let fixtures = include_str!("../../../fixtures/real/SHA256SUMS");
        let rows = FILES.map(|(repository, file, sha256)| {
            let model = repository.strip_prefix("Systran/faster-whisper-").unwrap();
            format!("{sha256}  {model}/{file}\n")
        });
        assert_eq!(rows.concat(), fixtures);
    }

    #[test]
    fn another_file_of_a_known_model_is_refused() {
        let (repository, file, sha256) = FILES[1];
        check(repository, file, sha256).unwrap();
        check(repository, "preprocessor_config.json", "00").unwrap();
        check("org/model", file, "00").unwrap();
        let text = check(repository, file, "00").unwrap_err().to_string();
        assert!(text.contains("MODEL_REVISION") && text.contains(sha256), "{text}");
    }
}
