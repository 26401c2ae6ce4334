//! What is sent to the stand-in for Datadog comes back, whatever it is.

use std::sync::Arc;

use serde_json::json;

use super::fetch::Reader;
use super::*;
use crate::read::filter::Filter;
use crate::read::store::{Direction, ReadError};
use crate::record::{IoStream, Level, Nanos, Record};
use crate::stores::artifact::testing::block_on;
use crate::stores::records::compress::Compression;
use crate::stores::records::fetch::events_of;
use crate::stores::records::http::{Connection, Hidden};
use crate::stores::records::testing::{
    check_newest_runs, deliver, every_kind, pages, plain, records, writer,
};
use crate::stores::stand_in::Program;
use crate::stores::{Component, DeliverError};

const HOUR: i64 = 3600 * 1_000_000_000;

fn start() -> Program {
    Program::start("datadog", &[])
}

fn config(stand_in: &Program) -> Config {
    Config {
        api_key: Hidden("api-key".into()),
        application_key: Some(Hidden("application-key".into())),
        site: "datadoghq.com".into(),
        endpoint: stand_in.url("/api/v2/logs").parse().unwrap(),
        api_endpoint: stand_in.url("/api/v2/logs/events/search").parse().unwrap(),
        service_name: None,
        service_version: Some("1.2".into()),
        tags: vec!["Env:Prod".into(), "team:a b".into()],
        connection: Connection::default(),
        batching: config::usual(),
    }
}

fn service(stand_in: &Program) -> Arc<dyn Service> {
    Datadog::open(config(stand_in)).unwrap()
}

fn reader(stand_in: &Program) -> Arc<Reader> {
    let config = config(stand_in);
    Reader::open(&config, config.application_key.as_ref().unwrap()).unwrap()
}

fn now() -> Nanos {
    Nanos(Nanos::now().0 - 10_000_000_000)
}

/// In order of `seq`, without doubles.
fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.seq);
    records.dedup_by_key(|record| record.seq);
    records
}

fn check_same(found: Vec<Record>, expected: &[Record]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn lines_of_every_kind_come_back_as_they_were() {
    let stand_in = start();
    let reader = reader(&stand_in);
    let run = r#"run "1" \ a:b (x) -@y:* OR"#;
    let writer = writer(run, "träin AND", now());
    let blocks = [every_kind(0, now())];
    assert_eq!(
        deliver(service(&stand_in), &writer, &blocks).unwrap(),
        [] as [serde_json::Value; 0]
    );
    let expected = records(&blocks, &writer);
    block_on(async {
        for (direction, limit) in [(Direction::Forward, 7), (Direction::Backward, 1000)] {
            let found = pages(&*reader, &writer, Filter::default(), direction, limit);
            check_same(sorted(found.await), &expected);
        }
        for step in [None, Some("träin AND")] {
            let events = events_of(&*reader, run, step).await.unwrap();
            assert_eq!(events.len(), 2, "{events:?}");
            assert!(events.iter().all(|event| event.writer == writer));
            let end = events.iter().find_map(|event| event.end.as_ref()).unwrap();
            assert_eq!(end.lines, expected.len() as u64);
        }
        assert!(events_of(&*reader, run, Some("tr")).await.unwrap().is_empty());
        assert!(events_of(&*reader, "run", None).await.unwrap().is_empty());
    });
}

#[test]
fn an_entry_says_in_datadogs_words_what_it_is() {
    let stand_in = start();
    let writer = writer("Run 1", "train", now());
    deliver(service(&stand_in), &writer, &[plain(0, 7, 3, now(), 1)]).unwrap();
    let sent = stand_in.records();
    let statuses: Vec<_> = sent.iter().map(|entry| entry["status"].as_str().unwrap()).collect();
    let levels = ["debug", "debug", "info", "warn", "error", "critical", "info"];
    assert_eq!(statuses, [&["info"], &levels[..], &["info"]].concat());
    let entry = &sent[1];
    assert_eq!(entry["timestamp"], now_millis(entry));
    assert_eq!(
        entry["ddtags"],
        "env:prod,team:a_b,pipeline_run_id:run_1,step_id:train,version:1.2"
    );
    let named = ["ddsource", "service", "hostname", "message", "source", "iostream", "writer"];
    let named = named.map(|name| entry[name].as_str().unwrap().to_owned());
    let expected = [
        "steplog",
        "training",
        "node-1",
        "0 xxx",
        "hook:on_failure",
        "stderr",
        &writer.id.to_string(),
    ];
    assert_eq!(named, expected);
    assert_eq!((&entry["seq"], &entry["attempt"]), (&json!(0), &json!(2)));
    assert_eq!(entry["resource"], json!(writer.attributes));
}

fn now_millis(entry: &serde_json::Value) -> i64 {
    entry["time_unix_nano"].as_str().unwrap().parse::<i64>().unwrap() / 1_000_000
}

#[test]
fn the_service_does_what_it_says_it_does() {
    let stand_in = start();
    let reader = reader(&stand_in);
    let start = now();
    let writer = writer("run", "train", start);
    let blocks = [
        plain(0, 50, 10, start, 100_000),
        plain(50, 50, 10, Nanos(start.0 + HOUR / 3600), 100_000),
    ];
    deliver(service(&stand_in), &writer, &blocks).unwrap();
    let expected = records(&blocks, &writer);
    let times: Vec<_> =
        expected.iter().map(|it| Nanos::from_rfc3339(&it.timestamp).unwrap()).collect();
    let filters = [
        Filter { since: Some(times[33]), until: Some(times[66]), ..Filter::default() },
        Filter { level: Some(Level::Error), ..Filter::default() },
        Filter { iostream: Some(IoStream::Stderr), until: Some(times[40]), ..Filter::default() },
    ];
    block_on(async {
        for filter in filters {
            let wanted = |record: &Record| {
                let time = Nanos::from_rfc3339(&record.timestamp).unwrap();
                filter.since.is_none_or(|since| time >= since)
                    && filter.until.is_none_or(|until| time < until)
                    && filter.iostream.is_none_or(|it| record.iostream == it)
                    && (filter.level.is_none() || record.level >= filter.level)
            };
            let expected: Vec<Record> = expected.iter().filter(|it| wanted(it)).cloned().collect();
            assert!(!expected.is_empty());
            for direction in [Direction::Forward, Direction::Backward] {
                let found = pages(&*reader, &writer, filter.clone(), direction, 9).await;
                // A millisecond or two too many at the borders of time are allowed: ten lines each.
                assert!(found.len() <= expected.len() + 30, "{} {filter:?}", found.len());
                let found = found.into_iter().filter(wanted).collect();
                check_same(sorted(found), &expected);
            }
        }
    });
}

/// Datadog throws away what is more than 18 hours old, and has what came late in any order.
#[test]
fn lines_that_come_a_day_late_are_there_in_order() {
    let stand_in = start();
    let reader = reader(&stand_in);
    let start = Nanos(now().0 - 40 * HOUR);
    let writer = writer("run", "train", start);
    // The last of them are in time.
    let blocks = [
        plain(0, 400, 10, start, HOUR / 100),
        plain(400, 1900, 10, Nanos(start.0 + 4 * HOUR), 1_000_000),
        plain(2300, 400, 10, Nanos(start.0 + 30 * HOUR), HOUR / 100),
    ];
    deliver(service(&stand_in), &writer, &blocks).unwrap();
    assert_eq!(stand_in.records().len(), 2702);
    let mut expected = records(&blocks, &writer);
    block_on(async {
        for direction in [Direction::Forward, Direction::Backward] {
            let found = pages(&*reader, &writer, Filter::default(), direction, 1000).await;
            check_same(found, &expected);
            // What is asked for, and the rest of its thousand.
            let some = Filter { from_seq: 1500, to_seq: Some(1700), ..Filter::default() };
            let mut found = pages(&*reader, &writer, some, direction, 1000).await;
            found.sort_by_key(|record| record.seq);
            assert!(found.iter().map(|record| record.seq).eq(1000..2000));
            expected.reverse();
        }
        assert_eq!(events_of(&*reader, "run", None).await.unwrap().len(), 2);
    });
}

#[test]
fn the_newest_runs_are_found_once_each() {
    let stand_in = start();
    let reader = reader(&stand_in);
    check_newest_runs(&service(&stand_in), &*reader, now());
}

#[test]
fn no_is_no() {
    let stand_in = start();
    let wrong = Config { api_key: Hidden("wrong".into()), ..config(&stand_in) };
    let writer = writer("run", "train", now());
    let error = deliver(Datadog::open(wrong).unwrap(), &writer, &[]).unwrap_err();
    let DeliverError::Fatal { not_allowed: true, message, .. } = error else { panic!("{error:?}") };
    assert!(message.contains("403 Forbidden") && !message.contains("wrong"), "{message}");
    let reader = Reader::open(&config(&stand_in), &Hidden("wrong".into())).unwrap();
    let question = async { events_of(&*reader, "run", None).await.unwrap_err() };
    let error = block_on(question);
    assert!(matches!(&error, ReadError::Denied(_)), "{error:?}");
}

#[test]
fn a_rate_limit_is_waited_for() {
    let stand_in = start();
    let reader = reader(&stand_in);
    stand_in.settings(&json!({ "remaining": 0, "reset": 2 }));
    let begun = std::time::Instant::now();
    block_on(async { events_of(&*reader, "run", None).await.unwrap() });
    assert!(begun.elapsed() >= std::time::Duration::from_secs(2));
    let statuses: Vec<_> = stand_in.requests().into_iter().map(|it| it.1).collect();
    assert_eq!(statuses, [429, 200]);
}

#[test]
fn a_line_that_datadog_would_cut_is_a_dead_letter() {
    let stand_in = start();
    let writer = writer("run", "train", now());
    let mut block = plain(0, 3, 10, now(), 1);
    // Six bytes of JSON for each.
    let large = vec![1; 200_000];
    block.lines[1].start = block.bytes.len() as u32;
    block.lines[1].len = large.len() as u32;
    block.bytes.extend(large);
    let letters = deliver(service(&stand_in), &writer, &[block]).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["record"]["seq"], 1);
    assert_eq!(stand_in.records().len(), 4);
}

#[test]
fn bodies_are_compressed_as_the_stack_file_says() {
    let stand_in = start();
    for compression in [Compression::None, Compression::Gzip, Compression::Deflate] {
        let mut config = config(&stand_in);
        config.batching.compression = compression;
        deliver(Datadog::open(config).unwrap(), &writer("run", "s", now()), &[]).unwrap();
    }
    assert_eq!(stand_in.records().len(), 6);
}

#[test]
fn the_flavor_is_one_of_log_stores() {
    let names: Vec<_> = crate::stores::Flavor::of(Component::LogStore).map(|it| it.name).collect();
    assert!(names.contains(&"datadog"), "{names:?}");
}
