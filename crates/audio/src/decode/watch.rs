//! Errors of our own files, which FFmpeg takes for the end of the media.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use stt_core::{ErrorCode, Failure};

/// Remembers the first error of what it watches; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Option<io::Error>>>);

impl Watch {
    /// Gives the bytes on, and watches.
    pub(super) fn over<R>(&self, inner: R) -> Watched<R> {
        Watched {
            inner,
            watch: self.clone(),
        }
    }

    /// Whatever was made of the bytes that could be read, when not all could.
    pub(super) fn failure(&self) -> Option<Failure> {
        let error = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map(|error| {
            let message = "the downloaded file cannot be read";
            Failure::worker_local(ErrorCode::AudioDecodeFailed, message).because(error)
        })
    }

    fn note(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::Interrupted {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            });
        }
    }
}

/// What is watched. Seeking is not: media asks for places that no file has.
pub(super) struct Watched<R> {
    inner: R,
    watch: Watch,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|error| self.watch.note(error))
    }
}

impl<R: Seek> Seek for Watched<R> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.inner.seek(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffmpeg_next::Packet;
    use ffmpeg_next::format::context::StreamIo;
    use stt_core::Fault;

    #[test]
    fn the_first_error_is_kept_and_no_interruption() {
        struct Broken(u32);
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                Err(match self.0 {
                    1 => io::ErrorKind::Interrupted.into(),
                    2 => io::Error::other("the disk is gone"),
                    _ => io::Error::other("again"),
                })
            }
        }
        let watch = Watch::default();
        let mut broken = watch.over(Broken(0));
        broken.read(&mut [0]).unwrap_err();
        assert!(watch.failure().is_none());
        broken.read(&mut [0]).unwrap_err();
        broken.read(&mut [0]).unwrap_err();
        let failure = watch.failure().unwrap();
        assert_eq!(failure.fault, Fault::WorkerLocal);
        assert_eq!(
            failure.error_chain(),
            "the downloaded file cannot be read: the disk is gone"
        );
    }

    /// A minute of silence as WAV, on a disk that breaks within it.
    #[derive(Debug)]
    struct BrokenDisk {
        wav: io::Cursor<Vec<u8>>,
        good_bytes: u64,
    }

    impl Read for BrokenDisk {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.wav.position() >= self.good_bytes {
                return Err(io::Error::other("bad sector"));
            }
            self.wav.read(buffer)
        }
    }

    impl Seek for BrokenDisk {
        fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
            self.wav.seek(place)
        }
    }

    #[test]
    fn a_disk_that_breaks_in_the_middle_is_told_from_media_that_ends() {
        let samples = 16_000 * 60_u32;
        let mut wav = b"RIFF".to_vec();
        wav.extend((36 + samples * 2).to_le_bytes());
        wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
        wav.extend((samples * 2).to_le_bytes());
        wav.resize(wav.len() + 2 * samples as usize, 0);
        for (good_bytes, told) in [(0, true), (1_000_000, true), (u64::MAX, false)] {
            let watch = Watch::default();
            let wav = io::Cursor::new(wav.clone());
            let io = StreamIo::from_read_seek(watch.over(BrokenDisk { wav, good_bytes })).unwrap();
            let mut bytes = 0;
            if let Ok(mut input) = ffmpeg_next::format::input_from_stream(io, None, None) {
                let mut packet = Packet::empty();
                while packet.read(&mut input).is_ok() {
                    bytes += packet.size();
                }
            }
            assert_eq!(watch.failure().is_some(), told, "{good_bytes}, read {bytes}");
            assert_eq!(bytes == 2 * samples as usize, !told, "{good_bytes}, read {bytes}");
        }
    }
}
