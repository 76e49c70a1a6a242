//! Many jobs, one on each line.

use std::io::{self, Read};

use uuid::Uuid;

use crate::job::{Maker, Outgoing};

/// Most bytes of lines that are taken at once.
pub(crate) const BYTES_MAX: u64 = 64 << 20;

/// Reads everything.
///
/// # Errors
/// What the reader returns; more than [`BYTES_MAX`].
pub(crate) fn read(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {BYTES_MAX} bytes"),
        ));
    }
    Ok(bytes)
}

/// The jobs of all lines that are not blank.
///
/// # Errors
/// With `check`, the lines that are no jobs, each with its number and everything that is wrong with it.
pub(crate) fn jobs<I: FnMut() -> Uuid>(
    bytes: &[u8],
    maker: &mut Maker<'_, I>,
    check: bool,
) -> Result<Vec<Outgoing>, Vec<String>> {
    let (mut jobs, mut problems) = (vec![], vec![]);
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let job = maker.of_line(line);
        match job.check() {
            Err(reason) if check => problems.push(format!("line {number}: {reason}")),
            _ => jobs.push(job),
        }
    }
    if problems.is_empty() { Ok(jobs) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Given;

    const LINES: &[u8] = b"{\"audioUrl\":\"https://h/1\"}\r\n\noops\n{\"audioUrl\":\"ftp://h/3\",\"languageHint\":7}\n{\"audioUrl\":\"https://h/4\"}";

    fn jobs(bytes: &[u8], check: bool) -> Result<Vec<Outgoing>, Vec<String>> {
        let given = Given::default();
        let mut maker = Maker {
            given: &given,
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            new_id: Uuid::new_v4,
        };
        super::jobs(bytes, &mut maker, check)
    }

    #[test]
    fn every_bad_line_is_told_by_its_number() {
        let problems = jobs(LINES, true).unwrap_err();
        assert_eq!(
            problems,
            [
                "line 3: not JSON: expected value at line 1 column 1",
                "line 4: audioUrl: only http and https URLs are taken; languageHint: not a string"
            ]
        );
    }

    #[test]
    fn unchecked_lines_are_all_sent() {
        let jobs = jobs(LINES, false).unwrap();
        assert_eq!((jobs.len(), jobs[1].payload.as_slice()), (4, b"oops".as_slice()));
    }

    #[test]
    fn no_lines_are_no_jobs() {
        assert_eq!(jobs(b" \n\r\n", true), Ok(vec![]));
    }

    #[test]
    fn too_many_bytes_are_refused() {
        let error = read(io::repeat(b'\n')).unwrap_err();
        assert_eq!(error.to_string(), "more than 67108864 bytes");
    }
}
