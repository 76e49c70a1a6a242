//! How much a text repeats itself.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Length of the text in UTF-8 over its length after zlib at its default level; about 1 for a sentence, above 2.4 for a
/// loop. 0 for an empty text.
///
/// Source: `get_compression_ratio` of faster-whisper, which takes the same zlib.
#[must_use]
pub fn compression_ratio(text: &str) -> f64 {
    ratio(text.as_bytes())
}

/// The same with one byte for each character, whatever its script: its place in its block of 256. Devanagari then reads as
/// English does, where its bytes would read as repetition: each character's first two are nearly always the same.
#[must_use]
pub fn compression_ratio_of_characters(text: &str) -> f64 {
    let folded: Vec<u8> = text.chars().map(|char| u32::from(char) as u8).collect();
    ratio(&folded)
}

fn ratio(bytes: &[u8]) -> f64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    let compressed = written.expect("a vector takes every byte");
    bytes.len() as f64 / compressed.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by Python's `len(t.encode()) / len(zlib.compress(t.encode()))`.
    #[test]
    fn gives_what_pythons_zlib_gives() {
        for (text, ratio) in [
            ("", 0.0),
            ("Check the photo on Friday.", 0.764_705_882_352_941_1),
            ("चिट्ठी मत लाओ।", 0.808_510_638_297_872_3),
        ] {
            assert!(
                (compression_ratio(text) - ratio).abs() < 1e-12,
                "{text}: {}",
                compression_ratio(text)
            );
        }
        assert!(compression_ratio(&"no no no no ".repeat(20)) > 2.4);
    }

    /// The clips' own sentences, 40 words one after another, and one of them five times.
    #[test]
    fn plain_devanagari_is_no_loop_when_characters_count_and_a_loop_is_one_still() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/audio/transcripts.json");
        let clips: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for (tag, bytes_misfire) in [("en", false), ("hi", true), ("mr", true)] {
            let clips = clips
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, _)| name.starts_with(tag));
            let spoken: Vec<_> = clips.filter_map(|(_, clip)| clip["spoken"].as_str()).collect();
            let plain: Vec<_> = spoken.iter().flat_map(|text| text.split(' ')).take(40).collect();
            let plain = plain.join(" ");
            assert_eq!(
                compression_ratio(&plain) > 2.4,
                bytes_misfire,
                "{tag}: {}",
                compression_ratio(&plain)
            );
            let ratio = compression_ratio_of_characters(&plain);
            assert!(ratio < 1.7, "{tag}: {ratio}");
            let ratio = compression_ratio_of_characters(&[spoken[0]; 5].join(" "));
            assert!(ratio > 2.4, "{tag}: {ratio}");
        }
    }
}
