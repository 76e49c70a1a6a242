//! Milliseconds of each call of a model, by the windows in it: `calls MODEL [threads=1] [compute=int8] [tokens=40]`. Features are noise; the
//! search has a beam of 5 and ends after so many tokens, as `<|endoftext|>` is suppressed. Prints the median of five.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use stt_ctranslate2::{Encoded, LoadOptions, Model, SearchOptions};

/// `<|endoftext|>`, `<|startoftranscript|>`, English and `<|transcribe|>` of a multilingual model.
const END: u32 = 50_257;
const PROMPT: [u32; 3] = [50_258, 50_259, 50_359];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model_dir = arguments.next().ok_or("no model")?;
    let (mut threads, mut compute_type, mut tokens) = (1, "int8".to_owned(), 40);
    for argument in arguments {
        match argument.split_once('=') {
            Some(("threads", value)) => threads = value.parse()?,
            Some(("compute", value)) => value.clone_into(&mut compute_type),
            Some(("tokens", value)) => tokens = value.parse()?,
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    let model = Model::load(&LoadOptions {
        model_dir,
        gpus: vec![],
        replicas: 1,
        compute_type,
        threads,
    })?;
    let mut state = 1u32;
    let features: Vec<f32> = (0..model.mels() * 3000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    println!(
        "encode 1: {:.1} ms",
        median(|| model.encode(&features, 1, threads).map(drop))?
    );
    let mut fresh = vec![];
    for _ in 0..5 {
        fresh.push(model.encode(&features, 1, threads)?.remove(0));
    }
    let window = fresh[0].clone();
    println!(
        "languages of a window for the first time: {:.1} ms",
        median(|| model.languages(&[&fresh.pop().expect("five")], threads).map(drop))?
    );
    let search = |max_length| SearchOptions {
        beam_size: 5,
        patience: 1.0,
        length_penalty: 1.0,
        repetition_penalty: 1.0,
        no_repeat_ngram_size: 0,
        max_length,
        sampling_topk: 1,
        sampling_temperature: 1.0,
        num_hypotheses: 1,
        max_initial_timestamp_index: 50,
        suppress_blank: true,
        suppress_tokens: &[END],
    };
    for windows in [1, 2, 4, 8] {
        let encoded: Vec<&Encoded> = vec![&window; windows];
        let prompts: Vec<&[u32]> = vec![&PROMPT; windows];
        let languages = median(|| model.languages(&encoded, threads).map(drop))?;
        let generate = |tokens: usize| {
            median(|| {
                model
                    .generate(&encoded, &prompts, &search(2 * tokens), threads)
                    .map(drop)
            })
        };
        let (first, all) = (generate(2)?, generate(tokens)?);
        println!(
            "{windows} windows: languages {languages:.1} ms, first two tokens {first:.1} ms, each further {:.2} ms",
            (all - first) / (tokens - 2) as f64
        );
    }
    Ok(())
}

fn median<E>(mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = vec![];
    for _ in 0..5 {
        let started = Instant::now();
        call()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
