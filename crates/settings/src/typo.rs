//! Names that look as if a setting was meant.

use crate::{Environment, VARIABLES};

/// A line for each variable that has no effect although its name looks like a setting of ours: it begins with `STT_`, or
/// is one slip of the finger away from one.
#[must_use]
pub fn warnings(environment: &Environment) -> Vec<String> {
    environment
        .iter()
        .filter_map(|(name, value)| warning(name, value))
        .collect()
}

fn warning(name: &str, value: &str) -> Option<String> {
    // LANGUAGE is gettext's, set on many desktops and by many shells.
    let is_known = name == "LANGUAGE" || VARIABLES.iter().any(|variable| variable.name == name);
    if is_known || is_service_link(name, value) {
        return None;
    }
    match VARIABLES.iter().find(|variable| is_one_slip(name, variable.name)) {
        Some(variable) => Some(format!(
            "{name} is no setting and has no effect; is {} meant?",
            variable.name
        )),
        None => name
            .starts_with("STT_")
            .then(|| format!("{name} is no setting and has no effect")),
    }
}

/// Kubernetes puts variables such as `STT_WORKER_SERVICE_HOST` and `STT_WORKER_PORT=tcp://…` into every container.
fn is_service_link(name: &str, value: &str) -> bool {
    value.starts_with("tcp://")
        || ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"]
            .iter()
            .any(|part| name.starts_with("STT_") && name.contains(part))
}

/// One character more, less or other, or two neighbours swapped.
fn is_one_slip(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let alike = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    let (left, right) = (&left[alike..], &right[alike..]);
    let alike = left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .take_while(|(left, right)| left == right)
        .count();
    match (&left[..left.len() - alike], &right[..right.len() - alike]) {
        ([], []) => false,
        (left, right) if left.len() <= 1 && right.len() <= 1 => true,
        ([a, b], [c, d]) => (a, b) == (d, c),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_and_strangers_are_left_alone() {
        for (name, value, expected) in [
            (
                "MAX_ATEMPTS",
                "3",
                Some("MAX_ATEMPTS is no setting and has no effect; is MAX_ATTEMPTS meant?"),
            ),
            (
                "MAX_ATTEMTPS",
                "3",
                Some("MAX_ATTEMTPS is no setting and has no effect; is MAX_ATTEMPTS meant?"),
            ),
            (
                "DEVICES",
                "0",
                Some("DEVICES is no setting and has no effect; is DEVICE meant?"),
            ),
            ("STT_TOPIC", "a", Some("STT_TOPIC is no setting and has no effect")),
            ("STT_WORKER_SERVICE_HOST", "10.0.0.1", None),
            ("STT_WORKER_PORT", "tcp://10.0.0.1:80", None),
            ("STT_JOBS_TOPIC", "a", None),
            ("KAFKA_CONF_ACKS", "1", None),
            ("HOME", "/root", None),
            ("LANGUAGE", "en_US:en", None),
            ("HEALTH", "ok", None),
        ] {
            let found = warnings(&Environment::from_pairs([(name, value)]));
            assert_eq!(found.first().map(String::as_str), expected);
        }
    }
}
