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

/// How speech is transcribed; defaults, units and ranges are in [`crate::VARIABLES`], terms are faster-whisper's.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptionSettings {
    /// `RESULT_DETAIL`.
    pub detail: DetailLevel,
    /// `LANGUAGES`, without repetition; empty is all.
    pub languages: Vec<Language>,
    /// `VAD_FILTER`.
    pub vad_filter: bool,
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
    /// `HOTWORDS`.
    pub hotwords: Option<String>,
    /// `CONDITION_ON_PREVIOUS_TEXT`.
    pub condition_on_previous_text: bool,
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
            vad_filter: read.switch("VAD_FILTER"),
            batch_size: read.whole("BATCH_SIZE"),
            beam_size: read.whole("BEAM_SIZE"),
            patience: read.number("PATIENCE"),
            best_of: read.whole("BEST_OF"),
            temperatures: read.numbers("TEMPERATURE"),
            initial_prompt: read.optional("INITIAL_PROMPT"),
            hotwords: read.optional("HOTWORDS"),
            condition_on_previous_text: read.switch("CONDITION_ON_PREVIOUS_TEXT"),
            compression_ratio_threshold: read.number_or_off("COMPRESSION_RATIO_THRESHOLD"),
            compression_ratio_unit: if read.text("COMPRESSION_RATIO_UNIT") == "bytes" {
                CompressionUnit::Bytes
            } else {
                CompressionUnit::Characters
            },
            log_prob_threshold: read.number_or_off("LOG_PROB_THRESHOLD"),
            no_speech_threshold: read.number_or_off("NO_SPEECH_THRESHOLD"),
            hallucination_silence_threshold: read.optional_seconds("HALLUCINATION_SILENCE_THRESHOLD"),
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
            ("VAD_FILTER", "silero"),
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
             VAD_FILTER=silero: must be 1, true, yes, on, 0, false, no or off\n\
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
    fn the_defaults_are_faster_whispers_but_for_three() {
        assert_eq!(
            read(&[]).unwrap(),
            TranscriptionSettings {
                detail: DetailLevel::None,
                languages: vec![],
                vad_filter: true,
                batch_size: 8,
                beam_size: 5,
                patience: 1.0,
                best_of: 5,
                temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
                initial_prompt: None,
                hotwords: None,
                condition_on_previous_text: false,
                compression_ratio_threshold: Some(2.4),
                compression_ratio_unit: CompressionUnit::Characters,
                log_prob_threshold: Some(-1.0),
                no_speech_threshold: Some(0.6),
                hallucination_silence_threshold: None,
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
            ("VAD_FILTER", "off"),
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
                vad_filter: false,
                batch_size: 1,
                beam_size: 2,
                patience: 1.5,
                best_of: 3,
                temperatures: vec![0.0, 0.5],
                initial_prompt: Some("नमस्कार, मी रवी.".into()),
                hotwords: Some("Kafka".into()),
                condition_on_previous_text: true,
                compression_ratio_threshold: Some(3.0),
                compression_ratio_unit: CompressionUnit::Bytes,
                log_prob_threshold: Some(-0.5),
                no_speech_threshold: None,
                hallucination_silence_threshold: Some(Duration::from_millis(2_500)),
                repetition_penalty: 1.1,
                no_repeat_ngram_size: 4,
                max_new_tokens: Some(100),
            }
        );
    }
}
