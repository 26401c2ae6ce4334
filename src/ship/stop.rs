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
    /// Until this says so, which is asked, with the time since something came, whenever there is
    /// nothing to read. What was read is delivered then, and that is it.
    Told(&'a (dyn Fn(Duration) -> bool + Sync)),
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
