//! Which parts of an audio are speech.

use stt_core::Stop;

use crate::voice::{self, FRAME};

/// When a sound counts as speech, and where a part of it ends. Names and meaning as in faster-whisper's `VadOptions`;
/// the two thresholds are for the scores of `earshot`, which are not Silero's. Defaults were chosen so that no spoken clip
/// of the fixtures changes its text, see `docs/decisions/003-voice-activity.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadOptions {
    /// Score from which on a frame of 16 ms is speech. Default 0.6 (faster-whisper: 0.5 for Silero).
    pub threshold: f32,
    /// Score below which a frame ends speech; between the two, what was goes on. Default `threshold - 0.15`, at least
    /// 0.01. Silence itself scores 0.28: nothing ends below that.
    pub neg_threshold: Option<f32>,
    /// Speech of this length or less is dropped. Default 100 ms, in which no word fits (faster-whisper: 0; earshot hears a
    /// voice in 0.05 s of some beats).
    pub min_speech_duration_ms: u32,
    /// Longer speech is split, at its last silence of 98 ms or hard. Default infinite.
    pub max_speech_duration_s: f32,
    /// Silence from which on it is cut out. Default 3000 ms (faster-whisper: 2000; a window that begins elsewhere gives
    /// another text, and pauses of 2 s are common between sentences).
    pub min_silence_duration_ms: u32,
    /// Audio kept before and after speech. Default 400 ms.
    pub speech_pad_ms: u32,
}

impl Default for VadOptions {
    fn default() -> Self {
        Self {
            threshold: 0.6,
            neg_threshold: None,
            min_speech_duration_ms: 100,
            max_speech_duration_s: f32::INFINITY,
            min_silence_duration_ms: 3000,
            speech_pad_ms: 400,
        }
    }
}

/// A part of an audio: sample `start` up to, without it, sample `end`, at 16 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }
}

/// The parts of the audio to transcribe, in order and disjoint; none when there is no speech at all. What is left out has
/// no speech for `min_silence_duration_ms`, before the first and after the last as well: audio without such a silence
/// comes back as one span, the whole of it. Asks at least once for every 16 s of audio whether to go on.
pub(crate) fn speech(
    samples: &[f32],
    options: &VadOptions,
    go_on: &mut dyn FnMut() -> Result<(), Stop>,
) -> Result<Vec<Span>, Stop> {
    let scores = voice::scores(samples, options.threshold, go_on)?;
    let spans = spans(&scores, samples.len(), options);
    Ok(keep_short_start(pad(spans, samples.len(), options), options))
}

fn samples_of(milliseconds: u32) -> usize {
    milliseconds as usize * 16
}

/// Speech by its scores, not yet padded. Source: `get_speech_timestamps` of faster-whisper, line by line.
fn spans(scores: &[f32], samples: usize, options: &VadOptions) -> Vec<Span> {
    let neg_threshold = options.neg_threshold.unwrap_or((options.threshold - 0.15).max(0.01));
    let min_speech = samples_of(options.min_speech_duration_ms);
    let min_silence = samples_of(options.min_silence_duration_ms);
    let max_speech = options.max_speech_duration_s * 16_000.0 - (FRAME + 2 * samples_of(options.speech_pad_ms)) as f32;
    let split_silence = samples_of(98);

    let mut spans = Vec::new();
    let mut start: Option<usize> = None;
    // Where the silence began that may turn out to be the end; where one long enough to split at did; where speech
    // went on after that.
    let (mut silence, mut split, mut resumed) = (None, None, None);
    for (frame, score) in scores.iter().enumerate() {
        let at = frame * FRAME;
        if *score >= options.threshold && silence.take().is_some() && resumed < split {
            resumed = Some(at);
        }
        let Some(begun) = start else {
            if *score >= options.threshold {
                start = Some(at);
            }
            continue;
        };
        let mut begun = begun;
        if (at - begun) as f32 > max_speech {
            let end: usize = split.unwrap_or(at);
            spans.push(Span { start: begun, end });
            start = if resumed < split { None } else { resumed };
            (silence, split, resumed) = (None, None, None);
            match start {
                Some(again) => begun = again,
                None => continue,
            }
        }
        if *score < neg_threshold {
            let end = *silence.get_or_insert(at);
            if at - end > split_silence {
                split = Some(end);
            }
            if at - end >= min_silence {
                if end - begun > min_speech {
                    spans.push(Span { start: begun, end });
                }
                (start, silence, split, resumed) = (None, None, None, None);
            }
        }
    }
    if let Some(start) = start
        && samples - start > min_speech
    {
        spans.push(Span { start, end: samples });
    }
    spans
}

/// Widens spans by the pad; two that would meet share the silence between them. Source: the same function.
fn pad(mut spans: Vec<Span>, samples: usize, options: &VadOptions) -> Vec<Span> {
    let pad = samples_of(options.speech_pad_ms);
    if let (Some(first), Some(last)) = (spans.first().copied(), spans.len().checked_sub(1)) {
        spans[0].start = first.start.saturating_sub(pad);
        for n in 0..last {
            let silence = spans[n + 1].start - spans[n].end;
            let each = if silence < 2 * pad { silence / 2 } else { pad };
            spans[n].end += each;
            spans[n + 1].start -= each;
        }
        spans[last].end = (spans[last].end + pad).min(samples);
    }
    spans
}

/// Keeps a silence before the first span that would be kept elsewhere. faster-whisper cuts it however short, and so makes
/// other features, and maybe another text, of audio that has no silence to lose.
fn keep_short_start(mut spans: Vec<Span>, options: &VadOptions) -> Vec<Span> {
    if let Some(first) = spans.first_mut()
        && first.start + samples_of(options.speech_pad_ms) < samples_of(options.min_silence_duration_ms)
    {
        first.start = 0;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::looks::Looks;

    const SPEECH: f32 = 0.9;
    /// Neither: what was goes on.
    const BETWEEN: f32 = 0.5;
    const SILENCE: f32 = 0.28;

    /// As faster-whisper has it.
    fn two_seconds() -> VadOptions {
        VadOptions {
            min_silence_duration_ms: 2000,
            ..VadOptions::default()
        }
    }

    /// The spans, in frames, of what is said in so many frames, by the options' raw spans and as they are transcribed.
    fn check(said: &[(usize, f32)], options: &VadOptions, raw: &[(usize, usize)], padded: &[(usize, usize)]) {
        let scores: Vec<f32> = said.iter().flat_map(|(frames, score)| vec![*score; *frames]).collect();
        let samples = scores.len() * FRAME;
        let in_frames = |spans: &[Span]| -> Vec<(usize, usize)> {
            spans
                .iter()
                .map(|span| (span.start / FRAME, span.end / FRAME))
                .collect()
        };
        let found = spans(&scores, samples, options);
        assert_eq!(in_frames(&found), raw, "raw");
        assert_eq!(
            in_frames(&keep_short_start(pad(found, samples, options), options)),
            padded,
            "padded"
        );
    }

    #[test]
    fn it_is_given_up_at_any_look() {
        let samples: Vec<f32> = crate::voice::noise(7).take(40 * 16_000).collect();
        let anything = VadOptions {
            threshold: 0.1,
            ..VadOptions::default()
        };
        // The peaks once; the level, the scores and the spectra of 2,500 frames three times each.
        for granted in 0..10 {
            let mut looks = Looks::granted(granted);
            let given_up = speech(&samples, &anything, &mut || looks.look());
            assert_eq!((given_up, looks.taken), (Err(Stop::Expired), granted + 1));
        }
        let mut looks = Looks::granted(10);
        let whole = Span {
            start: 0,
            end: samples.len(),
        };
        assert_eq!(speech(&samples, &anything, &mut || looks.look()), Ok(vec![whole]));
        assert_eq!(looks.taken, 10);
    }

    #[test]
    fn no_speech_gives_no_spans() {
        let defaults = two_seconds();
        check(&[], &defaults, &[], &[]);
        check(&[(1000, SILENCE)], &defaults, &[], &[]);
        check(&[(1000, BETWEEN)], &defaults, &[], &[]);
        assert_eq!(speech(&[], &defaults, &mut || Ok(())), Ok(vec![]));
        assert_eq!(speech(&[0.0; 16_000], &defaults, &mut || Ok(())), Ok(vec![]));
    }

    #[test]
    fn audio_without_a_long_silence_is_one_span_over_all_of_it() {
        let said = [
            (100, SILENCE),
            (50, SPEECH),
            (124, SILENCE),
            (50, SPEECH),
            (124, SILENCE),
        ];
        check(&said, &two_seconds(), &[(100, 448)], &[(0, 448)]);
    }

    #[test]
    fn silences_of_two_seconds_are_cut_but_for_the_pads() {
        let said = [
            (130, SILENCE),
            (50, SPEECH),
            (130, SILENCE),
            (50, SPEECH),
            (130, SILENCE),
        ];
        let raw = [(130, 180), (310, 360)];
        check(&said, &two_seconds(), &raw, &[(105, 205), (285, 385)]);
    }

    #[test]
    fn a_sound_of_a_tenth_of_a_second_is_no_speech() {
        check(&[(200, SILENCE), (6, SPEECH), (200, SILENCE)], &two_seconds(), &[], &[]);
        let any = VadOptions {
            min_speech_duration_ms: 0,
            ..two_seconds()
        };
        check(
            &[(200, SILENCE), (6, SPEECH), (200, SILENCE)],
            &any,
            &[(200, 206)],
            &[(175, 231)],
        );
    }

    #[test]
    fn scores_between_the_thresholds_go_on_with_what_was() {
        check(
            &[(200, BETWEEN), (50, SPEECH)],
            &two_seconds(),
            &[(200, 250)],
            &[(175, 250)],
        );
        check(
            &[(50, SPEECH), (200, BETWEEN)],
            &two_seconds(),
            &[(0, 250)],
            &[(0, 250)],
        );
    }

    #[test]
    fn spans_that_would_meet_share_the_silence() {
        let options = VadOptions {
            min_silence_duration_ms: 320,
            ..two_seconds()
        };
        check(
            &[(50, SPEECH), (30, SILENCE), (50, SPEECH)],
            &options,
            &[(0, 50), (80, 130)],
            &[(0, 65), (65, 130)],
        );
    }

    #[test]
    fn too_long_a_speech_is_split_at_its_last_silence_or_hard() {
        let options = VadOptions {
            max_speech_duration_s: 2.416,
            ..two_seconds()
        };
        // 100 frames and two pads.
        let said = [(60, SPEECH), (10, SILENCE), (60, SPEECH)];
        check(&said, &options, &[(0, 60), (70, 130)], &[(0, 65), (65, 130)]);
        check(
            &[(130, SPEECH)],
            &options,
            &[(0, 101), (102, 130)],
            &[(0, 101), (101, 130)],
        );
        let said = [(90, SPEECH), (40, SILENCE), (20, SPEECH)];
        check(&said, &options, &[(0, 90), (130, 150)], &[(0, 110), (110, 150)]);
    }
}
