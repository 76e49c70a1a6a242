//! The binding on the model of the fixtures, against `ct2rs`'s own.

use std::path::{Path, PathBuf};

use ct2rs::sys;
use stt_ctranslate2::{Encoded, LoadOptions, Model, SearchOptions};

const FRAMES: usize = 3000;

fn model_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/model")
}

fn options(replicas: usize) -> LoadOptions {
    LoadOptions {
        model_dir: model_dir().to_str().expect("UTF-8").to_owned(),
        gpus: vec![],
        replicas,
        compute_type: "float32".to_owned(),
        threads: 1,
    }
}

fn model(replicas: usize) -> Model {
    Model::load(&options(replicas)).expect("the model of the fixtures")
}

/// Features that differ from window to window.
fn features(model: &Model, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..model.mels() * FRAMES).map(|_| next()).collect()
}

fn search() -> SearchOptions<'static> {
    SearchOptions {
        beam_size: 3,
        patience: 1.0,
        length_penalty: 1.0,
        repetition_penalty: 1.0,
        no_repeat_ngram_size: 0,
        max_length: 24,
        sampling_topk: 1,
        sampling_temperature: 1.0,
        num_hypotheses: 1,
        max_initial_timestamp_index: 50,
        suppress_blank: true,
        suppress_tokens: &[],
    }
}

/// `<|startoftranscript|>`, language and task, as ids and as `ct2rs` takes them.
fn prompt() -> (Vec<u32>, Vec<String>) {
    let names = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>"].map(str::to_owned);
    let text = std::fs::read_to_string(model_dir().join("vocabulary.json")).expect("the vocabulary");
    let vocabulary: Vec<String> = serde_json::from_str(&text).expect("a list");
    let id = |name: &String| {
        vocabulary
            .iter()
            .position(|token| token == name)
            .expect("a special token") as u32
    };
    (names.iter().map(id).collect(), names.to_vec())
}

#[test]
fn a_model_that_cannot_be_loaded_is_an_error() {
    let missing = LoadOptions {
        model_dir: "/nowhere".to_owned(),
        ..options(1)
    };
    let unknown = LoadOptions {
        compute_type: "int7".to_owned(),
        ..options(1)
    };
    for (broken, named) in [(missing, "/nowhere"), (unknown, "int7")] {
        let error = Model::load(&broken).expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn calls_that_do_not_fit_are_errors_and_the_next_call_works() {
    let model = model(1);
    let long = features(&model, 1);
    assert!(model.encode(&long[1..], 1, 1).is_err(), "not a whole number of frames");
    assert!(
        model.encode(&vec![0.0; model.mels() * (FRAMES + 2)], 1, 1).is_err(),
        "too long"
    );
    assert!(model.languages(&[], 1).is_err(), "no windows");
    let short = model.encode(&long[..model.mels() * 100], 1, 1).unwrap();
    let long = model.encode(&long, 1, 1).unwrap();
    assert_eq!((short[0].positions(), long[0].positions()), (50, 1500));
    assert!(
        model.languages(&[&long[0], &short[0]], 1).is_err(),
        "windows of different lengths"
    );
    let (prompt, _) = prompt();
    let found = model.generate(&[&long[0], &long[0]], &[&prompt, &prompt[1..]], &search(), 1);
    assert!(found.is_err(), "prompts of different lengths");
    assert!(
        model.align(&[&long[0]], &prompt, &[], &[10], 7, 1).is_err(),
        "no text for the window"
    );
    assert!(model.languages(&[&long[0]], 1).is_ok());
}

#[test]
fn text_and_score_are_those_of_ctranslate2s_own_encoder() {
    let (model, (ids, names)) = (model(1), prompt());
    let config = sys::Config {
        compute_type: sys::ComputeType::FLOAT32,
        num_threads_per_replica: 1,
        ..sys::Config::default()
    };
    let theirs = sys::Whisper::new(model_dir(), config).expect("the model of the fixtures");
    let mut whisper_options = sys::WhisperOptions {
        beam_size: 3,
        max_length: 24,
        return_scores: true,
        return_no_speech_prob: true,
        suppress_tokens: vec![],
        ..sys::WhisperOptions::default()
    };
    whisper_options.num_hypotheses = 1;
    for seed in 1..4 {
        let mut features = features(&model, seed);
        let encoded = model.encode(&features, 1, 1).unwrap();
        let ours = &model.generate(&[&encoded[0]], &[&ids], &search(), 1).unwrap()[0];
        let shape = [1, model.mels(), FRAMES];
        let view = sys::StorageView::new(&shape, &mut features, sys::Device::CPU).unwrap();
        let view = theirs.encode(&view, false).unwrap();
        let theirs = &theirs
            .generate(&view, std::slice::from_ref(&names), &whisper_options)
            .unwrap()[0];
        let tokens: Vec<u32> = theirs.sequences_ids[0].iter().map(|id| *id as u32).collect();
        assert_eq!(ours.tokens, tokens, "seed {seed}");
        assert!(
            (ours.score - theirs.scores[0]).abs() < 1e-4,
            "{} and {}",
            ours.score,
            theirs.scores[0]
        );
        assert!((ours.no_speech_prob - theirs.no_speech_prob).abs() < 1e-4);
    }
}

#[test]
fn windows_give_the_same_alone_and_together() {
    let (model, (ids, _)) = (model(2), prompt());
    let windows: Vec<Vec<f32>> = (1..4).map(|seed| features(&model, seed)).collect();
    let alone: Vec<Encoded> = windows
        .iter()
        .flat_map(|window| model.encode(window, 1, 1).unwrap())
        .collect();
    let together = model.encode(&windows.concat(), 3, 2).unwrap();
    let generate = |windows: &[&Encoded]| {
        let prompts: Vec<&[u32]> = windows.iter().map(|_| &ids[..]).collect();
        model.generate(windows, &prompts, &search(), 1).unwrap()
    };
    let each: Vec<_> = alone.iter().flat_map(|window| generate(&[window])).collect();
    // In another order, from both calls.
    let mixed = generate(&[&together[2], &alone[0], &together[1]]);
    for (mixed, each) in mixed.iter().zip([&each[2], &each[0], &each[1]]) {
        assert_eq!(mixed.tokens, each.tokens);
        assert!(
            (mixed.score - each.score).abs() < 1e-4,
            "{} and {}",
            mixed.score,
            each.score
        );
    }
    let languages = model.languages(&[&together[0], &alone[1]], 1).unwrap();
    for (together, window) in languages.iter().zip([&alone[0], &together[1]]) {
        let alone = &model.languages(&[window], 1).unwrap()[0];
        assert_eq!(together[0].0, alone[0].0);
        let sum: f32 = together.iter().map(|(_, probability)| probability).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    }
}

/// int8 has loops of its own where the processor has the instructions; `int8_float32` is CTranslate2's arithmetic. Features are
/// noise, in which a beam now and then keeps another token.
#[test]
fn int8_is_near_ctranslate2s_own_for_any_batch_and_beam() {
    let load = |compute_type: &str| {
        let options = LoadOptions {
            compute_type: compute_type.to_owned(),
            ..options(1)
        };
        Model::load(&options).expect("the model of the fixtures")
    };
    let (ours, theirs, (ids, _)) = (load("int8"), load("int8_float32"), prompt());
    let encode = |model: &Model| -> Vec<Encoded> {
        (1..5)
            .flat_map(|seed| model.encode(&features(model, seed), 1, 1).unwrap())
            .collect()
    };
    let (our_windows, their_windows) = (encode(&ours), encode(&theirs));
    let languages = |model: &Model, windows: &[Encoded]| {
        let mut found = model.languages(&windows.iter().collect::<Vec<_>>(), 1).unwrap();
        found.iter_mut().for_each(|row| row.sort_by_key(|(token, _)| *token));
        found
    };
    for (ours, theirs) in languages(&ours, &our_windows)
        .iter()
        .zip(&languages(&theirs, &their_windows))
    {
        for ((token, ours), (same, theirs)) in ours.iter().zip(theirs) {
            assert_eq!(token, same);
            assert!((ours - theirs).abs() < 0.05, "{token}: {ours} and {theirs}");
        }
    }
    let (mut texts, mut same) = (0, 0);
    // Text of the previous window before `<|startoftranscript|>`, none, and a prefix behind the special tokens.
    let previous: Vec<u32> = (300..340).chain(ids.iter().copied()).collect();
    let prefixed = [&ids[..], &[310, 320]].concat();
    for (beam_size, count, threads, prompt) in [
        (1, 1, 1, &ids),
        (5, 4, 1, &ids),
        (5, 4, 2, &previous),
        (3, 3, 1, &prefixed),
        (8, 2, 1, &ids),
    ] {
        let generate = |model: &Model, windows: &[Encoded]| {
            let options = SearchOptions {
                beam_size,
                max_length: prompt.len() + 6,
                ..search()
            };
            let windows: Vec<&Encoded> = windows.iter().take(count).collect();
            model
                .generate(&windows, &vec![&prompt[..]; count], &options, threads)
                .unwrap()
        };
        let (ours, theirs) = (generate(&ours, &our_windows), generate(&theirs, &their_windows));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let case = format!("beam {beam_size}, {count} windows: {ours:?} and {theirs:?}");
            assert!((ours.no_speech_prob - theirs.no_speech_prob).abs() < 0.01, "{case}");
            texts += 1;
            if ours.tokens == theirs.tokens {
                same += 1;
                assert!((ours.score - theirs.score).abs() < 0.03, "{case}");
            }
        }
    }
    assert!(4 * same >= 3 * texts, "{same} of {texts} texts are the same");
}

#[test]
fn sampling_gives_each_window_its_best_of_many() {
    let load = |compute_type: &str| {
        Model::load(&LoadOptions {
            compute_type: compute_type.to_owned(),
            ..options(1)
        })
        .expect("the model of the fixtures")
    };
    for compute_type in ["int8", "float32"] {
        let (model, (ids, _)) = (load(compute_type), prompt());
        let windows: Vec<Encoded> = (1..4)
            .flat_map(|seed| model.encode(&features(&model, seed), 1, 1).unwrap())
            .collect();
        let options = SearchOptions {
            beam_size: 1,
            sampling_topk: 0,
            sampling_temperature: 0.4,
            num_hypotheses: 5,
            ..search()
        };
        let windows: Vec<&Encoded> = windows.iter().collect();
        let found = model.generate(&windows, &[&ids[..]; 3], &options, 1).unwrap();
        assert_eq!(found.len(), 3);
        assert!(
            found.iter().all(|row| !row.tokens.is_empty() && row.score.is_finite()),
            "{found:?}"
        );
    }
}
