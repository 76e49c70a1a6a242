//! Placeholder.
/// How silences are found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VadOptions {}
