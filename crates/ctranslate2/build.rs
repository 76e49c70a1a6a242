//! Compiles `src/whisper.cc` against the headers of the CTranslate2 that `ct2rs` compiles.

use std::path::{Path, PathBuf};
use std::process::Command;

#[allow(clippy::disallowed_methods)] // a build script is configured by its environment
fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn main() {
    for changed in [
        "build.rs",
        "src/lib.rs",
        "src/whisper.cc",
        "src/whisper.h",
        "src/decoder.cc",
        "src/decoder.h",
        "src/encoder.cc",
        "src/encoder.h",
        "src/kernels.cc",
        "src/kernels.h",
        "src/parallel.h",
    ] {
        println!("cargo:rerun-if-changed={changed}");
    }
    cxx_build::bridge("src/lib.rs")
        .file("src/whisper.cc")
        .file("src/decoder.cc")
        .file("src/encoder.cc")
        .file("src/kernels.cc")
        .include(ct2rs().join("CTranslate2/include"))
        .include("src")
        .std("c++17")
        .flag_if_supported("-fopenmp")
        .flag_if_supported("-Wno-unused-parameter") // CTranslate2's headers have many
        // GCC 12 takes the deliberately undefined values in its own intrinsics for mistakes (its bug 105593).
        .flag_if_supported("-Wno-uninitialized")
        .flag_if_supported("-Wno-maybe-uninitialized")
        .compile("stt-ctranslate2");
}

/// The folder of the `ct2rs` that this build uses. `ct2rs` declares no `links`, so Cargo passes nothing on from its build
/// script, and only `cargo metadata` knows the folder.
fn ct2rs() -> PathBuf {
    // First without the network, as in a build with `--offline` or vendored sources. That fails when the cache of the
    // registry lacks a package of the lock file that this build does not need.
    let mut errors = Vec::new();
    for offline in [&["--offline"][..], &[]] {
        match metadata(offline) {
            Ok(metadata) => {
                return folder(&metadata).expect("cargo metadata lists ct2rs, a dependency of this package");
            }
            Err(error) => errors.push(error),
        }
    }
    panic!("cargo metadata: {}", errors.join("; "));
}

fn metadata(options: &[&str]) -> Result<serde_json::Value, String> {
    let output = Command::new(var("CARGO"))
        .args(["metadata", "--format-version", "1", "--filter-platform", &var("TARGET")])
        .args(options)
        .arg("--manifest-path")
        .arg(Path::new(&var("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

fn folder(metadata: &serde_json::Value) -> Option<PathBuf> {
    let packages = metadata["packages"].as_array()?;
    let package = packages.iter().find(|package| package["name"] == "ct2rs")?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned())
}
