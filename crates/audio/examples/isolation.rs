//! What decoding in a process of its own costs: `isolation MEDIA PROGRAM [ARGUMENT]...`, where the program calls
//! `stt_audio::decode_child`, as `stt-worker decode-child` does.
#![allow(clippy::print_stdout)] // it is a program

use std::error::Error;
use std::time::{Duration, Instant};

use stt_audio::{DecodeChild, DecodeConfig, FfmpegDecode, IsolatedDecode, IsolationConfig};
use stt_core::{Budget, Cancel, Decode, Fetched, SystemClock};

const JOBS: u32 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(media), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("isolation MEDIA PROGRAM [ARGUMENT]...".into());
    };
    let child = DecodeChild {
        program: program.into(),
        arguments: arguments.collect(),
        environment: vec![],
    };
    let media = Fetched::Memory(std::fs::read(media)?);
    let isolated = |jobs_max| {
        IsolatedDecode::new(IsolationConfig {
            jobs_max,
            ..IsolationConfig::new(child.clone())
        })
    };
    measure("in this process", &FfmpegDecode::new(DecodeConfig::default()), &media)?;
    measure("in one that is warm", &isolated(u32::MAX), &media)?;
    measure("in one that is replaced after 64 jobs", &isolated(64), &media)?;
    measure("in a new one", &isolated(1), &media)
}

fn measure(what: &str, decode: &dyn Decode, media: &Fetched) -> Result<(), Box<dyn Error>> {
    let cancel = Cancel::default();
    let mut times = vec![];
    for _ in 0..JOBS {
        let began = Instant::now();
        decode.decode(media, &Budget::new(&SystemClock, &cancel, Duration::from_secs(60)))?;
        times.push(began.elapsed());
    }
    let mean = times.iter().sum::<Duration>() / JOBS;
    times.sort_unstable();
    println!(
        "{what}: median {:?}, mean {mean:?}, longest {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    Ok(())
}
