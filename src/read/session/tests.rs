//! Readings over a store in memory: which lines come, in which order, and where they end.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};

use super::*;
use crate::read::pattern::{Patterns, Syntax};
use crate::read::target::Attempts;
use crate::read::testing::{Spec, time};
use crate::record::{Nanos, Writer};
use crate::stores::artifact::fetch::Reader;
use crate::stores::artifact::object::Status as EndStatus;
use crate::stores::artifact::testing::{self, Shape};
use crate::stores::artifact::{Codec, layout};

/// What came, a word a line; `|` where reading was idle, `!` before a trouble.
#[derive(Default)]
struct Said {
    words: Vec<String>,
    streams: Vec<String>,
    enough: Option<usize>,
}

impl Output for Said {
    fn streams(&mut self, streams: &[Stream]) {
        self.streams = streams
            .iter()
            .map(|it| format!("{}/{}:{}", it.origin.step_id, it.origin.attempt, it.status.as_str()))
            .collect();
    }

    fn item(&mut self, item: &Item<'_>) -> ControlFlow<()> {
        let line = item.line().unwrap();
        let mut text = String::from_utf8_lossy(item.page.message(line)).into_owned();
        for (page, at) in item.more {
            text.push_str(&String::from_utf8_lossy(page.message(&page.lines()[*at])));
        }
        let before = if item.apart { "-- " } else { "" };
        let after = if item.matched { "" } else { "~" };
        self.words.push(format!("{before}{text}{after}"));
        match self.enough {
            Some(enough) if self.words.len() >= enough => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn trouble(&mut self, trouble: &Trouble) {
        self.words.push(format!("!{}", trouble.what));
    }

    fn idle(&mut self) -> ControlFlow<()> {
        if self.words.last().is_none_or(|word| word != "|") {
            self.words.push("|".to_owned());
        }
        ControlFlow::Continue(())
    }
}

/// `count` lines named like the step, two nanoseconds apart.
fn lines(name: &str, count: u64) -> Vec<Spec> {
    let spec = |n: u64| Spec {
        time: Some(Nanos(time(0).0 + n as i64 * 2)),
        ..Spec::text(&format!("{name}{n}"))
    };
    (0..count).map(spec).collect()
}

async fn two() -> (Arc<dyn ObjectStore>, Vec<Writer>) {
    let store = testing::memory();
    let mut writers = Vec::new();
    for (step, count) in [("a", 5), ("b", 3)] {
        let writer = testing::writer("run", step, 1);
        testing::put(&*store, &writer, &lines(step, count), &Shape::finished()).await;
        writers.push(writer);
    }
    (store, writers)
}

async fn read(store: &Arc<dyn ObjectStore>, query: Query) -> (Said, Outcome) {
    let reader = Reader::new(Arc::clone(store), true);
    let streams = reader.streams("run", None, &[]).await.unwrap();
    let mut said = Said::default();
    let outcome = Session::new(&reader, streams, query, &mut said).run().await.unwrap();
    (said, outcome)
}

fn query(limit: Limit, reverse: bool) -> Query {
    Query { limit, reverse, ..Query::default() }
}

#[test]
fn limits_and_directions_over_several_streams() {
    testing::block_on(async {
        let (store, _) = two().await;
        for (limit, reverse, expected) in [
            (Limit::All, false, "a0 b0 a1 b1 a2 b2 a3 a4"),
            (Limit::All, true, "a4 a3 b2 a2 b1 a1 b0 a0"),
            (Limit::Head(3), false, "a0 b0 a1"),
            (Limit::Head(3), true, "a1 b0 a0"),
            (Limit::Tail(3), false, "b2 a3 a4"),
            (Limit::Tail(3), true, "a4 a3 b2"),
            (Limit::Tail(99), false, "a0 b0 a1 b1 a2 b2 a3 a4"),
            (Limit::Tail(0), false, ""),
        ] {
            let (said, outcome) = read(&store, query(limit, reverse)).await;
            assert_eq!(said.words.join(" "), expected, "{limit:?} {reverse}");
            assert_eq!(outcome.matched, said.words.len() as u64);
        }
    });
}

#[test]
fn context_looks_the_same_from_both_ends() {
    testing::block_on(async {
        let store = testing::memory();
        let writer = testing::writer("run", "a", 1);
        testing::put(&*store, &writer, &lines("a", 40), &Shape::finished()).await;
        let filter = Filter {
            text: Some(Patterns::new(["a(10|12|30)$"], Syntax::default()).unwrap()),
            context: (1, 2),
            ..Filter::default()
        };
        let expected = "a9~ a10 a11~ a12 a13~ a14~ -- a29~ a30 a31~ a32~";
        for limit in [Limit::All, Limit::Tail(3)] {
            let query = Query { filter: filter.clone(), limit, ..Query::default() };
            assert_eq!(read(&store, query).await.0.words.join(" "), expected);
        }
    });
}

#[test]
fn a_cursor_goes_on_without_loss_or_repetition() {
    testing::block_on(async {
        let (store, _) = two().await;
        for reverse in [false, true] {
            let (all, _) = read(&store, query(Limit::All, reverse)).await;
            for page in 1..4 {
                let limit = if reverse { Limit::Tail(page) } else { Limit::Head(page) };
                let mut seen = Vec::new();
                let mut from = None;
                loop {
                    let page = Query { from: from.clone(), ..query(limit, reverse) };
                    let (said, outcome) = read(&store, page).await;
                    if said.words.is_empty() {
                        break;
                    }
                    let cursor: Cursor = outcome.cursor.to_string().parse().unwrap();
                    let again = From { cursor: cursor.clone(), inclusive: true };
                    let one = if reverse { Limit::Tail(1) } else { Limit::Head(1) };
                    let again = Query { from: Some(again), ..query(one, reverse) };
                    assert_eq!(read(&store, again).await.0.words.last(), said.words.last());
                    seen.extend(said.words);
                    from = Some(From { cursor, inclusive: false });
                }
                assert_eq!(seen, all.words, "{reverse} {page}");
            }
        }
    });
}

#[test]
fn more_last_lines_than_are_kept_are_read_twice() {
    testing::block_on(async {
        let store = testing::memory();
        for step in ["a", "b"] {
            let writer = testing::writer("run", step, 1);
            // Lines of 64 KiB: more than may be kept.
            let mut specs = lines(step, 1800);
            for spec in &mut specs {
                spec.text.push_str(&"x".repeat(64 << 10));
            }
            let shape = Shape { frame_lines: 16, ..Shape::finished() };
            testing::put(&*store, &writer, &specs, &shape).await;
        }
        let (said, outcome) = read(&store, query(Limit::Tail(3000), false)).await;
        assert_eq!((said.words.len(), outcome.matched), (3000, 3000));
        let name = |word: &String| word.trim_end_matches('x').to_owned();
        assert_eq!(said.words.first().map(name), Some("a300".to_owned()));
        assert_eq!(said.words.last().map(name), Some("b1799".to_owned()));
    });
}

fn follow(selection: Selection, linger: Duration) -> Follow {
    Follow {
        run: "run".to_owned(),
        step: None,
        selection,
        known: Vec::new(),
        appear: linger,
        linger,
        linger_succeeded: linger,
    }
}

#[test]
fn following_the_last_lines_goes_on_where_they_ended_and_ends_with_the_step() {
    testing::block_on(async {
        let store = testing::memory();
        let writer = testing::writer("run", "a", 1);
        testing::put(&*store, &writer, &lines("a", 16), &Shape::live()).await;
        let all = lines("a", 24);
        let records = testing::records(&writer, &all);
        let chunks: Vec<_> = records
            .chunks(8)
            .zip(0..)
            .map(|(records, n)| testing::chunk(&writer, n, records, &Shape::live()))
            .collect();
        let (put, prefix) = (Arc::clone(&store), layout::writer_prefix(&writer));
        let step = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let path = layout::live(&prefix, 2, Codec::Zstd);
            put.put(&path, chunks[2].0.clone().into()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
            let (object, info) = testing::segment(&writer, &chunks, Codec::Zstd);
            put.put(&layout::seg(&prefix, 0, 2, Codec::Zstd), object.into()).await.unwrap();
            let end = testing::end(&writer, &records, &chunks, vec![info], EndStatus::Failed);
            let end = serde_json::to_vec(&end).unwrap();
            put.put(&layout::end(&prefix), end.into()).await.unwrap();
        });
        let query = Query {
            limit: Limit::Tail(2),
            follow: Some(follow(Selection::default(), Duration::ZERO)),
            ..Query::default()
        };
        let (said, outcome) = read(&store, query).await;
        step.await.unwrap();
        let words: Vec<&str> =
            said.words.iter().map(String::as_str).filter(|word| *word != "|").collect();
        assert_eq!(words.join(" "), "a14 a15 a16 a17 a18 a19 a20 a21 a22 a23");
        assert!(said.words.iter().filter(|word| *word == "|").count() >= 2, "{:?}", said.words);
        assert_eq!(said.streams, ["a/1:failed"]);
        assert_eq!(outcome.streams[0].exit_status(), Some(3));
    });
}

#[test]
fn following_goes_through_later_attempts_and_steps() {
    testing::block_on(async {
        let store = testing::memory();
        let first = testing::writer("run", "a", 1);
        let failed = Shape { status: Some(EndStatus::Failed), ..Shape::finished() };
        testing::put(&*store, &first, &lines("a", 2), &failed).await;
        let put = Arc::clone(&store);
        let later = tokio::spawn(async move {
            for (step, attempt) in [("a", 2), ("b", 1)] {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let writer = testing::writer("run", step, attempt);
                let specs = lines(&format!("{step}/{attempt}."), 2);
                testing::put(&*put, &writer, &specs, &Shape::finished()).await;
            }
        });
        let selection = Selection { attempts: Attempts::Last, ..Selection::default() };
        let linger = Duration::from_millis(1500);
        let query = Query { follow: Some(follow(selection, linger)), ..Query::default() };
        let (said, outcome) = read(&store, query).await;
        later.await.unwrap();
        let words: Vec<&str> =
            said.words.iter().map(String::as_str).filter(|word| *word != "|").collect();
        assert_eq!(words, ["a0", "a1", "a/2.0", "a/2.1", "b/1.0", "b/1.1"]);
        assert_eq!(said.streams, ["a/1:failed", "a/2:succeeded", "b/1:succeeded"]);
        assert_eq!(outcome.streams.len(), 3);
    });
}

#[test]
fn who_has_seen_enough_ends_it() {
    testing::block_on(async {
        let (store, _) = two().await;
        let reader = Reader::new(Arc::clone(&store), true);
        let streams = reader.streams("run", None, &[]).await.unwrap();
        let mut said = Said { enough: Some(2), ..Said::default() };
        let query = Query {
            follow: Some(follow(Selection::default(), Duration::from_secs(600))),
            ..Query::default()
        };
        Session::new(&reader, streams, query, &mut said).run().await.unwrap();
        assert_eq!(said.words, ["a0", "b0"]);
    });
}
