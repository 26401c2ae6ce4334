//! `GET /healthz`, `/readyz` and `/metrics`, for whoever watches the agent.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/healthz` | the thread that reads answers | it does not: restart the agent |
//! | `/readyz` | every input is open | one is not: which, and why |
//! | `/metrics` | numbers in Prometheus' text format 0.0.4 | |
//!
//! Where the endpoint has a token, all but `/healthz` need it. Apart from [`metrics`](super::metrics), whose
//! numbers these are. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::inbox::Outbox;
use super::metrics::{Family, Sample, families};
use super::status::Status;
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

/// The page of metrics, in Prometheus' text format.
fn metrics(status: &Status) -> String {
    let mut page = String::new();
    for Family { name, is_counter, help, samples } in families(status) {
        let kind = if is_counter { "counter" } else { "gauge" };
        page.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for Sample { labels, value } in samples {
            page.push_str(name);
            for (position, (label, text)) in labels.iter().enumerate() {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let before = if position == 0 { '{' } else { ',' };
                page.push_str(&format!("{before}{label}=\"{text}\""));
            }
            if !labels.is_empty() {
                page.push('}');
            }
            page.push_str(&format!(" {value}\n"));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::super::status::InputStatus;
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
