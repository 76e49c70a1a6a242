//! Which paths lead to which files.

use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Files under paths that nobody guesses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site(Vec<(String, PathBuf)>);

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// A file, for GET and HEAD.
    File { path: &'a Path, content_type: &'static str },
    /// 404.
    NotFound,
    /// 405: the path is good, the method is not.
    BadMethod,
}

impl Site {
    /// Takes a file; returns its path on the site: a secret, and the file's name for people.
    pub(crate) fn add(&mut self, file: &Path, secret: Uuid) -> String {
        let path = format!("/{secret}/{}", encoded(&name(file)));
        self.0.push((path.clone(), file.to_owned()));
        path
    }

    /// What a request gets.
    pub(crate) fn answer(&self, method: &str, target: &str) -> Answer<'_> {
        let path = target.split('?').next().unwrap_or_default();
        match self.0.iter().find(|(known, _)| known == path) {
            None => Answer::NotFound,
            Some((_, path)) if ["GET", "HEAD"].contains(&method) => Answer::File {
                path,
                content_type: content_type(path),
            },
            Some(_) => Answer::BadMethod,
        }
    }
}

/// A file's name for people.
pub(crate) fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn content_type(file: &Path) -> &'static str {
    let extension = file
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    match extension.as_str() {
        "aac" => "audio/aac",
        "aif" | "aiff" => "audio/aiff",
        "amr" => "audio/amr",
        "flac" => "audio/flac",
        "m4a" | "mp4" => "audio/mp4",
        "mp3" => "audio/mpeg",
        "oga" | "ogg" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "webm" => "audio/webm",
        "3gp" => "audio/3gpp",
        _ => "application/octet-stream",
    }
}

/// Every byte that is not unreserved (RFC 3986) as `%XX`.
fn encoded(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Uuid = Uuid::from_u128(7);

    #[test]
    fn only_the_whole_path_leads_to_a_file_and_only_for_reading() {
        let mut site = Site::default();
        let path = site.add(Path::new("/home/me/note.ogg"), SECRET);
        for target in [
            "/",
            "/note.ogg",
            "/home/me/note.ogg",
            &path[..path.len() - 1],
            &format!("{path}/.."),
        ] {
            assert_eq!(site.answer("GET", target), Answer::NotFound, "{target}");
        }
        assert_eq!(site.answer("POST", &path), Answer::BadMethod);
        for target in [path.clone(), format!("{path}?t=3")] {
            let file = Answer::File {
                path: Path::new("/home/me/note.ogg"),
                content_type: "audio/ogg",
            };
            assert_eq!(
                (site.answer("GET", &target), site.answer("HEAD", &target)),
                (file, file)
            );
        }
    }

    #[test]
    fn a_name_in_any_script_makes_a_url() {
        let path = Site::default().add(Path::new("दो #1?.WAV"), SECRET);
        assert_eq!(
            path,
            "/00000000-0000-0000-0000-000000000007/%E0%A4%A6%E0%A5%8B%20%231%3F.WAV"
        );
        assert!(
            format!("http://127.0.0.1:80{path}")
                .parse::<stt_schema::AudioUrl>()
                .is_ok()
        );
        assert_eq!(content_type(Path::new("a.WAV")), "audio/wav");
        assert_eq!(content_type(Path::new("README")), "application/octet-stream");
    }
}
