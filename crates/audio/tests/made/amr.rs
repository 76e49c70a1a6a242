//! Files of the adaptive multi-rate codec, of which FFmpeg has no encoder: every pattern of bits in a frame is speech.

/// Frames in a file, 20 ms each.
pub(crate) const FRAMES: usize = 60;

/// Bytes of a frame after its first, by mode.
const NARROW: [usize; 8] = [12, 13, 15, 17, 19, 20, 26, 31];
const WIDE: [usize; 9] = [17, 23, 32, 36, 40, 46, 50, 58, 60];

/// A voice note of old telephones: 8 kHz.
pub(crate) fn narrow() -> Vec<u8> {
    file(b"#!AMR\n", &NARROW)
}

/// One of newer ones: 16 kHz.
pub(crate) fn wide() -> Vec<u8> {
    file(b"#!AMR-WB\n", &WIDE)
}

/// All modes in turn, drawn by a fixed seed.
fn file(magic: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(7);
    let mut bytes = magic.to_vec();
    for number in 0..FRAMES {
        let mode = number / 4 % sizes.len();
        let whole = 1 << 2; // the frame is not damaged
        bytes.push((mode << 3 | whole) as u8);
        bytes.extend((0..sizes[mode]).map(|_| dice.u8(..)));
    }
    bytes
}
