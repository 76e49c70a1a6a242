//! A hub of one repository on loopback, which keeps a record of what it is asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

pub(crate) const REPOSITORY: &str = "org/model";

/// What the hub holds and how it behaves.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) commit: String,
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    /// Status of every answer, if not the right one.
    pub(crate) status: Option<u16>,
    /// The only token that is let in.
    pub(crate) token: Option<&'static str>,
    /// Each answer with a file's bytes ends after that many.
    pub(crate) cut: Option<usize>,
    /// Whether ranges are served.
    pub(crate) ranges: bool,
    /// Where `model.bin` is redirected to.
    pub(crate) elsewhere: Option<SocketAddr>,
    /// A file, and what it really holds instead of what is announced.
    pub(crate) forged: Option<(&'static str, Vec<u8>)>,
    /// The etag of small files, if not the right one.
    pub(crate) etag: Option<String>,
    /// What the repository is called.
    pub(crate) repository: &'static str,
    /// How long each hundredth of a file takes.
    pub(crate) wait: Duration,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            commit: "c0ffee".repeat(6) + "c0de",
            files: vec![
                (".gitattributes", b"*.bin filter=lfs".to_vec()),
                ("README.md", b"# a model".to_vec()),
                ("config.json", b"{\"lang_ids\":[]}".to_vec()),
                ("model.bin", weights()),
                ("preprocessor_config.json", b"{}".to_vec()),
                ("tokenizer.json", b"{\"model\":{}}".to_vec()),
                ("vocabulary.json", b"[\"!\"]".to_vec()),
            ],
            status: None,
            token: None,
            cut: None,
            ranges: true,
            elsewhere: None,
            forged: None,
            etag: None,
            repository: REPOSITORY,
            wait: Duration::ZERO,
        }
    }
}

/// 300,000 bytes.
pub(crate) fn weights() -> Vec<u8> {
    (0..300_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// As git names it.
fn git_sha1(bytes: &[u8]) -> String {
    let blob = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &blob);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request: its line, as `GET /path`, and its headers in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        Some(value)
    }
}

/// Runs until dropped.
pub(crate) struct Hub {
    pub(crate) address: SocketAddr,
    shop: Arc<Mutex<Option<Shop>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    pub(crate) fn open(shop: Shop) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (shop, asked) = (Arc::new(Mutex::new(Some(shop))), Arc::new(Mutex::new(Vec::new())));
        let thread = std::thread::spawn({
            let (shop, asked) = (shop.clone(), asked.clone());
            move || {
                for stream in listener.incoming() {
                    let Some(shop) = shop.lock().unwrap().clone() else {
                        return;
                    };
                    let stream = stream.unwrap();
                    if let Some(request) = read(&stream) {
                        asked.lock().unwrap().push(request.clone());
                        // A client that goes away is its own business.
                        let _ = shop.answer(&request, stream);
                    }
                }
            }
        });
        Self {
            address,
            shop,
            asked,
            thread: Some(thread),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Shop)) {
        change(self.shop.lock().unwrap().as_mut().unwrap());
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        *self.shop.lock().unwrap() = None;
        let _ = TcpStream::connect(self.address); // wakes it
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next()?.rsplit_once(' ')?.0.to_owned();
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers
        .filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            Some((key.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Asked { line, headers })
}

impl Shop {
    fn answer(&self, asked: &Asked, mut to: TcpStream) -> std::io::Result<()> {
        let mut say = |status: u16, headers: &str, body: &[u8]| {
            write!(to, "HTTP/1.1 {status} Said\r\nConnection: close\r\n{headers}\r\n")?;
            if self.wait.is_zero() {
                return to.write_all(body);
            }
            let (_never, alarm) = mpsc::channel::<()>();
            body.chunks(body.len().div_ceil(100).max(1)).try_for_each(|part| {
                let _ = alarm.recv_timeout(self.wait);
                to.write_all(part)
            })
        };
        let wrong = "Content-Length: 0\r\n";
        if let Some(status) = self.status {
            return say(status, wrong, b"");
        }
        let expected = self.token.map(|token| format!("Bearer {token}"));
        if expected.is_some() && asked.header("authorization") != expected.as_deref() {
            return say(401, wrong, b"");
        }
        let (method, path) = asked.line.split_once(' ').unwrap();
        // A repository that was renamed, and one that is nowhere.
        if let Some(to) = [("/org/old/", "/org/model/"), ("/org/loop/", "/org/loop/")]
            .iter()
            .find_map(|(old, new)| path.contains(old).then(|| path.replace(old, new)))
        {
            return say(307, &format!("Location: {to}\r\nContent-Length: 0\r\n"), b"");
        }
        let repository = self.repository;
        let listed = path.strip_prefix(&format!("/api/models/{repository}/revision/"));
        if listed.is_some_and(|revision| ["main", "v1", &self.commit].contains(&revision)) {
            let siblings = self
                .files
                .iter()
                .map(|(name, _)| serde_json::json!({ "rfilename": name }));
            let siblings: Vec<_> = siblings.collect();
            let body = serde_json::json!({ "id": repository, "sha": self.commit, "siblings": siblings }).to_string();
            let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
            return say(200, &headers, body.as_bytes());
        }
        let name = path.strip_prefix(&format!("/{repository}/resolve/{}/", self.commit));
        let file = self.files.iter().find(|(file, _)| Some(*file) == name);
        let Some((name, bytes)) = file else {
            return say(404, wrong, b"");
        };
        let (size, sha) = (bytes.len(), sha256(bytes));
        let mut headers = format!("X-Repo-Commit: {}\r\n", self.commit);
        if *name == "model.bin" {
            headers += &format!("X-Linked-Etag: \"{sha}\"\r\nX-Linked-Size: {size}\r\n");
            if let Some(elsewhere) = self.elsewhere {
                headers += &format!("Location: http://{elsewhere}{path}\r\nContent-Length: 0\r\n");
                return say(302, &headers, b"");
            }
        } else {
            headers += &format!(
                "ETag: W/\"{}\"\r\n",
                self.etag.clone().unwrap_or_else(|| git_sha1(bytes))
            );
        }
        let forged = self.forged.as_ref().filter(|(forged, _)| forged == name);
        let bytes = forged.map_or(bytes, |(_, bytes)| bytes);
        let range = asked
            .header("range")
            .and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let start: usize = range.filter(|_| self.ranges).unwrap_or(0);
        let rest = &bytes[start..];
        headers += &format!("Content-Length: {}\r\n", rest.len());
        let status = if start > 0 { 206 } else { 200 };
        let sent = if method == "HEAD" {
            0
        } else {
            self.cut.unwrap_or(rest.len()).min(rest.len())
        };
        say(status, &headers, &rest[..sent])
    }
}
