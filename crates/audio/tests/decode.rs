//! Decoding of what strangers send.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod media;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use media::{Wav, fixture, fixtures};
use stt_audio::{DecodeConfig, FfmpegDecode};
use stt_core::ErrorCode::{
    AudioDecodeFailed, AudioEmpty, AudioNoStream, AudioTooLong, AudioUnsupportedFormat, TranscribeFailed,
    TranscribeTimeout,
};
use stt_core::{Budget, Cancel, Decode, ErrorCode, Failure, Fault, Fetched, Pcm, SpillFile, SystemClock};

fn decode_with(config: DecodeConfig, media: &Fetched) -> Result<Pcm, Failure> {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    FfmpegDecode::new(config).decode(media, &budget)
}

fn decode(bytes: impl Into<Vec<u8>>) -> Result<Pcm, Failure> {
    decode_with(DecodeConfig::default(), &Fetched::Memory(bytes.into()))
}

#[track_caller]
fn assert_refused(result: Result<Pcm, Failure>, code: ErrorCode) -> Failure {
    let failure = result.map(|pcm| pcm.samples.len()).expect_err("it should be refused");
    assert_eq!(
        (failure.code, failure.fault),
        (code, Fault::Permanent),
        "{}",
        failure.error_chain()
    );
    failure
}

#[test]
fn nothing_is_empty() {
    assert_refused(decode([]), AudioEmpty);
    assert_refused(decode(Wav::default().bytes(&[])), AudioEmpty);
}

#[test]
fn what_is_no_audio_is_not_opened() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde".repeat(40);
    let jpeg = [
        &b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xdb\0C\0"[..],
        &[9; 900],
    ]
    .concat();
    let texts: [&[u8]; 7] = [
        b"Dear Asha, please find the report below. It is not audio.\n",
        b"<!doctype html><html><body>You must log in first</body></html>",
        b"{\"error\": \"not found\"}",
        b"1\n00:00:01,000 --> 00:00:02,000\nA subtitle\n",
        b"a",
        &png,
        &jpeg,
    ];
    for bytes in texts {
        assert_refused(decode(bytes), AudioUnsupportedFormat);
        assert_refused(decode(bytes.repeat(200)), AudioUnsupportedFormat);
    }
}

#[test]
fn lists_of_files_open_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let beside = dir.path().join("beside.wav");
    fs::write(&beside, Wav::default().bytes(&Wav::tone(16_000, 1.0))).unwrap();
    let (path, name) = (beside.display(), "beside.wav");
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n";
    let lists = [
        format!("ffconcat version 1.0\nfile {name}\n"),
        format!("ffconcat version 1.0\nfile '{path}'\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{path}\n#EXT-X-ENDLIST\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{path}\n#EXT-X-ENDLIST\n"),
        format!("<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"><BaseURL>{path}</BaseURL></MPD>"),
        format!("[Reference]\nRef1=file://{path}\n"),
        sdp.to_owned(),
    ];
    for list in lists {
        let spilled = dir.path().join("list.bin");
        fs::write(&spilled, &list).unwrap();
        let spilled = Fetched::Spilled(SpillFile::adopt(fs::File::open(spilled).unwrap(), list.len() as u64));
        assert_refused(decode_with(DecodeConfig::default(), &spilled), AudioUnsupportedFormat);
        assert_refused(decode(list), AudioUnsupportedFormat);
    }
}

#[test]
fn a_file_of_ours_that_cannot_be_read_is_this_workers_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let unreadable = dir.path().join("a directory, which opens but does not read");
    fs::create_dir(&unreadable).unwrap();
    let spilled = Fetched::Spilled(SpillFile::adopt(fs::File::open(unreadable).unwrap(), 100));
    let failure = decode_with(DecodeConfig::default(), &spilled).unwrap_err();
    assert_eq!((failure.code, failure.fault), (AudioDecodeFailed, Fault::WorkerLocal));
}

#[test]
fn damaged_media_is_damaged_not_unknown() {
    let mp4 = fixture("en-003.m4a");
    let moov = mp4.windows(4).position(|tag| tag == b"moov").unwrap();
    let failure = assert_refused(decode(&mp4[..moov.max(100)]), AudioDecodeFailed);
    assert!(failure.message.starts_with("damaged mov,mp4"), "{failure}");
    assert_refused(decode(&Wav::default().bytes(&[])[..36]), AudioDecodeFailed);
}

#[test]
fn a_video_without_sound_has_no_stream() {
    assert_refused(decode(media::silent_film()), AudioNoStream);
}

#[test]
fn a_rare_codec_in_a_known_format_is_not_opened() {
    let truespeech = Wav {
        tag: 0x22,
        ..Wav::default()
    };
    let failure = assert_refused(decode(truespeech.bytes(&[0; 4000])), AudioUnsupportedFormat);
    assert!(failure.message.contains("truespeech"), "{failure}");
}

#[test]
fn the_length_is_what_is_decoded_not_what_is_claimed() {
    let claiming = |seconds: u32| Wav {
        rate: 8_000,
        claimed: Some(seconds * 16_000),
        ..Wav::default()
    };
    let ten_hours = claiming(36_000).bytes(&Wav::tone(8_000, 1.0));
    assert_eq!(decode(ten_hours).unwrap().duration(), Duration::from_secs(1));

    let config = DecodeConfig {
        duration_max: Duration::from_secs(1),
    };
    let exactly = Fetched::Memory(claiming(1).bytes(&Wav::tone(8_000, 1.0)));
    assert_eq!(decode_with(config.clone(), &exactly).unwrap().samples.len(), 16_000);
    let over = Fetched::Memory(claiming(36_000).bytes(&Wav::tone(8_000, 1.001)));
    assert_refused(decode_with(config, &over), AudioTooLong);
}

#[test]
fn an_hour_is_too_long() {
    let hour = Wav {
        rate: 8_000,
        bits: 8,
        ..Wav::default()
    }
    .bytes(&vec![128; 8_000 * 3_600]);
    let failure = assert_refused(decode(hour), AudioTooLong);
    assert_eq!(failure.message, "longer than 600s");
}

#[test]
fn time_and_shutdown_end_decoding() {
    let media = Fetched::Memory(fixture("en-long-03.m4a"));
    let decoder = FfmpegDecode::new(DecodeConfig::default());
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::ZERO);
    assert_refused(decoder.decode(&media, &budget), TranscribeTimeout);

    let clock = media::Ticks::default();
    let few_frames = Budget::new(&clock, &cancel, Duration::from_secs(20));
    assert_refused(decoder.decode(&media, &few_frames), TranscribeTimeout);

    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    cancel.cancel();
    let failure = decoder.decode(&media, &budget).unwrap_err();
    assert_eq!(
        (failure.code, failure.fault),
        (TranscribeFailed, Fault::Transient { after: None })
    );
}

#[test]
fn damaged_packets_are_left_out() {
    let whole = decode(fixture("en-018.mp3")).unwrap().samples.len();
    let mut bytes = fixture("en-018.mp3");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 600].fill(0);
    let rest = decode(bytes).unwrap().samples.len();
    assert!(rest > whole / 2 && rest <= whole + 2_000, "{rest} of {whole}");

    let bytes = fixture("hi-long-01.flac"); // 55.9 s
    let cut = decode(&bytes[..bytes.len() / 2]).unwrap().duration();
    assert!(
        cut > Duration::from_secs(20) && cut < Duration::from_secs(36),
        "{cut:?}"
    );
}

#[test]
fn every_fixture_decodes_from_memory_as_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut formats = vec![];
    for (name, bytes) in fixtures() {
        let path: PathBuf = dir.path().join("spilled");
        fs::write(&path, &bytes).unwrap();
        let spilled = Fetched::Spilled(SpillFile::adopt(fs::File::open(path).unwrap(), bytes.len() as u64));
        let from_file = decode_with(DecodeConfig::default(), &spilled).unwrap();
        assert_eq!(decode(bytes).unwrap(), from_file, "{name}");
        formats.push(name.rsplit('.').next().unwrap_or_default().to_owned());
    }
    formats.sort_unstable();
    formats.dedup();
    assert_eq!(formats, ["aac", "aiff", "flac", "m4a", "mp3", "ogg", "wav", "webm"]);
}

#[test]
fn wavs_of_all_kinds_sound_alike() {
    let heard = |wav: Wav, data: &[u8]| decode(wav.bytes(data)).unwrap().samples;
    let reference = heard(Wav::default(), &Wav::tone(16_000, 1.0));
    let (mut stereo, mut eight, mut unsigned, mut float) = (vec![], vec![], vec![], vec![]);
    for sample in Wav::tone(16_000, 1.0).chunks(2) {
        let value = i16::from_le_bytes([sample[0], sample[1]]);
        stereo.extend(sample.repeat(2));
        eight.extend(sample.repeat(8));
        unsigned.push(((value >> 8) + 128) as u8);
        float.extend((f32::from(value) / 32768.0).to_le_bytes());
    }
    let kinds = [
        (
            "stereo",
            Wav {
                channels: 2,
                ..Wav::default()
            },
            stereo,
            1e-4,
        ),
        (
            "eight channels",
            Wav {
                channels: 8,
                ..Wav::default()
            },
            eight,
            1e-4,
        ),
        (
            "8 bit",
            Wav {
                bits: 8,
                ..Wav::default()
            },
            unsigned,
            1e-2,
        ),
        (
            "float",
            Wav {
                bits: 32,
                tag: 3,
                ..Wav::default()
            },
            float,
            1e-4,
        ),
        (
            "48 kHz",
            Wav {
                rate: 48_000,
                ..Wav::default()
            },
            Wav::tone(48_000, 1.0),
            1e-2,
        ),
        (
            "8 kHz",
            Wav {
                rate: 8_000,
                ..Wav::default()
            },
            Wav::tone(8_000, 1.0),
            1e-2,
        ),
        (
            "192 kHz",
            Wav {
                rate: 192_000,
                ..Wav::default()
            },
            Wav::tone(192_000, 1.0),
            1e-2,
        ),
    ];
    for (name, wav, data, tolerance) in kinds {
        let samples = heard(wav, &data);
        assert_eq!(samples.len(), 16_000, "{name}");
        // Filters ring at the ends.
        for at in 400..15_600 {
            let (found, expected) = (samples[at], reference[at]);
            assert!(
                (found - expected).abs() < tolerance,
                "{name}, sample {at}: {found}, not {expected}"
            );
        }
    }
}
