//! When a chunk is sealed though it is not full.
//!
//! Apart because it is pure: it is given the time and says when. An object of a remote store costs
//! money and a line that nobody sees yet costs patience, so a step that has just begun is shown
//! at once, and one that has run for hours every half minute.

use std::time::{Duration, Instant};

use crate::stores::SealAge;

/// Up to which age of the writer a chunk may become how old.
const GROWING: [(Duration, Duration); 3] = [
    (Duration::from_mins(1), Duration::from_secs(2)),
    (Duration::from_mins(10), Duration::from_secs(5)),
    (Duration::from_hours(1), Duration::from_secs(15)),
];
const OLDEST: Duration = Duration::from_secs(30);

/// As many lines of level ERROR or worse since the last chunk are a burst: something fails right
/// now, and whoever looks should see it.
const BURST: u64 = 5;

/// Decides when the open chunk of one writer is due.
#[derive(Debug)]
pub(super) struct Cadence {
    age: SealAge,
    /// When the writer started, by this process's clock as far as that reaches.
    started: Instant,
    /// How old the writer was then.
    before: Duration,
    /// When the first line of the open chunk was seen.
    first: Option<Instant>,
    errors: u64,
    last_burst: Option<Instant>,
}

impl Cadence {
    /// For a writer that is `before` old at `now`.
    pub(super) fn new(age: SealAge, before: Duration, now: Instant) -> Self {
        Self { age, started: now, before, first: None, errors: 0, last_burst: None }
    }

    /// The open chunk has lines, `errors` serious ones since the last call.
    pub(super) fn has_lines(&mut self, errors: u64, now: Instant) {
        self.first.get_or_insert(now);
        self.errors += errors;
    }

    /// A chunk was sealed: the next one begins.
    pub(super) fn sealed(&mut self, now: Instant) {
        if self.is_burst(now) {
            self.last_burst = Some(now);
        }
        self.first = None;
        self.errors = 0;
    }

    /// When the open chunk must be sealed; none while it has no lines.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let first = self.first?;
        Some(if self.is_burst(now) { now } else { first + self.limit(now) })
    }

    /// How old a chunk may become that is no burst.
    pub(super) fn limit(&self, now: Instant) -> Duration {
        match self.age {
            SealAge::Fixed(age) => age,
            SealAge::Growing => {
                let age = self.before + now.saturating_duration_since(self.started);
                let step = GROWING.iter().find(|(up_to, _)| age < *up_to);
                step.map_or(OLDEST, |(_, limit)| *limit)
            }
        }
    }

    /// A step that prints nothing but errors is no burst all the time: at most every other chunk
    /// is sealed for that.
    fn is_burst(&self, now: Instant) -> bool {
        self.errors >= BURST
            && self
                .last_burst
                .is_none_or(|last| now.saturating_duration_since(last) >= self.limit(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    #[test]
    fn remote_chunks_may_grow_older_with_their_writer() {
        let start = Instant::now();
        for (age, expected) in
            [(0, 2), (59, 2), (60, 5), (599, 5), (600, 15), (3600, 30), (90_000, 30)]
        {
            for (before, passed) in [(0, age), (age, 0), (age / 2, age - age / 2)] {
                let mut cadence = Cadence::new(SealAge::Growing, S * before, start);
                let now = start + S * passed;
                assert_eq!(cadence.due(now), None);
                cadence.has_lines(0, now);
                assert_eq!(cadence.due(now), Some(now + S * expected), "{age}");
            }
        }
    }

    #[test]
    fn local_chunks_are_always_young() {
        let start = Instant::now();
        let mut cadence = Cadence::new(SealAge::Fixed(MS * 200), S * 90_000, start);
        cadence.has_lines(0, start);
        cadence.has_lines(0, start + MS * 100);
        assert_eq!(cadence.due(start), Some(start + MS * 200));
        cadence.sealed(start + MS * 200);
        assert_eq!(cadence.due(start + MS * 200), None);
    }

    #[test]
    fn a_burst_of_errors_does_not_wait_unless_there_was_one_just_now() {
        let start = Instant::now();
        let mut cadence = Cadence::new(SealAge::Growing, S * 5000, start);
        cadence.has_lines(4, start);
        assert_eq!(cadence.due(start), Some(start + S * 30));
        cadence.has_lines(1, start);
        assert_eq!(cadence.due(start), Some(start));
        cadence.sealed(start);
        cadence.has_lines(50, start + S);
        assert_eq!(cadence.due(start + S), Some(start + S * 31));
        // That chunk was full of errors too, so the one after it waits again.
        cadence.sealed(start + S * 31);
        cadence.has_lines(50, start + S * 32);
        assert_eq!(cadence.due(start + S * 32), Some(start + S * 62));
        cadence.sealed(start + S * 40);
        cadence.has_lines(50, start + S * 61);
        assert_eq!(cadence.due(start + S * 61), Some(start + S * 61));
    }
}
