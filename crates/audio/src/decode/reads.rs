//! Reads of bounded size.
//!
//! FFmpeg reads a block of which the header says how long it is at once, and ffmpeg-next's [`StreamIo`] first fills a buffer
//! of its own of that size with zeros: a file of some bytes can claim 2 GiB. So FFmpeg gets less at a time than
//! it asks for, which it takes for what it is, and asks again.

use std::ffi::{c_int, c_void};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::OnceLock;

use ffmpeg_next as ffmpeg;

use ffmpeg::format::context::StreamIo;

/// Most bytes given to FFmpeg at once. Its own buffer has 32 KiB.
const READ_BYTES_MAX: c_int = 64 << 10;

/// The callback of FFmpeg's `AVIOContext`.
type Callback = unsafe extern "C" fn(*mut c_void, *mut u8, c_int) -> c_int;

/// What ffmpeg-next does when FFmpeg reads [`Source`], the only type that it reads here.
static READ: OnceLock<Callback> = OnceLock::new();

trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// One type for all media, so that there is one callback.
struct Source(Box<dyn ReadSeek>);

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Source {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.0.seek(place)
    }
}

/// Media as FFmpeg reads it.
#[allow(unsafe_code)]
pub(super) fn io(media: impl Read + Seek + Send + 'static) -> Result<StreamIo, ffmpeg::Error> {
    let mut io = StreamIo::from_read_seek(Source(Box::new(media)))?;
    // SAFETY: `io` owns a valid AVIOContext, which nobody else uses yet. Only its callback is replaced, by one that obeys the
    // same contract; `buffer` and `opaque`, which are ffmpeg-next's, stay.
    unsafe {
        let pb = io.as_mut_ptr();
        if let Some(read) = (*pb).read_packet.replace(bounded) {
            READ.get_or_init(|| read);
        }
    }
    Ok(io)
}

#[allow(unsafe_code)]
unsafe extern "C" fn bounded(opaque: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    match READ.get() {
        // SAFETY: FFmpeg calls with the context's own `opaque`, which belongs to a `Source`, as this callback is set for no
        // other; and with a buffer of `size` bytes, of which not more are used.
        Some(read) => unsafe { read(opaque, buffer, size.min(READ_BYTES_MAX)) },
        None => ffmpeg::ffi::AVERROR(libc::EIO), // it is set before the first read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Notes what it is asked for.
    struct Asked(io::Cursor<Vec<u8>>, Arc<Mutex<Vec<usize>>>);

    impl Read for Asked {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1.lock().unwrap().push(buffer.len());
            self.0.read(buffer)
        }
    }

    impl Seek for Asked {
        fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
            self.0.seek(place)
        }
    }

    #[test]
    #[allow(unsafe_code)]
    fn a_gibibyte_is_read_in_small_steps_until_the_bytes_end() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let asked = Arc::default();
        let mut io = io(Asked(io::Cursor::new(bytes.clone()), Arc::clone(&asked))).unwrap();
        let mut buffer = vec![0; 1 << 30]; // untouched, so that it costs nothing
        // SAFETY: `io` owns its context, and `buffer` has as many bytes as are asked for.
        let read = unsafe { ffmpeg::ffi::avio_read(io.as_mut_ptr(), buffer.as_mut_ptr(), 1 << 30) };
        assert_eq!(&buffer[..read as usize], &bytes);
        let asked = asked.lock().unwrap();
        assert!(
            asked.len() > 3 && asked.iter().all(|asked| *asked <= 64 << 10),
            "{asked:?}"
        );
    }
}
