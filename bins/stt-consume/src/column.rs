//! Text in columns of a terminal.

use unicode_width::UnicodeWidthStr as _;

/// Text on one line: white space of any kind is a space, and what would command a terminal is shown as `�`.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain = |char: char| match char {
        char if char.is_whitespace() => ' ',
        char if stt_schema::is_hidden(char) => char::REPLACEMENT_CHARACTER,
        char => char,
    };
    text.chars().map(plain).collect()
}

/// Text that takes `width` columns: filled up, or cut with an ellipsis. Counts columns as terminals do, where a vowel
/// sign above or below its letter takes none.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return format!("{text}{}", " ".repeat(width - text.width()));
    }
    let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
    let end = ends.take_while(|end| text[..*end].width() < width).last().unwrap_or(0);
    fit(&format!("{}…", &text[..end]), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_commands() {
        assert_eq!(
            one_line("a\u{1b}[2Jb\r\nc\td\u{9b}\u{202e}"),
            "a\u{fffd}[2Jb  c d\u{fffd}\u{fffd}"
        );
        assert_eq!(one_line("रवी ला चार"), "रवी ला चार");
    }

    #[test]
    fn every_text_takes_its_columns() {
        for (text, fitted) in [
            ("", "      "),
            ("abc", "abc   "),
            ("abcdef", "abcdef"),
            ("abcdefg", "abcde…"),
            ("日本語文", "日本… "),
            ("\u{928}\u{947}", "\u{928}\u{947}     "),
        ] {
            assert_eq!((fit(text, 6).as_str(), fit(text, 6).width()), (fitted, 6));
        }
        let name = "बैठक की आवाज़ की टिप्पणी.ogg";
        assert_eq!((fit(name, 12).width(), fit(name, 40).width()), (12, 40));
        assert!(fit(name, 12).ends_with('…') || fit(name, 12).ends_with("… "));
    }
}
