//! A bounded number of seeds, and every history that failed once.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use stt_simulator::{Script, generate, run, shrink};

fn check(seed: u64) {
    let script = generate(seed);
    if let Some(violation) = run(&script, None).violation {
        let short = shrink(&script, None);
        panic!(
            "{violation}\nagain: make simulate SEEDS=1 SEED={seed}\nshrunk, to keep in crates/simulator/regressions:\n\n{short}"
        );
    }
}

#[test]
fn fixed_seeds_keep_the_invariants() {
    (0..300).for_each(check);
}

#[test]
fn fresh_seeds_keep_the_invariants() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let from = since.as_secs() % 1_000_000_000 * 1_000;
    (from..from + 100).for_each(check);
}

#[test]
fn histories_that_failed_once_keep_the_invariants() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut found = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let script: Script = text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(run(&script, None).violation, None, "{}", path.display());
        found += 1;
    }
    assert!(found >= 8, "only {found} regressions");
}

#[test]
fn a_seed_gives_one_history_and_its_script_the_same() {
    for seed in 0..20 {
        let script = generate(seed);
        let again: Script = script.to_string().parse().unwrap();
        assert_eq!(script, again, "{script}");
        let [first, second] = [&script, &again].map(|script| stt_simulator::trace(script, None).trace);
        assert_eq!(first, second, "seed {seed}");
    }
}
