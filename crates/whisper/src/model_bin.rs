//! What `model.bin` says about the network, read without its weights.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Longest name of a variable, in bytes; CTranslate2's are under 100.
const NAME_MAX: u16 = 1024;

/// Size of the network: what CTranslate2 does not check before it indexes by `alignment_heads`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkSize {
    pub encoder_layers: usize,
    pub decoder_layers: usize,
    /// Attention heads of each layer of the decoder; 0 when the file does not say.
    pub heads: usize,
}

impl NetworkSize {
    /// Whether the decoder has each pair of layer and head.
    pub(crate) fn has(self, heads: &[(usize, usize)]) -> bool {
        heads
            .iter()
            .all(|(layer, head)| *layer < self.decoder_layers && (*head < self.heads || self.heads == 0))
    }
}

/// Reads the size of a network. Skips over the weights, so it takes milliseconds whatever the size of the model.
///
/// Source: `Model::load` of CTranslate2 (src/models/model.cc); binary versions 2 to 6.
pub(crate) fn network_size(path: &Path) -> io::Result<NetworkSize> {
    let mut file = BufReader::new(File::open(path)?);
    let version = u32_of(&mut file)?;
    if version >= 2 {
        string_of(&mut file)?; // name of the specification
        u32_of(&mut file)?; // its revision
    }
    let mut size = NetworkSize::default();
    for _ in 0..u32_of(&mut file)? {
        let name = string_of(&mut file)?;
        let rank = bytes_of::<1>(&mut file)?[0];
        file.seek_relative(4 * i64::from(rank))?;
        let kind = bytes_of::<1>(&mut file)?[0];
        let count = u32_of(&mut file)?;
        let bytes = if version >= 4 {
            u64::from(count)
        } else {
            u64::from(count) * u64::from(kind)
        };
        if name == "decoder/num_heads" && (1..=8).contains(&bytes) {
            let mut value = [0; 8];
            file.read_exact(&mut value[..bytes as usize])?;
            size.heads = usize::try_from(u64::from_le_bytes(value)).unwrap_or_default();
        } else {
            let bytes = i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            file.seek(SeekFrom::Current(bytes))?;
        }
        for (scope, layers) in [
            ("encoder", &mut size.encoder_layers),
            ("decoder", &mut size.decoder_layers),
        ] {
            *layers = (*layers).max(layer_of(&name, scope).map_or(0, |layer| layer + 1));
        }
    }
    Ok(size)
}

/// The number in `decoder/layer_7/…`.
fn layer_of(name: &str, scope: &str) -> Option<usize> {
    let layer = name.strip_prefix(scope)?.strip_prefix("/layer_")?;
    layer.split('/').next()?.parse().ok()
}

fn bytes_of<const N: usize>(file: &mut BufReader<File>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn u32_of(file: &mut BufReader<File>) -> io::Result<u32> {
    Ok(u32::from_le_bytes(bytes_of(file)?))
}

/// A length of two bytes, then so many bytes, the last of which is zero.
fn string_of(file: &mut BufReader<File>) -> io::Result<String> {
    let length = u16::from_le_bytes(bytes_of(file)?);
    if length > NAME_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::from(length)];
    file.read_exact(&mut bytes)?;
    bytes.pop();
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_fixture_model_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/model/model.bin");
        let size = network_size(&path).unwrap();
        let expected = NetworkSize {
            encoder_layers: 3,
            decoder_layers: 2,
            heads: 4,
        };
        assert_eq!(size, expected);
        assert!(size.has(&[(1, 0), (1, 3)]) && size.has(&[]));
        assert!(!size.has(&[(2, 0)]) && !size.has(&[(0, 4)]));
    }

    #[test]
    fn a_file_that_is_no_model_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.bin");
        for content in [&b""[..], b"GGUF", &[6, 0, 0, 0, 255, 255, 1, 2], &[0xff; 64]] {
            std::fs::write(&path, content).unwrap();
            assert!(network_size(&path).is_err(), "{content:?}");
        }
    }
}
