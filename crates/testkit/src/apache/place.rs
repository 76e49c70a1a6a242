//! The directory of a cluster, and its ports.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Trouble;
use super::trouble::failed;

/// A directory that goes when this is dropped, and also when this process is killed: then a shell that waits for its end
/// removes it.
pub(super) struct Place {
    path: PathBuf,
    keeper: Child,
}

/// Reads a line, and ends; without one, it outlives its parent, and clears up after the nodes, which are ended just then.
const KEEPER: &str = r#"read -r over && exit; sleep 1; rm -rf -- "$1""#;

impl Place {
    pub(super) fn make() -> Result<Self, Trouble> {
        let path = std::env::temp_dir().join(format!("stt-kafka-{:016x}", random()));
        fs::create_dir(&path).map_err(failed(format_args!("cannot make {}", path.display())))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "keeper"]).arg(&path).stdin(Stdio::piped());
        // Not with the group, which Ctrl-C ends.
        let keeper = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn();
        let keeper = keeper.map_err(failed("cannot run /bin/sh"))?;
        Ok(Self { path, keeper })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if fs::remove_dir_all(&self.path).is_ok()
            && let Some(stdin) = &mut self.keeper.stdin
        {
            let _ = stdin.write_all(b"over\n"); // it has ended: then it has removed what there was
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait(); // it ends by itself
    }
}

/// So many free ports of loopback, outside of the range that the system takes ports of outgoing connections from: they
/// must still be free when a node that was killed comes back.
pub(super) fn free_ports(count: usize) -> Result<Vec<u16>, Trouble> {
    const FIRST: u64 = 20_000;
    const COUNT: u64 = 12_000;
    const TRIES: usize = 1_000;
    let mut ports = Vec::new();
    for _ in 0..TRIES {
        if ports.len() == count {
            return Ok(ports);
        }
        let port = u16::try_from(FIRST + random() % COUNT).expect("less than 65536");
        if !ports.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    Err(Trouble::new("no free ports on 127.0.0.1"))
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
