//! Stopping: one handle that says so, any number that hear it.
//!
//! Apart so that the pipeline takes its trigger as a parameter: a signal in `cli`, a deadline, a
//! test. Hearing it works in a `select!`; nobody polls.

use std::convert::Infallible;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

/// Says stop, when it is dropped.
#[derive(Debug)]
pub struct Stopper {
    _sender: Sender<Infallible>,
}

/// Hears it.
#[derive(Clone, Debug)]
pub struct Stop(Receiver<Infallible>);

/// How long a writer that goes on is followed.
#[derive(Clone, Copy)]
pub enum Until<'a> {
    /// To its end.
    End,
    /// Until this says so, which is asked whenever there is something to wait for. Of what was read all that
    /// can be is delivered then, and that is it.
    Told(&'a (dyn Fn(Wait) -> bool + Sync)),
}

/// What a delivery waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There has been nothing to read for so long.
    Bytes(Duration),
    /// The store is down.
    Store,
}

impl Until<'_> {
    /// Whether nobody is to wait for a store that is down.
    pub(super) fn spares(&self) -> bool {
        matches!(self, Self::Told(over) if over(Wait::Store))
    }
}

/// The two ends.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = bounded(0);
    (Stopper { _sender: sender }, Stop(receiver))
}

impl Stop {
    /// Whether it has been said.
    pub fn is_set(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Ready to receive (an error) when it has been said.
    pub fn channel(&self) -> &Receiver<Infallible> {
        &self.0
    }
}
