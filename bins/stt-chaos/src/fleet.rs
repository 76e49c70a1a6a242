//! The worker processes: there is one in each place, whatever is done to them.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::FAILED;
use crate::engine::{BEGUN, POISON};
use crate::guarantee::Guarantee;
use crate::history::{History, Turn};
use crate::trouble::{Trouble, failed};
use crate::worker::{CONCURRENCY, GRACE, LEAVE_WAIT, Pace};

/// How long a worker may take to leave: its grace, three last steps, and room for a slow machine.
const LEAVE_MAX: Duration = GRACE
    .saturating_add(LEAVE_WAIT.saturating_mul(3))
    .saturating_add(Duration::from_secs(10));
/// How many workers in a row may end by themselves before the run is given up.
const FAULTS_MAX: usize = 20;
/// Lines of a log that are told with a fault.
const LOG_LINES: usize = 15;

pub(crate) struct Fleet {
    pub(crate) history: History,
    slots: Vec<Slot>,
    directory: PathBuf,
    servers: String,
    guarantee: Guarantee,
}

struct Slot {
    child: Child,
    life: usize,
    name: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Frozen { until: Instant },
    Leaving { by: Instant },
}

impl Fleet {
    /// Starts workers in so many places; their logs go to `directory`. Must be called, as all of it, by the main thread:
    /// the kernel ends the workers when the thread that started them ends.
    pub(crate) fn start(count: usize, directory: &Path, servers: &str, guarantee: Guarantee) -> Result<Self, Trouble> {
        let tried = directory.join("tried");
        std::fs::create_dir_all(&tried).map_err(failed(format_args!("cannot make {}", tried.display())))?;
        let mut fleet = Self {
            history: History::default(),
            slots: vec![],
            directory: directory.to_owned(),
            servers: servers.to_owned(),
            guarantee,
        };
        for index in 0..count {
            let slot = fleet.spawn(index, 1)?;
            fleet.slots.push(slot);
        }
        Ok(fleet)
    }

    fn spawn(&mut self, index: usize, life: usize) -> Result<Slot, Trouble> {
        let name = format!("{index}.{life}");
        let log = self.log(&name);
        let log = File::create(&log).map_err(failed(format_args!("cannot write {}", log.display())))?;
        let program = std::env::current_exe().map_err(failed("cannot find this program"))?;
        let mut command = Command::new(program);
        command.args(["worker", "--servers", &self.servers, "--name", &name]);
        command.args(["--slot", &index.to_string(), "--guarantee", self.guarantee.as_str()]);
        command.args(["--parent", &getpid().as_raw_pid().to_string()]);
        command.arg("--tried").arg(self.directory.join("tried"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Not with the group, which Ctrl-C ends.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(failed("cannot start a worker"))?;
        self.history.began(&name);
        Ok(Slot {
            child,
            life,
            name,
            state: State::Running,
        })
    }

    /// Its log.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("worker-{name}.log"))
    }

    /// The first place from `slot` on where a worker runs undisturbed, and its worker's name.
    pub(crate) fn victim(&self, slot: usize) -> Option<(usize, String)> {
        let places = (slot..self.slots.len()).chain(0..slot);
        let mut running = places.filter(|index| self.slots[*index].state == State::Running);
        running.next().map(|index| (index, self.slots[index].name.clone()))
    }

    /// Whether it hears SIGTERM already, which ends a program that has just begun.
    pub(crate) fn listens(&self, index: usize) -> bool {
        std::fs::metadata(self.log(&self.slots[index].name)).is_ok_and(|log| log.len() > 0)
    }

    /// SIGKILL, and a new one.
    pub(crate) fn kill(&mut self, index: usize) -> Result<(), Trouble> {
        let slot = &mut self.slots[index];
        slot.child.kill().map_err(failed("cannot kill a worker"))?;
        let status = slot.child.wait().map_err(failed("cannot wait for a worker"))?;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            let name = slot.name.clone();
            self.history.turned(&name, Turn::Killed);
            self.note_hits(index);
            self.renew(index)
        } else {
            self.ended(index, status) // by itself, just before
        }
    }

    /// SIGTERM. The new one comes when it has left.
    pub(crate) fn end(&mut self, index: usize, now: Instant) -> Result<(), Trouble> {
        self.slots[index].state = State::Leaving { by: now + LEAVE_MAX };
        self.signal(index, Signal::TERM)
    }

    /// SIGSTOP, and SIGCONT after `hold`.
    pub(crate) fn freeze(&mut self, index: usize, now: Instant, hold: Duration) -> Result<(), Trouble> {
        self.slots[index].state = State::Frozen { until: now + hold };
        let name = self.slots[index].name.clone();
        self.history.turned(&name, Turn::Frozen);
        self.signal(index, Signal::STOP)?;
        self.note_hits(index);
        Ok(())
    }

    /// Which jobs a worker that is no more, or silent, may have had in hand.
    fn note_hits(&mut self, index: usize) {
        let text = std::fs::read_to_string(self.log(&self.slots[index].name)).unwrap_or_default();
        let begun = text
            .lines()
            .rev()
            .filter_map(|line| line.split_once(BEGUN)?.1.parse().ok());
        self.history
            .struck_with(begun.take(CONCURRENCY + Pace::default().queue_max));
    }

    fn signal(&self, index: usize, signal: Signal) -> Result<(), Trouble> {
        // Not waited for yet, so the id is still its own.
        kill_process(Pid::from_child(&self.slots[index].child), signal).map_err(failed("cannot signal a worker"))
    }

    /// Does what is due: wakes the frozen, replaces those that ended.
    pub(crate) fn tend(&mut self, now: Instant) -> Result<(), Trouble> {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if let Some(status) = slot.child.try_wait().map_err(failed("cannot wait for a worker"))? {
                self.ended(index, status)?;
                continue;
            }
            match slot.state {
                State::Frozen { until } if now >= until => {
                    slot.state = State::Running;
                    self.signal(index, Signal::CONT)?;
                }
                State::Leaving { by } if now >= by => {
                    self.fault(index, format_args!("did not end within {LEAVE_MAX:?} of SIGTERM"));
                    self.kill(index)?;
                }
                _ => {}
            }
        }
        if self.history.faults.len() > FAULTS_MAX {
            return Err(Trouble::new(format!(
                "workers keep ending:\n{}",
                self.history.faults.join("\n")
            )));
        }
        Ok(())
    }

    /// Whether every worker is as it should be.
    pub(crate) fn is_calm(&self) -> bool {
        let is_calm = |(index, slot): (usize, &Slot)| slot.state == State::Running && self.listens(index);
        self.slots.iter().enumerate().all(is_calm)
    }

    /// The names of those that run.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|slot| slot.name.as_str())
    }

    fn ended(&mut self, index: usize, status: ExitStatus) -> Result<(), Trouble> {
        self.judge(index, status);
        self.renew(index)
    }

    fn judge(&mut self, index: usize, status: ExitStatus) {
        let Slot { name, state, .. } = &self.slots[index];
        let name = name.clone();
        let leaving = matches!(state, State::Leaving { .. });
        let aborted = status.signal() == Some(Signal::ABORT.as_raw());
        let frozen = self.history.did(&name, Turn::Frozen);
        if aborted && self.last_lines(&name).contains(POISON) {
            self.history.turned(&name, Turn::Poisoned);
        } else if leaving && status.success() {
            self.history.turned(&name, Turn::Left);
        } else if self.guarantee == Guarantee::ExactlyOnce && frozen && status.code() == Some(FAILED.into()) {
            self.history.turned(&name, Turn::Fenced);
        } else {
            let asked = if leaving { " on SIGTERM" } else { " by itself" };
            self.fault(index, format_args!("ended{asked} with {status}"));
        }
    }

    fn fault(&mut self, index: usize, what: std::fmt::Arguments<'_>) {
        let name = &self.slots[index].name;
        let fault = format!("worker {name} {what}\n{}", self.last_lines(name));
        self.history.faults.push(fault);
    }

    fn renew(&mut self, index: usize) -> Result<(), Trouble> {
        self.slots[index] = self.spawn(index, self.slots[index].life + 1)?;
        Ok(())
    }

    /// SIGTERM to all, and their ends.
    pub(crate) fn end_all(&mut self, now: Instant, tick: impl Fn()) -> Result<(), Trouble> {
        for index in 0..self.slots.len() {
            self.end(index, now)?;
        }
        let deadline = now + LEAVE_MAX;
        for index in 0..self.slots.len() {
            let status = loop {
                let slot = &mut self.slots[index];
                if let Some(status) = slot.child.try_wait().map_err(failed("cannot wait for a worker"))? {
                    break status;
                }
                if Instant::now() > deadline {
                    self.fault(index, format_args!("did not end within {LEAVE_MAX:?} of SIGTERM"));
                    return Ok(());
                }
                tick();
            };
            self.judge(index, status);
        }
        self.note_lost();
        Ok(())
    }

    /// Which jobs were lost by workers whose session ran out.
    fn note_lost(&mut self) {
        let names: Vec<String> = self.history.names().map(str::to_owned).collect();
        for name in names {
            let text = std::fs::read_to_string(self.log(&name)).unwrap_or_default();
            self.history.lost_with_session(&text);
        }
    }

    /// The end of a worker's log.
    pub(crate) fn last_lines(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        last.iter().map(|line| format!("    {line}\n")).collect()
    }
}

/// None outlives the run.
impl Drop for Fleet {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            let _ = slot.child.kill(); // it may have ended
            let _ = slot.child.wait();
        }
    }
}
