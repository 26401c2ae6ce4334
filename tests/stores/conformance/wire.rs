//! Faults of the connection under whatever protocol runs on it: a proxy that knows only bytes
//! stands before the server.

use std::time::Duration;

use super::{BATCH, Bench, Doubles, Subject, assert_arrived};
use crate::servers::wire::{Deed, Wire};
use crate::support::lines;

/// The first `count` connections meet with `deed`: everything must arrive within the run all the
/// same.
#[track_caller]
fn survives<S: Subject>(run: &str, count: usize, deed: Deed, doubles: Doubles) {
    let subject = S::start();
    let wire = Wire::to(subject.address());
    let mut bench = Bench::new(&subject.keys(&format!("http://{}", wire.address)));
    bench.set("timeout", "1s");
    wire.next(count, deed);
    let text = lines::numbered(4 * BATCH);
    bench.deliver(run, text.as_bytes());
    assert!(wire.faults() > 0, "no connection met with it");
    assert_arrived(&subject, run, text.as_bytes(), doubles);
}

pub(crate) fn connections_are_closed<S: Subject>() {
    survives::<S>("wire-closed", 4, Deed::Close, Doubles::Never);
}

pub(crate) fn connections_are_cut<S: Subject>() {
    survives::<S>("wire-cut", 4, Deed::Cut(900), Doubles::Allowed);
}

pub(crate) fn answers_are_cut<S: Subject>() {
    survives::<S>("wire-cut-answer", 4, Deed::CutAnswer(20), Doubles::Allowed);
}

pub(crate) fn connections_are_half_closed<S: Subject>() {
    survives::<S>("wire-half-closed", 4, Deed::HalfClose(900), Doubles::Allowed);
}

pub(crate) fn bytes_are_delayed<S: Subject>() {
    let pause = Duration::from_millis(30);
    survives::<S>("wire-delayed", usize::MAX, Deed::Delay(pause), Doubles::Never);
}

pub(crate) fn bytes_trickle<S: Subject>() {
    let deed = Deed::Throttle(4096, Duration::from_millis(2));
    survives::<S>("wire-trickle", usize::MAX, deed, Doubles::Never);
}

pub(crate) fn connections_hang<S: Subject>() {
    survives::<S>("wire-hang", 2, Deed::Hang, Doubles::Never);
}
