//! The settings as they are in force, for `--check`.

use std::fmt::Write as _;

use crate::problem::shown;
use crate::{Environment, KAFKA_CONF_PREFIX, VARIABLES, WorkerSettings};

/// `NAME=value` lines of every setting in force, secrets hidden; what is not set by the environment is marked so.
#[must_use]
pub fn show(environment: &Environment, settings: &WorkerSettings) -> String {
    let mut text = String::new();
    let cache_dir = settings.hub.cache_dir.display().to_string();
    for variable in VARIABLES {
        let derived = (variable.name == "HF_HUB_CACHE").then_some(cache_dir.as_str());
        let (value, note) = match (environment.get(variable.name), variable.default.or(derived)) {
            (Some(value), _) => (shown(variable.name, value), ""),
            (None, Some(default)) => (shown(variable.name, default), "  (default)"),
            (None, None) => (String::new(), "  (not set)"),
        };
        let _ = writeln!(text, "{}={value}{note}", variable.name); // writing to a String cannot fail
    }
    for (name, value) in environment
        .iter()
        .filter(|(name, _)| name.starts_with(KAFKA_CONF_PREFIX))
    {
        let _ = writeln!(text, "{name}={}", shown(name, value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_force_is_shown_but_no_secret() {
        let environment = Environment::from_pairs([
            ("HF_TOKEN", "hf_abc"),
            ("HF_HOME", "/data/hf"),
            ("KAFKA_CONF_SASL_PASSWORD", "hunter2"),
            ("KAFKA_CONF_SASL_OAUTHBEARER_CONFIG", "principal=hunter2"),
            ("KAFKA_CONF_SECURITY_PROTOCOL", "SASL_SSL"),
            ("OTHER", "hunter2"),
        ]);
        let text = show(&environment, &WorkerSettings::read(&environment).unwrap());
        for line in [
            "MODEL_SIZE=small  (default)",
            "COMPUTE_TYPE=  (not set)",
            "HF_HUB_CACHE=/data/hf/hub  (default)",
            "HF_TOKEN=***",
            "KAFKA_CONF_SASL_PASSWORD=***",
            "KAFKA_CONF_SECURITY_PROTOCOL=SASL_SSL",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("hf_abc") && !text.contains("hunter2"), "{text}");
    }
}
