//! Words of a text, each of whole characters, with their tokens.
//!
//! Source: `split_to_word_tokens` of faster-whisper's tokenizer.

use crate::tokens::Tokens;
use crate::words::Token;

/// Languages that put no spaces between words.
const WITHOUT_SPACES: &[&str] = &["zh", "ja", "th", "lo", "my", "yue"];
/// ASCII's, in its order.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// What stands for bytes that are no character.
const REPLACEMENT: char = '\u{fffd}';

/// The words of text tokens: at spaces and punctuation, or character by character where a language has no spaces. A word
/// begins with its space.
pub(crate) fn split(text: &[u32], language: &str, tokens: &Tokens) -> Vec<Token> {
    let characters = split_at_characters(text, |part| tokens.decode(part));
    if WITHOUT_SPACES.contains(&language) {
        characters
    } else {
        join_to_words(characters)
    }
}

/// The shortest runs of tokens that are whole characters: one character may take several tokens, none of which is text of
/// its own. A replacement character that stands in the text itself is whole.
fn split_at_characters(text: &[u32], decode: impl Fn(&[u32]) -> String) -> Vec<Token> {
    let full: Vec<char> = decode(text).chars().collect();
    let (mut words, mut from, mut offset) = (vec![], 0, 0);
    for to in 1..=text.len() {
        let part = decode(&text[from..to]);
        let broken = part.chars().position(|char| char == REPLACEMENT);
        if broken.is_none_or(|at| full.get(offset + at) == Some(&REPLACEMENT)) {
            offset += part.chars().count();
            words.push(Token {
                text: part,
                len: to - from,
            });
            from = to;
        }
    }
    words
}

fn join_to_words(parts: Vec<Token>) -> Vec<Token> {
    let mut words: Vec<Token> = Vec::with_capacity(parts.len());
    for part in parts {
        let begins = part.text.starts_with(' ') || PUNCTUATION.contains(part.text.trim());
        match words.last_mut() {
            Some(word) if !begins => {
                word.text.push_str(&part.text);
                word.len += part.len;
            }
            _ => words.push(part),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vocabulary in which each token is one byte.
    fn bytes(tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().map(|token| *token as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn parts(text: &[u8]) -> Vec<Token> {
        let tokens: Vec<u32> = text.iter().map(|byte| u32::from(*byte)).collect();
        split_at_characters(&tokens, bytes)
    }

    fn texts(tokens: &[Token]) -> Vec<(&str, usize)> {
        tokens.iter().map(|token| (token.text.as_str(), token.len)).collect()
    }

    #[test]
    fn a_character_is_never_cut() {
        assert_eq!(texts(&parts("मी".as_bytes())), [("म", 3), ("ी", 3)]);
        assert_eq!(
            texts(&parts("a தமி".as_bytes())),
            [("a", 1), (" ", 1), ("த", 3), ("ம", 3), ("ி", 3)]
        );
        assert_eq!(
            texts(&join_to_words(parts("मी घरी".as_bytes()))),
            [("मी", 6), (" घरी", 10)]
        );
    }

    #[test]
    fn bytes_that_are_no_character_are_one_of_their_own() {
        assert_eq!(texts(&parts(b"a\xffb")), [("a", 1), ("\u{fffd}", 1), ("b", 1)]);
        assert_eq!(
            texts(&parts(&"म".as_bytes()[..2])),
            [("\u{fffd}", 1)],
            "cut off at the end"
        );
        assert_eq!(texts(&parts(b"")), []);
    }

    #[test]
    fn punctuation_begins_a_word() {
        let words = join_to_words(parts("Check, (the) \"photo\".".as_bytes()));
        let found: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(found, ["Check", ",", " ", "(the", ")", " ", "\"photo", "\"", "."]);
    }

    /// Of faster-whisper's tests/test_tokenizer.py.
    #[test]
    #[ignore = "needs a real model: make test-real"]
    fn test_split_on_unicode() {
        let model = crate::real_model("base");
        let tokens = Tokens::load(&crate::files::ModelDir(&model)).expect("a real model");
        let ids = [8404, 871, 287, 6, 246, 526, 3210, 20378];
        let words = split_at_characters(&ids, |part| tokens.decode(part));
        let words: Vec<_> = words.iter().map(|word| (word.text.as_str(), word.len)).collect();
        let expected = [" elle", " est", " l", "'", "\u{fffd}", "é", "rit", "oire"];
        assert_eq!(words, expected.map(|word| (word, 1)));
    }
}
