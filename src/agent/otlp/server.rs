//! Requests and answers: OTLP over HTTP (`/v1/logs`) and gRPC (`LogsService/Export`).
//!
//! Source: the OTLP specification 1.x, "OTLP/HTTP" and "OTLP/gRPC"; "gRPC over HTTP2". Apart from decoding, which
//! is pure. Does not know streams: [`Outbox`] does.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Encoding;
use super::answer::{self, Code};
use super::body::{self, BodyError};
use super::record::DecodeError;
use crate::agent::inbox::{Outbox, Verdict};
use crate::agent::settings::Otlp;
use crate::agent::web::Reply;
use crate::listen::{Guard, Handler};
use crate::record::Nanos;

const HTTP_PATH: &str = "/v1/logs";
const GRPC_PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// How long a client may take to send a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// When a client may try again.
const RETRY: Duration = Duration::from_secs(1);
/// What lines may be, as a multiple of the request: names and times are longer as JSON.
const GROWTH: usize = 4;
/// What gRPC's `grpc-message` cannot have as it is.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// See the module.
pub(in crate::agent) struct Receiver {
    input: String,
    settings: Otlp,
    guard: Arc<Guard>,
    outbox: Outbox,
    /// Requests whose bodies may be in memory.
    permits: Semaphore,
}

/// Why a request is not taken.
#[derive(Debug)]
struct Refusal {
    http: StatusCode,
    code: Code,
    message: String,
    retry: Option<Duration>,
}

impl Refusal {
    fn new(http: StatusCode, code: Code, message: impl ToString) -> Self {
        Self { http, code, message: message.to_string(), retry: None }
    }

    /// It may be sent again.
    fn later(http: StatusCode, code: Code, message: &str) -> Self {
        Self { retry: Some(RETRY), ..Self::new(http, code, message) }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let (http, code) = match error {
            BodyError::TooLarge(_) | BodyError::Expands(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted)
            }
            BodyError::Coding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented),
            BodyError::Damaged(_) | BodyError::Broken(_) => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
        };
        Self::new(http, code, error)
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let (http, code) = match error {
            DecodeError::TooMuch(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            _ => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
        };
        Self::new(http, code, error)
    }
}

/// What a taken request is answered.
struct Taken {
    rejected: u64,
    reason: Option<String>,
}

impl Receiver {
    /// For this input. `guard`: from whom it takes something.
    pub(in crate::agent) fn new(
        input: &str,
        settings: Otlp,
        guard: Arc<Guard>,
        outbox: Outbox,
    ) -> Self {
        let permits = Semaphore::new(settings.max_requests);
        Self { input: input.to_owned(), settings, guard, outbox, permits }
    }

    async fn http(&self, request: Request<Incoming>) -> Response<Reply> {
        if request.method() != Method::POST {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "send it with POST\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let Some(encoding) = encoding(request.headers()) else {
            let what = "send application/x-protobuf or application/json\n";
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, what);
        };
        let coding = header(request.headers(), &CONTENT_ENCODING);
        let taken =
            self.take(request, encoding, |body, limit| Ok(body::decompress(&coding, body, limit)?));
        match taken.await {
            Ok(Taken { rejected, reason }) => {
                let body = answer::success(encoding, rejected, reason.as_deref());
                of_type(StatusCode::OK, encoding, body)
            }
            Err(refusal) => {
                let Refusal { http, code, message, retry } = refusal;
                let body = answer::status(encoding, code, &message, retry);
                let mut response = of_type(http, encoding, body);
                let headers = response.headers_mut();
                if let Some(retry) = retry {
                    headers.insert(RETRY_AFTER, HeaderValue::from(retry.as_secs()));
                }
                if http == StatusCode::UNAUTHORIZED {
                    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                if http == StatusCode::UNSUPPORTED_MEDIA_TYPE {
                    let known = HeaderValue::from_static("gzip, deflate, zstd");
                    headers.insert(ACCEPT_ENCODING, known);
                }
                response
            }
        }
    }

    async fn grpc(&self, request: Request<Incoming>) -> Response<Reply> {
        let coding = header(request.headers(), "grpc-encoding");
        let taken = if request.uri().path() == GRPC_PATH {
            let unframe = |body: Vec<u8>, limit| unframed(body, &coding, limit);
            self.take(request, Encoding::Protobuf, unframe).await
        } else {
            let message = "the only method is LogsService/Export";
            Err(Refusal::new(StatusCode::NOT_FOUND, Code::Unimplemented, message))
        };
        let mut trailers = HeaderMap::new();
        let mut message = Vec::new();
        match taken {
            Ok(Taken { rejected, reason }) => {
                trailers.insert("grpc-status", HeaderValue::from(Code::Ok as u16));
                let answer = answer::success(Encoding::Protobuf, rejected, reason.as_deref());
                message.push(0);
                message.extend_from_slice(&(answer.len() as u32).to_be_bytes());
                message.extend_from_slice(&answer);
            }
            Err(Refusal { code, message, retry, .. }) => {
                trailers.insert("grpc-status", HeaderValue::from(code as u16));
                let text = utf8_percent_encode(&message, MESSAGE).to_string();
                let details = answer::status(Encoding::Protobuf, code, &message, retry);
                let details = STANDARD_NO_PAD.encode(details);
                let values = [("grpc-message", text), ("grpc-status-details-bin", details)];
                for (name, value) in values {
                    // Both are ASCII by now.
                    trailers.extend(
                        HeaderValue::from_str(&value)
                            .ok()
                            .map(|value| (hyper::header::HeaderName::from_static(name), value)),
                    );
                }
            }
        }
        let mut response = Response::new(Reply::new(message).with_trailers(trailers));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(
            "grpc-accept-encoding",
            HeaderValue::from_static("identity, gzip, deflate, zstd"),
        );
        response
    }

    /// Reads a request and gives its lines to the spools.
    async fn take(
        &self,
        request: Request<Incoming>,
        encoding: Encoding,
        unpack: impl FnOnce(Vec<u8>, usize) -> Result<Vec<u8>, Refusal>,
    ) -> Result<Taken, Refusal> {
        self.authorize(request.headers())?;
        let ending = |()| {
            Refusal::later(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "the agent ends")
        };
        let _permit = self.permits.acquire().await.map_err(|_| ending(()))?;
        let Otlp { max_request_bytes, max_decompressed_bytes, .. } = self.settings;
        let body = body::read(request.into_body(), max_request_bytes);
        let body = timeout(PATIENCE, body).await.map_err(|_| {
            let message = "the request took too long to come";
            Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, message)
        })??;
        let body = unpack(body, max_decompressed_bytes)?;
        let most = max_decompressed_bytes.saturating_mul(GROWTH);
        let decoded = super::decode(encoding, &body, Nanos::now(), most)?;
        drop(body);
        let verdict = if decoded.batches.is_empty() {
            Verdict::Taken
        } else {
            self.outbox.deliver(&self.input, decoded.batches).await
        };
        match verdict {
            Verdict::Taken => Ok(Taken { rejected: decoded.rejected, reason: decoded.reason }),
            Verdict::Full => Err(Refusal::later(
                StatusCode::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                "the spool has no room now: nothing was taken",
            )),
            Verdict::TooManyStreams => Err(Refusal::later(
                StatusCode::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                "there are too many streams already ([agent] max_inputs)",
            )),
            Verdict::Ending => Err(ending(())),
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.guard.allows(headers) {
            return Ok(());
        }
        let message = "the token is missing or wrong: send Authorization: Bearer …";
        Err(Refusal::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, message))
    }
}

impl Handler for Receiver {
    type Body = Reply;

    fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Reply>> {
        async move {
            let grpc = header(request.headers(), &CONTENT_TYPE).starts_with("application/grpc");
            match request.uri().path() {
                _ if grpc => self.grpc(request).await,
                HTTP_PATH => self.http(request).await,
                _ => plain(StatusCode::NOT_FOUND, "logs are taken at /v1/logs\n"),
            }
        }
        .boxed()
    }
}

/// The one message of a gRPC request.
fn unframed(body: Vec<u8>, coding: &str, limit: usize) -> Result<Vec<u8>, Refusal> {
    let bad = |what: &str| Refusal::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, what);
    let Some(([compressed, length @ ..], message)) = body.split_first_chunk::<5>() else {
        return Err(bad("the gRPC message is cut short"));
    };
    if u32::from_be_bytes(*length) as usize != message.len() {
        return Err(bad("expected one gRPC message of the length that it says"));
    }
    let coding = if *compressed == 1 { coding } else { "" };
    Ok(body::decompress(coding, message.to_vec(), limit)?)
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let said = header(headers, &CONTENT_TYPE).to_ascii_lowercase();
    match said.split(';').next().unwrap_or_default().trim() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn header(headers: &HeaderMap, name: impl hyper::header::AsHeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn of_type(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response<Reply> {
    let media = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    response(status, media, body.into())
}

fn plain(status: StatusCode, text: &'static str) -> Response<Reply> {
    response(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn response(status: StatusCode, media: &'static str, body: Bytes) -> Response<Reply> {
    let mut response = Response::new(Reply::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
