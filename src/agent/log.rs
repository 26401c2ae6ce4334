//! What the agent says of itself: one line each to whoever started it, and never the same again and
//! again.
//!
//! Apart so that no part of the agent prints: `cli` gives the place where lines go. The last errors are
//! kept for `steplog status`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::record::{Level, Nanos};

/// The same line is not said again before.
const PAUSE: Duration = Duration::from_secs(60);
/// Lines that may come at once, and then in a second: a flood says no more than its beginning.
const BURST: f64 = 100.0;
const A_SECOND: f64 = 5.0;
/// Errors that are kept.
const KEPT: usize = 20;
/// Lines whose last time is remembered.
const REMEMBERED: usize = 1000;

/// Where lines go: how serious each is, and its text.
pub type Out = Box<dyn FnMut(Level, &str) + Send>;

/// An error, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// RFC 3339.
    pub time: String,
    /// The words.
    pub message: String,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<State>>);

struct State {
    out: Out,
    /// Lines that may be said now, and when that was counted.
    budget: f64,
    counted: Instant,
    /// Lines that were not said.
    left_out: u64,
    last: HashMap<String, Instant>,
    errors: VecDeque<Said>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Log")
    }
}

impl Log {
    pub(super) fn new(out: Out) -> Self {
        Self(Arc::new(Mutex::new(State {
            out,
            budget: BURST,
            counted: Instant::now(),
            left_out: 0,
            last: HashMap::new(),
            errors: VecDeque::new(),
        })))
    }

    /// Something that is as it should be.
    pub(super) fn info(&self, message: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).say(Level::Info, message);
    }

    /// Something that a person should know.
    pub(super) fn warn(&self, message: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.say(Level::Warning, message);
        state.keep(message);
    }

    /// Something is lost.
    pub(super) fn error(&self, message: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.say(Level::Error, message);
        state.keep(message);
    }

    /// A warning of what may happen again and again.
    pub(super) fn limited(&self, message: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.last.get(message).is_some_and(|last| now.duration_since(*last) < PAUSE) {
            return;
        }
        if state.last.len() >= REMEMBERED {
            state.last.clear();
        }
        state.last.insert(message.to_owned(), now);
        state.say(Level::Warning, message);
        state.keep(message);
    }

    /// The last errors, oldest first.
    pub(super) fn errors(&self) -> Vec<Said> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.errors.iter().cloned().collect()
    }
}

impl State {
    fn say(&mut self, level: Level, message: &str) {
        let now = Instant::now();
        let since = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.budget = (self.budget + since * A_SECOND).min(BURST);
        if self.budget < 1.0 {
            self.left_out += 1;
            return;
        }
        self.budget -= 1.0;
        if self.left_out > 0 {
            let text = format!("{} lines before this one were left out", self.left_out);
            self.left_out = 0;
            (self.out)(Level::Warning, &text);
        }
        (self.out)(level, message);
    }

    fn keep(&mut self, message: &str) {
        if self.errors.len() == KEPT {
            self.errors.pop_front();
        }
        let time = Nanos::now().to_rfc3339();
        self.errors.push_back(Said { time, message: message.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_is_said_once_and_the_last_are_kept() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let log = Log::new(Box::new(move |_, line| heard.lock().unwrap().push(line.to_owned())));
        for _ in 0..3 {
            log.limited("the store is down");
        }
        log.info("ready");
        for number in 0..KEPT {
            log.warn(&number.to_string());
        }
        assert_eq!(said.lock().unwrap().len(), 2 + KEPT);
        let errors = log.errors();
        assert_eq!((errors.len(), errors[0].message.as_str()), (KEPT, "0"));
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let log = Log::new(Box::new(move |level, line| {
            heard.lock().unwrap().push((level, line.to_owned()));
        }));
        let most = BURST as usize;
        for number in 0..10 * most {
            log.warn(&number.to_string());
        }
        // It may have taken a while.
        let before = said.lock().unwrap().len();
        assert!((most..2 * most).contains(&before), "{before}");
        log.0.lock().unwrap().counted -= Duration::from_secs(60);
        log.error("lost");
        let said = said.lock().unwrap();
        let [.., (Level::Warning, counted), (Level::Error, last)] = &said[..] else { panic!() };
        assert!(counted.ends_with(" lines before this one were left out"), "{counted}");
        assert_eq!(last, "lost");
    }
}
