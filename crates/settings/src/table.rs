//! The table for people: `--help` and the documentation.

use std::fmt::Write as _;

use crate::{VARIABLES, Variable};

/// Variables with defaults, for `--help`: two lines each.
#[must_use]
pub fn help_table<'a>(variables: impl IntoIterator<Item = &'a Variable>) -> String {
    variables.into_iter().fold(String::new(), |mut text, variable| {
        let default = variable.default.map(|value| format!(" [{value}]")).unwrap_or_default();
        let (name, rule, meaning) = (variable.name, variable.rule, variable.meaning.replace('`', ""));
        let _ = writeln!(text, "  {name}{default}  ({rule})\n      {meaning}"); // writing to a String cannot fail
        text
    })
}

/// Every variable, as the table of `docs/configuration.md` and the README.
#[must_use]
pub fn markdown_table() -> String {
    let head = "| Variable | Default | Value | Meaning |\n|---|---|---|---|\n".to_owned();
    VARIABLES.iter().fold(head, |mut text, variable| {
        let default = variable.default.map(|value| format!("`{value}`")).unwrap_or_default();
        let (name, rule, meaning) = (variable.name, variable.rule, variable.meaning);
        let _ = writeln!(text, "| `{name}` | {default} | {rule} | {meaning} |");
        text
    })
}
