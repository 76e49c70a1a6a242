//! What is going to happen, drawn from a seed.

use std::time::Duration;

use crate::job::{Fate, Job};

/// Who misbehaves and who is killed: the same for the same seed and sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// By number.
    pub(crate) jobs: Vec<Job>,
    /// The numbers of the jobs in the order of their records.
    pub(crate) stream: Vec<usize>,
    /// In their order.
    pub(crate) blows: Vec<Blow>,
}

/// Something that is done to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blow {
    /// It is due when so many jobs have their outcome: by progress, so that it always falls into work.
    pub(crate) after: usize,
    pub(crate) kind: Kind,
    /// Which worker, where it is one: the next one that can be hit.
    pub(crate) slot: usize,
    /// How long nothing else is done after it, or the broker stays away.
    pub(crate) pause: Duration,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// SIGKILL to a worker, and a new one.
    KillWorker,
    /// SIGTERM to a worker, and a new one when it has left.
    EndWorker,
    /// SIGSTOP to a worker for longer than its session, then SIGCONT.
    FreezeWorker,
    /// SIGKILL to the broker, and its return.
    KillBroker,
    /// An orderly restart of the broker.
    RestartBroker,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::KillWorker,
        Self::EndWorker,
        Self::FreezeWorker,
        Self::KillBroker,
        Self::RestartBroker,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::KillWorker => "SIGKILL worker",
            Self::EndWorker => "SIGTERM worker",
            Self::FreezeWorker => "SIGSTOP worker",
            Self::KillBroker => "SIGKILL broker",
            Self::RestartBroker => "restart broker",
        }
    }
}

/// Of ten blows, in no order.
const DECK: [Kind; 10] = {
    use Kind::{EndWorker, FreezeWorker, KillBroker, KillWorker, RestartBroker};
    [
        KillWorker,
        EndWorker,
        FreezeWorker,
        KillBroker,
        RestartBroker,
        KillWorker,
        EndWorker,
        FreezeWorker,
        KillWorker,
        KillWorker,
    ]
};

/// How many of a thousand jobs, each at least once where there are this many jobs.
const FATES: [(Fate, usize); 5] = [
    (Fate::Flaky, 80),
    (Fate::Stubborn, 10),
    (Fate::Gone, 40),
    (Fate::Junk, 30),
    (Fate::Poison, 4),
];
const SLOW: usize = 10;
const COPIED: usize = 30;

/// How far behind the first record a copy may come.
const COPY_BEHIND_MAX: usize = 40;

impl Plan {
    /// A plan for workers in `slots` places.
    pub(crate) fn draw(seed: u64, jobs: usize, kills: usize, slots: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let jobs = draw_jobs(&mut random, jobs);
        let stream = draw_stream(&mut random, &jobs);
        let blows = draw_blows(&mut random, jobs.len(), kills, slots);
        Self { jobs, stream, blows }
    }
}

fn draw_jobs(random: &mut fastrand::Rng, count: usize) -> Vec<Job> {
    let mut jobs: Vec<Job> = (0..count)
        .map(|number| Job {
            number,
            fate: Fate::Good,
            work_ms: random.u64(5..60),
            copies: 1,
        })
        .collect();
    let mut numbers: Vec<usize> = (0..count).collect();
    random.shuffle(&mut numbers);
    let share = |of_thousand: usize| (count * of_thousand).div_ceil(1000);
    let mut numbers = numbers.into_iter();
    for (fate, of_thousand) in FATES {
        for number in numbers.by_ref().take(share(of_thousand)) {
            jobs[number].fate = fate;
        }
    }
    for number in numbers.by_ref().take(share(SLOW)) {
        jobs[number].work_ms = random.u64(2_000..4_000);
    }
    for number in numbers.by_ref().take(share(COPIED)) {
        jobs[number].copies = 2;
    }
    jobs
}

/// Every job once, in order, and the copies after their firsts.
fn draw_stream(random: &mut fastrand::Rng, jobs: &[Job]) -> Vec<usize> {
    let mut places: Vec<(usize, usize)> = jobs.iter().map(|job| (job.number, job.number)).collect();
    for job in jobs.iter().filter(|job| job.copies > 1) {
        let behind = random.usize(1..=COPY_BEHIND_MAX);
        places.extend((1..job.copies).map(|copy| (job.number + copy * behind, job.number)));
    }
    places.sort_by_key(|(place, number)| (*place, place != number));
    places.into_iter().map(|(_, number)| number).collect()
}

fn draw_blows(random: &mut fastrand::Rng, jobs: usize, kills: usize, slots: usize) -> Vec<Blow> {
    let mut kinds: Vec<Kind> = DECK.into_iter().cycle().take(kills).collect();
    random.shuffle(&mut kinds);
    let mut blows: Vec<Blow> = kinds
        .into_iter()
        .map(|kind| Blow {
            after: random.usize(0..jobs) * 19 / 20, // and some work is left for the last one
            kind,
            slot: random.usize(0..slots),
            pause: Duration::from_millis(random.u64(300..2_500)),
        })
        .collect();
    blows.sort_by_key(|blow| blow.after);
    blows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_seed_plans_another_run_and_the_same_seed_the_same() {
        assert_ne!(Plan::draw(1, 300, 20, 3), Plan::draw(2, 300, 20, 3));
        assert_eq!(Plan::draw(1, 300, 20, 3), Plan::draw(1, 300, 20, 3));
    }

    #[test]
    fn every_kind_of_job_and_of_blow_is_there_and_blows_fall_into_work() {
        let plan = Plan::draw(7, 1000, 30, 3);
        for fate in Fate::ALL {
            // A held job waits for somebody to let it go: that is for stories, not for the conductor.
            let is_planned = plan.jobs.iter().any(|job| job.fate == fate);
            assert_eq!(is_planned, fate != Fate::Held, "{fate:?}");
        }
        for (kind, count) in Kind::ALL.into_iter().zip([12, 6, 6, 3, 3]) {
            let planned = plan.blows.iter().filter(|blow| blow.kind == kind).count();
            assert_eq!(planned, count, "{kind:?}");
        }
        assert!(plan.blows.is_sorted_by_key(|blow| blow.after));
        assert!(plan.blows.iter().all(|blow| blow.after < 950));
    }

    #[test]
    fn the_stream_has_every_job_and_its_copies_not_far_behind() {
        let plan = Plan::draw(7, 1000, 0, 3);
        for job in &plan.jobs {
            let places: Vec<usize> = (0..plan.stream.len())
                .filter(|place| plan.stream[*place] == job.number)
                .collect();
            assert_eq!(places.len(), job.copies);
            assert!(
                places[places.len() - 1] - places[0] <= 2 * COPY_BEHIND_MAX,
                "{places:?}"
            );
        }
        let copied = plan.jobs.iter().filter(|job| job.copies == 2).count();
        assert_eq!(plan.stream.len(), 1000 + copied);
    }

    #[test]
    fn a_single_job_is_a_plan_too() {
        let plan = Plan::draw(1, 1, 3, 3);
        assert_eq!((plan.stream.len(), plan.blows.len()), (1, 3));
    }
}
