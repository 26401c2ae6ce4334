//! A server under test and what asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::sandbox::Sandbox;
use crate::support::wait;

/// Nobody waits longer for something that should come.
const PATIENCE: Duration = Duration::from_secs(60);

/// `steplog serve`, until it is dropped.
pub(super) struct Serving {
    child: Child,
    address: Address,
    said: Arc<Mutex<String>>,
}

enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// An answer that is still coming.
pub(super) struct Coming {
    pub(super) status: u16,
    reader: BufReader<Box<dyn Read + Send>>,
}

/// An event of a stream.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) data: Value,
}

impl Serving {
    /// On a free port.
    pub(super) fn new(sandbox: &Sandbox) -> Self {
        Self::with(sandbox, &["--listen", "127.0.0.1:0"])
    }

    /// With these arguments.
    pub(super) fn with(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = sandbox.steplog([&["serve"], arguments].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said: Arc<Mutex<String>> = Arc::default();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                heard.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let address = wait::until("the server to say where it is", || {
            let text = said.lock().unwrap().clone();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended with {status}: {text}");
            }
            let url = text.lines().find_map(|line| line.split_once(" at "))?.1.to_owned();
            Some(if let Some(path) = url.strip_prefix("unix:") {
                Address::Unix(PathBuf::from(path))
            } else {
                let rest = url.split_once("://").unwrap().1;
                Address::Tcp(rest.trim_end_matches('/').parse().unwrap())
            })
        });
        Self { child, address, said }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Where it is, for other clients.
    pub(super) fn address(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("it is at {}", path.display()),
        }
    }

    /// Tells it to end, and gives its exit code.
    pub(super) fn stop(mut self) -> Option<i32> {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.child.wait().unwrap().code()
    }

    pub(super) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    /// `GET /api/v1/PATH`.
    pub(super) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub(super) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(&format!("GET /api/v1/{path}"), headers)
    }

    /// `METHOD PATH`.
    pub(super) fn ask(&self, line: &str, headers: &[(&str, &str)]) -> Answer {
        let (status, headers, mut reader) = self.begin(line, headers);
        let mut body = Vec::new();
        reader.read_to_end(&mut body).unwrap();
        Answer { status, headers, body }
    }

    /// The same, but the body is read by and by.
    pub(super) fn open(&self, path: &str, headers: &[(&str, &str)]) -> Coming {
        let (status, _, reader) = self.begin(&format!("GET /api/v1/{path}"), headers);
        Coming { status, reader }
    }

    #[expect(clippy::type_complexity, reason = "taken apart at once")]
    fn begin(
        &self,
        line: &str,
        headers: &[(&str, &str)],
    ) -> (u16, Vec<(String, String)>, BufReader<Box<dyn Read + Send>>) {
        let mut head = format!("{line} HTTP/1.0\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let stream: Box<dyn Read + Send> = match &self.address {
            Address::Tcp(address) => {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(head.as_bytes()).unwrap();
                Box::new(stream)
            }
            Address::Unix(path) => {
                let mut stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(head.as_bytes()).unwrap();
                Box::new(stream)
            }
        };
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head}: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        (status, headers, reader)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body of an answer that is one.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// That there is none, and why.
    #[track_caller]
    pub(super) fn problem(&self, status: u16, detail: &str, next: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        let has = |key: &str, text: &str| problem[key].as_str().unwrap_or_default().contains(text);
        assert!(has("detail", detail) && has("next", next), "{problem}");
        assert!(problem["next"].as_str().is_some_and(|next| !next.is_empty()), "{problem}");
        problem
    }
}

impl Coming {
    /// The next event; `None`: that was all.
    pub(super) fn event(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (String::new(), None, None);
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => text.clone_into(&mut name),
                Some(("id", text)) => id = Some(text.to_owned()),
                Some(("data", text)) => data = Some(serde_json::from_str(text).unwrap()),
                // A comment, or the end of an event.
                _ => {
                    if let Some(data) = data.take() {
                        return Some(Event { name, id, data });
                    }
                }
            }
        }
    }

    /// The events up to the end.
    pub(super) fn events(mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.event()).collect()
    }

    /// Reads some, and no more.
    pub(super) fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut some = vec![0; bytes];
        self.reader.read_exact(&mut some).unwrap();
        some
    }

    /// What is left, and whether it ended as it should.
    pub(super) fn rest(mut self) -> std::io::Result<usize> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest)
    }
}

/// Step and `seq` of records or lines.
pub(super) fn names(items: &[Value]) -> Vec<(String, u64)> {
    let name = |item: &Value| {
        (item["step_id"].as_str().unwrap().to_owned(), item["seq"].as_u64().unwrap())
    };
    items.iter().map(name).collect()
}

/// `items` of an answer.
pub(super) fn items(answer: &Value) -> Vec<Value> {
    answer["items"].as_array().unwrap().clone()
}

/// A value of an answer as a parameter.
pub(super) fn word(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.replace('+', "%2B"))
}
