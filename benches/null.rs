//! A service that takes everything and keeps nothing: it reads requests, counts their bytes and
//! answers, after a while if it is told to.
//!
//! In this process, on threads of its own: what it costs is not counted with steplog's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What the service of a flavor answers when all is well.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// Status, content type, body.
    Http(u16, &'static str, &'static str),
    /// OTLP over gRPC.
    Grpc,
}

/// See the module. It listens until it is dropped.
pub(crate) struct Null {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    over: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Null {
    pub(crate) fn start(says: Says, after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (counts, over) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let down = Arc::new(AtomicBool::new(false));
        let (for_it, ends, is_down) = (Arc::clone(&counts), Arc::clone(&over), Arc::clone(&down));
        let listening = thread::spawn(move || match says {
            Says::Http(status, kind, body) => http(&listener, &ends, &is_down, &for_it, after, &{
                let length = body.len();
                format!(
                    "HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
                )
            }),
            Says::Grpc => grpc(listener, &ends, &for_it, after),
        });
        Self { address, counts, over, down, listening: Some(listening) }
    }

    /// While it is down it takes nothing: HTTP connections are closed.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }

    /// Requests and bytes of their bodies so far.
    pub(crate) fn taken(&self) -> (u64, u64) {
        (self.counts.requests.load(Ordering::SeqCst), self.counts.bytes.load(Ordering::SeqCst))
    }
}

impl Counts {
    fn add(&self, bytes: u64) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes who waits for a connection.
        TcpStream::connect(self.address).ok();
        self.listening.take().map(JoinHandle::join);
    }
}

fn http(
    listener: &TcpListener,
    over: &AtomicBool,
    down: &Arc<AtomicBool>,
    counts: &Arc<Counts>,
    after: Duration,
    answer: &str,
) {
    for client in listener.incoming().flatten() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let (counts, answer, down) = (Arc::clone(counts), answer.to_owned(), Arc::clone(down));
        thread::spawn(move || serve(client, &counts, &down, after, answer.as_bytes()).ok());
    }
}

/// Requests one after the other until the other side has closed.
fn serve(
    mut client: TcpStream,
    counts: &Counts,
    down: &AtomicBool,
    after: Duration,
    answer: &[u8],
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut from = BufReader::with_capacity(256 << 10, client.try_clone()?);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if from.read_line(&mut line)? == 0 || down.load(Ordering::SeqCst) {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            let header = line.trim_end().to_ascii_lowercase();
            assert!(!header.starts_with("transfer-encoding"), "a body without a length");
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let read = std::io::copy(&mut (&mut from).take(length), &mut std::io::sink())?;
        counts.add(read);
        thread::sleep(after);
        client.write_all(answer)?;
    }
}

/// HTTP/2 without TLS, and no more of gRPC than a client that is content looks at.
fn grpc(listener: TcpListener, over: &AtomicBool, counts: &Arc<Counts>, after: Duration) {
    listener.set_nonblocking(true).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((client, _)) = listener.accept().await {
            if over.load(Ordering::SeqCst) {
                return;
            }
            client.set_nodelay(true).ok();
            tokio::spawn(serve_grpc(client, Arc::clone(counts), after));
        }
    });
}

async fn serve_grpc(client: tokio::net::TcpStream, counts: Arc<Counts>, after: Duration) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(4 << 20).initial_connection_window_size(64 << 20);
    let Ok(mut connection) = builder.handshake::<_, bytes::Bytes>(client).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(Ok(data)) = body.data().await {
                length += data.len();
                body.flow_control().release_capacity(data.len()).ok();
            }
            counts.add(length as u64);
            tokio::time::sleep(after).await;
            let answer =
                http::Response::builder().header("content-type", "application/grpc").body(());
            let Ok(mut stream) = respond.send_response(answer.unwrap(), false) else { return };
            // An empty message, not compressed.
            stream.send_data(bytes::Bytes::from_static(&[0; 5]), false).ok();
            let trailers = [(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )];
            stream.send_trailers(trailers.into_iter().collect()).ok();
        });
    }
}
