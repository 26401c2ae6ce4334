//! Reading against a model: whatever way lines lie in the store, a query gives the lines that a
//! plain filter over all of them gives.

use std::ops::Range;
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;

use super::super::object::Status as EndStatus;
use super::super::testing::{self, Shape};
use super::super::{Codec, layout};
use super::*;
use crate::read::model::{Query, ask, model, query, specs};
use crate::read::store::{Direction, Event};
use crate::read::testing::Spec;
use crate::record::{IoStream, Level};

fn shape() -> impl Strategy<Value = Shape> {
    let finished = proptest::option::of(Just(EndStatus::Failed));
    (any::<bool>(), 1..6_usize, 1..4_usize, 0..4_u64, 0..4_u64, any::<bool>(), finished).prop_map(
        |(gzip, frame_lines, chunk_frames, first, second, leftovers, status)| Shape {
            codec: if gzip { Codec::Gzip } else { Codec::Zstd },
            frame_lines,
            chunk_frames,
            segments: vec![0..first, first..first + second],
            leftovers,
            status,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_query_gives_what_a_plain_filter_gives(
        writers in proptest::collection::vec((specs(), shape()), 1..4),
        queries in proptest::collection::vec(query(), 4),
    ) {
        testing::block_on(async {
            let store = testing::memory();
            for (number, (specs, shape)) in writers.iter().enumerate() {
                let writer = testing::writer("run", &format!("step {number}"), 1);
                testing::put(&*store, &writer, specs, shape).await;
            }
            let reader = Reader::new(store, true);
            let specs: Vec<Vec<Spec>> = writers.into_iter().map(|(specs, _)| specs).collect();
            for query in &queries {
                let (seen, troubles) = ask(&reader, "run", query).await;
                assert_eq!(seen, model(&specs, query), "{query:?}");
                assert!(troubles.is_empty(), "{troubles:?}");
            }
        });
    }
}

/// A traceback of stderr whose lines lie in four objects, a line of stdout in one of its own
/// between them.
fn spread_group() -> (Vec<Spec>, Shape) {
    let stderr = |text: &str, level, group| Spec {
        level,
        group,
        iostream: IoStream::Stderr,
        ..Spec::text(text)
    };
    let specs = vec![
        Spec::text("quiet"),
        stderr("Traceback", Some(Level::Error), Some(1)),
        stderr("  one", None, Some(1)),
        Spec::text("between"),
        stderr("  two", None, Some(1)),
        stderr("ValueError", None, Some(1)),
        Spec::text("quiet"),
    ];
    let segments = (0..7).map(|n| n..n + 1).collect();
    (specs, Shape { frame_lines: 1, chunk_frames: 1, segments, ..Shape::finished() })
}

#[track_caller]
fn check_spread_group(filter: Filter, expected: &[u64]) {
    let (specs, finished) = spread_group();
    let running = Shape { status: None, segments: vec![0..2, 2..3], ..finished.clone() };
    for (shape, direction) in [
        (&finished, Direction::Forward),
        (&finished, Direction::Backward),
        (&running, Direction::Forward),
        (&running, Direction::Backward),
    ] {
        let query = Query { filter: filter.clone(), direction, limit: None };
        let mut seqs: Vec<u64> = testing::block_on(async {
            let store = testing::memory();
            testing::put(&*store, &testing::writer("run", "step", 1), &specs, shape).await;
            let (seen, troubles) = ask(&Reader::new(store, true), "run", &query).await;
            assert!(troubles.is_empty(), "{troubles:?}");
            seen.into_iter().map(|(_, seq)| seq).collect()
        });
        seqs.sort_unstable();
        assert_eq!(seqs, expected, "{direction:?} {shape:?}");
    }
}

#[test]
fn a_group_is_read_whole_however_many_objects_it_lies_in() {
    let level = Filter { level: Some(Level::Error), ..Filter::default() };
    check_spread_group(level, &[1, 2, 4, 5]);
}

#[test]
fn context_is_read_from_neighbouring_objects() {
    let level = Some(Level::Error);
    check_spread_group(
        Filter { level, context: (1, 1), ..Filter::default() },
        &[0, 1, 2, 3, 4, 5, 6],
    );
}

fn numbered(count: u64) -> Vec<Spec> {
    (0..count).map(|n| Spec::text(&format!("line {n}"))).collect()
}

async fn seqs(store: &Arc<dyn ObjectStore>) -> (Vec<u64>, Vec<String>) {
    let reader = Reader::new(Arc::clone(store), true);
    let (seen, troubles) = ask(&reader, "run", &Query::default()).await;
    (seen.into_iter().map(|(_, seq)| seq).collect(), troubles)
}

fn range(range: Range<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn what_is_damaged_or_gone_is_named_and_the_rest_is_read() {
    testing::block_on(async {
        let store = testing::memory();
        let writer = testing::writer("run", "step", 1);
        let prefix = layout::writer_prefix(&writer);
        let shape = Shape { segments: vec![0..2, 2..3], ..Shape::finished() };
        testing::put(&*store, &writer, &numbered(32), &shape).await;
        let (first, last) =
            (layout::seg(&prefix, 0, 1, Codec::Zstd), layout::seg(&prefix, 3, 3, Codec::Zstd));
        let bytes = store.get(&first).await.unwrap().bytes().await.unwrap();
        let mut bad = bytes.to_vec();
        bad[1] ^= 0xff;
        store.put(&first, bad.into()).await.unwrap();
        store.delete(&last).await.unwrap();
        let (seen, troubles) = seqs(&store).await;
        assert_eq!(seen, range(4..24));
        assert_eq!(troubles.len(), 2, "{troubles:?}");
        for expected in [
            "seg/000000000000-000000000001.ndjson.zst: lines 0 to 3 are lost, the frame at byte 0",
            "lines 24 to 31 are lost: ",
        ] {
            assert!(troubles.iter().any(|it| it.starts_with(expected)), "{troubles:?}");
        }
    });
}

#[test]
fn a_hole_shows_unless_it_may_still_be_filled() {
    testing::block_on(async {
        let store = testing::memory();
        let writer = testing::writer("run", "step", 1);
        let prefix = layout::writer_prefix(&writer);
        testing::put(&*store, &writer, &numbered(32), &Shape::live()).await;
        store.delete(&layout::live(&prefix, 1, Codec::Zstd)).await.unwrap();
        // Everything is new: the chunk may be under way.
        assert_eq!(seqs(&store).await, (range(0..8), vec![]));
        let reader = Reader::new(Arc::clone(&store), true);
        let mut streams = reader.streams("run", None, &[]).await.unwrap();
        assert_eq!(streams[0].status, Status::Running);
        assert_eq!(streams[0].lines, Some(32));
        streams[0].status = Status::Unfinished;
        let mut lines = reader.open(&streams, Request::default());
        let Event::Trouble(trouble) = lines.next().await.unwrap() else { panic!() };
        assert_eq!(trouble.what, "chunk 1 is missing");
    });
}

#[test]
fn runs_are_found_newest_first_and_long_names_whole() {
    testing::block_on(async {
        let store = testing::memory();
        let long = "run/".repeat(100);
        let writer = testing::writer(&long, &"s".repeat(300), 2);
        testing::put(&*store, &writer, &numbered(3), &Shape::finished()).await;
        let reader = Reader::new(Arc::clone(&store), true);
        let runs = reader.runs(5).await.unwrap();
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].pipeline_run_id, long);
        let streams = reader.streams(&long, None, &[]).await.unwrap();
        assert_eq!(streams[0].origin, writer.origin);
        assert_eq!(streams[0].status, Status::Succeeded);
        assert!(reader.streams("run/", None, &[]).await.unwrap().is_empty());
        let other = testing::writer("run 2", "s", 1);
        testing::put(&*store, &other, &numbered(3), &Shape::finished()).await;
        let runs = reader.runs(1).await.unwrap();
        assert_eq!(runs[0].pipeline_run_id, "run 2");
    });
}

#[test]
fn the_last_lines_cost_one_frame() {
    testing::block_on(async {
        let store = testing::memory();
        let writer = testing::writer("run", "step", 1);
        let shape = Shape { frame_lines: 1000, ..Shape::finished() };
        testing::put(&*store, &writer, &numbered(20_000), &shape).await;
        let reader = Reader::new(Arc::clone(&store), true);
        let query = Query { direction: Direction::Backward, limit: Some(100), ..Query::default() };
        let (seen, _) = ask(&reader, "run", &query).await;
        assert_eq!(seen.len(), 100);
        // The list of writers, end.json, the segment's index, one batch of frames.
        assert_eq!(reader.cost().requests, 4);
    });
}

/// Reads what comes until nothing is new.
async fn until_idle(lines: &mut dyn Lines, seen: &mut Vec<u64>) -> Option<Event> {
    loop {
        match lines.next().await.unwrap() {
            Event::Lines(slice) => seen.extend(slice.lines().iter().map(|line| line.seq)),
            Event::Idle => return None,
            event => return Some(event),
        }
    }
}

#[test]
fn following_sees_each_line_once_through_chunks_segments_and_the_end() {
    testing::block_on(async {
        let store = testing::memory();
        let writer = testing::writer("run", "step", 1);
        let prefix = layout::writer_prefix(&writer);
        let specs = numbered(80);
        let records = testing::records(&writer, &specs);
        let shape = Shape::live();
        let chunks: Vec<_> = records
            .chunks(8)
            .zip(0..)
            .map(|(records, n)| testing::chunk(&writer, n, records, &shape))
            .collect();
        let live = |n: u64| layout::live(&prefix, n, Codec::Zstd);
        let put = async |n: u64| {
            store.put(&live(n), chunks[n as usize].0.clone().into()).await.unwrap();
        };
        testing::put_entries(&*store, &writer).await;
        put(0).await;
        let reader = Reader::new(Arc::clone(&store), true);
        let streams = reader.streams("run", None, &[]).await.unwrap();
        let request = Request { follow: true, ..Request::default() };
        let mut lines = reader.open(&streams, request);
        let mut seen = Vec::new();
        assert!(until_idle(&mut *lines, &mut seen).await.is_none());
        assert_eq!(seen, range(0..8));
        // Out of order: 2 waits for 1.
        put(2).await;
        assert!(until_idle(&mut *lines, &mut seen).await.is_none());
        assert_eq!(seen, range(0..8));
        put(1).await;
        assert!(until_idle(&mut *lines, &mut seen).await.is_none());
        assert_eq!(seen, range(0..24));
        // A chunk that was never seen alone: joined, and the live ones deleted, in one go.
        let (object, one) = testing::segment(&writer, &chunks[0..5], Codec::Zstd);
        store.put(&layout::seg(&prefix, 0, 4, Codec::Zstd), object.into()).await.unwrap();
        for n in 0..3 {
            store.delete(&live(n)).await.unwrap();
        }
        while seen.len() < 40 {
            assert!(until_idle(&mut *lines, &mut seen).await.is_none());
        }
        assert_eq!(seen, range(0..40));
        put(5).await;
        let (object, two) = testing::segment(&writer, &chunks[5..10], Codec::Zstd);
        store.put(&layout::seg(&prefix, 5, 9, Codec::Zstd), object.into()).await.unwrap();
        let end = testing::end(&writer, &records, &chunks, vec![one, two], EndStatus::Failed);
        let end = serde_json::to_vec(&end).unwrap();
        store.put(&layout::end(&prefix), end.into()).await.unwrap();
        let event = until_idle(&mut *lines, &mut seen).await;
        assert_eq!(seen, range(0..80));
        let Some(Event::Ended(0, stream)) = event else { panic!("{event:?}") };
        assert_eq!((stream.status, stream.exit_status()), (Status::Failed, Some(3)));
    });
}

#[test]
fn following_goes_on_exactly_where_the_last_lines_ended() {
    testing::block_on(async {
        for (segments, status) in [
            (vec![], None),
            (vec![Range { start: 0, end: 2 }], None),
            (vec![], Some(EndStatus::Succeeded)),
        ] {
            let store = testing::memory();
            let writer = testing::writer("run", "step", 1);
            let prefix = layout::writer_prefix(&writer);
            let shape = Shape { segments, status, ..Shape::live() };
            testing::put(&*store, &writer, &numbered(24), &shape).await;
            let reader = Reader::new(Arc::clone(&store), true);
            let streams = reader.streams("run", None, &[]).await.unwrap();
            let back = Request { direction: Direction::Backward, ..Request::default() };
            let mut lines = reader.open(&streams, back);
            let Event::Lines(slice) = lines.next().await.unwrap() else { panic!() };
            assert_eq!(slice.lines().last().unwrap().seq, 23);
            let marks = lines.marks();
            assert_eq!(marks, [Some(3)]);
            if status.is_none() {
                let records = testing::records(&writer, &numbered(32));
                let (object, _) = testing::chunk(&writer, 3, &records[24..], &shape);
                store.put(&layout::live(&prefix, 3, Codec::Zstd), object.into()).await.unwrap();
            }
            let on = Request { follow: true, marks, ..Request::default() };
            let mut lines = reader.open(&streams, on);
            let mut seen = Vec::new();
            let event = until_idle(&mut *lines, &mut seen).await;
            assert_eq!(seen, range(24..if status.is_none() { 32 } else { 24 }));
            assert_eq!(event.is_some(), status.is_some());
        }
    });
}

#[test]
fn a_chunk_that_becomes_part_of_a_segment_while_it_is_read_is_read_there() {
    testing::block_on(async {
        for direction in [Direction::Forward, Direction::Backward] {
            let store = testing::memory();
            let writer = testing::writer("run", "step", 1);
            let prefix = layout::writer_prefix(&writer);
            testing::put(&*store, &writer, &numbered(160), &Shape::live()).await;
            let reader = Reader::new(Arc::clone(&store), true);
            let streams = reader.streams("run", None, &[]).await.unwrap();
            let mut lines = reader.open(&streams, Request { direction, ..Request::default() });
            let mut seen = Vec::new();
            let mut moved = false;
            loop {
                match lines.next().await.unwrap() {
                    Event::Lines(slice) => {
                        let mut some: Vec<u64> = slice.lines().iter().map(|it| it.seq).collect();
                        if direction == Direction::Backward {
                            some.reverse();
                        }
                        seen.extend(some);
                    }
                    Event::End => break,
                    event => panic!("{event:?}"),
                }
                if !moved {
                    moved = true;
                    let records = testing::records(&writer, &numbered(160));
                    let chunks: Vec<_> = records
                        .chunks(8)
                        .zip(0..)
                        .map(|(records, n)| testing::chunk(&writer, n, records, &Shape::live()))
                        .collect();
                    let (object, _) = testing::segment(&writer, &chunks, Codec::Zstd);
                    let path = layout::seg(&prefix, 0, 19, Codec::Zstd);
                    store.put(&path, object.into()).await.unwrap();
                    for n in 0..20 {
                        store.delete(&layout::live(&prefix, n, Codec::Zstd)).await.unwrap();
                    }
                }
            }
            if direction == Direction::Backward {
                seen.reverse();
            }
            assert_eq!(seen, range(0..160), "{direction:?}");
        }
    });
}
