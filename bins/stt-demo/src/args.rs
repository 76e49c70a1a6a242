//! The command line.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Transcribes the clips of a folder through a real broker, worker, download, decode and model, and compares the
transcripts with those expected.

Usage: stt-demo [--audio DIR] [--model DIR]

  --audio DIR   the clips, with a transcripts.json that lists them [fixtures/audio]
  --model DIR   a Whisper model in CTranslate2 form [fixtures/model]
  --help        this text

Exit codes: 0 all match, 1 some differ or a part failed, 2 bad arguments
";

pub(crate) enum Request {
    Run(Options),
    Help,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) audio: PathBuf,
    pub(crate) model: PathBuf,
}

pub(crate) fn read(mut arguments: lexopt::Parser) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options {
        audio: "fixtures/audio".into(),
        model: "fixtures/model".into(),
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("audio") => options.audio = arguments.value()?.into(),
            Long("model") => options.model = arguments.value()?.into(),
            Long("help") | Short('h') => return Ok(Request::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Request::Run(options))
}
