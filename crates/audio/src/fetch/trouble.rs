//! What to say of a download that failed, and what to do about it.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use stt_core::{AudioUrl, Budget, ErrorCode, Failure, Fault, Stop, UrlParts};
use ureq::Timeout;

use super::LocalFault;
use super::dial::Broken;
use super::redirect::Astray;
use crate::Denied;

/// One hop of a download.
#[derive(Clone, Copy)]
pub(super) struct Download<'a> {
    pub(super) url: &'a AudioUrl,
    pub(super) urls_shown: UrlParts,
    pub(super) budget: &'a Budget<'a>,
}

impl Download<'_> {
    /// As it may be shown.
    pub(super) fn url(&self) -> impl Display {
        self.url.shown(self.urls_shown)
    }

    /// Whether it may go on.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.budget.check().map_err(|stop| match stop {
            Stop::Expired => self.late(),
            Stop::Cancelled => self.failed(ErrorCode::DownloadFailed, "the download was cancelled"),
        })
    }

    /// The connection could not be made, or broke.
    pub(super) fn broke(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(Timeout::Global) => self.late(),
            ureq::Error::Timeout(step) => self
                .failed(ErrorCode::DownloadTimeout, "one step of the download took too long")
                .because(ureq::Error::Timeout(step)),
            ureq::Error::Other(error) => match error.downcast::<Denied>() {
                Ok(denied) => self.blocked(*denied),
                Err(error) if error.is::<Broken>() => self.failed_by("the connection broke before the end", error),
                Err(error) => self.failed_by("the download failed", error),
            },
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.failed_by("the connection closed before the end", error)
            }
            // It quotes the whole URL.
            ureq::Error::BadUri(_) => self.failed(ErrorCode::DownloadFailed, "the client does not take the URL"),
            ureq::Error::Io(error) if is_local(&error) => self.local(error),
            // Of the system's roots; a server's certificate that is not good is an IO error.
            ureq::Error::Rustls(rustls::Error::General(what)) => self.local(io::Error::other(what)),
            // The client's own wording of a bare IO error adds nothing.
            ureq::Error::Io(error) => self.failed_by("the download failed", error),
            error => self.failed_by("the download failed", error),
        }
    }

    /// Errors of TLS name the host, which may have to stay hidden.
    fn failed_by(&self, what: &str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        let (failure, cause) = (self.failed(ErrorCode::DownloadFailed, what), cause.into());
        let names_host = || {
            stt_core::error_chain(&*cause).contains(self.url.host()) || format!("{cause:?}").contains(self.url.host())
        };
        if self.urls_shown == UrlParts::None && names_host() {
            return failure.because("an error that names the host");
        }
        failure.because(cause)
    }

    /// Nobody may be sent there.
    pub(super) fn blocked(&self, denied: Denied) -> Failure {
        let message = format!("{} must not be reached", self.url());
        Failure::permanent(ErrorCode::SsrfBlocked, message).because(denied)
    }

    /// The body comes in a trickle.
    pub(super) fn too_slow(&self, throughput_min: u64, window: Duration) -> Failure {
        let what = format!("fewer than {throughput_min} bytes a second over {window:?}");
        self.failed(ErrorCode::DownloadTimeout, &what)
    }

    /// The server answered with an error status.
    pub(super) fn refused(&self, status: u16, fault: Fault) -> Failure {
        Failure {
            fault,
            ..self.failed(ErrorCode::DownloadHttpStatus, &format!("status {status}"))
        }
    }

    /// A redirect that is not followed.
    pub(super) fn led_astray(&self, error: Astray) -> Failure {
        let code = match error {
            Astray::Scheme => ErrorCode::SsrfBlocked,
            Astray::Downgrade | Astray::Url => ErrorCode::DownloadFailed,
        };
        Failure::permanent(code, format!("{error}, at {}", self.url()))
    }

    pub(super) fn redirected_too_often(&self, redirects_max: u32) -> Failure {
        let message = format!("more than {redirects_max} redirects, the last to {}", self.url());
        Failure::permanent(ErrorCode::DownloadFailed, message)
    }

    /// More bytes than are taken; `bytes` is what was claimed or read so far.
    pub(super) fn too_large(&self, bytes: u64, bytes_max: u64) -> Failure {
        let message = format!(
            "{bytes} bytes or more, over the limit of {bytes_max}, from {}",
            self.url()
        );
        Failure::permanent(ErrorCode::AudioTooLarge, message)
    }

    /// This machine cannot keep the bytes.
    pub(super) fn not_kept(&self, error: io::Error) -> Failure {
        let message = format!("no room for what came from {}", self.url());
        Failure::no_room(ErrorCode::DownloadFailed, message).because(error)
    }

    /// Any download would fail here now.
    fn local(&self, error: io::Error) -> Failure {
        let message = format!("this worker cannot download now, from {}", self.url());
        Failure::worker_local(ErrorCode::DownloadFailed, message).because(error)
    }

    /// The host timed out again and again.
    pub(super) fn paused(&self, pause: Duration) -> Failure {
        let message = format!(
            "the host timed out again and again, and is not asked for {} s, from {}",
            pause.as_secs() + 1,
            self.url()
        );
        Failure {
            fault: Fault::Transient { after: Some(pause) },
            ..Failure::transient(ErrorCode::DownloadTimeout, message)
        }
    }

    /// It failed by this worker's fault before, and is not tried yet.
    pub(super) fn held(&self, wait: Duration) -> Failure {
        let message = format!("tried again in {} s, from {}", wait.as_secs() + 1, self.url());
        Failure::no_room(ErrorCode::DownloadFailed, message)
    }

    fn late(&self) -> Failure {
        let message = format!("not within {:?}", self.budget.allowed());
        self.failed(ErrorCode::DownloadTimeout, &message)
    }

    fn failed(&self, code: ErrorCode, what: &str) -> Failure {
        Failure::transient(code, format!("{what}, from {}", self.url()))
    }
}

/// Whether this machine is short of something, whatever is downloaded.
fn is_local(error: &io::Error) -> bool {
    const SHORT: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS];
    let is_fault = error.get_ref().is_some_and(|inner| inner.is::<LocalFault>());
    is_fault || error.raw_os_error().is_some_and(|code| SHORT.contains(&code))
}
