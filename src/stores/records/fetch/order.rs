//! One stream's records as a service gives them, put into order. Pure.
//!
//! A service sorts by time, which many records share (those of one read of the step's output all
//! do) and which it may keep coarser than we do. Between records of one time only `seq` knows the
//! order. So a record is handed on when nothing can come before it any more: because it is the one
//! that was expected, or because the service has gone on to times that are later than its own by
//! the service's resolution.
//!
//! Where all records are asked for, `seq` is *dense*: what is left out between two records that could
//! both be handed on is missing. Where conditions were left to the service nobody can tell.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::read::store::Direction;
use crate::record::{Nanos, Record};

/// Beside its texts, about what a record takes in memory.
const RECORD_BYTES: usize = 400;

/// Records of one stream that are on their way.
#[derive(Debug)]
pub(super) struct Order {
    direction: Direction,
    /// Nanoseconds.
    resolution: i64,
    dense: bool,
    /// Forward: the `seq` that comes next. Backward: the one above what comes next. None: whatever
    /// comes first.
    next: Option<u64>,
    /// Cannot be handed on yet.
    held: BTreeMap<u64, (Nanos, Record)>,
    held_bytes: usize,
    /// As far as the service has come in time.
    reached: Option<Nanos>,
    /// Time of the record that was handed on last.
    last_time: Option<Nanos>,
    /// In order, and next to what was handed on before.
    ready: Vec<Record>,
}

impl Order {
    /// `next`: where reading begins, if that is known.
    pub(super) fn new(
        direction: Direction,
        resolution: std::time::Duration,
        dense: bool,
        next: Option<u64>,
    ) -> Self {
        Self {
            direction,
            resolution: i64::try_from(resolution.as_nanos()).unwrap_or(i64::MAX),
            dense,
            next,
            held: BTreeMap::new(),
            held_bytes: 0,
            reached: None,
            last_time: None,
            ready: Vec::new(),
        }
    }

    /// Where reading stands: see the field.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Time of the record that was handed on last.
    pub(super) fn last_time(&self) -> Option<Nanos> {
        self.last_time
    }

    /// Time of the record that waits in front.
    pub(super) fn held_time(&self) -> Option<Nanos> {
        self.front().map(|(_, time)| time)
    }

    /// Bytes that wait.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Something is in order by now.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is in order by now.
    pub(super) fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.ready)
    }

    /// Takes a record from a page that came in the service's order.
    pub(super) fn push(&mut self, record: Record) {
        let time = self.add(record);
        self.reached = Some(match (self.reached, self.direction) {
            (None, _) => time,
            (Some(reached), Direction::Forward) => reached.max(time),
            (Some(reached), Direction::Backward) => reached.min(time),
        });
    }

    /// Takes a record that was asked for because it was missing; returns its time.
    pub(super) fn add(&mut self, record: Record) -> Nanos {
        let time = Nanos::from_rfc3339(&record.timestamp).unwrap_or_default();
        let seq = record.seq;
        let (passed, expected) = match (self.next, self.direction) {
            (None, _) => (false, false),
            (Some(next), Direction::Forward) => (seq < next, seq == next),
            (Some(next), Direction::Backward) => (seq >= next, seq + 1 == next),
        };
        if passed {
            // A double.
        } else if expected && self.dense && self.held.is_empty() {
            self.hand_on(seq, time, record);
        } else {
            let bytes = bytes(&record);
            if self.held.insert(seq, (time, record)).is_none() {
                self.held_bytes += bytes;
            }
        }
        time
    }

    /// Puts into order what can be. Returns a hole that stands in the way: it is certain that what is
    /// missing did not come where it should have. `all`: nothing more comes.
    pub(super) fn settle(&mut self, all: bool) -> Option<Range<u64>> {
        while let Some((seq, time)) = self.front() {
            let expected = self.next.is_some_and(|next| match self.direction {
                Direction::Forward => seq == next,
                Direction::Backward => seq + 1 == next,
            });
            let may_pass = all || (self.dense && expected) || self.is_passed(time);
            if !may_pass {
                return None;
            }
            if self.dense
                && !expected
                && let Some(next) = self.next
            {
                return Some(match self.direction {
                    Direction::Forward => next..seq,
                    Direction::Backward => seq + 1..next,
                });
            }
            if let Some((time, record)) = self.held.remove(&seq) {
                self.held_bytes = self.held_bytes.saturating_sub(bytes(&record));
                self.hand_on(seq, time, record);
            }
        }
        None
    }

    /// A hole is given up: reading goes on behind it.
    pub(super) fn skip(&mut self, hole: &Range<u64>) {
        self.next = Some(match self.direction {
            Direction::Forward => hole.end,
            Direction::Backward => hole.start,
        });
    }

    fn front(&self) -> Option<(u64, Nanos)> {
        let front = match self.direction {
            Direction::Forward => self.held.first_key_value(),
            Direction::Backward => self.held.last_key_value(),
        };
        front.map(|(seq, (time, _))| (*seq, *time))
    }

    /// The service has gone on to times before which all of this time have come.
    fn is_passed(&self, time: Nanos) -> bool {
        let Some(reached) = self.reached else { return false };
        let ahead = match self.direction {
            Direction::Forward => reached.0.saturating_sub(time.0),
            Direction::Backward => time.0.saturating_sub(reached.0),
        };
        ahead > 0 && ahead >= self.resolution
    }

    fn hand_on(&mut self, seq: u64, time: Nanos, record: Record) {
        self.next = Some(match self.direction {
            Direction::Forward => seq + 1,
            Direction::Backward => seq,
        });
        self.last_time = Some(time);
        self.ready.push(record);
    }
}

fn bytes(record: &Record) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    RECORD_BYTES + record.message.len() + length(&record.raw) + length(&record.bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::read::testing::Spec;

    /// Pushes records of these `seq` and times; what came in order, and the hole it came upon.
    #[track_caller]
    fn check(
        mut order: Order,
        records: &[(u64, i64)],
        all: bool,
        expected: (&[u64], Option<Range<u64>>),
    ) -> Order {
        for (seq, time) in records {
            order.push(Spec { time: Some(Nanos(*time)), ..Spec::text("") }.record(*seq));
        }
        let hole = order.settle(all);
        let seqs: Vec<u64> = order.take().iter().map(|record| record.seq).collect();
        assert_eq!((seqs.as_slice(), hole), expected);
        order
    }

    fn forward(dense: bool, next: Option<u64>) -> Order {
        Order::new(Direction::Forward, Duration::from_nanos(10), dense, next)
    }

    fn backward(dense: bool, next: Option<u64>) -> Order {
        Order::new(Direction::Backward, Duration::from_nanos(10), dense, next)
    }

    #[test]
    fn what_is_expected_goes_at_once_and_doubles_go_nowhere() {
        let all = [(0, 5), (2, 5), (1, 5), (1, 5), (0, 5), (3, 5)];
        check(forward(true, Some(0)), &all, false, (&[0, 1, 2, 3], None));
        let all = [(3, 5), (1, 5), (1, 5), (2, 5), (3, 5), (0, 5)];
        check(backward(true, Some(4)), &all, false, (&[3, 2, 1, 0], None));
    }

    #[test]
    fn a_hole_is_certain_when_the_service_has_gone_on() {
        let order = check(forward(true, Some(0)), &[(0, 1), (2, 2), (3, 11)], false, (&[0], None));
        let mut order = check(order, &[(4, 12)], false, (&[], Some(1..2)));
        order.skip(&(1..2));
        check(order, &[], false, (&[2, 3, 4], None));
        check(forward(true, Some(0)), &[(0, 1), (2, 2)], true, (&[0], Some(1..2)));
        let mut order =
            check(backward(true, Some(9)), &[(8, 40), (5, 39), (4, 29)], false, (&[8], Some(6..8)));
        assert_eq!(order.held_time(), Some(Nanos(39)));
        order.add(Spec { time: Some(Nanos(40)), ..Spec::text("") }.record(7));
        order.add(Spec { time: Some(Nanos(39)), ..Spec::text("") }.record(6));
        check(order, &[], false, (&[7, 6, 5, 4], None));
    }

    #[test]
    fn where_it_begins_shows_when_all_of_a_time_are_there() {
        let order = check(forward(true, None), &[(7, 3), (6, 3)], false, (&[], None));
        let order = check(order, &[(8, 13)], false, (&[6, 7, 8], None));
        assert_eq!((order.next(), order.last_time()), (Some(9), Some(Nanos(13))));
        let order =
            check(backward(true, None), &[(6, 3), (7, 3), (5, 1)], true, (&[7, 6, 5], None));
        assert_eq!(order.held_bytes(), 0);
    }

    #[test]
    fn with_conditions_nothing_is_missing() {
        let some = [(9, 4), (3, 4), (20, 14), (3, 4), (12, 14)];
        let order = check(forward(false, Some(0)), &some, false, (&[3, 9], None));
        check(order, &[], true, (&[12, 20], None));
        let some = [(20, 14), (12, 14), (3, 4), (9, 4)];
        let order = check(backward(false, None), &some, false, (&[20, 12], None));
        check(order, &[], true, (&[9, 3], None));
    }
}
