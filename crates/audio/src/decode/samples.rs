//! From decoded frames to 16-bit mono at 16 kHz.

use ffmpeg_next as ffmpeg;

use ffmpeg::format::{Sample, sample};
use ffmpeg::software::resampling::Context;
use ffmpeg::software::resampling::context::Definition;
use ffmpeg::{ChannelLayout, Error, frame};
use stt_core::Pcm;

/// Most channels and samples a second that are taken.
const CHANNELS_MAX: u16 = 64;
const RATE_MAX: u32 = 768_000;

/// Decoded samples that nobody has taken yet.
#[derive(Default)]
pub(super) struct Samples {
    ready: Vec<i16>,
    resampler: Option<Context>,
}

impl Samples {
    /// Adds a frame. Its form may differ from the last one's: streams change in the middle, and decoders find out late.
    pub(super) fn add(&mut self, frame: &mut frame::Audio) -> Result<(), Error> {
        let (channels, rate) = (frame.channels(), frame.rate());
        if !(1..=CHANNELS_MAX).contains(&channels) || !(1..=RATE_MAX).contains(&rate) {
            return Err(Error::InvalidData);
        }
        if frame.channel_layout().is_empty() {
            frame.set_channel_layout(ChannelLayout::default(channels.into()));
        }
        let form = Definition {
            format: frame.format(),
            channel_layout: frame.channel_layout(),
            rate,
        };
        if self
            .resampler
            .as_ref()
            .is_some_and(|resampler| *resampler.input() != form)
        {
            self.flush()?;
        }
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(resampler(form)?),
        };
        let grown = frame.samples() as u64 * u64::from(Pcm::RATE) / u64::from(rate);
        let mut out = room(resampler, grown);
        resampler.run(frame, &mut out)?;
        self.ready.extend_from_slice(samples(&out));
        Ok(())
    }

    /// Takes what the resampler still holds.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let Some(mut resampler) = self.resampler.take() else {
            return Ok(());
        };
        loop {
            let mut out = room(&resampler, 0);
            resampler.flush(&mut out)?;
            if out.samples() == 0 {
                return Ok(());
            }
            self.ready.extend_from_slice(samples(&out));
        }
    }

    pub(super) fn ready(&self) -> &[i16] {
        &self.ready
    }

    pub(super) fn clear(&mut self) {
        self.ready.clear();
    }
}

/// 16 bits, not floats: faster-whisper's models hear samples of this precision.
fn resampler(form: Definition) -> Result<Context, Error> {
    let s16 = Sample::I16(sample::Type::Packed);
    let mono = ChannelLayout::MONO;
    Context::get(form.format, form.channel_layout, form.rate, s16, mono, Pcm::RATE)
}

/// A frame with room for all that comes out for `grown` samples. With less, the rest would pile up in the resampler.
fn room(resampler: &Context, grown: u64) -> frame::Audio {
    let held = resampler.delay().map_or(0, |delay| delay.output.unsigned_abs());
    let samples = usize::try_from(held + grown + 32).unwrap_or(usize::MAX);
    frame::Audio::new(Sample::I16(sample::Type::Packed), samples, ChannelLayout::MONO)
}

fn samples(out: &frame::Audio) -> &[i16] {
    if out.samples() == 0 { &[] } else { out.plane(0) }
}
