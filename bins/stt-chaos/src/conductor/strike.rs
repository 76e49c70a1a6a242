//! The blows.

use std::time::{Duration, Instant};

use stt_core::{Clock as _, SystemClock};

use super::{Run, TICK, say};
use crate::plan::{Blow, Kind};
use crate::trouble::{Trouble, failed};
use crate::worker::SESSION;

/// How much longer than its session a frozen worker stays so, at least: the broker looks for silent members at its leisure.
const FREEZE_MORE: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// Strikes, unless the blow is for a worker and none can be hit now.
    pub(super) fn strike(&mut self, blow: Blow, now: Instant) -> Result<(), Trouble> {
        let ended = self.tally.ended();
        let broken = |what: &str| failed(format!("cannot {what} the broker"));
        let mut whom = String::new();
        let is_broker = |kind: &&Kind| matches!(kind, Kind::KillBroker | Kind::RestartBroker);
        let broker = self.struck.iter().filter(is_broker).count() % self.options.brokers; // each in turn
        match blow.kind {
            Kind::KillWorker | Kind::EndWorker | Kind::FreezeWorker => {
                let hears = |victim: &(usize, String)| blow.kind != Kind::EndWorker || self.fleet.listens(victim.0);
                let Some((index, name)) = self.fleet.victim(blow.slot).filter(hears) else {
                    SystemClock.sleep(TICK);
                    return Ok(()); // later
                };
                match blow.kind {
                    Kind::KillWorker => self.fleet.kill(index)?,
                    Kind::EndWorker => self.fleet.end(index, now)?,
                    _ => self.fleet.freeze(index, now, SESSION + FREEZE_MORE + blow.pause)?,
                }
                whom = format!(" {name}");
            }
            Kind::KillBroker => {
                self.fleet.history.broker_was_away = true;
                self.cluster.kill(broker).map_err(broken("kill"))?;
                SystemClock.sleep(blow.pause);
                self.cluster.start_node(broker).map_err(broken("start"))?;
            }
            Kind::RestartBroker => {
                self.fleet.history.broker_was_away = true;
                self.cluster.stop(broker).map_err(broken("stop"))?;
                self.cluster.start_node(broker).map_err(broken("start"))?;
            }
        }
        self.struck.push(blow.kind);
        self.quiet_until = Instant::now() + blow.pause;
        self.progressed = Instant::now(); // the broker's absence is no stall of the workers
        let kind = blow.kind.as_str();
        let second = self.began.elapsed().as_secs();
        say(self.out, format_args!("{second:>5} s {ended:>6} done: {kind}{whom}"));
        Ok(())
    }
}
