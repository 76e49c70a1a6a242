//! Numbers as they are written: finite, in their range, and no longer than they are known.

/// To six places: what lies behind differs between processors.
pub(crate) fn places(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// A probability, in [0, 1]. What is no number is 0: JSON has no other way to be sure of nothing.
pub(crate) fn unit(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.clamp(0.0, 1.0) }
}

/// A stretch of time in whole milliseconds from the beginning, never ending before it starts. What is no time is the
/// beginning, or an end that falls on its start.
pub(crate) fn span_ms(start_sec: f64, end_sec: f64) -> (u64, u64) {
    let start = ms(start_sec);
    (start, ms(end_sec).max(start))
}

/// The same in seconds.
pub(crate) fn span_sec(start_sec: f64, end_sec: f64) -> (f64, f64) {
    let (start, end) = span_ms(start_sec, end_sec);
    (start as f64 / 1e3, end as f64 / 1e3)
}

/// Longest time there is, in ms: some 285 years, as far as seconds in an `f64` carry milliseconds with ease.
const MS_MAX: f64 = (1_u64 << 53) as f64 / 1e3;

fn ms(seconds: f64) -> u64 {
    // NaN casts to 0, and so does what is negative.
    if seconds.is_finite() {
        (seconds * 1e3).round().min(MS_MAX) as u64
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_written_as_one() {
        for (number, expected) in [(f64::NAN, 0.0), (f64::INFINITY, 1.0), (-0.1, 0.0), (0.25, 0.25)] {
            assert_eq!(unit(number), expected);
        }
        for (start, end, expected) in [
            (f64::NAN, f64::INFINITY, (0.0, 0.0)),
            (2.0, f64::NAN, (2.0, 2.0)),
            (-1.0, 1.0, (0.0, 1.0)),
            (3.0, 2.0, (3.0, 3.0)),
            (0.0004, 1.9996, (0.0, 2.0)),
            (1.28, 2.559_999_9, (1.28, 2.56)),
        ] {
            assert_eq!(span_sec(start, end), expected, "{start} to {end}");
        }
        assert!(span_sec(0.0, f64::MAX).1.is_finite());
    }
}
