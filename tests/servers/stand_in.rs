//! A server of our own for services of which none is to be had: HTTP/1.1 around a function from
//! request to answer.
//!
//! It can be stopped and started again on the same port. What it holds is the function's: a stop
//! loses nothing but the connections.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::message::Message;
use super::{free_port, loopback};
use crate::support::wait;

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Header lines, each with its end.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A JSON body.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = "Content-Type: application/json\r\n".to_owned();
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// A status and some words.
    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: String::new(), body: body.as_bytes().to_vec() }
    }
}

type Handler = Arc<dyn Fn(&Message) -> Reply + Send + Sync>;

/// See the module. Dropping it stops it.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    handler: Handler,
    running: Option<Running>,
}

struct Running {
    over: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    listening: JoinHandle<()>,
}

impl StandIn {
    /// Answers every request as `handler` says; several at a time.
    pub(crate) fn start(handler: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        let mut server =
            Self { address: loopback(free_port()), handler: Arc::new(handler), running: None };
        server.restart();
        server
    }

    /// Closes all connections; from now on nobody listens.
    pub(crate) fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.over.store(true, Ordering::SeqCst);
        // Wakes the listener, which is waiting for somebody.
        TcpStream::connect(self.address).ok();
        running.listening.join().unwrap();
        for connection in running.connections.lock().unwrap().drain(..) {
            connection.shutdown(Shutdown::Both).ok();
        }
    }

    /// Listens again, on the same port.
    pub(crate) fn restart(&mut self) {
        self.stop();
        // A process that is just being started may still have the last one, until it is its program.
        let listener = wait::until("the port to be free", || TcpListener::bind(self.address).ok());
        let over = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (handler, ends, known) =
            (Arc::clone(&self.handler), Arc::clone(&over), Arc::clone(&connections));
        let listening = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                known.lock().unwrap().push(client.try_clone().unwrap());
                let handler = Arc::clone(&handler);
                // A connection that ends in an error has ended; nobody waits for its thread.
                thread::spawn(move || serve(&client, &handler).ok());
            }
        });
        self.running = Some(Running { over, connections, listening });
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(mut client: &TcpStream, handler: &Handler) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut from = BufReader::new(client.try_clone()?);
    while let Some(request) = Message::read(&mut from, client, false)? {
        let reply = handler(&request);
        let mut answer =
            format!("HTTP/1.1 {} Said\r\n{}", reply.status, reply.headers).into_bytes();
        if reply.status != 204 {
            write!(answer, "Content-Length: {}\r\n", reply.body.len())?;
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(&reply.body);
        client.write_all(&answer)?;
        if request.closes {
            break;
        }
    }
    client.shutdown(Shutdown::Both)
}
