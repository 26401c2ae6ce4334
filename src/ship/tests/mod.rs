//! Whole pipelines against a store that fails: each test is named by what happens.

pub(crate) mod bench;
pub(crate) mod faulty;
mod live;

use std::collections::HashSet;
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use object_store::ObjectStoreExt;
use proptest::prelude::*;

use self::bench::{Bench, Script, read_checkpoint};
use self::faulty::{Fault, Faulty};
use super::*;
use crate::record::IoStream;
use crate::stores::artifact::Codec;
use crate::stores::artifact::layout;
use crate::stores::artifact::object::Status;

#[test]
fn lines_arrive_once_and_in_order() {
    for codec in [Codec::Zstd, Codec::Gzip] {
        let (bench, script) = (Bench::new().codec(codec), Script::of_lines(1000));
        assert_eq!(bench.ship(&script, bench.memory()).unwrap(), Outcome::Delivered);
        let end = bench.verify(&script);
        assert_eq!(end.status, Status::Succeeded);
        assert!(end.segments.len() > 2 && end.chunks > 10, "{end:?}");
        assert_eq!(end.first_error.unwrap().message, "ERROR: number 3 went wrong");
    }
}

#[test]
fn a_writer_that_died_is_interrupted_and_one_that_said_nothing_has_no_chunk() {
    let (bench, mut script) = (Bench::new(), Script::of_lines(3));
    script.interrupted = true;
    bench.ship(&script, bench.memory()).unwrap();
    let end = bench.verify(&script);
    assert_eq!((end.status, end.exit, end.chunks), (Status::Interrupted, None, 1));
    assert_eq!(end.segments.len(), 1, "a short rest is a segment at once");

    let (bench, script) = (Bench::new(), Script::default());
    bench.ship(&script, bench.memory()).unwrap();
    assert_eq!(bench.verify(&script).chunks, 0);
}

#[test]
fn a_chunk_larger_than_the_channel_goes_through() {
    let (mut bench, script) = (Bench::new(), Script::of_lines(500));
    bench.settings.channel_bytes = 100;
    bench.settings.concurrency = 1;
    bench.settings.encoders = 1;
    bench.ship(&script, bench.memory()).unwrap();
    bench.verify(&script);
}

#[test]
fn every_request_fails_at_first() {
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Conflict, Fault::Slow] {
        let (bench, script) = (Bench::new(), Script::of_lines(300));
        let seen = Mutex::new(HashSet::new());
        let store = Faulty::new(bench.memory(), move |_, kind, path| {
            let first = seen.lock().unwrap().insert((kind, path.clone()));
            // A store does not say of a read that the object exists.
            let possible = kind == "put" || fault != Fault::Conflict;
            if first && possible { fault } else { Fault::None }
        });
        bench.ship(&script, store).unwrap();
        bench.verify(&script);
    }
}

#[test]
fn a_refusal_stops_delivery_and_is_told() {
    let (bench, script) = (Bench::new(), Script::of_lines(300));
    let store = Faulty::new(bench.memory(), |_, kind, _| match kind {
        "put" => Fault::Forbidden,
        _ => Fault::None,
    });
    let error = bench.ship(&script, store).unwrap_err();
    assert!(matches!(error, Error::Refused { not_allowed: true, .. }), "{error}");
    let keeper = Keeper::open(bench.dir.path(), vec!["store".into()], 1).unwrap();
    let message = keeper.get("store").unwrap().last_error.unwrap();
    assert!(message.contains("privileges"), "{message}");
    // With the credentials put right, all of it arrives.
    bench.ship(&script, bench.memory()).unwrap();
    bench.verify(&script);
}

#[test]
fn a_store_says_that_is_all_and_the_spool_holds_more() {
    for left in [Left::AsItWas, Left::Nothing] {
        let lines = |range: std::ops::Range<u32>| {
            let mut script = Script::default();
            range
                .for_each(|number| script.push(IoStream::Stdout, format!("{number}\n").as_bytes()));
            script
        };
        let (bench, script) = (Bench::new(), lines(100..200));
        bench.ship(&script, bench.memory()).unwrap();
        if left == Left::Nothing {
            bench.restore_checkpoint(None);
        }
        // The same, and less: power was lost here.
        for script in [&script, &lines(100..190)] {
            assert_eq!(bench.ship(script, bench.memory()).unwrap(), Outcome::Delivered);
        }
        let longer = lines(100..210);
        let error = bench.ship(&longer, bench.memory()).unwrap_err();
        let Error::More { here, there, .. } = &error else { panic!("{error}") };
        let so_much = |lines| Totals { lines, bytes: lines * 4 };
        assert_eq!((*here, *there), (so_much(110), so_much(100)));
        bench.verify(&script);
        // As the message says.
        let end = layout::end(&layout::writer_prefix(&bench.writer));
        bench.runtime.block_on(bench.memory.delete(&end)).unwrap();
        let store = Faulty::new(bench.memory(), |_, kind, path| {
            let is_end = kind == "put" && path.as_ref().ends_with("end.json");
            if is_end { Fault::Forbidden } else { Fault::None }
        });
        bench.ship(&longer, store).unwrap_err();
        assert_eq!(bench.ship(&longer, bench.memory()).unwrap(), Outcome::Delivered);
        bench.verify(&longer);
    }
}

#[test]
fn a_stop_leaves_the_rest_for_the_next_ship() {
    let (bench, script) = (Bench::new(), Script::of_lines(1000));
    let (stopper, stop) = stop();
    let stopper = Mutex::new(Some(stopper));
    let store = Faulty::new(bench.memory(), move |number, _, _| {
        if number == 12 {
            stopper.lock().unwrap().take();
        }
        Fault::None
    });
    assert_eq!(bench.ship_until(&script, store, &stop).unwrap(), Outcome::Stopped);
    assert!(!bench.names().iter().any(|name| name.ends_with("end.json")));
    bench.ship(&script, bench.memory()).unwrap();
    bench.verify(&script);
}

#[test]
fn a_store_that_is_down_does_not_delay_a_stop() {
    let (mut bench, script) = (Bench::new(), Script::of_lines(1000));
    bench.settings.retry_initial = std::time::Duration::from_hours(1);
    bench.settings.retry_max = std::time::Duration::from_hours(1);
    for up in ["list", "none"] {
        let (stopper, stop) = stop();
        let stopper = Mutex::new(Some(stopper));
        let store = Faulty::new(bench.memory(), move |_, kind, _| {
            if kind == up {
                return Fault::None;
            }
            stopper.lock().unwrap().take();
            Fault::Refused
        });
        assert_eq!(bench.ship_until(&script, store, &stop).unwrap(), Outcome::Stopped);
    }
}

/// What a crash leaves of the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// As it was when the process died.
    AsItWas,
    /// An older one: power was lost.
    Older,
    /// None.
    Nothing,
    /// Half of it.
    Damaged,
}

#[derive(Clone, Copy, Debug)]
struct Crash {
    at: usize,
    after: bool,
    left: Left,
}

/// Ships until the request at which the process dies. True if it came to that.
fn crash(bench: &Bench, script: &Script, crash: Crash) -> bool {
    let history = Arc::new(Mutex::new(Vec::new()));
    let (dir, seen) = (bench.dir.path().to_owned(), Arc::clone(&history));
    let store = Faulty::new(bench.memory(), move |number, _, _| {
        if number <= crash.at {
            remember(&dir, &seen);
        }
        match number {
            number if number < crash.at => Fault::None,
            number if number == crash.at && crash.after => Fault::ForbiddenAfter,
            _ => Fault::Forbidden,
        }
    });
    let died = bench.ship(script, store).is_err();
    if died {
        let history = history.lock().unwrap();
        let last = history.last().cloned().flatten();
        let left = match crash.left {
            Left::AsItWas => last,
            Left::Older => history.get(history.len() / 2).cloned().flatten(),
            Left::Nothing => None,
            Left::Damaged => last.map(|contents| contents[..contents.len() / 2].to_vec()),
        };
        bench.restore_checkpoint(left.as_deref());
    }
    died
}

fn remember(dir: &FilePath, history: &Mutex<Vec<Option<Vec<u8>>>>) {
    history.lock().unwrap().push(read_checkpoint(dir));
}

#[test]
fn killed_at_any_request() {
    let script = Script::of_lines(220);
    for left in [Left::AsItWas, Left::Older, Left::Nothing, Left::Damaged] {
        for after in [false, true] {
            let mut at = 0;
            loop {
                let bench = Bench::new();
                let died = crash(&bench, &script, Crash { at, after, left });
                bench.ship(&script, bench.memory()).unwrap_or_else(|error| {
                    panic!("{error}, after {left:?} {after} at {at}");
                });
                bench.verify(&script);
                if !died {
                    break;
                }
                at += 1;
            }
            assert!(at > 20, "{at} requests");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn killed_again_and_again(
        lines in 50_usize..400,
        crashes in proptest::collection::vec((0_usize..40, any::<bool>(), 0..4_u8), 1..6),
        chunk_bytes in proptest::collection::vec(300_u64..2000, 6),
    ) {
        let script = Script::of_lines(lines);
        let mut bench = Bench::new();
        let mut sizes = chunk_bytes.into_iter();
        for (at, after, left) in crashes {
            let left = [Left::AsItWas, Left::Older, Left::Nothing, Left::Damaged][usize::from(left)];
            // Settings may change between two lives: cuts then fall elsewhere unless they are kept.
            bench.config.chunk_bytes = sizes.next().unwrap_or(800);
            crash(&bench, &script, Crash { at, after, left });
        }
        bench.ship(&script, bench.memory()).unwrap();
        bench.verify(&script);
    }
}

#[test]
fn the_checkpoint_is_lost_and_the_chunk_in_the_store_was_cut_elsewhere() {
    let script = Script::of_lines(300);
    let mut bench = Bench::new();
    let puts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&puts);
    let store = Faulty::new(bench.memory(), move |_, kind, path| {
        if kind == "put" && path.as_ref().contains("/live/") {
            return match counted.fetch_add(1, Ordering::SeqCst) {
                0 => Fault::None,
                _ => Fault::Forbidden,
            };
        }
        Fault::None
    });
    assert!(bench.ship(&script, store).is_err());
    bench.restore_checkpoint(None);
    bench.config.chunk_bytes = 500;
    // The list does not show the chunk at first: only the put tells that it is there.
    let hidden = AtomicUsize::new(0);
    let store = Faulty::new(bench.memory(), move |_, kind, _| match kind {
        "list" if hidden.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Empty,
        _ => Fault::None,
    });
    assert_eq!(bench.ship(&script, store).unwrap(), Outcome::Delivered);
    bench.verify(&script);
}

#[test]
fn the_same_cuts_make_the_same_bytes() {
    let script = Script::of_lines(400);
    let objects = |crash_at: Option<usize>| {
        let mut bench = Bench::new();
        bench.writer.id = "019a8b5c-0000-7000-8000-000000000001".parse().unwrap();
        bench.settings.encoders = 1 + crash_at.unwrap_or(0) % 3;
        if let Some(at) = crash_at {
            crash(&bench, &script, Crash { at, after: at % 2 == 0, left: Left::AsItWas });
        }
        bench.ship(&script, bench.memory()).unwrap();
        let end = bench.verify(&script);
        (end.chain, end.chunks)
    };
    let expected = objects(None);
    for at in [4, 7, 9, 12] {
        assert_eq!(objects(Some(at)), expected);
    }
}
