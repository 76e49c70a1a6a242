//! What is opened at all. Everything else that FFmpeg knows is refused before it reads on: playlists and other lists of
//! files, images, subtitles, session descriptions, and hundreds of rare decoders that see few eyes.

/// Demuxers, by FFmpeg's names; one of a demuxer's names is enough.
pub(super) const DEMUXERS: &[&str] = &[
    "aac",      // ADTS
    "aiff",     //
    "amr",      // AMR-NB and AMR-WB files
    "asf",      // wma
    "au",       //
    "caf",      //
    "flac",     //
    "loas",     // AAC of broadcasts
    "matroska", // and webm
    "mov",      // and mp4, m4a, 3gp
    "mp3",      //
    "ogg",      //
    "w64",      //
    "wav",      //
];

/// Audio decoders, by FFmpeg's names. No video decoder: pictures and video beside the audio stay closed.
pub(super) const DECODERS: &[&str] = &[
    "aac",
    "aac_latm",
    "ac3",
    "adpcm_ima_qt",
    "adpcm_ima_wav",
    "adpcm_ms",
    "adpcm_yamaha",
    "alac",
    "amrnb",
    "amrwb",
    "eac3",
    "flac",
    "g722",
    "gsm",
    "gsm_ms",
    "mp1",
    "mp1float",
    "mp2",
    "mp2float",
    "mp3",
    "mp3float",
    "opus",
    "pcm_alaw",
    "pcm_f32be",
    "pcm_f32le",
    "pcm_f64be",
    "pcm_f64le",
    "pcm_mulaw",
    "pcm_s16be",
    "pcm_s16le",
    "pcm_s24be",
    "pcm_s24le",
    "pcm_s32be",
    "pcm_s32le",
    "pcm_s8",
    "pcm_u8",
    "speex",
    "vorbis",
    "wmalossless",
    "wmapro",
    "wmav1",
    "wmav2",
    "wmavoice",
];

/// Whether a demuxer is on the list; FFmpeg joins the names of one by commas.
pub(super) fn is_opened(names: &str) -> bool {
    names.split(',').any(|name| DEMUXERS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_files_are_not_opened() {
        for names in [
            "hls",
            "concat",
            "dash",
            "sdp",
            "image2",
            "png_pipe",
            "tty",
            "srt",
            "webm_dash_manifest",
            "",
        ] {
            assert!(!is_opened(names), "{names}");
        }
        for names in ["mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "wav"] {
            assert!(is_opened(names), "{names}");
        }
    }

    #[test]
    fn ffmpeg_has_every_decoder_on_the_list_and_picks_none_beside_it() {
        for name in DECODERS {
            let named = ffmpeg_next::decoder::find_by_name(name).unwrap_or_else(|| panic!("no decoder {name}"));
            let picked = ffmpeg_next::decoder::find(named.id()).unwrap();
            assert!(DECODERS.contains(&picked.name()), "{} for {name}", picked.name());
        }
    }
}
