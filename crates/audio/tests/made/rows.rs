//! The table of formats.

use std::fmt::Write as _;

use super::amr;
use super::row::{Made, Row, row};
use super::tag::picture_tag;

const MP4: (&str, &str) = ("mp4", "mov");
const MOV: (&str, &str) = ("mov", "mov");
const OGG: (&str, &str) = ("ogg", "ogg");
const WEBM: (&str, &str) = ("webm", "matroska");
const MKV: (&str, &str) = ("matroska", "matroska");
const WAV: (&str, &str) = ("wav", "wav");
const AIFF: (&str, &str) = ("aiff", "aiff");
const CAF: (&str, &str) = ("caf", "caf");
const ASF: (&str, &str) = ("asf", "asf");
const AU: (&str, &str) = ("au", "au");
const MP3: (&str, &str) = ("mp3", "mp3");

const AAC: (&str, &str) = ("aac", "aac");
const OPUS: (&str, &str) = ("libopus", "opus");
const VORBIS: (&str, &str) = ("libvorbis", "vorbis");
const LAME: (&str, &str) = ("libmp3lame", "mp3float");

/// A codec of the same name for both sides.
const fn same(codec: &'static str) -> (&'static str, &'static str) {
    (codec, codec)
}

/// Every format that can be made here.
pub(crate) const ROWS: &[Row] = &[
    row("m4a of a phone, `moov` at the end", ("ipod", "mov"), AAC, 44_100, 2).lossy(50, 0.99),
    row("mp4, `moov` at the end", MP4, AAC, 48_000, 1).lossy(50, 0.99),
    row("mp4, `moov` in front (faststart)", MP4, AAC, 48_000, 2)
        .lossy(50, 0.99)
        .options(&[("movflags", "+faststart")]),
    row("mp4 in fragments, as browsers record", MP4, AAC, 48_000, 1)
        .lossy(50, 0.99)
        .options(&[
            ("movflags", "+empty_moov+default_base_moof"),
            ("frag_duration", "200000"),
        ]),
    row("mov, AAC", MOV, AAC, 44_100, 1).lossy(50, 0.99),
    row("3gp, AAC", ("3gp", "mov"), AAC, 16_000, 1).lossy(100, 0.99),
    Row::made(
        "amr: voice notes of old telephones",
        "amr",
        "amrnb",
        Made::Drawn(amr::narrow),
    ),
    Row::made("awb, its wide band", "amr", "amrwb", Made::Drawn(amr::wide)),
    Row::made(
        "3gp of an old telephone, AMR-NB",
        "mov",
        "amrnb",
        Made::Moved(amr::narrow, "3gp"),
    ),
    Row::made("3gp, AMR-WB", "mov", "amrwb", Made::Moved(amr::wide, "3gp")),
    row("video in mp4, its first of two sounds", MP4, AAC, 44_100, 2)
        .lossy(50, 0.99)
        .film("mpeg4"),
    row("video in Matroska, its first of two sounds", MKV, VORBIS, 44_100, 2)
        .lossy(50, 0.99)
        .film("mpeg4"),
    row("m4a, 5.1 channels", ("ipod", "mov"), AAC, 48_000, 6).lossy(50, 0.99),
    row("m4a, Apple Lossless", ("ipod", "mov"), same("alac"), 44_100, 2),
    row("mp4, mp3", MP4, LAME, 44_100, 1).lossy(30, 0.99),
    row("mp4, Dolby Digital", MP4, same("ac3"), 48_000, 2).lossy(60, 0.99),
    row("mp4, Dolby Digital Plus", MP4, same("eac3"), 48_000, 2).lossy(60, 0.99),
    row("mov, IMA ADPCM", MOV, same("adpcm_ima_qt"), 22_050, 1).lossy(10, 0.99),
    row("mov, GSM", MOV, ("libgsm", "gsm"), 8_000, 1).lossy(30, 0.9),
    row("AAC without a container (ADTS)", ("adts", "aac"), AAC, 44_100, 1).lossy(60, 0.99),
    row(
        "AAC of broadcasts (LOAS)",
        ("latm", "loas"),
        ("aac", "aac_latm"),
        48_000,
        2,
    )
    .lossy(60, 0.99),
    row("mp3", MP3, LAME, 44_100, 2).lossy(1, 0.99),
    row("mp3, a picture in front", MP3, LAME, 22_050, 1)
        .lossy(1, 0.99)
        .tagged(picture_tag),
    row("mp2", ("mp2", "mp3"), same("mp2"), 44_100, 2).lossy(60, 0.99),
    row("ogg, Opus: voice notes of messengers", OGG, OPUS, 48_000, 1).lossy(1, 0.98),
    row("ogg, Opus of 16 kHz", OGG, OPUS, 16_000, 1).lossy(1, 0.98),
    row("ogg, Vorbis", OGG, VORBIS, 44_100, 2).lossy(50, 0.99),
    row("ogg, Speex", OGG, ("libspeex", "speex"), 16_000, 1).lossy(50, 0.9),
    row("ogg, Speex of 8 kHz", OGG, ("libspeex", "speex"), 8_000, 1).lossy(50, 0.9),
    row("ogg, FLAC", OGG, same("flac"), 16_000, 1),
    row("webm, Opus: recordings of browsers", WEBM, OPUS, 48_000, 1).lossy(1, 0.98),
    row("webm, Vorbis", WEBM, VORBIS, 48_000, 2).lossy(50, 0.99),
    row("mka, FLAC", MKV, same("flac"), 48_000, 1),
    row("flac", ("flac", "flac"), same("flac"), 48_000, 2),
    row("flac of a studio", ("flac", "flac"), same("flac"), 192_000, 1),
    row("wav, 8 bit", WAV, same("pcm_u8"), 8_000, 1),
    row("wav, 16 bit", WAV, same("pcm_s16le"), 44_100, 2),
    row("wav, 16 bit, 192 kHz", WAV, same("pcm_s16le"), 192_000, 1),
    row("wav, 16 bit, 8 channels", WAV, same("pcm_s16le"), 48_000, 8),
    row("wav, 24 bit", WAV, same("pcm_s24le"), 48_000, 2),
    row("wav, 32 bit", WAV, same("pcm_s32le"), 96_000, 2),
    row("wav, float", WAV, same("pcm_f32le"), 44_100, 1),
    row("wav, double", WAV, same("pcm_f64le"), 44_100, 1),
    row("wav of telephony, mu-law", WAV, same("pcm_mulaw"), 8_000, 1),
    row("wav of telephony, A-law", WAV, same("pcm_alaw"), 8_000, 2),
    row("wav, IMA ADPCM", WAV, same("adpcm_ima_wav"), 22_050, 1).lossy(60, 0.99),
    row("wav, Microsoft ADPCM", WAV, same("adpcm_ms"), 22_050, 2).lossy(60, 0.99),
    row("wav, Yamaha ADPCM", WAV, same("adpcm_yamaha"), 22_050, 1).lossy(60, 0.99),
    row("wav, Microsoft GSM", WAV, ("libgsm_ms", "gsm_ms"), 8_000, 1).lossy(50, 0.9),
    row("wav, G.722", WAV, same("g722"), 16_000, 1).lossy(30, 0.98),
    row("wav, mp3", WAV, LAME, 44_100, 1).lossy(60, 0.99),
    row("w64", ("w64", "w64"), same("pcm_s16le"), 48_000, 2),
    row("au, mu-law", AU, same("pcm_mulaw"), 8_000, 1),
    row("au, 16 bit", AU, same("pcm_s16be"), 16_000, 1),
    row("au, 32 bit", AU, same("pcm_s32be"), 16_000, 1),
    row("au, float", AU, same("pcm_f32be"), 16_000, 1),
    row("au, double", AU, same("pcm_f64be"), 16_000, 1),
    row("aiff, 8 bit", AIFF, same("pcm_s8"), 22_050, 1),
    row("aiff, 16 bit", AIFF, same("pcm_s16be"), 44_100, 2),
    row("aiff, 24 bit", AIFF, same("pcm_s24be"), 48_000, 2),
    row("aifc, 16 bit, little-endian", AIFF, same("pcm_s16le"), 44_100, 2),
    row("caf, 16 bit", CAF, same("pcm_s16be"), 44_100, 2),
    row("caf, Apple Lossless", CAF, same("alac"), 48_000, 1),
    row("caf, Opus", CAF, OPUS, 48_000, 1).lossy(30, 0.98),
    row("wma", ASF, same("wmav2"), 44_100, 2).lossy(60, 0.98),
    row("wma of the first version", ASF, same("wmav1"), 44_100, 1).lossy(60, 0.98),
];

/// On the lists, but not in a row: FFmpeg has no encoder for them, or another decoder of the same codec is picked.
pub(crate) const NOT_MADE: &[&str] = &[
    "mp1",
    "mp1float",
    "mp2float",
    "mp3",
    "wmalossless",
    "wmapro",
    "wmavoice",
];

/// The table of `docs/formats.md`.
pub(crate) fn markdown_table() -> String {
    let head = "| Sent as | Demuxer | Decoder | kHz | Channels | The test makes it with |\n|---|---|---|---|---|---|\n"
        .to_owned();
    ROWS.iter().fold(head, |mut text, row| {
        let (rate, channels) = row.form();
        let (name, demuxer, decoder, made) = (row.name, row.demuxer, row.decoder, row.made_by());
        let khz = f64::from(rate) / 1_000.0;
        let _ = writeln!(
            text,
            "| {name} | `{demuxer}` | `{decoder}` | {khz} | {channels} | {made} |"
        );
        text
    })
}
