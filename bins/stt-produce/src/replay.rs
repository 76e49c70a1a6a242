//! Puts the jobs of dead letters back on their topic.

use std::time::{Duration, Instant, SystemTime};

use stt_consume::{Exit, Failure, note, one_line};
use stt_kafka::{ClientError, Connection, JobProducer, ProducerConfig, Start, Tail, TailConfig, Tailed};
use stt_schema::{DeadLetter, Timestamp};
use stt_settings::KafkaSettings;

use crate::publish::print;
use crate::replay_args::ReplayOptions;
use crate::resend::{headers, place};
use crate::signals::Signals;
use crate::tally::Tally;
use crate::{KAFKA_WAIT_MAX, TOOL};

/// How long one wait for a dead letter lasts: so soon a signal is heard.
const WAIT: Duration = Duration::from_millis(200);

/// Replays what is in the topic of dead letters now, one after the other, and tells what was done however it ends.
pub(crate) fn replay(
    options: &ReplayOptions,
    settings: &KafkaSettings,
    connection: &Connection,
) -> Result<Exit, Failure> {
    let signals = Signals::listen().map_err(|error| Failure::Input(format!("cannot hear signals: {error}")))?;
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let timeout = options
        .timeout
        .map_or(KAFKA_WAIT_MAX, |timeout| timeout.min(KAFKA_WAIT_MAX));
    let config = TailConfig {
        start: Start::Beginning,
        timeout,
        ..TailConfig::new(&settings.dlq_topic)
    };
    let mut letters = Tail::open(connection, &config)?;
    let config = ProducerConfig {
        timeout,
        ..ProducerConfig::default()
    };
    let producer = (!options.dry_run).then(|| JobProducer::new(connection, &config));
    let mut replay = Replay {
        options,
        since: options.since.map(|since| since.moment(SystemTime::now())),
        producer: producer.transpose()?,
        jobs_topic: &settings.jobs_topic,
        tally: Tally::default(),
    };
    let ended = replay.all(&mut letters, &signals, deadline, &connection.bootstrap_servers);
    note(TOOL, &replay.tally.summary(options.dry_run));
    match ended {
        Ok(Exit::Done) if replay.tally.unreadable > 0 => Ok(Exit::Unreadable),
        ended => ended,
    }
}

/// Under way.
struct Replay<'a> {
    options: &'a ReplayOptions,
    since: Option<Timestamp>,
    /// None in a dry run.
    producer: Option<JobProducer>,
    jobs_topic: &'a str,
    tally: Tally,
}

impl Replay<'_> {
    /// Goes on until the end of the topic as it was at opening, or the limit, or until it is asked to end.
    fn all(
        &mut self,
        letters: &mut Tail,
        signals: &Signals,
        deadline: Option<Instant>,
        bootstrap_servers: &str,
    ) -> Result<Exit, Failure> {
        let mut heard = Instant::now();
        while !letters.at_end() {
            if self.options.limit == Some(self.tally.replayed()) {
                note(TOOL, "--limit is reached, there may be more dead letters");
                break;
            }
            if let Some(signal) = signals.asked() {
                note(TOOL, "a signal ends the replay before the last dead letter");
                return Ok(Exit::Signalled(signal));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                note(TOOL, "the time is over before the last dead letter");
                return Ok(Exit::TimedOut);
            }
            match letters.next(WAIT)? {
                // What comes while this goes on may be of jobs just replayed: they would go round for ever.
                Some(tailed) if letters.is_of_opening(&tailed) => self.one(&tailed)?,
                Some(_) => {}
                None if heard.elapsed() < KAFKA_WAIT_MAX => continue,
                None => {
                    return Err(Failure::Kafka(ClientError::Unreachable {
                        bootstrap_servers: bootstrap_servers.to_owned(),
                        waited: KAFKA_WAIT_MAX,
                        cause: letters.last_error(),
                    }));
                }
            }
            heard = Instant::now();
        }
        Ok(Exit::Done)
    }

    fn one(&mut self, tailed: &Tailed) -> Result<(), Failure> {
        let record = &tailed.delivery;
        self.tally.read += 1;
        let letter = match DeadLetter::parse(record.payload.as_deref().unwrap_or_default()) {
            Ok(letter) => letter,
            Err(error) => {
                self.cannot(tailed, &error.to_string());
                return Ok(());
            }
        };
        if !self.is_wanted(&letter) {
            self.tally.skipped += 1;
            return Ok(());
        }
        self.tally.matched += 1;
        let Some(payload) = &letter.payload else {
            let text = match &letter.omitted {
                Some(omitted) => format!(
                    "its payload of {} bytes was too large for a dead letter; it is in {}[{}] at offset {}, if that still has it",
                    omitted.bytes, letter.original_topic, letter.original_partition, letter.original_offset
                ),
                None => "the job's record had no value that could be sent again".to_owned(),
            };
            self.cannot(tailed, &text);
            return Ok(());
        };
        let key = record.key.as_deref().unwrap_or_default();
        if let Some(producer) = &self.producer {
            producer.produce(self.jobs_topic, key, payload, &headers(record))?;
        }
        self.tally.add_replayed(letter.error_code);
        let name = one_line(&String::from_utf8_lossy(key));
        print(&format!(
            "{} {} {} {name}",
            place(record),
            letter.error_code,
            letter.failed_at
        ))?;
        Ok(())
    }

    fn is_wanted(&self, letter: &DeadLetter) -> bool {
        let codes = &self.options.codes;
        (codes.is_empty() || codes.contains(&letter.error_code))
            && self.since.is_none_or(|since| letter.failed_at >= since)
    }

    /// Names a record that is not replayed, though nobody wished to leave it out.
    fn cannot(&mut self, tailed: &Tailed, why: &str) {
        self.tally.unreadable += 1;
        let record = &tailed.delivery;
        note(
            TOOL,
            &format!("{}@{}: {}", record.partition, record.offset, one_line(why)),
        );
    }
}
