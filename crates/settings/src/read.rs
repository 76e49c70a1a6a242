//! Reading by the table.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use stt_schema::{Language, UrlParts};

use crate::variable::row;
use crate::{Environment, Problem, Problems, rule};

/// Reads variables and gathers what is wrong. A value that breaks its rule is noted, and the default stands in for it
/// until the end, when [`Reader::finish`] fails.
pub(crate) struct Reader<'a> {
    pub(crate) environment: &'a Environment,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            problems: vec![],
        }
    }

    pub(crate) fn optional(&mut self, name: &str) -> Option<String> {
        let variable = row(name);
        match self.environment.get(name) {
            Some(value) if variable.rule.accepts(value) => return Some(value.to_owned()),
            Some(_) => self.refuse(name, format!("must be {}", variable.rule)),
            None => {}
        }
        variable.default.map(str::to_owned)
    }

    pub(crate) fn text(&mut self, name: &str) -> String {
        self.optional(name).expect("it has a default")
    }

    pub(crate) fn whole<T: TryFrom<u64>>(&mut self, name: &str) -> T {
        self.optional_whole(name).expect("it has a default")
    }

    pub(crate) fn optional_whole<T: TryFrom<u64>>(&mut self, name: &str) -> Option<T> {
        let number: u64 = parsed(&self.optional(name)?);
        Some(number.try_into().ok().expect("its rule takes nothing else"))
    }

    pub(crate) fn seconds(&mut self, name: &str) -> Duration {
        self.optional_seconds(name).expect("it has a default")
    }

    pub(crate) fn optional_seconds(&mut self, name: &str) -> Option<Duration> {
        self.optional(name).map(|text| Duration::from_secs_f64(parsed(&text)))
    }

    pub(crate) fn number(&mut self, name: &str) -> f32 {
        parsed(&self.text(name))
    }

    pub(crate) fn optional_number(&mut self, name: &str) -> Option<f32> {
        self.optional(name).map(|text| parsed(&text))
    }

    pub(crate) fn number_or_off(&mut self, name: &str) -> Option<f64> {
        let text = self.text(name);
        (text != rule::OFF).then(|| parsed(&text))
    }

    pub(crate) fn numbers<T: FromStr>(&mut self, name: &str) -> Vec<T> {
        rule::items(&self.text(name)).map(parsed).collect()
    }

    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        rule::items(&text).map(str::to_owned).collect()
    }

    pub(crate) fn ports(&mut self, name: &str) -> Vec<u16> {
        rule::items(&self.text(name)).map(parsed).collect()
    }

    pub(crate) fn address(&mut self, name: &str) -> Option<IpAddr> {
        self.optional(name).map(|text| parsed(&text))
    }

    pub(crate) fn url_parts(&mut self, name: &str) -> UrlParts {
        parsed(&self.text(name))
    }

    /// Each once, in the order given.
    pub(crate) fn languages(&mut self, name: &str) -> Vec<Language> {
        let text = self.optional(name).unwrap_or_default();
        let mut languages: Vec<Language> = Vec::new();
        for language in rule::items(&text).map(parsed) {
            if !languages.contains(&language) {
                languages.push(language);
            }
        }
        languages
    }

    pub(crate) fn millis(&mut self, name: &str) -> Duration {
        Duration::from_millis(self.whole(name))
    }

    pub(crate) fn switch(&mut self, name: &str) -> bool {
        // What its rule takes beside the words of a switch stands for on.
        rule::switch(&self.text(name)).unwrap_or(true)
    }

    pub(crate) fn tokens(&mut self, name: &str) -> Vec<i32> {
        let text = self.text(name);
        let ids = rule::items(&text).filter(|item| *item != rule::OFF);
        ids.map(parsed).collect()
    }

    /// Notes that what a variable is set to, also by its default, cannot be used.
    pub(crate) fn refuse(&mut self, name: &str, rule: impl Into<String>) {
        let default = crate::VARIABLES
            .iter()
            .find(|variable| variable.name == name)
            .and_then(|row| row.default);
        let value = self.environment.get(name).or(default).unwrap_or_default();
        self.problems.push(Problem::new(name, value, rule));
    }

    /// Notes what others found.
    pub(crate) fn note(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    pub(crate) fn finish<T>(self, settings: T) -> Result<T, Problems> {
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(Problems(self.problems))
        }
    }
}

/// A value whose rule made sure of it.
fn parsed<T: FromStr>(text: &str) -> T {
    text.parse().ok().expect("its rule takes nothing else")
}
