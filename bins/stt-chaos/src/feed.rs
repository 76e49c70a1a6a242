//! The producer of the jobs.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use stt_kafka::{Connection, JobProducer, ProducerConfig};

use crate::job::Job;
use crate::trouble::{Trouble, failed};

/// Publishes jobs one after another on a thread of its own: while the broker is away, only it waits.
pub(crate) struct Feed {
    jobs: Sender<Job>,
    troubles: Receiver<Trouble>,
}

/// Longer than the broker is ever away. A record that was given up may or may not have been written, and the count would
/// be off.
const TIMEOUT: Duration = Duration::from_secs(180);

pub(crate) const TOPIC: &str = "stt.jobs";

impl Feed {
    pub(crate) fn start(connection: &Connection) -> Result<Self, Trouble> {
        let config = ProducerConfig {
            timeout: TIMEOUT,
            ..ProducerConfig::default()
        };
        let producer = JobProducer::new(connection, &config).map_err(failed("cannot make a producer"))?;
        let (jobs, queue) = channel::<Job>();
        let (trouble, troubles) = channel();
        let produce = move || {
            for job in queue {
                if let Err(error) = producer.produce(TOPIC, job.id().as_bytes(), &job.payload(), &[]) {
                    let told = failed(format_args!("cannot publish job {}", job.number))(error);
                    let _ = trouble.send(told); // the run may be over
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("feed".to_owned());
        thread.spawn(produce).map_err(failed("cannot start a thread"))?;
        Ok(Self { jobs, troubles })
    }

    /// Puts a job into the queue.
    pub(crate) fn publish(&self, job: Job) {
        let _ = self.jobs.send(job); // if the thread has ended, its trouble is told by `check`
    }

    /// # Errors
    /// A job could not be published.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        match self.troubles.try_recv() {
            Ok(trouble) => Err(trouble),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(Trouble::new("the producer's thread has ended")),
        }
    }
}
