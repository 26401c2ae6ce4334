//! What is sent to the stand-in for Loki comes back, whatever it is; and what is sent is what the public
//! definition of Loki's messages says.

use prost::Message;
use serde_json::{Value, json};

use super::config::Label;
use super::encode::{Encode, place};
use super::*;
use crate::line::{Block, Eol, Line};
use crate::read::filter::Filter;
use crate::read::store::{Direction, ReadError};
use crate::record::{IoStream, Level, Nanos, Record};
use crate::stores::artifact::testing::block_on;
use crate::stores::records::compress::Compression;
use crate::stores::records::event::StreamEvent;
use crate::stores::records::fetch::{events_of, newest_runs};
use crate::stores::records::http::Hidden;
use crate::stores::records::testing::{
    check_newest_runs, deliver, every_kind, pages, plain, records, writer,
};
use crate::stores::stand_in::Program;
use crate::stores::{Component, DeliverError, view};

const HOUR: i64 = 3600 * 1_000_000_000;
const DAY: i64 = 24 * HOUR;

fn start() -> Program {
    Program::start("loki", &[])
}

fn config(stand_in: &Program) -> Config {
    config::usual(stand_in.url("").parse().unwrap())
}

fn loki(stand_in: &Program) -> Arc<Loki> {
    Loki::open(config(stand_in)).unwrap()
}

fn now() -> Nanos {
    Nanos(Nanos::now().0 - 10_000_000_000)
}

fn in_order(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.seq);
    records
}

fn check_same(found: Vec<Record>, expected: &[Record]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// A block of these lines, all of one time.
fn at_once(first_seq: u64, time: Nanos, texts: &[&[u8]]) -> Block {
    let mut block = Block { first_seq, ..Block::default() };
    for text in texts {
        block.lines.push(Line {
            start: block.bytes.len() as u32,
            len: text.len() as u32,
            time,
            iostream: IoStream::Stdout,
            eol: Eol::Lf,
            level: None,
            group: None,
            headline: false,
            part: None,
            gap: None,
        });
        block.bytes.extend_from_slice(text);
        block.bytes.push(b'\n');
    }
    block.raw_bytes = block.bytes.len() as u64;
    block
}

#[test]
fn lines_of_every_kind_come_back_as_they_were() {
    let stand_in = start();
    let loki = loki(&stand_in);
    let run = r#"run "1" \ {a="b"} | or `x` =~ .*"#;
    let writer = writer(run, "träin\n\u{1}", now());
    let blocks = [every_kind(0, now())];
    assert_eq!(deliver(loki.clone(), &writer, &blocks).unwrap(), [] as [Value; 0]);
    let expected = records(&blocks, &writer);
    block_on(async {
        for categorize in [true, false] {
            stand_in.settings(&json!({ "categorize": categorize }));
            for (direction, limit) in [(Direction::Forward, 7), (Direction::Backward, 1000)] {
                let found = pages(&*loki, &writer, Filter::default(), direction, limit).await;
                check_same(in_order(found), &expected);
            }
            for step in [None, Some("träin\n\u{1}")] {
                let events = events_of(&*loki, run, step).await.unwrap();
                assert_eq!(events.len(), 2, "{events:?}");
                assert!(events.iter().all(|event| event.writer == writer));
                let end = events.iter().find_map(|event| event.end.as_ref()).unwrap();
                assert_eq!(end.lines, expected.len() as u64);
            }
        }
        assert!(events_of(&*loki, run, Some("tr")).await.unwrap().is_empty());
        assert!(events_of(&*loki, "run", None).await.unwrap().is_empty());
    });
}

/// As the public definition has them (`push.proto`), without what is of no use to a sender.
#[derive(Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    structured_metadata: Vec<LabelPair>,
}

#[derive(Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A request of these lines, or of the writer's start.
fn request(labels: &[Label], writer: &Writer, block: Option<&Block>) -> Stream {
    let mut format = Encode::new(writer, labels);
    let mut records = Vec::new();
    match block {
        Some(block) => drop(view::each(block, |view| format.record(view, &mut records))),
        None => StreamEvent::start(writer).show(|view| format.record(view, &mut records)),
    }
    let around = format.around(&records);
    assert!(around.tail.is_empty());
    let mut body = around.head;
    body.extend_from_slice(&records);
    let mut request = PushRequest::decode(body.as_slice()).unwrap();
    // Nothing in it that the definition does not know, and each field once.
    assert_eq!(request.encode_to_vec(), body);
    assert_eq!(request.streams.len(), 1);
    request.streams.remove(0)
}

fn time(entry: &Entry) -> i64 {
    let timestamp = entry.timestamp.as_ref().unwrap();
    timestamp.seconds * 1_000_000_000 + i64::from(timestamp.nanos)
}

fn pairs(entry: &Entry) -> Vec<String> {
    entry.structured_metadata.iter().map(|pair| format!("{}={}", pair.name, pair.value)).collect()
}

fn label(name: &str, value: &str) -> Label {
    Label::new(name, value).unwrap()
}

#[test]
fn a_request_is_a_stream_of_the_writers() {
    let writer = writer("run 1", "train", Nanos(1_700_000_000_000_000_000));
    let block = plain(7, 3, 3, Nanos(1_700_000_000_012_345_678), 1);
    let labels = [label("service_name", "steplog"), label("empty", "{no.such.attribute}")];
    let stream = request(&labels, &writer, Some(&block));
    let labelled = format!(
        r#"{{service_name="steplog", steplog_half_hour="2023-11-14T22:00Z", writer="{}"}}"#,
        writer.id
    );
    assert_eq!(stream.labels, labelled);
    assert_eq!(time(&stream.entries[0]), 1_700_000_000_012_000_007);
    assert_eq!(stream.entries[0].line, "7 xxx");
    let expected = [
        "attempt=2",
        "iostream=stdout",
        "level=TRACE",
        "pipeline_run_id=run 1",
        "seq=7",
        "source=hook:on_failure",
        "step_id=train",
        "time_unix_nano=1700000000012345678",
    ];
    assert_eq!(pairs(&stream.entries[0]), expected);

    let start = request(&labels, &writer, None);
    assert_eq!(start.labels, r#"{service_name="steplog", steplog_event="start"}"#);
    // When it is sent, since starts and ends of all writers are one stream.
    assert!(time(&start.entries[0]) > Nanos::now().0 - HOUR);
    assert!(pairs(&start.entries[0]).contains(&"time_unix_nano=1700000000000000000".to_owned()));
}

#[test]
fn what_is_a_label_is_not_attached_again() {
    let writer = writer("run 1", "train", Nanos(1_700_000_000_000_000_000));
    let block = at_once(7, writer.started, &[b"plain", b"{\"msg\": \"rare\"}"]);
    let labels = [
        label("service_name", "{service.name}"),
        label("pipeline_run_id", "{pipeline_run_id}"),
        label("step", "{step_id}/{attempt}: {source}"),
        label("source", "pipelines"),
        label("attempt", "{attempt}"),
    ];
    let stream = request(&labels, &writer, Some(&block));
    let expected = format!(
        r#"{{attempt="2", pipeline_run_id="run 1", service_name="training", source="pipelines", step="train/2: hook:on_failure", steplog_half_hour="2023-11-14T22:00Z", writer="{}"}}"#,
        writer.id
    );
    assert_eq!(stream.labels, expected);
    let fields =
        ["iostream=stdout", "seq=7", "step_id=train", "time_unix_nano=1700000000000000000"];
    assert_eq!(pairs(&stream.entries[0]), fields);
    assert_eq!(pairs(&stream.entries[1])[..2], ["iostream=stdout", "lifted=true"]);
    let start = request(&labels, &writer, None);
    assert_eq!(start.labels, r#"{source="pipelines", steplog_event="start"}"#);
    let origin = ["attempt=2", "pipeline_run_id=run 1", "source=hook:on_failure", "step_id=train"];
    let attached = pairs(&start.entries[0]);
    assert!(origin.iter().all(|it| attached.contains(&(*it).to_owned())), "{attached:?}");

    let stand_in = start_with(&writer, &labels, std::slice::from_ref(&block));
    let found = async {
        let config = Config { labels: labels.to_vec(), ..config(&stand_in) };
        let loki = Loki::open(config).unwrap();
        assert_eq!(events_of(&*loki, "run 1", Some("train")).await.unwrap().len(), 2);
        assert_eq!(newest_runs(&*loki, 9).await.unwrap().len(), 1);
        pages(&*loki, &writer, Filter::default(), Direction::Forward, 9).await
    };
    check_same(block_on(found), &records(&[block], &writer));
}

fn start_with(writer: &Writer, labels: &[Label], blocks: &[Block]) -> Program {
    let stand_in = start();
    // Older than Loki takes otherwise.
    stand_in.settings(&json!({ "reject_old_samples_max_age": 100_000 * HOUR }));
    let config = Config { labels: labels.to_vec(), ..config(&stand_in) };
    assert_eq!(deliver(Loki::open(config).unwrap(), writer, blocks).unwrap(), [] as [Value; 0]);
    stand_in
}

#[test]
fn lines_that_are_the_same_at_the_same_time_are_all_there() {
    let stand_in = start();
    let loki = loki(&stand_in);
    // Around where numbers begin anew, too.
    let first = 999_000;
    let block = at_once(first, now(), &vec![&b"."[..]; 2000]);
    let (one, other) = (writer("run", "one", now()), writer("run", "other", now()));
    for writer in [&one, &other] {
        deliver(loki.clone(), writer, std::slice::from_ref(&block)).unwrap();
        // As after a crash: nothing is there twice.
        deliver(loki.clone(), writer, std::slice::from_ref(&block)).unwrap();
    }
    let lines = stand_in.records().iter().filter(|it| it["line"] == ".").count();
    assert_eq!(lines, 4000);
    block_on(async {
        for writer in [&one, &other] {
            let found = pages(&*loki, writer, Filter::default(), Direction::Forward, 300).await;
            check_same(in_order(found), &records(std::slice::from_ref(&block), writer));
        }
    });
}

#[test]
fn a_time_is_less_than_a_millisecond_from_the_true_one() {
    for time in [0, 1, 999_999, 1_000_000, 1_700_000_000_123_999_999, -1, -1_000_001] {
        let mut seen = std::collections::HashSet::new();
        for seq in [0, 1, 999_998, 999_999] {
            let place = place(Nanos(time), seq);
            assert!((place - time).abs() < 1_000_000, "{time} {seq}");
            assert_eq!(place.div_euclid(1_000_000), time.div_euclid(1_000_000));
            assert!(seen.insert(place));
        }
    }
}

/// Spools may be delivered in any order and hours late, and parts of them again.
#[test]
fn what_comes_late_is_taken() {
    let stand_in = start();
    let loki = loki(&stand_in);
    for (step, age) in [("new", 6 * HOUR), ("old", 6 * DAY), ("older", 6 * DAY + 20 * HOUR)] {
        let from = Nanos(now().0 - age);
        let writer = writer("run", step, from);
        let later = Nanos(from.0 + 2 * HOUR);
        let mut blocks = [plain(40, 40, 5, later, HOUR / 13), plain(0, 40, 5, from, HOUR / 20)];
        assert_eq!(deliver(loki.clone(), &writer, &blocks).unwrap(), [] as [Value; 0]);
        assert_eq!(deliver(loki.clone(), &writer, &blocks[..1]).unwrap(), [] as [Value; 0]);
        blocks.reverse();
        let found = pages(&*loki, &writer, Filter::default(), Direction::Forward, 20);
        check_same(block_on(found), &records(&blocks, &writer));
    }
    assert_eq!(block_on(async { events_of(&*loki, "run", None).await.unwrap() }).len(), 12);
}

#[test]
fn what_is_too_old_are_dead_letters_and_the_rest_is_there() {
    let stand_in = start();
    let from = Nanos(now().0 - 8 * DAY);
    let writer = writer("run", "train", from);
    // Two days of lines, of which the first one is too old; then one whose lines all are.
    let blocks = [plain(0, 480, 5, from, HOUR / 10), plain(480, 300, 5, from, 1)];
    let letters = deliver(loki(&stand_in), &writer, &blocks).unwrap();
    assert!((539..=541).contains(&letters.len()), "{}", letters.len());
    assert!(letters[0]["reason"].as_str().unwrap().contains("timestamp too old"), "{}", letters[0]);
    assert_eq!(letters[0]["record"]["line"], "0 xxxxx");
    assert_eq!(letters[0]["record"]["seq"], "0");
    assert_eq!(stand_in.records().len(), 782 - letters.len());
    // Start, one a half-hour, the rest of one or two of them, one, end: not one by one.
    let requests = stand_in.requests().len();
    assert!(requests <= 1 + 97 + 2 + 1 + 1, "{requests}");
}

#[test]
fn one_line_that_is_refused_is_found() {
    let stand_in = start();
    stand_in.settings(&json!({ "max_line_size": 100 }));
    let writer = writer("run", "train", now());
    let mut texts = vec![&b"short"[..]; 300];
    let long = [b'x'; 101];
    texts[123] = &long;
    let letters = deliver(loki(&stand_in), &writer, &[at_once(0, now(), &texts)]).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["record"]["seq"], "123");
    assert!(letters[0]["reason"].as_str().unwrap().contains("Max entry size"), "{}", letters[0]);
    assert_eq!(stand_in.records().len(), 301);
}

#[test]
fn long_lines_that_are_not_text_come_back() {
    let stand_in = start();
    let loki = loki(&stand_in);
    let writer = writer("run", "train", now());
    // The first fits what may be attached, the second only the line, the third neither.
    let noise =
        |count: usize| (0..count).map(|n| (n * 7 + n / 256) as u8 | 0x80).collect::<Vec<u8>>();
    let (short, long, too_long) = (noise(30_000), noise(190_000), noise(200_000));
    let block = at_once(0, now(), &[&short, &long, &too_long]);
    let letters = deliver(loki.clone(), &writer, std::slice::from_ref(&block)).unwrap();
    assert_eq!(letters.len(), 1);
    let found = block_on(pages(&*loki, &writer, Filter::default(), Direction::Forward, 9));
    check_same(found, &records(&[block], &writer)[..2]);
}

#[test]
fn the_service_does_what_it_says_it_does() {
    let stand_in = start();
    let loki = loki(&stand_in);
    let from = now();
    let writer = writer("run", "train", from);
    let mut blocks =
        [plain(0, 50, 10, from, 100_000), plain(50, 50, 10, Nanos(from.0 + HOUR / 3600), 100_000)];
    // As serious as the first line of its group.
    blocks[0].lines[20].group = Some(19);
    blocks[0].lines[20].level = None;
    deliver(loki.clone(), &writer, &blocks).unwrap();
    let all = records(&blocks, &writer);
    let time_of = |record: &Record| Nanos::from_rfc3339(&record.timestamp).unwrap();
    let time = |seq: usize| Some(time_of(&all[seq]));
    let filters = [
        Filter { since: time(33), until: time(66), ..Filter::default() },
        Filter { level: Some(Level::Error), ..Filter::default() },
        Filter { iostream: Some(IoStream::Stderr), until: time(40), ..Filter::default() },
        Filter { from_seq: 17, to_seq: Some(71), ..Filter::default() },
    ];
    block_on(async {
        for filter in filters {
            let wanted = |record: &Record| {
                filter.since.is_none_or(|since| time_of(record) >= since)
                    && filter.until.is_none_or(|until| time_of(record) < until)
                    && filter.iostream.is_none_or(|it| record.iostream == it)
                    && (filter.level.is_none()
                        || record.level >= filter.level
                        || record.group.is_some())
                    && record.seq >= filter.from_seq
                    && filter.to_seq.is_none_or(|to| record.seq < to)
            };
            let expected: Vec<Record> = all.iter().filter(|it| wanted(it)).cloned().collect();
            assert!(!expected.is_empty());
            for direction in [Direction::Forward, Direction::Backward] {
                let found = pages(&*loki, &writer, filter.clone(), direction, 9).await;
                // Up to a millisecond too many at the borders of time: ten lines each.
                assert!(found.len() <= expected.len() + 20, "{} {filter:?}", found.len());
                let found = found.into_iter().filter(wanted).collect();
                check_same(in_order(found), &expected);
            }
        }
    });
}

/// Longer than a query may span, and less at a time than is usual.
#[test]
fn a_step_of_months_is_read_in_pieces() {
    let stand_in = start();
    let from = Nanos(now().0 - 100 * DAY);
    stand_in.settings(&json!({
        "reject_old_samples_max_age": 1000 * DAY, "max_entries_limit_per_query": 30
    }));
    let loki = loki(&stand_in);
    let writer = writer("run", "train", from);
    let blocks = [plain(0, 100, 5, from, HOUR), plain(100, 100, 5, Nanos(from.0 + 90 * DAY), HOUR)];
    deliver(loki.clone(), &writer, &blocks).unwrap();
    let mut expected = records(&blocks, &writer);
    block_on(async {
        for direction in [Direction::Forward, Direction::Backward] {
            let found = pages(&*loki, &writer, Filter::default(), direction, 1000).await;
            check_same(found, &expected);
            expected.reverse();
        }
    });
}

#[test]
fn the_newest_runs_are_found_once_each_however_far_back_they_are_looked_for() {
    let stand_in = start();
    let loki = Loki::open(Config {
        lookback: std::time::Duration::from_secs(100 * 24 * 3600),
        ..config(&stand_in)
    });
    let loki = loki.unwrap();
    let service: Arc<dyn Service> = Arc::<Loki>::clone(&loki);
    check_newest_runs(&service, &*loki, now());
    // More than one answer holds.
    stand_in.settings(&json!({ "max_entries_limit_per_query": 2 }));
    assert_eq!(block_on(async { newest_runs(&*loki, 9).await.unwrap() }).len(), 3);
    let events = block_on(async { events_of(&*loki, "b", None).await.unwrap() });
    let distinct: std::collections::HashSet<_> =
        events.iter().map(|event| (event.writer.id, event.end.is_some())).collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn tenants_and_credentials() {
    let stand_in = Program::start("loki", &["--tenant=team-a", "--token=secret"]);
    let writer = writer("run", "train", now());
    let open = |tenant: Option<&str>, credentials| {
        let tenant = tenant.map(str::to_owned);
        Loki::open(Config { tenant, credentials, ..config(&stand_in) }).unwrap()
    };
    let token = |token: &str| Some(Credentials::Token(Hidden(token.to_owned())));
    let user = Credentials::User("user".to_owned(), Hidden("secret".to_owned()));
    for credentials in [token("secret"), Some(user)] {
        let loki = open(Some("team-a"), credentials);
        deliver(loki.clone(), &writer, &[]).unwrap();
        assert_eq!(block_on(async { events_of(&*loki, "run", None).await.unwrap() }).len() % 2, 0);
    }
    for (tenant, credentials) in [
        (Some("team-a"), token("wrong")),
        (Some("team-b"), token("secret")),
        (None, token("secret")),
        (Some("team-a"), None),
    ] {
        let loki = open(tenant, credentials);
        let error = deliver(loki.clone(), &writer, &[]).unwrap_err();
        let DeliverError::Fatal { not_allowed: true, message, .. } = error else {
            panic!("{error:?}")
        };
        assert!(!message.contains("wrong"), "{message}");
        let error = block_on(async { events_of(&*loki, "run", None).await.unwrap_err() });
        assert!(matches!(&error, ReadError::Denied(_)), "{error:?}");
    }
}

/// One try at a request that Loki answers so.
fn answered(status: u16, body: &str) -> Result<Reply, SendError> {
    let stand_in = start();
    let fault = json!({ "path": "/loki/api/v1/push", "status": status, "body": body });
    stand_in.faults(&json!([fault]));
    let mut body = Vec::new();
    Compression::Snappy.compress(&[b""], &mut body).unwrap();
    let request = Request { body: body.into(), records: 1, id: "request".to_owned() };
    block_on(loki(&stand_in).try_once(request))
}

#[test]
fn what_answers_mean() {
    assert_eq!(answered(204, ""), Ok(Reply::Taken));
    let retry = |status, body: &str| matches!(answered(status, body), Err(SendError::Retry { .. }));
    assert!(retry(429, "Ingestion rate limit exceeded for user fake"));
    assert!(retry(429, "Maximum active stream limit exceeded"));
    assert!(retry(500, "context deadline exceeded"));
    assert!(retry(260, "ingestion blocked for user fake until '2026-11-23T06:44:00Z'"));
    assert!(retry(400, "entry for stream '{}' has timestamp too new: 2036-11-23T06:44:00Z"));
    let too_large = "rpc error: code = ResourceExhausted desc = trying to send message larger than \
                     max (5000000 vs. 4194304)";
    assert!(matches!(answered(500, too_large), Err(SendError::TooLarge { .. })));
    assert!(matches!(answered(413, ""), Err(SendError::TooLarge { .. })));
    assert!(matches!(answered(400, "Error parsing labels"), Err(SendError::Invalid { .. })));
    assert!(matches!(answered(404, ""), Err(SendError::Fatal { not_allowed: false, .. })));
}

#[test]
fn what_can_be_a_label() {
    for name in ["", "1st", "a-b", "__name__", "writer", "seq", "steplog_event", "level"] {
        assert!(Label::new(name, "x").is_err(), "{name}");
    }
    for value in ["", "{", "}", "{}", "a{b", "a}b", "{a{b}}"] {
        assert!(Label::new("name", value).is_err(), "{value}");
    }
    let writer = writer("run", "train", now());
    for (value, expected) in [
        ("x", Some("x")),
        ("{host.name}", Some("node-1")),
        ("{no}", None),
        ("<{no}>", Some("<>")),
        ("{pipeline_run_id}{step_id}", Some("runtrain")),
    ] {
        assert_eq!(Label::new("name", value).unwrap().of(&writer).as_deref(), expected, "{value}");
    }
}

#[test]
fn the_flavor_is_one_of_log_stores() {
    let names: Vec<_> = crate::stores::Flavor::of(Component::LogStore).map(|it| it.name).collect();
    assert!(names.contains(&"loki"), "{names:?}");
}
