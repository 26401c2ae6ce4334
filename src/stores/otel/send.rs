//! One try at one request over HTTP, and what its answer means.
//!
//! Source: the OTLP specification, "OTLP/HTTP Response". The status decides; the body, in the
//! encoding of the request, says what was rejected, or why.

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::Otel;
use super::answer::{Encoding, Partial, Status};
use crate::stores::records::http::{self, Answer};
use crate::stores::records::{Reply, Request, SendError};

const NO_OTLP: &str = "check the log store's endpoint: OTLP logs usually go to …/v1/logs";

impl Otel {
    pub(super) async fn post(
        &self,
        request: Request,
        encoding: Encoding,
    ) -> Result<Reply, SendError> {
        let purpose = format!("send {} records", request.records);
        let content_type = match encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        let lease = self.channel.lease();
        let endpoint = self.config.endpoint.clone();
        let mut builder = lease.client.post(endpoint).header(CONTENT_TYPE, content_type);
        if let Some(coding) = self.config.batching.compression.header() {
            builder = builder.header(CONTENT_ENCODING, coding);
        }
        let answer = http::send(builder.body(request.body), &purpose).await;
        lease.answered();
        judge(answer?, encoding, request.records, &purpose)
    }
}

/// What an answer means.
pub(super) fn judge(
    mut answer: Answer,
    sent: Encoding,
    records: usize,
    purpose: &str,
) -> Result<Reply, SendError> {
    let written = answer.headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let written = written.unwrap_or_default().to_ascii_lowercase();
    let encoding = match sent {
        _ if written.contains("json") => Encoding::Json,
        _ if written.contains("protobuf") => Encoding::Protobuf,
        sent => sent,
    };
    if answer.status.is_success() {
        if written.contains("html") {
            let message = format!("failed to {purpose}: the answer is a web page, no OTLP");
            return Err(SendError::Fatal { message, advice: NO_OTLP, not_allowed: false });
        }
        return Ok(reply(Partial::read(&answer.body, encoding), records));
    }
    let status = Status::read(&answer.body, encoding);
    // Protobuf is nothing to show.
    if !status.message.is_empty() {
        answer.body = status.message.into();
    } else if written.contains("protobuf") {
        answer.body = bytes::Bytes::new();
    }
    let judged = answer.judge(purpose).map(|()| Reply::Taken);
    judged.map_err(|error| match error {
        SendError::Retry { message, after } => {
            SendError::Retry { message, after: after.max(status.retry) }
        }
        error => error,
    })
}

/// What `partial_success` means for a request of so many records.
pub(super) fn reply(partial: Partial, records: usize) -> Reply {
    if partial.rejected == 0 {
        return Reply::Taken;
    }
    let words = if partial.message.is_empty() { "no reason given" } else { &partial.message };
    Reply::SomeRejected { count: partial.rejected.min(records as u64), reason: words.to_owned() }
}
