//! A server that takes any request, keeps it, and answers as it is told. One thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// See the module.
pub(crate) struct Server {
    url: String,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    requests: Vec<Request>,
    status: u16,
    body: String,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.iter().filter_map(|line| line.split_once(": "));
        pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Server {
    /// On a free port; answers 200 until told otherwise.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/logs", listener.local_addr().unwrap());
        let shared =
            Arc::new(Mutex::new(Shared { requests: Vec::new(), status: 200, body: String::new() }));
        let server = Self { url, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        server
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// What it says from now on.
    pub(crate) fn answer(&self, status: u16, body: &str) {
        let mut shared = self.shared.lock().unwrap();
        (shared.status, shared.body) = (status, body.to_owned());
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.lock().unwrap().requests.clone()
    }
}

/// Requests until the client goes away.
fn serve(stream: TcpStream, shared: &Mutex<Shared>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let mut request = Request { head, body: Vec::new() };
        let length = request.header("content-length").map_or(0, |value| value.parse().unwrap());
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body).ok()?;
        let answer = {
            let mut shared = shared.lock().unwrap();
            shared.requests.push(request);
            let (status, body) = (shared.status, &shared.body);
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
