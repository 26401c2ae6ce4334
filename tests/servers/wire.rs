//! A TCP proxy that knows no protocol: for faults of the connection itself under whatever runs on it
//! (HTTP/2, gRPC, TLS).
//!
//! What is done to a connection is decided when it is made. `proxy` is for faults that hit one
//! request.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is done to one connection. Bytes are counted from the client to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// Everything is passed both ways.
    Pass,
    /// It is closed as soon as it is made.
    Close,
    /// After so many bytes both sides are closed.
    Cut(u64),
    /// After so many bytes of the server's, both sides are closed.
    CutAnswer(u64),
    /// After so many bytes the client sees the end of the stream, and its own bytes go nowhere.
    HalfClose(u64),
    /// Each piece that the client sends waits this long.
    Delay(Duration),
    /// So many bytes a time are passed on, with this pause behind each.
    Throttle(usize, Duration),
    /// Nothing is passed on, and nothing is closed.
    Hang,
}

type Script = Box<dyn FnMut(usize) -> Deed + Send>;

/// A running proxy; its threads end with the process.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    connections: Arc<Mutex<Vec<Deed>>>,
}

impl Wire {
    /// In front of a server; passes everything until told otherwise.
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(|_| Deed::Pass)));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (decide, known) = (Arc::clone(&script), Arc::clone(&connections));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut known = known.lock().unwrap();
                let deed = (decide.lock().unwrap())(known.len());
                known.push(deed);
                thread::spawn(move || serve(&client, upstream, deed).ok());
            }
        });
        Self { address, script, connections }
    }

    /// From now on, asks this about every connection, by its number from 0.
    pub(crate) fn script(&self, script: impl FnMut(usize) -> Deed + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// The next `count` connections meet with `deed`.
    pub(crate) fn next(&self, mut count: usize, deed: Deed) {
        self.script(move |_| {
            if count == 0 {
                return Deed::Pass;
            }
            count -= 1;
            deed
        });
    }

    /// How many connections had something done to them.
    pub(crate) fn faults(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        connections.iter().filter(|deed| !matches!(deed, Deed::Pass)).count()
    }
}

fn serve(client: &TcpStream, upstream: SocketAddr, deed: Deed) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    match deed {
        Deed::Close => return client.shutdown(Shutdown::Both),
        Deed::Hang => {
            std::io::copy(&mut &*client, &mut std::io::sink())?;
            return Ok(());
        }
        _ => {}
    }
    let server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    let (from, to) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let limit = if let Deed::CutAnswer(limit) = deed { limit } else { u64::MAX };
        std::io::copy(&mut (&from).take(limit), &mut &to).ok();
        // A cut answer ends the whole; an ended server likewise.
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    });
    let passed = forth(client, &server, deed);
    if let Ok(Some(())) = passed {
        server.shutdown(Shutdown::Write).ok();
        back.join().ok();
    } else {
        client.shutdown(Shutdown::Both).ok();
        server.shutdown(Shutdown::Both).ok();
    }
    Ok(())
}

/// The client's bytes to the server; `None` if the connection is to be closed before its end.
fn forth(
    mut client: &TcpStream,
    mut server: &TcpStream,
    deed: Deed,
) -> std::io::Result<Option<()>> {
    let mut buffer = vec![0; if let Deed::Throttle(piece, _) = deed { piece } else { 16 << 10 }];
    let mut left = match deed {
        Deed::Cut(limit) | Deed::HalfClose(limit) => limit,
        _ => u64::MAX,
    };
    loop {
        let read = client.read(&mut buffer)?;
        if read == 0 {
            return Ok(Some(()));
        }
        let may = usize::try_from(left).unwrap_or(usize::MAX).min(read);
        if let Deed::Delay(pause) = deed {
            thread::sleep(pause);
        }
        server.write_all(&buffer[..may])?;
        if let Deed::Throttle(_, pause) = deed {
            thread::sleep(pause);
        }
        left -= may as u64;
        if left == 0 {
            if let Deed::HalfClose(_) = deed {
                client.shutdown(Shutdown::Write)?;
                std::io::copy(&mut client, &mut std::io::sink())?;
            }
            return Ok(None);
        }
    }
}

#[test]
fn the_wire_does_what_it_is_told() {
    let echo = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let wire = Wire::to(echo.local_addr().unwrap());
    thread::spawn(move || {
        for client in echo.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &client, &mut &client).ok());
        }
    });
    let back = || {
        let mut stream = TcpStream::connect(wire.address).unwrap();
        stream.write_all(b"hello").ok();
        stream.shutdown(Shutdown::Write).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        String::from_utf8(answer).unwrap()
    };
    let pause = Duration::from_millis(1);
    for (deed, whole) in [
        (Deed::Close, false),
        (Deed::Cut(2), false),
        (Deed::CutAnswer(3), false),
        (Deed::HalfClose(2), false),
        (Deed::Delay(pause), true),
        (Deed::Throttle(2, pause), true),
    ] {
        let before = wire.faults();
        wire.next(1, deed);
        let answer = back();
        assert_eq!(answer == "hello", whole, "{deed:?}: {answer:?}");
        assert_eq!(back(), "hello", "after {deed:?}");
        assert_eq!(wire.faults() - before, 1);
    }
}
