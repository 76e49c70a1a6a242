use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::flow::status::NotReady;
use crate::{
    Assignment, BatchResult, Commit, CommittedOffset, Delivery, Destination, ErrorCode, Header, Outcome, OutcomeResult,
    ResetCause, Transcript, WorkItem,
};

const JOB: &str = include_str!("../../../../../fixtures/wire/job.json");

/// A coordinator and what it asked for.
struct Bench {
    coordinator: Coordinator,
    now: Instant,
    started: Vec<WorkItem>,
    cancelled: Vec<JobId>,
    published: Vec<Outcome>,
    batches: Vec<BatchId>,
    committed: Vec<Commit>,
    paused: Vec<Partition>,
    released: Vec<Partition>,
    events: Vec<FlowEvent>,
    exit: Option<Exit>,
}

fn partition(id: i32) -> Partition {
    let topic = "stt.jobs".into();
    Partition { topic, id }
}

fn job(number: u32) -> Vec<u8> {
    JOB.replace("0d7f2a6a1b01", &format!("{number:012x}")).into_bytes()
}

/// Of another host.
fn job_at(number: u32, host: &str) -> Vec<u8> {
    let text = String::from_utf8(job(number)).unwrap();
    let (before, rest) = text.split_once("https://").unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    format!("{before}https://{host}/{path}").into_bytes()
}

fn delivery(id: i32, offset: i64, payload: Vec<u8>) -> Delivery {
    Delivery {
        partition: partition(id),
        offset,
        key: Some(format!("k{offset}").into_bytes()),
        payload: Some(payload),
        headers: vec![],
    }
}

impl Bench {
    fn new(config: CoordinatorConfig) -> Self {
        let now = Instant::now();
        Self {
            coordinator: Coordinator::new(config, now, SystemTime::UNIX_EPOCH),
            now,
            started: vec![],
            cancelled: vec![],
            published: vec![],
            batches: vec![],
            committed: vec![],
            paused: vec![],
            released: vec![],
            events: vec![],
            exit: None,
        }
    }

    /// With one partition, of which nothing is committed.
    fn owning() -> Self {
        let mut bench = Self::new(CoordinatorConfig::default());
        bench.assign(None);
        bench
    }

    fn assign(&mut self, committed: Option<(i64, &str)>) {
        let committed = committed.map(|(next_offset, metadata)| CommittedOffset {
            next_offset,
            metadata: metadata.to_owned(),
        });
        let partition = partition(0);
        self.source(SourceEvent::Assigned(vec![Assignment { partition, committed }]));
    }

    fn source(&mut self, event: SourceEvent) {
        self.input(Input::Source(event));
    }

    fn input(&mut self, input: Input) {
        self.coordinator.handle(self.now, SystemTime::UNIX_EPOCH, input);
        self.tick();
    }

    fn wait(&mut self, wait: Duration) {
        self.now += wait;
        self.tick();
    }

    fn tick(&mut self) {
        self.coordinator.handle(self.now, SystemTime::UNIX_EPOCH, Input::Tick);
        while let Some(output) = self.coordinator.next_output() {
            match output {
                Output::Start(work) => self.started.push(work),
                Output::Cancel(job) => self.cancelled.push(job),
                Output::Publish(batch) => {
                    self.batches.push(batch.id);
                    self.published.extend(batch.outcomes);
                }
                Output::Commit(commits) => self.committed.extend(commits),
                Output::Pause(partitions) => self.paused.extend(partitions),
                Output::Resume(partitions) => self.paused.retain(|paused| !partitions.contains(paused)),
                Output::Release(partitions) => self.released.extend(partitions),
                Output::Event(event) => self.events.push(event),
                Output::Exit(exit) => self.exit = Some(exit),
            }
        }
    }

    /// Delivers jobs and lets them start: commits are answered.
    fn run(&mut self, offsets: std::ops::Range<i64>) {
        for offset in offsets {
            self.source(SourceEvent::Delivered(delivery(0, offset, job(offset as u32))));
        }
        self.answer_commits(true);
    }

    fn answer_commits(&mut self, accepted: bool) {
        self.wait(Duration::from_millis(300));
        while !self.committed.is_empty() {
            let commits = std::mem::take(&mut self.committed);
            let error = (!accepted).then(|| "REBALANCE_IN_PROGRESS".to_owned());
            self.source(SourceEvent::CommitAnswered { commits, error });
        }
    }

    fn finish(&mut self, job: u64, result: Result<Transcript, Failure>) {
        let (job, times) = (JobId(job), vec![]);
        self.input(Input::Worker(WorkerEvent::Finished { job, result, times }));
    }

    /// The sink's answer to everything that was handed to it.
    fn answer(&mut self, result: &dyn Fn(&Outcome) -> Result<(), Failure>) {
        for (id, mut outcome) in self.batches.drain(..).zip(self.published.drain(..)).collect::<Vec<_>>() {
            let result = result(&outcome);
            outcome
                .records
                .iter_mut()
                .for_each(|record| record.acknowledged = result.is_ok());
            let outcomes = vec![OutcomeResult { outcome, result }];
            let (commits, failure) = (vec![], None);
            self.input(Input::Published(BatchResult {
                id,
                outcomes,
                commits,
                failure,
            }));
        }
    }

    fn acknowledge(&mut self) {
        self.answer(&|_| Ok(()));
    }

    fn says(&self, reason: NotReady) -> bool {
        self.coordinator.status(self.now).not_ready.contains(&reason)
    }
}

#[test]
fn a_job_starts_when_its_marker_is_acknowledged() {
    let mut bench = Bench::owning();
    bench.source(SourceEvent::Delivered(delivery(0, 0, job(0))));
    assert!(bench.started.is_empty());
    assert_eq!(bench.committed[0].committed.metadata, "s1;;0x1");
    bench.answer_commits(true);
    assert_eq!(bench.started.len(), 1);
}

#[test]
fn a_fresh_job_starts_unmarked_after_a_bounded_wait() {
    let mut bench = Bench::owning();
    bench.source(SourceEvent::Delivered(delivery(0, 0, job(0))));
    bench.wait(Duration::from_millis(999));
    assert!(bench.started.is_empty());
    bench.wait(Duration::from_millis(1));
    assert!(bench.started.len() == 1 && bench.events.contains(&FlowEvent::StartedUnmarked));
}

#[test]
fn an_offset_is_passed_when_the_outcome_is_acknowledged() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    bench.finish(1, Ok(Transcript::default()));
    bench.answer_commits(true);
    assert_eq!(bench.coordinator.status(bench.now).partitions[0].committed, Some(0));
    bench.acknowledge();
    bench.answer_commits(true);
    assert_eq!(bench.coordinator.status(bench.now).partitions[0].committed, Some(1));
}

#[test]
fn an_oversized_dead_letter_is_published_without_payload() {
    let mut bench = Bench::owning();
    bench.source(SourceEvent::Delivered(delivery(0, 0, vec![0xff; 50_000])));
    let too_large = |outcome: &Outcome| match outcome.records.iter().map(|record| record.size()).max() {
        Some(size) if size > 20_000 => Err(Failure::permanent(ErrorCode::ResultTooLarge, "too large")),
        _ => Ok(()),
    };
    bench.answer(&too_large);
    let letter = &bench.published[0].records[1];
    assert!(letter.destination == Destination::DeadLetters && letter.size() < 10_000);
    bench.answer(&too_large);
    assert!(
        matches!(bench.events.last(), Some(FlowEvent::Failed { reduced: true, .. })),
        "{:?}",
        bench.events
    );
}

#[test]
fn a_forged_delay_holds_up_no_fresh_job() {
    let mut bench = Bench::owning();
    let mut forged = delivery(0, 0, job(0));
    let value = Some(b"60000".to_vec());
    let key = "retry-delay-ms".to_owned();
    forged.headers = vec![Header { key, value }];
    bench.source(SourceEvent::Delivered(forged));
    bench.answer_commits(true);
    assert_eq!(bench.started.len(), 1);
}

#[test]
fn a_server_that_asks_for_an_hour_is_waited_for_as_long_as_any() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    let mut failure = Failure::permanent(ErrorCode::DownloadHttpStatus, "503");
    failure.fault = crate::Fault::Transient {
        after: Some(Duration::from_secs(3600)),
    };
    bench.finish(1, Err(failure));
    let headers = &bench.published[0].records[0].headers;
    let delay = headers.iter().find(|header| header.key == "retry-delay-ms").unwrap();
    assert_eq!(delay.value.as_deref(), Some(&b"60000"[..]));
}

#[test]
fn a_failed_job_that_is_sent_again_runs_again() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    bench.finish(1, Err(Failure::permanent(ErrorCode::AudioEmpty, "no sample")));
    bench.acknowledge();
    bench.source(SourceEvent::Delivered(delivery(0, 1, job(0))));
    bench.answer_commits(true);
    assert_eq!(bench.started.len(), 2);
}

#[test]
fn a_duplicate_ends_with_the_first_record() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    bench.source(SourceEvent::Delivered(delivery(0, 1, job(0))));
    bench.finish(1, Ok(Transcript::default()));
    bench.acknowledge();
    bench.answer_commits(true);
    assert_eq!(bench.started.len(), 1);
    assert_eq!(bench.coordinator.status(bench.now).partitions[0].committed, Some(2));
}

#[test]
fn a_suspect_of_two_crashes_runs_alone() {
    let mut bench = Bench::new(CoordinatorConfig {
        concurrency: 4,
        ..CoordinatorConfig::default()
    });
    bench.assign(Some((0, "s1;;1x2")));
    bench.run(0..2);
    bench.answer_commits(true); // the marker of the first is taken back together with the suspect's
    let started = |bench: &Bench| bench.started.iter().map(|work| work.job.0).collect::<Vec<_>>();
    assert_eq!(started(&bench), [2], "the suspect, and nothing beside it");
    bench.wait(Duration::from_secs(5));
    assert_eq!(started(&bench), [2]);
    bench.finish(2, Ok(Transcript::default()));
    bench.acknowledge();
    bench.answer_commits(true);
    bench.answer_commits(true);
    assert_eq!(started(&bench), [2, 1]);
}

#[test]
fn a_lost_partition_that_returns_goes_on_where_it_was() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    let lost = SourceEvent::Revoked {
        partitions: vec![partition(0)],
        lost: true,
    };
    bench.source(lost);
    assert!(bench.says(NotReady::NotMember));
    bench.finish(1, Ok(Transcript::default()));
    assert!(bench.published.is_empty(), "its new owner publishes");
    bench.assign(Some((0, "s1;;0x1")));
    bench.run(0..1);
    assert_eq!((bench.started.len(), bench.published.len()), (1, 1));
}

#[test]
fn what_was_done_before_a_loss_is_not_done_again() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    bench.finish(1, Err(Failure::permanent(ErrorCode::AudioEmpty, "no sample")));
    bench.acknowledge(); // and the broker takes no commit
    let lost = SourceEvent::Revoked {
        partitions: vec![partition(0)],
        lost: true,
    };
    bench.source(lost);
    bench.assign(Some((0, "s1;;0x1")));
    bench.committed.clear();
    bench.run(0..1);
    assert_eq!((bench.started.len(), bench.published.len()), (1, 0));
    assert_eq!(bench.coordinator.status(bench.now).partitions[0].committed, Some(1));
}

#[test]
fn kept_jobs_do_not_pause_the_intake_that_brings_them_back() {
    let mut bench = Bench::new(CoordinatorConfig {
        queue_max: 0,
        concurrency: 2,
        ..CoordinatorConfig::default()
    });
    bench.assign(None);
    bench.run(0..4);
    let lost = SourceEvent::Revoked {
        partitions: vec![partition(0)],
        lost: true,
    };
    bench.source(lost);
    bench.paused.clear(); // the source forgets pauses with the partitions
    bench.assign(None);
    assert_eq!(bench.paused, []);
}

#[test]
fn a_new_log_is_committed_at_once() {
    let mut bench = Bench::new(CoordinatorConfig::default());
    bench.assign(Some((40, "s1;1-2;")));
    bench.run(40..41);
    let partition = partition(0);
    let cause = ResetCause::NewLog;
    bench.committed.clear();
    bench.source(SourceEvent::LogReset { partition, cause });
    bench.wait(Duration::from_secs(1));
    let commit = bench.committed.last().unwrap();
    assert_eq!(
        (commit.committed.next_offset, commit.committed.metadata.as_str()),
        (0, "")
    );
}

#[test]
fn a_silence_longer_than_the_session_delays_publishing() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    bench.now += Duration::from_secs(46);
    bench.finish(1, Ok(Transcript::default()));
    assert!(bench.published.is_empty(), "the partition may have another owner");
    bench.wait(Duration::from_secs(4));
    assert_eq!(bench.published.len(), 1);
}

#[test]
fn a_hung_job_ends_the_process_although_it_was_given_up() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    let (job, stage) = (JobId(1), WorkStage::Transcribe);
    bench.input(Input::Worker(WorkerEvent::Stage { job, stage }));
    let revoked = SourceEvent::Revoked {
        partitions: vec![partition(0)],
        lost: false,
    };
    bench.source(revoked);
    bench.wait(Duration::from_secs(6));
    assert_eq!(
        (bench.cancelled.as_slice(), bench.released.as_slice()),
        (&[job][..], &[partition(0)][..])
    );
    bench.wait(Duration::from_secs(200));
    assert!(bench.says(NotReady::Hung));
    bench.wait(Duration::from_secs(6));
    assert!(matches!(bench.exit, Some(Exit::Hung { .. })), "{:?}", bench.exit);
}

#[test]
fn a_stop_takes_start_markers_back() {
    let mut bench = Bench::owning();
    bench.run(0..1);
    bench.input(Input::Stop);
    assert!(bench.says(NotReady::Stopping));
    bench.wait(Duration::from_secs(25));
    assert_eq!(bench.cancelled, [JobId(1)]);
    bench.finish(1, Err(Failure::transient(ErrorCode::TranscribeTimeout, "cancelled")));
    bench.answer_commits(true);
    let Some(Exit::Stopped(report)) = bench.exit else {
        panic!("{:?}", bench.exit)
    };
    assert_eq!((report.abandoned, report.committed), (1, true));
}

/// The jobs started by now, in their order.
fn started(bench: &Bench) -> Vec<u64> {
    bench.started.iter().map(|work| work.job.0).collect()
}

#[test]
fn a_slow_site_leaves_a_place_to_others() {
    let mut bench = Bench::owning();
    for offset in 0..100 {
        let host = format!("{offset}.slow.example");
        bench.source(SourceEvent::Delivered(delivery(
            0,
            offset,
            job_at(offset as u32, &host),
        )));
    }
    bench.answer_commits(true);
    assert_eq!(
        bench.paused.len(),
        1,
        "the first records of a site that is quick would be gone within a second"
    );
    assert!(bench.coordinator.next_wakeup() <= Some(bench.now + Duration::from_secs(1)));
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.paused, [], "others may come behind what waits for its site");
    assert!(bench.coordinator.intake_room() > 0);
    bench.source(SourceEvent::Delivered(delivery(0, 100, job_at(100, "media.example"))));
    bench.answer_commits(true);
    assert_eq!(started(&bench), [1, 2, 3, 4, 101], "a window of five");
    let (job, stage) = (JobId(1), WorkStage::Downloaded);
    bench.finish(101, Ok(Transcript::default()));
    bench.answer_commits(true);
    assert_eq!(started(&bench).len(), 5, "the slow site has its share");
    bench.input(Input::Worker(WorkerEvent::Stage { job, stage }));
    bench.answer_commits(true);
    assert_eq!(
        started(&bench)[5..],
        [5],
        "the download is over, the place in the window was free"
    );
}

#[test]
fn what_waits_for_its_site_has_a_limit() {
    let mut bench = Bench::new(CoordinatorConfig {
        intake_records_max: 50,
        site_downloads_max: Some(1),
        ..CoordinatorConfig::default()
    });
    bench.assign(None);
    for offset in 0..50 {
        bench.wait(Duration::from_secs(1));
        assert_eq!(bench.paused, [], "{offset}");
        bench.source(SourceEvent::Delivered(delivery(0, offset, job(offset as u32))));
    }
    assert_eq!((bench.paused.len(), bench.coordinator.intake_room()), (1, 0));
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.paused.len(), 1);
    assert_eq!(bench.started.len(), 1);
}

#[test]
fn a_job_without_room_waits_and_keeps_no_other_from_its_start() {
    let mut bench = Bench::new(CoordinatorConfig {
        queue_max: 0,
        ..CoordinatorConfig::default()
    });
    bench.assign(None);
    bench.run(0..3);
    bench.finish(1, Err(Failure::no_room(ErrorCode::DownloadFailed, "disk full")));
    bench.answer_commits(true);
    assert_eq!(started(&bench), [1, 2]);
    bench.finish(
        2,
        Err(Failure::worker_local(ErrorCode::DownloadFailed, "no descriptors")),
    );
    bench.answer_commits(true);
    assert_eq!(started(&bench), [1, 2], "that would be any job's");
    bench.wait(Duration::from_secs(1));
    bench.answer_commits(true);
    assert_eq!(
        started(&bench).len(),
        3,
        "it is looked once whether the fault has passed"
    );
    bench.finish(
        *started(&bench).last().unwrap(),
        Err(Failure::no_room(ErrorCode::DownloadFailed, "disk full")),
    );
    assert_eq!(
        bench.coordinator.status(bench.now).breaker,
        Some(ErrorCode::DownloadFailed),
        "which it did not tell"
    );
}
