//! int8, which the CPU's instruction set decides about: as near to float32 as faster-whisper's wheel is.

use stt_whisper::Options;

use crate::site::{MODELS, goldens, load, recording, transcribe};

#[test]
fn int8_is_as_near_to_float32_as_the_wheels() {
    for model in MODELS {
        let whisper = load(model, "int8");
        let goldens = goldens(model);
        let (mut clips, mut ours, mut theirs) = (0, Distance::default(), Distance::default());
        for (name, wheel) in &goldens.int8 {
            let exact: Vec<_> = goldens.cases[name]
                .golden
                .segments
                .iter()
                .map(|segment| (segment.text.as_str(), segment.avg_logprob))
                .collect();
            let options = Options {
                temperatures: vec![0.0],
                ..Options::default()
            };
            let found = transcribe(&whisper, &recording(name), &options);
            let found: Vec<_> = found
                .segments
                .iter()
                .map(|segment| (segment.text.as_str(), segment.avg_logprob))
                .collect();
            let wheel: Vec<_> = wheel
                .golden
                .segments
                .iter()
                .map(|segment| (segment.text.as_str(), segment.avg_logprob))
                .collect();
            clips += 1;
            ours.add(&found, &exact);
            theirs.add(&wheel, &exact);
        }
        println!("{model}, {clips} recordings: ours {ours:?}, the wheel's {theirs:?}");
        // Two recordings are chance: the wheel itself changes more from one instruction set to the next.
        assert!(ours.equal + 2 >= theirs.equal, "{model}: {ours:?} against {theirs:?}");
        assert!(
            ours.mean() <= 1.5 * theirs.mean() + 0.005,
            "{model}: {ours:?} against {theirs:?}"
        );
    }
}

/// From the texts of float32.
#[derive(Debug, Default)]
struct Distance {
    /// Recordings with the same text.
    equal: usize,
    /// Of the log-probabilities of the first segments, summed up.
    logprob: f64,
    compared: usize,
}

impl Distance {
    fn add(&mut self, found: &[(&str, f64)], exact: &[(&str, f64)]) {
        self.equal += usize::from(
            found
                .iter()
                .map(|(text, _)| text)
                .eq(exact.iter().map(|(text, _)| text)),
        );
        if let (Some((_, found)), Some((_, exact))) = (found.first(), exact.first()) {
            self.logprob += (found - exact).abs();
            self.compared += 1;
        }
    }

    fn mean(&self) -> f64 {
        self.logprob / self.compared.max(1) as f64
    }
}
