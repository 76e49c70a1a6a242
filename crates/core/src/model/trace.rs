//! The W3C trace context of a job, as its record's `traceparent` header has it.

/// Name of the record header.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// A valid `traceparent`: which trace a job belongs to, and which span is its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The parent span; never 0.
    pub span_id: u64,
    /// Whether the parent is recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent` of version 00, or what a later version has in common with it. `None` when it is malformed.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (version, rest) = header.split_once('-')?;
        let (trace_id, rest) = rest.split_once('-')?;
        let (span_id, rest) = rest.split_once('-')?;
        let (flags, more) = rest
            .split_once('-')
            .map_or((rest, None), |(flags, more)| (flags, Some(more)));
        let version = hex(version, 2)?;
        if version == 0xff || version == 0 && more.is_some() {
            return None;
        }
        let trace_id = hex(trace_id, 32).filter(|id| *id != 0)?;
        let span_id = u64::try_from(hex(span_id, 16)?).ok().filter(|id| *id != 0)?;
        let sampled = hex(flags, 2)? & 1 == 1;
        Some(Self {
            trace_id,
            span_id,
            sampled,
        })
    }

    /// As a `traceparent` of version 00.
    #[must_use]
    pub fn header(&self) -> String {
        let Self {
            trace_id,
            span_id,
            sampled,
        } = self;
        format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(*sampled))
    }
}

/// Exactly so many lowercase hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_traceparent_is_read_and_written() {
        let context = TraceContext::parse(VALID).unwrap();
        assert_eq!(context.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((context.span_id, context.sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(context.header(), VALID);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}-more", &VALID[2..]);
        assert_eq!(TraceContext::parse(&later), TraceContext::parse(VALID));
    }

    #[test]
    fn malformed_traceparents_are_refused() {
        let zero_trace = format!("00-{:032x}-b7ad6b7169203331-01", 0);
        let zero_span = format!("00-0af7651916cd43dd8448eb211c80319c-{:016x}-01", 0);
        let cases = [
            String::new(),
            "00-a-b-01".into(),
            VALID.to_uppercase(),
            format!("ff{}", &VALID[2..]),
            format!("{VALID}-more"),
            VALID[..54].into(),
            VALID.replace("-01", "-+1"),
            zero_trace,
            zero_span,
        ];
        for case in cases {
            assert_eq!(TraceContext::parse(&case), None, "{case}");
        }
    }
}
