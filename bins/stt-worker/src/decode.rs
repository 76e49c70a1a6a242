//! Where audio is decoded: in processes of this program that do nothing else, or here.

use std::sync::Arc;

use stt_audio::{DecodeChild, DecodeStats, FfmpegDecode, IsolatedDecode, IsolationConfig};
use stt_core::Decode;
use stt_settings::Environment;

use crate::error::Error;
use crate::plan::Plan;

/// The argument, not for users, of a process that decodes.
const CHILD: &str = "decode-child";

/// Where the libraries of this program are, unless the system knows.
const LIBRARIES: &str = "LD_LIBRARY_PATH";

/// Whether this process is one that decodes.
pub(crate) fn is_child() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|argument| argument == CHILD) && arguments.next().is_none()
}

/// What decodes, and what became of its processes.
pub(crate) struct Decoder {
    pub(crate) decode: Arc<dyn Decode>,
    isolated: Option<Arc<IsolatedDecode>>,
}

impl Decoder {
    pub(crate) fn new(plan: &Plan, environment: &Environment) -> Self {
        let config = plan.decode();
        if !plan.settings.decode_isolated {
            return Self {
                decode: Arc::new(FfmpegDecode::new(config)),
                isolated: None,
            };
        }
        let mut child = DecodeChild::this_program(CHILD);
        if let Some(path) = environment.get(LIBRARIES) {
            child.environment.push((LIBRARIES.into(), path.into()));
        }
        let isolated = Arc::new(IsolatedDecode::new(IsolationConfig {
            decode: config,
            jobs_max: plan.settings.decode_jobs_max,
            cpu_max: plan.settings.decode_cpu_max,
            memory_bytes_max: plan.settings.decode_memory_bytes,
            ..IsolationConfig::new(child)
        }));
        Self {
            decode: Arc::clone(&isolated) as Arc<dyn Decode>,
            isolated: Some(isolated),
        }
    }

    /// Starts a process, before any job needs one.
    ///
    /// # Errors
    /// When none can be started, or, where that is required, the kernel does not hold it by all means.
    pub(crate) fn check(&self, is_required: bool) -> Result<(), Error> {
        let Some(isolated) = &self.isolated else { return Ok(()) };
        let holds = isolated.check().map_err(|failure| Error::Decoder(failure.into()))?;
        let lacks = holds.lacks();
        if is_required && !lacks.is_empty() {
            let why = format!("DECODE_ISOLATION=require, and the kernel lacks {}", lacks.join(", "));
            return Err(Error::Decoder(why.into()));
        }
        Ok(())
    }

    /// Nothing where there are none.
    pub(crate) fn stats(&self) -> DecodeStats {
        self.isolated.as_ref().map(|decode| decode.stats()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that says what holds it: seccomp, and Landlock of Linux 6.1.
    fn half_held() -> Decoder {
        let isolated = Arc::new(IsolatedDecode::new(IsolationConfig::new(DecodeChild {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), r"printf 'R\002\000\000\000\001\002' >&0; read line".into()],
            environment: vec![],
        })));
        Decoder {
            decode: Arc::clone(&isolated) as Arc<dyn Decode>,
            isolated: Some(isolated),
        }
    }

    #[test]
    fn what_is_required_and_lacking_is_named_and_no_start() {
        half_held().check(false).unwrap();
        let error = half_held().check(true).unwrap_err();
        let error = stt_core::error_chain(&error);
        for part in ["DECODE_ISOLATION=require", "truncation", "TCP ports", "signals"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
