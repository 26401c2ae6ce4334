//! Reading from a service in memory that does what services do: small pages, records of one time in
//! any order, doubles, records that show late or never. What comes out must be what a plain filter
//! over the lines gives, and what the artifact store gives of the same lines.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::read::model::{self, Query};
use crate::read::pattern::{Patterns, Syntax};
use crate::read::session::{Follow, Limit, Outcome, Output, Query as SessionQuery, Session};
use crate::read::store::{Event, Status, Trouble};
use crate::read::testing::{Spec, time};
use crate::record::{Exit, Level, Writer};
use crate::stores::artifact::fetch::Reader;
use crate::stores::artifact::testing::{self, Shape, block_on};
use crate::stores::records::event::{StreamEnd, StreamEvent};

/// How a service is.
#[derive(Clone, Debug)]
struct Service {
    resolution: i64,
    page: usize,
    /// Decides on the order of records of one time, and on doubles.
    seed: u64,
    /// Of 256 records, so many are there twice.
    doubles: u8,
    conditions: Conditions,
    /// After so many pages a cursor fails, once.
    cursors: u64,
    /// Text of a page, beyond which it is an answer too large.
    answer: usize,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            resolution: 0,
            page: 7,
            seed: 1,
            doubles: 0,
            conditions: Conditions::default(),
            cursors: u64::MAX,
            answer: usize::MAX,
        }
    }
}

/// A record, from when on it shows (in requests for pages).
struct Kept {
    writer: WriterId,
    time: i64,
    record: Record,
    from: u64,
}

struct Fake {
    service: Service,
    records: Mutex<Vec<Kept>>,
    events: Mutex<Vec<StreamEvent>>,
    asked: AtomicU64,
    failed: AtomicBool,
}

impl Fake {
    fn new(service: Service) -> Arc<Self> {
        Arc::new(Self {
            service,
            records: Mutex::default(),
            events: Mutex::default(),
            asked: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        })
    }

    /// Lines of a writer; `from`: when each one shows.
    fn put(&self, writer: &Writer, specs: &[Spec], from: impl Fn(u64) -> Option<u64>) {
        for record in testing::records(writer, specs) {
            let time = Nanos::from_rfc3339(&record.timestamp).unwrap().0;
            if let Some(from) = from(record.seq) {
                let kept = Kept { writer: writer.id, time, record, from };
                self.records.lock().unwrap().push(kept);
            }
        }
    }

    fn start(&self, writer: &Writer) {
        self.events.lock().unwrap().push(StreamEvent::start(writer));
    }

    fn end(&self, writer: &Writer, lines: u64, rejected: u64) {
        let end = StreamEnd {
            exit: Some(Exit { code: Some(0), ..Exit::default() }),
            ended: Nanos::now(),
            lines,
            bytes: lines,
            levels: [0; 6],
            first_error: None,
            gaps: crate::stores::Gaps::default(),
            rejected,
        };
        let event = StreamEvent { writer: writer.clone(), end: Some(end) };
        self.events.lock().unwrap().push(event);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn some(&self, question: &Question<'_>) -> Result<Page, ReadError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let (filter, service) = (question.filter, &self.service);
        assert!(filter.exclude.is_none() && !filter.no_progress && filter.context == (0, 0));
        let can = service.conditions;
        assert!(can.level || filter.level.is_none());
        assert!(can.iostream || filter.iostream.is_none());
        assert!(can.text || filter.text.is_none());
        let backward = question.direction == Direction::Backward;
        let records = self.records.lock().unwrap();
        // Records of one bucket of time come in an order that is always the same, and anyone's.
        let mut found: Vec<((i64, u64, u64), &Record)> = records
            .iter()
            .filter(|it| it.writer == question.stream.writer && it.from <= asked)
            .filter(|it| {
                let of_more = it.record.part.is_some() || it.record.group.is_some();
                filter.since.is_none_or(|since| it.time >= since.0)
                    && filter.until.is_none_or(|until| it.time < until.0)
                    && it.record.seq >= filter.from_seq
                    && filter.to_seq.is_none_or(|to| it.record.seq < to)
                    && filter.iostream.is_none_or(|only| it.record.iostream == only)
                    && (of_more || filter.level.is_none_or(|it_is| it.record.level >= Some(it_is)))
                    && (of_more
                        || filter
                            .text
                            .as_ref()
                            .is_none_or(|text| text.matches(it.record.message.as_bytes())))
            })
            .flat_map(|it| {
                let bucket = it.time.div_euclid(service.resolution.max(1));
                let mixed = |salt: u64| {
                    (it.record.seq + 1 + salt)
                        .wrapping_mul(service.seed | 1)
                        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                        .rotate_left(23)
                };
                let double = (mixed(7) & 0xff) < u64::from(service.doubles);
                let at = |copy: u64| ((bucket, mixed(copy * 1000), copy), &it.record);
                std::iter::once(at(0)).chain(double.then(|| at(1)))
            })
            .collect();
        found.sort_by_key(|(key, _)| *key);
        if backward {
            found.reverse();
        }
        if let Some(cursor) = question.cursor {
            let parts: Vec<i128> = cursor.split(' ').map(|it| it.parse().unwrap()).collect();
            if asked >= service.cursors && !self.failed.swap(true, Ordering::Relaxed) {
                return Err(ask::store(ask::Refused("the cursor is too old".to_owned())));
            }
            let key = (parts[0] as i64, parts[1] as u64, parts[2] as u64);
            found.retain(|(it, _)| if backward { *it < key } else { *it > key });
        }
        let limit = question.limit.min(service.page);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| more)
            .map(|((bucket, mixed, copy), _)| format!("{bucket} {mixed} {copy}"));
        let text: usize = found.iter().map(|(_, record)| record.message.len()).sum();
        if text > service.answer {
            let purpose = "read lines".to_owned();
            return Err(ask::store(ask::AnswerTooLarge { purpose, limit: service.answer }));
        }
        let records = found.into_iter().map(|(_, record)| record.clone()).collect();
        Ok(Page { records, next })
    }
}

impl Search for Fake {
    fn events<'a>(
        &'a self,
        _wanted: Events<'a>,
        mut take: Take<'a>,
    ) -> BoxFuture<'a, Result<(), ReadError>> {
        let mut events = self.events.lock().unwrap().clone();
        async move {
            events.drain(..).any(&mut take);
            Ok(())
        }
        .boxed()
    }

    fn page<'a>(&'a self, question: &'a Question<'a>) -> BoxFuture<'a, Result<Page, ReadError>> {
        let page = self.some(question);
        async move { page }.boxed()
    }

    fn resolution(&self) -> Duration {
        Duration::from_nanos(self.service.resolution as u64)
    }

    fn conditions(&self) -> Conditions {
        self.service.conditions
    }

    fn poll(&self) -> Duration {
        Duration::from_millis(1)
    }
}

/// Waits as long as it takes for what comes late, and not at all for what does not.
fn patience(wait: Duration) -> Patience {
    Patience { following: wait, reading: wait, recent: Duration::from_secs(1 << 30) }
}

fn reader(fake: &Arc<Fake>, wait: Duration) -> RecordReader {
    let search: Arc<dyn Search> = Arc::<Fake>::clone(fake);
    RecordReader::with_patience(search, patience(wait))
}

const LONG: Duration = Duration::from_secs(600);

fn service() -> impl Strategy<Value = Service> {
    let can = (any::<bool>(), any::<bool>(), any::<bool>());
    let cursors = prop_oneof![Just(u64::MAX), 1..20_u64];
    (0..12_i64, 1..12_usize, any::<u64>(), any::<u8>(), can, cursors).prop_map(
        |(resolution, page, seed, doubles, (level, iostream, text), cursors)| Service {
            resolution,
            page,
            seed,
            doubles: doubles / 2,
            conditions: Conditions { level, iostream, text },
            cursors,
            answer: usize::MAX,
        },
    )
}

/// The same lines in a service and in an artifact store.
async fn both(writers: &[Vec<Spec>], service: &Service) -> (Arc<Fake>, Reader) {
    let (fake, store) = (Fake::new(service.clone()), testing::memory());
    for (number, specs) in writers.iter().enumerate() {
        let mut writer = testing::writer("run", &format!("step {number}"), 1);
        // Before its first line.
        writer.started = Nanos(time(0).0 - 1);
        fake.start(&writer);
        fake.put(&writer, specs, |_| Some(0));
        if number.is_multiple_of(2) {
            fake.end(&writer, specs.len() as u64, 0);
        }
        testing::put(&*store, &writer, specs, &Shape::finished()).await;
    }
    (fake, Reader::new(store, true))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_query_gives_what_a_plain_filter_gives(
        writers in proptest::collection::vec(model::specs(), 1..4),
        service in service(),
        queries in proptest::collection::vec(model::query(), 4),
    ) {
        block_on(async {
            let (fake, _) = both(&writers, &service).await;
            let reader = reader(&fake, Duration::ZERO);
            for query in &queries {
                let (seen, troubles) = model::ask(&reader, "run", query).await;
                assert_eq!(seen, model::model(&writers, query), "{query:?}");
                assert!(troubles.is_empty(), "{troubles:?}");
            }
        });
    }

    #[test]
    fn a_reading_is_that_of_the_artifact_store(
        writers in proptest::collection::vec(model::specs(), 1..4),
        service in service(),
        mut query in model::query(),
        context in (0..3_u32, 0..3_u32),
        reverse in any::<bool>(),
        tail in any::<bool>(),
    ) {
        block_on(async {
            let (fake, store) = both(&writers, &service).await;
            // With a limit, how much of what follows the last match is seen depends on the others.
            let alone = writers.len() == 1 || query.limit.is_none();
            query.filter.context = if alone { context } else { (0, 0) };
            let limit = match query.limit {
                None => Limit::All,
                Some(count) if tail => Limit::Tail(count),
                Some(count) => Limit::Head(count),
            };
            let query = SessionQuery { filter: query.filter, limit, reverse, ..SessionQuery::default() };
            let (said, _) = read(&reader(&fake, Duration::ZERO), query.clone()).await;
            let (expected, _) = read(&store, query).await;
            let differs = said.lines.iter().zip(&expected.lines).find(|(one, other)| one != other);
            assert_eq!((differs, said.lines.len()), (None, expected.lines.len()));
        });
    }

    #[test]
    fn following_misses_nothing_that_comes_late(
        specs in model::specs(),
        service in service(),
        late in proptest::collection::vec(0..12_u64, 60),
        mut query in model::query(),
        tail in proptest::option::of(0..5_u64),
    ) {
        block_on(async {
            query.filter = Filter { from_seq: 0, to_seq: None, ..query.filter };
            // Following does not know of a traceback that the last lines began with.
            query.filter.level = query.filter.level.filter(|_| tail.is_none());
            let fake = Fake::new(service.clone());
            let mut writer = testing::writer("run", "step", 1);
            writer.started = Nanos(time(0).0 - 1);
            fake.start(&writer);
            fake.put(&writer, &specs, |seq| Some(late[seq as usize]));
            let reader = reader(&fake, LONG);
            let streams = reader.streams("run", None, &[]).await.unwrap();
            fake.end(&writer, specs.len() as u64, 0);
            let follow = Follow { run: "run".to_owned(), ..Follow::default() };
            let wanted = Query { limit: None, direction: Direction::Forward, filter: query.filter.clone() };
            let wanted = model::model(&[specs], &wanted);
            let query = SessionQuery {
                filter: query.filter,
                limit: tail.map_or(Limit::All, Limit::Tail),
                follow: Some(follow),
                ..SessionQuery::default()
            };
            let mut said = Said::default();
            let outcome = Session::new(&reader, streams, query, &mut said).run().await.unwrap();
            let seen: Vec<u64> = said.lines.iter().map(|(_, seq, _, _)| *seq).collect();
            let wanted: Vec<u64> = wanted.into_iter().map(|(_, seq)| seq).collect();
            if tail.is_none() {
                assert_eq!(seen, wanted);
            } else {
                // Where the last lines began depends on what was there by then.
                assert!(wanted.ends_with(&seen), "{seen:?} of {wanted:?}");
            }
            assert_eq!(said.troubles, Vec::<String>::new());
            assert_eq!(outcome.streams[0].status, Status::Succeeded);
        });
    }
}

/// What came: stream, `seq`, matched, JSON.
#[derive(Default)]
struct Said {
    lines: Vec<(u32, u64, bool, String)>,
    troubles: Vec<String>,
}

impl Output for Said {
    fn streams(&mut self, _streams: &[Stream]) {}

    fn item(&mut self, item: &crate::read::pipeline::Item<'_>) -> std::ops::ControlFlow<()> {
        let line = item.line().unwrap();
        let json = String::from_utf8(item.page.json(line).to_vec()).unwrap();
        self.lines.push((line.stream, line.seq, item.matched, json));
        std::ops::ControlFlow::Continue(())
    }

    fn trouble(&mut self, trouble: &Trouble) {
        self.troubles.push(trouble.what.clone());
    }

    fn idle(&mut self) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
}

async fn read(reader: &dyn LogReader, query: SessionQuery) -> (Said, Outcome) {
    let streams = reader.streams("run", None, &[]).await.unwrap();
    let mut said = Said::default();
    let outcome = Session::new(reader, streams, query, &mut said).run().await.unwrap();
    (said, outcome)
}

fn numbered(count: u64) -> Vec<Spec> {
    (0..count).map(|n| Spec::text(&format!("line {n}"))).collect()
}

/// A stream of so many lines, some of which show late or (`None`) never.
fn stream_of(
    service: Service,
    count: u64,
    from: impl Fn(u64) -> Option<u64>,
) -> (Arc<Fake>, Writer) {
    let fake = Fake::new(service);
    let mut writer = testing::writer("run", "step", 1);
    writer.started = time(0);
    fake.start(&writer);
    fake.put(&writer, &numbered(count), from);
    (fake, writer)
}

/// `seq` as they come, and what is said to be missing.
async fn seqs(fake: &Arc<Fake>, wait: Duration, direction: Direction) -> (Vec<u64>, Vec<String>) {
    let query = Query { direction, ..Query::default() };
    let (mut seen, troubles) = model::ask(&reader(fake, wait), "run", &query).await;
    if direction == Direction::Backward {
        seen.reverse();
    }
    (seen.into_iter().map(|(_, seq)| seq).collect(), troubles)
}

const BOTH: [Direction; 2] = [Direction::Forward, Direction::Backward];

#[test]
fn what_is_missing_is_told_wherever_it_is() {
    block_on(async {
        let gone: HashSet<u64> = [0, 1, 5, 17, 18, 19].into();
        let left: Vec<u64> = (0..20).filter(|seq| !gone.contains(seq)).collect();
        for direction in BOTH {
            let (fake, writer) =
                stream_of(Service::default(), 20, |seq| (!gone.contains(&seq)).then_some(0));
            fake.end(&writer, 20, 0);
            let (seen, mut troubles) = seqs(&fake, Duration::ZERO, direction).await;
            assert_eq!(seen, left, "{direction:?}");
            troubles.sort();
            let expected =
                ["line 5 is missing", "lines 0 to 1 are missing", "lines 17 to 19 are missing"];
            assert_eq!(troubles, expected, "{direction:?}");
        }
    });
}

#[test]
fn what_the_service_refused_is_not_waited_for() {
    block_on(async {
        for direction in BOTH {
            let (fake, writer) =
                stream_of(Service::default(), 20, |seq| (seq != 5 && seq != 19).then_some(0));
            fake.end(&writer, 20, 2);
            let (seen, troubles) = seqs(&fake, LONG, direction).await;
            assert_eq!(seen.len(), 18);
            assert_eq!(troubles.len(), 3, "{troubles:?}");
            assert!(troubles[2].contains("had refused 2 of its lines"), "{troubles:?}");
        }
    });
}

#[test]
fn what_shows_late_is_waited_for() {
    block_on(async {
        for direction in BOTH {
            let late = |seq| Some(if matches!(seq, 0 | 5 | 6 | 19) { 9 } else { 0 });
            let (fake, writer) = stream_of(Service::default(), 20, late);
            fake.end(&writer, 20, 0);
            let (seen, troubles) = seqs(&fake, LONG, direction).await;
            assert_eq!((seen, troubles), ((0..20).collect(), vec![]), "{direction:?}");
        }
    });
}

#[test]
fn a_service_that_samples_is_not_waited_for_again_and_again() {
    block_on(async {
        let (fake, writer) = stream_of(Service::default(), 400, |seq| (seq % 3 != 1).then_some(0));
        fake.end(&writer, 400, 0);
        let begun = std::time::Instant::now();
        let (seen, troubles) = seqs(&fake, Duration::from_millis(200), Direction::Forward).await;
        assert_eq!(seen.len(), 267);
        assert_eq!(troubles.len(), 11);
        assert_eq!(troubles[10], "123 more lines are missing in 123 more places");
        // Twice the first wait, and what the rest costs by itself.
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    });
}

#[test]
fn how_streams_stand() {
    block_on(async {
        let (fake, writer) = stream_of(Service::default(), 20, |_| Some(0));
        let other = testing::writer("run", "other", 1);
        fake.start(&other);
        fake.start(&testing::writer("another run", "step", 1));
        let reader = reader(&fake, Duration::ZERO);
        let stand = async |except: &[WriterId]| {
            let streams = reader.streams("run", None, except).await.unwrap();
            let stand = |it: &Stream| (it.origin.step_id.clone(), it.status, it.lines);
            streams.iter().map(stand).collect::<Vec<_>>()
        };
        // The newest line is of the future, as seen from the machine that tests.
        let now = Nanos::now().0;
        let expected =
            if now > time(20).0 + 120_000_000_000 { Status::Unfinished } else { Status::Running };
        let mut all = stand(&[]).await;
        all.sort_by(|one, another| one.0.cmp(&another.0));
        assert_eq!(
            all,
            [
                ("other".to_owned(), Status::Running, Some(0)),
                ("step".to_owned(), expected, Some(20)),
            ]
        );
        fake.end(&writer, 20, 0);
        fake.end(&writer, 20, 0);
        assert_eq!(stand(&[other.id]).await, [("step".to_owned(), Status::Succeeded, Some(20))]);
        let runs = reader.runs(9).await.unwrap();
        assert_eq!(runs.len(), 2);
        assert!(runs[0].started >= runs[1].started);
        assert!(reader.streams("run", Some("none"), &[]).await.unwrap().is_empty());
    });
}

#[test]
fn conditions_are_left_to_the_service_unless_lines_around_are_wanted() {
    block_on(async {
        let can = Conditions { level: true, iostream: true, text: true };
        let service = Service { conditions: can, page: 5, ..Service::default() };
        let fake = Fake::new(service);
        let writer = testing::writer("run", "step", 1);
        fake.start(&writer);
        let mut specs = numbered(500);
        specs[250].level = Some(Level::Error);
        fake.put(&writer, &specs, |_| Some(0));
        fake.end(&writer, 500, 0);
        let reader = reader(&fake, Duration::ZERO);
        for (level, text, context, pages) in [
            // Twice for the newest ones, of which all are asked for.
            (Some(Level::Error), None, (0, 0), 3),
            (None, Some("line 250$"), (0, 0), 3),
            (Some(Level::Error), None, (1, 0), 100),
        ] {
            let before = fake.asked();
            let text = text.map(|text| Patterns::new([text], Syntax::default()).unwrap());
            let filter = Filter { level, text, context, ..Filter::default() };
            let (seen, _) = model::ask(&reader, "run", &Query { filter, ..Query::default() }).await;
            assert_eq!(seen.last().map(|(_, seq)| *seq), Some(250));
            let asked = fake.asked() - before;
            assert!(asked >= pages && asked <= pages + 1, "{asked}");
        }
    });
}

#[test]
fn the_last_lines_take_one_page() {
    block_on(async {
        let service = Service { page: 1000, ..Service::default() };
        let (fake, writer) = stream_of(service, 900, |_| Some(0));
        fake.end(&writer, 900, 0);
        let reader = reader(&fake, Duration::ZERO);
        let query = Query { direction: Direction::Backward, limit: Some(20), ..Query::default() };
        let (seen, troubles) = model::ask(&reader, "run", &query).await;
        let expected: Vec<_> = (880..900).rev().map(|seq| (0, seq)).collect();
        assert_eq!((seen, troubles), (expected, vec![]));
        assert_eq!(fake.asked(), 1);
    });
}

#[test]
fn too_many_lines_of_one_time_are_told() {
    block_on(async {
        let fake = Fake::new(Service { page: 100, ..Service::default() });
        let writer = testing::writer("run", "step", 1);
        fake.start(&writer);
        let text = "x".repeat(1 << 20);
        let spec = |_| Spec { time: Some(time(0)), ..Spec::text(&text) };
        let specs: Vec<Spec> = (0..80).map(spec).collect();
        // What would put the others into their order comes last, if ever.
        fake.put(&writer, &specs, |seq| (seq > 0).then_some(0));
        fake.end(&writer, 80, 0);
        let (seen, troubles) = seqs(&fake, Duration::ZERO, Direction::Forward).await;
        assert_eq!(seen, (1..80).collect::<Vec<_>>());
        assert_eq!(troubles[1], "line 0 is missing");
        assert!(troubles[0].starts_with("more than 64 MiB of lines"), "{troubles:?}");
    });
}

#[test]
fn following_ends_when_the_end_and_all_lines_are_there() {
    block_on(async {
        // The last lines show after the end does.
        let late = |seq| Some(if seq < 10 { 0 } else { 15 });
        let (fake, writer) = stream_of(Service::default(), 20, late);
        let reader = reader(&fake, LONG);
        let streams = reader.streams("run", None, &[]).await.unwrap();
        let mut lines = reader.open(&streams, Request { follow: true, ..Request::default() });
        let mut seen = Vec::new();
        loop {
            match lines.next().await.unwrap() {
                Event::Lines(slice) => seen.extend(slice.lines().iter().map(|line| line.seq)),
                Event::Idle if seen.len() == 10 && fake.asked() < 15 => fake.end(&writer, 20, 0),
                Event::Idle => {}
                Event::Ended(0, stream) => {
                    assert_eq!(stream.status, Status::Succeeded);
                    break;
                }
                event => panic!("{event:?}"),
            }
        }
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
    });
}

/// The last lines show while the tail is read, behind the place where it is by then.
#[test]
fn following_after_a_tail_misses_nothing_that_came_while_it_was_read() {
    block_on(async {
        for seed in 0..200_u64 {
            let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let fake = Fake::new(Service { page: 1, seed, cursors: 3, ..Service::default() });
            let mut writer = testing::writer("run", "step", 1);
            writer.started = Nanos(time(0).0 - 1);
            fake.start(&writer);
            let at = |seq| Some(Nanos(time(0).0 + i64::from(seq > 20)));
            let specs: Vec<_> =
                (0..24).map(|seq| Spec { time: at(seq), ..Spec::text("line") }).collect();
            fake.put(&writer, &specs, |seq| Some(if seq > 20 { 2 } else { 0 }));
            let reader = reader(&fake, LONG);
            let streams = reader.streams("run", None, &[]).await.unwrap();
            fake.end(&writer, 24, 0);
            let query = SessionQuery {
                limit: Limit::Tail(2),
                follow: Some(Follow { run: "run".to_owned(), ..Follow::default() }),
                ..SessionQuery::default()
            };
            let mut said = Said::default();
            Session::new(&reader, streams, query, &mut said).run().await.unwrap();
            let seen: Vec<u64> = said.lines.iter().map(|(_, seq, _, _)| *seq).collect();
            let first = seen[0];
            assert!(first <= 22 && seen.iter().copied().eq(first..24), "seed {seed}: {seen:?}");
        }
    });
}

#[test]
fn lines_that_make_answers_too_large_are_asked_for_one_by_one() {
    block_on(async {
        let service = Service { page: 5000, answer: 100, ..Service::default() };
        let fake = Fake::new(service);
        let writer = testing::writer("run", "step", 1);
        fake.start(&writer);
        let mut specs = numbered(300);
        for spec in &mut specs[200..220] {
            spec.text = "x".repeat(90);
        }
        fake.put(&writer, &specs, |_| Some(0));
        fake.end(&writer, 300, 0);
        for direction in BOTH {
            let (seen, troubles) = seqs(&fake, Duration::ZERO, direction).await;
            assert_eq!((seen, troubles), ((0..300).collect(), vec![]), "{direction:?}");
        }
        // One that is too large by itself is an error.
        let too_large = Spec { text: "y".repeat(101), time: Some(time(0)), ..Spec::text("") };
        let specs: Vec<Spec> = vec![too_large; 400];
        fake.put(&writer, &specs, |seq| (seq == 399).then_some(0));
        let reader = reader(&fake, Duration::ZERO);
        let streams = reader.streams("run", None, &[]).await.unwrap();
        let mut lines = reader.open(&streams, Request::default());
        let mut end = lines.next().await;
        while matches!(end, Ok(Event::Lines(_))) {
            end = lines.next().await;
        }
        assert!(matches!(end, Err(ReadError::Store(_))), "{end:?}");
    });
}
