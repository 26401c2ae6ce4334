//! Pipelines on real spools: following, releasing, several stores, no spool at all.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::super::*;
use super::bench::{Bench, Script, remove_checkpoint};
use super::faulty::{Fault, Faulty};
use crate::capture::memory;
use crate::capture::sink::FrameSink;
use crate::record::{Exit, IoStream, Nanos};
use crate::spool::{self, Kind, Meta, SpoolWriter, WhenFull};
use crate::stores::artifact::{ArtifactLogStore, Codec, layout};

fn spool_writer(bench: &Bench, max_bytes: u64) -> SpoolWriter {
    let settings = spool::Settings {
        dir: bench.dir.path().join("spool"),
        max_bytes,
        when_full: WhenFull::DropOldest,
        sync: spool::Sync::Never,
    };
    SpoolWriter::create(&settings, &meta(bench)).unwrap()
}

fn meta(bench: &Bench) -> Meta {
    Meta {
        version: spool::VERSION,
        writer: bench.writer.clone(),
        lines: bench.lines.clone(),
        stack: None,
        stack_file: None,
        stranger: None,
    }
}

/// Writes a script's frames with the times that it says.
fn write(writer: &mut SpoolWriter, script: &Script) {
    for (frame, payload) in &script.frames {
        let iostream = if frame.kind == Kind::Stderr { IoStream::Stderr } else { IoStream::Stdout };
        assert_eq!(writer.append(iostream, frame.time, payload), spool::Append::Written);
    }
}

fn exit(writer: &SpoolWriter) -> Exit {
    Exit { code: Some(0), bytes_spooled: writer.offset(), ..Exit::default() }
}

fn target(bench: &Bench, name: &str, store: Arc<dyn ObjectStore>) -> Target {
    let store = Arc::new(ArtifactLogStore::on(store, bench.config.clone()));
    Target::new(name.into(), store, &bench.settings)
}

fn ship_to(
    bench: &Bench,
    dir: &FilePath,
    targets: &Arc<[Target]>,
    max_bytes: u64,
    stop: &Stop,
) -> Result<Outcome, SpoolError> {
    let mut shipment =
        Shipment::open(dir, meta(bench), Arc::clone(targets), &bench.settings, max_bytes)?;
    shipment.turn(bench.runtime.handle(), Until::End, stop)
}

#[test]
fn a_living_writer_is_followed_to_its_end_and_its_spool_removed() {
    let bench = Bench::new();
    let mut writer = spool_writer(&bench, 1 << 20);
    let dir = writer.dir().to_owned();
    let targets: Arc<[Target]> = [target(&bench, "store", bench.memory())].into();
    let (_stopper, stop) = stop();
    let mut script = Script::default();
    thread::scope(|scope| {
        let shipping = scope.spawn(|| ship_to(&bench, &dir, &targets, 1 << 20, &stop));
        for number in 0..4 {
            script.push(IoStream::Stdout, format!("line {number}\n").as_bytes());
            let mut one = Script::default();
            one.frames.extend(script.frames.last().cloned());
            let written = Instant::now();
            write(&mut writer, &one);
            let live = layout::live(&layout::writer_prefix(&bench.writer), number, Codec::Zstd);
            while bench.runtime.block_on(bench.memory.head(&live)).is_err() {
                assert!(written.elapsed() < Duration::from_secs(20), "line {number} is not there");
                thread::sleep(Duration::from_millis(1));
            }
            let sealed = Duration::from_millis(bench.config.local_seal_ms);
            assert!(written.elapsed() >= sealed / 2, "sealed by age, not at once");
        }
        let exit = exit(&writer);
        writer.finish(&exit).unwrap();
        assert_eq!(shipping.join().unwrap().unwrap(), Outcome::Delivered);
    });
    let end = bench.end();
    assert_eq!((end.lines, end.chunks, end.segments.len()), (4, 4, 1));
    assert!(!dir.exists());
}

#[test]
fn a_writer_that_lives_is_not_complete_whatever_the_store_says() {
    let bench = Bench::new();
    let mut script = Script::default();
    script.push(IoStream::Stdout, b"first\n");
    bench.ship(&script, bench.memory()).unwrap();
    let mut writer = spool_writer(&bench, 1 << 20);
    let dir = writer.dir().to_owned();
    write(&mut writer, &script);
    let (asked_by, asked) = bounded(1);
    let store = Faulty::new(bench.memory(), move |_, kind, path| {
        if kind == "get" && path.as_ref().ends_with("end.json") {
            asked_by.try_send(()).ok();
        }
        Fault::None
    });
    let targets: Arc<[Target]> = [target(&bench, "store", store)].into();
    let (_stopper, stop) = stop();
    thread::scope(|scope| {
        let shipping = scope.spawn(|| ship_to(&bench, &dir, &targets, 1 << 20, &stop));
        asked.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(
            writer.append(IoStream::Stdout, Nanos::now(), b"second\n"),
            spool::Append::Written
        );
        let exit = exit(&writer);
        writer.finish(&exit).unwrap();
        let error = shipping.join().unwrap().unwrap_err();
        assert!(matches!(error, SpoolError::Delivery(Error::More { .. })), "{error}");
    });
    assert!(dir.exists());
}

#[test]
fn a_stop_ends_the_wait_for_a_writer_that_the_store_has_as_complete() {
    let bench = Bench::new();
    let mut script = Script::default();
    script.push(IoStream::Stdout, b"first\n");
    bench.ship(&script, bench.memory()).unwrap();
    let mut writer = spool_writer(&bench, 1 << 20);
    write(&mut writer, &script);
    let (stopper, stop) = super::super::stop();
    let stopper = std::sync::Mutex::new(Some(stopper));
    let store = Faulty::new(bench.memory(), move |_, kind, _| {
        if kind == "get" {
            stopper.lock().unwrap().take();
        }
        Fault::None
    });
    let outcome =
        ship_to(&bench, writer.dir(), &[target(&bench, "store", store)].into(), 1 << 20, &stop);
    assert_eq!(outcome.unwrap(), Outcome::Stopped);
    assert!(writer.dir().exists());
}

#[test]
fn a_spool_has_one_ship() {
    let bench = Bench::new();
    let writer = spool_writer(&bench, 1 << 20);
    let _lock = spool::ShipLock::try_acquire(writer.dir()).unwrap().unwrap();
    let (_stopper, stop) = stop();
    let targets: Arc<[Target]> = [target(&bench, "store", bench.memory())].into();
    let held = ship_to(&bench, writer.dir(), &targets, 1 << 20, &stop).unwrap_err();
    assert!(matches!(held, SpoolError::Held { .. }), "{held}");
}

#[test]
fn what_one_store_refuses_the_other_gets_and_the_spool_stays() {
    let bench = Bench::new();
    let script = Script::of_lines(300);
    let mut writer = spool_writer(&bench, 1 << 20);
    let dir = writer.dir().to_owned();
    write(&mut writer, &script);
    let exit = exit(&writer);
    writer.finish(&exit).unwrap();
    let (_stopper, stop) = stop();
    let second = Arc::new(InMemory::new());
    let refusing = Faulty::new(second.clone(), |_, _, _| Fault::Forbidden);
    let targets: Arc<[Target]> =
        [target(&bench, "store", bench.memory()), target(&bench, "second", refusing)].into();
    let refused = ship_to(&bench, &dir, &targets, 1 << 20, &stop).unwrap_err();
    assert!(matches!(refused, SpoolError::Delivery(Error::Refused { .. })), "{refused}");
    assert!(targets[1].progress.error().is_some());
    bench.verify(&script);
    assert!(dir.exists());

    let targets: Arc<[Target]> =
        [target(&bench, "store", bench.memory()), target(&bench, "second", second)].into();
    let outcome = ship_to(&bench, &dir, &targets, 1 << 20, &stop).unwrap();
    assert_eq!(outcome, Outcome::Delivered);
    assert!(!dir.exists());
}

/// Ships a spool of several segments until the store refuses; the first segments are gone then.
fn half_delivered(bench: &Bench, script: &Script, max_bytes: u64) -> std::path::PathBuf {
    let mut writer = spool_writer(bench, max_bytes);
    let dir = writer.dir().to_owned();
    write(&mut writer, script);
    let exit = exit(&writer);
    writer.finish(&exit).unwrap();
    let (_stopper, stop) = stop();
    // The refusal may come before what was delivered has been released: then once more.
    while dir.join("00000000.seg").exists() {
        let refusing = Faulty::new(bench.memory(), |number, _, _| match number {
            0..40 => Fault::None,
            _ => Fault::Forbidden,
        });
        let targets: Arc<[Target]> = [target(bench, "store", refusing)].into();
        ship_to(bench, &dir, &targets, max_bytes, &stop).unwrap_err();
    }
    dir
}

#[test]
fn segments_that_everybody_has_are_released_before_the_end() {
    let (bench, script) = (Bench::new(), Script::of_lines(1500));
    let max_bytes = 64 << 10;
    let dir = half_delivered(&bench, &script, max_bytes);
    assert!(!dir.join("00000000.seg").exists());
    let (_stopper, stop) = stop();
    let targets: Arc<[Target]> = [target(&bench, "store", bench.memory())].into();
    ship_to(&bench, &dir, &targets, max_bytes, &stop).unwrap();
    bench.verify(&script);
}

#[test]
fn without_its_checkpoint_and_first_segments_a_spool_goes_on_behind_what_the_store_has() {
    let bench = Bench::new();
    let mut script = Script::default();
    let text: Vec<_> = (0..1500).map(|number| format!("line {number} of some\n")).collect();
    text.concat().as_bytes().chunks(700).for_each(|piece| script.push(IoStream::Stdout, piece));
    let max_bytes = 64 << 10;
    let dir = half_delivered(&bench, &script, max_bytes);
    assert!(!dir.join("00000000.seg").exists());
    remove_checkpoint(&dir);
    let (_stopper, stop) = stop();
    let targets: Arc<[Target]> = [target(&bench, "store", bench.memory())].into();
    ship_to(&bench, &dir, &targets, max_bytes, &stop).unwrap();
    bench.verify(&script);
}

#[test]
fn the_answer_is_lost_and_the_spool_drops_what_it_was_about() {
    let (bench, script) = (Bench::new(), Script::of_lines(100));
    // The store takes everything, and nobody hears of it.
    let store = Faulty::new(bench.memory(), |_, kind, path| {
        if kind == "put" && path.as_ref().contains("/live/") {
            Fault::ForbiddenAfter
        } else {
            Fault::None
        }
    });
    assert!(bench.ship(&script, store).is_err());
    let checkpoint = bench.checkpoint();
    assert!(checkpoint.is_some());
    // Meanwhile the spool was full: the first bytes, of which the chunk was made, became a gap.
    let at = script.frames.iter().position(|(frame, _)| frame.offset > 1200).unwrap();
    let mut dropped = Script { frames: script.frames[at..].to_vec(), interrupted: false };
    let bytes = dropped.frames[0].0.offset;
    let gap =
        crate::record::Gap { bytes, lines: 3, reason: crate::record::GapReason::DroppedOldest };
    let payload = serde_json::to_vec(&gap).unwrap();
    let len = payload.len() as u32;
    let frame = spool::Frame { kind: Kind::Gap, time: Nanos(1), offset: 0, len };
    dropped.frames.insert(0, (frame, payload));
    bench.ship(&dropped, bench.memory()).unwrap();
    let end = bench.end();
    // What the chunk had is not told as lost.
    assert_eq!(end.gaps.count, 1);
    assert!(end.gaps.bytes < bytes - 500, "{} of {bytes}", end.gaps.bytes);
}

#[test]
fn frames_from_memory_are_delivered_too() {
    let (bench, script) = (Bench::new(), Script::of_lines(500));
    let (mut sink, source) = memory::channel(1 << 20, WhenFull::Block);
    let (_stopper, stop) = stop();
    let mut source = Some(source);
    for (frame, payload) in &script.frames {
        let iostream = if frame.kind == Kind::Stderr { IoStream::Stderr } else { IoStream::Stdout };
        assert!(sink.append(iostream, frame.time, payload));
    }
    Box::new(sink).finish(&Exit { code: Some(0), ..Exit::default() }).unwrap();
    let mut open = |_| match source.take() {
        Some(source) => Ok(Box::new(source) as Box<dyn FrameSource>),
        None => Err(SourceError::Spent),
    };
    let outcome = bench.ship_from(&mut open, bench.memory(), &stop).unwrap();
    assert_eq!(outcome, Outcome::Delivered);
    bench.verify(&script);
}

#[test]
fn a_turn_goes_on_where_the_last_one_has_caught_up_and_asks_nobody() {
    let (bench, mut script) = (Bench::new(), Script::default());
    let (asked, asks) = unbounded();
    let store = Faulty::new(bench.memory(), move |_, kind, _| {
        if kind == "list" {
            asked.send(()).unwrap();
        }
        Fault::None
    });
    let mut writer = spool_writer(&bench, 1 << 20);
    let targets: Arc<[Target]> = [target(&bench, "store", store)].into();
    let dir = writer.dir().to_owned();
    let open = || {
        let settings = &bench.settings;
        Shipment::open(&dir, meta(&bench), Arc::clone(&targets), settings, 1 << 20).unwrap()
    };
    let mut shipment = open();
    let (_stopper, stop) = stop();
    let turn = |shipment: &mut Shipment, expected| {
        let until = Until::Told(&|_| true);
        let outcome = shipment.turn(bench.runtime.handle(), until, &stop).unwrap();
        assert_eq!(outcome, expected);
    };
    let mut more = |writer: &mut SpoolWriter, text: &str| {
        script.push(IoStream::Stdout, text.as_bytes());
        let mut one = Script::default();
        one.frames.extend(script.frames.last().cloned());
        write(writer, &one);
    };
    // The second ends within a line, which the third goes on with.
    for text in ["one\ntwo\n", "three\nfo", "ur\n"] {
        more(&mut writer, text);
        turn(&mut shipment, Outcome::CaughtUp);
    }
    turn(&mut shipment, Outcome::CaughtUp);
    assert_eq!(asks.try_iter().count(), 1, "only the first turn asks");
    // Another process knows no more than the checkpoint, and asks again.
    drop(shipment);
    more(&mut writer, "five\n");
    let mut shipment = open();
    turn(&mut shipment, Outcome::CaughtUp);
    assert_eq!(asks.try_iter().count(), 1);
    let exit = exit(&writer);
    writer.finish(&exit).unwrap();
    turn(&mut shipment, Outcome::Delivered);
    bench.verify(&script);
}

#[test]
fn nobody_waits_for_a_store_that_is_down_where_others_are_to_have_their_turn() {
    let (mut bench, mut script) = (Bench::new(), Script::default());
    bench.settings.retry_initial = Duration::from_millis(1);
    bench.settings.retry_max = Duration::from_millis(1);
    script.push(IoStream::Stdout, b"one\n");
    let mut writer = spool_writer(&bench, 1 << 20);
    write(&mut writer, &script);
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let store = Faulty::new(bench.memory(), move |_, kind, _| match kind {
        "put" if !is_up.load(Ordering::SeqCst) => Fault::Refused,
        _ => Fault::None,
    });
    let targets: Arc<[Target]> = [target(&bench, "store", store)].into();
    let settings = &bench.settings;
    let mut shipment =
        Shipment::open(writer.dir(), meta(&bench), targets, settings, 1 << 20).unwrap();
    let (_stopper, stop) = stop();
    let others = AtomicBool::new(true);
    let told = |_| others.load(Ordering::SeqCst);
    let mut turn = || shipment.turn(bench.runtime.handle(), Until::Told(&told), &stop).unwrap();
    assert_eq!(turn(), Outcome::Down);
    up.store(true, Ordering::SeqCst);
    // The store's gate lets one request through after its pause; who comes before that has no turn.
    let started = Instant::now();
    while turn() != Outcome::CaughtUp {
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    let exit = exit(&writer);
    writer.finish(&exit).unwrap();
    assert_eq!(turn(), Outcome::Delivered);
    bench.verify(&script);
}
