//! Kafka's program files, fetched once.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::Trouble;
use super::trouble::failed;

/// The oldest Java that brokers of Kafka 4 run on.
const JAVA_MIN: u32 = 17;

/// Files of `compose/local`.
fn local(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../compose/local")
        .join(name)
}

/// Kafka and what it needs, as a class path.
#[derive(Clone, Debug)]
pub(super) struct Library {
    jars: Vec<PathBuf>,
    /// The classes as the JVM wants them, ready made: with it a broker starts in 3 s, without in 6.
    archive: Archive,
}

#[derive(Clone, Debug)]
enum Archive {
    Missing,
    ToBeMade(PathBuf),
    Ready(PathBuf),
}

/// How a JVM is to be: small, and quick to start rather than quick in the long run.
const JVM: [&str; 4] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Xlog:disable",
];

impl Library {
    /// Checks Java, and has Maven fetch what is not there yet. `train` runs a broker on the library to its orderly end,
    /// for the archive of its classes.
    pub(super) fn ready(train: impl FnOnce(&Self) -> Result<(), Trouble>) -> Result<Self, Trouble> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let java = check_java()?;
        let pom = fs::read(local("pom.xml")).map_err(failed("cannot read compose/local/pom.xml"))?;
        let mut hasher = DefaultHasher::new();
        (java, pom).hash(&mut hasher);
        let directory = cache()?.join(format!("kafka-{:016x}", hasher.finish()));
        if !directory.exists() {
            let draft = directory.with_extension(std::process::id().to_string());
            fetch(&draft)?;
            move_into_place(&draft, &directory)?;
        }
        let mut library = Self {
            jars: jars(&directory)?,
            archive: Archive::Missing,
        };
        let archive = directory.join("classes.jsa");
        if !archive.exists() {
            let draft = archive.with_extension(std::process::id().to_string());
            library.archive = Archive::ToBeMade(draft.clone());
            train(&library)?;
            // A JVM that can make none is slower, no more.
            if draft.exists() {
                move_into_place(&draft, &archive)?;
            }
        }
        library.archive = if archive.exists() {
            Archive::Ready(archive)
        } else {
            Archive::Missing
        };
        Ok(library)
    }

    /// A JVM with Kafka on its class path, logging to a file.
    pub(super) fn java(&self, memory: &str, log: &Path) -> Command {
        let mut command = Command::new("java");
        command.args(self.arguments(memory, log)).stdin(Stdio::null());
        command
    }

    /// What [`Library::java`] begins with.
    pub(super) fn arguments(&self, memory: &str, log: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = JVM.iter().map(Into::into).collect();
        let option = |name: &str, path: &Path| {
            let mut option = OsString::from(name);
            option.push(path);
            option
        };
        arguments.push(format!("-Xmx{memory}").into());
        match &self.archive {
            Archive::Missing => {}
            Archive::ToBeMade(path) => arguments.push(option("-XX:ArchiveClassesAtExit=", path)),
            Archive::Ready(path) => arguments.push(option("-XX:SharedArchiveFile=", path)),
        }
        arguments.push(option("-Dlog4j2.configurationFile=", &local("log4j2.properties")));
        arguments.push(option("-Dlocal.log=", log));
        arguments.push("-cp".into());
        let mut class_path = OsString::new();
        for jar in &self.jars {
            if !class_path.is_empty() {
                class_path.push(":");
            }
            class_path.push(jar);
        }
        arguments.push(class_path);
        arguments
    }

    /// The program that runs Kafka's tools.
    pub(super) fn tools_source() -> PathBuf {
        local("Tools.java")
    }
}

fn check_java() -> Result<String, Trouble> {
    let remedy = format!(
        "Apache Kafka needs Java {JAVA_MIN} or newer and Maven: install default-jdk-headless and maven, or what your \
         system calls them"
    );
    let said = output("java", &["-version"]).map_err(failed(&remedy))?;
    let version = said.split('"').nth(1).unwrap_or_default().to_owned();
    let major = version
        .split(['.', '-', '+'])
        .next()
        .and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < JAVA_MIN) {
        return Err(Trouble::new(format!("{remedy}; java is {}", said.trim())));
    }
    // A JRE is not enough: the tools come as source.
    output("javac", &["-version"]).map_err(failed(&remedy))?;
    Ok(version)
}

fn fetch(directory: &Path) -> Result<(), Trouble> {
    let remedy = "cannot fetch Apache Kafka from Maven Central; is Maven installed, and the network there?";
    let mut to = OsString::from("-DoutputDirectory=");
    to.push(directory);
    let pom = local("pom.xml");
    let arguments = [
        "-q".as_ref(),
        "-B".as_ref(),
        "-f".as_ref(),
        pom.as_os_str(),
        "dependency:copy-dependencies".as_ref(),
        "-DincludeScope=runtime".as_ref(),
        to.as_os_str(),
    ];
    let fetched = output("mvn", &arguments).map_err(failed(remedy));
    if fetched.is_err() {
        let _ = fs::remove_dir_all(directory); // what is there is not whole
    }
    fetched.map(drop)
}

/// Everything that a program says; an error when it fails.
pub(super) fn output(program: &str, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<String, Trouble> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(failed(format_args!("cannot run {program}")))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(Trouble::new(format!("{program}: {}\n{said}", output.status)))
    }
}

/// In the build's own directory, which is not among the sources, and which `cargo clean` clears: tests and examples are one
/// below the profile's directory, as in `target/release/deps`.
fn cache() -> Result<PathBuf, Trouble> {
    let program = std::env::current_exe().map_err(failed("cannot find this program's file"))?;
    let profile = program.ancestors().nth(2);
    let profile = profile.ok_or_else(|| Trouble::new(format!("{} is in no directory", program.display())))?;
    Ok(profile.join("apache-kafka"))
}

/// Another process may have been quicker; then its files stay.
fn move_into_place(draft: &Path, place: &Path) -> Result<(), Trouble> {
    match fs::rename(draft, place) {
        Err(error) if !place.exists() => Err(failed(format_args!("cannot make {}", place.display()))(error)),
        Err(_) => {
            let _ = fs::remove_dir_all(draft); // a leftover in a cache
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Sorted, as an archive is for one class path only.
fn jars(directory: &Path) -> Result<Vec<PathBuf>, Trouble> {
    let entries = fs::read_dir(directory).map_err(failed(format_args!("cannot read {}", directory.display())))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut jars: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "jar"))
        .collect();
    jars.sort();
    Ok(jars)
}
