//! Which parts of an audio are speech.

use stt_core::Stop;

use crate::silero::{self, FRAME};

/// When a sound counts as speech, and where a part of it ends. Names, meaning and defaults are those of faster-whisper's
/// `VadOptions`, but for the last two, which are this crate's own and change nothing by default;
/// [`crate::Options::recommended`] sets them. Measured in `docs/decisions/003-voice-activity.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadOptions {
    /// Probability from which on a frame of 32 ms is speech. Default 0.5.
    pub threshold: f32,
    /// Probability below which a frame ends speech; between the two, what was goes on. Default `None`: 0.15 below the
    /// threshold, at least 0.01.
    pub neg_threshold: Option<f32>,
    /// Speech of this length or less is dropped. Default 0 ms.
    pub min_speech_duration_ms: u32,
    /// Longer speech is split, at its last silence of 98 ms or hard. Default infinite.
    pub max_speech_duration_s: f32,
    /// Silence from which on it is cut out. Default 2000 ms. [`crate::Options::recommended`] has 3000: a window that begins
    /// elsewhere gives another text, and pauses of 2 s are common between sentences.
    pub min_silence_duration_ms: u32,
    /// Audio kept before and after speech. Default 400 ms.
    pub speech_pad_ms: u32,
    /// Probability below which a sound is surely no speech. Between this and `threshold` the model has the last word: such
    /// sounds are transcribed along with what is speech, and where there is no speech at all, they are decoded once, and
    /// their text is kept only if the model is sure of it. Default `None`: what is below `threshold` is silent.
    pub doubt_threshold: Option<f32>,
    /// Whether a silence before the first speech is kept like any other that is shorter than `min_silence_duration_ms`.
    /// Default false: it is cut however short, and the features of an audio without any long silence change for it.
    pub keep_short_start: bool,
}

impl Default for VadOptions {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            neg_threshold: None,
            min_speech_duration_ms: 0,
            max_speech_duration_s: f32::INFINITY,
            min_silence_duration_ms: 2000,
            speech_pad_ms: 400,
            doubt_threshold: None,
            keep_short_start: false,
        }
    }
}

impl VadOptions {
    /// What cuts least, and leaves it to the model whether a faint sound is speech.
    #[must_use]
    pub fn recommended() -> Self {
        Self {
            min_silence_duration_ms: 3000,
            doubt_threshold: Some(0.3),
            keep_short_start: true,
            ..Self::default()
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

/// What was found in an audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speech {
    /// The parts to transcribe, in order and disjoint; none when there is surely no speech.
    pub spans: Vec<Span>,
    /// Whether they are speech; when not, the model decides.
    pub is_sure: bool,
}

/// Finds the speech of an audio. What is left out has no speech for `min_silence_duration_ms`, before the first and after
/// the last as well. Asks at least once for every 32 s of audio whether to go on.
pub(crate) fn speech(
    samples: &[f32],
    options: &VadOptions,
    go_on: &mut dyn FnMut() -> Result<(), Stop>,
) -> Result<Speech, Stop> {
    let scores = silero::scores(samples, go_on)?;
    Ok(speech_by(&scores, samples.len(), options))
}

fn speech_by(scores: &[f32], samples: usize, options: &VadOptions) -> Speech {
    let doubted = match options.doubt_threshold {
        Some(threshold) if threshold < options.threshold => VadOptions { threshold, ..*options },
        _ => *options,
    };
    let is_sure = scores.iter().any(|score| *score >= options.threshold);
    let spans = pad(spans(scores, samples, &doubted), samples, options);
    Speech {
        spans: keep_short_start(spans, options),
        is_sure,
    }
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

/// Keeps a silence before the first span that would be kept elsewhere.
fn keep_short_start(mut spans: Vec<Span>, options: &VadOptions) -> Vec<Span> {
    if let Some(first) = spans.first_mut()
        && options.keep_short_start
        && first.start + samples_of(options.speech_pad_ms) < samples_of(options.min_silence_duration_ms)
    {
        first.start = 0;
    }
    spans
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::looks::Looks;

    const SPEECH: f32 = 0.9;
    /// Neither: what was goes on.
    const BETWEEN: f32 = 0.4;
    const SILENCE: f32 = 0.1;

    /// What faster-whisper finds in a clip; see `fixtures/recipe/vad.py`.
    #[derive(serde::Deserialize)]
    struct Golden {
        scores: Vec<f32>,
        spans: BTreeMap<String, Vec<(usize, usize)>>,
    }

    fn goldens() -> Vec<(Golden, Vec<f32>)> {
        let fixtures: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        let text = std::fs::read(fixtures.join("vad/silero.json")).expect("goldens");
        let goldens: BTreeMap<String, Golden> = serde_json::from_slice(&text).expect("goldens");
        let samples = |name: &str| {
            let mut reader = hound::WavReader::open(fixtures.join("audio").join(name)).expect("a clip");
            let samples = reader
                .samples::<i16>()
                .map(|sample| f32::from(sample.expect("a sample")) / 32_768.0);
            samples.collect()
        };
        goldens
            .into_iter()
            .map(|(name, golden)| (golden, samples(&name)))
            .collect()
    }

    #[test]
    fn silero_scores_and_speech_are_faster_whispers() {
        let batched = VadOptions {
            max_speech_duration_s: 30.0,
            min_silence_duration_ms: 160,
            ..VadOptions::default()
        };
        let short = VadOptions {
            threshold: 0.6,
            neg_threshold: Some(0.2),
            min_speech_duration_ms: 250,
            min_silence_duration_ms: 300,
            speech_pad_ms: 100,
            max_speech_duration_s: 4.0,
            ..VadOptions::default()
        };
        let goldens = goldens();
        assert!(goldens.len() >= 6);
        for (golden, samples) in goldens {
            let scores = silero::scores(&samples, &mut || Ok(())).unwrap();
            assert_eq!(scores.len(), golden.scores.len());
            for (found, wanted) in scores.iter().zip(&golden.scores) {
                assert!(
                    (found - wanted / 1000.0).abs() < 0.001,
                    "{found} for {wanted} thousandths"
                );
            }
            for (name, options) in [
                ("default", VadOptions::default()),
                ("batched", batched),
                ("short", short),
            ] {
                let found = speech(&samples, &options, &mut || Ok(())).unwrap();
                let found: Vec<_> = found.spans.iter().map(|span| (span.start, span.end)).collect();
                assert_eq!(found, golden.spans[name], "{name}");
            }
        }
    }

    /// The spans, in frames, of what is said in so many frames, as they are and padded.
    fn check(said: &[(usize, f32)], options: &VadOptions, raw: &[(usize, usize)], padded: &[(usize, usize)]) {
        let scores: Vec<f32> = said.iter().flat_map(|(frames, score)| vec![*score; *frames]).collect();
        let samples = scores.len() * FRAME;
        let in_frames = |spans: &[Span]| -> Vec<(usize, usize)> {
            spans
                .iter()
                .map(|span| (span.start / FRAME, span.end / FRAME))
                .collect()
        };
        assert_eq!(in_frames(&spans(&scores, samples, options)), raw, "raw");
        assert_eq!(in_frames(&speech_by(&scores, samples, options).spans), padded, "padded");
    }

    #[test]
    fn it_is_given_up_at_any_look() {
        let samples = vec![0.0; 70 * 16_000];
        // 2,188 frames, a look before each thousand.
        for granted in 0..3 {
            let mut looks = Looks::granted(granted);
            let given_up = speech(&samples, &VadOptions::default(), &mut || looks.look());
            assert_eq!((given_up, looks.taken), (Err(Stop::Expired), granted + 1));
        }
        let mut looks = Looks::granted(3);
        let nothing = speech(&samples, &VadOptions::default(), &mut || looks.look()).unwrap();
        assert_eq!((nothing.spans, looks.taken), (vec![], 3));
    }

    #[test]
    fn no_speech_gives_no_spans() {
        let defaults = VadOptions::default();
        check(&[], &defaults, &[], &[]);
        check(&[(1000, SILENCE)], &defaults, &[], &[]);
        check(&[(1000, BETWEEN)], &defaults, &[], &[]);
        for samples in [
            vec![],
            vec![0.0; 16_000],
            vec![f32::NAN; 16_000],
            vec![f32::INFINITY; 16_000],
        ] {
            let found = speech(&samples, &VadOptions::recommended(), &mut || Ok(())).unwrap();
            assert_eq!(found.spans, []);
        }
    }

    #[test]
    fn a_sound_in_doubt_is_left_to_the_model() {
        let scores = |said: &[(usize, f32)]| -> Vec<f32> {
            said.iter().flat_map(|(frames, score)| vec![*score; *frames]).collect()
        };
        let faint = scores(&[(200, SILENCE), (50, BETWEEN), (200, SILENCE)]);
        let samples = faint.len() * FRAME;
        let found = speech_by(&faint, samples, &VadOptions::recommended());
        assert_eq!((found.spans.len(), found.is_sure), (1, false));
        assert_eq!(speech_by(&faint, samples, &VadOptions::default()).spans, []);
        let both = scores(&[(200, BETWEEN), (200, SILENCE), (50, SPEECH)]);
        let found = speech_by(&both, both.len() * FRAME, &VadOptions::recommended());
        assert_eq!((found.spans.len(), found.is_sure), (2, true));
        let sure = speech_by(&scores(&[(450, SILENCE)]), samples, &VadOptions::recommended());
        assert_eq!(sure.spans, []);
    }

    #[test]
    fn audio_without_a_long_silence_is_one_span_over_all_of_it() {
        let said = [(50, SILENCE), (25, SPEECH), (62, SILENCE), (25, SPEECH), (62, SILENCE)];
        let kept = VadOptions {
            keep_short_start: true,
            ..VadOptions::default()
        };
        check(&said, &kept, &[(50, 224)], &[(0, 224)]);
        check(&said, &VadOptions::default(), &[(50, 224)], &[(37, 224)]);
    }

    #[test]
    fn silences_of_two_seconds_are_cut_but_for_the_pads() {
        let said = [(65, SILENCE), (25, SPEECH), (65, SILENCE), (25, SPEECH), (65, SILENCE)];
        let raw = [(65, 90), (155, 180)];
        check(&said, &VadOptions::default(), &raw, &[(52, 102), (142, 192)]);
    }

    #[test]
    fn scores_between_the_thresholds_go_on_with_what_was() {
        let defaults = VadOptions::default();
        check(&[(100, BETWEEN), (25, SPEECH)], &defaults, &[(100, 125)], &[(87, 125)]);
        check(&[(25, SPEECH), (100, BETWEEN)], &defaults, &[(0, 125)], &[(0, 125)]);
    }

    #[test]
    fn spans_that_would_meet_share_the_silence() {
        let options = VadOptions {
            min_silence_duration_ms: 320,
            ..VadOptions::default()
        };
        check(
            &[(25, SPEECH), (14, SILENCE), (25, SPEECH)],
            &options,
            &[(0, 25), (39, 64)],
            &[(0, 32), (32, 64)],
        );
    }

    #[test]
    fn too_long_a_speech_is_split_at_its_last_silence_or_hard() {
        // 50 frames, one more and two pads.
        let options = VadOptions {
            max_speech_duration_s: 2.432,
            ..VadOptions::default()
        };
        let said = [(30, SPEECH), (6, SILENCE), (30, SPEECH)];
        check(&said, &options, &[(0, 30), (36, 66)], &[(0, 33), (33, 66)]);
        check(&[(65, SPEECH)], &options, &[(0, 51), (52, 65)], &[(0, 51), (51, 65)]);
    }
}
