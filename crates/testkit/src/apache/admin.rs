//! What an operator does to a cluster, by Kafka's own tools.

use std::time::{Duration, Instant};

use stt_core::{Clock as _, SystemClock};

use super::{Cluster, Trouble};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const ACLS: &str = "org.apache.kafka.tools.AclCommand";
const CONFIGS: &str = "org.apache.kafka.tools.ConfigCommand";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";

/// Longest wait for replicas: what they missed is little.
const IN_SYNC_WAIT: Duration = Duration::from_secs(30);

/// Errors are those of the tool, with what it said.
#[allow(clippy::missing_errors_doc)] // one sentence for all
impl Cluster {
    /// Runs a tool of Kafka by its class (`org.apache.kafka.tools.…`), with the right to do anything; gives what it said.
    pub fn tool(&mut self, class: &str, arguments: &[&str]) -> Result<String, Trouble> {
        let servers = self.bootstrap_servers();
        self.tools
            .run(class, &[&["--bootstrap-server", &servers], arguments].concat())
    }

    /// Makes a topic, replicated on every node, with these properties (as in `max.message.bytes`).
    pub fn create_topic(&mut self, topic: &str, partitions: u32, config: &[(&str, &str)]) -> Result<(), Trouble> {
        let partitions = partitions.to_string();
        let config: Vec<String> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut arguments = vec!["--create", "--topic", topic, "--partitions", &partitions];
        config.iter().for_each(|pair| arguments.extend(["--config", pair]));
        self.tool(TOPICS, &arguments).map(drop)
    }

    /// Removes a topic.
    pub fn delete_topic(&mut self, topic: &str) -> Result<(), Trouble> {
        self.tool(TOPICS, &["--delete", "--topic", topic]).map(drop)
    }

    /// Gives a topic more partitions, so that there are `partitions` of them.
    pub fn add_partitions(&mut self, topic: &str, partitions: u32) -> Result<(), Trouble> {
        let partitions = partitions.to_string();
        self.tool(TOPICS, &["--alter", "--topic", topic, "--partitions", &partitions])
            .map(drop)
    }

    /// Removes the records of a partition that are before `offset`, as its retention would do one day.
    pub fn delete_records(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(), Trouble> {
        let list = self.ca_location().with_file_name("delete.json");
        let text = serde_json::json!({
            "version": 1,
            "partitions": [{"topic": topic, "partition": partition, "offset": offset}],
        });
        std::fs::write(&list, text.to_string()).map_err(super::trouble::failed("cannot write what to delete"))?;
        self.tool(DELETE_RECORDS, &["--offset-json-file", &list.to_string_lossy()])
            .map(drop)
    }

    /// Waits until every replica of every topic is in sync, so that any one node may be lost.
    pub fn wait_until_in_sync(&mut self) -> Result<(), Trouble> {
        let deadline = Instant::now() + IN_SYNC_WAIT;
        loop {
            let behind = self.tool(TOPICS, &["--describe", "--under-replicated-partitions"])?;
            if behind.trim().is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Trouble::new(format!(
                    "replicas are behind after {IN_SYNC_WAIT:?}:\n{behind}"
                )));
            }
            SystemClock.sleep(Duration::from_millis(250));
        }
    }

    /// Lets a user do something, as in `("worker", "Write", &["--topic", "stt.results"])`; resources are named as by
    /// `kafka-acls.sh`.
    pub fn allow(&mut self, user: &str, operation: &str, resource: &[&str]) -> Result<(), Trouble> {
        self.acl(&["--add"], user, operation, resource)
    }

    /// Takes back what [`Cluster::allow`] gave.
    pub fn forbid(&mut self, user: &str, operation: &str, resource: &[&str]) -> Result<(), Trouble> {
        self.acl(&["--remove", "--force"], user, operation, resource)
    }

    fn acl(&mut self, action: &[&str], user: &str, operation: &str, resource: &[&str]) -> Result<(), Trouble> {
        let principal = format!("User:{user}");
        let who = ["--allow-principal", &principal, "--operation", operation];
        self.tool(ACLS, &[action, &who, resource].concat()).map(drop)
    }

    /// Gives a user another SCRAM password, or none.
    pub fn set_scram_password(&mut self, user: &str, password: Option<&str>) -> Result<(), Trouble> {
        let change = password.map(|password| format!("SCRAM-SHA-512=[password={password}]"));
        let change = match &change {
            Some(change) => ["--add-config", change],
            None => ["--delete-config", "SCRAM-SHA-512"],
        };
        let who = ["--alter", "--entity-type", "users", "--entity-name", user];
        self.tool(CONFIGS, &[&who[..], &change].concat()).map(drop)
    }
}
