//! One question to a service over HTTP, asked until there is an answer or a reason to give up.
//!
//! For the flavors' [`Search`](super::Search): what a status means to a reader is decided here, once.
//!
//! | answer | |
//! |---|---|
//! | 2xx | is the answer |
//! | 401, 403, 407 | [`ReadError::Denied`]: "not allowed", never "nothing there" |
//! | 429 | waits as the service asks (`Retry-After`), else a little longer each time, and asks again |
//! | 5xx, 408, 425, no answer at all | asks again a few times, then [`ReadError::Store`] |
//! | any other | [`ReadError::Store`] |
//! | larger than memory should hold | [`ReadError::Store`] of [`AnswerTooLarge`]: who asks for fewer records goes on |

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;

use crate::read::store::{Cost, Meter, ReadError};
use crate::stores::records::SendError;
use crate::stores::records::http::{self, Answer};

/// One try takes no longer than this.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Pauses before the tries after the first, where it is not clear that they help.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];
/// So often in a row a service may say that it is asked too much …
const MAX_BUSY: u32 = 60;
/// … and be left alone so long if it does not say how long, doubled each time from a second.
const MAX_BUSY_PAUSE: Duration = Duration::from_secs(30);
/// A pause that it asks for is no longer than this.
const MAX_ASKED_PAUSE: Duration = Duration::from_secs(3600);

/// Asks a service, and counts what that costs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    meter: Meter,
}

/// An answer has more bytes than memory should hold at a time.
#[derive(Debug, thiserror::Error)]
#[error("failed to {purpose}: the answer is larger than {limit} bytes")]
pub(crate) struct AnswerTooLarge {
    pub(crate) purpose: String,
    pub(crate) limit: usize,
}

/// Another answer than the one asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

impl Asker {
    /// For [`Search::cost`](super::Search::cost).
    pub(crate) fn cost(&self) -> Cost {
        self.meter.cost()
    }

    /// Asks until there is an answer of 2xx. `purpose` is an infinitive: "look for runs". The request
    /// must have no body, or one in memory.
    pub(crate) async fn ask(
        &self,
        request: RequestBuilder,
        purpose: &str,
    ) -> Result<Answer, ReadError> {
        self.ask_as(request, purpose, |answer| answer.retry_after()).await
    }

    /// The same for a service that says in its own way how long to leave it alone (429 and 503).
    pub(crate) async fn ask_as(
        &self,
        request: RequestBuilder,
        purpose: &str,
        pause: impl Fn(&Answer) -> Option<Duration>,
    ) -> Result<Answer, ReadError> {
        let (mut failures, mut busy) = (PAUSES.into_iter(), 0);
        loop {
            let Some(again) = request.try_clone() else {
                return Err(store(Refused(format!("failed to {purpose}: the body is a stream"))));
            };
            let (message, asked) = match self.once(again, purpose).await? {
                Err(message) => (message, None),
                Ok(answer) => match answer.judge(purpose) {
                    Ok(()) => return Ok(answer),
                    Err(SendError::Retry { message, .. }) if answer.status.as_u16() == 429 => {
                        busy += 1;
                        if busy > MAX_BUSY {
                            return Err(store(Refused(message)));
                        }
                        let usual = Duration::from_secs(1 << (busy - 1).min(5));
                        let asked = pause(&answer).map(|it| it.min(MAX_ASKED_PAUSE));
                        tokio::time::sleep(asked.unwrap_or(usual.min(MAX_BUSY_PAUSE))).await;
                        continue;
                    }
                    Err(SendError::Retry { message, .. }) => (message, pause(&answer)),
                    Err(SendError::Fatal { message, not_allowed: true, .. }) => {
                        return Err(ReadError::Denied(Box::new(Refused(message))));
                    }
                    Err(
                        SendError::Fatal { message, .. }
                        | SendError::TooLarge { message }
                        | SendError::Invalid { message },
                    ) => return Err(store(Refused(message))),
                },
            };
            let Some(usual) = failures.next() else { return Err(store(Refused(message))) };
            tokio::time::sleep(asked.map_or(usual, |it| it.min(MAX_BUSY_PAUSE))).await;
        }
    }

    /// One try: an answer, or what kept it from coming.
    async fn once(
        &self,
        request: RequestBuilder,
        purpose: &str,
    ) -> Result<Result<Answer, String>, ReadError> {
        let failed = |error: reqwest::Error| {
            format!("failed to {purpose}: {}", http::chain(&error.without_url()))
        };
        let response = match request.timeout(TIMEOUT).send().await {
            Ok(response) => response,
            Err(error) => return Ok(Err(failed(error))),
        };
        let (status, headers): (_, HeaderMap) = (response.status(), response.headers().clone());
        match http::body(response).await {
            Ok(Some((body, _))) => {
                self.meter.add(body.len() as u64);
                Ok(Ok(Answer { status, headers, body }))
            }
            Ok(None) => {
                self.meter.add(http::MAX_ANSWER as u64);
                let (purpose, limit) = (purpose.to_owned(), http::MAX_ANSWER);
                Err(store(AnswerTooLarge { purpose, limit }))
            }
            Err(error) => Ok(Err(failed(error))),
        }
    }
}

/// Any failure of the service.
pub(crate) fn store(error: impl std::error::Error + Send + Sync + 'static) -> ReadError {
    ReadError::Store(Box::new(error))
}
