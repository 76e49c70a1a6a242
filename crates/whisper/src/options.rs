//! What can be asked of a transcription.

use stt_core::Language;

use crate::vad::VadOptions;

/// What to make of the speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Text in the language spoken.
    #[default]
    Transcribe,
    /// Text in English.
    Translate,
}

/// What counts as the length of a text when it is asked how much it repeats itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionUnit {
    /// Bytes of UTF-8, as faster-whisper has it. A script of three bytes a character, such as Devanagari, compresses better
    /// than Latin for that alone, so long plain texts seem to repeat themselves.
    #[default]
    Bytes,
    /// Characters: all scripts alike.
    Characters,
}

/// Text that stands before the first window, as if it had been said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitialPrompt {
    /// As text, trimmed.
    Text(String),
    /// As tokens of the model's vocabulary.
    Tokens(Vec<u32>),
}

impl From<&str> for InitialPrompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Options of a transcription. Names, meanings and defaults are those of faster-whisper's `WhisperModel.transcribe`; those at
/// the end, from [`Options::languages`] on, are this crate's own, and their defaults change nothing.
/// [`Options::recommended`] has what this crate does better.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The language spoken. Default `None`: detected.
    pub language: Option<Language>,
    /// Text in the language spoken, or in English. Default the former.
    pub task: Task,
    /// Hypotheses kept at temperature 0. Default 5.
    pub beam_size: usize,
    /// Hypotheses sampled at other temperatures. Default 5.
    pub best_of: usize,
    /// Beam search goes on until `beam_size * patience` hypotheses are finished. Default 1.
    pub patience: f32,
    /// Exponent of the length by which a hypothesis' score is divided. Default 1.
    pub length_penalty: f32,
    /// Penalty on tokens generated before; over 1 penalises. Default 1.
    pub repetition_penalty: f32,
    /// Sequences of so many tokens are not repeated. Default 0: any may be.
    pub no_repeat_ngram_size: usize,
    /// Temperatures tried one after another, until a window's text passes the thresholds. Default 0 to 1 by 0.2. Above 0
    /// tokens are sampled, so that two runs may differ.
    pub temperatures: Vec<f32>,
    /// A text whose compression ratio is above this repeats itself: next temperature. Default 2.4.
    pub compression_ratio_threshold: Option<f64>,
    /// A text whose mean log-probability is below this is doubted: next temperature. Default -1.
    pub log_prob_threshold: Option<f64>,
    /// A window whose probability of no speech is above this, and whose text is doubted, is silent. Default 0.6.
    pub no_speech_threshold: Option<f64>,
    /// Whether the text so far is the prompt of the next window. Default true.
    pub condition_on_previous_text: bool,
    /// The text so far is forgotten after a window that took a temperature above this. Default 0.5.
    pub prompt_reset_on_temperature: f32,
    /// Text that stands before the first window, as if it had been said. Default none.
    pub initial_prompt: Option<InitialPrompt>,
    /// Text that the first window's transcript begins with. Default none.
    pub prefix: Option<String>,
    /// Words that stand before every window's prompt; without effect with a prefix. Default none.
    pub hotwords: Option<String>,
    /// Whether a window's text may not begin with a blank. Default true.
    pub suppress_blank: bool,
    /// Tokens never generated; -1 stands for the symbols that are not spoken. Default `[-1]`. Empty: nothing is
    /// suppressed.
    pub suppress_tokens: Vec<i32>,
    /// Whether text is generated without timestamps, one segment a window. Default false.
    pub without_timestamps: bool,
    /// Latest start of the first segment in a window, in seconds. Default 1.
    pub max_initial_timestamp: f64,
    /// Whether the times of words are found. A segment then begins and ends with its words. Default false; costs one more
    /// pass of the decoder over each window's text.
    pub word_timestamps: bool,
    /// Punctuation that clings to the word behind it. Default `"'“¿([{-`.
    pub prepend_punctuations: String,
    /// Punctuation that clings to the word before it. Default `"'.。,，!！?？:：”)]}、`.
    pub append_punctuations: String,
    /// With word timestamps: silence longer than this, in seconds, is passed where a text beside it seems invented. Default
    /// `None`.
    pub hallucination_silence_threshold: Option<f64>,
    /// Whether silences are cut out before transcription, and audio without speech is not transcribed; times are those of the
    /// whole audio all the same. Nothing is cut when `clip_timestamps` are given. Default false. What is speech is decided
    /// by Silero's network, as in faster-whisper.
    pub vad_filter: bool,
    /// How silences are found.
    pub vad_parameters: VadOptions,
    /// Length of a window in seconds, 1 to 30. Default `None`: 30.
    pub chunk_length: Option<u32>,
    /// Whether the language is detected anew in every window. Default false.
    pub multilingual: bool,
    /// Most tokens generated for a window, those of a prefix included. Default `None`: half of the model's positions.
    /// faster-whisper takes half of this and of the prompt's length instead, where that is less; so does this crate unless
    /// `whole_context` is set.
    pub max_new_tokens: Option<usize>,
    /// Seconds at which transcription begins, ends, begins again, and so on; an odd count ends with the audio. Default
    /// `[0.0]`: all of it.
    pub clip_timestamps: Vec<f64>,
    /// A language with a higher probability than this is taken at once. Default 0.5.
    pub language_detection_threshold: f32,
    /// Windows that the language is detected from, when none passes the threshold. Default 1.
    pub language_detection_segments: usize,
    /// Languages that detection may choose from; their probabilities add up to 1. Default empty: all that the model knows.
    pub languages: Vec<Language>,
    /// What `compression_ratio_threshold` is held against. [`stt_core::Segment::compression_ratio`] is in bytes always.
    pub compression_unit: CompressionUnit,
    /// Whether detection hears the window that is decoded then, which so is encoded once. Default false: with an audio of
    /// less than a window, faster-whisper's detection hears one frame more, the first of the padding, and the window is
    /// encoded twice. Probabilities differ by less than 0.001 for a spoken sentence, by some hundredths where it is a guess.
    pub encode_once: bool,
    /// How much of the encoder's 30 s a shorter window takes. Default [`AudioContext::Full`].
    pub audio_context: AudioContext,
    /// Whether a good text that fills half of the model's positions, where it is cut off, loses nothing: the next window
    /// begins where the text ends, by its alignment with the audio, if that is 10 s into the window at least. Costs one
    /// pass of the decoder over such a text. Default false: the rest of the window may be lost, but with word timestamps,
    /// where faster-whisper goes on at the last word, too. With `max_new_tokens`, those are meant exactly.
    pub whole_context: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: None,
            task: Task::Transcribe,
            beam_size: 5,
            best_of: 5,
            patience: 1.0,
            length_penalty: 1.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: Some(2.4),
            log_prob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            condition_on_previous_text: true,
            prompt_reset_on_temperature: 0.5,
            initial_prompt: None,
            prefix: None,
            hotwords: None,
            suppress_blank: true,
            suppress_tokens: vec![-1],
            without_timestamps: false,
            max_initial_timestamp: 1.0,
            word_timestamps: false,
            prepend_punctuations: "\"'“¿([{-".into(),
            append_punctuations: "\"'.。,，!！?？:：”)]}、".into(),
            hallucination_silence_threshold: None,
            vad_filter: false,
            vad_parameters: VadOptions::default(),
            chunk_length: None,
            multilingual: false,
            max_new_tokens: None,
            clip_timestamps: vec![0.0],
            language_detection_threshold: 0.5,
            language_detection_segments: 1,
            languages: vec![],
            compression_unit: CompressionUnit::Bytes,
            encode_once: false,
            audio_context: AudioContext::Full,
            whole_context: false,
        }
    }
}

/// How long a window the encoder is given, see [`Options::audio_context`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudioContext {
    /// 30 s, as Whisper was trained: what is missing is filled up.
    #[default]
    Full,
    /// The window itself and a margin. The cost of the encoder falls with its length, more than in proportion, and so does that of each token. Where anything
    /// speaks against the text, the window is encoded again in full. Not for models whose decoder was cut down (turbo, distilled).
    Auto,
}

/// Hypotheses at most.
const HYPOTHESES_MAX: usize = 100;

impl Options {
    /// What keeps text from being lost or invented: voice activity detection, repetition judged alike in all scripts, no
    /// text cut off, no error carried from one window to the next; and each window encoded once. The worker's defaults.
    /// Measured in `docs/decisions/003-voice-activity.md` and `004-defaults.md`.
    #[must_use]
    pub fn recommended() -> Self {
        Self {
            vad_filter: true,
            vad_parameters: VadOptions::recommended(),
            condition_on_previous_text: false,
            compression_unit: CompressionUnit::Characters,
            encode_once: true,
            whole_context: true,
            ..Self::default()
        }
    }

    /// What makes no sense, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let finite = [self.patience, self.length_penalty, self.repetition_penalty];
        let vad = &self.vad_parameters;
        Some(match self {
            _ if !(1..=HYPOTHESES_MAX).contains(&self.beam_size) => "beam_size must be 1 to 100",
            _ if !(1..=HYPOTHESES_MAX).contains(&self.best_of) => "best_of must be 1 to 100",
            _ if self.temperatures.is_empty() => "there must be a temperature",
            _ if !self.temperatures.iter().all(|t| *t >= 0.0 && t.is_finite()) => "temperatures must not be negative",
            _ if !finite.iter().all(|value| value.is_finite()) => "penalties and patience must be finite",
            _ if (self.beam_size as f32 * self.patience).round() < 1.0 => "beam_size times patience must be at least 1",
            _ if self.repetition_penalty <= 0.0 => "repetition_penalty must be above 0",
            _ if !matches!(self.chunk_length, None | Some(1..=30)) => "chunk_length must be 1 to 30 seconds",
            _ if self.max_new_tokens == Some(0) => "max_new_tokens must be at least 1",
            _ if !self.clip_timestamps.iter().all(|clip| *clip >= 0.0 && clip.is_finite()) => {
                "clip_timestamps must not be negative"
            }
            _ if !(0.0..=30.0).contains(&self.max_initial_timestamp) => "max_initial_timestamp must be 0 to 30 seconds",
            _ if self
                .hallucination_silence_threshold
                .is_some_and(|sec| sec.is_nan() || sec <= 0.0) =>
            {
                "hallucination_silence_threshold must be above 0"
            }
            _ if vad.threshold.is_nan() || vad.neg_threshold.is_some_and(f32::is_nan) => {
                "vad thresholds must be numbers"
            }
            _ if vad.max_speech_duration_s.is_nan() => "max_speech_duration_s must be a number",
            _ => return None,
        })
    }

    /// Whether the whole audio is asked for.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.clip_timestamps[..], [] | [0.0])
    }
}
