//! What was said.

use stt_schema::Language;

/// What was said, and how sure the model is of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// The segments' texts, joined and trimmed; empty when nobody speaks.
    pub text: String,
    /// The language spoken; `None` when the audio is too short to tell and no hint was given.
    pub language: Option<Language>,
    /// Probability of the language, when it was detected; never made up for a hint.
    pub language_probability: Option<f32>,
    /// The probability of each language, most probable first, in the window that detection used last; empty for a hint.
    pub language_probs: Vec<(Language, f32)>,
    /// Segments in order of time.
    pub segments: Vec<Segment>,
    /// Length of the audio in seconds.
    pub duration_sec: f64,
    /// Length in seconds of what was transcribed: without the silences that voice activity detection cut out.
    pub duration_after_vad_sec: f64,
}

/// A stretch of speech.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Start in seconds from the beginning of the audio.
    pub start_sec: f64,
    /// End in seconds from the beginning of the audio.
    pub end_sec: f64,
    /// The text, with the space that joins it to the one before.
    pub text: String,
    /// The tokens of the text and its timestamps.
    pub tokens: Vec<u32>,
    /// Mean log-probability of the tokens of the window that the segment is from.
    pub avg_logprob: f64,
    /// Length of the window's text over its zlib-compressed length; high when the text repeats itself.
    pub compression_ratio: f64,
    /// Probability that the window holds no speech.
    pub no_speech_prob: f64,
    /// Temperature at which the window was decoded.
    pub temperature: f32,
    /// First frame (of 10 ms) of the window, in the audio as it was transcribed: without silences that were cut out.
    pub seek: u32,
    /// The words, in order of time, when they were asked for.
    pub words: Vec<Word>,
}

/// A word, with the punctuation that clings to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Word {
    /// Start in seconds from the beginning of the audio.
    pub start_sec: f64,
    /// End in seconds from the beginning of the audio.
    pub end_sec: f64,
    /// The text, with the space that joins it to the word before.
    pub text: String,
    /// Mean probability of its tokens, in [0, 1].
    pub probability: f64,
}

impl Transcript {
    /// exp of the token-weighted mean of `avg_logprob` over the segments, in [0, 1]; 0.0 without segments.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        let (sum, tokens) = self.segments.iter().fold((0.0, 0.0), |(sum, tokens), segment| {
            let weight = segment.tokens.len() as f64;
            (sum + segment.avg_logprob * weight, tokens + weight)
        });
        if tokens == 0.0 {
            0.0
        } else {
            (sum / tokens).exp().clamp(0.0, 1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_weighs_segments_by_their_tokens() {
        let segment = |avg_logprob, tokens: u32| Segment {
            avg_logprob,
            tokens: (0..tokens).collect(),
            ..Segment::default()
        };
        let transcript = |segments| Transcript {
            segments,
            ..Transcript::default()
        };
        assert_eq!(transcript(vec![]).confidence(), 0.0);
        let mixed = transcript(vec![segment(-1.0, 1), segment(-0.2, 3)]);
        assert!((mixed.confidence() - (-0.4_f64).exp()).abs() < 1e-12);
        assert_eq!(transcript(vec![segment(0.1, 2)]).confidence(), 1.0);
        assert!(
            transcript(vec![segment(f64::NAN, 2)]).confidence().is_nan(),
            "caught where the engine reads its scores"
        );
    }
}
