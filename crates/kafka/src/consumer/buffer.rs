//! What a poll returns next: events, and records that were fetched while their partition was paused.

use std::collections::{BTreeMap, VecDeque};

use stt_core::{Delivery, Partition, SourceEvent};

/// Most records kept of a paused partition; then librdkafka is told to stop fetching it.
const RECORDS_MAX: usize = 512;

/// Most bytes kept of all paused partitions together.
const BYTES_MAX: usize = 4 << 20;

/// Events and records in the order in which polls return them.
///
/// A paused partition is still fetched, into here, until its share is full. A pause in librdkafka throws away everything
/// that was fetched, and each resume fetches it again: with a bounded intake that pauses and resumes for every few jobs, a
/// worker would wait for the broker most of the time.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    events: VecDeque<SourceEvent>,
    partitions: BTreeMap<Partition, Held>,
    /// Partitions with records that may be delivered, in turn.
    ready: VecDeque<Partition>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Held {
    records: VecDeque<Delivery>,
    paused: bool,
    /// librdkafka does not fetch it.
    stopped: bool,
}

impl Buffer {
    pub(super) fn push_event(&mut self, event: SourceEvent) {
        self.events.push_back(event);
    }

    /// Keeps a record. Gives its partition when no more of it should be fetched.
    pub(super) fn push_record(&mut self, delivery: Delivery) -> Option<Partition> {
        let held = match self.partitions.get_mut(&delivery.partition) {
            Some(held) if held.paused || !held.records.is_empty() => held,
            _ => {
                self.events.push_back(SourceEvent::Delivered(delivery));
                return None;
            }
        };
        let partition = delivery.partition.clone();
        self.bytes += delivery.size();
        held.records.push_back(delivery);
        let is_full = held.records.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX;
        if is_full && !held.stopped {
            held.stopped = true;
            return Some(partition);
        }
        None
    }

    pub(super) fn next(&mut self) -> Option<SourceEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(partition) = self.ready.pop_front() {
            let Some(held) = self.partitions.get_mut(&partition).filter(|held| !held.paused) else {
                continue;
            };
            let Some(delivery) = held.records.pop_front() else {
                continue;
            };
            if !held.records.is_empty() {
                self.ready.push_back(partition);
            }
            self.bytes -= delivery.size();
            return Some(SourceEvent::Delivered(delivery));
        }
        None
    }

    pub(super) fn pause(&mut self, partition: &Partition) {
        self.partitions.entry(partition.clone()).or_default().paused = true;
        self.ready.retain(|ready| ready != partition);
    }

    pub(super) fn resume(&mut self, partition: &Partition) {
        let Some(held) = self.partitions.get_mut(partition) else {
            return;
        };
        if std::mem::take(&mut held.paused) && !held.records.is_empty() {
            self.ready.push_back(partition.clone());
        }
    }

    /// The partitions that librdkafka should fetch again: few of their records are left.
    pub(super) fn take_resumable(&mut self) -> Vec<Partition> {
        let has_room = self.bytes < BYTES_MAX / 2;
        let few = self.partitions.iter_mut().filter_map(|(partition, held)| {
            let resume = held.stopped && !held.paused && has_room && held.records.len() <= RECORDS_MAX / 2;
            resume.then(|| {
                held.stopped = false;
                partition.clone()
            })
        });
        few.collect()
    }

    /// Drops the records of a partition.
    pub(super) fn forget_records(&mut self, partition: &Partition) {
        if let Some(held) = self.partitions.get_mut(partition) {
            self.bytes -= held.records.iter().map(Delivery::size).sum::<usize>();
            held.records.clear();
        }
        let is_record = |event: &SourceEvent| matches!(event, SourceEvent::Delivered(of) if of.partition == *partition);
        self.events.retain(|event| !is_record(event));
    }

    /// Drops everything about a partition. True when librdkafka had been told to stop fetching it.
    pub(super) fn remove(&mut self, partition: &Partition) -> bool {
        self.forget_records(partition);
        self.partitions.remove(partition).is_some_and(|held| held.stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: i32, offset: i64) -> Delivery {
        Delivery {
            partition: partition(id),
            offset,
            key: None,
            payload: Some(b"{}".to_vec()),
            headers: vec![],
        }
    }

    fn partition(id: i32) -> Partition {
        let topic = "stt.jobs".into();
        Partition { topic, id }
    }

    fn offsets(buffer: &mut Buffer) -> Vec<(i32, i64)> {
        let next = || match buffer.next() {
            Some(SourceEvent::Delivered(delivery)) => Some((delivery.partition.id, delivery.offset)),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_pause_keeps_records_and_a_resume_delivers_them_in_order() {
        let mut buffer = Buffer::default();
        buffer.push_record(record(0, 0));
        buffer.pause(&partition(0));
        for offset in 1..3 {
            buffer.push_record(record(0, offset));
            buffer.push_record(record(1, offset));
        }
        assert_eq!(offsets(&mut buffer), [(0, 0), (1, 1), (1, 2)]);
        buffer.resume(&partition(0));
        buffer.push_record(record(0, 3));
        assert_eq!(offsets(&mut buffer), [(0, 1), (0, 2), (0, 3)]);
        assert_eq!(buffer.bytes, 0);
    }

    #[test]
    fn a_full_share_stops_fetching_until_half_of_it_is_delivered() {
        let mut buffer = Buffer::default();
        buffer.pause(&partition(0));
        let stopped: Vec<i64> = (0..RECORDS_MAX as i64 + 2)
            .filter(|offset| buffer.push_record(record(0, *offset)).is_some())
            .collect();
        assert_eq!(stopped, [RECORDS_MAX as i64 - 1]);
        assert_eq!(buffer.take_resumable(), []);
        buffer.resume(&partition(0));
        assert_eq!(buffer.take_resumable(), [], "still full");
        for _ in 0..RECORDS_MAX / 2 + 2 {
            buffer.next();
        }
        assert_eq!(buffer.take_resumable(), [partition(0)]);
        assert_eq!(buffer.take_resumable(), [], "once");
    }

    #[test]
    fn large_records_count_by_their_bytes() {
        let mut buffer = Buffer::default();
        buffer.pause(&partition(0));
        let large = Delivery {
            payload: Some(vec![0; 1 << 20]),
            ..record(0, 0)
        };
        let stopped: Vec<bool> = (0..4).map(|_| buffer.push_record(large.clone()).is_some()).collect();
        assert_eq!(stopped, [false, false, false, true]);
        assert!(buffer.remove(&partition(0)), "was stopped");
        assert_eq!((buffer.bytes, offsets(&mut buffer).len()), (0, 0));
    }
}
