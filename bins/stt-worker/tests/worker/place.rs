//! Where a worker runs in a test: its files, the audio it downloads, the jobs it gets.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use stt_testkit::faulty::{body, site, status};

use crate::support::{Worker, fixture};

/// Where the worker of a test is, and what it keeps.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A worker with a broker of its own.
    pub(crate) fn worker(&self, more: &[(&str, &str)]) -> Worker {
        let arguments = [
            "--embedded-broker",
            "--embedded-broker-address-file",
            &self.path("address"),
        ];
        self.start(&arguments, more)
    }

    /// A worker of the brokers at `address`.
    pub(crate) fn worker_at(&self, address: &str, more: &[(&str, &str)]) -> Worker {
        self.start(&[], &[&[("KAFKA_BOOTSTRAP_SERVERS", address)], more].concat())
    }

    /// A worker with a broker of its own, whose files may have 4 MiB each.
    pub(crate) fn worker_with_small_files(&self, more: &[(&str, &str)]) -> Worker {
        let program = r#"trap "" XFSZ; ulimit -f 8192; exec "$0" "$@""#;
        let arguments = ["-c", program, env!("CARGO_BIN_EXE_stt-worker"), "--embedded-broker"];
        let variables = self.variables(more);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Worker::start_by("/bin/sh", &arguments, &variables)
    }

    fn start(&self, arguments: &[&str], more: &[(&str, &str)]) -> Worker {
        let variables = self.variables(more);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Worker::start(arguments, &variables)
    }

    fn variables<'a>(&self, more: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
        let (model, tmp_dir) = (fixture("model"), self.path("tmp"));
        let variables = [
            ("MODEL_SIZE", model.to_str().unwrap()),
            ("TMP_DIR", &tmp_dir),
            ("METRICS_PORT", "0"),
            ("HEALTH_PORT", "0"),
            ("AUDIO_URL_ALLOW", "127.0.0.1/32"),
            ("MAX_AUDIO_BYTES", "40000000"),
            ("RETRY_BACKOFF_BASE_MS", "10"),
            ("RETRY_BACKOFF_MAX_MS", "20"),
        ];
        let all = variables.iter().chain(more);
        all.map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    /// Everything in `TMP_DIR`.
    pub(crate) fn tmp_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("tmp")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

/// Serves `/name` from memory on loopback, to the end of the process.
pub(crate) fn serve(files: BTreeMap<String, Vec<u8>>) -> String {
    site(move |path| match files.get(path.trim_start_matches('/')) {
        Some(bytes) => body(bytes),
        None => status(404, ""),
    })
}

pub(crate) fn id(number: u32) -> String {
    format!("7d8a3c1e-5a52-4a3c-9c0a-{number:012x}")
}

pub(crate) fn job(number: u32, url: &str) -> Vec<u8> {
    let job = json!({
        "jobId": id(number), "taskId": id(number + 100), "audioUrl": url, "languageHint": null,
        "createdAt": "2026-01-02T03:04:05Z", "correlationId": id(number + 200),
    });
    job.to_string().into_bytes()
}
