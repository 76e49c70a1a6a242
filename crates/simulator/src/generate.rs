//! Scripts from seeds.

use crate::script::{Action, Class, Kind, Script, Setup, Step, Topic};

/// A script that depends on nothing but the seed.
///
/// Every fourth has no fault but hostile records, so that the delay of good jobs can be judged; the others have up to twelve
/// faults of all kinds.
#[must_use]
pub fn generate(seed: u64) -> Script {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed_0f5c_41b7);
    let setup = setup(&mut rng);
    let calm = rng.u32(..4) == 0;
    let mut steps: Vec<Step> = (0..setup.workers)
        .map(|worker| Step {
            at: rng.u64(..2_000),
            action: Action::Start(worker),
        })
        .collect();
    let span = 5_000 + rng.u64(..60_000);
    for _ in 0..rng.u32(3..14) {
        let at = rng.u64(..span);
        let action = produce(&mut rng, &setup, calm);
        steps.push(Step { at, action });
    }
    if !calm {
        for _ in 0..rng.u32(1..12) {
            let at = rng.u64(..span);
            let action = fault(&mut rng, &setup);
            steps.push(Step { at, action });
        }
    }
    if steps.iter().any(|step| step.action == Action::Recreate) {
        // What a commit for the first log says of the third is beyond what the oracle follows.
        steps.retain(|step| !matches!(step.action, Action::Truncate(..)));
    }
    steps.sort_by_key(|step| step.at);
    Script { seed, setup, steps }
}

fn setup(rng: &mut fastrand::Rng) -> Setup {
    let exactly_once = rng.u32(..3) == 0;
    Setup {
        exactly_once,
        static_members: rng.u32(..4) == 0,
        retry_topic: rng.u32(..3) == 0,
        partitions: rng.u32(1..5),
        workers: rng.u32(1..4),
        concurrency: [1, 1, 2, 4, 8][rng.usize(..5)],
        queue: rng.u32(0..5),
        intake: [8, 64, 512][rng.usize(..3)],
        delayed: [3, 100][rng.usize(..2)],
        attempts: [1, 2, 3, 3][rng.usize(..4)],
        record_bytes: 24_000,
        session: [6_000, 10_000, 45_000][rng.usize(..3)],
    }
}

fn produce(rng: &mut fastrand::Rng, setup: &Setup, calm: bool) -> Action {
    let (class, n, most) = match rng.u32(..if calm { 20 } else { 24 }) {
        0..=5 => (Class::Good, rng.u64(1..2_000), 12),
        6 => (Class::Keyless, rng.u64(1..500), 4),
        7 => (Class::LongKey, rng.u64(10..5_000), 2),
        8 => (Class::Junk, [0, 10, 20_000, 30_000][rng.usize(..4)], 8),
        9 => (Class::KeylessJunk, rng.u64(..100), 3),
        10 => (Class::LargeJson, rng.u64(..60_000), 3),
        11 => (Class::Tombstone, 0, 2),
        12 => (Class::ForgedDelay, rng.u64(..60_000), 10),
        13 => (Class::ForgedJunk, 60_000, 20),
        14 => (Class::ForgedOrigin, rng.u64(..60_000), 2),
        15 => (Class::Transient, rng.u64(..4), 5),
        16 => (Class::Permanent, 0, 5),
        17 => (Class::LargeResult, rng.u64(10_000..40_000), 2),
        18 if rng.bool() => (Class::SlowHost, 0, 2),
        18 | 19 if rng.bool() => (Class::Replay, rng.u64(..3), 2),
        18 | 19 => (Class::Duplicate, rng.u64(..6), 3),
        20 => (Class::Killer, rng.u64(1..500), 1),
        21 => (Class::RareKiller, rng.u64(..3), 2),
        22 if rng.u32(..3) == 0 => (Class::Hang, 0, 1),
        23 => (Class::Fatal, 0, 1),
        _ => (Class::Good, rng.u64(1..8_000), 6),
    };
    Action::Produce {
        partition: rng.u32(..setup.partitions),
        kind: Kind { class, n },
        count: rng.u32(1..=most),
    }
}

fn fault(rng: &mut fastrand::Rng, setup: &Setup) -> Action {
    let worker = rng.u32(..setup.workers);
    let partition = rng.u32(..setup.partitions);
    let around_session = [setup.session / 2, setup.session + 3_000, 2 * setup.session][rng.usize(..3)];
    let short = rng.u64(500..15_000);
    match rng.u32(..30) {
        0..=3 => Action::Kill(worker),
        4 | 5 => Action::Stop(worker),
        6 | 7 => Action::Start(worker),
        8..=10 => Action::Pause(worker, around_session + rng.u64(..1_000)),
        11 => Action::DiskFull(worker, short),
        12..=14 => Action::Cut(worker, around_session + rng.u64(..1_000)),
        15 => Action::Skew(worker, rng.i64(-86_400_000..86_400_000)),
        16 | 17 => Action::BrokerHang(around_session + rng.u64(..1_000)),
        18 => Action::RefuseCommits(short),
        19 => Action::LoseCommitAnswers(short),
        20 | 21 => Action::SlowAcks(rng.u64(100..9_000), short),
        22 => Action::Missing([Topic::Results, Topic::DeadLetters][rng.usize(..2)], short),
        23 => Action::Denied([Topic::Results, Topic::DeadLetters][rng.usize(..2)], short),
        24 => Action::Leaderless(partition, short),
        25 => Action::Recreate,
        26 => Action::Truncate(partition, rng.u32(1..6)),
        27 => Action::Retention(partition, rng.u32(1..10)),
        28 => Action::AddPartitions(rng.u32(1..3)),
        _ => Action::ResetOffsets(partition),
    }
}
