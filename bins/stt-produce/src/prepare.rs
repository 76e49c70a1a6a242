//! From the command line to jobs that are ready to be sent.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use stt_consume::Failure;
use uuid::Uuid;

use crate::address::{self, Address};
use crate::args::{Audio, Options};
use crate::job::{Maker, Outgoing};
use crate::jsonl;
use crate::serve::Serving;
use crate::site::{self, Site};

/// Jobs, and the server that has their files, if it has.
pub(crate) struct Prepared {
    pub(crate) jobs: Vec<Outgoing>,
    pub(crate) serving: Option<Serving>,
}

/// Makes all jobs and checks them, and begins to serve their files.
pub(crate) fn prepare(options: &Options) -> Result<Prepared, Failure> {
    let mut maker = Maker {
        given: &options.given,
        created_at: SystemTime::now().into(),
        new_id: Uuid::new_v4,
    };
    match &options.audio {
        Audio::Url(url) => Ok(Prepared {
            jobs: checked(vec![maker.at_url(url)], options.validate)?,
            serving: None,
        }),
        Audio::Files {
            paths,
            address,
            advertised_host,
        } => {
            let (jobs, serving) = serve(paths, address, advertised_host, &mut maker)?;
            Ok(Prepared {
                jobs: checked(jobs, options.validate)?,
                serving: Some(serving),
            })
        }
        Audio::Jsonl(path) => Ok(Prepared {
            jobs: lines(path.as_deref(), &mut maker, options.validate)?,
            serving: None,
        }),
    }
}

fn checked(jobs: Vec<Outgoing>, validate: bool) -> Result<Vec<Outgoing>, Failure> {
    // They differ in their URLs only, so what is wrong with the first is wrong with all.
    let problem = jobs.first().and_then(|job| job.check().err());
    match problem {
        Some(reason) if validate => Err(Failure::Input(format!("not a valid job: {reason}"))),
        _ => Ok(jobs),
    }
}

fn serve<I: FnMut() -> Uuid>(
    paths: &[PathBuf],
    address: &Address,
    advertised_host: &str,
    maker: &mut Maker<'_, I>,
) -> Result<(Vec<Outgoing>, Serving), Failure> {
    let mut site = Site::default();
    let mut served = Vec::new();
    for path in paths {
        readable(path).map_err(|error| about(path, &error))?;
        served.push((site::name(path), site.add(path, Uuid::new_v4())));
    }
    let serving = Serving::start(address, site).map_err(Failure::Input)?;
    let root = format!("http://{}:{}", address::in_url(advertised_host), serving.port);
    let job = |(name, path): (String, String)| Outgoing {
        label: Some(name),
        ..maker.at_url(&format!("{root}{path}"))
    };
    Ok((served.into_iter().map(job).collect(), serving))
}

fn readable(path: &Path) -> io::Result<()> {
    if File::open(path)?.metadata()?.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file"))
    }
}

fn lines<I: FnMut() -> Uuid>(
    path: Option<&Path>,
    maker: &mut Maker<'_, I>,
    validate: bool,
) -> Result<Vec<Outgoing>, Failure> {
    let bytes = match path {
        None => jsonl::read(io::stdin().lock()),
        Some(path) => File::open(path).and_then(jsonl::read),
    };
    let bytes = bytes.map_err(|error| about(path.unwrap_or(Path::new("stdin")), &error))?;
    jsonl::jobs(&bytes, maker, validate)
        .map_err(|problems| Failure::Input(format!("not valid jobs, nothing was sent\n{}", problems.join("\n"))))
}

fn about(path: &Path, error: &io::Error) -> Failure {
    Failure::Input(format!("{}: {error}", path.display()))
}
