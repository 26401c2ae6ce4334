//! `steplog serve`: one HTTP API over every log store that can be read, and a page that shows it.
//!
//! ```text
//! browser ─► listen (crate::listen) ─► access ─► router ─► /api/v1/… ─► window, hub ─► read (LogReader) ─► store
//! program ─┘                                           └─► /, /…      the page, part of the program
//! ```
//!
//! | file | job |
//! |---|---|
//! | `call`, `view`, `query` | a request; which store, run and streams; which lines of them |
//! | `window`, `rank` | places in the merged order of streams, lines read from there; numbers of single lines |
//! | `runs`, `logs`, `lines`, `search`, `raw`, `follow` | one endpoint each |
//! | `hub` | the reading that all followers of the same lines share |
//! | `model`, `ansi`, `section` | what a line looks like in JSON |
//! | `problem`, `answer`, `sse`, `pack`, `held` | what goes out, whatever is in it |
//! | `page`, `document` | the page: its files, and one document of them |
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

mod access;
mod ansi;
mod answer;
mod call;
mod density;
mod document;
mod follow;
mod held;
mod hub;
mod lines;
mod logs;
mod model;
mod openapi;
mod pack;
mod page;
mod problem;
mod query;
mod range;
mod rank;
mod raw;
mod runs;
mod search;
mod section;
mod settings;
mod sse;
mod view;
mod window;
mod zenml;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, Uri};
use axum::middleware::{self, Next};
use axum::routing::get;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::ToSchema;

use self::access::Access;
pub use self::access::AccessError;
use self::held::Held;
use self::hub::Hub;
pub use self::openapi::document;
use self::pack::Encoding;
use self::problem::Problem;
pub(crate) use self::settings::is_header;
pub use self::settings::{Limits, Settings};
pub use self::view::Store;
use crate::listen::{self, Guard, GuardError, Handler, Peer, Socket};
use crate::pages;
use crate::read::cursor;

/// How long a request waits for others to end before it is refused.
const QUEUE: Duration = Duration::from_secs(5);
/// What a search that has come to its deadline may take to say so.
const GRACE: Duration = Duration::from_secs(10);
/// Who reads from the store at a time to build an answer: each holds some pages.
const READING: usize = 4;
/// Who looks through whole logs at a time: each uses all cores and holds more.
const SCANNING: usize = 2;
/// Whose patterns are made ready at a time: each takes some memory, and up to some tens of milliseconds.
const COMPILING: usize = 2;
/// Followers that may hold more than a little of what they have read.
const BURSTS: usize = 8;
/// Between looks whether clients have gone, whose memory can be given back.
const TRIM: Duration = Duration::from_secs(5);
/// Requests that one HTTP/2 connection may make at a time.
const CALLS: u32 = 64;
/// Streams whose lines can be gone on with: a place names each of them.
const PLACES: usize = 1500;
/// The largest head of a request: the largest place, and as much again as most requests have.
const HEAD: usize = PLACES * cursor::ENTRY_CHARS + (4 << 10);
/// Who may connect to a Unix socket unless somebody changes that: its owner, and its group, for a proxy.
const SOCKET_MODE: u32 = 0o660;

/// What every request sees.
struct App {
    first: Store,
    others: Vec<Store>,
    limits: Limits,
    access: Access,
    hub: Hub,
    requests: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    /// Who reads from the store at a time.
    reading: Arc<Semaphore>,
    /// Who looks through whole logs at a time.
    scanning: Semaphore,
    /// Whose patterns are made ready at a time.
    compiling: Arc<Semaphore>,
    /// Followers that take much of it at a time.
    bursts: Arc<Semaphore>,
    /// Requests so far.
    asked: AtomicU64,
}

impl App {
    /// One more log on its way to a client. Nobody waits: a download may take hours.
    fn download(&self) -> Result<Download, Problem> {
        let permit = Arc::clone(&self.downloads).try_acquire_owned().map_err(|_| {
            let most = self.limits.downloads;
            Problem::busy("max_downloads", format!("{most} downloads are under way already"))
                .next("try again when one of them has ended, or read some lines at a time: /logs")
        })?;
        Ok(Download(Arc::new(permit)))
    }

    /// One more client that follows.
    fn follower(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            let most = self.limits.streams;
            Problem::busy("max_streams", format!("{most} clients follow already"))
        })
    }

    /// One more request.
    async fn request(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.requests).acquire_owned();
        let permit = tokio::time::timeout(QUEUE, permit).await.ok().and_then(Result::ok);
        permit.ok_or_else(|| {
            let most = self.limits.requests;
            Problem::busy("max_requests", format!("{most} requests are being answered already"))
        })
    }
}

/// What an answer brings along that is a whole log: it counts as that, and not as a request any more.
#[derive(Clone)]
struct Download(
    #[expect(dead_code, reason = "it counts while it lives")] Arc<OwnedSemaphorePermit>,
);

/// A server.
pub struct Server {
    app: Arc<App>,
    guard: Arc<Guard>,
    service: TowerToHyperService<Router>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificate, key or token.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// Who may see what.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl Server {
    /// Of these log stores; the first is asked where none is named.
    pub fn new(settings: Settings, first: Store, others: Vec<Store>) -> Result<Self, StartError> {
        let access = Access::new(&settings)?;
        let guard = Arc::new(Guard::new(settings.endpoint)?);
        let limits = settings.limits;
        let app = Arc::new(App {
            first,
            others,
            access,
            hub: Hub::new(limits.followed),
            requests: Arc::new(Semaphore::new(limits.requests)),
            downloads: Arc::new(Semaphore::new(limits.downloads)),
            followers: Arc::new(Semaphore::new(limits.streams)),
            reading: Arc::new(Semaphore::new(READING)),
            scanning: Semaphore::new(SCANNING),
            compiling: Arc::new(Semaphore::new(COMPILING)),
            bursts: Arc::new(Semaphore::new(BURSTS)),
            asked: AtomicU64::new(0),
            limits,
        });
        let service = TowerToHyperService::new(router(Arc::clone(&app)));
        Ok(Self { app, guard, service })
    }

    /// What is to be said of files with secrets.
    pub fn warnings(&self) -> Vec<String> {
        self.guard.warnings()
    }

    /// Listens where it is told to.
    pub fn bind(&self) -> std::io::Result<Socket> {
        Socket::bind(&self.guard.endpoint().address, SOCKET_MODE)
    }

    /// Reads certificate, key and tokens again; what is wrong stays as it was.
    pub fn reload(&self) -> Result<(), StartError> {
        self.guard.reload()?;
        Ok(self.app.access.reload()?)
    }

    /// Serves until it is told to stop, and a little longer what is under way.
    pub async fn run(
        self: Arc<Self>,
        socket: Socket,
        stopped: watch::Receiver<bool>,
    ) -> std::io::Result<()> {
        let limits = listen::Limits {
            connections: self.app.limits.connections,
            calls: CALLS,
            head: HEAD as u32,
            write_timeout: self.app.limits.write_timeout,
        };
        let guard = Arc::clone(&self.guard);
        let server = listen::Server::new(Arc::clone(&self), guard, limits, stopped);
        let connections = Arc::clone(&server.permits);
        let trimming = tokio::spawn(trim(Arc::clone(&self.app), Arc::clone(&connections)));
        server.serve(socket)?.await;
        trimming.abort();
        // Whoever follows would stay for ever.
        self.app.hub.stop();
        let all = self.app.limits.connections as u32;
        drop(tokio::time::timeout(GRACE, connections.acquire_many(all)).await);
        Ok(())
    }
}

impl Handler for Server {
    type Body = Body;

    fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> BoxFuture<'static, Response<Body>> {
        let answer = self.service.call(request.map(Body::new));
        async move { answer.await.unwrap_or_else(|never| match never {}) }.boxed()
    }
}

/// When requests were answered or clients have gone, gives back what that took: it would be kept for the next.
async fn trim(app: Arc<App>, connections: Arc<Semaphore>) {
    let (mut free, mut asked) = (connections.available_permits(), 0);
    loop {
        tokio::time::sleep(TRIM).await;
        let (were, had) = (free, asked);
        (free, asked) = (connections.available_permits(), app.asked.load(Ordering::Relaxed));
        if free > were || asked != had {
            drop(tokio::task::spawn_blocking(pages::trim).await);
        }
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
        .route("/runs/{run}/density", get(density::get))
        .route("/runs/{run}/raw", get(raw::get))
        .route("/zenml/logs/{run}/entries", get(zenml::of_run))
        .route("/zenml/logs/{run}/{step}/entries", get(zenml::of_step))
        .route("/store", get(store))
        .route(
            "/openapi.json",
            get(async || answer::of("application/json", Body::from(document()))),
        )
        .route(
            "/healthz",
            get(async || answer::of("text/plain; charset=utf-8", Body::from("ok\n"))),
        )
        .method_not_allowed_fallback(async || Problem::method())
        .fallback(async |uri: Uri| {
            Problem::not_found(format!("there is no /api/v1{}", problem::shown(uri.path())))
                .next("what there is: /api/v1/openapi.json")
        });
    Router::new()
        .nest("/api/v1", api)
        .fallback(
            async |State(app): State<Arc<App>>, method: Method, uri: Uri, headers: HeaderMap| {
                if method != Method::GET && method != Method::HEAD {
                    return Err(Problem::method());
                }
                let name = uri.path().trim_start_matches('/');
                page::get(name, &headers, app.access.has_tokens())
            },
        )
        .layer(middleware::from_fn_with_state(Arc::clone(&app), admit))
        .with_state(app)
        .layer(middleware::from_fn(harden))
}

/// Lets in who may ask, as many at a time as may be, each for as long as it may take.
async fn admit(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response<Body>, Problem> {
    app.asked.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path();
    let is_public = !path.starts_with("/api/") || path == "/api/v1/healthz";
    if is_public {
        // The page itself has nothing to hide, and must be there to ask for a token.
        return Ok(next.run(request).await);
    }
    let peer = request.extensions().get::<Peer>().copied();
    let who = app.access.check(request.headers(), request.uri(), peer)?;
    // Those have a limit of their own.
    let follows = path.ends_with("/logs/stream");
    request.extensions_mut().insert(who);
    let slow = app.limits.write_timeout;
    if follows {
        return Ok(next.run(request).await.map(|body| Body::new(Held::new(body, (), slow))));
    }
    let encoding = Encoding::best(request.headers());
    let permit = app.request().await?;
    let deadline = app.limits.deadline + GRACE;
    let answer = tokio::time::timeout(deadline, next.run(request)).await.map_err(|_| {
        let seconds = app.limits.deadline.as_secs_f32();
        Problem::late("request_deadline", format!("there was no answer within {seconds} s"))
    })?;
    let mut answer = pack::whole(answer, encoding).await;
    // Its client may take it slowly, which is not to keep others from theirs.
    Ok(match answer.extensions_mut().remove::<Download>() {
        Some(download) => answer.map(|body| Body::new(Held::new(body, download, slow))),
        None => answer.map(|body| Body::new(Held::new(body, permit, slow))),
    })
}

async fn harden(request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    answer::harden(response.headers_mut());
    response
}

/// Which log stores there are.
#[derive(Serialize, ToSchema)]
struct About {
    name: String,
    flavor: String,
    version: &'static str,
    stores: Vec<Other>,
}

/// A log store that can be read.
#[derive(Serialize, ToSchema)]
struct Other {
    name: String,
    flavor: String,
}

/// The log stores that can be read
#[utoipa::path(
    get, path = "/api/v1/store", tag = "server",
    responses((status = 200, body = About), (status = "4XX", body = Problem)),
)]
async fn store(State(app): State<Arc<App>>) -> Response<Body> {
    let all = std::iter::once(&app.first).chain(&app.others);
    answer::json(&About {
        name: app.first.name.clone(),
        flavor: app.first.flavor.clone(),
        version: env!("CARGO_PKG_VERSION"),
        stores: all.map(|it| Other { name: it.name.clone(), flavor: it.flavor.clone() }).collect(),
    })
}
