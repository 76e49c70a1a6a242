//! What `stt-audio` makes of the settings of where audio may come from.

use std::fs;
use std::path::Path;

use stt_audio::{AddressRule, EgressProxy, Ipv6Net, PrivateRoots};
use stt_settings::{EgressSettings, Problem};

const TARGETS: &str = "must be host names, IP addresses, ranges such as 10.0.0.0/8, and names at ranges such as \
                       media.internal=10.0.0.0/8:8080, separated by commas";
const PREFIXES: &str =
    "must be IPv6 prefixes of 32, 40, 48, 56, 64 or 96 bits such as 64:ff9b::/96, separated by commas";

/// The settings, read.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    pub(crate) allow: Vec<AddressRule>,
    pub(crate) deny: Vec<AddressRule>,
    pub(crate) nat64_prefixes: Vec<Ipv6Net>,
    pub(crate) proxy: Option<EgressProxy>,
    pub(crate) private_roots: Option<PrivateRoots>,
}

impl Egress {
    /// Reads them, and the file of certificates; what cannot be used is added to the problems.
    pub(crate) fn read(settings: &EgressSettings, problems: &mut Vec<Problem>) -> Self {
        Self {
            allow: targets("AUDIO_URL_ALLOW", &settings.allow, problems),
            deny: targets("AUDIO_URL_DENY", &settings.deny, problems),
            nat64_prefixes: prefixes(&settings.nat64_prefixes, problems),
            private_roots: settings.ca_file.as_deref().and_then(|path| roots(path, problems)),
            proxy: settings.proxy.as_deref().and_then(|text| proxy(text, problems)),
        }
    }
}

fn targets(variable: &str, texts: &[String], problems: &mut Vec<Problem>) -> Vec<AddressRule> {
    let mut rules = Vec::new();
    for text in texts {
        match text.parse() {
            Ok(rule) => rules.push(rule),
            Err(_) => problems.push(Problem::new(variable, text, TARGETS)),
        }
    }
    rules
}

fn prefixes(texts: &[String], problems: &mut Vec<Problem>) -> Vec<Ipv6Net> {
    let mut prefixes = Vec::new();
    for text in texts {
        match text.parse::<Ipv6Net>() {
            Ok(prefix) if [32, 40, 48, 56, 64, 96].contains(&prefix.prefix_len()) => prefixes.push(prefix.trunc()),
            _ => problems.push(Problem::new("AUDIO_NAT64_PREFIX", text, PREFIXES)),
        }
    }
    prefixes
}

fn roots(path: &Path, problems: &mut Vec<Problem>) -> Option<PrivateRoots> {
    let read = fs::read(path).map_err(|error| format!("cannot be read: {error}"));
    let parsed = read.and_then(|pem| PrivateRoots::from_pem(&pem).map_err(|error| format!("is not usable: {error}")));
    parsed
        .map_err(|why| problems.push(Problem::new("AUDIO_CA_FILE", &path.display().to_string(), why)))
        .ok()
}

fn proxy(text: &str, problems: &mut Vec<Problem>) -> Option<EgressProxy> {
    text.parse()
        .map_err(|error| problems.push(Problem::new("EGRESS_PROXY", text, format!("is {error}"))))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stt_settings::{Environment, WorkerSettings};

    #[test]
    fn what_cannot_be_used_is_told_and_no_password_with_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        fs::write(path, "no certificate").unwrap();
        let problems = |pairs: &[(&str, &str)]| {
            let settings = WorkerSettings::read(&Environment::from_pairs(pairs.iter().copied())).unwrap();
            let mut problems = vec![];
            Egress::read(&settings.egress, &mut problems);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let told = problems(&[
            ("AUDIO_URL_ALLOW", "media.internal,10.0.0.0/99"),
            ("AUDIO_URL_DENY", "*.example.com"),
            ("AUDIO_NAT64_PREFIX", "64:ff9b::/96, 10.0.0.0/8, 64:ff9b::/97"),
            ("AUDIO_CA_FILE", path),
            ("EGRESS_PROXY", "https://me:hunter2@proxy:3128"),
        ]);
        let usable = "is not usable: no certificate in it";
        let like = "http://proxy.example:3128 or http://user:password@proxy.example:3128";
        assert_eq!(
            told,
            [
                format!("AUDIO_URL_ALLOW=10.0.0.0/99: {TARGETS}"),
                format!("AUDIO_URL_DENY=*.example.com: {TARGETS}"),
                format!("AUDIO_NAT64_PREFIX=10.0.0.0/8: {PREFIXES}"),
                format!("AUDIO_NAT64_PREFIX=64:ff9b::/97: {PREFIXES}"),
                format!("AUDIO_CA_FILE={path}: {usable}"),
                format!("EGRESS_PROXY=***: is not a URL like {like}"),
            ]
        );
        let gone = problems(&[("AUDIO_CA_FILE", "/no/such/file")]);
        assert!(
            gone[0].starts_with("AUDIO_CA_FILE=/no/such/file: cannot be read: "),
            "{gone:?}"
        );
    }
}
