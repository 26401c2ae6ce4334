//! The agent's web servers: OTLP in, and `/healthz`, `/readyz`, `/metrics`.
//!
//! One thread serves them all, HTTP/1.1 and HTTP/2 on the same port, on loopback or a Unix socket. It
//! starts with the first server. A server that is made again (a reload) gets the socket of the one before:
//! nobody is refused meanwhile. Apart from who answers ([`Handler`]).

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::source;

/// How long a client may take to begin a request, and to send its head.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests that one HTTP/2 connection may make at a time.
const MAX_CALLS: u32 = 16;
/// The largest head of a request.
const MAX_HEAD: usize = 16 << 10;
/// After a connection could not be taken, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers requests.
pub(super) trait Handler: Send + Sync {
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Reply>>;
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An address of this machine alone.
    Loopback(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why something is no address here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is written wrongly.
    #[error("expected an address and a port, or \"unix:\" and a path")]
    Unclear,
    /// Other machines could reach it.
    #[error(
        "{0} can be reached from other machines, and the agent has no TLS: use 127.0.0.1, [::1] or a \
         Unix socket, and a proxy with TLS where others are to reach it"
    )]
    Open(SocketAddr),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            return match path.is_absolute() && path.file_name().is_some() {
                true => Ok(Self::Unix(path.to_owned())),
                false => Err(AddressError::Unclear),
            };
        }
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address: SocketAddr =
            numeric.as_deref().unwrap_or(text).parse().map_err(|_| AddressError::Unclear)?;
        match address.ip().is_loopback() {
            true => Ok(Self::Loopback(address)),
            false => Err(AddressError::Open(address)),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loopback(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn bind(address: &Address, mode: u32) -> io::Result<Self> {
        match address {
            Address::Loopback(address) => TcpListener::bind(address).map(Self::Tcp),
            Address::Unix(path) => source::listen(path, mode).map(Self::Unix),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            Self::Unix(listener) => listener.set_nonblocking(true),
        }
    }

    /// Where it listens, if that is somewhere on this machine alone.
    fn address(&self) -> Option<Address> {
        match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr().ok()?;
                address.ip().is_loopback().then_some(Address::Loopback(address))
            }
            Self::Unix(listener) => {
                Some(Address::Unix(listener.local_addr().ok()?.as_pathname()?.to_owned()))
            }
        }
    }
}

/// All servers of an agent.
#[derive(Default)]
pub(super) struct Web {
    thread: Option<Thread>,
    /// The connections of each server that there ever was: how many may be, and how many more could be.
    connections: Vec<(usize, Arc<Semaphore>)>,
    /// By address, also those that are not served now.
    listeners: HashMap<Address, Kept>,
}

struct Kept {
    listener: Listener,
    /// Somebody else has made it, and keeps it.
    inherited: bool,
}

struct Thread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A server; dropped, it takes no more requests.
pub(super) struct Serving {
    asked: Address,
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests ask for any port"))]
    address: Address,
    stop: watch::Sender<bool>,
}

impl Web {
    /// A socket that the service manager has made: it is used where a server is to listen there.
    /// `false`: it is none.
    pub(super) fn inherit(&mut self, descriptor: OwnedFd) -> bool {
        use nix::sys::socket::{AddressFamily, SockaddrLike as _, SockaddrStorage, getsockname};
        use std::os::fd::AsRawFd as _;
        let family = getsockname::<SockaddrStorage>(descriptor.as_raw_fd())
            .ok()
            .and_then(|address| address.family());
        let listener = match family {
            Some(AddressFamily::Inet | AddressFamily::Inet6) => Listener::Tcp(descriptor.into()),
            Some(AddressFamily::Unix) => Listener::Unix(descriptor.into()),
            _ => return false,
        };
        let Some(address) = listener.address() else { return false };
        self.listeners.insert(address, Kept { listener, inherited: true });
        true
    }

    /// Serves at `address`; at most so many connections at a time.
    pub(super) fn serve(
        &mut self,
        address: &Address,
        mode: u32,
        max_connections: usize,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Serving> {
        if !self.listeners.contains_key(address) {
            let listener = Listener::bind(address, mode)?;
            self.listeners.insert(address.clone(), Kept { listener, inherited: false });
        }
        let listener = self.listeners.get(address).map(|kept| kept.listener.try_clone());
        let listener = listener.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))?;
        listener.set_nonblocking()?;
        let bound = listener.address().unwrap_or_else(|| address.clone());
        let handle = match &self.thread {
            Some(thread) => thread.handle.clone(),
            None => self.thread.insert(Thread::start()?).handle.clone(),
        };
        let (stop, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(max_connections));
        // A server that has gone and has no connection left is nothing to wait for.
        self.connections.retain(|(most, permits)| permits.available_permits() < *most);
        self.connections.push((max_connections, Arc::clone(&permits)));
        let server = Server { handler, permits, stopped };
        // Registering a socket needs the runtime.
        let _inside = handle.enter();
        match listener {
            Listener::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                handle.spawn(server.run(listener));
            }
            Listener::Unix(listener) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                handle.spawn(server.run(listener));
            }
        }
        Ok(Serving { asked: address.clone(), address: bound, stop })
    }

    /// Whether nobody is connected, nor waited for.
    pub(super) fn is_quiet(&self) -> bool {
        self.connections.iter().all(|(most, permits)| permits.available_permits() == *most)
    }

    /// Closes the sockets at which nobody is served any more.
    pub(super) fn keep_only<'a>(&mut self, used: impl Iterator<Item = &'a Address>) {
        let used: Vec<&Address> = used.collect();
        self.listeners.retain(|address, kept| {
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
        for (address, kept) in &self.listeners {
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
    /// Where it was told to listen.
    pub(super) fn asked(&self) -> &Address {
        &self.asked
    }

    /// Where it listens: the port too, where any would do.
    #[cfg(test)]
    pub(super) fn address(&self) -> &Address {
        &self.address
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
        let thread = builder.spawn(move || drop(runtime.block_on(stopped)))?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A socket that clients connect to.
trait Accept: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        let (stream, _) = self.accept().await?;
        // Answers are small and waited for.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Accept for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// One server's work.
#[derive(Clone)]
struct Server {
    handler: Arc<dyn Handler>,
    permits: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl Server {
    async fn run<A: Accept>(mut self, listener: A) {
        loop {
            // More connections than that wait in the socket's queue.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let mut stopped = self.stopped.clone();
            let next = select(Box::pin(listener.next()), Box::pin(stopped.wait_for(|stop| *stop)));
            let next = match next.await {
                Either::Left((next, _)) => next,
                Either::Right(_) => return,
            };
            match next {
                Ok(stream) => _ = tokio::spawn(self.clone().connection(stream, permit)),
                Err(_) => sleep(PAUSE).await,
            }
            if *self.stopped.borrow_and_update() {
                return;
            }
        }
    }

    async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut self,
        stream: S,
        _permit: OwnedSemaphorePermit,
    ) {
        let mut stream = Started { stream, first: None };
        // Nobody may hold a connection without a word.
        if !matches!(timeout(PATIENCE, stream.begin()).await, Ok(Ok(()))) {
            return;
        }
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CALLS)
            .max_header_list_size(MAX_HEAD as u32)
            .keep_alive_interval(PATIENCE);
        let handler = Arc::clone(&self.handler);
        let service = service_fn(move |request| {
            let answer = Arc::clone(&handler).answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let mut connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
        // How a connection ends is its client's affair.
        match select(connection.as_mut(), Box::pin(self.stopped.wait_for(|stop| *stop))).await {
            Either::Left(_) => return,
            Either::Right(_) => {}
        }
        // What is under way is answered.
        connection.as_mut().graceful_shutdown();
        drop(timeout(PATIENCE, connection).await);
    }
}

/// A connection whose first byte has come.
struct Started<S> {
    stream: S,
    first: Option<u8>,
}

impl<S: AsyncRead + Unpin> Started<S> {
    async fn begin(&mut self) -> io::Result<()> {
        use tokio::io::AsyncReadExt as _;
        self.first = Some(self.stream.read_u8().await?);
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Started<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Started<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
