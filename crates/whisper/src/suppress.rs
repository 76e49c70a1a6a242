//! Tokens that are never generated.

use crate::tokens::Tokens;

/// Symbols that stand for no speech, each suppressed where it is one token, alone or behind a space.
const SYMBOLS: &[&str] = &[
    "\"",
    "#",
    "(",
    ")",
    "*",
    "+",
    "/",
    ":",
    ";",
    "<",
    "=",
    ">",
    "@",
    "[",
    "\\",
    "]",
    "^",
    "_",
    "`",
    "{",
    "|",
    "}",
    "~",
    "「",
    "」",
    "『",
    "』",
    "<<",
    ">>",
    "<<<",
    ">>>",
    "--",
    "---",
    "-(",
    "-[",
    "('",
    "(\"",
    "((",
    "))",
    "(((",
    ")))",
    "[[",
    "]]",
    "{{",
    "}}",
    "♪♪",
    "♪♪♪",
];

/// Musical symbols; their first token is suppressed even when they take several.
const MUSICAL: &[&str] = &["♩", "♪", "♫", "♬", "♭", "♮", "♯"];

/// The tokens that `asked` stands for, in order: -1 for the symbols that are not spoken. The specials that never belong
/// into a text come on top, unless `asked` is empty.
///
/// Source: `get_suppressed_tokens` of faster-whisper, `non_speech_tokens` of Whisper's tokenizer.
pub(crate) fn suppressed(tokens: &Tokens, asked: &[i32]) -> Vec<u32> {
    if asked.is_empty() {
        return vec![];
    }
    let mut all: Vec<u32> = asked.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
    if asked.contains(&-1) {
        all.extend(non_speech(tokens));
    }
    all.extend(tokens.never_generated());
    all.sort_unstable();
    all.dedup();
    // CTranslate2 checks no bounds.
    tokens.known(&all)
}

fn non_speech(tokens: &Tokens) -> Vec<u32> {
    // A hyphen or a quote inside a word is speech, at its beginning it is not.
    let mut found: Vec<u32> = [" -", " '"]
        .iter()
        .filter_map(|text| tokens.encode(text).first().copied())
        .collect();
    for (symbols, several) in [(SYMBOLS, false), (MUSICAL, true)] {
        for symbol in symbols {
            for text in [(*symbol).to_owned(), format!(" {symbol}")] {
                let ids = tokens.encode(&text);
                if ids.len() == 1 || several {
                    found.extend(ids.first());
                }
            }
        }
    }
    found
}
