//! What is wrong with settings.

use std::fmt;

use crate::variable::is_secret;

/// A setting that cannot be used. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the variable.
    pub variable: String,
    /// What it was set to, fit to be shown.
    pub value: String,
    /// The rule that it breaks, as in "must be a whole number, 1 to 100".
    pub rule: String,
}

impl Problem {
    /// A problem with a variable; the value is hidden when it may be a secret.
    pub fn new(variable: impl Into<String>, value: &str, rule: impl Into<String>) -> Self {
        let variable = variable.into();
        let value = shown(&variable, value);
        Self {
            variable,
            value,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: {}", self.variable, self.value, self.rule)
    }
}

/// Everything that is wrong, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            let line_end = if number == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The value as it may be shown: secrets and the credentials in URLs hidden, control characters escaped, not too long.
pub(crate) fn shown(variable: &str, value: &str) -> String {
    const CHARS_MAX: usize = 120;
    if is_secret(variable) {
        return "***".to_owned();
    }
    let value = match value.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            match authority.rsplit_once('@') {
                Some((credentials, _)) => format!("{scheme}://***{}", &rest[credentials.len()..]),
                None => value.to_owned(),
            }
        }
        None => value.to_owned(),
    };
    let mut text: String = value.chars().take(CHARS_MAX).flat_map(escaped).collect();
    if value.chars().nth(CHARS_MAX).is_some() {
        text.push('…');
    }
    text
}

fn escaped(char: char) -> impl Iterator<Item = char> {
    let (plain, escape) = if stt_schema::is_hidden(char) {
        (None, Some(char.escape_default()))
    } else {
        (Some(char), None)
    };
    plain.into_iter().chain(escape.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_and_nothing_that_breaks_lines_is_shown() {
        for (variable, value, expected) in [
            ("HF_TOKEN", "hf_abc", "***"),
            ("KAFKA_CONF_SASL_PASSWORD", "hunter2", "***"),
            ("HF_ENDPOINT", "ftp://me:hunter2@host/a@b", "ftp://***@host/a@b"),
            ("HF_ENDPOINT", "ftp://host/a@b", "ftp://host/a@b"),
            ("STT_JOBS_TOPIC", "a\nb\u{1b}", "a\\nb\\u{1b}"),
        ] {
            assert_eq!(Problem::new(variable, value, "").value, expected);
        }
        assert_eq!(Problem::new("DEVICE", &"x".repeat(500), "").value.chars().count(), 121);
    }
}
