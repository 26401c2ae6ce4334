//! What the web servers ask of the capture thread, which alone owns streams and numbers.
//!
//! A bounded queue and a descriptor that is readable when something is in it. Apart from both sides.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::oneshot;

use super::otlp::Batch;
use super::status::Status;

/// Requests that may wait; there are never more than the servers work on at a time.
const QUEUE: usize = 256;

/// A request.
pub(super) enum Ask {
    /// Put these lines into the spools of an input's streams.
    Lines(Delivery),
    /// Say how things are.
    Status(oneshot::Sender<Status>),
}

/// Lines of an input's streams.
pub(super) struct Delivery {
    /// The input's name.
    pub(super) input: String,
    pub(super) batches: Vec<Batch>,
    pub(super) answer: oneshot::Sender<Verdict>,
}

/// What became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are in the spool.
    Taken,
    /// The spool has no room, or cannot be written.
    Full,
    /// There are too many streams already.
    TooManyStreams,
    /// The agent, or this input, is about to end.
    Ending,
}

/// The side of the capture thread.
pub(super) struct Inbox {
    asks: Receiver<Ask>,
    wake: Arc<EventFd>,
}

/// The side of the servers.
#[derive(Clone)]
pub(super) struct Outbox {
    asks: Sender<Ask>,
    wake: Arc<EventFd>,
}

/// Both sides.
pub(super) fn inbox() -> std::io::Result<(Outbox, Inbox)> {
    let (sender, asks) = bounded(QUEUE);
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let wake = Arc::new(EventFd::from_flags(flags)?);
    Ok((Outbox { asks: sender, wake: Arc::clone(&wake) }, Inbox { asks, wake }))
}

impl Inbox {
    /// Readable when there is something.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// All that has been asked.
    pub(super) fn take(&self) -> Vec<Ask> {
        // It says that there is something, not how much; one that says nothing is no error.
        _ = self.wake.read();
        self.asks.try_iter().collect()
    }
}

impl Inbox {
    /// The same, after having waited for it for a while.
    pub(super) fn wait(&self, patience: Duration) -> Vec<Ask> {
        let first = self.asks.recv_timeout(patience).ok();
        first.into_iter().chain(self.take()).collect()
    }
}

impl Outbox {
    /// Whether these lines are in the spool.
    pub(super) async fn deliver(&self, input: &str, batches: Vec<Batch>) -> Verdict {
        let (answer, verdict) = oneshot::channel();
        let input = input.to_owned();
        match self.ask(Ask::Lines(Delivery { input, batches, answer })) {
            Ok(()) => verdict.await.unwrap_or(Verdict::Ending),
            Err(verdict) => verdict,
        }
    }

    /// How things are; `None`: the agent ends.
    pub(super) async fn status(&self) -> Option<Status> {
        let (answer, status) = oneshot::channel();
        self.ask(Ask::Status(answer)).ok()?;
        status.await.ok()
    }

    fn ask(&self, ask: Ask) -> Result<(), Verdict> {
        self.asks.try_send(ask).map_err(|error| match error {
            TrySendError::Full(_) => Verdict::Full,
            TrySendError::Disconnected(_) => Verdict::Ending,
        })?;
        self.wake.write(1).map(drop).map_err(|_| Verdict::Ending)
    }
}
