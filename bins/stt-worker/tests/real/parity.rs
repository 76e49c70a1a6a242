//! float32: what faster-whisper gives, field by field, with the same options.

use stt_core::Transcript;
use stt_whisper::Options;

use crate::golden::{Differences, options};
use crate::site::{Case, goldens, load, recording, transcribe};

/// The file whose samples differ before any model sees them: FFmpeg's decoder for MPEG-2 layer III (mp3 below 32 kHz) in
/// version 5.1 gives other ones than that of PyAV's FFmpeg. docs/formats.md has it.
fn is_decoded_otherwise(file: &str) -> bool {
    file == "en_faster-whisper__multilingual.mp3"
}

/// How far apart two texts of a window may score for the order of two sums to have decided between them.
const TIE: f64 = 0.005;

/// What decides where the texts differ: the mean log-probabilities, ours and theirs, of the first window that does. A window
/// that begins elsewhere was decided about by the last timestamp of the one before.
fn margin(found: &Transcript, case: &Case) -> Option<(f64, f64)> {
    let pairs: Vec<_> = found.segments.iter().zip(&case.golden.segments).collect();
    let at = pairs
        .iter()
        .position(|(found, wanted)| found.tokens != wanted.tokens || found.seek != wanted.seek)?;
    let moved = pairs[at].0.seek != pairs[at].1.seek;
    let (found, wanted) = pairs.get(at.checked_sub(usize::from(moved))?)?;
    Some((found.avg_logprob, wanted.avg_logprob))
}

/// Each case of a model, at least `least` of them.
fn compare(model: &str, least: usize) {
    let whisper = load(model, "float32");
    let goldens = goldens(model);
    assert!(goldens.cases.len() >= least, "{} cases", goldens.cases.len());
    let (mut equal, mut ties, mut otherwise, mut wrong) = (0, 0, 0, vec![]);
    for (name, case) in &goldens.cases {
        let options = Options {
            temperatures: vec![0.0],
            ..options(&case.golden.options)
        };
        let found = transcribe(&whisper, &recording(&case.file), &options);
        let differences = Differences::of(&found, &case.golden);
        if differences.is_empty() {
            equal += 1;
            continue;
        }
        if is_decoded_otherwise(&case.file) {
            otherwise += 1;
            continue;
        }
        match margin(&found, case) {
            Some((ours, theirs)) if (ours - theirs).abs() <= TIE => {
                ties += 1;
                println!("{model}: {name}: a tie, {ours:.5} against {theirs:.5}");
            }
            margin => {
                println!("{model}: {name}: {margin:?}: {differences:#?}");
                wrong.push(name);
            }
        }
    }
    println!("{model}: {equal} equal, {ties} ties, {otherwise} decoded otherwise");
    assert!(wrong.is_empty(), "{model}: {wrong:#?}");
    assert!(10 * ties <= equal, "{ties} ties");
}

#[test]
fn base_in_float32_gives_faster_whispers_texts() {
    compare("base", 55);
}

#[test]
fn tiny_en_in_float32_gives_faster_whispers_texts() {
    compare("tiny.en", 30);
}
