//! Where frames go: the spool on disk, or a channel in memory where no directory is writable.
//!
//! A trait so that the pump knows one of them as little as the other.

use std::time::Instant;

use crate::record::{Exit, IoStream, Nanos};
use crate::spool::{Append, FinishError, Note, SpoolWriter};

/// Takes what was read from the step, in order.
pub trait FrameSink {
    /// Takes a block, or drops and counts it, as the policy at the limit says. False: there is no
    /// room, and the policy is to wait; the same block is to be offered again.
    fn append(&mut self, iostream: IoStream, time: Nanos, payload: &[u8]) -> bool;

    /// Takes a note.
    fn note(&mut self, time: Nanos, note: Note);

    /// Whether a block that was refused would be taken now.
    fn has_room(&mut self) -> bool;

    /// Does what is due; says when something will be due next.
    fn tick(&mut self, now: Instant) -> Option<Instant>;

    /// The first thing that went wrong, for the user.
    fn fault(&self) -> Option<String>;

    /// Bytes taken so far.
    fn offset(&self) -> u64;

    /// Nothing more comes.
    fn finish(self: Box<Self>, exit: &Exit) -> Result<(), FinishError>;
}

impl FrameSink for SpoolWriter {
    fn append(&mut self, iostream: IoStream, time: Nanos, payload: &[u8]) -> bool {
        match self.append(iostream, time, payload) {
            Append::Written | Append::Dropped => true,
            Append::Full => false,
        }
    }

    fn note(&mut self, time: Nanos, note: Note) {
        self.note(time, note);
    }

    fn has_room(&mut self) -> bool {
        self.has_room()
    }

    fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.tick(now)
    }

    fn fault(&self) -> Option<String> {
        self.fault().map(ToString::to_string)
    }

    fn offset(&self) -> u64 {
        self.offset()
    }

    fn finish(self: Box<Self>, exit: &Exit) -> Result<(), FinishError> {
        (*self).finish(exit)
    }
}
