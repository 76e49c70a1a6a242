//! Characters that change how a line is shown.

/// Whether a character shows nothing itself but changes how the text around it is shown: control characters, line and
/// paragraph separators, and what sets the direction of text (Unicode's Trojan Source, CVE-2021-42574). In a log or a terminal
/// they make up lines, or show text in another order than it has. Joiners (U+200C, U+200D), which words of Devanagari
/// and Persian are written with, are not among them.
#[must_use]
pub fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{2028}' | '\u{2029}' // separators of lines and paragraphs
                | '\u{061c}' | '\u{200e}' | '\u{200f}' // marks of direction
                | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // embeddings, overrides, isolates
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' // byte order mark, interlinear annotation
                | '\u{e0000}'..='\u{e007f}' // tags
        )
}

/// JSON text in which hidden characters, which only its strings can hold, are written as escapes: other bytes, the
/// same value.
pub(crate) fn escaped(json: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(json).expect("JSON that was written here is UTF-8");
    // Bytes below 0x20 are escaped already; U+007F is the one hidden character of ASCII that is left.
    if !text.contains(is_hidden) {
        return text.into_bytes();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_hidden(char) {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(char);
        }
    }
    escaped.into_bytes()
}

/// A field's value for a message about it. A producer that mixes fields up may have put a URL there, with its secrets.
pub(crate) fn quoted(value: &str) -> String {
    if value.contains('/') {
        "a text with a slash".to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped_and_letters_are_not() {
        let text = "a\u{202e}b\u{2028}c\u{7f}d\u{e0041}\n \u{928}\u{94d}\u{200d}\u{92f} \u{1f600}";
        let json = serde_json::to_vec(text).unwrap();
        let escaped = String::from_utf8(escaped(json)).unwrap();
        assert_eq!(
            escaped,
            "\"a\\u202eb\\u2028c\\u007fd\\udb40\\udc41\\n \u{928}\u{94d}\u{200d}\u{92f} \u{1f600}\""
        );
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
