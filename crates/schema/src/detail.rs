//! The detail of a result: who wants more than the text gets when what was said.

use serde::{Deserialize, Serialize};

/// How much a result tells beyond the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DetailLevel {
    /// Nothing: the result has no key `detail`. The default.
    #[default]
    None,
    /// The segments, with their times.
    Segments,
    /// The segments, and in each its words, with their times.
    Words,
}

/// What a COMPLETED result tells beyond the text, in its key `detail`. The keys, their order and their types are fixed;
/// every number is finite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// Probability of `detectedLanguage`, in [0, 1]; null when it was not measured, as with a hint.
    pub language_probability: Option<f64>,
    /// Length of the audio in seconds.
    pub duration_sec: f64,
    /// Stretches of speech in order of time; none when nobody speaks.
    pub segments: Vec<DetailSegment>,
}

/// A stretch of speech.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailSegment {
    /// Start in seconds from the beginning of the audio, to the millisecond.
    pub start: f64,
    /// End in seconds from the beginning of the audio, to the millisecond; not before `start`.
    pub end: f64,
    /// The text, without white space around it.
    pub text: String,
    /// exp of the mean log-probability of the window that the segment is from, in [0, 1].
    pub confidence: f64,
    /// Probability that this window holds no speech, in [0, 1].
    pub no_speech_probability: f64,
    /// The words in order of time; absent when they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub words: Option<Vec<DetailWord>>,
}

/// A word, with the punctuation that clings to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailWord {
    /// Start in seconds from the beginning of the audio, to the millisecond.
    pub start: f64,
    /// End in seconds from the beginning of the audio, to the millisecond; not before `start`.
    pub end: f64,
    /// The text with the space that joins it to the word before: all words in a row are the segment's text.
    pub word: String,
    /// Mean probability of its tokens, in [0, 1].
    pub probability: f64,
}
