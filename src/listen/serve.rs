//! Serves connections of one socket: TLS if there is any, HTTP/1.1 and HTTP/2 on the same port.
//!
//! Apart from who answers ([`Handler`]) and from the runtime, which is the caller's.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::stall::Stall;
use super::{Guard, Peer, Socket};

/// How long a client may take to begin TLS, to begin a request, and to send its head.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a connection could not be taken, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(100);
/// The first byte of TLS: a handshake record.
const HANDSHAKE: u8 = 0x16;
/// What who speaks HTTP to a port with TLS is told.
const NOT_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\
      Content-Length: 29\r\n\r\nthis port has TLS: use https\n";

/// Answers requests. [`Peer`] is among a request's extensions.
pub trait Handler: Send + Sync + 'static {
    /// What an answer has in it.
    type Body: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static;

    /// Answers one. Asks [`Guard::allows`] first, if its server has a token.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<Self::Body>>;
}

/// What a server takes at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more wait in the socket's queue.
    pub connections: usize,
    /// Requests that one HTTP/2 connection may make at a time.
    pub calls: u32,
    /// Bytes of the head of a request.
    pub head: u32,
    /// How long a client may take nothing of its answer.
    pub write_timeout: Duration,
}

/// One server: who answers, who may come in, how many.
pub struct Server<H> {
    /// Who answers.
    pub handler: Arc<H>,
    /// Its TLS.
    pub guard: Arc<Guard>,
    /// One for each connection that may be.
    pub permits: Arc<Semaphore>,
    /// What it takes at the most.
    pub limits: Limits,
    /// Once it is true no more is taken, and what is under way is answered.
    pub stopped: watch::Receiver<bool>,
}

impl<H> Clone for Server<H> {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
            guard: Arc::clone(&self.guard),
            permits: Arc::clone(&self.permits),
            limits: self.limits,
            stopped: self.stopped.clone(),
        }
    }
}

/// A connection, whatever it runs over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A socket that listens, in a runtime.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn next(&self) -> io::Result<(Box<dyn Stream>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are small and waited for.
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Peer::Network(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::of(&stream)?;
                Ok((Box::new(stream), peer))
            }
        }
    }
}

impl<H: Handler> Server<H> {
    /// A server that serves until `stopped` is true.
    pub fn new(
        handler: Arc<H>,
        guard: Arc<Guard>,
        limits: Limits,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(limits.connections));
        Self { handler, guard, permits, limits, stopped }
    }

    /// Begins to serve at this socket; to be called in a runtime. The future ends when no more connections
    /// are taken; those that there are go on as tasks of their own, each holding one of `permits`.
    pub fn serve(self, socket: Socket) -> io::Result<impl Future<Output = ()> + Send + use<H>> {
        let listener = match socket {
            Socket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?)
            }
            Socket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Listener::Unix(UnixListener::from_std(listener)?)
            }
        };
        Ok(self.run(listener))
    }

    async fn run(mut self, listener: Listener) {
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let mut stopped = self.stopped.clone();
            let next = select(Box::pin(listener.next()), Box::pin(stopped.wait_for(|stop| *stop)));
            let next = match next.await {
                Either::Left((next, _)) => next,
                Either::Right(_) => return,
            };
            match next {
                Ok((stream, peer)) => {
                    _ = tokio::spawn(self.clone().connection(stream, peer, permit));
                }
                Err(_) => sleep(PAUSE).await,
            }
            if *self.stopped.borrow_and_update() {
                return;
            }
        }
    }

    /// How a connection ends is its client's affair.
    async fn connection(self, stream: Box<dyn Stream>, peer: Peer, _permit: OwnedSemaphorePermit) {
        // Nobody may hold a connection without a word.
        let Ok(Ok(mut stream)) = timeout(PATIENCE, Started::new(stream)).await else { return };
        let Some(acceptor) = self.guard.acceptor() else {
            return self.requests(Box::new(stream), peer).await;
        };
        if stream.first != Some(HANDSHAKE) {
            drop(timeout(PATIENCE, stream.stream.write_all(NOT_TLS)).await);
            return;
        }
        if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await {
            // The same holds behind TLS.
            let Ok(Ok(stream)) = timeout(PATIENCE, Started::new(Box::new(stream))).await else {
                return;
            };
            self.requests(Box::new(stream), peer).await;
        }
    }

    async fn requests(mut self, stream: Box<dyn Stream>, peer: Peer) {
        let Limits { calls, head, write_timeout, .. } = self.limits;
        let stream = Stall::new(stream, write_timeout);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(head as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(calls)
            .max_header_list_size(head)
            .keep_alive_interval(PATIENCE);
        let handler = Arc::clone(&self.handler);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let answer = Arc::clone(&handler).answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let mut connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
        match select(connection.as_mut(), Box::pin(self.stopped.wait_for(|stop| *stop))).await {
            Either::Left(_) => return,
            Either::Right(_) => {}
        }
        connection.as_mut().graceful_shutdown();
        drop(timeout(PATIENCE, connection).await);
    }
}

/// A connection whose first byte has come.
struct Started {
    stream: Box<dyn Stream>,
    first: Option<u8>,
}

impl Started {
    async fn new(mut stream: Box<dyn Stream>) -> io::Result<Self> {
        let first = stream.read_u8().await?;
        Ok(Self { stream, first: Some(first) })
    }
}

impl AsyncRead for Started {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
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

impl AsyncWrite for Started {
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
