//! What can be asked of a transcription.

use stt_core::Language;

/// What to make of the speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Text in the language spoken.
    #[default]
    Transcribe,
    /// Text in English.
    Translate,
}

/// Options of a transcription. Names, meanings and defaults are those of faster-whisper's `WhisperModel.transcribe`.
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
    pub initial_prompt: Option<String>,
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
    /// Whether the language is detected anew in every window. Default false.
    pub multilingual: bool,
    /// Most tokens generated for a window. Default `None`: half of the model's positions.
    pub max_new_tokens: Option<usize>,
    /// Seconds at which transcription begins, ends, begins again, and so on; an odd count ends with the audio. Default
    /// `[0.0]`: all of it.
    pub clip_timestamps: Vec<f64>,
    /// A language with a higher probability than this is taken at once. Default 0.5.
    pub language_detection_threshold: f32,
    /// Windows that the language is detected from, when none passes the threshold. Default 1.
    pub language_detection_segments: usize,
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
            multilingual: false,
            max_new_tokens: None,
            clip_timestamps: vec![0.0],
            language_detection_threshold: 0.5,
            language_detection_segments: 1,
        }
    }
}
