//! The loop that connects the coordinator with the world.

use std::time::{Duration, Instant};

use stt_core::{
    Clock, Coordinator, CoordinatorConfig, Exit, FlowEvent, Input, Output, Sink, Source, SourceError, SourceEvent,
    Status, Workers,
};

use crate::{Config, StatusBoard};

/// Feeds a [`Coordinator`] with what source, sink and workers report, and carries out what it decides. Has no opinions.
///
/// Never waits but in [`Source::poll`], which workers and sink interrupt by its waker.
pub struct Driver<'a> {
    source: &'a mut dyn Source,
    sink: &'a mut dyn Sink,
    workers: &'a mut dyn Workers,
    clock: &'a dyn Clock,
    board: &'a StatusBoard,
    on_event: &'a mut dyn FnMut(FlowEvent),
    coordinator: Coordinator,
    poll_wait: Duration,
    stop_given: bool,
    board_at: Option<Instant>,
}

/// Most events of the source taken in one turn.
const EVENTS_MAX: usize = 256;

/// Most bytes of records taken in one turn, so that huge records cannot overrun the intake's limits by much.
const BYTES_MAX: usize = 4 << 20;

/// Least time between two snapshots of the status.
const BOARD_INTERVAL: Duration = Duration::from_millis(100);

impl<'a> Driver<'a> {
    /// A driver at rest. `on_event` gets what logs and metrics record.
    pub fn new(
        source: &'a mut dyn Source,
        sink: &'a mut dyn Sink,
        workers: &'a mut dyn Workers,
        clock: &'a dyn Clock,
        config: &Config,
        board: &'a StatusBoard,
        on_event: &'a mut dyn FnMut(FlowEvent),
    ) -> Self {
        let transactional = sink.is_transactional();
        let coordinator = CoordinatorConfig {
            transactional,
            ..config.coordinator.clone()
        };
        Self {
            source,
            sink,
            workers,
            clock,
            board,
            on_event,
            coordinator: Coordinator::new(coordinator, clock.now(), clock.wall()),
            poll_wait: config.poll_wait,
            stop_given: false,
            board_at: None,
        }
    }

    /// One turn: waits for the next event, takes in what else is there, and carries out what the coordinator decides. `stop`
    /// asks for a stop. `Some` when the pipeline is over; then no further turn may be made.
    ///
    /// # Errors
    /// When the source is gone for good.
    pub fn turn(&mut self, stop: bool) -> Result<Option<Exit>, SourceError> {
        self.take_source_events()?;
        while let Some(event) = self.workers.poll() {
            self.handle(Input::Worker(event));
        }
        while let Some(result) = self.sink.poll() {
            self.handle(Input::Published(result));
        }
        if stop && !std::mem::replace(&mut self.stop_given, true) {
            self.handle(Input::Stop);
        }
        self.handle(Input::Tick);
        let exit = self.carry_out();
        self.update_board(exit.is_some());
        Ok(exit)
    }

    /// When the next turn is needed at the latest.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.coordinator.next_wakeup()
    }

    /// The state now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.coordinator.status(self.clock.now())
    }

    fn take_source_events(&mut self) -> Result<(), SourceError> {
        let now = self.clock.now();
        let until_wakeup = self.next_wakeup().map(|at| at.saturating_duration_since(now));
        let mut wait = until_wakeup.map_or(self.poll_wait, |until| until.min(self.poll_wait));
        let events_max = self.coordinator.intake_room().clamp(1, EVENTS_MAX);
        let mut bytes = 0;
        for _ in 0..events_max {
            let event = self.source.poll(wait)?;
            match &event {
                SourceEvent::Idle => break,
                SourceEvent::Delivered(delivery) => bytes += delivery.size(),
                _ => {}
            }
            self.handle(Input::Source(event));
            wait = Duration::ZERO;
            if bytes > BYTES_MAX {
                break;
            }
        }
        Ok(())
    }

    fn handle(&mut self, input: Input) {
        self.coordinator.handle(self.clock.now(), self.clock.wall(), input);
    }

    fn carry_out(&mut self) -> Option<Exit> {
        while let Some(output) = self.coordinator.next_output() {
            match output {
                Output::Start(work) => self.workers.start(work),
                Output::Cancel(job) => self.workers.cancel(job),
                Output::Publish(batch) => self.sink.send(batch),
                Output::Commit(commits) => self.source.commit(&commits),
                Output::Pause(partitions) => self.source.pause(&partitions),
                Output::Resume(partitions) => self.source.resume(&partitions),
                Output::Release(partitions) => self.source.release(&partitions),
                Output::Event(event) => {
                    // Readiness changes with it, and whoever reads the log line may ask at once.
                    if matches!(event, FlowEvent::PartitionsChanged { .. }) {
                        self.board_at = None;
                    }
                    (self.on_event)(event);
                }
                Output::Exit(exit) => return Some(exit),
            }
        }
        None
    }

    fn update_board(&mut self, over: bool) {
        let now = self.clock.now();
        self.board.turned(now);
        let is_time = self
            .board_at
            .is_none_or(|at| now.saturating_duration_since(at) >= BOARD_INTERVAL);
        if is_time || over {
            self.board_at = Some(now);
            self.board.publish(self.coordinator.status(now));
        }
    }
}
