//! A real Apache Kafka on loopback, without containers: for what the embedded broker cannot show (TLS, SASL, ACLs, sizes,
//! fencing, transactions, retention, brokers that die and come back).
//!
//! Maven fetches Kafka (`compose/local/pom.xml`) at the first use, into a cache beside the build; it and Java 17 must be
//! installed, and where one is missing [`Cluster::start`] says so and fails. Nodes are brokers and controllers (`KRaft`) at
//! once; their files are in a temporary directory. Everything ends and is removed when the [`Cluster`] is dropped, and also
//! when its process is killed.
//!
//! ```no_run
//! use stt_testkit::apache::{Cluster, Config};
//!
//! let mut cluster = Cluster::start(&Config::default())?;
//! cluster.create_topic("stt.jobs", 4, &[])?;
//! println!("{}", cluster.bootstrap_servers());
//! cluster.kill(0)?;
//! cluster.start_node(0)?;
//! # Ok::<(), stt_testkit::apache::Trouble>(())
//! ```

mod admin;
mod certificate;
mod cluster;
mod library;
mod node;
mod place;
mod properties;
mod tools;
mod trouble;

pub use cluster::{Cluster, Config, User};
pub use trouble::Trouble;
