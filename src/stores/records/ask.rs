//! One question to a service that is read from, as all flavors ask: what may work later is tried
//! again a few times, a rate limit is waited for, and what the answer means for a reader is decided.
//!
//! Apart from sending, where `ship` waits: somebody sits before a reader.

use std::time::Duration;

use reqwest::RequestBuilder;

use super::SendError;
use super::http::{self, Answer, Unanswered};
use crate::read::store::ReadError;

/// A question is asked this often.
const TRIES: u32 = 5;
/// The pause after the first try; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Nobody waits longer than this for one answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(120);

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The service says no.
    Denied(String),
    /// There is more in the answer than we take: less may work.
    TooLarge(String),
    /// It cannot be reached, failed, or does not understand.
    Failed(String),
}

impl From<Unread> for ReadError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Denied(message) => Self::Denied(message.into()),
            Unread::TooLarge(message) | Unread::Failed(message) => Self::Store(message.into()),
        }
    }
}

/// Asks. `purpose` is an infinitive: "search the logs". `pause` is what the answer to a refused
/// request says of when to come again beside Retry-After.
pub(crate) async fn ask(
    purpose: &str,
    request: impl Fn() -> RequestBuilder,
    pause: impl Fn(&Answer) -> Option<Duration>,
) -> Result<Answer, Unread> {
    let mut usual = PAUSE;
    let mut tries = 1;
    loop {
        let (message, after) = match http::try_once(request().timeout(TIMEOUT), purpose).await {
            Err(Unanswered::TooLarge(message)) => return Err(Unread::TooLarge(message)),
            Err(Unanswered::Failed(message)) => (message, None),
            Ok(answer) => match answer.judge(purpose) {
                Ok(()) => return Ok(answer),
                Err(SendError::Retry { message, after }) => {
                    (message, after.or_else(|| pause(&answer)))
                }
                Err(SendError::Fatal { message, advice, not_allowed }) => {
                    let message = format!("{message}; {advice}");
                    return Err(if not_allowed {
                        Unread::Denied(message)
                    } else {
                        Unread::Failed(message)
                    });
                }
                Err(SendError::TooLarge { message } | SendError::Invalid { message }) => {
                    return Err(Unread::Failed(message));
                }
            },
        };
        let wait = after.unwrap_or(usual);
        if wait > LONGEST_PAUSE {
            let wait = wait.as_secs();
            return Err(Unread::Failed(format!("{message}; it takes requests again in {wait} s")));
        }
        if tries == TRIES {
            return Err(Unread::Failed(message));
        }
        tokio::time::sleep(wait).await;
        usual *= 2;
        tries += 1;
    }
}
