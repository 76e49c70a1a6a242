//! Messages for people and for programs.

use std::io::{self, Write};

use crate::column::{fit, one_line};
use crate::{Format, Kind, Message, Report};

/// Writes messages in one format, each whole and at once.
#[derive(Clone, Debug)]
pub struct Show {
    format: Format,
    kind: Kind,
    headed: bool,
}

/// The names and widths of all columns but the last, which is as wide as its text.
type Columns = (&'static [(&'static str, usize)], &'static str);

const RESULTS: Columns = (
    &[("JOB", 36), ("STATUS", 9), ("LANGUAGE", 8), ("CONFIDENCE", 10)],
    "TRANSCRIPT",
);
const DEAD_LETTERS: Columns = (&[("JOB", 36), ("STAGE", 10), ("ATTEMPT", 7)], "ERROR");

/// What stands where there is nothing.
const NONE: &str = "-";

impl Show {
    /// Shows messages of this kind.
    #[must_use]
    pub fn new(format: Format, kind: Kind) -> Self {
        Self {
            format,
            kind,
            headed: false,
        }
    }

    /// Writes a message and flushes. In a table, `label` stands in the place of the job's id, and the first message is
    /// preceded by the names of the columns.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&mut self, out: &mut impl Write, message: &Message<'_>, label: Option<&str>) -> io::Result<()> {
        match self.format {
            Format::Json => {
                out.write_all(message.payload.unwrap_or_default())?;
                out.write_all(b"\n")?;
            }
            Format::Text => writeln!(out, "{}", text(message))?,
            Format::Table => {
                let (columns, last) = match self.kind {
                    Kind::Results => RESULTS,
                    Kind::DeadLetters => DEAD_LETTERS,
                };
                if !std::mem::replace(&mut self.headed, true) {
                    let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
                    writeln!(out, "{}", row(columns, &names, last))?;
                }
                let name = label.or(message.job_id.as_deref()).unwrap_or(NONE);
                let mut cells = vec![one_line(name)];
                cells.extend(cells_of(&message.report));
                writeln!(out, "{}", row(columns, &cells, &text(message)))?;
            }
        }
        out.flush()
    }
}

/// One row; cells that are missing have nothing to tell.
fn row(columns: &[(&str, usize)], cells: &[String], last: &str) -> String {
    let cells = cells.iter().map(String::as_str).chain(std::iter::repeat(NONE));
    let mut row: String = columns
        .iter()
        .zip(cells)
        .map(|((_, width), cell)| fit(cell, *width) + "  ")
        .collect();
    row.push_str(last);
    row.truncate(row.trim_end().len());
    row
}

/// The cells between the job's id and the text.
fn cells_of(report: &Result<Report, String>) -> Vec<String> {
    match report {
        Ok(Report::Completed {
            language, confidence, ..
        }) => vec![
            "COMPLETED".to_owned(),
            language.as_deref().map_or_else(|| NONE.to_owned(), one_line),
            confidence.map_or_else(|| NONE.to_owned(), |confidence| format!("{confidence:.3}")),
        ],
        Ok(Report::Failed { .. }) => vec!["FAILED".to_owned()],
        Ok(Report::Dead { stage, attempt, .. }) => {
            let attempt = attempt.map_or_else(|| NONE.to_owned(), |attempt| attempt.to_string());
            vec![one_line(stage), attempt]
        }
        Err(_) => vec!["?".to_owned()],
    }
}

/// The transcript, or the error; of a message that cannot be read, all of it.
fn text(message: &Message<'_>) -> String {
    match &message.report {
        Ok(Report::Completed { transcript, .. }) => one_line(transcript),
        Ok(Report::Failed { error } | Report::Dead { error, .. }) => one_line(error),
        Err(_) => one_line(&String::from_utf8_lossy(message.payload.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETED: &[u8] = include_bytes!("../../../fixtures/wire/result-completed.json");
    const FAILED: &[u8] = include_bytes!("../../../fixtures/wire/result-failed.json");
    const DEAD: &[u8] = include_bytes!("../../../fixtures/wire/dead-letter.json");
    const DEAD_JUNK: &[u8] = include_bytes!("../../../fixtures/wire/dead-letter-junk.json");

    fn shown(format: Format, kind: Kind, payloads: &[Option<&[u8]>], label: Option<&str>) -> Vec<u8> {
        let (mut show, mut out) = (Show::new(format, kind), Vec::new());
        for payload in payloads {
            let message = Message::read(kind, Some(b"key-1"), *payload);
            show.write(&mut out, &message, label).unwrap();
        }
        out
    }

    fn lines(format: Format, kind: Kind, payloads: &[Option<&[u8]>], label: Option<&str>) -> Vec<String> {
        let out = String::from_utf8(shown(format, kind, payloads, label)).unwrap();
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_cannot_be_read_is_shown_as_it_is() {
        let junk: &[Option<&[u8]>] = &[Some(b"\xff\x1b oops"), None];
        assert_eq!(shown(Format::Json, Kind::Results, junk, None), b"\xff\x1b oops\n\n");
        assert_eq!(
            lines(Format::Text, Kind::Results, junk, None),
            ["\u{fffd}\u{fffd} oops", ""]
        );
        assert_eq!(
            lines(Format::Table, Kind::Results, &junk[..1], None)[1],
            "key-1                                 ?          -         -           \u{fffd}\u{fffd} oops"
        );
    }

    #[test]
    fn json_is_the_message_byte_for_byte() {
        let payload = b"{ \"jobId\": \"a\",  \"n\": 1.50e3, \"new\": [] }".as_slice();
        assert_eq!(
            shown(Format::Json, Kind::Results, &[Some(payload), Some(b"{}")], None),
            [payload, b"\n{}\n"].concat()
        );
    }

    #[test]
    fn results_are_rows_under_one_head() {
        assert_eq!(
            lines(Format::Table, Kind::Results, &[Some(COMPLETED), Some(FAILED)], None),
            [
                "JOB                                   STATUS     LANGUAGE  CONFIDENCE  TRANSCRIPT",
                "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01  COMPLETED  mr        0.779       रवी ला चार",
                "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01  FAILED     -         -           AUDIO_TOO_LARGE: more than 26214400 bytes",
            ]
        );
        let labelled = lines(Format::Table, Kind::Results, &[Some(COMPLETED)], Some("टिप्पणी.ogg"));
        assert!(labelled[1].starts_with("टिप्पणी.ogg  "), "{}", labelled[1]);
    }

    #[test]
    fn dead_letters_are_rows_too() {
        assert_eq!(
            lines(Format::Table, Kind::DeadLetters, &[Some(DEAD), Some(DEAD_JUNK)], None),
            [
                "JOB                                   STAGE       ATTEMPT  ERROR",
                "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01  DOWNLOAD    1        AUDIO_TOO_LARGE: more than 26214400 bytes",
                "key-1                                 VALIDATION  1        INVALID_JSON: not JSON: expected ident at line 1 \
                 column 2",
            ]
        );
    }

    #[test]
    fn text_is_the_transcript_or_the_error() {
        assert_eq!(
            lines(
                Format::Text,
                Kind::Results,
                &[Some(COMPLETED), Some(FAILED)],
                Some("unused")
            ),
            ["रवी ला चार", "AUDIO_TOO_LARGE: more than 26214400 bytes"]
        );
    }
}
