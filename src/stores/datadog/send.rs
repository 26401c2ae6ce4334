//! One try at one request of the logs intake.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};

use super::{Datadog, late};
use crate::record::Nanos;
use crate::stores::records::http::{self, Answer, Hidden};
use crate::stores::records::{Reply, Request, SendError};

pub(super) const API_KEY: HeaderName = HeaderName::from_static("dd-api-key");

impl Datadog {
    pub(super) async fn try_once(&self, request: Request) -> Result<Reply, SendError> {
        let purpose = format!("send {} records", request.records);
        let compression = self.config.batching.compression;
        let restamped = late::restamped(&request.body, compression, Nanos::now());
        let body = restamped
            .map_err(|error| SendError::Retry {
                message: format!("failed to {purpose}: take the request apart: {error}"),
                after: None,
            })?
            .unwrap_or(request.body);
        let mut builder = self
            .client
            .post(self.config.endpoint.clone())
            .header(API_KEY, secret(&self.config.api_key))
            .header(CONTENT_TYPE, "application/json");
        if let Some(coding) = compression.header() {
            builder = builder.header(CONTENT_ENCODING, coding);
        }
        let answer = http::send(builder.body(body), &purpose).await?;
        match answer.judge(&purpose) {
            Ok(()) => Ok(Reply::Taken),
            Err(SendError::Retry { message, after }) => {
                Err(SendError::Retry { message, after: after.or_else(|| reset(&answer)) })
            }
            Err(error) => Err(error),
        }
    }
}

/// A header whose value is not shown. A key that no header can hold is no key: the service says so.
pub(super) fn secret(key: &Hidden) -> HeaderValue {
    let mut value = HeaderValue::from_str(&key.0).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// How long until the rate limit begins anew.
pub(super) fn reset(answer: &Answer) -> Option<Duration> {
    let text = answer.headers.get("x-ratelimit-reset")?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
