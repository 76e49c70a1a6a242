//! How speech is transcribed, and how much of it results tell.

use std::time::Duration;

use stt_schema::{DetailLevel, Language};

use crate::read::Reader;

/// What counts as the length of a text when it is asked how much the text repeats itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionUnit {
    /// Characters: all scripts alike.
    #[default]
    Characters,
    /// Bytes, as in faster-whisper.
    Bytes,
}

/// What to make of the speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Text in the language spoken.
    #[default]
    Transcribe,
    /// Text in English.
    Translate,
}

/// When a sound counts as speech.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadSettings {
    /// `VAD_THRESHOLD`.
    pub threshold: f32,
    /// `VAD_NEG_THRESHOLD`.
    pub neg_threshold: Option<f32>,
    /// `VAD_DOUBT_THRESHOLD`; `None` is off.
    pub doubt_threshold: Option<f32>,
    /// `VAD_MIN_SPEECH_MS`.
    pub min_speech_ms: u32,
    /// `VAD_MAX_SPEECH_SEC`.
    pub max_speech: Option<Duration>,
    /// `VAD_MIN_SILENCE_MS`.
    pub min_silence_ms: u32,
    /// `VAD_SPEECH_PAD_MS`.
    pub speech_pad_ms: u32,
    /// `VAD_KEEP_SHORT_START`.
    pub keep_short_start: bool,
}

impl VadSettings {
    fn read_with(read: &mut Reader<'_>) -> Self {
        Self {
            threshold: read.number("VAD_THRESHOLD"),
            neg_threshold: read.optional_number("VAD_NEG_THRESHOLD"),
            doubt_threshold: read.number_or_off("VAD_DOUBT_THRESHOLD").map(|value| value as f32),
            min_speech_ms: read.whole("VAD_MIN_SPEECH_MS"),
            max_speech: read.optional_seconds("VAD_MAX_SPEECH_SEC"),
            min_silence_ms: read.whole("VAD_MIN_SILENCE_MS"),
            speech_pad_ms: read.whole("VAD_SPEECH_PAD_MS"),
            keep_short_start: read.switch("VAD_KEEP_SHORT_START"),
        }
    }
}

/// How speech is transcribed; defaults, units and ranges are in [`crate::VARIABLES`], terms are faster-whisper's.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptionSettings {
    /// `RESULT_DETAIL`.
    pub detail: DetailLevel,
    /// `LANGUAGES`, without repetition; empty is all.
    pub languages: Vec<Language>,
    /// `MULTILINGUAL`.
    pub multilingual: bool,
    /// `LANGUAGE_DETECTION_SEGMENTS`, in windows.
    pub language_detection_segments: usize,
    /// `LANGUAGE_DETECTION_THRESHOLD`.
    pub language_detection_threshold: f32,
    /// `TASK`.
    pub task: Task,
    /// `VAD_FILTER`.
    pub vad_filter: bool,
    /// `VAD_*`.
    pub vad: VadSettings,
    /// `BATCH_SIZE`, in windows.
    pub batch_size: usize,
    /// `BEAM_SIZE`.
    pub beam_size: usize,
    /// `PATIENCE`; with `beam_size` it leaves a hypothesis.
    pub patience: f32,
    /// `BEST_OF`.
    pub best_of: usize,
    /// `TEMPERATURE`, at least one.
    pub temperatures: Vec<f32>,
    /// `INITIAL_PROMPT`.
    pub initial_prompt: Option<String>,
    /// `PREFIX`.
    pub prefix: Option<String>,
    /// `HOTWORDS`.
    pub hotwords: Option<String>,
    /// `CONDITION_ON_PREVIOUS_TEXT`.
    pub condition_on_previous_text: bool,
    /// `PROMPT_RESET_ON_TEMPERATURE`.
    pub prompt_reset_on_temperature: f32,
    /// `WITHOUT_TIMESTAMPS`.
    pub without_timestamps: bool,
    /// `MAX_INITIAL_TIMESTAMP`, in seconds.
    pub max_initial_timestamp: f32,
    /// `CHUNK_LENGTH`, in seconds.
    pub chunk_length: u32,
    /// `CLIP_TIMESTAMPS`, in seconds, at least one.
    pub clip_timestamps: Vec<f64>,
    /// `SUPPRESS_TOKENS`; empty is off.
    pub suppress_tokens: Vec<i32>,
    /// `SUPPRESS_BLANK`.
    pub suppress_blank: bool,
    /// `PREPEND_PUNCTUATIONS`.
    pub prepend_punctuations: Option<String>,
    /// `APPEND_PUNCTUATIONS`.
    pub append_punctuations: Option<String>,
    /// `AUDIO_CONTEXT=auto`: short windows are encoded short.
    pub audio_context_auto: bool,
    /// `ENCODE_ONCE`.
    pub encode_once: bool,
    /// `WHOLE_CONTEXT`.
    pub whole_context: bool,
    /// `SEED`.
    pub seed: Option<u32>,
    /// `COMPRESSION_RATIO_THRESHOLD`; `None` is off.
    pub compression_ratio_threshold: Option<f64>,
    /// `COMPRESSION_RATIO_UNIT`.
    pub compression_ratio_unit: CompressionUnit,
    /// `LOG_PROB_THRESHOLD`; `None` is off.
    pub log_prob_threshold: Option<f64>,
    /// `NO_SPEECH_THRESHOLD`; `None` is off.
    pub no_speech_threshold: Option<f64>,
    /// `HALLUCINATION_SILENCE_THRESHOLD`; `None` unless words are wanted.
    pub hallucination_silence_threshold: Option<Duration>,
    /// `LENGTH_PENALTY`.
    pub length_penalty: f32,
    /// `REPETITION_PENALTY`.
    pub repetition_penalty: f32,
    /// `NO_REPEAT_NGRAM_SIZE`; 0 lets any be repeated.
    pub no_repeat_ngram_size: usize,
    /// `MAX_NEW_TOKENS`.
    pub max_new_tokens: Option<usize>,
}

impl TranscriptionSettings {
    pub(crate) fn read_with(read: &mut Reader<'_>) -> Self {
        let settings = Self {
            detail: match read.text("RESULT_DETAIL").as_str() {
                "words" => DetailLevel::Words,
                "segments" => DetailLevel::Segments,
                _ => DetailLevel::None,
            },
            languages: read.languages("LANGUAGES"),
            multilingual: read.switch("MULTILINGUAL"),
            language_detection_segments: read.whole("LANGUAGE_DETECTION_SEGMENTS"),
            language_detection_threshold: read.number("LANGUAGE_DETECTION_THRESHOLD"),
            task: if read.text("TASK") == "translate" {
                Task::Translate
            } else {
                Task::Transcribe
            },
            vad_filter: read.switch("VAD_FILTER"),
            vad: VadSettings::read_with(read),
            batch_size: read.whole("BATCH_SIZE"),
            beam_size: read.whole("BEAM_SIZE"),
            patience: read.number("PATIENCE"),
            best_of: read.whole("BEST_OF"),
            temperatures: read.numbers("TEMPERATURE"),
            initial_prompt: read.optional("INITIAL_PROMPT"),
            prefix: read.optional("PREFIX"),
            hotwords: read.optional("HOTWORDS"),
            condition_on_previous_text: read.switch("CONDITION_ON_PREVIOUS_TEXT"),
            prompt_reset_on_temperature: read.number("PROMPT_RESET_ON_TEMPERATURE"),
            without_timestamps: read.switch("WITHOUT_TIMESTAMPS"),
            max_initial_timestamp: read.number("MAX_INITIAL_TIMESTAMP"),
            chunk_length: read.whole("CHUNK_LENGTH"),
            clip_timestamps: read.numbers("CLIP_TIMESTAMPS"),
            suppress_tokens: read.tokens("SUPPRESS_TOKENS"),
            suppress_blank: read.switch("SUPPRESS_BLANK"),
            prepend_punctuations: read.optional("PREPEND_PUNCTUATIONS"),
            append_punctuations: read.optional("APPEND_PUNCTUATIONS"),
            audio_context_auto: read.text("AUDIO_CONTEXT") == "auto",
            encode_once: read.switch("ENCODE_ONCE"),
            whole_context: read.switch("WHOLE_CONTEXT"),
            seed: read.optional_whole("SEED"),
            compression_ratio_threshold: read.number_or_off("COMPRESSION_RATIO_THRESHOLD"),
            compression_ratio_unit: if read.text("COMPRESSION_RATIO_UNIT") == "bytes" {
                CompressionUnit::Bytes
            } else {
                CompressionUnit::Characters
            },
            log_prob_threshold: read.number_or_off("LOG_PROB_THRESHOLD"),
            no_speech_threshold: read.number_or_off("NO_SPEECH_THRESHOLD"),
            hallucination_silence_threshold: read.optional_seconds("HALLUCINATION_SILENCE_THRESHOLD"),
            length_penalty: read.number("LENGTH_PENALTY"),
            repetition_penalty: read.number("REPETITION_PENALTY"),
            no_repeat_ngram_size: read.whole("NO_REPEAT_NGRAM_SIZE"),
            max_new_tokens: read.optional_whole("MAX_NEW_TOKENS"),
        };
        // The engine looks for as many hypotheses, and refuses to look for none.
        if (settings.beam_size as f32 * settings.patience).round() < 1.0 {
            read.refuse("PATIENCE", "must be at least half of one beam: 0.5 / BEAM_SIZE");
        }
        // Silence is measured between words; without them the setting would say nothing and do nothing.
        if settings.hallucination_silence_threshold.is_some() && settings.detail != DetailLevel::Words {
            read.refuse("HALLUCINATION_SILENCE_THRESHOLD", "needs RESULT_DETAIL=words");
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Problems, WorkerSettings};

    fn read(pairs: &[(&str, &str)]) -> Result<TranscriptionSettings, Problems> {
        WorkerSettings::read(&Environment::from_pairs(pairs.iter().copied())).map(|settings| settings.transcription)
    }

    #[test]
    fn what_the_engine_would_trip_over_is_told_at_the_start() {
        let problems = read(&[
            ("RESULT_DETAIL", "all"),
            ("LANGUAGES", "mr,hindi"),
            ("VAD_FILTER", "earshot"),
            ("BATCH_SIZE", "0"),
            ("BEAM_SIZE", "21"),
            ("PATIENCE", "0"),
            ("TEMPERATURE", "0,hot"),
            ("COMPRESSION_RATIO_THRESHOLD", "none"),
            ("LOG_PROB_THRESHOLD", "1"),
            ("MAX_NEW_TOKENS", "449"),
        ]);
        assert_eq!(
            problems.unwrap_err().to_string(),
            "RESULT_DETAIL=all: must be none, segments or words\n\
             LANGUAGES=mr,hindi: must be Whisper's language codes or BCP-47 tags, separated by commas\n\
             VAD_FILTER=earshot: must be 1, true, yes, on, 0, false, no, off or silero\n\
             BATCH_SIZE=0: must be a whole number of windows, 1 to 64\n\
             BEAM_SIZE=21: must be a whole number, 1 to 20\n\
             PATIENCE=0: must be a number, 0.1 to 10, decimals allowed\n\
             TEMPERATURE=0,hot: must be 1 to 10 numbers, 0 to 2, separated by commas\n\
             COMPRESSION_RATIO_THRESHOLD=none: must be a number, 0 to 100, decimals allowed, or off\n\
             LOG_PROB_THRESHOLD=1: must be a number, -100 to 0, decimals allowed, or off\n\
             MAX_NEW_TOKENS=449: must be a whole number of tokens, 1 to 448"
        );
    }

    #[test]
    fn settings_that_do_not_go_together_are_told() {
        for (pairs, problem) in [
            (
                &[("BEAM_SIZE", "2"), ("PATIENCE", "0.2")],
                "PATIENCE=0.2: must be at least half of one beam: 0.5 / BEAM_SIZE",
            ),
            (
                &[("HALLUCINATION_SILENCE_THRESHOLD", "2"), ("RESULT_DETAIL", "segments")],
                "HALLUCINATION_SILENCE_THRESHOLD=2: needs RESULT_DETAIL=words",
            ),
        ] {
            assert_eq!(read(pairs).unwrap_err().to_string(), problem);
        }
        assert!(read(&[("BEAM_SIZE", "5"), ("PATIENCE", "0.1")]).is_ok());
    }

    #[test]
    fn the_defaults_are_as_documented() {
        assert_eq!(
            read(&[]).unwrap(),
            TranscriptionSettings {
                detail: DetailLevel::None,
                languages: vec![],
                multilingual: false,
                language_detection_segments: 1,
                language_detection_threshold: 0.5,
                task: Task::Transcribe,
                vad_filter: true,
                vad: VadSettings {
                    threshold: 0.5,
                    neg_threshold: None,
                    doubt_threshold: Some(0.3),
                    min_speech_ms: 0,
                    max_speech: None,
                    min_silence_ms: 3000,
                    speech_pad_ms: 400,
                    keep_short_start: true,
                },
                batch_size: 8,
                beam_size: 5,
                patience: 1.0,
                best_of: 5,
                temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
                initial_prompt: None,
                prefix: None,
                hotwords: None,
                condition_on_previous_text: false,
                prompt_reset_on_temperature: 0.5,
                without_timestamps: false,
                max_initial_timestamp: 1.0,
                chunk_length: 30,
                clip_timestamps: vec![0.0],
                suppress_tokens: vec![-1],
                suppress_blank: true,
                prepend_punctuations: None,
                append_punctuations: None,
                audio_context_auto: false,
                encode_once: true,
                whole_context: true,
                seed: None,
                compression_ratio_threshold: Some(2.4),
                compression_ratio_unit: CompressionUnit::Characters,
                log_prob_threshold: Some(-1.0),
                no_speech_threshold: Some(0.6),
                hallucination_silence_threshold: None,
                length_penalty: 1.0,
                repetition_penalty: 1.0,
                no_repeat_ngram_size: 0,
                max_new_tokens: None,
            }
        );
    }

    #[test]
    fn what_is_set_is_taken() {
        let settings = read(&[
            ("RESULT_DETAIL", "words"),
            ("LANGUAGES", "mr-IN, hi,en,MR"),
            ("MULTILINGUAL", "1"),
            ("LANGUAGE_DETECTION_SEGMENTS", "3"),
            ("LANGUAGE_DETECTION_THRESHOLD", "0.7"),
            ("TASK", "translate"),
            ("VAD_FILTER", "off"),
            ("VAD_THRESHOLD", "0.6"),
            ("VAD_NEG_THRESHOLD", "0.2"),
            ("VAD_DOUBT_THRESHOLD", "off"),
            ("VAD_MIN_SPEECH_MS", "250"),
            ("VAD_MAX_SPEECH_SEC", "30"),
            ("VAD_MIN_SILENCE_MS", "2000"),
            ("VAD_SPEECH_PAD_MS", "100"),
            ("VAD_KEEP_SHORT_START", "0"),
            ("PREFIX", "So"),
            ("PROMPT_RESET_ON_TEMPERATURE", "0.3"),
            ("WITHOUT_TIMESTAMPS", "1"),
            ("MAX_INITIAL_TIMESTAMP", "2"),
            ("CHUNK_LENGTH", "20"),
            ("CLIP_TIMESTAMPS", "1.5,3"),
            ("SUPPRESS_TOKENS", "off"),
            ("SUPPRESS_BLANK", "0"),
            ("PREPEND_PUNCTUATIONS", "("),
            ("APPEND_PUNCTUATIONS", "।"),
            ("AUDIO_CONTEXT", "auto"),
            ("ENCODE_ONCE", "0"),
            ("WHOLE_CONTEXT", "0"),
            ("SEED", "7"),
            ("LENGTH_PENALTY", "0.5"),
            ("BATCH_SIZE", "1"),
            ("BEAM_SIZE", "2"),
            ("PATIENCE", "1.5"),
            ("BEST_OF", "3"),
            ("TEMPERATURE", "0, .5"),
            ("INITIAL_PROMPT", "नमस्कार, मी रवी."),
            ("HOTWORDS", "Kafka"),
            ("CONDITION_ON_PREVIOUS_TEXT", "yes"),
            ("COMPRESSION_RATIO_THRESHOLD", "3"),
            ("COMPRESSION_RATIO_UNIT", "bytes"),
            ("LOG_PROB_THRESHOLD", "-0.5"),
            ("NO_SPEECH_THRESHOLD", "off"),
            ("HALLUCINATION_SILENCE_THRESHOLD", "2.5"),
            ("REPETITION_PENALTY", "1.1"),
            ("NO_REPEAT_NGRAM_SIZE", "4"),
            ("MAX_NEW_TOKENS", "100"),
        ]);
        let language = |tag| Language::from_tag(tag).unwrap();
        assert_eq!(
            settings.unwrap(),
            TranscriptionSettings {
                detail: DetailLevel::Words,
                languages: ["mr", "hi", "en"].map(language).to_vec(),
                multilingual: true,
                language_detection_segments: 3,
                language_detection_threshold: 0.7,
                task: Task::Translate,
                vad_filter: false,
                vad: VadSettings {
                    threshold: 0.6,
                    neg_threshold: Some(0.2),
                    doubt_threshold: None,
                    min_speech_ms: 250,
                    max_speech: Some(Duration::from_secs(30)),
                    min_silence_ms: 2000,
                    speech_pad_ms: 100,
                    keep_short_start: false,
                },
                batch_size: 1,
                beam_size: 2,
                patience: 1.5,
                best_of: 3,
                temperatures: vec![0.0, 0.5],
                initial_prompt: Some("नमस्कार, मी रवी.".into()),
                prefix: Some("So".into()),
                hotwords: Some("Kafka".into()),
                condition_on_previous_text: true,
                prompt_reset_on_temperature: 0.3,
                without_timestamps: true,
                max_initial_timestamp: 2.0,
                chunk_length: 20,
                clip_timestamps: vec![1.5, 3.0],
                suppress_tokens: vec![],
                suppress_blank: false,
                prepend_punctuations: Some("(".into()),
                append_punctuations: Some("।".into()),
                audio_context_auto: true,
                encode_once: false,
                whole_context: false,
                seed: Some(7),
                compression_ratio_threshold: Some(3.0),
                compression_ratio_unit: CompressionUnit::Bytes,
                log_prob_threshold: Some(-0.5),
                no_speech_threshold: None,
                hallucination_silence_threshold: Some(Duration::from_millis(2_500)),
                length_penalty: 0.5,
                repetition_penalty: 1.1,
                no_repeat_ngram_size: 4,
                max_new_tokens: Some(100),
            }
        );
    }
}
