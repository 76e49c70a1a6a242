//! What a value must be.

use std::fmt;

use stt_schema::Language;

/// What a value must be: checks it, and says so in words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Any text without control characters.
    Text,
    /// Addresses of Kafka brokers.
    Brokers,
    /// A name that Kafka takes for a topic.
    Topic,
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// A whole number with its unit, which may be empty.
    Whole {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A time in seconds.
    Seconds {
        /// Least.
        min: f64,
        /// Greatest.
        max: f64,
    },
    /// A number with decimals.
    Number {
        /// Least.
        min: f64,
        /// Greatest.
        max: f64,
    },
    /// The same, or the word `off`.
    NumberOrOff {
        /// Least.
        min: f64,
        /// Greatest.
        max: f64,
    },
    /// A few numbers with decimals, separated by commas.
    Numbers {
        /// Least.
        min: f64,
        /// Greatest.
        max: f64,
        /// Most of them.
        count_max: usize,
    },
    /// TCP ports, separated by commas.
    Ports,
    /// Languages by Whisper's codes or by BCP-47 tags, separated by commas.
    Languages,
    /// On or off, in the words that the Hugging Face libraries take.
    Switch,
    /// The same, or a word that stands for on.
    SwitchOr(&'static str),
    /// Ids of tokens, -1 among them, separated by commas, or the word `off`.
    Tokens,
    /// An http or https URL.
    HttpUrl,
    /// An IP address.
    Address,
}

impl Rule {
    /// Whether a (trimmed, non-empty) value is good.
    #[must_use]
    pub fn accepts(&self, value: &str) -> bool {
        // The second stands where the environment held bytes that are no UTF-8.
        if value.chars().any(|char| char.is_control() || char == '\u{fffd}') {
            return false;
        }
        match self {
            Self::Text => true,
            Self::Brokers => value.split(',').all(|broker| is_broker(broker.trim())),
            Self::Topic => {
                let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                value.len() <= 249 && ![".", ".."].contains(&value) && value.bytes().all(legal)
            }
            Self::OneOf(words) => words.contains(&value),
            Self::Whole { min, max, .. } => value.parse().is_ok_and(|number: u64| (*min..=*max).contains(&number)),
            Self::Seconds { min, max } | Self::Number { min, max } => is_number(value, *min, *max),
            Self::NumberOrOff { min, max } => value == OFF || is_number(value, *min, *max),
            Self::Numbers { min, max, count_max } => {
                let mut numbers = value.split(',').map(str::trim);
                numbers.clone().count() <= *count_max && numbers.all(|number| is_number(number, *min, *max))
            }
            Self::Ports => value
                .split(',')
                .all(|port| port.trim().parse().is_ok_and(|port: u16| port > 0)),
            Self::Languages => items(value).all(|tag| Language::from_tag(tag).is_ok()),
            Self::Switch => switch(value).is_some(),
            Self::SwitchOr(word) => value.eq_ignore_ascii_case(word) || switch(value).is_some(),
            Self::Tokens => {
                let is_token = |item: &str| item.parse().is_ok_and(|id: i32| id >= -1);
                value == OFF || value.split(',').map(str::trim).all(is_token)
            }
            Self::HttpUrl => is_http_url(value),
            Self::Address => value.parse::<std::net::IpAddr>().is_ok(),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("printable text"),
            Self::Brokers => f.write_str("host:port, more of them separated by commas"),
            Self::Topic => f.write_str("1 to 249 letters, digits, dots, dashes or underscores"),
            Self::OneOf([words @ .., last]) if !words.is_empty() => write!(f, "{} or {last}", words.join(", ")),
            Self::OneOf(words) => f.write_str(&words.join("")),
            Self::Whole { min, max, unit: "" } => write!(f, "a whole number, {min} to {max}"),
            Self::Whole { min, max, unit } => write!(f, "a whole number of {unit}, {min} to {max}"),
            Self::Seconds { min, max } => write!(f, "seconds, {min} to {max}, decimals allowed"),
            Self::Number { min, max } => write!(f, "a number, {min} to {max}, decimals allowed"),
            Self::NumberOrOff { min, max } => write!(f, "a number, {min} to {max}, decimals allowed, or {OFF}"),
            Self::Numbers { min, max, count_max } => {
                write!(f, "1 to {count_max} numbers, {min} to {max}, separated by commas")
            }
            Self::Ports => f.write_str("ports, 1 to 65535, separated by commas"),
            Self::Languages => f.write_str("Whisper's language codes or BCP-47 tags, separated by commas"),
            Self::Switch => f.write_str("1, true, yes, on, 0, false, no or off"),
            Self::SwitchOr(word) => write!(f, "1, true, yes, on, 0, false, no, off or {word}"),
            Self::Tokens => f.write_str("token ids or -1, separated by commas, or off"),
            Self::HttpUrl => f.write_str("an http or https URL"),
            Self::Address => f.write_str("an IP address"),
        }
    }
}

/// The word for a threshold that is not applied.
pub(crate) const OFF: &str = "off";

/// What stands between commas, trimmed; what is empty is left out.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn is_number(text: &str, min: f64, max: f64) -> bool {
    text.parse().is_ok_and(|number: f64| (min..=max).contains(&number))
}

/// What a switch says.
pub(crate) fn switch(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// `[protocol://]host[:port]`; librdkafka adds a port that is missing.
fn is_broker(text: &str) -> bool {
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let legal = |host: &str| !host.is_empty() && !host.contains([' ', '/', '@', '[', ']']);
    let good_host = match inner {
        Some(inner) => inner.contains(':') && legal(inner),
        None => !host.contains(':') && legal(host),
    };
    good_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_http_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) && !text.contains(' ') && is_broker(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_takes_the_good_and_refuses_the_bad() {
        let port = Rule::Whole {
            min: 0,
            max: 65_535,
            unit: "",
        };
        let time = Rule::Seconds { min: 0.1, max: 60.0 };
        let threshold = Rule::NumberOrOff { min: -5.0, max: 0.0 };
        let temperatures = Rule::Numbers {
            min: 0.0,
            max: 2.0,
            count_max: 3,
        };
        let cases: [(Rule, &[&str], &[&str]); 16] = [
            (
                Rule::Address,
                &["127.0.0.1", "::", "fd00::1"],
                &["localhost", "127.1", "[::1]", "127.0.0.1:80", "*"],
            ),
            (Rule::Text, &["small", "/models/मराठी"], &["a\0b", "a\nb", "a\u{fffd}"]),
            (
                Rule::Brokers,
                &[
                    "localhost:9092",
                    "a:1,b:2",
                    "a:1, b:2",
                    "kafka",
                    "[::1]:9092",
                    "SSL://a:9093",
                    "10.0.0.1:9092",
                ],
                &[
                    ",", "a:1,", "a:", "a:0", "a:99999", "a:b", "::1:9092", "a b:1", "a:1 b:2", "http://", "[]:1",
                ],
            ),
            (
                Rule::Topic,
                &["stt.jobs", "a_b-C.9"],
                &[".", "..", "stt jobs", "stt/jobs", "जॉब्स", &"a".repeat(250)],
            ),
            (Rule::OneOf(&["cpu", "cuda"]), &["cpu", "cuda"], &["CPU", "gpu"]),
            (
                port,
                &["0", "8081", "65535"],
                &["65536", "-1", "8081.0", "80 81", "0x10", "٨"],
            ),
            (
                time,
                &["0.1", "30", "2.5", "60"],
                &["0", "0.09", "60.1", "NaN", "inf", "30s", "-1", "1,5"],
            ),
            (
                Rule::Number { min: 0.1, max: 10.0 },
                &["0.1", "1", "1e1"],
                &["0", "10.1", "NaN", "inf", "off", "1,2"],
            ),
            (
                threshold,
                &["off", "-1.0", "0", "-.5"],
                &["none", "OFF", "1", "-6", "NaN"],
            ),
            (
                temperatures,
                &["0", "0,0.2, 1", "2"],
                &["0,,1", ",", "0,", "0,1,2,0", "2.1", "-0.1", "0;1", "0 1"],
            ),
            (
                Rule::Ports,
                &["443", "80,443", "80, 65535"],
                &[",", "80,", "0", "65536", "-1", "http", "80 443"],
            ),
            (
                Rule::Languages,
                &["mr", "mr,hi,en", "mr-IN, HI_in", "yue", "mr,"],
                &["marathi", "mr,xx", "mr hi", "mr;hi", "-"],
            ),
            (Rule::Switch, &["1", "TRUE", "off", "No"], &["2", "maybe", "silero"]),
            (Rule::SwitchOr("silero"), &["1", "off", "Silero"], &["2", "earshot"]),
            (
                Rule::Tokens,
                &["-1", "-1, 50257,0", "off"],
                &["-2", "1,", "a", "2147483648"],
            ),
            (
                Rule::HttpUrl,
                &[
                    "https://huggingface.co",
                    "http://127.0.0.1:4317/v1",
                    "HTTP://h",
                    "http://[::1]:80/",
                ],
                &[
                    "huggingface.co",
                    "ftp://h",
                    "http://",
                    "http:///a",
                    "http://h:x/",
                    "http://h/a b",
                ],
            ),
        ];
        for (rule, good, bad) in cases {
            good.iter()
                .for_each(|value| assert!(rule.accepts(value), "{rule}: {value}"));
            bad.iter()
                .for_each(|value| assert!(!rule.accepts(value), "{rule}: {value:?}"));
        }
    }
}
