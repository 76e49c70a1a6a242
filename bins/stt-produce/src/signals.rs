//! Signals that ask to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The first signal asks; a second one ends the process at once, with 128 and its number.
pub(crate) struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Hears SIGINT and SIGTERM from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let (came, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds nothing that came before it.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&came))?;
            flag::register(signal, Arc::clone(&came))?;
            let number = usize::try_from(signal).expect("signals have small numbers above 0");
            flag::register_usize(signal, Arc::clone(&asked), number)?;
        }
        Ok(Self(asked))
    }

    /// The signal that came, if one did.
    pub(crate) fn asked(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::Relaxed))
            .ok()
            .filter(|signal| *signal > 0)
    }
}
