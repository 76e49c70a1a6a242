//! Bytes opened as media: the format is recognised, its first audio stream found, and a decoder ready.

use std::ffi::CStr;
use std::io::{Read, Seek};
use std::ptr;
use std::time::Instant;

use ffmpeg_next as ffmpeg;

use ffmpeg::format::context::{Input, StreamIo};
use ffmpeg::{Dictionary, Packet, codec, decoder, media};
use stt_core::{Budget, ErrorCode, Failure};

use super::{formats, reads};

/// Most bytes read to recognise the format; covers the pictures that precede mp3 audio. As FFmpeg's default.
const PROBE_BYTES_MAX: u32 = 1 << 20;

/// Opened media.
pub(super) struct Media {
    /// FFmpeg's name of the format.
    pub(super) format: &'static str,
    pub(super) decoder: decoder::Audio,
    input: Input,
    stream: usize,
}

impl Media {
    pub(super) fn open(media: impl Read + Seek + Send + 'static, budget: &Budget<'_>) -> Result<Self, Failure> {
        let mut io = reads::io(media).map_err(|error| super::not_read(error.into()))?;
        let format = recognise(&mut io).ok_or_else(|| unsupported("the bytes are in no known format"))?;
        if !formats::is_opened(format) {
            return Err(unsupported(format!("{format} is not a format that is decoded")));
        }
        // FFmpeg asks at every read whether to stop, on this machine's clock: it cannot keep the budget's.
        let (cancel, deadline) = (budget.cancel().clone(), Instant::now() + budget.remaining());
        let stop = move || cancel.is_cancelled() || Instant::now() >= deadline;
        let mut input = ffmpeg::format::input_from_stream_with_interrupt(io, None, Some(options()), stop)
            .map_err(|error| damaged(format!("damaged {format}")).because(error))?;

        let is_audio = |stream: &ffmpeg::Stream<'_>| stream.parameters().medium() == media::Type::Audio;
        let found = input.streams().find(is_audio);
        let found = found.ok_or_else(|| {
            let message = format!("no audio stream in {format}");
            Failure::permanent(ErrorCode::AudioNoStream, message)
        })?;
        let stream = found.index();
        let parameters = found.parameters();
        let id = parameters.id();
        let codec = decoder::find(id).ok_or_else(|| unsupported(format!("no decoder for {id:?}, in {format}")))?;
        if !formats::DECODERS.contains(&codec.name()) {
            return Err(unsupported(format!(
                "{} is not a codec that is decoded, in {format}",
                codec.name()
            )));
        }
        let mut context = codec::Context::from_parameters(parameters)
            .map_err(|error| damaged(format!("damaged {format}")).because(error))?
            .decoder();
        context.set_packet_time_base(found.time_base());
        let decoder = context
            .open_as(codec)
            .and_then(|opened| opened.audio())
            .map_err(|error| damaged(format!("damaged {} in {format}", codec.name())).because(error))?;
        discard_others(&mut input, stream);
        Ok(Self {
            format,
            decoder,
            input,
            stream,
        })
    }

    /// The next packet; `None` for one of another stream.
    pub(super) fn packet(&mut self) -> Result<Option<Packet>, ffmpeg::Error> {
        let mut packet = Packet::empty();
        packet.read(&mut self.input)?;
        Ok((packet.stream() == self.stream).then_some(packet))
    }
}

/// Lets the demuxer pass over what is not decoded: it neither reads nor gives packets of other streams where the format
/// lets it know.
#[allow(unsafe_code)]
fn discard_others(input: &mut Input, decoded: usize) {
    for mut stream in input.streams_mut().filter(|stream| stream.index() != decoded) {
        // SAFETY: the stream is the input's, which is borrowed alone; nothing reads the field meanwhile.
        unsafe { (*stream.as_mut_ptr()).discard = ffmpeg::ffi::AVDiscard::AVDISCARD_ALL };
    }
}

/// The lists again, as FFmpeg opens decoders of its own to find out about streams.
fn options() -> Dictionary<'static> {
    let options = [
        ("format_whitelist", formats::DEMUXERS.join(",")),
        ("codec_whitelist", formats::DECODERS.join(",")),
        ("protocol_whitelist", "none".into()), // no demuxer may open anything besides these bytes
        ("probesize", "5000000".into()),
        ("analyzeduration", "5000000".into()), // microseconds
    ];
    options
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// The names of the demuxer for these bytes, which are read again afterwards. FFmpeg would find the same when opening, but
/// does not tell an unknown format from a damaged one then.
#[allow(unsafe_code)]
fn recognise(io: &mut StreamIo) -> Option<&'static str> {
    let mut format = ptr::null();
    // SAFETY: `io` owns a valid AVIOContext and is borrowed for the call, which may replace its buffer but leaves it
    // rewound. `format` is written only with a pointer to one of FFmpeg's static descriptions. A null URL and a null log
    // context are allowed.
    let score = unsafe {
        let pb = io.as_mut_ptr();
        ffmpeg::ffi::av_probe_input_buffer2(pb, &mut format, ptr::null(), ptr::null_mut(), 0, PROBE_BYTES_MAX)
    };
    if score < 0 || format.is_null() {
        return None;
    }
    // SAFETY: `format` is one of FFmpeg's static AVInputFormat, which live as long as the process, and whose name is a C
    // string that is never null.
    let names = unsafe { CStr::from_ptr((*format).name) };
    names.to_str().ok()
}

fn unsupported(message: impl Into<String>) -> Failure {
    Failure::permanent(ErrorCode::AudioUnsupportedFormat, message)
}

fn damaged(message: impl Into<String>) -> Failure {
    Failure::permanent(ErrorCode::AudioDecodeFailed, message)
}
