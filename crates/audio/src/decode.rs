//! Decoding, to what the model hears.

mod formats;
mod media;
mod samples;

use std::sync::Once;
use std::time::Duration;

use ffmpeg_next as ffmpeg;
use stt_core::{Budget, Decode, ErrorCode, Failure, Fetched, Pcm, Stop};

use self::media::Media;
use self::samples::Samples;

/// Settings of [`FfmpegDecode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeConfig {
    /// Longest audio taken, as decoded, whatever its header claims. Default 600 s.
    pub duration_max: Duration,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self {
            duration_max: Duration::from_secs(600),
        }
    }
}

/// Decodes with the system's FFmpeg, in this process.
///
/// The samples are those of faster-whisper's decoder: down-mixed and resampled by libswresample to 16-bit mono at
/// 16 kHz, then divided by 32,768. Damaged packets are left out, as the `ffmpeg` command does.
#[derive(Debug)]
pub struct FfmpegDecode {
    config: DecodeConfig,
}

/// Most failing reads in a row before the rest of the media is given up.
const BAD_READS_MAX: u32 = 100;

impl FfmpegDecode {
    /// The first of a process turns FFmpeg's own log off, which would write whole pages about damaged media to standard
    /// error. It is one switch for the process: who wants the log sets its level afterwards.
    #[must_use]
    pub fn new(config: DecodeConfig) -> Self {
        static QUIET: Once = Once::new();
        QUIET.call_once(|| ffmpeg::log::set_level(ffmpeg::log::Level::Quiet));
        Self { config }
    }
}

impl Decode for FfmpegDecode {
    fn decode(&self, media: &Fetched, budget: &Budget<'_>) -> Result<Pcm, Failure> {
        if media.is_empty() {
            return Err(Failure::permanent(ErrorCode::AudioEmpty, "the download has no bytes"));
        }
        check(budget)?;
        let media = Media::open(media, budget).map_err(|failure| stopped(budget).unwrap_or(failure))?;
        let run = Run {
            media,
            samples: Samples::default(),
            damaged: 0,
            duration_max: self.config.duration_max,
            budget,
        };
        run.go()
    }
}

/// One decoding.
struct Run<'a> {
    media: Media,
    samples: Samples,
    damaged: u32,
    duration_max: Duration,
    budget: &'a Budget<'a>,
}

impl Run<'_> {
    fn go(mut self) -> Result<Pcm, Failure> {
        let mut bad_reads = 0;
        loop {
            check(self.budget)?;
            match self.media.packet() {
                Ok(Some(packet)) => {
                    bad_reads = 0;
                    if let Err(error) = self.media.decoder.send_packet(&packet) {
                        self.skip(error);
                    }
                    self.take_frames()?;
                }
                Ok(None) => {}
                Err(ffmpeg::Error::Eof) => break,
                Err(ffmpeg::Error::Exit) => return Err(stopped(self.budget).unwrap_or_else(|| expired(self.budget))),
                Err(error) => {
                    self.skip(error);
                    bad_reads += 1;
                    if error != ffmpeg::Error::InvalidData || bad_reads == BAD_READS_MAX {
                        break;
                    }
                }
            }
        }
        if let Err(error) = self.media.decoder.send_eof() {
            self.skip(error);
        }
        self.take_frames()?;
        if let Err(error) = self.samples.flush() {
            self.skip(error);
        }
        self.finish()
    }

    /// Takes the frames that the decoder has ready.
    fn take_frames(&mut self) -> Result<(), Failure> {
        loop {
            let mut frame = ffmpeg::frame::Audio::empty();
            match self.media.decoder.receive_frame(&mut frame) {
                Ok(()) => {
                    check(self.budget)?;
                    if let Err(error) = self.samples.add(&mut frame) {
                        self.skip(error);
                    }
                    self.check_duration()?;
                }
                Err(
                    ffmpeg::Error::Eof
                    | ffmpeg::Error::Other {
                        errno: ffmpeg::error::EAGAIN,
                    },
                ) => return Ok(()),
                Err(error) => {
                    self.skip(error);
                    return Ok(());
                }
            }
        }
    }

    fn skip(&mut self, error: ffmpeg::Error) {
        log::trace!("left out what could not be decoded: {error}");
        self.damaged += 1;
    }

    fn check_duration(&self) -> Result<(), Failure> {
        let duration = self.samples.duration();
        if duration > self.duration_max {
            let message = format!("longer than {:?}", self.duration_max);
            return Err(Failure::permanent(ErrorCode::AudioTooLong, message));
        }
        Ok(())
    }

    fn finish(self) -> Result<Pcm, Failure> {
        self.check_duration()?;
        let (damaged, format) = (self.damaged, self.media.format);
        let pcm = self.samples.into_pcm();
        match (pcm.samples.is_empty(), damaged) {
            (true, 0) => Err(Failure::permanent(
                ErrorCode::AudioEmpty,
                format!("a stream of no samples, in {format}"),
            )),
            (true, _) => Err(Failure::permanent(
                ErrorCode::AudioDecodeFailed,
                format!("nothing could be decoded, from {format}"),
            )),
            (false, 0) => Ok(pcm),
            (false, _) => {
                log::debug!("{damaged} packets could not be decoded, from {format}; the rest could");
                Ok(pcm)
            }
        }
    }
}

fn check(budget: &Budget<'_>) -> Result<(), Failure> {
    stopped(budget).map_or(Ok(()), Err)
}

/// Why decoding must stop, when it must.
fn stopped(budget: &Budget<'_>) -> Option<Failure> {
    budget.check().err().map(|stop| match stop {
        Stop::Expired => expired(budget),
        Stop::Cancelled => Failure::transient(ErrorCode::TranscribeFailed, "decoding was cancelled"),
    })
}

/// For good: decoding is far faster than listening, so that media which takes this long is made to, and would take as
/// long again.
fn expired(budget: &Budget<'_>) -> Failure {
    let message = format!("decoding did not end within {:?}", budget.allowed());
    Failure::permanent(ErrorCode::TranscribeTimeout, message)
}
