//! What people read at the end.

use std::fmt::Write as _;
use std::time::Duration;

use crate::args::Options;
use crate::history::{History, Turn};
use crate::offsets::Progress;
use crate::plan::{Kind, Plan};
use crate::tally::Tally;
use crate::verdict::Verdict;

/// Everything about a run that ended.
pub(crate) struct Report<'a> {
    pub(crate) options: &'a Options,
    pub(crate) plan: &'a Plan,
    pub(crate) tally: &'a Tally,
    pub(crate) history: &'a History,
    pub(crate) progress: &'a Progress,
    pub(crate) verdict: &'a Verdict,
    /// Blows that were struck.
    pub(crate) struck: &'a [Kind],
    pub(crate) took: Duration,
}

/// Faults told one by one.
const FAULTS_SHOWN: usize = 20;

impl Report<'_> {
    /// Everything that should not be, as sentences.
    fn faults(&self) -> Vec<String> {
        let mut faults = self.verdict.faults.clone();
        faults.extend(
            self.progress
                .rewinds
                .iter()
                .map(|rewind| format!("offsets moved back: {rewind}")),
        );
        let behind = self.progress.behind(&self.tally.next);
        if behind > 0 {
            faults.push(format!("{behind} records are not passed"));
        }
        if self.progress.looks == 0 {
            faults.push("the committed offsets were never seen".to_owned());
        }
        faults.extend_from_slice(&self.history.faults);
        let (struck, planned) = (self.struck.len(), self.plan.blows.len());
        if struck < planned {
            faults.push(format!("only {struck} of {planned} kills were done"));
        }
        faults
    }

    pub(crate) fn passed(&self) -> bool {
        self.faults().is_empty()
    }

    pub(crate) fn text(&self) -> String {
        let (tally, verdict, history) = (self.tally, self.verdict, self.history);
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<22} {value}"); // writing to a String cannot fail
        };
        let jobs = self.plan.jobs.len();
        row("guarantee", self.options.guarantee.to_string());
        row("brokers", self.options.brokers.to_string());
        row("jobs", jobs.to_string());
        let copies = self.plan.stream.len() - jobs;
        let retries = tally.retries;
        row(
            "records in",
            format!("{} ({copies} jobs sent twice, {retries} retries)", tally.records),
        );
        row("completed", verdict.completed.to_string());
        let failed: usize = verdict.failed.values().sum();
        row("failed", counts(failed, verdict.failed.iter()));
        if verdict.killed_too_often > 0 {
            let text = "jobs whose workers were killed, or lost their session, so often that they count as poison";
            row("killed too often", format!("{} {text}", verdict.killed_too_often));
        }
        let duplicates: usize = verdict.duplicates.values().sum();
        row("duplicate results", counts(duplicates, verdict.duplicates.iter()));
        row("duplicate letters", verdict.letters_twice.to_string());
        row("lost", verdict.lost.to_string());
        let kinds = Kind::ALL.map(|kind| {
            (
                kind.as_str(),
                self.struck.iter().filter(|other| **other == kind).count(),
            )
        });
        row(
            "kills",
            counts(self.struck.len(), kinds.iter().map(|(name, count)| (name, count))),
        );
        row("crashes by poison", history.count(Turn::Poisoned).to_string());
        if history.count(Turn::Fenced) > 0 {
            row("fenced after a freeze", history.count(Turn::Fenced).to_string());
        }
        row("worker processes", history.processes().to_string());
        let moved = if self.progress.rewinds.is_empty() { "yes" } else { "no" };
        row(
            "offsets never went back",
            format!("{moved}, in {} looks", self.progress.looks),
        );
        row("wall time", format!("{} s", self.took.as_secs()));
        row("seed", self.options.seed.to_string());
        self.verdict_line(&mut text);
        text
    }

    fn verdict_line(&self, text: &mut String) {
        let faults = self.faults();
        for fault in faults.iter().take(FAULTS_SHOWN) {
            let _ = writeln!(text, "! {fault}");
        }
        if faults.len() > FAULTS_SHOWN {
            let _ = writeln!(text, "! and {} more", faults.len() - FAULTS_SHOWN);
        }
        let (jobs, kills) = (self.plan.jobs.len(), self.struck.len());
        let _ = if faults.is_empty() {
            writeln!(
                text,
                "PASSED: {jobs} jobs and {kills} kills, {}",
                self.options.guarantee
            )
        } else {
            writeln!(text, "FAILED: {} faults", faults.len())
        };
    }
}

fn counts<'a, N: std::fmt::Display + 'a>(sum: usize, parts: impl Iterator<Item = (N, &'a usize)>) -> String {
    let parts: Vec<String> = parts
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if parts.is_empty() {
        sum.to_string()
    } else {
        format!("{sum} ({})", parts.join(", "))
    }
}
