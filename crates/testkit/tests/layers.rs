//! The direction of dependencies (docs/architecture.md): schema <- core <- the parts <- what fuzzes them, and the binaries.

use std::process::Command;

use serde_json::Value;

/// The crates by layer, the lowest first. A crate may depend on the layers beneath its own and never on its own.
const LAYERS: [&[&str]; 4] = [
    &["stt-ctranslate2", "stt-schema"],
    &["stt-core"],
    &[
        "stt-audio",
        "stt-hub",
        "stt-kafka",
        "stt-pipeline",
        "stt-serve",
        "stt-settings",
        "stt-whisper",
    ],
    &["stt-fuzz", "stt-simulator"],
];
/// Allowed to everybody's tests, and to nothing that ships.
const TESTKIT: &str = "stt-testkit";
/// Programs for developers, which ship nowhere: the test kit is what they are made of.
const TOOLS: [&str; 1] = ["stt-chaos"];
/// What must build in seconds, and so must never reach these.
const LIGHT: [&str; 4] = ["stt-schema", "stt-core", "stt-settings", "stt-pipeline"];
const HEAVY: [&str; 10] = [
    "ct2rs",
    "cxx",
    "ffmpeg-next",
    "ffmpeg-sys-next",
    "openssl-sys",
    "rdkafka",
    "rdkafka-sys",
    "tokenizers",
    "tokio",
    "ureq",
];

#[derive(Clone, Debug, PartialEq)]
struct Package {
    name: String,
    is_binary: bool,
    /// What of this repository it depends on, and whether only its tests do.
    dependencies: Vec<(String, bool)>,
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Layer {
    Of(usize),
    /// Sees everything but the other binaries' programs; a binary's library may serve another binary.
    Binary,
}

/// Every broken rule, as a sentence.
fn broken_rules(packages: &[Package]) -> Vec<String> {
    let layer = |name: &str| {
        let package = packages.iter().find(|package| package.name == name)?;
        let layer = LAYERS.iter().position(|layer| layer.contains(&name));
        if package.is_binary {
            Some(Layer::Binary)
        } else {
            layer.map(Layer::Of)
        }
    };
    let mut broken = Vec::new();
    for package in packages {
        let name = &package.name;
        let own = layer(name);
        if own.is_none() && name != TESTKIT {
            broken.push(format!(
                "{name} stands in no layer: give it one in crates/testkit/tests/layers.rs"
            ));
        }
        for (dependency, only_tests) in &package.dependencies {
            if dependency == TESTKIT {
                if !only_tests && !TOOLS.contains(&name.as_str()) {
                    broken.push(format!(
                        "{name} ships {TESTKIT}, which is for tests: make it a dev-dependency"
                    ));
                }
            } else if name == TESTKIT {
                if layer(dependency) > Some(Layer::Of(1)) {
                    broken.push(format!(
                        "{TESTKIT} depends on {dependency}, but may only know stt-core and beneath"
                    ));
                }
            } else if let (Some(own), Some(other)) = (own, layer(dependency))
                && own <= other
                && own != Layer::Binary
            {
                broken.push(format!("{name} depends on {dependency}, which is not beneath it"));
            }
        }
    }
    broken
}

/// The packages of this repository, from what `cargo metadata --no-deps` says.
fn packages(metadata: &Value) -> Vec<Package> {
    let list = metadata["packages"].as_array().expect("metadata lists packages");
    let text = |value: &Value| value.as_str().expect("a name is text").to_owned();
    let names: Vec<String> = list.iter().map(|package| text(&package["name"])).collect();
    let dependencies = |package: &Value| {
        let all = package["dependencies"]
            .as_array()
            .expect("a package lists dependencies");
        let all = all.iter().map(|one| (text(&one["name"]), one["kind"] == "dev"));
        all.filter(|(name, _)| names.contains(name)).collect()
    };
    let package = |package: &Value| Package {
        name: text(&package["name"]),
        is_binary: text(&package["manifest_path"]).contains("/bins/"),
        dependencies: dependencies(package),
    };
    list.iter().map(package).collect()
}

/// What `package` is built of, by `cargo tree`.
fn built_of(package: &str) -> Vec<String> {
    let tree = cargo(&[
        "tree",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--package",
        package,
    ]);
    tree.lines()
        .filter_map(|line| Some(line.split(' ').next()?.to_owned()))
        .collect()
}

fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--locked");
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

#[test]
fn a_broken_rule_is_told_as_a_sentence() {
    let package = |name: &str, is_binary, dependencies: &[(&str, bool)]| Package {
        name: name.to_owned(),
        is_binary,
        dependencies: dependencies
            .iter()
            .map(|(name, test)| ((*name).to_owned(), *test))
            .collect(),
    };
    for (dependent, on, only_tests, sentence) in [
        (
            "stt-schema",
            "stt-core",
            false,
            "stt-schema depends on stt-core, which is not beneath it",
        ),
        (
            "stt-pipeline",
            "stt-kafka",
            false,
            "stt-pipeline depends on stt-kafka, which is not beneath it",
        ),
        (
            "stt-pipeline",
            "stt-kafka",
            true,
            "stt-pipeline depends on stt-kafka, which is not beneath it",
        ),
        (
            "stt-hub",
            "stt-settings",
            false,
            "stt-hub depends on stt-settings, which is not beneath it",
        ),
        (
            "stt-kafka",
            "stt-worker",
            false,
            "stt-kafka depends on stt-worker, which is not beneath it",
        ),
        (
            "stt-worker",
            "stt-testkit",
            false,
            "stt-worker ships stt-testkit, which is for tests: make it a dev-dependency",
        ),
        (
            "stt-testkit",
            "stt-audio",
            false,
            "stt-testkit depends on stt-audio, but may only know stt-core and beneath",
        ),
        (
            "stt-new",
            "stt-core",
            false,
            "stt-new stands in no layer: give it one in crates/testkit/tests/layers.rs",
        ),
    ] {
        let mut graph: Vec<Package> = LAYERS
            .iter()
            .copied()
            .flatten()
            .map(|name| package(name, false, &[]))
            .collect();
        graph.push(package(TESTKIT, false, &[("stt-core", false), ("stt-schema", false)]));
        graph.push(package(
            "stt-worker",
            true,
            &[("stt-whisper", false), ("stt-testkit", true)],
        ));
        graph.push(package("stt-chaos", true, &[("stt-kafka", false), (TESTKIT, false)]));
        assert_eq!(broken_rules(&graph), [""; 0]);
        graph.retain(|package| package.name != dependent);
        graph.push(package(dependent, dependent == "stt-worker", &[(on, only_tests)]));
        assert_eq!(broken_rules(&graph), [sentence]);
    }
}

#[test]
fn metadata_is_read_with_its_kinds_and_without_strangers() {
    let metadata = serde_json::json!({"packages": [
        {"name": "stt-core", "manifest_path": "/x/crates/core/Cargo.toml", "dependencies": [
            {"name": "serde", "kind": null}, {"name": "stt-worker", "kind": "build"}, {"name": "stt-worker", "kind": "dev"},
        ]},
        {"name": "stt-worker", "manifest_path": "/x/bins/stt-worker/Cargo.toml", "dependencies": []},
    ]});
    let found = packages(&metadata);
    let on_worker = |only_tests| ("stt-worker".to_owned(), only_tests);
    assert_eq!(found[0].dependencies, [on_worker(false), on_worker(true)]);
    assert_eq!((found[0].is_binary, found[1].is_binary), (false, true));
}

#[test]
fn dependencies_point_downwards() {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let packages = packages(&serde_json::from_str(&metadata).expect("cargo metadata is JSON"));
    for name in LAYERS.iter().copied().flatten().chain([&TESTKIT]).chain(&TOOLS) {
        assert!(packages.iter().any(|package| package.name == *name), "{name} is gone");
    }
    let broken = broken_rules(&packages);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn what_decides_builds_without_the_native_libraries() {
    for package in LIGHT {
        let built_of = built_of(package);
        assert!(built_of.iter().any(|name| name == package), "{built_of:?}");
        let heavy: Vec<&str> = HEAVY
            .into_iter()
            .filter(|heavy| built_of.iter().any(|name| name == heavy))
            .collect();
        assert!(heavy.is_empty(), "{package} is built of {}", heavy.join(", "));
    }
    let kafka = built_of("stt-kafka");
    assert!(
        kafka.iter().any(|name| name == "rdkafka-sys"),
        "the check sees no heavy library where one is"
    );
}
