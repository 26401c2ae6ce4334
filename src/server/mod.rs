//! `steplog serve`: one HTTP API over every log store that can be read, and a page that shows it.
//!
//! ```text
//! browser ─► listen (crate::listen) ─► access ─► router ─► /api/v1/… ─► window, hub ─► read (LogReader) ─► store
//! program ─┘                                           └─► /, /…      the page, part of the program
//! ```
//!
//! | file | job |
//! |---|---|
//! | `view`, `query` | which store, run and streams; which lines of them |
//! | `window` | places in the merged order of streams, lines read from there |
//! | `runs`, `logs`, `lines`, `search`, `raw`, `follow` | one endpoint each |
//! | `hub` | the reading that all followers of the same lines share |
//! | `model`, `ansi`, `section` | what a line looks like in JSON |
//! | `problem`, `answer`, `sse` | what goes out, whatever is in it |
//!
//! # Invariants
//!
//! 1. Stateless: what a request needs is in it, and any other server on the same store answers it as well. What is
//!    kept here are caches.
//! 2. "Not allowed" is never "nothing there", and what is missing or damaged is named.
//! 3. What is held in memory for a client has a bound: an answer is built whole only up to a size, anything longer
//!    is read as fast as the client takes it.
//! 4. Log text is hostile: it goes out as JSON or as a file to keep, never as something that a browser runs.
//!
//! Does not print, and knows no arguments: that is `cli::serve`.

mod ansi;
mod answer;
mod follow;
mod hub;
mod lines;
mod logs;
mod model;
mod openapi;
mod page;
mod problem;
mod query;
mod raw;
mod runs;
mod search;
mod section;
mod sse;
mod view;
mod window;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, Uri};
use axum::middleware::{self, Next};
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use self::hub::Hub;
pub use self::openapi::document;
use self::problem::Problem;
pub use self::view::Store;

/// How long what is under way may take when the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What a server takes at the most.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) deadline: Duration,
    pub(crate) scan_bytes: u64,
    pub(crate) answer_bytes: usize,
    pub(crate) line_chars: usize,
    pub(crate) records: usize,
    pub(crate) streams: usize,
    pub(crate) followed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            scan_bytes: 64 << 30,
            answer_bytes: 8 << 20,
            line_chars: 64 << 10,
            records: 20_000,
            streams: 2000,
            followed: 64,
        }
    }
}

/// What every request sees.
pub(crate) struct App {
    first: Store,
    others: Vec<Store>,
    limits: Limits,
    hub: Hub,
    followers: Arc<Semaphore>,
}

impl App {
    fn follower(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            let detail = format!("{} streams are followed already", self.limits.streams);
            Problem::busy("max_streams", detail)
        })
    }
}

/// A server that is about to be.
pub struct Server {
    app: Arc<App>,
}

impl Server {
    /// Of these log stores; the first is asked where none is named.
    pub fn new(first: Store, others: Vec<Store>) -> Self {
        let limits = Limits::default();
        let hub = Hub::new(limits.followed);
        let followers = Arc::new(Semaphore::new(limits.streams));
        Self { app: Arc::new(App { first, others, limits, hub, followers }) }
    }

    /// Serves until it is told to stop.
    pub async fn run(
        self,
        listener: TcpListener,
        mut stopped: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let router = router(self.app);
        let graceful = GracefulShutdown::new();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted?.0,
                _ = stopped.wait_for(|stop| *stop) => break,
            };
            stream.set_nodelay(true)?;
            let service = TowerToHyperService::new(router.clone());
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            tokio::spawn(graceful.watch(connection));
        }
        // Followers never end by themselves.
        drop(tokio::time::timeout(GRACE, graceful.shutdown()).await);
        Ok(())
    }
}

fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::one))
        .route("/runs/{run}/logs", get(logs::get))
        .route("/runs/{run}/logs/stream", get(follow::get))
        .route("/runs/{run}/lines", get(lines::get))
        .route("/runs/{run}/search", get(search::get))
        .route("/store", get(store))
        .route(
            "/openapi.json",
            get(async || answer::of("application/json", Body::from(document()))),
        )
        .route(
            "/healthz",
            get(async || answer::of("text/plain; charset=utf-8", Body::from("ok\n"))),
        )
        .method_not_allowed_fallback(async || Problem::method("GET"))
        .fallback(async |uri: Uri| {
            Problem::not_found(format!("there is no {}", uri.path()))
                .next("what there is: /api/v1/openapi.json")
        });
    Router::new()
        .nest("/api/v1", api)
        .method_not_allowed_fallback(async || Problem::method("GET"))
        .fallback(get(async |uri: Uri, headers: HeaderMap| {
            page::get(uri.path().trim_start_matches('/'), &headers)
        }))
        .with_state(app)
        .layer(middleware::from_fn(harden))
}

async fn harden(request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    answer::harden(response.headers_mut());
    response
}

/// Which log stores there are.
#[derive(Serialize)]
struct About {
    name: String,
    flavor: String,
    version: &'static str,
    stores: Vec<Other>,
}

#[derive(Serialize)]
struct Other {
    name: String,
    flavor: String,
}

async fn store(State(app): State<Arc<App>>) -> Response<Body> {
    let all = std::iter::once(&app.first).chain(&app.others);
    answer::json(&About {
        name: app.first.name.clone(),
        flavor: app.first.flavor.clone(),
        version: env!("CARGO_PKG_VERSION"),
        stores: all.map(|it| Other { name: it.name.clone(), flavor: it.flavor.clone() }).collect(),
    })
}
