//! Indexer acknowledgement: which requests Splunk has indexed.
//!
//! ```text
//! sent ── ackId ──► wait ──► one of those who wait asks for all, again and again ──► told: taken
//!                    │ given up (a try has ended): remembered by the request's id
//!                    └► the next try at the same request waits on, and sends again only after PATIENCE
//! ```
//!
//! Splunk forgets an acknowledgement when it has told it, and all of them when it starts anew. So when it
//! cannot be reached, whatever is not acknowledged is sent again at once. Who asks may be given up at
//! any moment, also with an answer on its way: then what that was about is sent again after a while.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use crate::stores::records::SendError;

/// How often to ask.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// A request that is not acknowledged after this long is sent again: Splunk forgets all of them when it
/// starts anew, which may go unseen between two questions.
pub(super) const PATIENCE: Duration = Duration::from_secs(45);

/// What was sent and is not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// By the request's id: its acknowledgement's number, and when it was sent.
    sent: Mutex<HashMap<String, (u64, Instant)>>,
    /// Who waits, by number.
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    /// Held by who asks.
    turn: tokio::sync::Mutex<()>,
}

impl Acks {
    /// The number of a request that was sent by an earlier try and may still be acknowledged.
    pub(super) fn of(&self, request: &str) -> Option<u64> {
        let mut sent = lock(&self.sent);
        sent.retain(|_, (_, when)| when.elapsed() < PATIENCE);
        sent.get(request).map(|(number, _)| *number)
    }

    /// A request was sent.
    pub(super) fn sent(&self, request: &str, number: u64) {
        lock(&self.sent).insert(request.to_owned(), (number, Instant::now()));
    }

    /// It need not be known any more.
    pub(super) fn forget(&self, request: &str) {
        lock(&self.sent).remove(request);
    }

    /// Waits until `number` is acknowledged. `ask` tells which of some numbers are.
    pub(super) async fn wait<F>(
        &self,
        number: u64,
        ask: impl Fn(Vec<u64>) -> F,
    ) -> Result<(), SendError>
    where
        F: Future<Output = Result<Vec<u64>, NotTold>>,
    {
        let (sender, told) = oneshot::channel();
        lock(&self.waiting).insert(number, sender);
        let _left = Left { acks: self, number };
        let asking = pin!(async {
            let _turn = self.turn.lock().await;
            loop {
                tokio::time::sleep(PAUSE).await;
                let numbers = lock(&self.waiting).keys().copied().collect();
                let told = ask(numbers).await.map_err(|not_told| match not_told {
                    NotTold::Refused(error) => error,
                    NotTold::Unreachable(error) => {
                        lock(&self.sent).clear();
                        lock(&self.waiting).clear();
                        error
                    }
                })?;
                for number in told {
                    if let Some(waits) = lock(&self.waiting).remove(&number) {
                        // Who does not wait any more is told by the next try.
                        let _gone = waits.send(());
                    }
                }
                if !lock(&self.waiting).contains_key(&number) {
                    return Ok(());
                }
            }
        });
        match select(told, asking).await {
            Either::Left((Ok(()), _)) => Ok(()),
            Either::Left((Err(_), _)) => {
                let message = "Splunk may have forgotten which requests it has".to_owned();
                Err(SendError::Retry { message, after: None })
            }
            Either::Right((asked, _)) => asked,
        }
    }
}

/// Why it is not known which requests are acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotTold {
    /// Splunk may be starting anew, and has forgotten then.
    Unreachable(SendError),
    /// It does not say now.
    Refused(SendError),
}

/// Takes a number out of those that are waited for.
struct Left<'a> {
    acks: &'a Acks,
    number: u64,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        lock(&self.acks.waiting).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
