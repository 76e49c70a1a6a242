//! Whisper's languages.

use serde::{Deserialize, Serialize};

/// A language that Whisper knows, by Whisper's own code (`mr`, `haw`, `yue`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(&'static str);

/// The tag names no language that Whisper knows.
#[derive(Debug, thiserror::Error)]
#[error("{} names no language that Whisper knows", crate::text::quoted(.tag))]
pub struct UnknownLanguage {
    tag: String,
}

/// Whisper's codes (openai/whisper `tokenizer.py`, LANGUAGES), sorted.
const CODES: [&str; 100] = [
    "af", "am", "ar", "as", "az", "ba", "be", "bg", "bn", "bo", "br", "bs", "ca", "cs", "cy", "da", "de", "el", "en",
    "es", "et", "eu", "fa", "fi", "fo", "fr", "gl", "gu", "ha", "haw", "he", "hi", "hr", "ht", "hu", "hy", "id", "is",
    "it", "ja", "jw", "ka", "kk", "km", "kn", "ko", "la", "lb", "ln", "lo", "lt", "lv", "mg", "mi", "mk", "ml", "mn",
    "mr", "ms", "mt", "my", "ne", "nl", "nn", "no", "oc", "pa", "pl", "ps", "pt", "ro", "ru", "sa", "sd", "si", "sk",
    "sl", "sn", "so", "sq", "sr", "su", "sv", "sw", "ta", "te", "tg", "th", "tk", "tl", "tr", "tt", "uk", "ur", "uz",
    "vi", "yi", "yo", "yue", "zh",
];

/// Subtags of the IANA registry for which Whisper has another code.
const ALIASES: [(&str, &str); 6] = [
    ("cmn", "zh"),
    ("fil", "tl"),
    ("in", "id"),
    ("iw", "he"),
    ("jv", "jw"),
    ("nb", "no"),
];

impl Language {
    /// Every language, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        CODES.iter().copied().map(Self)
    }

    /// Whisper's code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0
    }

    /// From a BCP-47 tag by its primary subtag: `mr-IN` and `MR` are `mr`, `jv` is Whisper's `jw`.
    ///
    /// # Errors
    /// When Whisper does not know the subtag.
    pub fn from_tag(tag: &str) -> Result<Self, UnknownLanguage> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let code = ALIASES
            .iter()
            .find(|(subtag, _)| *subtag == primary)
            .map_or(primary.as_str(), |(_, code)| code);
        let rest_is_tag = tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        match CODES.binary_search(&code) {
            Ok(at) if rest_is_tag => Ok(Self(CODES[at])),
            _ => Err(UnknownLanguage {
                tag: tag.chars().take(32).collect(),
            }),
        }
    }
}

impl std::str::FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(tag: &str) -> Result<Self, UnknownLanguage> {
        Self::from_tag(tag)
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::fmt::Debug for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Language({})", self.0)
    }
}

impl Serialize for Language {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_fold_to_whispers_codes() {
        for (tag, code) in [
            ("mr-IN", "mr"),
            ("hi", "hi"),
            ("EN_in", "en"),
            ("yue-Hant-HK", "yue"),
            ("jv-ID", "jw"),
        ] {
            assert_eq!(Language::from_tag(tag).unwrap().code(), code);
        }
        for tag in ["", "-", "xx", "english", "mr IN", "mr-IN\0"] {
            assert!(Language::from_tag(tag).is_err(), "{tag:?}");
        }
    }

    #[test]
    fn the_tables_are_sorted_and_aliases_lead_to_codes() {
        assert!(CODES.is_sorted() && ALIASES.is_sorted());
        assert!(
            ALIASES
                .iter()
                .all(|(tag, code)| CODES.contains(code) && !CODES.contains(tag))
        );
    }
}
