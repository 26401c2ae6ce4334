//! Waiting for something to become true, with a deadline and a name for the failure.
//!
//! The one place of the tests that sleeps, and only between two looks at the same condition.

use std::time::{Duration, Instant};

/// Long enough that only a hang reaches it, on a busy machine too.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Asks `probe` until it gives a value; panics with `what` after `limit`.
pub(crate) fn until_within<T>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// [`until_within`] the usual limit.
pub(crate) fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    until_within(LONG, what, probe)
}

/// Waits for a condition.
pub(crate) fn until_true(what: &str, mut probe: impl FnMut() -> bool) {
    until(what, || probe().then_some(()));
}
