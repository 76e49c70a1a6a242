//! Reading by the table.

use std::time::Duration;

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
        let number: Option<u64> = self.text(name).parse().ok();
        number
            .and_then(|number| number.try_into().ok())
            .expect("its rule takes nothing else")
    }

    pub(crate) fn seconds(&mut self, name: &str) -> Duration {
        let seconds = self.text(name).parse().expect("its rule takes nothing else");
        Duration::from_secs_f64(seconds)
    }

    pub(crate) fn millis(&mut self, name: &str) -> Duration {
        Duration::from_millis(self.whole(name))
    }

    pub(crate) fn switch(&mut self, name: &str) -> bool {
        rule::switch(&self.text(name)).expect("its rule takes nothing else")
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
