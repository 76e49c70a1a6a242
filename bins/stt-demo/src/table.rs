//! The table of results, a row as each comes.

use stt_schema::JobResult;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::compare::Verdict;
use crate::jobs::Job;

/// Columns of a transcript that are shown; it comes last, as a terminal may draw Devanagari in more or fewer.
const TRANSCRIPT_WIDTH: usize = 60;

/// The heading, for file names of at most `file_width`.
pub(crate) fn heading(file_width: usize) -> String {
    format!(
        "      {:file_width$}  language  confidence  audio s  done s  transcript",
        "file"
    )
}

/// The row of a result.
pub(crate) fn row(file_width: usize, job: &Job<'_>, result: &JobResult, verdict: &Verdict) -> String {
    let mark = match verdict {
        Verdict::Same => "ok",
        Verdict::Different(_) => "BAD",
    };
    let done_ms = result.completed_at.unix_ms() - job.created_at.unix_ms();
    let row = format!(
        "{mark:5} {:file_width$}  {:8}  {:10.3}  {:7.1}  {:6.1}  {}",
        job.clip.file,
        result.detected_language.as_deref().unwrap_or("-"),
        result.confidence,
        job.clip.seconds,
        done_ms as f64 / 1000.0,
        shortened(result.transcript_text.as_deref().unwrap_or("-")),
    );
    row.trim_end().to_owned()
}

/// `text` on one line, cut where it would need more than [`TRANSCRIPT_WIDTH`] columns.
fn shortened(text: &str) -> String {
    let text = text.replace(stt_schema::is_hidden, " ");
    if text.width() <= TRANSCRIPT_WIDTH {
        return text;
    }
    let mut width = 0;
    let fits = |letter: &char| {
        width += letter.width().unwrap_or(0);
        width < TRANSCRIPT_WIDTH
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::clips::{Clip, Expected};

    #[test]
    fn a_long_transcript_is_cut_by_columns_not_by_bytes() {
        let hindi = "रवी ला चार रुपये द्या. ".repeat(9);
        assert!(shortened(&hindi).ends_with('…') && shortened(&hindi).width() <= TRANSCRIPT_WIDTH);
        assert_eq!(shortened(&"x".repeat(60)), "x".repeat(60));
        assert_eq!(shortened(&"x".repeat(61)), format!("{}…", "x".repeat(59)));
        assert_eq!(shortened("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }

    #[test]
    fn a_row_stands_under_the_heading() {
        let clip = Clip {
            file: "mr-008.wav".to_owned(),
            hint: None,
            expected: Expected {
                text: String::new(),
                language: "mr".to_owned(),
            },
            seconds: 1.27,
        };
        let completed_at = "2026-01-02T03:05:06.789Z"
            .parse::<stt_schema::Timestamp>()
            .unwrap()
            .unix_ms() as u64;
        let job = Job::new(
            &clip,
            SystemTime::UNIX_EPOCH + Duration::from_millis(completed_at - 2_500),
        );
        let golden = include_str!("../../../fixtures/wire/result-completed.json");
        let completed = serde_json::from_str(golden).unwrap();
        let failed = serde_json::from_str(include_str!("../../../fixtures/wire/result-failed.json")).unwrap();
        let table = [
            heading(12),
            row(12, &job, &completed, &Verdict::Same),
            row(12, &job, &failed, &Verdict::Different(String::new())),
        ];
        assert_eq!(
            table,
            [
                "      file          language  confidence  audio s  done s  transcript",
                "ok    mr-008.wav    mr             0.779      1.3     2.5  रवी ला चार",
                "BAD   mr-008.wav    -              0.000      1.3     2.5  -",
            ]
        );
    }
}
