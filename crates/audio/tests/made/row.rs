//! A row of the table of formats: a file that is made here, and what must be heard in it.

use super::encode::{Recipe, remux};
use super::sound::Voice::{self, One, Other};

/// How a row's file comes about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Made {
    Encoded(Recipe),
    /// No encoder: frames of drawn bits, so that the length and that there is sound are all that can be known.
    Drawn(fn() -> Vec<u8>),
    /// As the last, in another container.
    Moved(fn() -> Vec<u8>, &'static str),
    /// Encoded, with bytes before it.
    Tagged(Recipe, fn() -> Vec<u8>),
}

/// A format that is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// How people meet it.
    pub(crate) name: &'static str,
    /// FFmpeg's names, as the lists have them.
    pub(crate) demuxer: &'static str,
    pub(crate) decoder: &'static str,
    pub(crate) made: Made,
    /// What the codec may add or take away, and how late it may be, in ms.
    pub(crate) padding_ms: u32,
    /// How like what was said the heard must be at least.
    pub(crate) likeness_min: f64,
}

/// A recipe's row, of a file that keeps every sample.
pub(crate) const fn row(
    name: &'static str,
    (muxer, demuxer): (&'static str, &'static str),
    (encoder, decoder): (&'static str, &'static str),
    rate: u32,
    channels: u16,
) -> Row {
    let recipe = Recipe {
        muxer,
        encoder,
        rate,
        channels,
        options: &[],
        pictures: None,
        voices: &[One],
    };
    Row {
        name,
        demuxer,
        decoder,
        made: Made::Encoded(recipe),
        padding_ms: 0,
        likeness_min: 0.999,
    }
}

impl Row {
    const fn recipe(self, change: Recipe) -> Self {
        Self {
            made: Made::Encoded(change),
            ..self
        }
    }

    pub(crate) const fn options(self, options: &'static [(&'static str, &'static str)]) -> Self {
        match self.made {
            Made::Encoded(recipe) => self.recipe(Recipe { options, ..recipe }),
            _ => panic!("only recipes have options"),
        }
    }

    /// A film, with the pictures first and two tracks to be heard.
    pub(crate) const fn film(self, pictures: &'static str) -> Self {
        match self.made {
            Made::Encoded(recipe) => self.recipe(Recipe {
                pictures: Some(pictures),
                voices: &[One, Other],
                ..recipe
            }),
            _ => panic!("only recipes have pictures"),
        }
    }

    pub(crate) const fn tagged(self, tag: fn() -> Vec<u8>) -> Self {
        match self.made {
            Made::Encoded(recipe) => Self {
                made: Made::Tagged(recipe, tag),
                ..self
            },
            _ => panic!("only recipes are tagged"),
        }
    }

    /// A codec that leaves something out, and may be late.
    pub(crate) const fn lossy(self, padding_ms: u32, likeness_min: f64) -> Self {
        Self {
            padding_ms,
            likeness_min,
            ..self
        }
    }

    pub(crate) const fn made(name: &'static str, demuxer: &'static str, decoder: &'static str, made: Made) -> Self {
        Self {
            name,
            demuxer,
            decoder,
            made,
            padding_ms: 0,
            likeness_min: 0.0,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self.made {
            Made::Encoded(recipe) => recipe.bytes(),
            Made::Drawn(bytes) => bytes(),
            Made::Moved(bytes, muxer) => remux(&bytes(), muxer),
            Made::Tagged(recipe, tag) => [tag(), recipe.bytes()].concat(),
        }
    }

    /// What is to be heard; `None` when that cannot be known.
    pub(crate) fn voice(&self) -> Option<Voice> {
        match self.made {
            Made::Encoded(recipe) | Made::Tagged(recipe, _) => recipe.voices.first().copied(),
            Made::Drawn(_) | Made::Moved(..) => None,
        }
    }

    pub(crate) fn made_by(&self) -> String {
        match self.made {
            Made::Encoded(Recipe { muxer, encoder, .. }) => format!("`{encoder}` in `{muxer}`"),
            Made::Drawn(_) => "by hand: frames of drawn bits".to_owned(),
            Made::Moved(_, muxer) => format!("the same frames in `{muxer}`"),
            Made::Tagged(Recipe { muxer, encoder, .. }, _) => format!("`{encoder}` in `{muxer}`, and a tag by hand"),
        }
    }

    pub(crate) fn form(&self) -> (u32, u16) {
        match self.made {
            Made::Encoded(Recipe { rate, channels, .. }) | Made::Tagged(Recipe { rate, channels, .. }, _) => {
                (rate, channels)
            }
            Made::Drawn(_) | Made::Moved(..) if self.decoder == "amrwb" => (16_000, 1),
            Made::Drawn(_) | Made::Moved(..) => (8_000, 1),
        }
    }
}
