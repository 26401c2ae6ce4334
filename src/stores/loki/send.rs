//! One try at one request, and what Loki's answer means.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;

use super::Loki;
use super::decode::Entry;
use crate::record::Nanos;
use crate::stores::records::http::{self, Answer};
use crate::stores::records::{Rejected, Reply, Request, SendError};

/// A clock that is ahead is given this long to be overtaken, again and again.
const TOO_NEW: Duration = Duration::from_secs(60);

impl Loki {
    pub(super) async fn try_once(&self, request: Request) -> Result<Reply, SendError> {
        let purpose = format!("send {} records", request.records);
        let builder = self
            .signed(self.client.post(self.url("/loki/api/v1/push")))
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(request.body.clone());
        let answer = http::send(builder, &purpose).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let message = || format!("failed to {purpose}: {}{}", answer.status, answer.shown());
        match answer.status.as_u16() {
            200 | 204 => Ok(Reply::Taken),
            // Somebody has told Loki to take nothing for a while (block_ingestion_until).
            200..300 => Err(SendError::Retry { message: message(), after: answer.retry_after() }),
            400 if text.contains("timestamp too new") => {
                Err(SendError::Retry { message: message(), after: Some(TOO_NEW) })
            }
            400 => self.refused(&request, &answer, &text, message()),
            // What one of its parts wanted to send to another was too large.
            500..600 if text.contains("message larger than max") => {
                Err(SendError::TooLarge { message: message() })
            }
            _ => answer.judge(&purpose).map(|()| Reply::Taken),
        }
    }

    /// Some entries are refused for good, and the others were taken. Which, is clear only where they are
    /// too old.
    fn refused(
        &self,
        request: &Request,
        answer: &Answer,
        text: &str,
        message: String,
    ) -> Result<Reply, SendError> {
        let invalid = SendError::Invalid { message };
        let Some(oldest) = oldest_acceptable(text) else { return Err(invalid) };
        let compression = self.config.batching.compression;
        let Ok(body) = compression.decompress(&request.body) else { return Err(invalid) };
        let (mut rejected, mut again) = (Vec::new(), Vec::new());
        for (position, entry) in Entry::of_request(&body).enumerate() {
            if entry.time() < oldest.0 {
                let reason = format!("{}{}", answer.status, answer.shown());
                rejected.push(Rejected { position, reason });
            } else {
                again.push(position);
            }
        }
        if rejected.is_empty() {
            return Err(invalid);
        }
        // Something else may be wrong with them; if not, it does no harm.
        Ok(Reply::Partly { rejected, again, after: None })
    }
}

/// The time before which nothing is taken, as the last message that says so has it.
fn oldest_acceptable(text: &str) -> Option<Nanos> {
    let (_, behind) = text.rsplit_once("oldest acceptable timestamp is: ")?;
    let end = behind.find(|it: char| !it.is_ascii_alphanumeric() && !"-:+.".contains(it));
    Nanos::from_rfc3339(behind.get(..end.unwrap_or(behind.len()))?.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_the_oldest_is_said() {
        let expected = Nanos::from_rfc3339("2026-11-23T06:44:00Z");
        for text in [
            "entry for stream '{a=\"b\"}' has timestamp too old: 2026-11-01T00:00:00Z, oldest \
             acceptable timestamp is: 2026-11-23T06:44:00Z",
            "entry with timestamp 2026-11-01 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, \
             entry timestamp is: 2026-11-01T00:00:00Z, oldest acceptable timestamp is: \
             2026-11-23T06:44:00Z',\nuser 'fake', total ignored: 1 out of 2 for stream: {a=\"b\"}",
        ] {
            assert_eq!(oldest_acceptable(text), expected, "{text}");
        }
        assert_eq!(oldest_acceptable("error parsing labels"), None);
        assert_eq!(oldest_acceptable("oldest acceptable timestamp is: soon"), None);
    }
}
