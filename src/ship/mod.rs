//! Follows a spool and delivers it: lines, chunks, requests, acknowledgements.
//!
//! ```text
//!  spool ─► reader ─► encoders ─► coordinator ─► requests ─► log store
//!           frames     block        order          one try      │
//!           lines      to frame     checkpoint     each         │
//!           cuts                    retries ◄───────────────────┘
//! ```
//!
//! One such pipeline a spool and log store; they share the checkpoint (`keeper`). What is between
//! the reader and the store is limited in bytes (`budget`); all else waits in the spool.
//!
//! Invariants:
//!
//! * A chunk is sent only when its cut is in the checkpoint, so whoever sends it again sends the
//!   same bytes under the same name.
//! * Chunks are acknowledged in order, and the acknowledgement is in the checkpoint before segments
//!   of the spool are deleted, durably.
//! * A process may die anywhere. The next one asks the store what it has, before it sends
//!   anything, and goes on from there (`recover`); the checkpoint may be old or gone.
//! * A spool is taken as delivered only when it holds no more than the store says it has (`rest`).
//! * A store that is down is tried again for ever, with growing pauses, by one request at a time of all that
//!   this process delivers to it (`gate`); the spool keeps the lines. A store that refuses (credentials) stops delivery with a message; the spool keeps the lines.
//!
//! Does not know what a store is made of ([`stores`](crate::stores)), nor how lines are cut
//! ([`line`](crate::line)), nor what is on the spool's disk ([`spool`](crate::spool)).

mod budget;
mod cadence;
mod coordinator;
mod encoder;
mod follow;
mod gate;
mod keeper;
mod pace;
mod pipeline;
mod reader;
mod recover;
mod request;
mod rest;
mod retry;
mod settings;
mod source;
mod spools;
mod stop;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use self::gate::Gate;
pub use self::keeper::{Cut, Keeper, Mark, StoreCheckpoint};
pub use self::pipeline::{Delivery, Left, Open, deliver};
pub use self::settings::Settings;
pub use self::source::{FrameSource, SourceError, SpoolSource};
pub use self::spools::{Shipment, SpoolError, Target, close, runtime};
pub use self::stop::{Stop, Stopper, Until, Wait, stop};
use crate::stores::{EncodeError, Refused, StateError, Totals};
use crate::words::counted;

/// How delivery has ended, if not by an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is in the store, and marked as complete.
    Delivered,
    /// All that there was is delivered; the writer goes on, and has to be delivered on later.
    CaughtUp,
    /// A store is down; what it lacks is for another turn.
    Down,
    /// It was stopped before that; the rest is in the spool.
    Stopped,
}

/// Why delivery cannot go on. The spool keeps what is not delivered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refuses; trying again would not help.
    #[error("log store {store}: {message}; {advice}")]
    Refused {
        /// Its name.
        store: String,
        /// What happened.
        message: String,
        /// What to do.
        advice: &'static str,
        /// Credentials are wrong or lack a permission.
        not_allowed: bool,
    },
    /// The store has lines of this writer that do not fit those in the spool.
    #[error(
        "log store {store}: chunk {chunk} there holds other lines than the spool; \
         see `steplog verify`, the spool is kept"
    )]
    Conflict {
        /// Its name.
        store: String,
        /// The chunk.
        chunk: u64,
    },
    /// The store has the writer as complete, and the spool holds more.
    #[error(
        "log store {store}: it has this writer as complete with {} of {}, but the spool \
         holds {} of {}; the spool is kept: to deliver the rest, take the writer's \
         end.json away there and ship again",
        counted(there.lines, "line"), counted(there.bytes, "byte"),
        counted(here.lines, "line"), counted(here.bytes, "byte")
    )]
    More {
        /// Its name.
        store: String,
        /// What the spool holds.
        here: Totals,
        /// What the store says is all.
        there: Totals,
    },
    /// Frames cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A block cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The checkpoint holds something else than the store's state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// How far a pipeline is, for whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    offset: AtomicU64,
    lines: AtomicU64,
    error: Mutex<Option<String>>,
    delivered: AtomicBool,
    refused: Mutex<Option<Refused>>,
}

impl Progress {
    /// Bytes of the writer's stream that are acknowledged.
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Lines that are acknowledged.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Why the last try failed; none if it did not.
    pub fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it is in the store, but for what that has refused for good.
    pub fn is_delivered(&self) -> bool {
        self.delivered.load(Ordering::Relaxed)
    }

    /// What the store has refused for good, once all else is delivered.
    pub fn refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn delivered(&self, refused: Option<Refused>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        self.delivered.store(true, Ordering::Relaxed);
    }

    fn acknowledged(&self, mark: &Mark) {
        self.offset.store(mark.lines.resume_offset(), Ordering::Relaxed);
        self.lines.store(mark.totals.lines, Ordering::Relaxed);
    }

    fn failing(&self, error: Option<&str>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error.map(str::to_owned);
    }
}
