//! The agent's web servers: OTLP in, and `/healthz`, `/readyz`, `/metrics`.
//!
//! One thread serves them all. It starts with the first server. A server that is made again (a reload) gets the
//! socket of the one before: nobody is refused meanwhile. Apart from how a server listens and serves
//! ([`listen`](crate::listen)), and from who answers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::listen::{Address, Guard, Handler, Limits, Server, Socket};

/// Requests that one HTTP/2 connection may make at a time.
const MAX_CALLS: u32 = 16;
/// The largest head of a request.
const MAX_HEAD: u32 = 16 << 10;
/// How long a client may take nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// All servers of an agent.
#[derive(Default)]
pub(super) struct Web {
    thread: Option<Thread>,
    /// The connections of each server that there ever was: how many may be, and how many more could be.
    connections: Vec<(usize, Arc<Semaphore>)>,
    /// By address, also those that are not served now.
    sockets: HashMap<Address, Kept>,
}

struct Kept {
    socket: Socket,
    /// Somebody else has made it, and keeps it.
    inherited: bool,
}

struct Thread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    join: Option<JoinHandle<()>>,
}

/// A server; dropped, it takes no more requests.
pub(super) struct Serving {
    guard: Arc<Guard>,
    stop: watch::Sender<bool>,
}

impl Web {
    /// A socket that the service manager has made: it is used where a server is to listen there.
    /// `false`: it is none.
    pub(super) fn inherit(&mut self, descriptor: OwnedFd) -> bool {
        let Some(socket) = Socket::inherit(descriptor) else { return false };
        let Some(address) = socket.address() else { return false };
        self.sockets.insert(address, Kept { socket, inherited: true });
        true
    }

    /// Serves where the guard's endpoint is; at most so many connections at a time.
    pub(super) fn serve<H: Handler>(
        &mut self,
        guard: Arc<Guard>,
        mode: u32,
        connections: usize,
        handler: Arc<H>,
    ) -> io::Result<Serving> {
        let address = guard.endpoint().address.clone();
        if !self.sockets.contains_key(&address) {
            let socket = Socket::bind(&address, mode)?;
            self.sockets.insert(address.clone(), Kept { socket, inherited: false });
        }
        let socket = self.sockets.get(&address).map(|kept| kept.socket.try_clone());
        let socket = socket.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))?;
        let handle = match &self.thread {
            Some(thread) => thread.handle.clone(),
            None => self.thread.insert(Thread::start()?).handle.clone(),
        };
        let (stop, stopped) = watch::channel(false);
        let limits =
            Limits { connections, calls: MAX_CALLS, head: MAX_HEAD, write_timeout: WRITE_TIMEOUT };
        let server = Server::new(handler, Arc::clone(&guard), limits, stopped);
        // A server that has gone and has no connection left is nothing to wait for.
        self.connections.retain(|(most, permits)| permits.available_permits() < *most);
        self.connections.push((connections, Arc::clone(&server.permits)));
        // Registering a socket needs the runtime.
        let _inside = handle.enter();
        handle.spawn(server.serve(socket)?);
        Ok(Serving { guard, stop })
    }

    /// Whether nobody is connected, nor waited for.
    pub(super) fn is_quiet(&self) -> bool {
        self.connections.iter().all(|(most, permits)| permits.available_permits() == *most)
    }

    /// Closes the sockets at which nobody is served any more.
    pub(super) fn keep_only<'a>(&mut self, used: impl Iterator<Item = &'a Address>) {
        let used: Vec<&Address> = used.collect();
        self.sockets.retain(|address, kept| {
            let keep = used.contains(&address) || kept.inherited;
            if !keep {
                unlink(address);
            }
            keep
        });
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        for (address, kept) in &self.sockets {
            if !kept.inherited {
                unlink(address);
            }
        }
    }
}

/// Nobody connects in vain to a socket that has no server.
fn unlink(address: &Address) {
    if let Address::Unix(path) = address {
        drop(fs::remove_file(path));
    }
}

impl Serving {
    /// Where it was told to listen, and who may come in.
    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Thread {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let builder = thread::Builder::new().name("web".to_owned());
        let join = builder.spawn(move || drop(runtime.block_on(stopped)))?;
        Ok(Self { handle, stop: Some(stop), join: Some(join) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(join) = self.join.take() {
            drop(join.join());
        }
    }
}

/// The body of an answer, and what HTTP/2 sends behind it.
#[derive(Debug, Default)]
pub(super) struct Reply {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Reply {
    pub(super) fn new(data: impl Into<Bytes>) -> Self {
        Self { data: Some(data.into()).filter(|data| !data.is_empty()), trailers: None }
    }

    pub(super) fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, Bytes::len) as u64)
    }
}
