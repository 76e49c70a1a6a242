//! Real media, damaged. Each file is made by its seed and number alone.

use fastrand::Rng;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// Cut off anywhere.
    Cut,
    /// One to eight bits turned.
    FewBits,
    /// One bit of a hundred to a thousand turned.
    ManyBits,
    /// A number of 16 bits in the first or last KiB says something else.
    Lie16,
    /// One of 32 bits.
    Lie32,
    /// The length beside a tag of four letters says something else.
    LengthLie,
    /// Another file of the same kind from somewhere on.
    SpliceAlike,
    /// One of another kind.
    SpliceOther,
    /// A block once more, up to 40 times.
    Repeat,
    /// A block of zeros in the place of one.
    Zeros,
    /// Noise between two bytes.
    Noise,
    /// Two blocks in each other's place.
    Swap,
}

pub(crate) const DAMAGES: [Damage; 12] = [
    Damage::Cut,
    Damage::FewBits,
    Damage::ManyBits,
    Damage::Lie16,
    Damage::Lie32,
    Damage::LengthLie,
    Damage::SpliceAlike,
    Damage::SpliceOther,
    Damage::Repeat,
    Damage::Zeros,
    Damage::Noise,
    Damage::Swap,
];

/// Numbers that headers lie with.
const LIES: [u32; 8] = [
    0,
    1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0xffff_fff0,
    0x00ff_ffff,
    0x7fff,
];

/// A file as it was.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) name: String,
    /// Files of one kind are spliced alike.
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

/// A damaged file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mutant {
    pub(crate) of: String,
    pub(crate) damages: Vec<Damage>,
    pub(crate) bytes: Vec<u8>,
}

/// The file of this number. Damages and files come in turn, so that each meets each; every fourth is damaged twice.
pub(crate) fn mutant(seed: u64, number: u64, wholes: &[Whole]) -> Mutant {
    let mut dice = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let turn = number as usize;
    let whole = &wholes[turn / DAMAGES.len() % wholes.len()];
    let mut damages = vec![DAMAGES[turn % DAMAGES.len()]];
    if dice.u8(..4) == 0 {
        damages.push(DAMAGES[dice.usize(..DAMAGES.len())]);
    }
    let mut bytes = whole.bytes.clone();
    for damage in &damages {
        apply(*damage, &mut bytes, &mut dice, whole, wholes);
    }
    Mutant {
        of: whole.name.clone(),
        damages,
        bytes,
    }
}

fn apply(damage: Damage, bytes: &mut Vec<u8>, dice: &mut Rng, whole: &Whole, wholes: &[Whole]) {
    if bytes.len() < 16 {
        bytes.resize(16, 0);
    }
    let length = bytes.len();
    match damage {
        Damage::Cut => bytes.truncate(dice.usize(1..length)),
        Damage::FewBits => flip(bytes, dice.usize(1..=8), dice),
        Damage::ManyBits => flip(bytes, (length * 8 / dice.usize(100..1_000)).max(1), dice),
        Damage::Lie16 => {
            let at = in_header(length - 2, dice);
            let lie = (LIES[dice.usize(..LIES.len())] as u16).to_be_bytes();
            bytes[at..at + 2].copy_from_slice(&lie);
        }
        Damage::Lie32 => {
            let at = in_header(length - 4, dice);
            bytes[at..at + 4].copy_from_slice(&lie(dice));
        }
        Damage::LengthLie => {
            let tags = tags(bytes);
            let tag = if tags.is_empty() {
                4
            } else {
                tags[dice.usize(..tags.len())]
            };
            // mp4 has the length before the tag; RIFF, AIFF and CAF after it, CAF's with 8 bytes.
            let beside = [tag.saturating_sub(4), tag + 4, tag + 8][dice.usize(..3)];
            let at = beside.min(length - 4);
            bytes[at..at + 4].copy_from_slice(&lie(dice));
        }
        Damage::SpliceAlike | Damage::SpliceOther => {
            let alike = damage == Damage::SpliceAlike;
            let fits = |other: &&Whole| (other.kind == whole.kind) == alike;
            let others: Vec<_> = wholes.iter().filter(fits).collect();
            let other = &others[dice.usize(..others.len())].bytes;
            bytes.truncate(dice.usize(1..length));
            bytes.extend(&other[dice.usize(..other.len())..]);
        }
        Damage::Repeat => {
            let (from, to) = block(length, dice);
            let again = bytes[from..to].repeat(dice.usize(1..=40));
            bytes.splice(to..to, again);
        }
        Damage::Zeros => {
            let (from, to) = block(length, dice);
            bytes[from..to].fill(0);
        }
        Damage::Noise => {
            let at = dice.usize(..length);
            let noise: Vec<u8> = (0..dice.usize(1..4_096)).map(|_| dice.u8(..)).collect();
            bytes.splice(at..at, noise);
        }
        Damage::Swap => {
            let size = dice.usize(1..=length / 4);
            let (a, b) = (dice.usize(..length / 2 - size), dice.usize(length / 2..=length - size));
            let (left, right) = bytes.split_at_mut(b);
            left[a..a + size].swap_with_slice(&mut right[..size]);
        }
    }
}

fn flip(bytes: &mut [u8], count: usize, dice: &mut Rng) {
    for _ in 0..count {
        let at = dice.usize(..bytes.len());
        bytes[at] ^= 1 << dice.u8(..8);
    }
}

/// A place in the first KiB or, as some formats have their header there, in the last.
fn in_header(end: usize, dice: &mut Rng) -> usize {
    let within = dice.usize(..end.clamp(1, 1_024));
    if dice.u8(..3) == 0 { end - within } else { within }
}

fn lie(dice: &mut Rng) -> [u8; 4] {
    let lie = LIES[dice.usize(..LIES.len())];
    if dice.bool() {
        lie.to_be_bytes()
    } else {
        lie.to_le_bytes()
    }
}

/// Where four letters stand.
fn tags(bytes: &[u8]) -> Vec<usize> {
    let is_tag = |window: &[u8]| window.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ');
    let places = bytes.windows(4).enumerate();
    places.filter(|(_, window)| is_tag(window)).map(|(at, _)| at).collect()
}

/// Up to 4 KiB.
fn block(length: usize, dice: &mut Rng) -> (usize, usize) {
    let from = dice.usize(..length - 1);
    let to = dice.usize(from + 1..length.min(from + 4_096));
    (from, to)
}
