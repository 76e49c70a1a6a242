//! Decoding, to what the model hears.

mod formats;
mod media;
mod reads;
mod samples;
mod watch;

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::sync::Once;
use std::time::Duration;

use ffmpeg_next as ffmpeg;
use stt_core::{Budget, Decode, ErrorCode, Failure, Fetched, Pcm, SpillFile, Stop};

use self::media::Media;
use self::samples::Samples;
use self::watch::Watch;

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

/// Decodes with the system's FFmpeg, in this process: what crashes FFmpeg ends it. [`crate::IsolatedDecode`] does not.
///
/// The samples are those of faster-whisper's decoder: down-mixed and resampled by libswresample to 16-bit mono at
/// 16 kHz, then divided by 32,768. Damaged packets are left out, as the `ffmpeg` command does.
#[derive(Debug)]
pub struct FfmpegDecode {
    config: DecodeConfig,
}

/// Most failing reads in a row before the rest of the media is given up.
const BAD_READS_MAX: u32 = 100;

/// Largest single allocation of FFmpeg. The index of hours of audio takes some 20 MiB; FFmpeg's own limit is 2 GiB, which
/// headers may claim.
const ALLOCATION_BYTES_MAX: usize = 256 << 20;

impl FfmpegDecode {
    /// What decoding may say of media; [`crate::IsolatedDecode`] believes no other code.
    pub const CODES: [ErrorCode; 6] = [
        ErrorCode::AudioUnsupportedFormat,
        ErrorCode::AudioNoStream,
        ErrorCode::AudioEmpty,
        ErrorCode::AudioDecodeFailed,
        ErrorCode::AudioTooLong,
        ErrorCode::TranscribeTimeout,
    ];

    /// The first of a process turns FFmpeg's own log off, which would write whole pages about damaged media to standard
    /// error, and lets FFmpeg allocate no more than 256 MiB at once. Both are switches for the whole process: who wants others
    /// sets them afterwards.
    #[must_use]
    pub fn new(config: DecodeConfig) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
            limit_allocations();
        });
        Self { config }
    }
}

#[allow(unsafe_code)]
fn limit_allocations() {
    // SAFETY: it stores a number, atomically, which allocations look at.
    unsafe { ffmpeg::ffi::av_max_alloc(ALLOCATION_BYTES_MAX) }
}

impl Decode for FfmpegDecode {
    fn decode(&self, media: &Fetched, budget: &Budget<'_>) -> Result<Pcm, Failure> {
        check_not_empty(media)?;
        check(budget)?;
        let mut pcm = Pcm::default();
        let mut take = |samples: &[i16]| {
            pcm.samples.extend(samples.iter().copied().map(float));
            Ok(())
        };
        match media {
            // FFmpeg reads what it can own: a copy of the bytes (at most `memory_max` of them), or the open file.
            Fetched::Memory(bytes) => self.decode_from(Cursor::new(bytes.clone()), budget, &mut take),
            Fetched::Spilled(file) => self.decode_from(open(file)?, budget, &mut take),
        }?;
        Ok(pcm)
    }
}

/// Whether a failure of decoding was for want of memory.
pub(crate) fn is_starved(failure: &Failure) -> bool {
    let cause = failure.source.as_ref().and_then(|cause| cause.downcast_ref());
    let errno = ffmpeg::error::ENOMEM;
    cause == Some(&ffmpeg::Error::Other { errno })
}

impl FfmpegDecode {
    /// Gives the samples to `take` as they come, never more than the longest audio has; they count when all are given. How
    /// many packets were damaged and left out.
    pub(crate) fn decode_from(
        &self,
        media: impl Read + Seek + Send + 'static,
        budget: &Budget<'_>,
        take: Take<'_>,
    ) -> Result<u32, Failure> {
        let watch = Watch::default();
        let decoded = self.decode_watched(watch.over(media), budget, take);
        watch.failure().map_or(decoded, Err)
    }

    fn decode_watched(
        &self,
        media: impl Read + Seek + Send + 'static,
        budget: &Budget<'_>,
        take: Take<'_>,
    ) -> Result<u32, Failure> {
        let media = Media::open(media, budget).map_err(|failure| stopped(budget).unwrap_or(failure))?;
        let run = Run {
            media,
            samples: Samples::default(),
            count: 0,
            damaged: 0,
            duration_max: self.config.duration_max,
            budget,
            take,
        };
        run.go()
    }
}

/// What takes the samples, 16-bit mono at 16 kHz.
pub(crate) type Take<'a> = &'a mut dyn FnMut(&[i16]) -> Result<(), Failure>;

/// What faster-whisper makes of a sample of 16 bits.
pub(crate) fn float(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

pub(crate) fn check_not_empty(media: &Fetched) -> Result<(), Failure> {
    if media.is_empty() {
        return Err(Failure::permanent(ErrorCode::AudioEmpty, "the download has no bytes"));
    }
    Ok(())
}

pub(crate) fn open(file: &SpillFile) -> Result<File, Failure> {
    file.open().map_err(not_read)
}

/// One decoding.
struct Run<'a> {
    media: Media,
    samples: Samples,
    /// Samples taken.
    count: usize,
    damaged: u32,
    duration_max: Duration,
    budget: &'a Budget<'a>,
    take: Take<'a>,
}

impl Run<'_> {
    fn go(mut self) -> Result<u32, Failure> {
        let mut bad_reads = 0;
        loop {
            check(self.budget)?;
            match self.media.packet() {
                Ok(Some(packet)) => {
                    bad_reads = 0;
                    if let Err(error) = self.media.decoder.send_packet(&packet) {
                        self.skip(error)?;
                    }
                    self.take_frames()?;
                }
                Ok(None) => {}
                Err(ffmpeg::Error::Eof) => break,
                Err(ffmpeg::Error::Exit) => return Err(stopped(self.budget).unwrap_or_else(|| expired(self.budget))),
                Err(error) => {
                    self.skip(error)?;
                    bad_reads += 1;
                    if error != ffmpeg::Error::InvalidData || bad_reads == BAD_READS_MAX {
                        break;
                    }
                }
            }
        }
        if let Err(error) = self.media.decoder.send_eof() {
            self.skip(error)?;
        }
        self.take_frames()?;
        if let Err(error) = self.samples.flush() {
            self.skip(error)?;
        }
        self.pass_on()?;
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
                        self.skip(error)?;
                    }
                    self.pass_on()?;
                }
                Err(
                    ffmpeg::Error::Eof
                    | ffmpeg::Error::Other {
                        errno: ffmpeg::error::EAGAIN,
                    },
                ) => return Ok(()),
                Err(error) => {
                    self.skip(error)?;
                    return Ok(());
                }
            }
        }
    }

    /// Leaves out what is damaged. What memory did not suffice for is not: a text with holes would not tell.
    fn skip(&mut self, error: ffmpeg::Error) -> Result<(), Failure> {
        let errno = ffmpeg::error::ENOMEM;
        if error == (ffmpeg::Error::Other { errno }) {
            let message = format!("too little memory to decode it, from {}", self.media.format);
            return Err(Failure::permanent(ErrorCode::AudioDecodeFailed, message).because(error));
        }
        log::trace!("left out what could not be decoded: {error}");
        self.damaged += 1;
        Ok(())
    }

    /// Gives on what is ready, unless it is too long with it.
    fn pass_on(&mut self) -> Result<(), Failure> {
        let ready = self.samples.ready();
        self.count += ready.len();
        if duration(self.count) > self.duration_max {
            let message = format!("longer than {:?}", self.duration_max);
            return Err(Failure::permanent(ErrorCode::AudioTooLong, message));
        }
        (self.take)(ready)?;
        self.samples.clear();
        Ok(())
    }

    fn finish(self) -> Result<u32, Failure> {
        let (damaged, format) = (self.damaged, self.media.format);
        match (self.count, damaged) {
            (0, 0) => Err(Failure::permanent(
                ErrorCode::AudioEmpty,
                format!("a stream of no samples, in {format}"),
            )),
            (0, _) => Err(Failure::permanent(
                ErrorCode::AudioDecodeFailed,
                format!("nothing could be decoded, from {format}"),
            )),
            (_, 0) => Ok(0),
            (_, _) => {
                log::debug!("{damaged} packets could not be decoded, from {format}; the rest could");
                Ok(damaged)
            }
        }
    }
}

fn duration(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(Pcm::RATE))
}

/// A fresh download may be readable; holding the job for this one would be in vain.
pub(crate) fn not_read(error: io::Error) -> Failure {
    let message = "the downloaded file cannot be read";
    Failure::transient(ErrorCode::AudioDecodeFailed, message).because(error)
}

pub(crate) fn check(budget: &Budget<'_>) -> Result<(), Failure> {
    stopped(budget).map_or(Ok(()), Err)
}

/// Why decoding must stop, when it must.
pub(crate) fn stopped(budget: &Budget<'_>) -> Option<Failure> {
    budget.check().err().map(|stop| match stop {
        Stop::Expired => expired(budget),
        Stop::Cancelled => Failure::transient(ErrorCode::TranscribeFailed, "decoding was cancelled"),
    })
}

/// For good: decoding is far faster than listening, so that media which takes this long is made to, and would take as
/// long again.
pub(crate) fn expired(budget: &Budget<'_>) -> Failure {
    let message = format!("decoding did not end within {:?}", budget.allowed());
    Failure::permanent(ErrorCode::TranscribeTimeout, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn ffmpeg_allocates_within_its_limit() {
        let _first = FfmpegDecode::new(DecodeConfig::default());
        // SAFETY: what is allocated is freed, and never used.
        let allocates = |bytes| unsafe {
            let memory = ffmpeg::ffi::av_malloc(bytes);
            ffmpeg::ffi::av_free(memory);
            !memory.is_null()
        };
        assert!(allocates(1 << 20) && !allocates(ALLOCATION_BYTES_MAX + 1));
    }
}
