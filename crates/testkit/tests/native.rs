//! docs/security.md tells the versions of native libraries as they are built.

/// Every row that names a crate must name the version that is locked, and each crate that brings C or C++ must have one.
#[test]
fn the_table_of_native_libraries_is_that_of_the_lock_file() {
    const LOCK: &str = include_str!("../../../Cargo.lock");
    const PAGE: &str = include_str!("../../../docs/security.md");
    let (_, section) = PAGE.split_once("## Native libraries").expect("the section is there");
    let told: Vec<(&str, &str)> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| {
            line.rsplit_once('`')
                .map(|(before, after)| (before, after.trim_matches([' ', '|'])))
        })
        .filter_map(|(before, version)| before.rsplit_once('`').map(|(_, name)| (name, version)))
        .collect();
    let locked: Vec<(&str, &str)> = LOCK
        .split("[[package]]")
        .filter_map(|package| {
            let field = |name: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.trim_matches([' ', '=', '"']))
            };
            Some((field("name")?, field("version")?))
        })
        .collect();
    for (name, version) in &told {
        assert!(
            locked.contains(&(name, version)),
            "{name} {version} is not what is locked"
        );
    }
    const NATIVE: [&str; 10] = [
        "ct2rs",
        "esaxx-rs",
        "ffmpeg-sys-next",
        "libz-sys",
        "onednn-src",
        "openssl-sys",
        "rdkafka-sys",
        "ring",
        "tikv-jemalloc-sys",
        "zstd-sys",
    ];
    for name in NATIVE {
        assert!(told.iter().any(|(told, _)| *told == name), "{name} has no row");
    }
}
