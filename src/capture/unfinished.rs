//! When the line that a stream has not finished is to be shown all the same.
//!
//! A splitter knows no clock: that a line stood still, or went on for long, must be a note in the
//! spool. Apart from the pump because it is the one thing there that looks into the bytes: for
//! the last line end, and for cursor moves, behind which a line end may end nothing
//! ([`rows`](crate::line::rows)). A note too many does no harm, as one where no line is
//! unfinished changes nothing.

use std::time::{Duration, Instant};

use crate::line::rows;

/// Of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished {
    /// There is something that no note has shown yet.
    open: bool,
    /// The cursor went up since the last note.
    moved_up: bool,
    /// When the line began, or the last note was made.
    since: Instant,
}

impl Unfinished {
    pub(super) fn new(now: Instant) -> Self {
        Self { open: false, moved_up: false, since: now }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// The stream goes on with these bytes, read at `now`.
    pub(super) fn saw(&mut self, bytes: &[u8], now: Instant) {
        let Some(last) = bytes.last() else { return };
        self.moved_up |= rows::moves_up(bytes);
        let begins = !self.open || (!self.moved_up && memchr::memrchr(b'\n', bytes).is_some());
        if begins {
            self.since = now;
        }
        self.open = *last != b'\n' || self.moved_up;
    }

    /// A line that goes on and on is due after `age`: a progress bar that never pauses.
    pub(super) fn due(&self, age: Duration) -> Option<Instant> {
        self.open.then(|| self.since + age)
    }

    /// The line stands still, and is shown.
    pub(super) fn shown_still(&mut self) {
        (self.open, self.moved_up) = (false, false);
    }

    /// The line goes on, and is shown as it is now.
    pub(super) fn shown_going_on(&mut self, now: Instant) {
        self.shown_still();
        self.since = now;
    }

    /// Time in which everything stood still does not count.
    pub(super) fn shift(&mut self, pause: Duration) {
        self.since += pause;
    }
}
