//! How many requests may be under way at once: found out, not set.
//!
//! ```text
//! limit   1 ─ 2 ─ 4 ─ 8 ─ 16 ╮  slow start: twice as many each round trip
//!                            ╰ 8 ─ 9 ─ 10 ╮  congestion: half; then one more each round trip
//!                                         ╰ 5 ─ 6 ─ …
//! ```
//!
//! The way of TCP (RFC 5681), counted in requests. Congestion is an answer that asks for less (429,
//! 503), none in time, or no connection. A round trip ends with the first answer to a request that was
//! begun in it; within one the limit falls once at the most, whatever number of requests fails
//! together. It grows only while it is what holds requests back (RFC 7661): a limit that
//! was never reached says nothing about the store.
//!
//! Apart because it is pure: it counts, knows no clock and makes no request.

/// The limit for one writer and one store.
#[derive(Debug)]
pub(super) struct Pace {
    limit: f64,
    most: usize,
    /// No congestion so far.
    slow_start: bool,
    /// Requests that are under way.
    running: usize,
    /// Number of the next request.
    next: u64,
    round: Round,
    /// Requests before this one were begun under the limit that was too high.
    fell: u64,
}

/// A round trip: the answers in it are those to the requests that were begun in the one before.
#[derive(Debug)]
struct Round {
    /// The first request that is begun in it.
    first: u64,
    /// The limit when it began.
    limit: f64,
    /// As many ran at once in it …
    peak: usize,
    /// … and in the one before.
    peak_before: usize,
}

/// A request that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Pace {
    /// Begins with one request; never more than `most`.
    pub(super) fn new(most: usize) -> Self {
        let round = Round { first: 0, limit: 1.0, peak: 0, peak_before: 0 };
        let most = most.max(1);
        Self { limit: 1.0, most, slow_start: true, running: 0, next: 0, round, fell: 0 }
    }

    /// The limit never exceeds this.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Another request may begin.
    pub(super) fn has_room(&self) -> bool {
        self.running < self.limit()
    }

    /// A request begins.
    pub(super) fn begin(&mut self) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.running += 1;
        self.round.peak = self.round.peak.max(self.running);
        ticket
    }

    /// It was answered, and not with a word about congestion.
    pub(super) fn answered(&mut self, ticket: Ticket) {
        self.end(ticket);
        let round = &self.round;
        let reached = round.peak.max(round.peak_before) as f64 >= round.limit.floor();
        if reached && ticket.0 >= self.fell {
            let (step, bound) = if self.slow_start {
                (1.0, round.limit * 2.0)
            } else {
                (1.0 / round.limit, round.limit + 1.0)
            };
            let grown = (self.limit + step).min(bound).min(self.most as f64);
            self.limit = self.limit.max(grown);
        }
    }

    /// It met with congestion.
    pub(super) fn congested(&mut self, ticket: Ticket) {
        self.end(ticket);
        if ticket.0 >= self.fell {
            self.limit = (self.limit / 2.0).max(1.0);
            self.slow_start = false;
            self.fell = self.next;
        }
    }

    /// The store was away and is back: what was known of it is out of date.
    pub(super) fn restart(&mut self) {
        self.limit = 1.0;
        self.slow_start = true;
        self.fell = self.next;
        self.new_round();
    }

    fn limit(&self) -> usize {
        // Sums of n times 1/n may fall short of 1.
        (self.limit + 1e-6) as usize
    }

    fn end(&mut self, ticket: Ticket) {
        if ticket.0 >= self.round.first {
            self.new_round();
        }
        self.running = self.running.saturating_sub(1);
    }

    fn new_round(&mut self) {
        let (peak, peak_before) = (self.running, self.round.peak);
        self.round = Round { first: self.next, limit: self.limit, peak, peak_before };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Begins as many as may and are wanted, then all of them are answered; gives how many.
    fn round_trip(pace: &mut Pace, wanted: usize, congested: usize) -> usize {
        let mut tickets = Vec::new();
        while pace.has_room() && tickets.len() < wanted {
            tickets.push(pace.begin());
        }
        for (position, ticket) in tickets.iter().enumerate() {
            if position < congested { pace.congested(*ticket) } else { pace.answered(*ticket) }
        }
        tickets.len()
    }

    #[test]
    fn it_doubles_until_congestion_then_halves_then_adds_one() {
        let mut pace = Pace::new(64);
        let mut took = |congested| round_trip(&mut pace, usize::MAX, congested);
        assert_eq!([0; 5].map(&mut took), [1, 2, 4, 8, 16]);
        // All that fail together are one sign.
        assert_eq!(took(20), 32);
        assert_eq!([0; 4].map(&mut took), [16, 17, 18, 19]);
        assert_eq!(took(1), 20);
        assert_eq!([0; 2].map(&mut took), [10, 11]);
        assert_eq!([1; 6].map(&mut took), [12, 6, 3, 1, 1, 1]);
    }

    #[test]
    fn it_stops_at_the_most_and_starts_small_after_an_outage() {
        let mut pace = Pace::new(5);
        let all = |pace: &mut Pace| round_trip(pace, usize::MAX, 0);
        assert_eq!([(); 5].map(|()| all(&mut pace)), [1, 2, 4, 5, 5]);
        pace.restart();
        assert_eq!([(); 4].map(|()| all(&mut pace)), [1, 2, 4, 5]);
    }

    #[test]
    fn a_limit_that_is_not_reached_does_not_grow() {
        let mut pace = Pace::new(64);
        for _ in 0..3 {
            round_trip(&mut pace, usize::MAX, 0);
        }
        for _ in 0..50 {
            assert_eq!(round_trip(&mut pace, 5, 0), 5);
        }
        assert_eq!(round_trip(&mut pace, usize::MAX, 0), 8);
        assert_eq!(round_trip(&mut pace, usize::MAX, 0), 16);
    }

    proptest! {
        /// Answers come in any order, good or bad, and requests are begun at any time.
        #[test]
        fn whatever_happens_the_limit_keeps_its_bounds(
            most in 1_usize..70,
            steps in proptest::collection::vec((0..4_u8, any::<u16>()), 0..400),
        ) {
            let mut pace = Pace::new(most);
            let mut running = VecDeque::new();
            for (what, which) in steps {
                let (before, fell) = (pace.limit, pace.fell);
                match what {
                    0 | 1 if pace.has_room() => running.push_back(pace.begin()),
                    0 | 1 => prop_assert!(running.len() >= pace.limit()),
                    _ if running.is_empty() => prop_assert!(pace.has_room(), "it stands still"),
                    _ => {
                        let ticket = running.remove(usize::from(which) % running.len()).unwrap();
                        if what == 2 { pace.answered(ticket) } else { pace.congested(ticket) }
                        if pace.limit < before {
                            // Half, and only for what was begun after the last fall.
                            prop_assert!(pace.limit >= (before / 2.0).max(1.0));
                            prop_assert!(ticket.0 >= fell);
                        }
                        prop_assert!(pace.limit <= before + 1.0);
                    }
                }
                prop_assert_eq!(pace.running, running.len());
                prop_assert!(pace.limit >= 1.0 && pace.limit <= most as f64);
                prop_assert!(pace.limit <= pace.round.limit * 2.0);
            }
        }
    }
}
