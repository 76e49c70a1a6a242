//! The corpora, and what dice make of them: as much of fuzzing as every run of the tests can afford. `make fuzz` goes on.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// What an input is made of again: its seed and number.
const SEED: u64 = 0x005e_ed0f_a0b0;

/// The inputs of a target, each with its name.
fn corpus(target: &str, beside: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = here.join("corpus").join(target);
    let beside = beside.map(|beside| here.join("../../fixtures").join(beside));
    let mut paths: Vec<PathBuf> = [Some(own), beside]
        .into_iter()
        .flatten()
        .flat_map(|directory| fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort_unstable();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

/// The words of a dictionary of libFuzzer: what stands in quotes, with `\\`, `\"` and `\xAB` for single bytes.
fn words(target: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dictionaries/{target}.dict"));
    let text = fs::read_to_string(path).unwrap();
    let quoted = |line: &str| Some(line.split_once('"')?.1.strip_suffix('"')?.to_owned());
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(quoted).map(|word| bytes(&word)).collect()
}

fn bytes(word: &str) -> Vec<u8> {
    let mut parts = word.split('\\');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    while let Some(part) = parts.next() {
        match part.strip_prefix('x') {
            Some(hex) => {
                bytes.push(u8::from_str_radix(&hex[..2], 16).unwrap());
                bytes.extend(&hex.as_bytes()[2..]);
            }
            None if part.is_empty() => bytes.extend([b"\\", parts.next().unwrap().as_bytes()].concat()),
            None => bytes.extend(part.as_bytes()),
        }
    }
    bytes
}

fn mutant(number: u64, corpus: &[(String, Vec<u8>)], words: &[Vec<u8>]) -> Vec<u8> {
    let mut dice = Rng::with_seed(SEED ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = dice.choice(corpus).unwrap().1.clone();
    for _ in 0..dice.usize(1..=4) {
        let at = dice.usize(..=bytes.len());
        let to = dice.usize(at..=bytes.len().min(at + 32));
        match dice.u8(..5) {
            0 => drop(bytes.drain(at..to)),
            1 => drop(bytes.splice(at..to, dice.choice(words).unwrap().iter().copied())),
            2 => drop(bytes.splice(at..at, bytes[at..to].to_vec())),
            3 => {
                let other = &dice.choice(corpus).unwrap().1;
                let from = dice.usize(..=other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ => bytes[at..to].iter_mut().for_each(|byte| *byte ^= 1 << dice.u8(..8)),
        }
    }
    bytes
}

#[track_caller]
fn hold(check: fn(&[u8]), name: &str, input: &[u8]) {
    let held = catch_unwind(|| check(input));
    assert!(held.is_ok(), "{name}: {:?}", String::from_utf8_lossy(input));
}

fn run(check: fn(&[u8]), target: &str, beside: Option<&str>, mutants: u64) {
    let (corpus, words) = (corpus(target, beside), words(target));
    assert!(
        corpus.len() > 15 && words.len() > 15,
        "{} {}",
        corpus.len(),
        words.len()
    );
    for (name, input) in &corpus {
        hold(check, name, input);
    }
    for number in 0..mutants {
        hold(check, &format!("mutant {number}"), &mutant(number, &corpus, &words));
    }
}

#[test]
fn words_are_read_as_libfuzzer_reads_them() {
    assert_eq!(bytes(r#"\"a\\b\x00\xffc"#), b"\"a\\b\0\xffc");
}

#[test]
fn a_broken_promise_is_told_with_its_input() {
    let hold = || hold(|input| assert_ne!(input, b"bad"), "an input", b"bad");
    let told = catch_unwind(hold).unwrap_err();
    assert_eq!(told.downcast_ref::<String>().unwrap(), "an input: \"bad\"");
}

#[test]
fn jobs_keep_what_is_promised() {
    run(stt_fuzz::job::check, "job", Some("wire"), 30_000);
}

#[test]
fn the_guard_keeps_what_is_promised() {
    run(stt_fuzz::url_guard::check, "url_guard", None, 5_000);
}

#[test]
fn requests_keep_what_is_promised() {
    run(stt_fuzz::ports::check, "ports", None, 10_000);
}

#[test]
fn answers_of_decoders_keep_what_is_promised() {
    run(stt_fuzz::child::check, "child", None, 10_000);
}

#[test]
fn redirects_keep_what_is_promised() {
    run(stt_fuzz::redirect::check, "redirect", None, 20_000);
}

#[test]
fn responses_keep_what_is_promised() {
    run(stt_fuzz::response::check, "response", None, 3_000);
}

/// Its mutants, where a crash would end only a process: `crates/audio/tests/mutations.rs`.
#[test]
fn the_decoder_keeps_what_is_promised() {
    run(stt_fuzz::decode::check, "decode", Some("audio"), 0);
}
