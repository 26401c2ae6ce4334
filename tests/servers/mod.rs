//! Real servers, started once per test binary on free loopback ports, and a proxy in front of
//! them that misbehaves on request.
//!
//! Each server is the child of a small shell that kills it as soon as this process is gone,
//! however it goes: the shell reads a pipe that only this process holds.

pub(crate) mod azurite;
pub(crate) mod gcs;
pub(crate) mod message;
pub(crate) mod otlp;
pub(crate) mod proxy;
pub(crate) mod python;
pub(crate) mod search;
pub(crate) mod seaweed;
pub(crate) mod stand_in;
pub(crate) mod tls;
pub(crate) mod wire;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::wait;

/// A remote artifact store: what the stack file says to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// The scheme and bucket; a prefix is added.
    pub(crate) bucket: String,
    /// `key = "value"` lines.
    pub(crate) options: String,
    pub(crate) flavor: &'static str,
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// A remote of rclone: connection string up to and with the bucket.
    pub(crate) rclone: String,
}

impl Remote {
    /// A stack file with this store under `prefix` as artifact store; `more` is appended.
    pub(crate) fn stack(&self, prefix: &str, more: &str) -> String {
        format!(
            "active = \"test\"\n[stacks.test]\nartifact_store = \"remote\"\n\
             [artifact_stores.remote]\nflavor = \"{}\"\nuri = \"{}/{prefix}\"\n{}\n\
             [spool]\ndir = \"{{sandbox}}/spool\"\n{more}",
            self.flavor, self.bucket, self.options
        )
    }

    /// The same store, reached through another address.
    pub(crate) fn through(&self, address: SocketAddr) -> Self {
        let (old, new) = (self.address.to_string(), address.to_string());
        Self {
            options: self.options.replace(&old, &new),
            rclone: self.rclone.replace(&old, &new),
            address,
            ..self.clone()
        }
    }
}

/// A running server; dropping it kills it.
struct Server {
    folder: TempDir,
    _shell: Mutex<Child>,
    _alive: ChildStdin,
}

impl Server {
    /// Starts `command` (program first) in a folder of its own and waits until `ready`.
    fn start(
        name: &str,
        command: impl FnOnce(&TempDir) -> Vec<String>,
        mut ready: impl FnMut() -> bool,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("steplog-server-").tempdir().unwrap();
        let log = folder.path().join("log");
        let output = std::fs::File::create(&log).unwrap();
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(r#"setsid "$@" </dev/null & server=$!; cat >/dev/null; kill -9 -$server || kill -9 $server; wait; rm -rf "$0""#)
            .arg(folder.path())
            .args(command(&folder))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let alive = shell.stdin.take().unwrap();
        let started = std::time::Instant::now();
        wait::until_true(&format!("{name} to be up (log: {})", log.display()), || {
            assert!(
                started.elapsed() < wait::LONG / 2,
                "{name} is not up:\n{}",
                std::fs::read_to_string(&log).unwrap()
            );
            ready()
        });
        Self { folder, _shell: Mutex::new(shell), _alive: alive }
    }

    fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// A free loopback port outside the range that the kernel gives to outgoing connections, so that
/// it is still free when the server binds it. The port 10,000 above is free too (SeaweedFS
/// takes it for gRPC).
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let spread = std::process::id().wrapping_mul(31) % 9000;
    loop {
        let candidate = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(candidate < 9000, "no free port");
        let port = 12_000 + u16::try_from((spread + candidate) % 9000).unwrap();
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
}

/// A loopback address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    loopback(free_port())
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The status line of the answer to a bare GET, if there is one.
fn answers(address: SocketAddr, path: &str) -> Option<String> {
    let (head, _) = http(address, "GET", path, "")?;
    Some(head.lines().next()?.to_owned())
}

/// One request on a connection of its own; gives the answer's head and body.
fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<(String, String)> {
    send(address, method, path, "application/json", body.as_bytes())
}

/// The same with any body.
fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> Option<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

/// Runs rclone, an independent client, to its end; gives what it printed.
#[track_caller]
pub(crate) fn rclone(arguments: &[&str]) -> Vec<u8> {
    let output = rclone_command(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "rclone {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Whether rclone succeeded.
fn try_rclone(arguments: &[&str]) -> bool {
    rclone_command(arguments).output().unwrap().status.success()
}

fn rclone_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(tool("rclone"));
    command.args(["--config", "/dev/null", "--retries", "1", "--low-level-retries", "1"]);
    command.args(arguments);
    command
}

fn tool(name: &str) -> PathBuf {
    crate::support::sandbox::tool(name)
}
