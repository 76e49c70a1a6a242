//! Jobs per second of the whole pipeline with an engine that costs nothing, or a scripted time: how much delivery costs.
//! From 100,000 jobs on also memory, threads and descriptors of the process after each tenth of them.
//!
//! ```text
//! cargo run --release -p stt-chaos --example throughput -- [--broker apache|embedded] [--guarantee at-least-once|exactly-once]
//!     [--concurrency N]... [--jobs N] [--queue-max N] [--fetch-ms N] [--transcribe-ms N]
//! ```
//!
//! `docs/benchmarks.md` has the figures.

use std::error::Error;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use stt_core::{
    AudioUrl, Budget, Clock as _, CoordinatorConfig, Decode, Failure, Fetch, Fetched, Pcm, Sink, SystemClock,
    Transcribe, TranscribeRequest, Transcript,
};
use stt_kafka::{
    Connection, EmbeddedBroker, JobProducer, KafkaSink, KafkaSource, KafkaTransactionSink, ProducerConfig, SinkConfig,
    SourceConfig, TransactionConfig,
};
use stt_pipeline::{Config, Services, StatusBoard, Stopping};
use stt_testkit::apache::{Cluster, Config as ClusterConfig};

const PARTITIONS: u32 = 6;
const PRODUCERS: u64 = 16;

/// So many jobs make a run in which growth can be seen.
const MANY: u64 = 100_000;

#[derive(Clone)]
struct Options {
    embedded: bool,
    exactly_once: bool,
    concurrency: Vec<usize>,
    jobs: u64,
    queue_max: usize,
    fetch: Duration,
    transcribe: Duration,
}

/// Steps of a fixed length.
#[derive(Default)]
struct Steps {
    fetch: Duration,
    transcribe: Duration,
    begun: OnceLock<Instant>,
    done: AtomicU64,
}

impl Fetch for Steps {
    fn fetch(&self, url: &AudioUrl, _budget: &Budget<'_>) -> Result<Fetched, Failure> {
        self.begun.get_or_init(Instant::now);
        pause(self.fetch);
        Ok(Fetched::Memory(url.to_string().into_bytes()))
    }
}

impl Decode for Steps {
    fn decode(&self, _media: &Fetched, _budget: &Budget<'_>) -> Result<Pcm, Failure> {
        let samples = vec![0.0; 16];
        Ok(Pcm { samples })
    }
}

impl Transcribe for Steps {
    fn transcribe(&self, _: &Pcm, _: &TranscribeRequest, _: &Budget<'_>) -> Result<Transcript, Failure> {
        pause(self.transcribe);
        self.done.fetch_add(1, Ordering::Relaxed);
        let text = "hello".to_owned();
        Ok(Transcript {
            text,
            ..Transcript::default()
        })
    }
}

fn pause(time: Duration) {
    if !time.is_zero() {
        SystemClock.sleep(time);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let options = options()?;
    let (servers, mut cluster, _broker) = if options.embedded {
        let broker = EmbeddedBroker::start(&[])?;
        (broker.bootstrap_servers().to_owned(), None, Some(broker))
    } else {
        let cluster = Cluster::start(&ClusterConfig::default())?;
        (cluster.bootstrap_servers(), Some(cluster), None)
    };
    for (round, concurrency) in options.concurrency.iter().enumerate() {
        let topics = ["jobs", "results", "dlq"].map(|topic| format!("throughput.{round}.{topic}"));
        for topic in &topics {
            match (&mut cluster, &_broker) {
                (Some(cluster), _) => cluster.create_topic(topic, PARTITIONS, &[])?,
                (None, Some(broker)) => broker.create_topic(topic, PARTITIONS as i32)?,
                (None, None) => {}
            }
        }
        let connection = Connection::new(&servers);
        produce(&connection, &topics[0], options.jobs)?;
        let (jobs, seconds) = run(&connection, &topics, *concurrency, round, &options)?;
        say(&format!(
            "{} {}, concurrency {concurrency}, WORKER_QUEUE_MAX={}: {jobs} jobs in {seconds:.2} s, {:.0} jobs/s",
            if options.embedded {
                "embedded broker"
            } else {
                "Apache Kafka"
            },
            if options.exactly_once {
                "exactly-once"
            } else {
                "at-least-once"
            },
            options.queue_max,
            jobs as f64 / seconds
        ));
    }
    Ok(())
}

fn run(
    connection: &Connection,
    topics: &[String; 3],
    concurrency: usize,
    round: usize,
    options: &Options,
) -> Result<(u64, f64), Box<dyn Error>> {
    let [jobs_topic, results_topic, dlq_topic] = topics.clone();
    let mut source = KafkaSource::new(
        connection,
        SourceConfig {
            topic: jobs_topic.clone(),
            group_id: format!("throughput-{round}"),
            ..SourceConfig::default()
        },
    )?;
    let sink = SinkConfig {
        results_topic,
        dlq_topic,
        retry_topic: jobs_topic,
        ..SinkConfig::default()
    };
    let mut sink: Box<dyn Sink> = if options.exactly_once {
        let membership = source.membership().ok_or("not a member")?;
        let config = TransactionConfig {
            sink,
            ..TransactionConfig::new(format!("throughput-{round}"))
        };
        Box::new(KafkaTransactionSink::new(connection, config, membership)?)
    } else {
        Box::new(KafkaSink::new(connection, sink)?)
    };
    let steps = Arc::new(Steps {
        fetch: options.fetch,
        transcribe: options.transcribe,
        ..Steps::default()
    });
    let services = Services {
        fetch: steps.clone(),
        decode: steps.clone(),
        transcribe: steps.clone(),
        clock: Arc::new(SystemClock),
    };
    let config = Config {
        coordinator: CoordinatorConfig {
            concurrency,
            queue_max: options.queue_max,
            ..CoordinatorConfig::default()
        },
        ..Config::default()
    };
    let board = Arc::new(StatusBoard::new(SystemClock.now()));
    let stopping = Stopping::default();
    let watcher = std::thread::spawn({
        let (board, stopping, steps, jobs) = (Arc::clone(&board), stopping.clone(), Arc::clone(&steps), options.jobs);
        move || -> Result<Instant, String> {
            let tenth = if jobs < MANY { jobs } else { jobs / 10 };
            let mut next = tenth;
            loop {
                let done = steps.done.load(Ordering::Relaxed);
                if done >= next && next < jobs {
                    say(&format!("after {done} jobs: {}", holdings()?));
                    next += tenth;
                }
                if done >= jobs && board.status().open == 0 {
                    break;
                }
                SystemClock.sleep(Duration::from_millis(2));
            }
            let ended = Instant::now();
            if jobs >= MANY {
                say(&format!("after {jobs} jobs: {}", holdings()?));
            }
            stopping.stop();
            Ok(ended)
        }
    });
    stt_pipeline::run(&mut source, sink.as_mut(), &services, &config, &board, &stopping)?;
    let ended = watcher.join().map_err(|_| "the watcher panicked")??;
    let begun = steps.begun.get().copied().unwrap_or(ended);
    Ok((options.jobs, ended.duration_since(begun).as_secs_f64()))
}

/// What the process holds: resident memory, threads, open descriptors.
fn holdings() -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read /proc/self: {error}");
    let status = std::fs::read_to_string("/proc/self/status").map_err(failed)?;
    let number = |key: &str| -> u64 {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_default();
        let digits = line.trim().split(' ').next().unwrap_or_default();
        digits.parse().unwrap_or_default()
    };
    let descriptors = std::fs::read_dir("/proc/self/fd").map_err(failed)?.count();
    let (memory, threads) = (number("VmRSS:") / 1024, number("Threads:"));
    Ok(format!("{memory} MiB, {threads} threads, {descriptors} descriptors"))
}

/// Writes jobs in several threads, as each producer waits for each record.
fn produce(connection: &Connection, topic: &str, jobs: u64) -> Result<(), Box<dyn Error>> {
    let write = |first: u64| -> Result<(), stt_kafka::ClientError> {
        let mut connection = connection.clone();
        connection.properties.insert("linger.ms".to_owned(), "0".to_owned());
        let producer = JobProducer::new(&connection, &ProducerConfig::default())?;
        for number in (first..jobs).step_by(PRODUCERS as usize) {
            let id = format!("00000000-0000-4000-8000-{number:012x}");
            let job = format!(
                r#"{{"jobId":"{id}","taskId":"{id}","audioUrl":"https://audio.example/{number}","languageHint":null,"createdAt":"2026-01-02T03:04:05Z","correlationId":"{id}"}}"#
            );
            producer.produce(topic, id.as_bytes(), job.as_bytes(), &[])?;
        }
        Ok(())
    };
    let write = &write;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PRODUCERS).map(|first| scope.spawn(move || write(first))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(written) => written.map_err(Into::into),
            Err(_) => Err("a producer panicked".into()),
        })
    })
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        embedded: false,
        exactly_once: false,
        concurrency: vec![],
        jobs: 10_000,
        queue_max: CoordinatorConfig::default().queue_max,
        fetch: Duration::ZERO,
        transcribe: Duration::ZERO,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        let lexopt::Arg::Long(name) = argument else {
            return Err(argument.unexpected().into());
        };
        let name = name.to_owned();
        let value = parser.value()?.to_string_lossy().into_owned();
        match name.as_str() {
            "broker" => options.embedded = value == "embedded",
            "guarantee" => options.exactly_once = value == "exactly-once",
            "concurrency" => options.concurrency.push(value.parse()?),
            "jobs" => options.jobs = value.parse()?,
            "queue-max" => options.queue_max = value.parse()?,
            "fetch-ms" => options.fetch = Duration::from_millis(value.parse()?),
            "transcribe-ms" => options.transcribe = Duration::from_millis(value.parse()?),
            _ => return Err(format!("unknown option --{name}").into()),
        }
    }
    if options.concurrency.is_empty() {
        options.concurrency = vec![1, 4, 64];
    }
    Ok(options)
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}"); // nobody may be reading
}
