//! The simulation finds each deliberate defect.

use stt_simulator::{Mutant, generate, run};

/// How many histories are tried for each.
const SEEDS: u64 = 1_500;

#[test]
fn every_mutant_is_caught() {
    let mut missed = vec![];
    for mutant in Mutant::ALL {
        let caught = (0..SEEDS).find_map(|seed| {
            let script = generate(seed);
            let violation = run(&script, Some(mutant)).violation?;
            run(&script, None).violation.is_none().then_some((seed, violation))
        });
        match caught {
            Some((seed, violation)) => println!("{mutant:?}: seed {seed}: {violation}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
