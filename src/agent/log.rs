//! What the agent says of itself: one line each to whoever started it, and never the same again and
//! again.
//!
//! Apart so that no part of the agent prints: `cli` gives the place where lines go. The last errors are
//! kept for `steplog status`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::record::Nanos;

/// The same line is not said again before.
const PAUSE: Duration = Duration::from_secs(60);
/// Errors that are kept.
const KEPT: usize = 20;
/// Lines whose last time is remembered.
const REMEMBERED: usize = 1000;

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
    out: Box<dyn FnMut(&str) + Send>,
    last: HashMap<String, Instant>,
    errors: VecDeque<Said>,
}

impl Log {
    pub(super) fn new(out: Box<dyn FnMut(&str) + Send>) -> Self {
        Self(Arc::new(Mutex::new(State { out, last: HashMap::new(), errors: VecDeque::new() })))
    }

    /// Something that is as it should be.
    pub(super) fn info(&self, message: &str) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner).out)(message);
    }

    /// Something that a person should know.
    pub(super) fn warn(&self, message: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.out)(message);
        state.keep(message);
    }

    /// The same, of what may happen again and again.
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
        (state.out)(message);
        state.keep(message);
    }

    /// The last errors, oldest first.
    pub(super) fn errors(&self) -> Vec<Said> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.errors.iter().cloned().collect()
    }
}

impl State {
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
        let log = Log::new(Box::new(move |line| heard.lock().unwrap().push(line.to_owned())));
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
}
