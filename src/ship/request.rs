//! Requests under way: a session's futures on the tokio runtime, their answers in a channel.
//!
//! Apart so that the coordinator stays plain synchronous code. Each request is made once; a request
//! that panics is answered like one that failed; the session limits how long each takes. Dropping this aborts what is
//! still under way, as a crash would.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::stores::{Chunk, DeliverError, Ending, Receipt, Session};

/// What came of a request.
pub(super) enum Answered {
    /// Of the chunk with this number.
    Delivered(u64, Result<Receipt, DeliverError>),
    Upkeep(Result<(), DeliverError>),
    Finished(Result<(), DeliverError>),
}

pub(super) struct Requests {
    session: Arc<dyn Session>,
    runtime: Handle,
    /// As many at the most as requests run, so it needs no bound.
    answers: (Sender<Answered>, Receiver<Answered>),
    running: usize,
    tasks: Vec<AbortHandle>,
}

impl Requests {
    pub(super) fn new(session: Arc<dyn Session>, runtime: Handle) -> Self {
        let answers = unbounded();
        Self { session, runtime, answers, running: 0, tasks: Vec::new() }
    }

    /// Where answers come; each must be told by [`Requests::answered`].
    pub(super) fn answers(&self) -> Receiver<Answered> {
        self.answers.1.clone()
    }

    pub(super) fn answered(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.tasks.retain(|task| !task.is_finished());
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn deliver(&mut self, chunk: Arc<Chunk>) {
        let session = Arc::clone(&self.session);
        self.spawn(async move {
            Answered::Delivered(chunk.number, settled(session.deliver(&chunk)).await)
        });
    }

    pub(super) fn upkeep(&mut self) {
        let session = Arc::clone(&self.session);
        self.spawn(async move { Answered::Upkeep(settled(session.upkeep()).await) });
    }

    pub(super) fn finish(&mut self, ending: Ending) {
        let session = Arc::clone(&self.session);
        self.spawn(async move { Answered::Finished(settled(session.finish(&ending)).await) });
    }

    fn spawn(&mut self, request: impl Future<Output = Answered> + Send + 'static) {
        let answers = self.answers.0.clone();
        let task = self.runtime.spawn(async move {
            let answer = request.await;
            // If nobody waits for it, the next start will find out what the store has.
            drop(answers.send(answer));
        });
        self.running += 1;
        self.tasks.push(task.abort_handle());
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A panic is a failure like others.
async fn settled<T>(
    request: impl Future<Output = Result<T, DeliverError>>,
) -> Result<T, DeliverError> {
    match AssertUnwindSafe(request).catch_unwind().await {
        Ok(result) => result,
        Err(_) => Err(retry("the request panicked".to_owned())),
    }
}

fn retry(message: String) -> DeliverError {
    DeliverError::Retry { message, after: None }
}
