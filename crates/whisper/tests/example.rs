//! The example, for real.

#[path = "../examples/transcribe.rs"]
#[allow(dead_code)] // its main
mod transcribe;

use std::path::Path;

#[test]
fn the_example_runs_on_the_fixtures() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let found = transcribe::transcribe(&fixtures.join("model"), &fixtures.join("audio/hi-016.wav")).unwrap();
    assert_eq!(found.text, "गुरुवार को दवा लाओ।");
}
