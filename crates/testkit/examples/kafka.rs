//! `make kafka`: a local Apache Kafka with the worker's topics, until Ctrl-C.

use std::io::Write as _;

use stt_testkit::apache::{Cluster, Config, Trouble};

const TOPICS: [&str; 3] = ["stt.jobs", "stt.results", "stt.jobs.dlq"];
const PARTITIONS: u32 = 4;

fn main() -> Result<(), Trouble> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "9092".to_owned());
    let port = port.parse().map_err(|_| Trouble::new(format!("{port} is no port")))?;
    say("starting Apache Kafka");
    let mut cluster = Cluster::start(&Config {
        port: Some(port),
        ..Config::default()
    })?;
    for topic in TOPICS {
        cluster.create_topic(topic, PARTITIONS, &[])?;
    }
    let servers = cluster.bootstrap_servers();
    say(&format!(
        "Apache Kafka is at {servers}, with {} of {PARTITIONS} partitions each; Ctrl-C ends it and removes its files

  export KAFKA_BOOTSTRAP_SERVERS={servers}
  MODEL_SIZE=fixtures/model AUDIO_URL_ALLOW=127.0.0.1/32 stt-worker
  stt-produce --audio-file fixtures/audio/mr-008.wav --format json

its log is {}",
        TOPICS.join(", "),
        cluster.log(0).display()
    ));
    loop {
        std::thread::park(); // a signal ends this process, and with it the broker
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}"); // nobody may be reading
}
