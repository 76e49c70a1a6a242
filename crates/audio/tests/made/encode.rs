//! Files made by the system's FFmpeg.

use std::path::Path;

use ffmpeg_next as ffmpeg;

use ffmpeg::codec::{self, encoder};
use ffmpeg::format::context::Output;
use ffmpeg::format::{Pixel, Sample};
use ffmpeg::{ChannelLayout, Error, Packet, Rational, format, frame};

use super::sound::{SECONDS, Voice};

/// Pictures a second.
const PICTURES: i32 = 10;

/// A file to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) muxer: &'static str,
    pub(crate) encoder: &'static str,
    pub(crate) rate: u32,
    pub(crate) channels: u16,
    /// Options of the muxer, as the `ffmpeg` command has them.
    pub(crate) options: &'static [(&'static str, &'static str)],
    /// The encoder of a video track, which comes first.
    pub(crate) pictures: Option<&'static str>,
    /// What is said, a track each.
    pub(crate) voices: &'static [Voice],
}

impl Recipe {
    /// The file's bytes. An encoder that this FFmpeg lacks is a failure with its name.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        ffmpeg::log::set_level(ffmpeg::log::Level::Error);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made"); // a file: muxers go back, and read it again
        self.write(&path)
            .unwrap_or_else(|error| panic!("{} in {}: {error}", self.encoder, self.muxer));
        std::fs::read(&path).unwrap()
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        let mut output = format::output_as(path, self.muxer)?;
        let mut pictures = self.pictures.map(|name| film(&mut output, name)).transpose()?;
        let tracks: Result<Vec<_>, Error> = self.voices.iter().map(|_| self.track(&mut output)).collect();
        let unused: Vec<_> = output
            .write_header_with(self.options.iter().collect())?
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        assert!(unused.is_empty(), "{} knows no {unused:?}", self.muxer);
        if let Some(film) = &mut pictures {
            for number in 0..(SECONDS * f64::from(PICTURES)) as i64 {
                film.0.send_frame(&picture(number))?;
                drain(&mut film.0, 0, (1, PICTURES).into(), &mut output)?;
            }
            film.0.send_eof()?;
            drain(&mut film.0, 0, (1, PICTURES).into(), &mut output)?;
        }
        let first = usize::from(pictures.is_some());
        for (number, (mut track, voice)) in tracks?.into_iter().zip(self.voices).enumerate() {
            self.say(&mut track, *voice, first + number, &mut output)?;
        }
        output.write_trailer()
    }

    fn track(&self, output: &mut Output) -> Result<encoder::Audio, Error> {
        let codec = named(self.encoder);
        let mut track = codec::Context::new_with_codec(codec).encoder().audio()?;
        let form = codec.audio()?.formats().and_then(|mut formats| formats.next());
        let layout = ChannelLayout::default(self.channels.into());
        track.set_rate(self.rate as i32);
        track.set_channel_layout(layout);
        track.set_channels(self.channels.into());
        track.set_format(form.expect("encoders say what they take"));
        track.set_time_base((1, self.rate as i32));
        if headers_apart(output) {
            track.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let track = track.open_as(codec)?;
        let mut stream = output.add_stream(codec)?;
        stream.set_time_base((1, self.rate as i32));
        stream.set_parameters(&track);
        Ok(track)
    }

    fn say(&self, track: &mut encoder::Audio, voice: Voice, stream: usize, output: &mut Output) -> Result<(), Error> {
        let time_base = Rational::from((1, self.rate as i32));
        let frame_samples = match track.frame_size() {
            0 => 1_024,
            size => size as usize,
        };
        for (number, samples) in voice.samples(self.rate).chunks(frame_samples).enumerate() {
            let layout = ChannelLayout::default(self.channels.into());
            let mut frame = frame::Audio::new(track.format(), samples.len(), layout);
            frame.set_rate(self.rate);
            frame.set_pts(Some((number * frame_samples) as i64));
            fill(&mut frame, samples, self.channels.into());
            track.send_frame(&frame)?;
            drain(track, stream, time_base, output)?;
        }
        track.send_eof()?;
        drain(track, stream, time_base, output)
    }
}

fn named(name: &str) -> ffmpeg::Codec {
    encoder::find_by_name(name).unwrap_or_else(|| panic!("this FFmpeg has no encoder {name}"))
}

/// Whether the format wants what is true of the whole track in its own header.
fn headers_apart(output: &Output) -> bool {
    output.format().flags().contains(format::Flags::GLOBAL_HEADER)
}

fn film(output: &mut Output, name: &str) -> Result<encoder::Video, Error> {
    let codec = named(name);
    let mut film = codec::Context::new_with_codec(codec).encoder().video()?;
    film.set_width(64);
    film.set_height(48);
    film.set_format(picture(0).format());
    film.set_time_base((1, PICTURES));
    if headers_apart(output) {
        film.set_flags(codec::Flags::GLOBAL_HEADER);
    }
    let film = film.open_as(codec)?;
    let mut stream = output.add_stream(codec)?;
    stream.set_time_base((1, PICTURES));
    stream.set_parameters(&film);
    Ok(film)
}

fn picture(number: i64) -> frame::Video {
    let mut picture = frame::Video::new(Pixel::YUV420P, 64, 48);
    for plane in 0..3 {
        for (at, byte) in picture.data_mut(plane).iter_mut().enumerate() {
            *byte = (at as i64 * 3 + number * 11) as u8;
        }
    }
    picture.set_pts(Some(number));
    picture
}

/// Writes the packets that are ready.
fn drain(encoder: &mut encoder::Encoder, stream: usize, from: Rational, output: &mut Output) -> Result<(), Error> {
    let mut packet = Packet::empty();
    while encoder.receive_packet(&mut packet).is_ok() {
        packet.set_stream(stream);
        let to = output.stream(stream).ok_or(Error::StreamNotFound)?.time_base();
        packet.rescale_ts(from, to);
        packet.write_interleaved(output)?;
    }
    Ok(())
}

/// The same on every channel.
fn fill(frame: &mut frame::Audio, samples: &[f32], channels: usize) {
    let whole = |sample: f32, scale: f64| (f64::from(sample) * scale).round();
    let form = frame.format();
    let (planes, repeated) = if frame.is_planar() {
        (channels, 1)
    } else {
        (1, channels)
    };
    for plane in 0..planes {
        let bytes = frame.data_mut(plane);
        let mut at = 0;
        let mut put = |value: &[u8]| {
            for _ in 0..repeated {
                bytes[at..at + value.len()].copy_from_slice(value);
                at += value.len();
            }
        };
        for &sample in samples {
            match form {
                Sample::U8(_) => put(&[(whole(sample, 127.0) + 128.0) as u8]),
                Sample::I16(_) => put(&(whole(sample, 32_767.0) as i16).to_ne_bytes()),
                Sample::I32(_) => put(&(whole(sample, 2_147_483_647.0) as i32).to_ne_bytes()),
                Sample::F32(_) => put(&sample.to_ne_bytes()),
                Sample::F64(_) => put(&f64::from(sample).to_ne_bytes()),
                other => panic!("no encoder of these takes {other:?}"),
            }
        }
    }
}

/// The first track of a file in another container, its packets untouched.
pub(crate) fn remux(bytes: &[u8], muxer: &str) -> Vec<u8> {
    ffmpeg::log::set_level(ffmpeg::log::Level::Error);
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    std::fs::write(&from, bytes).unwrap();
    let mut input = format::input(&from).unwrap();
    let mut output = format::output_as(&to, muxer).unwrap();
    let (parameters, time_base) = {
        let stream = input.stream(0).unwrap();
        (stream.parameters(), stream.time_base())
    };
    let codec = ffmpeg::decoder::find(parameters.id());
    let mut stream = output.add_stream(codec).unwrap();
    stream.set_parameters(parameters);
    output.write_header().unwrap();
    for (_, mut packet) in input.packets() {
        let to = output.stream(0).unwrap().time_base();
        packet.set_stream(0);
        packet.set_position(-1);
        packet.rescale_ts(time_base, to);
        packet.write_interleaved(&mut output).unwrap();
    }
    output.write_trailer().unwrap();
    drop(output);
    std::fs::read(&to).unwrap()
}
