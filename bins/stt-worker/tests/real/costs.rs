//! What recordings cost by the worker's defaults, against faster-whisper's defaults: encodes, decodes and decoder steps,
//! which no other load on the machine changes.

use stt_whisper::{Config, Options, Whisper};

use crate::site::{goldens, model_dir, recording, transcribe};

/// Decoder steps of a temperature that fills its room.
const FULL: u64 = 225;

#[test]
fn no_recording_costs_much_more_than_faster_whispers() {
    let config = Config {
        compute_type: Some("int8".into()),
        seed: Some(1),
        ..Config::new(model_dir("base"))
    };
    let whisper = Whisper::load(&config).unwrap();
    let (mut ours, mut theirs, mut wrong) = ([0; 3], [0; 3], vec![]);
    for (name, [plain, with_vad]) in &goldens("base").costs {
        let before = whisper.stats();
        let found = transcribe(&whisper, &recording(name), &Options::recommended());
        let after = whisper.stats();
        let cost = [
            after.encoded - before.encoded,
            after.generated - before.generated,
            after.steps - before.steps,
        ];
        let aligned = after.aligned - before.aligned;
        println!(
            "{name}: {cost:?} and {aligned} alignments for {plain:?}, {with_vad:?} with VAD: {}",
            found.text
        );
        let is_silent = name.starts_with("nonspeech");
        let allowed = if is_silent { with_vad } else { plain };
        // Where texts are sampled, as faster-whisper's more decodes than encodes show, chance decides how many temperatures it
        // takes, up to six, and how long each text is. Faint sounds that the model has the last word about cost it one decode.
        let windows = plain[0].max(1);
        let (decodes, steps) = if is_silent {
            (allowed[1].max(1), allowed[2].max(FULL / 2))
        } else {
            let is_sampled = allowed[1] > allowed[0];
            let all_temperatures = if is_sampled { 6 * allowed[2] / allowed[1] } else { 0 };
            (
                (allowed[1] * 3).div_ceil(2).max(6 * windows),
                (allowed[2].max(all_temperatures) * 3).div_ceil(2).max(100),
            )
        };
        if cost[0] > allowed[0] || cost[1] > decodes || cost[2] > steps {
            wrong.push(format!("{name}: {cost:?} for {allowed:?}"));
        }
        for (sum, more) in ours.iter_mut().zip(cost).chain(theirs.iter_mut().zip(*plain)) {
            *sum += more;
        }
    }
    println!("all: {ours:?} for {theirs:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        ours.iter().zip(&theirs).all(|(ours, theirs)| ours <= theirs),
        "{ours:?} for {theirs:?}"
    );
}
