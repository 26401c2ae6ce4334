//! Reading against a model: whatever way lines lie in the store, a query gives the lines that a
//! plain filter over all of them gives.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;

use super::super::object::Status as EndStatus;
use super::super::testing::{self, Shape};
use super::super::{Codec, layout};
use super::*;
use crate::read::join::Joining;
use crate::read::pattern::{Patterns, Syntax};
use crate::read::pipeline::{Item, Pipeline};
use crate::read::store::{Direction, Event};
use crate::read::testing::{Spec, time};
use crate::record::{IoStream, Level};

/// What a test asks.
#[derive(Clone, Debug, Default)]
struct Query {
    filter: Filter,
    direction: Direction,
    limit: Option<u64>,
}

/// Lines as stream and `seq`, and what was wrong.
type Answer = (Vec<(u32, u64)>, Vec<String>);

async fn ask(reader: &Reader, run: &str, query: &Query) -> Answer {
    let streams = reader.streams(run, None, &[]).await.unwrap();
    let request = Request {
        filter: query.filter.clone(),
        direction: query.direction,
        about: query.limit,
        ..Request::default()
    };
    let mut lines = reader.open(&streams, request);
    let filter = Arc::new(query.filter.clone());
    let mut pipeline = Pipeline::new(filter, query.direction, Joining::Off, query.limit);
    let (mut seen, mut troubles) = (Vec::new(), Vec::new());
    let mut sink = |item: Item<'_>| {
        let line = item.line().unwrap();
        seen.push((line.stream, line.seq));
        ControlFlow::Continue(())
    };
    loop {
        match lines.next().await.unwrap() {
            Event::Lines(slice) => {
                if pipeline.push(&slice, &mut sink).is_break() {
                    break;
                }
            }
            Event::Trouble(trouble) => troubles.push(trouble.what),
            Event::End => {
                let _done = pipeline.finish(&mut sink);
                break;
            }
            Event::Idle | Event::Ended(..) => panic!("only when following"),
        }
    }
    (seen, troubles)
}

/// The same by hand.
fn model(writers: &[Vec<Spec>], query: &Query) -> Vec<(u32, u64)> {
    let mut all = Vec::new();
    for (stream, specs) in (0_u32..).zip(writers) {
        for (seq, spec) in (0_u64..).zip(specs) {
            let when = spec.time.unwrap_or_else(|| time(seq));
            let filter = &query.filter;
            // A group is as serious as its first line, if that is in scope.
            let head = spec.group.filter(|group| {
                let when = specs[*group as usize].time.unwrap();
                filter.iostream.is_none_or(|only| only == specs[*group as usize].iostream)
                    && filter.since.is_none_or(|since| when >= since)
                    && *group >= filter.from_seq
            });
            let head = head.and_then(|group| specs[group as usize].level);
            let keep = filter.iostream.is_none_or(|only| only == spec.iostream)
                && filter.since.is_none_or(|since| when >= since)
                && filter.until.is_none_or(|until| when < until)
                && seq >= filter.from_seq
                && filter.to_seq.is_none_or(|to| seq < to)
                && filter.level.is_none_or(|least| spec.level.max(head) >= Some(least))
                && filter.text.as_ref().is_none_or(|it| it.matches(spec.text.as_bytes()))
                && filter.exclude.as_ref().is_none_or(|it| !it.matches(spec.text.as_bytes()));
            if keep {
                all.push((when, stream, seq));
            }
        }
    }
    all.sort_unstable();
    if query.direction == Direction::Backward {
        all.reverse();
    }
    let limit = query.limit.unwrap_or(u64::MAX) as usize;
    all.into_iter().take(limit).map(|(_, stream, seq)| (stream, seq)).collect()
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let line = (
        prop_oneof!["[ab]{1,2} \"x\"?", "[a-c]{0,3}", Just("é\u{1b}[1m\ta".to_owned())],
        proptest::option::weighted(0.2, 0..6_usize),
        proptest::bool::weighted(0.3),
        0..3_i64,
        proptest::bool::weighted(0.3),
    );
    proptest::collection::vec(line, 0..60).prop_map(|lines| {
        let mut now = time(0).0;
        let mut group = None;
        let mut specs = Vec::new();
        for (seq, (text, level, err, wait, grouped)) in (0_u64..).zip(lines) {
            now += wait;
            let level = level.map(|level| Level::ALL[level]);
            // A group starts with a line that has a level and goes on while chance says so.
            group = if grouped { group.or(level.map(|_| seq)) } else { None };
            specs.push(Spec {
                level,
                iostream: if err { IoStream::Stderr } else { IoStream::Stdout },
                time: Some(Nanos(now)),
                group,
                ..Spec::text(&text)
            });
        }
        specs
    })
}

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

fn query() -> impl Strategy<Value = Query> {
    let scope = (
        proptest::option::of(any::<bool>()),
        proptest::option::of(0..60_i64),
        proptest::option::of(20..90_i64),
        prop_oneof![Just(0), 0..30_u64],
        proptest::option::of(20..60_u64),
    );
    let conditions = (
        proptest::option::of(0..6_usize),
        proptest::option::of(prop_oneof![Just("a"), Just("a \""), Just("^b"), Just("zzz")]),
        proptest::option::weighted(0.3, Just("c")),
    );
    (scope, conditions, any::<bool>(), proptest::option::of(0..9_u64)).prop_map(
        |((stderr, since, until, from_seq, to_seq), (level, text, exclude), backward, limit)| {
            let patterns = |text: &str| Patterns::new([text], Syntax::default()).unwrap();
            let filter = Filter {
                iostream: stderr.map(|it| if it { IoStream::Stderr } else { IoStream::Stdout }),
                since: since.map(|it| Nanos(time(0).0 + it)),
                until: until.map(|it| Nanos(time(0).0 + it)),
                from_seq,
                to_seq,
                no_progress: false,
                level: level.map(|level| Level::ALL[level]),
                text: text.map(patterns),
                exclude: exclude.map(patterns),
                context: (0, 0),
            };
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            Query { filter, direction, limit }
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
