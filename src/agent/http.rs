//! `GET /healthz`, `/readyz` and `/metrics`, for whoever watches the agent.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/healthz` | the thread that reads answers | it does not: restart the agent |
//! | `/readyz` | every input is open | one is not: which, and why |
//! | `/metrics` | numbers in Prometheus' text format 0.0.4 | |
//!
//! Where the endpoint has a token, all but `/healthz` need it. Names and units are by Prometheus' conventions: base units, `_total` for what only grows. Labels are names of
//! the stack file, never those of runs or steps, so their number does not grow with time. Apart from
//! [`status`](super::status), whose numbers these are. Changes nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::inbox::Outbox;
use super::status::{InputStatus, Status};
use super::web::Reply;
use crate::listen::{Guard, Handler};

/// The thread that reads is stuck if it does not answer for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Monitor {
    outbox: Outbox,
    guard: Arc<Guard>,
}

impl Monitor {
    pub(super) fn new(outbox: Outbox, guard: Arc<Guard>) -> Self {
        Self { outbox, guard }
    }

    async fn respond(&self, path: &str) -> (StatusCode, String) {
        if !["/healthz", "/readyz", "/metrics"].contains(&path) {
            return (
                StatusCode::NOT_FOUND,
                "there are /healthz, /readyz and /metrics\n".to_owned(),
            );
        }
        let Ok(Some(status)) = timeout(PATIENCE, self.outbox.status()).await else {
            let what = "the thread that reads does not answer\n".to_owned();
            return (StatusCode::SERVICE_UNAVAILABLE, what);
        };
        match path {
            "/metrics" => (StatusCode::OK, metrics(&status)),
            "/readyz" => readiness(&status),
            _ => (StatusCode::OK, "ok\n".to_owned()),
        }
    }
}

impl Handler for Monitor {
    type Body = Reply;

    fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Reply>> {
        async move {
            let path = request.uri().path();
            let known = [Method::GET, Method::HEAD].contains(request.method());
            // Whether it is alive says nothing of what it reads, and who asks that seldom has a token.
            let allowed = path == "/healthz" || self.guard.allows(request.headers());
            let (status, text) = if !allowed {
                let what = "the token is missing or wrong: send Authorization: Bearer …\n";
                (StatusCode::UNAUTHORIZED, what.to_owned())
            } else if known {
                self.respond(path).await
            } else {
                (StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n".to_owned())
            };
            let mut response = Response::new(Reply::new(text));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            let media = "text/plain; version=0.0.4; charset=utf-8";
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if !allowed {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            } else if !known {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            response
        }
        .boxed()
    }
}

fn readiness(status: &Status) -> (StatusCode, String) {
    let mut text = String::new();
    for input in &status.inputs {
        if let Some(error) = &input.error {
            text.push_str(&format!("input {}: {error}\n", input.name));
        }
    }
    if text.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

/// A number of an input.
type Number = fn(&InputStatus) -> f64;

/// The page of metrics.
fn metrics(status: &Status) -> String {
    let mut page = Page(String::new());
    let version = [("version", status.version.as_str()), ("stack", status.stack.as_str())];
    page.family("steplog_build_info", "gauge", "The program and its stack.");
    page.sample("steplog_build_info", &version, 1.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = now.as_secs_f64() - status.uptime_seconds;
    page.one(
        "process_start_time_seconds",
        "gauge",
        "When the agent was started, since the epoch.",
        started,
    );

    let inputs: [(&str, &str, &str, Number); 7] = [
        ("steplog_input_up", "gauge", "Whether the input is open.", |it| flag(it.error.is_none())),
        ("steplog_input_streams", "gauge", "Streams that are open.", |it| it.streams.len() as f64),
        ("steplog_input_streams_ended_total", "counter", "Streams that have ended.", |it| {
            it.ended as f64
        }),
        ("steplog_input_read_bytes_total", "counter", "Bytes read.", |it| it.bytes as f64),
        (
            "steplog_input_unread_bytes",
            "gauge",
            "Bytes of followed files that are not read yet.",
            |it| it.streams.iter().map(|stream| stream.unread_bytes).sum::<u64>() as f64,
        ),
        (
            "steplog_input_lag_bytes",
            "gauge",
            "Bytes of open streams that are not in every log store yet.",
            |it| it.streams.iter().map(|stream| stream.lag_bytes).sum::<u64>() as f64,
        ),
        (
            "steplog_input_lag_seconds",
            "gauge",
            "For how long the stream that is furthest behind has not been in every log store.",
            |it| it.streams.iter().map(|stream| stream.lag_seconds).fold(0.0, f64::max),
        ),
    ];
    for (name, kind, help, number) in inputs {
        page.family(name, kind, help);
        for input in &status.inputs {
            let labels = [("input", input.name.as_str()), ("kind", input.kind.as_str())];
            page.sample(name, &labels, number(input));
        }
    }

    let (spool, deliveries) = (&status.spool, &status.deliveries);
    for (name, kind, help, value) in [
        ("steplog_spool_bytes", "gauge", "Bytes in the folder of spools.", spool.bytes),
        ("steplog_spool_limit_bytes", "gauge", "The most it takes.", spool.max_bytes),
        (
            "steplog_spool_writers",
            "gauge",
            "Spools that are not delivered to their end.",
            spool.spools,
        ),
        (
            "steplog_deliveries_running",
            "gauge",
            "Spools that are delivered now.",
            deliveries.running,
        ),
        (
            "steplog_deliveries_waiting",
            "gauge",
            "Spools that wait for their turn.",
            deliveries.waiting,
        ),
        (
            "steplog_deliveries_completed_total",
            "counter",
            "Spools delivered to their end.",
            deliveries.delivered,
        ),
    ] {
        page.one(name, kind, help, value as f64);
    }
    page.family(
        "steplog_store_up",
        "gauge",
        "Whether the last request to the log store succeeded.",
    );
    for store in &status.stores {
        page.sample(
            "steplog_store_up",
            &[("store", store.name.as_str())],
            flag(store.error.is_none()),
        );
    }
    page.0
}

fn flag(flag: bool) -> f64 {
    if flag { 1.0 } else { 0.0 }
}

/// Prometheus' text format.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if position == 0 { '{' } else { ',' };
            self.0.push_str(&format!("{before}{label}=\"{text}\""));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.0.push_str(&format!(" {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let input = |name: &str, error: Option<&str>| InputStatus {
            name: name.to_owned(),
            kind: "fifo".to_owned(),
            error: error.map(str::to_owned),
            ..InputStatus::default()
        };
        let inputs = vec![input("a", None), input("b", Some("no such folder"))];
        Status { version: "1".to_owned(), stack: "a\"b\\c".to_owned(), inputs, ..Status::default() }
    }

    #[test]
    fn an_input_that_is_not_open_is_named() {
        let (code, text) = readiness(&status());
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "input b: no such folder\n");
        assert_eq!(readiness(&Status::default()).0, StatusCode::OK);
    }

    #[test]
    fn labels_are_escaped() {
        let page = metrics(&status());
        assert!(
            page.contains("steplog_build_info{version=\"1\",stack=\"a\\\"b\\\\c\"} 1\n"),
            "{page}"
        );
        assert!(page.contains("steplog_input_up{input=\"b\",kind=\"fifo\"} 0\n"), "{page}");
    }
}
