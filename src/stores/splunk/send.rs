//! One try at one request of the HTTP Event Collector, and its acknowledgement.

use std::collections::HashMap;

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::Splunk;
use super::acks::{NotTold, PATIENCE};
use crate::stores::records::http::{self, Answer};
use crate::stores::records::{Rejected, Reply, Request, SendError};

const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

const TOKEN: &str = "check the log store's credentials: whether the token exists and is enabled";
const INDEX: &str = "check the index: whether it exists and the token may write to it";
const SETTINGS: &str = "check the log store's endpoint and token";

/// What the collector says beside the status.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    code: Option<u32>,
    #[serde(default, rename = "invalid-event-number")]
    invalid_event: Option<usize>,
    #[serde(default, rename = "ackId")]
    ack: Option<u64>,
}

#[derive(Deserialize)]
struct Acknowledged {
    acks: HashMap<String, bool>,
}

impl Splunk {
    pub(super) async fn try_once(&self, request: Request) -> Result<Reply, SendError> {
        let id = request.id.clone();
        let number = match self.acks.of(&id) {
            Some(number) => number,
            None => match self.send_events(request).await? {
                (Reply::Taken, Some(number)) => {
                    self.acks.sent(&id, number);
                    number
                }
                (reply, _) => return Ok(reply),
            },
        };
        let waited = self.acks.wait(number, |numbers| self.ask(numbers));
        let told = tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| {
            self.acks.forget(&id);
            let message = format!("Splunk has not indexed a request within {PATIENCE:?}");
            Err(SendError::Retry { message, after: None })
        });
        told?;
        self.acks.forget(&id);
        Ok(Reply::Taken)
    }

    /// Sends events; gives the number of their acknowledgement, if there will be one.
    async fn send_events(&self, request: Request) -> Result<(Reply, Option<u64>), SendError> {
        let purpose = format!("send {} records", request.records);
        let mut builder = self.request("event").body(request.body);
        if let Some(coding) = self.config.batching.compression.header() {
            builder = builder.header(CONTENT_ENCODING, coding);
        }
        let answer = http::send(builder, &purpose).await?;
        let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
        let reply = judge(&answer, &said, &purpose, request.records)?;
        Ok((reply, said.ack))
    }

    /// Which of these requests are indexed.
    async fn ask(&self, numbers: Vec<u64>) -> Result<Vec<u64>, NotTold> {
        let purpose = format!("ask for {} acknowledgements", numbers.len());
        let body = serde_json::json!({ "acks": numbers }).to_string();
        let answer = http::send(self.request("ack").body(body), &purpose).await;
        let answer = answer.map_err(NotTold::Unreachable)?;
        let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
        if said.code == Some(14) {
            // They were switched off meanwhile: there is no more to be known.
            return Ok(numbers);
        }
        judge(&answer, &said, &purpose, 0).map_err(NotTold::Refused)?;
        let told: Acknowledged = serde_json::from_slice(&answer.body).map_err(|error| {
            let message = format!("failed to {purpose}: read the answer: {error}");
            NotTold::Refused(SendError::Retry { message, after: None })
        })?;
        let indexed = told
            .acks
            .into_iter()
            .filter_map(|(number, indexed)| if indexed { number.parse().ok() } else { None });
        Ok(indexed.collect())
    }

    fn request(&self, what: &str) -> RequestBuilder {
        let mut token = HeaderValue::from_str(&format!("Splunk {}", self.config.token.0))
            .unwrap_or(HeaderValue::from_static("Splunk"));
        token.set_sensitive(true);
        self.client
            .post(below(&self.config.endpoint, what))
            .header(AUTHORIZATION, token)
            .header(CHANNEL, &self.channel)
            .header(CONTENT_TYPE, "application/json")
    }
}

fn below(endpoint: &Url, what: &str) -> Url {
    let mut url = endpoint.clone();
    url.set_path(&format!("{}/{what}", endpoint.path()));
    url
}

/// What the collector's code means; where it has none, what the status means.
fn judge(answer: &Answer, said: &Said, purpose: &str, records: usize) -> Result<Reply, SendError> {
    if answer.status.is_success() {
        return Ok(Reply::Taken);
    }
    let message = format!("failed to {purpose}: {}{}", answer.status, answer.shown());
    let fatal =
        |advice, not_allowed| SendError::Fatal { message: message.clone(), advice, not_allowed };
    match said.code {
        Some(1..=4 | 16 | 21 | 22) => Err(fatal(TOKEN, true)),
        Some(7) => Err(fatal(INDEX, false)),
        Some(10 | 11) => Err(fatal(SETTINGS, false)),
        Some(8 | 9 | 18..=20 | 23 | 26 | 27) => {
            Err(SendError::Retry { message, after: answer.retry_after() })
        }
        Some(5 | 6 | 12 | 13 | 15) => match said.invalid_event.filter(|bad| *bad < records) {
            // Splunk does not say whether it has taken those before it.
            Some(bad) => Ok(Reply::Partly {
                rejected: vec![Rejected { position: bad, reason: message }],
                again: (0..records).filter(|position| *position != bad).collect(),
                after: None,
            }),
            None => Err(SendError::Invalid { message }),
        },
        _ => answer.judge(purpose).map(|()| Reply::Taken),
    }
}
