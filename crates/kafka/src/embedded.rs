//! A broker inside this process.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, ClientContext};

use crate::{ClientError, native};

/// A Kafka broker for demos and tests: librdkafka's mock cluster, which speaks the real protocol over TCP on a port of
/// 127.0.0.1 that the system picks, also with other processes. It lives until it is dropped, and forgets everything then.
///
/// It keeps 5 MiB per partition, in memory. It has no TLS, SASL or ACLs, does not enforce sizes, fences no producer or member,
/// and makes aborted transactions visible: what works here may still be refused by a real broker.
pub struct EmbeddedBroker {
    /// The client that the cluster lives in; its thread reads what the cluster logs.
    host: ThreadedProducer<Host>,
    bootstrap_servers: String,
}

/// A request to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Writing records.
    Produce,
    /// Reading records.
    Fetch,
    /// Committing offsets.
    OffsetCommit,
    /// Reading committed offsets.
    OffsetFetch,
    /// Staying in a group.
    Heartbeat,
    /// Registering a transactional id.
    InitProducer,
    /// Adding partitions to a transaction.
    AddPartitions,
    /// Adding a group's offsets to a transaction.
    AddOffsets,
    /// Committing offsets in a transaction.
    TxnOffsetCommit,
    /// Committing or aborting a transaction.
    EndTxn,
}

/// What a broker may answer instead of doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerError {
    /// The connection breaks.
    Disconnect,
    /// The request took too long on the broker's side.
    TimedOut,
    /// The record is larger than the topic takes.
    MessageTooLarge,
    /// This user may not do it.
    TopicUnauthorized,
    /// Another broker leads the partition.
    NotLeader,
    /// A transaction that commits for the partition is not ended yet.
    UnstableOffset,
    /// The group's coordinator is starting.
    CoordinatorLoading,
    /// The metadata of a commit is longer than the broker keeps.
    MetadataTooLarge,
    /// The group is rebalancing.
    RebalanceInProgress,
    /// The member is not in the group any more.
    UnknownMember,
    /// The group has rebalanced since.
    IllegalGeneration,
    /// This user may not use the group.
    GroupUnauthorized,
    /// This user may not use the transactional id.
    TransactionalIdUnauthorized,
    /// The transaction is not in a state for this.
    InvalidTransaction,
    /// A newer producer has this one's transactional id.
    ProducerFenced,
    /// No broker coordinates it at the moment.
    CoordinatorNotAvailable,
    /// Another member has the same `group.instance.id`; this one is fenced.
    FencedInstance,
}

/// The only broker's number.
const BROKER: i32 = 1;

/// A new group waits this long for more members. The mock's default of 3 s is what a demo would be waiting for.
const INITIAL_REBALANCE_DELAY_MS: i32 = 100;

impl EmbeddedBroker {
    /// Starts a broker with these topics, each with its number of partitions.
    ///
    /// # Errors
    /// [`ClientError::Create`] when there is no free port or thread, or a topic cannot be created.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, ClientError> {
        let create = |error: rdkafka::error::KafkaError| ClientError::Create(format!("embedded broker: {error}"));
        let mut config = ClientConfig::new();
        config
            .set("client.id", "stt-embedded-broker")
            .set("test.mock.num.brokers", "1");
        let host: ThreadedProducer<Host> = config.create_with_context(Host).map_err(create)?;
        native::set_initial_rebalance_delay(host.client(), INITIAL_REBALANCE_DELAY_MS);
        let bootstrap_servers = host.client().mock_cluster().map(|cluster| cluster.bootstrap_servers());
        let broker = Self {
            bootstrap_servers: bootstrap_servers
                .ok_or_else(|| ClientError::Create("embedded broker: librdkafka made none".to_owned()))?,
            host,
        };
        for (topic, partitions) in topics {
            broker.create_topic(topic, *partitions)?;
        }
        Ok(broker)
    }

    /// Where clients find it: `127.0.0.1:port`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when it exists, or its name or number of partitions is not valid.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), ClientError> {
        if partitions < 1 {
            return Err(Self::refused(
                format!("make topic {topic}"),
                "a topic has at least one partition",
            ));
        }
        let made = self.cluster().create_topic(topic, partitions, 1);
        made.map_err(|error| Self::refused(format!("make topic {topic}"), &error.to_string()))
    }

    /// Leaves a partition without a leader, as when its brokers start, or gives it one again.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is no such partition.
    pub fn lead(&self, topic: &str, partition: i32, leads: bool) -> Result<(), ClientError> {
        let changed = self
            .cluster()
            .partition_leader(topic, partition, leads.then_some(BROKER));
        changed.map_err(|error| Self::refused(format!("lead {topic}[{partition}]"), &error.to_string()))
    }

    /// Closes all connections and refuses new ones, until [`EmbeddedBroker::come_back`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] when librdkafka does not do it.
    pub fn go_down(&self) -> Result<(), ClientError> {
        let down = self.cluster().broker_down(BROKER);
        down.map_err(|error| Self::refused("go down".to_owned(), &error.to_string()))
    }

    /// Takes connections again; what was written is still there.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when librdkafka does not do it.
    pub fn come_back(&self) -> Result<(), ClientError> {
        let up = self.cluster().broker_up(BROKER);
        up.map_err(|error| Self::refused("come back".to_owned(), &error.to_string()))
    }

    /// Delays every answer by this time (in whole milliseconds) from now on; without this it answers at once.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when librdkafka does not do it.
    pub fn answer_after(&self, wait: Duration) -> Result<(), ClientError> {
        let slowed = self.cluster().broker_round_trip_time(BROKER, wait);
        slowed.map_err(|error| Self::refused(format!("answer after {wait:?}"), &error.to_string()))
    }

    /// Answers the next requests of that kind with these errors, one each.
    pub fn fail_next(&self, request: Request, errors: &[BrokerError]) {
        let errors: Vec<RDKafkaRespErr> = errors.iter().map(|error| native_error(*error)).collect();
        self.cluster().request_errors(native_key(request), &errors);
    }

    /// Drops the errors that are still waiting for requests of that kind.
    pub fn fail_no_more(&self, request: Request) {
        self.cluster().clear_request_errors(native_key(request));
    }

    fn cluster(&self) -> MockCluster<'_, Host> {
        self.host
            .client()
            .mock_cluster()
            .expect("it was there at the start, and lives as long as its client")
    }

    fn refused(action: String, cause: &str) -> ClientError {
        let cause = cause.to_owned();
        ClientError::Refused { action, cause }
    }
}

fn native_key(request: Request) -> RDKafkaApiKey {
    match request {
        Request::Produce => RDKafkaApiKey::Produce,
        Request::Fetch => RDKafkaApiKey::Fetch,
        Request::OffsetCommit => RDKafkaApiKey::OffsetCommit,
        Request::OffsetFetch => RDKafkaApiKey::OffsetFetch,
        Request::Heartbeat => RDKafkaApiKey::Heartbeat,
        Request::InitProducer => RDKafkaApiKey::InitProducerId,
        Request::AddPartitions => RDKafkaApiKey::AddPartitionsToTxn,
        Request::AddOffsets => RDKafkaApiKey::AddOffsetsToTxn,
        Request::TxnOffsetCommit => RDKafkaApiKey::TxnOffsetCommit,
        Request::EndTxn => RDKafkaApiKey::EndTxn,
    }
}

fn native_error(error: BrokerError) -> RDKafkaRespErr {
    match error {
        BrokerError::Disconnect => RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        BrokerError::TimedOut => RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        BrokerError::MessageTooLarge => RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        BrokerError::TopicUnauthorized => RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        BrokerError::NotLeader => RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        BrokerError::UnstableOffset => RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
        BrokerError::CoordinatorLoading => RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        BrokerError::MetadataTooLarge => RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE,
        BrokerError::RebalanceInProgress => RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        BrokerError::UnknownMember => RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        BrokerError::IllegalGeneration => RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        BrokerError::GroupUnauthorized => RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        BrokerError::TransactionalIdUnauthorized => {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        }
        BrokerError::InvalidTransaction => RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE,
        BrokerError::ProducerFenced => RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        BrokerError::CoordinatorNotAvailable => RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        BrokerError::FencedInstance => RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
    }
}

/// The host client sends nothing and connects to its own brokers only, so its events are not of interest.
struct Host;

impl ClientContext for Host {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
        log::trace!(target: "librdkafka", "embedded broker: {facility} {text}");
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        log::trace!(target: "librdkafka", "embedded broker: {error}: {reason}");
    }
}

impl ProducerContext for Host {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
