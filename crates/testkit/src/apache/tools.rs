//! Kafka's command-line tools, in one JVM that stays.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::Trouble;
use super::library::Library;
use super::trouble::failed;

/// A JVM that runs one tool after another; it ends when its input does.
pub(super) struct Tools {
    jvm: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Tools {
    pub(super) fn start(library: &Library, log: &Path) -> Result<Self, Trouble> {
        let mut command = library.java("128m", log);
        command.arg(Library::tools_source());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut jvm = command.spawn().map_err(failed("cannot run java"))?;
        let input = jvm.stdin.take();
        let output = BufReader::new(jvm.stdout.take().expect("it was asked for"));
        Ok(Self { jvm, input, output })
    }

    /// Runs a tool, by its class: what it said.
    pub(super) fn run(&mut self, tool: &str, arguments: &[&str]) -> Result<String, Trouble> {
        let line = [&[tool], arguments].concat();
        if line.iter().any(|word| word.contains(['\t', '\n'])) {
            return Err(Trouble::new(format!("{tool} takes no tabs and no line ends")));
        }
        let (code, said) = self
            .ask(&line.join("\t"))
            .map_err(failed(format_args!("{tool} did not answer")))?;
        if code == "0" {
            return Ok(said);
        }
        let command = line.join(" ");
        Err(Trouble::new(format!("{command}: exit code {code}\n{said}")))
    }

    fn ask(&mut self, line: &str) -> std::io::Result<(String, String)> {
        let input = self.input.as_mut().expect("closed only when dropped");
        input.write_all(line.as_bytes())?;
        input.write_all(b"\n")?;
        let mut head = String::new();
        self.output.read_line(&mut head)?;
        let (code, length) = head
            .trim_end()
            .split_once(' ')
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let mut said = vec![0; length.parse().map_err(|_| std::io::ErrorKind::InvalidData)?];
        self.output.read_exact(&mut said)?;
        Ok((code.to_owned(), String::from_utf8_lossy(&said).into_owned()))
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.jvm.kill(); // nothing of it is wanted any more
        let _ = self.jvm.wait();
    }
}
