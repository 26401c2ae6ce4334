//! Which stretch of a stream's time is searched next. Pure.
//!
//! ```text
//! bounds    ├──────────────────────────────────────────────┤
//! windows   ├────┤├────────┤├────────────┤ …                 forward; backward from the other end
//!                 ▲ full: the next one begins at its last line, and is as wide as that was far
//! ```

use std::fmt;

use super::fetch::millis;
use crate::read::store::{Direction, Stream};

/// The first window of a stream of which nothing is known.
const USUAL: i64 = 600_000;
/// A stream's first window has about as many lines as are asked for, but is not shorter than this.
const SHORTEST_FIRST: i64 = 1000;

/// Milliseconds, the end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Where it begins: its start forward, its end backward. Milliseconds.
    at: i64,
    /// Milliseconds.
    width: i64,
    /// The first `seq` wanted (forward), or the first not wanted (backward).
    pub(super) seq: Option<u64>,
}

impl Window {
    /// The first one. Reaches to the bounds, since clocks differ.
    pub(super) fn first(
        stream: &Stream,
        bounds: &Range,
        direction: Direction,
        limit: usize,
    ) -> Self {
        let started = millis(stream.started);
        let width = match (stream.ended, stream.lines) {
            (Some(ended), Some(lines)) if lines > 0 => {
                let span = (millis(ended) - started).max(1);
                let width = i128::from(span) * limit as i128 / i128::from(lines);
                i64::try_from(width)
                    .unwrap_or(i64::MAX)
                    .clamp(SHORTEST_FIRST, span.max(SHORTEST_FIRST))
            }
            _ => USUAL,
        };
        let (at, near) = match direction {
            Direction::Forward => (bounds.from, started.max(bounds.from) - bounds.from),
            Direction::Backward => {
                let ended = stream.ended.map_or(bounds.to, millis);
                (bounds.to, bounds.to - ended.min(bounds.to))
            }
        };
        Self { at, width: width.saturating_add(near), seq: None }
    }

    /// What is searched.
    pub(super) fn range(&self, bounds: &Range, direction: Direction) -> Range {
        match direction {
            Direction::Forward => {
                Range { from: self.at, to: self.at.saturating_add(self.width).min(bounds.to) }
            }
            Direction::Backward => {
                Range { from: self.at.saturating_sub(self.width).max(bounds.from), to: self.at }
            }
        }
    }

    /// The next one if this one has more lines than were asked for, of which `last` was the last:
    /// its time and `seq`.
    pub(super) fn behind(&self, (time, seq): (i64, u64), direction: Direction) -> Self {
        let width = (time - self.at).abs().max(1);
        match direction {
            Direction::Forward => Self { at: time, width, seq: Some(seq + 1) },
            Direction::Backward => Self { at: time + 1, width, seq: Some(seq) },
        }
    }

    /// The next one if all of this one was had, which was little or not; none if it was the last.
    pub(super) fn next(
        &self,
        had: &Range,
        bounds: &Range,
        direction: Direction,
        little: bool,
    ) -> Option<Self> {
        let width = if little { self.width.saturating_mul(4) } else { self.width };
        let (at, over) = match direction {
            Direction::Forward => (had.to, had.to >= bounds.to),
            Direction::Backward => (had.from, had.from <= bounds.from),
        };
        (!over).then_some(Self { at, width, ..*self })
    }

    /// As [`Self::to_string`] wrote it.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (at, width) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let seq = parts.next()?;
        let seq = if seq.is_empty() { None } else { Some(seq.parse().ok()?) };
        Some(Self { at, width, seq })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:", self.at, self.width)?;
        self.seq.map_or(Ok(()), |seq| seq.fmt(formatter))
    }
}
