//! SIGTERM and SIGINT, and the last resort.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use stt_core::{Clock as _, SystemClock};
use stt_pipeline::Stopping;

use crate::error::Error;

/// How often it is looked whether a signal came.
const TICK: Duration = Duration::from_millis(50);

/// How long each of the three last steps may take: cancelled jobs, last commits, leaving the group. With the 5 s for
/// records on their way they fit [`HARD_WAIT`].
pub(crate) const LEAVE_WAIT: Duration = Duration::from_secs(3);

/// How long the process may go on after the grace for running jobs, whatever hangs.
const HARD_WAIT: Duration = Duration::from_secs(15);

/// How long further signals count as the first one. One wish to stop often comes as several signals: a supervisor passes
/// on what the terminal sent to all, or the kernel tells each time a thread of a killed parent ends (PR_SET_PDEATHSIG).
const REPEAT_WAIT: Duration = Duration::from_millis(500);

/// The first signal asks for a stop; one that comes 500 ms later or more ends the process at once, with 128 + its number.
/// A stop that takes longer than `grace` and 15 s is ended with 1.
pub(crate) fn listen(stopping: &Stopping, grace: Duration) -> io::Result<()> {
    let (asked, impatient) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&impatient))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    let (stopping, wait) = (stopping.clone(), grace + HARD_WAIT);
    let watch = move || {
        while !asked.load(Ordering::Relaxed) {
            SystemClock.sleep(TICK);
        }
        log::info!("a signal asks to stop: taking no more jobs, giving running ones {grace:?}");
        stopping.stop();
        SystemClock.sleep(REPEAT_WAIT);
        impatient.store(true, Ordering::Relaxed);
        log::info!("a further signal ends the process at once");
        SystemClock.sleep(wait - REPEAT_WAIT);
        log::error!("not stopped after {wait:?}: ending at once; unfinished jobs will be done again");
        exit_now(crate::FAILED)
    };
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
    Ok(())
}

/// Ends the process without running the exit handlers of libraries, which would wait for, or crash, their own threads.
pub(crate) fn exit_now(code: u8) -> ! {
    low_level::exit(i32::from(code))
}

/// Does a step of the start that may take long, on a thread of its own, unless a stop is asked for: then the step is left
/// to itself, to end with the process.
pub(crate) fn unless_stopped<T: Send + 'static>(
    stopping: &Stopping,
    step: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (done, result) = mpsc::channel();
    let run = move || drop(done.send(step()));
    std::thread::Builder::new()
        .name("start".to_owned())
        .spawn(run)
        .map_err(Error::Thread)?;
    loop {
        if stopping.is_asked() {
            return Err(Error::Stopped);
        }
        match result.recv_timeout(TICK) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::Thread(io::Error::other("it panicked"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_hangs_or_panics_does_not_hang_the_start() {
        let stopping = Stopping::default();
        assert!(matches!(
            unless_stopped(&stopping, || panic!("as planned")),
            Err::<(), _>(Error::Thread(_))
        ));
        assert_eq!(unless_stopped(&stopping, || 7).unwrap(), 7);
        let (_open, forever) = mpsc::channel::<()>();
        stopping.stop();
        assert!(matches!(
            unless_stopped(&stopping, move || forever.recv()),
            Err(Error::Stopped)
        ));
    }
}
