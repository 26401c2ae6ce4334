//! When to stop reading after the step has ended. Pure, given the time.
//!
//! The step is over when its main process exits, but what it wrote may still be in the pipe, and a
//! grandchild may hold the pipe open for ever. So reading goes on until the end of file, or until
//! nothing has come for a while (each read starts that while anew), or until a cap.

use std::time::{Duration, Instant};

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    /// Everybody closed the output.
    Eof,
    /// Somebody holds it open but writes nothing.
    Idle,
    /// Somebody writes on and on, or who waits was told to stop waiting.
    Limit,
}

impl DrainEnd {
    /// The name in the exit record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Idle => "idle",
            Self::Limit => "limit",
        }
    }
}

/// The wait for the rest of the step's output.
#[derive(Debug)]
pub(super) struct Drain {
    /// `None`: to the end of file, however long it takes.
    limits: Option<Limits>,
    hurried: bool,
}

#[derive(Debug)]
struct Limits {
    idle: Duration,
    idle_at: Instant,
    cap_at: Instant,
}

impl Drain {
    pub(super) fn new(idle: Duration, cap: Option<Duration>, now: Instant) -> Self {
        let limits = cap.map(|cap| Limits { idle, idle_at: now + idle, cap_at: now + cap });
        Self { limits, hurried: false }
    }

    /// Something was read.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(limits) = &mut self.limits {
            limits.idle_at = now + limits.idle;
        }
    }

    /// No reading was possible in this time, by no fault of the step's (own stdout is stuck, the
    /// spool is full, everything was stopped): it does not count.
    pub(super) fn shift(&mut self, pause: Duration) {
        if let Some(limits) = &mut self.limits {
            limits.idle_at += pause;
            limits.cap_at += pause;
        }
    }

    /// Whoever waits was told to stop waiting: what is there is read, nothing is waited for.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
    }

    pub(super) fn hurried(&self) -> bool {
        self.hurried
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.limits.as_ref().map(|limits| limits.idle_at.min(limits.cap_at))
    }

    /// Whether a limit has been reached. The end of file is for the reader to see.
    pub(super) fn over(&self, now: Instant) -> Option<DrainEnd> {
        let limits = self.limits.as_ref()?;
        if now >= limits.cap_at {
            Some(DrainEnd::Limit)
        } else if now >= limits.idle_at {
            Some(DrainEnd::Idle)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn ends_when_quiet_and_each_read_starts_anew() {
        let start = Instant::now();
        let mut drain = Drain::new(millis(250), Some(millis(5000)), start);
        assert_eq!(drain.over(start + millis(249)), None);
        drain.heard(start + millis(200));
        assert_eq!(drain.over(start + millis(449)), None);
        assert_eq!(drain.over(start + millis(450)), Some(DrainEnd::Idle));
    }

    #[test]
    fn ends_at_the_cap_however_busy() {
        let start = Instant::now();
        let mut drain = Drain::new(millis(250), Some(millis(5000)), start);
        drain.heard(start + millis(4999));
        assert_eq!(drain.due(), Some(start + millis(5000)));
        assert_eq!(drain.over(start + millis(5000)), Some(DrainEnd::Limit));
    }

    #[test]
    fn without_a_cap_only_the_end_of_file_ends_it() {
        let start = Instant::now();
        let drain = Drain::new(millis(250), None, start);
        assert_eq!(drain.due(), None);
        assert_eq!(drain.over(start + millis(3_600_000)), None);
    }

    #[test]
    fn time_without_reading_does_not_count() {
        let start = Instant::now();
        let mut drain = Drain::new(millis(250), Some(millis(5000)), start);
        drain.shift(millis(60_000));
        assert_eq!(drain.over(start + millis(60_100)), None);
        assert_eq!(drain.over(start + millis(60_250)), Some(DrainEnd::Idle));
    }
}
