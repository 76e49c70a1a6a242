//! The demo with programs that only play the worker and its tools: how it ends, and what it leaves.
#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Says where its broker is, and stays until it is told to go.
const WORKER: &str = r#"echo $$ > worker.pid
echo "embedded broker: 127.0.0.1:9"
trap 'echo stopped > worker.end; exit 0' TERM
while :; do sleep 0.05; done"#;
const PRODUCE: &str = "cat > jobs.part; mv jobs.part jobs";
/// Waits for the jobs and answers each with the same transcript.
const CONSUME: &str = r#"echo $$ > consume.pid
while ! [ -e jobs ]; do sleep 0.05; done
sed -E 's/.*"jobId":"([^"]*)".*/{"jobId":"\1","taskId":"t","status":"COMPLETED","transcriptText":"good morning","detectedLanguage":"en","confidence":0.9,"engine":"faster-whisper","modelVersion":"m","errorCode":null,"errorMessage":null,"completedAt":"2026-01-02T03:05:06.789Z","correlationId":"c"}/' jobs
cat"#;

const CLIPS: &str = r#"{
  "a.wav": {"hint": null, "text": "good morning", "language": "en", "duration": 1.0, "segments": []},
  "b.wav": {"hint": "en-IN", "text": "good morning", "language": "en", "duration": 2.0, "segments": []}
}"#;

/// A file that is open for writing in a child just forked cannot be run: one test at a time writes and starts.
fn alone() -> MutexGuard<'static, ()> {
    static STARTING: Mutex<()> = Mutex::new(());
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Demo {
    folder: TempDir,
    child: Child,
}

impl Demo {
    /// Starts the demo beside programs with these scripts, in a folder that is theirs.
    fn start(clips: &str, worker: &str, produce: &str, consume: &str) -> Self {
        let _alone = alone();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (name, script) in [
            ("stt-worker", worker),
            ("stt-produce", produce),
            ("stt-consume", consume),
        ] {
            let file = path.join(name);
            fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = path.join("stt-demo");
        fs::copy(env!("CARGO_BIN_EXE_stt-demo"), &program).unwrap();
        fs::create_dir(path.join("model")).unwrap();
        fs::create_dir(path.join("audio")).unwrap();
        fs::write(path.join("audio/transcripts.json"), clips).unwrap();
        for clip in ["a.wav", "b.wav"] {
            fs::write(path.join("audio").join(clip), "RIFF").unwrap();
        }
        let mut command = Command::new(program);
        command.args(["--audio", "audio", "--model", "model"]).current_dir(path);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { folder, child }
    }

    /// How it ended: exit code, output, errors.
    fn ended(&mut self) -> (Option<i32>, String, String) {
        let (mut out, mut errors) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), out, errors)
    }

    /// Waits until the demo says this; no program has ended by then.
    fn says(&mut self, text: &str) {
        let mut lines = BufReader::new(self.child.stdout.as_mut().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(text)));
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let _alone = alone();
        assert!(
            Command::new("sh")
                .args(["-c", "kill -$0 $1", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Whether every program that wrote down its id is gone, within 10 seconds.
    fn leaves_nobody(&self) -> bool {
        let ids = ["worker.pid", "consume.pid"].map(|file| fs::read_to_string(self.folder.path().join(file)));
        let ids: Vec<String> = ids.into_iter().flatten().map(|id| id.trim().to_owned()).collect();
        assert!(!ids.is_empty());
        within_10_s(|| ids.iter().all(|id| !is_running(id)))
    }

    fn worker_was_asked_to_stop(&self) -> bool {
        self.folder.path().join("worker.end").exists()
    }
}

/// A process that has ended but that its new parent has not yet noticed counts as gone.
fn is_running(id: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(id).join("stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

fn within_10_s(is_so: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if is_so() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn a_worker_that_cannot_start_is_quoted() {
    let mut demo = Demo::start(CLIPS, "echo 'no model.bin' >&2; exit 2", PRODUCE, CONSUME);
    let (code, _, errors) = demo.ended();
    assert_eq!(code, Some(1));
    assert_eq!(
        errors,
        "stt-demo: stt-worker ended before its broker was there; it said last:\n  no model.bin\n"
    );
}

#[test]
fn a_worker_that_dies_at_work_ends_the_demo() {
    let dies = "echo 'embedded broker: 127.0.0.1:9'; while ! [ -e jobs ]; do sleep 0.05; done; echo bang >&2; exit 9";
    let mut demo = Demo::start(CLIPS, dies, PRODUCE, "echo $$ > consume.pid; exec cat");
    let (code, _, errors) = demo.ended();
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("stt-worker ended with 2 results to come; it said last:\n  bang\n"),
        "{errors}"
    );
    assert!(demo.leaves_nobody());
}

#[test]
fn a_refusal_to_publish_and_a_reader_that_gives_up_are_quoted() {
    let mut demo = Demo::start(CLIPS, WORKER, "cat >&2; echo refused >&2; exit 1", CONSUME);
    let (code, _, errors) = demo.ended();
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("stt-produce ended with exit status: 1") && errors.ends_with("  refused\n"),
        "{errors}"
    );
    assert!(demo.leaves_nobody());

    let mut demo = Demo::start(CLIPS, WORKER, PRODUCE, "echo timed out >&2; exit 3");
    let (code, _, errors) = demo.ended();
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("stt-consume ended with 2 results to come; it said last:\n  timed out\n"),
        "{errors}"
    );
    assert!(demo.leaves_nobody() && demo.worker_was_asked_to_stop());
}

#[test]
fn a_transcript_that_differs_is_listed_and_fails_the_demo() {
    let clips = CLIPS.replacen("good morning", "good evening", 1);
    let mut demo = Demo::start(&clips, WORKER, PRODUCE, CONSUME);
    let (code, out, errors) = demo.ended();
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    assert!(out.contains("BAD   a.wav") && out.contains("ok    b.wav"), "{out}");
    assert!(out.contains("1 of 2 transcripts are as expected"), "{out}");
    assert!(
        out.ends_with("  a.wav: \"good morning\", expected \"good evening\"\n"),
        "{out}"
    );
    assert!(demo.leaves_nobody());
}

#[test]
fn all_as_expected_is_success_and_the_worker_is_asked_to_stop() {
    let mut demo = Demo::start(CLIPS, WORKER, PRODUCE, CONSUME);
    let (code, out, errors) = demo.ended();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(out.contains("2 of 2 transcripts are as expected"), "{out}");
    assert!(demo.leaves_nobody() && demo.worker_was_asked_to_stop());
    let jobs = fs::read_to_string(demo.folder.path().join("jobs")).unwrap();
    let hints: Vec<&str> = jobs
        .lines()
        .map(|job| {
            if job.contains(r#""languageHint":"en-IN""#) {
                "en"
            } else {
                "-"
            }
        })
        .collect();
    assert_eq!(hints, ["-", "en"]);
}

#[test]
fn a_worker_that_fails_while_it_stops_fails_the_demo() {
    let worker = WORKER.replace("exit 0", "exit 7");
    let (code, _, errors) = Demo::start(CLIPS, &worker, PRODUCE, CONSUME).ended();
    assert_eq!(code, Some(1));
    assert!(errors.contains("stt-worker ended with exit status: 7"), "{errors}");
}

#[test]
fn interrupted_it_stops_everything() {
    for signal in ["INT", "TERM"] {
        let mut demo = Demo::start(CLIPS, WORKER, PRODUCE, "echo $$ > consume.pid; exec cat");
        demo.says("transcript");
        demo.signal(signal);
        let (code, _, errors) = demo.ended();
        assert_eq!(
            (code, errors.as_str()),
            (Some(1), "stt-demo: interrupted; everything is stopped\n")
        );
        assert!(demo.leaves_nobody() && demo.worker_was_asked_to_stop());
    }
}

#[test]
fn killed_it_leaves_no_process_and_the_worker_may_still_clean_up() {
    let mut demo = Demo::start(CLIPS, WORKER, PRODUCE, "echo $$ > consume.pid; exec cat");
    demo.says("transcript");
    demo.signal("KILL");
    demo.child.wait().unwrap();
    assert!(demo.leaves_nobody() && demo.worker_was_asked_to_stop());
}

#[test]
fn a_bad_command_line_and_a_missing_folder_are_told() {
    for (arguments, code, message) in [
        (&["--audoi", "x"][..], 2, "stt-demo: invalid option '--audoi'\n"),
        (
            &["--audio", "/nonexistent"],
            1,
            "stt-demo: the clips cannot be used: cannot read /nonexistent/transcripts.json: No such file or directory (os error 2)\n",
        ),
        (
            &["--audio", "../../fixtures/audio", "--model", "/nonexistent"],
            1,
            "stt-demo: no model at /nonexistent\n",
        ),
    ] {
        let _alone = alone();
        let output = Command::new(env!("CARGO_BIN_EXE_stt-demo"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(code), message)
        );
    }
}
