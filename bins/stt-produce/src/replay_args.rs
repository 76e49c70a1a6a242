//! The options of a replay.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use lexopt::{Parser, ValueExt as _};
use stt_consume::{Brokers, Failure};
use stt_schema::{ErrorCode, Timestamp};

/// A replay that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReplayOptions {
    /// Empty for all.
    pub(crate) codes: Vec<ErrorCode>,
    pub(crate) since: Option<Since>,
    pub(crate) limit: Option<u64>,
    pub(crate) dry_run: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) brokers: Brokers,
}

/// A moment, as people say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    At(Timestamp),
    Ago(Duration),
}

/// What was given.
#[derive(Debug, Default)]
pub(crate) struct ReplayFlags {
    pub(crate) replay: bool,
    codes: Vec<ErrorCode>,
    since: Option<Since>,
    limit: Option<u64>,
    dry_run: bool,
}

impl ReplayFlags {
    /// Takes the option if it is one of these. False if it is not.
    pub(crate) fn take(&mut self, option: &str, parser: &mut Parser) -> Result<bool, Failure> {
        match option {
            "replay-dlq" => self.replay = true,
            "error-code" => self.codes.extend(parser.value()?.parse_with(codes)?),
            "since" => self.since = Some(parser.value()?.parse()?),
            "limit" => self.limit = Some(parser.value()?.parse_with(limit)?),
            "dry-run" => self.dry_run = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether anything is given that means nothing without `--replay-dlq`.
    pub(crate) fn choose(&self) -> bool {
        !self.codes.is_empty() || self.since.is_some() || self.limit.is_some() || self.dry_run
    }

    pub(crate) fn into_options(self, timeout: Option<Duration>, brokers: Brokers) -> ReplayOptions {
        ReplayOptions {
            codes: self.codes,
            since: self.since,
            limit: self.limit,
            dry_run: self.dry_run,
            timeout,
            brokers,
        }
    }
}

impl Since {
    /// The moment, if it is this time now.
    pub(crate) fn moment(self, now: SystemTime) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Ago(time) => now.checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH).into(),
        }
    }
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const RULE: &str = "must be a time, as 2026-01-02T03:04:05Z, or how long ago that is, as 90s, 30m, 2h or 7d (100 years at most)";
        if let Ok(moment) = text.parse() {
            return Ok(Self::At(moment));
        }
        let unit = text.chars().last().and_then(|unit| match unit {
            's' => Some(1),
            'm' => Some(60),
            'h' => Some(3600),
            'd' => Some(86_400),
            _ => None,
        });
        let number = |unit: u64| {
            let digits = &text[..text.len() - 1];
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse::<u64>().ok().filter(|_| plain)?;
            number.checked_mul(unit).filter(|seconds| *seconds <= 36_525 * 86_400)
        };
        let seconds = unit.and_then(number).ok_or(RULE)?;
        Ok(Self::Ago(Duration::from_secs(seconds)))
    }
}

/// Codes with commas between them.
fn codes(text: &str) -> Result<Vec<ErrorCode>, String> {
    let code = |name: &str| {
        let known = ErrorCode::ALL.iter().find(|code| code.as_str() == name);
        known.copied().ok_or_else(|| {
            let all: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
            format!("{name:?} is no error code; those are {}", all.join(", "))
        })
    };
    text.split(',').map(str::trim).map(code).collect()
}

fn limit(text: &str) -> Result<u64, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("must be a whole number above 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "h",
            "2",
            "2w",
            "-2h",
            "+2h",
            "2.5h",
            "2h30m",
            "yesterday",
            "2026-01-02",
            "٢h",
            "é",
            "99999999999999999999d",
            "36526d",
        ] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_a_moment_or_how_long_ago() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        for (text, moment) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T08:34:05+05:30", "2026-01-02T03:04:05Z"),
            ("0s", "2026-01-02T03:04:05Z"),
            ("5s", "2026-01-02T03:04:00Z"),
            ("30m", "2026-01-02T02:34:05Z"),
            ("2h", "2026-01-02T01:04:05Z"),
            ("7d", "2025-12-26T03:04:05Z"),
            ("36525d", "1970-01-01T00:00:00Z"),
        ] {
            let since = text.parse::<Since>().unwrap();
            let earliest = since.moment(now).max(SystemTime::UNIX_EPOCH.into());
            assert_eq!(earliest, moment.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn an_unknown_code_is_told_with_all_that_are_known() {
        for text in ["", "NO_SUCH", "audio_empty", "AUDIO_EMPTY,", "AUDIO_EMPTY,NO_SUCH"] {
            let error = codes(text).unwrap_err();
            for told in ["is no error code; those are INVALID_JSON, ", "RESULT_TOO_LARGE"] {
                assert!(error.contains(told), "{text}: {error}");
            }
        }
        assert_eq!(
            codes("AUDIO_EMPTY, DOWNLOAD_FAILED"),
            Ok(vec![ErrorCode::AudioEmpty, ErrorCode::DownloadFailed])
        );
    }
}
