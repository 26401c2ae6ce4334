//! Reading back over HTTP where the service misbehaves: a proxy in front of it does so to every request
//! but those that bring records.

use std::time::{Duration, Instant};

use super::{BATCH, Bench, Refusal, Subject};
use crate::servers::proxy::{Action, Proxy};
use crate::support::{lines, wait};

/// A run that is there, and the proxy before it.
struct Set<S> {
    _subject: S,
    proxy: Proxy,
    bench: Bench,
    text: String,
}

impl<S: Subject> Set<S> {
    fn new() -> Self {
        let subject = S::start_alone();
        let proxy = Proxy::to(subject.address());
        let bench = Bench::new(&subject.keys(&format!("http://{}", proxy.address)));
        let text = lines::numbered(2 * BATCH);
        bench.deliver("r", text.as_bytes());
        // Some services can be searched only a while after they have taken something.
        wait::until_true("the run to be shown", || {
            bench.sandbox.call(["logs", "r", "-o", "raw"]).stdout == text.as_bytes()
        });
        Self { _subject: subject, proxy, bench, text }
    }

    /// Every way of reading.
    #[track_caller]
    fn all(&self, code: i32, words: &str) {
        for question in ["logs r", "logs r -f", "ls", "ls r", "download r to", "logs @latest"] {
            let output = self.bench.sandbox.call(question.split(' ')).expect(code);
            assert!(output.errors().contains(words), "{question}: {}", output.errors());
            assert_eq!(output.text(), "", "{question}");
        }
    }

    #[track_caller]
    fn whole(&self) {
        lines::assert_same("logs -o raw", self.text.as_bytes(), &self.bench.sandbox.raw("r"));
    }
}

pub(crate) fn what_is_not_allowed_is_not_taken_for_nothing<S: Subject>() {
    let set = Set::<S>::new();
    for status in [401, 403] {
        set.proxy.script(move |_| Action::status(status));
        set.all(4, "does not allow it");
    }
    set.proxy.script(|_| Action::Pass);
    set.whole();
}

pub(crate) fn a_service_that_fails_is_not_taken_for_nothing<S: Subject>() {
    let set = Set::<S>::new();
    // 400 is no reason to ask again, so it is quick; 500 is below.
    set.proxy.script(|_| Action::answer(400, "", "not today"));
    set.all(7, "not today");
}

pub(crate) fn a_failure_is_tried_again<S: Subject>() {
    let set = Set::<S>::new();
    for action in [
        S::words(Refusal::ServerError),
        S::words(Refusal::Unavailable),
        Action::Drop,
        Action::SwallowAnswer,
        Action::CutAnswer(100),
    ] {
        set.proxy.next(2, |_| true, action);
        set.whole();
    }
    assert_eq!(set.proxy.faults(), 10);
}

pub(crate) fn a_limit_is_kept_to<S: Subject>() {
    let set = Set::<S>::new();
    set.proxy.next(1, |_| true, Action::answer(429, "Retry-After: 1\r\n", ""));
    let began = Instant::now();
    set.whole();
    assert_eq!(set.proxy.faults(), 1);
    assert!(began.elapsed() >= Duration::from_secs(1), "came back before that");
}
