//! A service that takes a request but for some of its records.

use std::collections::BTreeSet;

use super::{BATCH, Bench, Subject, settled};
use crate::support::lines;
use crate::support::sandbox::Output;

/// `count` known lines; those at `refused` have the word that the server does not like.
fn text(count: usize, refused: &[usize]) -> String {
    let line = |number: usize| {
        if refused.contains(&number) {
            format!("line {number} with POISON\n")
        } else {
            lines::numbered_line(number) + "\n"
        }
    };
    (0..count).map(line).collect()
}

pub(crate) fn some_records_are_refused<S: Subject>() {
    let mut subject = S::start_alone();
    let bench = Bench::of(&subject);
    subject.refuse("POISON");
    let (run, count, refused) = ("some-are-refused", 2 * BATCH, [3, 600, 601]);
    let output = bench.print(run, text(count, &refused).as_bytes()).expect(0);
    bench.all_delivered();
    assert_refused(&subject, &bench, run, count, &refused);
    assert_told(&bench, &output);
}

/// What cannot be kept as a dead letter stays in the spool.
pub(crate) fn the_dead_letters_are_full<S: Subject>() {
    let mut subject = S::start_alone();
    let mut bench = Bench::of(&subject);
    bench.set("dead_letter_bytes", "0");
    bench.set("deadline", "3s");
    subject.refuse("POISON");
    let (run, count) = ("dead-letters-full", BATCH);
    let said = bench.print(run, text(count, &[3]).as_bytes()).expect(0).errors();
    assert!(said.contains("log store it") && said.contains("dead_letter_bytes"), "says so: {said}");
    assert_eq!(bench.sandbox.spooled().len(), 1, "the spool keeps it");
    bench.set("dead_letter_bytes", "1 MiB");
    bench.sandbox.call(["ship", "--all"]).expect(5);
    bench.all_delivered();
    assert_refused(&subject, &bench, run, count, &[3]);
}

/// All lines are there but those that were refused, which are dead letters, each with a reason.
#[track_caller]
pub(crate) fn assert_refused(
    subject: &impl Subject,
    bench: &Bench,
    run: &str,
    count: usize,
    refused: &[usize],
) {
    let stored = settled(subject, run);
    let lines = || stored.iter().filter(|stored| stored.event.is_none());
    assert!(lines().all(|stored| !stored.message().contains("POISON")));
    let there: BTreeSet<u64> = lines().map(|stored| stored.seq).collect();
    let refused: BTreeSet<u64> = refused.iter().map(|number| *number as u64).collect();
    let expected: BTreeSet<u64> = (0..count as u64).filter(|seq| !refused.contains(seq)).collect();
    assert_eq!(there, expected);
    assert_eq!(lines().count(), expected.len(), "none is there twice");
    let end = stored.iter().find(|stored| stored.event.as_deref() == Some("end")).unwrap();
    let end = super::stream(end);
    assert_eq!(end["end"]["rejected"].as_u64(), Some(refused.len() as u64));
    assert_eq!(end["end"]["lines"].as_u64(), Some(count as u64));
    let letters = bench.dead_letters();
    assert_eq!(letters.len(), refused.len(), "{letters:#?}");
    for letter in &letters {
        assert_eq!(letter["log_store"], "it");
        assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
        assert!(letter["record"].to_string().contains("POISON"), "{letter}");
    }
}

/// The wrapper has said how many records were refused, by whom, and where they are.
#[track_caller]
pub(crate) fn assert_told(bench: &Bench, output: &Output) {
    let said = output.errors();
    let count = bench.dead_letters().len().to_string();
    let folder = bench.sandbox.path("dead/it").display().to_string();
    for word in ["log store it", &count, &folder] {
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
    assert_eq!(said.lines().count(), 1, "one line: {said}");
}
