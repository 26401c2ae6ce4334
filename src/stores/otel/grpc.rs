//! One try at one request over gRPC, and what its answer means: a unary call, by hand, on the shared
//! HTTP client.
//!
//! ```text
//! request   POST /…LogsService/Export   te: trailers, content-type, grpc-encoding
//!           compressed u8 | length u32 big-endian | ExportLogsServiceRequest
//! answer    headers, the same frame with the response, trailers: grpc-status, grpc-message,
//!           grpc-status-details-bin; or all of these as headers and no frame
//! ```
//!
//! By hand because it is this little, and a second stack of clients would bring its own proxies, roots
//! and time limits. Sources: "gRPC over HTTP2" for the wire, the OTLP specification for what codes
//! mean.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_TYPE, HeaderMap, TE};

use super::Otel;
use super::answer::{Encoding, Partial, Status};
use super::send::reply;
use crate::stores::records::http::{self, Answer};
use crate::stores::records::{Reply, Request, SendError};

const CREDENTIALS: &str = "check the log store's credentials and what they allow";
const ENDPOINT: &str = "check the log store's endpoint, protocol and compression";
const EXHAUSTED: &str =
    "the server has no room and says of no time when it will have: raise its quota";
const PRECONDITION: &str = "look at what the server asks for";

/// The codes by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// What servers without padding write is read too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Otel {
    pub(super) async fn call(&self, request: Request) -> Result<Reply, SendError> {
        let purpose = format!("send {} records", request.records);
        let coding = self.config.batching.compression.header();
        let lease = self.channel.lease();
        let mut builder = lease
            .client
            .post(self.config.endpoint.clone())
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers");
        if let Some(coding) = coding {
            builder = builder.header("grpc-encoding", coding);
        }
        let body = frame(&request.body, coding.is_some());
        let answer = http::send_for_trailers(builder.body(body), &purpose).await;
        lease.answered();
        let (answer, trailers) = answer?;
        judge(&answer, &trailers, request.records, &purpose)
    }
}

/// A message with its prefix.
fn frame(message: &[u8], compressed: bool) -> Bytes {
    let mut frame = Vec::with_capacity(PREFIX + message.len());
    frame.push(u8::from(compressed));
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

/// What an answer means.
pub(super) fn judge(
    answer: &Answer,
    trailers: &HeaderMap,
    records: usize,
    purpose: &str,
) -> Result<Reply, SendError> {
    let field = |name| trailers.get(name).or_else(|| answer.headers.get(name));
    let text = |name| field(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status") else {
        // No gRPC server answered, but something before it.
        answer.judge(purpose)?;
        let message =
            format!("failed to {purpose}: the answer is none of gRPC: it has no grpc-status");
        return Err(SendError::Retry { message, after: None });
    };
    let code = code.parse().ok().and_then(|code: usize| CODES.get(code)).unwrap_or(&"UNKNOWN");
    if *code == "OK" {
        // A message that is compressed though we did not offer to read such is passed over.
        let message = match answer.body.split_at_checked(PREFIX) {
            Some(([0, ..], message)) => message,
            _ => &[],
        };
        return Ok(reply(Partial::read(message, Encoding::Protobuf), records));
    }
    let details = field("grpc-status-details-bin");
    let details = details.and_then(|details| BASE64.decode(details.as_bytes()).ok());
    let details = Status::read(&details.unwrap_or_default(), Encoding::Protobuf);
    let words = match text("grpc-message") {
        Some(words) => percent_decode_str(words).decode_utf8_lossy().into_owned(),
        None => details.message,
    };
    Err(failure(code, &words, details.retry, purpose))
}

/// What a failure means. `words` are the server's, `retry` its `RetryInfo`.
fn failure(code: &str, words: &str, retry: Option<Duration>, purpose: &str) -> SendError {
    let message = match words {
        "" => format!("failed to {purpose}: {code}"),
        words => format!("failed to {purpose}: {code}: {}", http::clip(words)),
    };
    let fatal = |message, advice, not_allowed| SendError::Fatal { message, advice, not_allowed };
    match code {
        "RESOURCE_EXHAUSTED" | "OUT_OF_RANGE" if is_too_large(words) => {
            SendError::TooLarge { message }
        }
        "RESOURCE_EXHAUSTED" if retry.is_none() => fatal(message, EXHAUSTED, false),
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => fatal(message, CREDENTIALS, true),
        "NOT_FOUND" | "UNIMPLEMENTED" => fatal(message, ENDPOINT, false),
        "FAILED_PRECONDITION" => fatal(message, PRECONDITION, false),
        "INVALID_ARGUMENT" | "ALREADY_EXISTS" => SendError::Invalid { message },
        _ => SendError::Retry { message, after: retry },
    }
}

/// There is no code of its own for a message that is too large, only the words of the libraries:
/// "larger than max" (C, Go), "exceeds maximum size" (Java), "length too large" (Rust).
fn is_too_large(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["larger than max", "exceeds maximum", "too large"].iter().any(|it| words.contains(it))
}
