//! Makes a failing script short.

use crate::mutants::Mutant;
use crate::run::run;
use crate::script::{Action, Script};

/// A script that fails in the same way (by the word before the colon) with as few steps as possible.
#[must_use]
pub fn shrink(script: &Script, mutant: Option<Mutant>) -> Script {
    let kind = |script: &Script| {
        let violation = run(script, mutant).violation?;
        Some(violation.split(':').next().unwrap_or_default().to_owned())
    };
    let Some(wanted) = kind(script) else {
        return script.clone();
    };
    let fails = |script: &Script| kind(script).as_ref() == Some(&wanted);
    let mut best = script.clone();
    loop {
        let before = best.clone();
        let mut size = best.steps.len() / 2;
        while size > 0 {
            let mut from = 0;
            while from < best.steps.len() {
                let mut shorter = best.clone();
                shorter.steps.drain(from..(from + size).min(best.steps.len()));
                if fails(&shorter) {
                    best = shorter;
                } else {
                    from += size;
                }
            }
            size /= 2;
        }
        for number in 0..best.steps.len() {
            for smaller in smaller(&best.steps[number].action) {
                let mut shorter = best.clone();
                shorter.steps[number].action = smaller;
                if fails(&shorter) {
                    best = shorter;
                }
            }
        }
        for simpler in simpler_setups(&best) {
            if fails(&simpler) {
                best = simpler;
            }
        }
        if best == before {
            return best;
        }
    }
}

fn smaller(action: &Action) -> Vec<Action> {
    match action {
        Action::Produce { partition, kind, count } if *count > 1 => [1, count / 2, count - 1]
            .into_iter()
            .map(|count| Action::Produce {
                partition: *partition,
                kind: *kind,
                count,
            })
            .collect(),
        _ => vec![],
    }
}

fn simpler_setups(script: &Script) -> Vec<Script> {
    let with = |change: &dyn Fn(&mut Script)| {
        let mut changed = script.clone();
        change(&mut changed);
        changed
    };
    vec![
        with(&|script| script.setup.exactly_once = false),
        with(&|script| script.setup.static_members = false),
        with(&|script| script.setup.retry_topic = false),
        with(&|script| script.setup.partitions = 1),
        with(&|script| script.setup.workers = 1),
        with(&|script| script.setup.concurrency = 1),
    ]
}
