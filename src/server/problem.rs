//! What a client is told when it gets no answer: `application/problem+json` (RFC 9457) with what is wrong,
//! where, and what to do. Apart so that every endpoint says it in the same way.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::delivery::chain;
use crate::read::find::FindError;
use crate::read::store::ReadError;
use crate::stores::artifact::without_queries;

/// Characters of a detail.
const LONGEST: usize = 1000;

/// Why there is no answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Which kind of problem: `urn:steplog:` and a word.
    #[serde(rename = "type")]
    #[schema(example = "urn:steplog:not-found")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// What to do about it.
    next: String,
    /// The key in `[server]` of the stack file that sets the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
}

impl Problem {
    fn new(
        status: StatusCode,
        kind: &str,
        title: &'static str,
        detail: impl Into<String>,
        next: &str,
    ) -> Self {
        let mut detail = detail.into();
        // What a client has sent may be in it.
        if let Some((end, _)) = detail.char_indices().nth(LONGEST) {
            detail.truncate(end);
            detail.push('…');
        }
        Self {
            kind: format!("urn:steplog:{kind}"),
            title,
            status: status.as_u16(),
            detail,
            next: next.to_owned(),
            limit: None,
        }
    }

    /// A parameter has a value that it cannot have.
    pub(super) fn parameter(detail: impl Into<String>) -> Self {
        let next = "what each endpoint takes: /api/v1/openapi.json";
        Self::new(StatusCode::BAD_REQUEST, "parameter", "A parameter is wrong", detail, next)
    }

    /// More streams are selected than can be read together.
    pub(super) fn many(streams: usize, most: usize) -> Self {
        Self::parameter(format!(
            "{streams} streams are selected, and {most} can be followed together"
        ))
        .next("choose some of the steps: step= may be given more than once")
    }

    /// There is no such run, step, …
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        let next = "what there is: /api/v1/runs, and /api/v1/runs/{run} of each";
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail, next)
    }

    /// The path is there, but not for this method.
    pub(super) fn method() -> Self {
        let detail = "this server is only read from";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "method", "Method not allowed", detail, "use GET, or HEAD")
    }

    /// Nobody knows who asks.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        let next = "ask whoever runs the server for a token";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Not authorized", detail, next)
    }

    /// Who asks may not see it.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        let next = "ask whoever runs the server";
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail, next)
    }

    /// A limit on how much is done at a time.
    pub(super) fn busy(limit: &'static str, detail: impl Into<String>) -> Self {
        let (status, next) = (StatusCode::TOO_MANY_REQUESTS, "try again in a moment");
        let problem = Self::new(status, "busy", "Too many requests", detail, next);
        Self { limit: Some(limit), ..problem }
    }

    /// It took too long.
    pub(super) fn late(limit: &'static str, detail: impl Into<String>) -> Self {
        let next = "ask for less: fewer streams, a shorter time, a smaller limit";
        let problem = Self::new(StatusCode::GATEWAY_TIMEOUT, "late", "Took too long", detail, next);
        Self { limit: Some(limit), ..problem }
    }

    /// What to do about it.
    #[must_use]
    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Self { next: next.into(), ..self }
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let detail = without_queries(&chain(&error));
        match error {
            ReadError::Denied(_) => Self::new(
                StatusCode::FORBIDDEN,
                "store-denied",
                "The log store does not allow it",
                detail,
                "the credentials of the server's stack file must be allowed to read",
            ),
            ReadError::Store(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "store-failed",
                "The log store failed",
                detail,
                "try again; steplog log-store check tells more on the server's machine",
            ),
        }
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Read(error) => error.into(),
            FindError::Nothing(detail) => Self::not_found(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED.as_u16() {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS.as_u16() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Characters of what a client has sent that an answer repeats.
const SHOWN: usize = 100;

/// What a client has sent, as an answer may repeat it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
