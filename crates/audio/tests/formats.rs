//! Every format that is opened, each heard in a file that is made here. `docs/formats.md` has the table.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod made;

use std::fs;
use std::time::Duration;

use made::amr;
use made::encode::Recipe;
use made::row::Row;
use made::rows::{NOT_MADE, ROWS, markdown_table};
use made::sound::{SECONDS, Voice, likeness};
use stt_audio::{DecodeChild, DecodeConfig, FfmpegDecode, IsolatedDecode, IsolationConfig};
use stt_core::{Budget, Cancel, Decode, Fetched, Pcm, SpillFile, SystemClock};

fn isolated() -> IsolatedDecode {
    IsolatedDecode::new(IsolationConfig::new(DecodeChild {
        program: env!("CARGO_BIN_EXE_stt-decode-child").into(),
        arguments: vec![],
        environment: vec![],
    }))
}

#[track_caller]
fn hear(decoder: &dyn Decode, name: &str, media: &Fetched) -> Pcm {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    let heard = decoder.decode(media, &budget);
    heard.unwrap_or_else(|failure| panic!("{name}: {}", failure.error_chain()))
}

fn row(name: &str) -> &'static Row {
    let named = ROWS.iter().find(|row| row.name == name);
    named.unwrap_or_else(|| panic!("no row {name}"))
}

#[test]
#[should_panic(expected = "this FFmpeg has no encoder roundtrip")]
fn an_encoder_that_is_missing_is_no_pass() {
    let recipe = Recipe {
        muxer: "wav",
        encoder: "roundtrip",
        rate: 8_000,
        channels: 1,
        options: &[],
        pictures: None,
        voices: &[Voice::One],
    };
    recipe.bytes();
}

#[test]
fn another_voice_and_noise_are_not_like() {
    let said = Voice::One.samples(16_000);
    let late: Vec<f32> = [&[0.0; 800][..], &said].concat();
    let mut dice = fastrand::Rng::with_seed(1);
    let noise: Vec<f32> = said.iter().map(|_| dice.f32() - 0.5).collect();
    let half = &said[..said.len() / 2];
    for (heard, voice, late_max_ms, least, most) in [
        (&said[..], Voice::One, 0, 0.9999, 1.0001),
        (&late, Voice::One, 50, 0.9999, 1.0001),
        (&late, Voice::One, 40, 0.0, 0.7),
        (&said, Voice::Other, 100, 0.0, 0.1),
        (&noise, Voice::One, 100, 0.0, 0.1),
        (&vec![0.0; said.len()], Voice::One, 100, 0.0, 0.0),
        (half, Voice::One, 100, 0.5, 0.8),
        (&[], Voice::One, 100, 0.0, 0.0),
    ] {
        let found = likeness(voice, heard, late_max_ms);
        assert!(
            (least..=most).contains(&found),
            "{voice:?} within {late_max_ms} ms: {found}"
        );
    }
}

#[test]
fn what_is_heard_is_what_was_said() {
    let (dir, isolated) = (tempfile::tempdir().unwrap(), isolated());
    let here = FfmpegDecode::new(DecodeConfig::default());
    for row in ROWS {
        let Row { name, padding_ms, .. } = *row;
        let bytes = row.bytes();
        let path = dir.path().join("spilled");
        fs::write(&path, &bytes).unwrap();
        let spilled = Fetched::Spilled(SpillFile::adopt(fs::File::open(path).unwrap(), bytes.len() as u64));
        let memory = Fetched::Memory(bytes);

        let heard = hear(&here, name, &memory);
        let off_ms = (heard.duration().as_secs_f64() - SECONDS).abs() * 1e3;
        assert!(off_ms <= f64::from(padding_ms), "{name}: {off_ms} ms longer or shorter");
        match row.voice() {
            Some(voice) => {
                let like = likeness(voice, &heard.samples, padding_ms);
                assert!(like >= row.likeness_min, "{name}: {like} like what was said");
            }
            None => {
                let loud = heard.samples.iter().filter(|sample| sample.abs() > 0.01).count();
                assert!(loud > heard.samples.len() / 4, "{name}: {loud} samples are to be heard");
            }
        }

        let routes: [(&str, &dyn Decode, &Fetched); 3] = [
            ("from a file", &here, &spilled),
            ("isolated", &isolated, &memory),
            ("isolated, from a file", &isolated, &spilled),
        ];
        for (route, decoder, media) in routes {
            assert!(hear(decoder, name, media) == heard, "{name} sounds different {route}");
        }
    }
    let stats = isolated.stats();
    assert_eq!((stats.crashed, stats.expired, stats.protocol), (0, 0, 0));
}

#[test]
fn the_rows_are_of_the_formats_that_they_name() {
    let dir = tempfile::tempdir().unwrap();
    for row in ROWS {
        let path = dir.path().join("made");
        fs::write(&path, row.bytes()).unwrap();
        let input = ffmpeg_next::format::input(&path).unwrap();
        assert!(
            input.format().name().split(',').any(|name| name == row.demuxer),
            "{}: {}",
            row.name,
            input.format().name()
        );
        let is_audio =
            |stream: &ffmpeg_next::Stream<'_>| stream.parameters().medium() == ffmpeg_next::media::Type::Audio;
        let stream = input.streams().find(is_audio).unwrap();
        let decoder = ffmpeg_next::decoder::find(stream.parameters().id()).unwrap();
        assert_eq!(decoder.name(), row.decoder, "{}", row.name);
    }
}

#[test]
fn every_format_on_the_lists_is_in_the_table_or_is_known_not_to_be() {
    let source = include_str!("../src/decode/formats.rs");
    let listed = |list: &str| -> Vec<&str> {
        let (_, rest) = source.split_once(list).unwrap();
        let (_, rest) = rest.split_once("&[").unwrap();
        let (names, _) = rest.split_once("];").unwrap();
        names.split('"').skip(1).step_by(2).collect()
    };
    let demuxers = listed("const DEMUXERS: &[&str] = ");
    let decoders = listed("const DECODERS: &[&str] = ");
    assert!(demuxers.len() > 10 && decoders.len() > 30, "{demuxers:?} {decoders:?}");
    for demuxer in &demuxers {
        assert!(ROWS.iter().any(|row| row.demuxer == *demuxer), "no row has {demuxer}");
    }
    for decoder in &decoders {
        let in_table = ROWS.iter().any(|row| row.decoder == *decoder);
        assert!(
            in_table != NOT_MADE.contains(decoder),
            "{decoder}, in the table: {in_table}"
        );
    }
    for row in ROWS {
        assert!(
            demuxers.contains(&row.demuxer) && decoders.contains(&row.decoder),
            "{}",
            row.name
        );
    }
    for decoder in NOT_MADE {
        assert!(decoders.contains(decoder), "{decoder}");
    }
}

#[test]
fn mp4_comes_in_every_order() {
    let boxes = |name: &str| -> Vec<&str> {
        let bytes = row(name).bytes();
        let at = |tag: &str| bytes.windows(4).position(|window| window == tag.as_bytes());
        let mut found: Vec<_> = ["moov", "mdat", "moof"]
            .into_iter()
            .filter_map(|tag| Some((at(tag)?, tag)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, tag)| tag).collect()
    };
    for (name, order) in [
        ("mp4, `moov` at the end", &["mdat", "moov"][..]),
        ("mp4, `moov` in front (faststart)", &["moov", "mdat"]),
        ("mp4 in fragments, as browsers record", &["moov", "moof", "mdat"]),
    ] {
        assert_eq!(boxes(name), order, "{name}");
    }
}

#[test]
fn amr_in_3gp_sounds_as_it_does_alone() {
    let here = FfmpegDecode::new(DecodeConfig::default());
    for (alone, within) in [
        ("amr: voice notes of old telephones", "3gp of an old telephone, AMR-NB"),
        ("awb, its wide band", "3gp, AMR-WB"),
    ] {
        let heard = |name: &str| hear(&here, name, &Fetched::Memory(row(name).bytes()));
        assert_eq!(heard(alone).duration(), Duration::from_millis(20) * amr::FRAMES as u32);
        assert!(heard(alone) == heard(within), "{within}");
    }
}

#[test]
fn the_page_has_the_table_as_it_is_here() {
    let page = include_str!("../../../docs/formats.md");
    let table = markdown_table();
    assert!(page.contains(&table), "docs/formats.md must contain:\n\n{table}");
    for decoder in NOT_MADE {
        assert!(
            page.contains(&format!("`{decoder}`")),
            "docs/formats.md must name {decoder}"
        );
    }
}
