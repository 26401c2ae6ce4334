//! An HTTP service that misbehaves: a proxy in front of the real one does it, so that each fault
//! hits whole requests, and which ones is known.

use std::time::Duration;

use super::{BATCH, Bench, Doubles, Refusal, Subject, assert_arrived, settled};
use crate::servers::proxy::{Action, Proxy};
use crate::support::{lines, wait};

/// A subject with a proxy before it.
struct Set<S> {
    subject: S,
    proxy: Proxy,
    bench: Bench,
}

fn set<S: Subject>() -> Set<S> {
    let subject = S::start();
    let proxy = Proxy::to(subject.address());
    let bench = Bench::new(&subject.keys(&format!("http://{}", proxy.address)));
    Set { subject, proxy, bench }
}

/// The first `count` requests with records meet with `action`: everything must arrive within the
/// run all the same.
#[track_caller]
fn survives<S: Subject>(run: &str, count: usize, action: Action, doubles: Doubles) -> Set<S> {
    let set = set::<S>();
    set.proxy.next(count, S::is_write, action);
    let mut step = set.bench.paced(run, 6 * BATCH, 3);
    step.more();
    step.printed();
    let (input, output) = step.finish();
    assert_eq!(output.expect(0).errors(), "", "{}", set.bench.sandbox.ship_said());
    set.bench.all_delivered();
    assert_eq!(set.proxy.faults(), count, "requests that met with it");
    assert_arrived(&set.subject, run, input.as_bytes(), doubles);
    set
}

pub(crate) fn answers_429_and_says_when_to_come_back<S: Subject>() {
    let action = S::words(Refusal::TooMany);
    let set = survives::<S>("answers-429", 1, action, Doubles::Never);
    let seen = set.proxy.seen();
    let refused = seen.iter().find(|seen| !matches!(seen.action, Action::Pass)).unwrap();
    let early = seen.iter().find(|seen| {
        seen.at > refused.at
            && seen.at < refused.at + Duration::from_millis(990)
            && S::is_write(seen)
    });
    assert!(
        early.is_none(),
        "came back before the second that was asked for: {}",
        early.unwrap().head
    );
}

pub(crate) fn answers_500<S: Subject>() {
    survives::<S>("answers-500", 5, S::words(Refusal::ServerError), Doubles::Never);
}

pub(crate) fn answers_503<S: Subject>() {
    survives::<S>("answers-503", 5, S::words(Refusal::Unavailable), Doubles::Never);
}

pub(crate) fn does_not_answer<S: Subject>() {
    let mut set = set::<S>();
    set.bench.set("timeout", "300ms");
    set.proxy.next(2, S::is_write, Action::Hang);
    let text = lines::numbered(2 * BATCH);
    set.bench.deliver("does-not-answer", text.as_bytes());
    assert_eq!(set.proxy.faults(), 2);
    assert_arrived(&set.subject, "does-not-answer", text.as_bytes(), Doubles::Never);
}

pub(crate) fn is_slow<S: Subject>() {
    let set = set::<S>();
    set.proxy.script(|_| Action::Delay(Duration::from_millis(50)));
    let text = lines::numbered(10 * BATCH);
    set.bench.deliver("is-slow", text.as_bytes());
    assert_arrived(&set.subject, "is-slow", text.as_bytes(), Doubles::Never);
}

pub(crate) fn closes_the_connection<S: Subject>() {
    survives::<S>("closes", 5, Action::Drop, Doubles::Never);
}

pub(crate) fn cuts_the_request<S: Subject>() {
    survives::<S>("cuts-request", 5, Action::CutBody, Doubles::Never);
}

pub(crate) fn takes_the_request_and_swallows_the_answer<S: Subject>() {
    survives::<S>("swallows-answer", 5, Action::SwallowAnswer, Doubles::Allowed);
}

pub(crate) fn cuts_the_answer<S: Subject>() {
    survives::<S>("cuts-answer", 5, Action::CutAnswer(12), Doubles::Allowed);
}

pub(crate) fn closes_its_half<S: Subject>() {
    survives::<S>("half-close", 5, Action::HalfClose, Doubles::Allowed);
}

pub(crate) fn says_that_requests_are_too_large<S: Subject>() {
    let set = set::<S>();
    let refuse = S::words(Refusal::TooLarge);
    // Random text, so that half of it is half as large however it is compressed.
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 8
    };
    let text: String = (0..2 * BATCH)
        .map(|_| format!("{:x}{:x}{:x}{:x}\n", random(), random(), random(), random()))
        .collect();
    set.proxy.script(move |seen| {
        if S::is_write(seen) && seen.body_bytes > 12_000 { refuse.clone() } else { Action::Pass }
    });
    set.bench.deliver("too-large", text.as_bytes());
    assert!(set.proxy.faults() > 0, "no request was large");
    assert_arrived(&set.subject, "too-large", text.as_bytes(), Doubles::Never);
    assert!(set.bench.dead_letters().is_empty());
}

pub(crate) fn says_that_one_record_is_invalid<S: Subject>() {
    let set = set::<S>();
    let refuse = S::words(Refusal::Invalid);
    set.proxy.script(move |seen| {
        if S::is_write(seen) && seen.has("POISON") { refuse.clone() } else { Action::Pass }
    });
    let line = |number: usize| match number {
        600 => "a line with POISON\n".to_owned(),
        _ => lines::numbered_line(number) + "\n",
    };
    let text: String = (0..2 * BATCH).map(line).collect();
    let run = "one-is-invalid";
    let output = set.bench.print(run, text.as_bytes()).expect(0);
    set.bench.all_delivered();
    super::partial::assert_refused(&set.subject, &set.bench, run, 2 * BATCH, &[600]);
    super::partial::assert_told(&set.bench, &output);
}

/// Before the service has taken anything, a refusal is the settings' fault: not one record is given
/// up.
pub(crate) fn refuses_everything_from_the_start<S: Subject>() {
    let mut set = set::<S>();
    let refuse = S::words(Refusal::Invalid);
    set.proxy.script(move |seen| if S::is_write(seen) { refuse.clone() } else { Action::Pass });
    set.bench.set("deadline", "3s");
    let text = lines::numbered(BATCH);
    let said = set.bench.print("refuses-everything", text.as_bytes()).expect(0).errors();
    assert!(said.contains("log store it") && said.contains("settings"), "says so: {said}");
    assert_eq!(set.bench.sandbox.spooled().len(), 1);
    assert!(set.bench.dead_letters().is_empty());
    set.proxy.script(|_| Action::Pass);
    set.bench.sandbox.call(["ship", "--all"]).expect(0);
    assert_arrived(&set.subject, "refuses-everything", text.as_bytes(), Doubles::Never);
}

pub(crate) fn refuses_the_credentials<S: Subject>() {
    let mut set = set::<S>();
    let base = format!("http://{}", set.proxy.address);
    let right = set.subject.keys(&base);
    if let Some(wrong) = set.subject.wrong_keys(&base) {
        set.bench.change_keys(|keys| keys.replace(&right, &wrong));
    } else {
        let refuse = S::words(Refusal::NotAllowed);
        set.proxy.script(move |seen| if S::is_write(seen) { refuse.clone() } else { Action::Pass });
    }
    let text = lines::numbered(3 * BATCH);
    let started = std::time::Instant::now();
    let said = set.bench.print("credentials", text.as_bytes()).expect(0).errors();
    assert!(started.elapsed() < wait::LONG / 4, "it does not wait for the deadline");
    assert!(said.contains("log store it") && said.contains("credentials"), "says so: {said}");
    assert_eq!(set.bench.sandbox.spooled().len(), 1, "the spool keeps it");
    let requests = set.proxy.seen().iter().filter(|seen| S::is_write(seen)).count();
    assert!(requests < 5, "{requests} requests: it does not go on trying");
    // By hand: the exit code says that it is not allowed.
    set.bench.sandbox.call(["ship", "--all"]).expect(4);
    set.bench.change_keys(|keys| match set.subject.wrong_keys(&base) {
        Some(wrong) => keys.replace(&wrong, &right),
        None => keys.to_owned(),
    });
    set.proxy.script(|_| Action::Pass);
    set.bench.sandbox.call(["ship", "--all"]).expect(0);
    set.bench.all_delivered();
    assert_arrived(&set.subject, "credentials", text.as_bytes(), Doubles::Never);
    assert_eq!(settled(&set.subject, "credentials").len(), 3 * BATCH + 2);
}
