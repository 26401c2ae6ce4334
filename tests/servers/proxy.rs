//! An HTTP proxy that misbehaves on request: in front of a real store it delays, throttles, cuts
//! requests and answers in the middle, swallows answers after the request was passed on; with no
//! store behind it, it is a double that answers what it is told.
//!
//! Each request is read whole before anything is decided about it, so that a fault hits exactly
//! one request and [`Proxy::seen`] knows which. A client may also use it as its HTTP proxy: whatever
//! host it names, the one server behind this is meant. HTTP/1.1 without TLS only (a CONNECT is
//! passed on as it is); for other protocols there is `wire`. std threads.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::message::Message;

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Passed on, the answer passed back.
    Pass,
    /// Not passed on; answered with this status, these header lines and body.
    Answer { status: u16, headers: String, body: String },
    /// The connection is closed before the request is passed on.
    Drop,
    /// So many bytes of the request are passed on, then both connections are closed.
    CutRequest(usize),
    /// Its head and half of its body are passed on, then both connections are closed.
    CutBody,
    /// Passed on whole; the answer is read and thrown away, the connection closed.
    SwallowAnswer,
    /// Passed on whole; so many bytes of the answer come back, then the connection is closed.
    CutAnswer(usize),
    /// Passed on whole; instead of the answer the client sees the end of the stream, while its own
    /// side stays open.
    HalfClose,
    /// Passed on after this long.
    Delay(Duration),
    /// Passed on and back in pieces of so many bytes, with this pause between them.
    Throttle(usize, Duration),
    /// Never answered; the connection stays open until the client gives up.
    Hang,
}

impl Action {
    /// An answer with a status and nothing else to say.
    pub(crate) fn status(status: u16) -> Self {
        Self::answer(status, "", "")
    }

    /// An answer; headers as lines, each with its end.
    pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Self {
        Self::Answer { status, headers: headers.to_owned(), body: body.to_owned() }
    }
}

/// A request as the proxy saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body_bytes: usize,
    /// The whole of it.
    pub(crate) message: Message,
    /// When it was here.
    pub(crate) at: Instant,
    /// What was done with it.
    pub(crate) action: Action,
}

impl Seen {
    /// Whether the body, unpacked, has this text in it.
    pub(crate) fn has(&self, text: &str) -> bool {
        let body = self.message.text().unwrap_or_default();
        memchr::memmem::find(&body, text.as_bytes()).is_some()
    }
}

type Script = Box<dyn FnMut(&Seen) -> Action + Send>;

struct Shared {
    upstream: Option<SocketAddr>,
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
}

/// A running proxy; its threads end with the process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of a server; passes everything until told otherwise.
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        Self::start(Some(upstream), Box::new(|_| Action::Pass))
    }

    /// In front of a server, with a script from the start.
    pub(crate) fn scripted(
        upstream: SocketAddr,
        script: impl FnMut(&Seen) -> Action + Send + 'static,
    ) -> Self {
        Self::start(Some(upstream), Box::new(script))
    }

    /// Nothing behind it: every request gets this action.
    pub(crate) fn double(action: Action) -> Self {
        Self::start(None, Box::new(move |_| action.clone()))
    }

    fn start(upstream: Option<SocketAddr>, script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { upstream, script: Mutex::new(script), seen: Mutex::new(Vec::new()) });
        let for_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&for_thread);
                // A connection that ends in an error has ended; nobody waits for its thread.
                thread::spawn(move || serve(&client, &shared).ok());
            }
        });
        Self { address, shared }
    }

    /// From now on, asks this about every request.
    pub(crate) fn script(&self, script: impl FnMut(&Seen) -> Action + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// The next `count` PUTs get `action`, all else passes.
    pub(crate) fn puts(&self, count: usize, action: Action) {
        self.next(count, |request| request.method == "PUT", action);
    }

    /// The next `count` requests that `which` says yes to get `action`, all else passes.
    pub(crate) fn next(
        &self,
        mut count: usize,
        which: impl Fn(&Seen) -> bool + Send + 'static,
        action: Action,
    ) {
        self.script(move |request| {
            if count > 0 && which(request) {
                count -= 1;
                return action.clone();
            }
            Action::Pass
        });
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests had a fault done to them.
    pub(crate) fn faults(&self) -> usize {
        self.seen().iter().filter(|seen| !matches!(seen.action, Action::Pass)).count()
    }
}

/// One client connection: requests one after the other until either side closes.
fn serve(client: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut upstream: Option<TcpStream> = None;
    loop {
        let Some(mut request) = Message::read(&mut from_client, client, false)? else {
            return Ok(());
        };
        let mut seen = Seen {
            method: request.method(),
            path: request.path(),
            head: String::from_utf8_lossy(&request.head).into_owned(),
            body_bytes: request.body.len(),
            message: request.clone(),
            at: Instant::now(),
            action: Action::Pass,
        };
        request.make_origin_form();
        seen.action = (shared.script.lock().unwrap())(&seen);
        let action = seen.action.clone();
        let head_only = seen.method == "HEAD";
        shared.seen.lock().unwrap().push(seen);

        let bytes = request.bytes();
        let mut to_client = client;
        if request.method() == "CONNECT" && matches!(action, Action::Pass) {
            let to = shared.upstream.expect("a double has nowhere to connect to");
            let server = TcpStream::connect(to)?;
            to_client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
            return tunnel(client, &server);
        }
        match action {
            Action::Answer { status, headers, body } => {
                let length = if head_only { 0 } else { body.len() };
                write!(to_client, "HTTP/1.1 {status} Told\r\n{headers}")?;
                if !headers.contains("Content-Length") {
                    write!(to_client, "Content-Length: {length}\r\n")?;
                }
                to_client.write_all(b"\r\n")?;
                to_client.write_all(&body.as_bytes()[..length])?;
                continue;
            }
            Action::Drop => return client.shutdown(Shutdown::Both),
            Action::Hang => {
                std::io::copy(&mut from_client, &mut std::io::sink())?;
                return Ok(());
            }
            Action::Delay(time) => thread::sleep(time),
            _ => {}
        }

        let server = match upstream.take() {
            Some(server) => server,
            None => TcpStream::connect(shared.upstream.expect("a double has nowhere to pass to"))?,
        };
        server.set_nodelay(true)?;
        let mut to_server = &server;
        let cut = match action {
            Action::CutRequest(length) => Some(length.min(bytes.len())),
            Action::CutBody => Some(request.head.len() + request.body.len() / 2),
            _ => None,
        };
        if let Some(cut) = cut {
            to_server.write_all(&bytes[..cut])?;
            server.shutdown(Shutdown::Both)?;
            return client.shutdown(Shutdown::Both);
        }
        match &action {
            Action::Throttle(piece, pause) => trickle(to_server, &bytes, *piece, *pause)?,
            _ => to_server.write_all(&bytes)?,
        }
        let mut from_server = BufReader::new(server.try_clone()?);
        let Some(answer) = Message::read(&mut from_server, &server, head_only)? else {
            return client.shutdown(Shutdown::Both);
        };
        let bytes = answer.bytes();
        match action {
            Action::SwallowAnswer => return client.shutdown(Shutdown::Both),
            Action::HalfClose => {
                client.shutdown(Shutdown::Write)?;
                std::io::copy(&mut from_client, &mut std::io::sink())?;
                return Ok(());
            }
            Action::CutAnswer(length) => {
                to_client.write_all(&bytes[..length.min(bytes.len())])?;
                return client.shutdown(Shutdown::Both);
            }
            Action::Throttle(piece, pause) => trickle(to_client, &bytes, piece, pause)?,
            _ => to_client.write_all(&bytes)?,
        }
        if !answer.closes {
            upstream = Some(server);
        }
    }
}

/// Passes bytes both ways until one side ends.
fn tunnel(client: &TcpStream, server: &TcpStream) -> std::io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let there = thread::spawn(move || {
        std::io::copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Write).ok();
    });
    let (mut from_server, mut to_client) = (server, client);
    std::io::copy(&mut from_server, &mut to_client).ok();
    client.shutdown(Shutdown::Both).ok();
    there.join().ok();
    Ok(())
}

fn trickle(mut to: &TcpStream, bytes: &[u8], piece: usize, pause: Duration) -> std::io::Result<()> {
    for part in bytes.chunks(piece) {
        to.write_all(part)?;
        thread::sleep(pause);
    }
    Ok(())
}

#[test]
fn the_proxy_does_what_it_is_told() {
    let server = Proxy::double(Action::answer(200, "", "hello"));
    let proxy = Proxy::to(server.address);
    let get = || {
        let mut stream = TcpStream::connect(proxy.address).unwrap();
        stream.write_all(b"PUT /x HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok();
        answer
    };
    assert!(get().ends_with("hello"));
    for (action, reaches, answer_ends_with) in [
        (Action::Drop, false, ""),
        (Action::CutRequest(20), false, ""),
        (Action::CutBody, false, ""),
        (Action::SwallowAnswer, true, ""),
        (Action::CutAnswer(12), true, "HTTP/1.1 200"),
        (Action::HalfClose, true, ""),
        (Action::status(503), false, "Content-Length: 0\r\n\r\n"),
        (Action::Throttle(7, Duration::from_millis(1)), true, "hello"),
        (Action::Delay(Duration::from_millis(1)), true, "hello"),
    ] {
        let before = server.seen().len();
        proxy.puts(1, action.clone());
        let answer = get();
        assert!(answer.ends_with(answer_ends_with), "{action:?}: {answer:?}");
        assert_eq!(server.seen().len() - before, usize::from(reaches), "{action:?}");
        assert!(get().ends_with("hello"), "after {action:?}");
    }
}

#[test]
fn the_stores_come_up_and_an_independent_client_reads_and_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "text").unwrap();
    let from = folder.path().join("file").display().to_string();
    for remote in [super::seaweed::remote(), super::azurite::remote()] {
        let to = format!("{}/first/file", remote.rclone);
        super::rclone(&["copyto", &from, &to]);
        assert_eq!(super::rclone(&["cat", &to]), b"text", "{remote:?}");
        let proxy = Proxy::to(remote.address);
        let through = remote.through(proxy.address);
        let to = format!("{}/first/file", through.rclone);
        assert_eq!(super::rclone(&["cat", &to]), b"text", "{through:?}");
        assert!(!proxy.seen().is_empty());
    }
}
