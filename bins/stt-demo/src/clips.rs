//! The clips of a folder and what is expected of each: its `transcripts.json`, made with faster-whisper.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A file to transcribe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clip {
    /// Its name in the folder, safe in a URL as it is.
    pub(crate) file: String,
    /// The job's `languageHint`; detected when absent.
    pub(crate) hint: Option<String>,
    pub(crate) expected: Expected,
    /// Length of the audio.
    pub(crate) seconds: f64,
}

/// What faster-whisper gives for it on the same model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) text: String,
    /// Whisper's code.
    pub(crate) language: String,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClipsError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is not in the form of transcripts.json", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("{} lists no clip", .0.display())]
    Empty(PathBuf),
    #[error("clip {0:?} is not a plain file name of letters, digits, '.', '_' and '-'")]
    Name(String),
    #[error("listed in transcripts.json, but not in {}: {}", folder.display(), files.join(", "))]
    Missing { folder: PathBuf, files: Vec<String> },
}

#[derive(Deserialize)]
struct Entry {
    hint: Option<String>,
    text: String,
    /// The text by the worker's defaults, where it is another than by faster-whisper's.
    recommended: Option<String>,
    language: String,
    duration: f64,
}

/// The clips that `folder/transcripts.json` lists, by name.
pub(crate) fn read(folder: &Path) -> Result<Vec<Clip>, ClipsError> {
    let path = folder.join("transcripts.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(ClipsError::Read { path, source }),
    };
    let entries: BTreeMap<String, Entry> = match serde_json::from_slice(&text) {
        Ok(entries) => entries,
        Err(source) => return Err(ClipsError::Form { path, source }),
    };
    if entries.is_empty() {
        return Err(ClipsError::Empty(path));
    }
    if let Some(name) = entries.keys().find(|name| !is_plain(name)) {
        return Err(ClipsError::Name(name.clone()));
    }
    let missing = entries.keys().filter(|name| !folder.join(name).is_file());
    let missing: Vec<String> = missing.cloned().collect();
    if !missing.is_empty() {
        return Err(ClipsError::Missing {
            folder: folder.to_owned(),
            files: missing,
        });
    }
    Ok(entries.into_iter().map(clip).collect())
}

fn clip((file, entry): (String, Entry)) -> Clip {
    Clip {
        file,
        hint: entry.hint,
        expected: Expected {
            text: entry.recommended.unwrap_or(entry.text),
            language: entry.language,
        },
        seconds: entry.duration,
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(json: &str, files: &[&str]) -> Result<Vec<Clip>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("transcripts.json"), json).unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "audio").unwrap();
        }
        read(folder.path()).map_err(|error| error.to_string().replace(&*folder.path().to_string_lossy(), "DIR"))
    }

    fn entry() -> String {
        r#"{"hint": "hi-IN", "spoken": "x", "text": "y", "language": "hi", "duration": 1.5}"#.to_owned()
    }

    #[test]
    fn a_folder_that_cannot_be_used_says_why() {
        let nowhere = read(Path::new("/nonexistent")).unwrap_err().to_string();
        assert_eq!(nowhere, "cannot read /nonexistent/transcripts.json");
        for (json, message) in [
            (
                "[]",
                "DIR/transcripts.json is not in the form of transcripts.json".to_owned(),
            ),
            ("{}", "DIR/transcripts.json lists no clip".to_owned()),
            (
                &format!(r#"{{"../a.wav": {}}}"#, entry()),
                "clip \"../a.wav\" is not a plain file name of letters, digits, '.', '_' and '-'".to_owned(),
            ),
            (
                &format!(r#"{{"a.wav": {0}, "b.wav": {0}, "c.wav": {0}}}"#, entry()),
                "listed in transcripts.json, but not in DIR: a.wav, c.wav".to_owned(),
            ),
        ] {
            assert_eq!(listing(json, &["b.wav"]).unwrap_err(), message);
        }
    }

    #[test]
    fn a_clip_has_its_hint_and_its_length() {
        let clips = listing(&format!(r#"{{"a.wav": {}}}"#, entry()), &["a.wav"]).unwrap();
        assert_eq!((clips[0].hint.as_deref(), clips[0].seconds), (Some("hi-IN"), 1.5));
        assert_eq!(clips[0].expected.text, "y");
    }

    #[test]
    fn the_workers_own_text_goes_before_faster_whispers() {
        let own = entry().replace(r#""text": "y""#, r#""text": "y", "recommended": """#);
        let clips = listing(&format!(r#"{{"a.wav": {own}}}"#), &["a.wav"]).unwrap();
        assert_eq!(clips[0].expected.text, "");
    }

    #[test]
    fn the_clips_of_the_repository_are_all_there() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/audio");
        assert!(read(&folder).unwrap().len() >= 24);
    }
}
