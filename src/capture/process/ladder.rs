//! From a polite request to end to a forced one: TERM, grace, KILL. Pure, given the time.
//!
//! Only TERM starts the ladder: a step may well live on after INT, HUP or QUIT (interpreters,
//! servers that reload), and steplog must not change that. What whoever sent TERM will wait is not
//! known, so the last fifth of the grace is not the step's but kept for delivery.
//!
//! ```text
//! TERM ──── the step's share, 4/5 of the grace ────► KILL ──── delivery's share ────► leave
//!   └─ TERM or INT again: a second at the most ────► KILL
//! ```

use std::time::{Duration, Instant};

use super::signals::Signal;

/// Signals that come closer together than this are one request: `timeout` and process managers
/// send TERM to the process and to its group at once.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// What is left of the grace after a second request.
const SHORTENED: Duration = Duration::from_secs(1);

/// Where the step stands between being asked and being killed.
#[derive(Debug)]
pub(super) struct Ladder {
    grace: Duration,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    last: Instant,
    kill_at: Instant,
    leave_at: Instant,
    killed: bool,
}

impl Ladder {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, asked: None }
    }

    /// A signal came in; says whether it is a request to end that was there before.
    pub(super) fn observe(&mut self, signal: Signal, now: Instant) {
        match &mut self.asked {
            None if signal == Signal::TERM => {
                self.asked = Some(Asked {
                    last: now,
                    kill_at: now + self.grace * 4 / 5,
                    leave_at: now + self.grace,
                    killed: false,
                });
            }
            Some(asked) if signal == Signal::TERM || signal == Signal::INT => {
                if now.duration_since(asked.last) >= SAME_REQUEST {
                    asked.kill_at = asked.kill_at.min(now + SHORTENED);
                }
                asked.last = now;
            }
            _ => {}
        }
    }

    /// When the step is to be killed, if it has been asked to end.
    pub(super) fn due(&self) -> Option<Instant> {
        self.asked.as_ref().filter(|asked| !asked.killed).map(|asked| asked.kill_at)
    }

    /// True once, when the grace is over.
    pub(super) fn expired(&mut self, now: Instant) -> bool {
        match &mut self.asked {
            Some(asked) if !asked.killed && now >= asked.kill_at => {
                asked.killed = true;
                true
            }
            _ => false,
        }
    }

    /// True from the first request on.
    pub(super) fn asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Until when delivery may go on at the latest, once the step has been asked to end: what is
    /// left of the grace, and at least the share that was kept for it.
    pub(super) fn leave_at(&self, now: Instant) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.leave_at.max(now + self.grace / 5))
    }

    /// Time in which everything stood still does not count.
    pub(super) fn shift(&mut self, pause: Duration) {
        if let Some(asked) = &mut self.asked {
            asked.last += pause;
            asked.kill_at += pause;
            asked.leave_at += pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn seconds(number: f64) -> Duration {
        Duration::from_secs_f64(number)
    }

    #[test]
    fn term_kills_after_the_step_s_share() {
        let start = Instant::now();
        let mut ladder = Ladder::new(GRACE);
        assert_eq!(ladder.due(), None);
        ladder.observe(Signal::TERM, start);
        assert_eq!(ladder.due(), Some(start + seconds(8.0)));
        assert!(!ladder.expired(start + seconds(7.9)));
        assert!(ladder.expired(start + seconds(8.0)));
        assert!(!ladder.expired(start + seconds(9.0)), "killed once");
        assert_eq!(ladder.leave_at(start + seconds(8.0)), Some(start + seconds(10.0)));
        assert_eq!(ladder.leave_at(start + seconds(9.5)), Some(start + seconds(11.5)));
    }

    #[test]
    fn other_signals_do_not_start_it() {
        let start = Instant::now();
        let mut ladder = Ladder::new(GRACE);
        for signal in [Signal::INT, Signal::HUP, Signal::WINCH] {
            ladder.observe(signal, start);
        }
        assert!(!ladder.asked());
    }

    #[test]
    fn a_second_request_shortens_it_but_an_echo_does_not() {
        let start = Instant::now();
        let mut ladder = Ladder::new(GRACE);
        ladder.observe(Signal::TERM, start);
        ladder.observe(Signal::TERM, start + seconds(0.01));
        assert_eq!(ladder.due(), Some(start + seconds(8.0)));
        ladder.observe(Signal::INT, start + seconds(2.0));
        assert_eq!(ladder.due(), Some(start + seconds(3.0)));
    }

    #[test]
    fn a_second_request_never_lengthens_it() {
        let start = Instant::now();
        let mut ladder = Ladder::new(GRACE);
        ladder.observe(Signal::TERM, start);
        ladder.observe(Signal::TERM, start + seconds(7.5));
        assert_eq!(ladder.due(), Some(start + seconds(8.0)));
    }

    #[test]
    fn standing_still_does_not_count() {
        let start = Instant::now();
        let mut ladder = Ladder::new(GRACE);
        ladder.observe(Signal::TERM, start);
        ladder.shift(seconds(60.0));
        assert_eq!(ladder.due(), Some(start + seconds(68.0)));
    }
}
