//! Stand-ins for services of which no real server can be had and which are more than a function from
//! request to answer: `python/NAME.py`, started on loopback and driven through its `/_test` paths. What
//! they are and are not is said there.
//!
//! Uses only the standard library and `serde_json`: the unit tests of the flavors share this file.

#![allow(dead_code, reason = "not every user drives everything")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// A running stand-in; it ends when this is dropped, and when this process ends.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    name: &'static str,
    options: Vec<String>,
    folder: TempDir,
    child: Mutex<Child>,
}

impl Program {
    /// Starts `NAME.py` with these options on a port that is free.
    pub(crate) fn start(name: &'static str, options: &[&str]) -> Self {
        Self::start_at(0, name, options)
    }

    /// The same on a port that is still free after [`Self::kill`].
    pub(crate) fn start_at(port: u16, name: &'static str, options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("steplog-stand-in-").tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let (child, port) = run(name, &options, folder.path(), port);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { address, name, options, folder, child: Mutex::new(child) }
    }

    /// With a path of the service.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again after [`Self::kill`], on the same port, with what it had.
    pub(crate) fn start_again(&self) {
        let port = self.address.port();
        let (child, _) = run(self.name, &self.options, self.folder.path(), port);
        *self.child() = child;
    }

    /// What happens to the next requests.
    pub(crate) fn faults(&self, faults: &Value) {
        self.ask("POST", "/_test/faults", &faults.to_string());
    }

    /// Changes its settings.
    pub(crate) fn settings(&self, settings: &Value) {
        self.ask("POST", "/_test/settings", &settings.to_string());
    }

    /// All records that it has, oldest first, as they were sent.
    pub(crate) fn records(&self) -> Vec<Value> {
        serde_json::from_str(&self.ask("GET", "/_test/records", "")).unwrap()
    }

    /// Path and status of all requests of the service since it was started.
    pub(crate) fn requests(&self) -> Vec<(String, u16)> {
        serde_json::from_str(&self.ask("GET", "/_test/requests", "")).unwrap()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{method} {path}: {answer}");
        body.to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let mut child = self.child();
        // It may have been killed already.
        let _ended = (child.kill(), child.wait());
    }
}

fn run(name: &str, options: &[String], folder: &Path, port: u16) -> (Child, u16) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/python");
    let mut child = Command::new("python3")
        .arg("-B")
        .arg(scripts.join(format!("{name}.py")))
        .arg("--folder")
        .arg(folder)
        .arg(format!("--port={port}"))
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("python3: {error}; tests/run setup installs it"));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap_or_else(|_| panic!("{name} did not start"));
    (child, port)
}
