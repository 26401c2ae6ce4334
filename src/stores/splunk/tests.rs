//! What is sent to the stand-in for Splunk comes back, whatever it is.

use serde_json::{Value, json};

use super::config::{Credentials, SearchConfig};
use super::fetch::Reader;
use super::*;
use crate::read::filter::Filter;
use crate::read::store::{Direction, ReadError};
use crate::record::{Level, Nanos, Record};
use crate::stores::DeliverError;
use crate::stores::artifact::testing::block_on;
use crate::stores::records::compress::Compression;
use crate::stores::records::fetch::events_of;
use crate::stores::records::http::{Connection, Hidden};
use crate::stores::records::testing::{
    check_newest_runs, deliver, every_kind, pages, plain, records, writer,
};
use crate::stores::stand_in::Program;

fn start() -> Program {
    Program::start("splunk", &[])
}

fn config(stand_in: &Program) -> Config {
    Config {
        endpoint: stand_in.url("/services/collector").parse().unwrap(),
        token: Hidden("hec-token".into()),
        index: Some("steps".into()),
        sourcetype: "steplog".into(),
        source: "steplog".into(),
        search: Some(SearchConfig {
            endpoint: stand_in.url("/services/search/v2/jobs/export").parse().unwrap(),
            credentials: Credentials::Token(Hidden("search-token".into())),
        }),
        connection: Connection::default(),
        batching: config::usual(),
    }
}

fn service(stand_in: &Program) -> Arc<dyn Service> {
    Splunk::open(config(stand_in)).unwrap()
}

fn reader(stand_in: &Program) -> Arc<Reader> {
    let config = config(stand_in);
    Reader::open(&config, config.search.as_ref().unwrap()).unwrap()
}

fn now() -> Nanos {
    Nanos(Nanos::now().0 - 10_000_000_000)
}

/// Each once, in this order.
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
    let run = r#"run "1" \ a:b (x) | delete NOT y=*"#;
    let writer = writer(run, "träin AND", now());
    let blocks = [every_kind(0, now())];
    assert_eq!(deliver(service(&stand_in), &writer, &blocks).unwrap(), [] as [Value; 0]);
    let mut expected = records(&blocks, &writer);
    block_on(async {
        for limit in [7, 1000] {
            let found = pages(&*reader, &writer, Filter::default(), Direction::Forward, limit);
            check_same(found.await, &expected);
        }
        for step in [None, Some("träin AND")] {
            let events = events_of(&*reader, run, step).await.unwrap();
            assert_eq!(events.len(), 2, "{events:?}");
            assert!(events.iter().all(|event| event.writer == writer));
        }
        assert!(events_of(&*reader, run, Some("TRÄIN and")).await.unwrap().is_empty());
        assert!(events_of(&*reader, &run.to_uppercase(), None).await.unwrap().is_empty());
        expected.reverse();
        let found = pages(&*reader, &writer, Filter::default(), Direction::Backward, 9).await;
        check_same(found, &expected);
    });
}

#[test]
fn an_event_has_what_is_constant_in_indexed_fields() {
    let stand_in = start();
    let writer = writer("run", "train", now());
    deliver(service(&stand_in), &writer, &[plain(0, 2, 3, Nanos(1_700_000_000_012_345_678), 1)])
        .unwrap();
    let event = &stand_in.records()[2];
    let fields = json!({
        "writer": writer.id, "pipeline_run_id": "run", "step_id": "train", "attempt": "2",
        "step_source": "hook:on_failure", "resource.host.name": "node-1",
        "resource.service.name": "training", "resource.team": "a \"b\"", "steplog_level": "DEBUG",
    });
    assert_eq!(event["fields"], fields);
    let raw = r#"{"timestamp":"2023-11-14T22:13:20.012345679Z","seq":1,"level":"DEBUG","iostream":"stdout","message":"1 xxx"}"#;
    assert_eq!(event["raw"], raw);
    assert_eq!(event["time"], 1_700_000_000.012);
    let named = ["host", "source", "sourcetype", "index"].map(|name| event[name].as_str().unwrap());
    assert_eq!(named, ["node-1", "steplog", "steplog", "steps"]);
}

#[test]
fn the_service_does_what_it_says_it_does() {
    let stand_in = start();
    let reader = reader(&stand_in);
    let start = now();
    let writer = writer("run", "train", start);
    // Many at once, and few over days.
    let blocks = [
        plain(0, 70, 10, start, 10_000),
        plain(70, 30, 10, Nanos(start.0 + 1_000_000_000), 300_000_000_000),
    ];
    deliver(service(&stand_in), &writer, &blocks).unwrap();
    let all = records(&blocks, &writer);
    let time = |seq: usize| Nanos::from_rfc3339(&all[seq].timestamp);
    let filters = [
        Filter { from_seq: 13, to_seq: Some(77), ..Filter::default() },
        Filter { since: time(71), until: time(73), ..Filter::default() },
        Filter { level: Some(Level::Error), until: time(80), ..Filter::default() },
    ];
    block_on(async {
        for filter in filters {
            let wanted = |record: &&Record| {
                let time = Nanos::from_rfc3339(&record.timestamp).unwrap();
                record.seq >= filter.from_seq
                    && filter.to_seq.is_none_or(|to| record.seq < to)
                    && filter.since.is_none_or(|since| time >= since)
                    && filter.until.is_none_or(|until| time < until)
                    && (filter.level.is_none() || record.level >= filter.level)
            };
            let mut expected: Vec<Record> = all.iter().filter(wanted).cloned().collect();
            assert!(!expected.is_empty());
            for direction in [Direction::Forward, Direction::Backward] {
                let found = pages(&*reader, &writer, filter.clone(), direction, 9).await;
                // One that is too late by less than a millisecond is allowed.
                assert!(found.len() <= expected.len() + 1, "{} {filter:?}", found.len());
                check_same(found.into_iter().filter(|it| wanted(&it)).collect(), &expected);
                expected.reverse();
            }
        }
    });
}

#[test]
fn a_long_quiet_stream_takes_few_searches() {
    let stand_in = start();
    let reader = reader(&stand_in);
    let start = Nanos(now().0 - 20 * 24 * 3600 * 1_000_000_000);
    let writer = writer("run", "train", start);
    let later = Nanos(start.0 + 19 * 24 * 3600 * 1_000_000_000);
    let blocks = [plain(0, 3, 10, start, 1_000_000), plain(3, 3, 10, later, 1_000_000)];
    deliver(service(&stand_in), &writer, &blocks).unwrap();
    let before = stand_in.requests().len();
    let found =
        async { pages(&*reader, &writer, Filter::default(), Direction::Forward, 100).await };
    check_same(block_on(found), &records(&blocks, &writer));
    let searches = stand_in.requests().len() - before;
    assert!(searches < 10, "{searches}");
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
    let wrong = Config { token: Hidden("wrong".into()), ..config(&stand_in) };
    let written = writer("run", "train", now());
    let error = deliver(Splunk::open(wrong).unwrap(), &written, &[]).unwrap_err();
    let DeliverError::Fatal { not_allowed: true, message, .. } = error else { panic!("{error:?}") };
    assert!(message.contains("Invalid token") && !message.contains("wrong"), "{message}");

    let wrong = Config { index: Some("secret".into()), ..config(&stand_in) };
    let error = deliver(Splunk::open(wrong).unwrap(), &written, &[]).unwrap_err();
    let DeliverError::Fatal { not_allowed: false, advice, .. } = error else { panic!("{error:?}") };
    assert!(advice.contains("index"), "{advice}");

    for (user, password, allowed) in [("ada", "pass word", true), ("ada", "other", false)] {
        let mut search = config(&stand_in).search.unwrap();
        search.credentials = Credentials::User(user.into(), Hidden(password.into()));
        let reader = Reader::open(&config(&stand_in), &search).unwrap();
        let asked = block_on(async { events_of(&*reader, "run", None).await });
        match asked {
            Ok(_) => assert!(allowed),
            Err(error) => assert!(!allowed && matches!(error, ReadError::Denied(_)), "{error:?}"),
        }
    }
}

#[test]
fn a_search_that_fails_while_it_answers_has_failed() {
    let stand_in = start();
    let reader = reader(&stand_in);
    let body = "{\"preview\":false,\"offset\":0,\"result\":{\"_raw\":\"{}\"}}\n\
                {\"messages\":[{\"type\":\"FATAL\",\"text\":\"Search not executed\"}]}\n";
    stand_in.faults(&json!([{ "status": 200, "body": body }]));
    let error = block_on(async { events_of(&*reader, "run", None).await.unwrap_err() });
    let ReadError::Store(cause) = &error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("Search not executed"), "{cause}");
}

#[test]
fn the_one_event_that_is_refused_is_the_dead_letter() {
    let stand_in = start();
    let reader = reader(&stand_in);
    let writer = writer("run", "train", now());
    let blocks = [plain(0, 10, 5, now(), 1_000_000)];
    stand_in.settings(&json!({ "refuse": "7 xxxxx" }));
    let letters = deliver(service(&stand_in), &writer, &blocks).unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["record"]["event"]["seq"], 7);
    assert!(letters[0]["reason"].as_str().unwrap().contains("Invalid data format"));
    let found =
        async { pages(&*reader, &writer, Filter::default(), Direction::Forward, 100).await };
    // Those before it were sent again, and Splunk has them twice.
    let mut found = block_on(found);
    assert!(found.len() > 9);
    found.dedup_by_key(|record| record.seq);
    let mut expected = records(&blocks, &writer);
    expected.remove(7);
    check_same(found, &expected);
}

#[test]
fn what_is_acknowledged_is_taken() {
    let stand_in = start();
    stand_in.settings(&json!({ "ack": true, "ack_polls": 3 }));
    let writer = writer("run", "train", now());
    let blocks = [plain(0, 10, 5, now(), 1_000_000)];
    deliver(service(&stand_in), &writer, &blocks).unwrap();
    let asked = stand_in.requests().iter().filter(|it| it.0 == "/services/collector/ack").count();
    assert_eq!((asked, stand_in.records().len()), (9, 12));
}

/// A try that ends before its acknowledgement comes is no reason to send again.
#[test]
fn what_was_sent_is_asked_for_by_the_next_try() {
    let stand_in = start();
    stand_in.settings(&json!({ "ack": true, "ack_polls": 0 }));
    let service = service(&stand_in);
    let body = b"{\"event\":\"x\",\"index\":\"main\"}";
    let mut packed = Vec::new();
    Compression::Gzip.compress(&[body], &mut packed).unwrap();
    let request = |id: &str| Request { body: packed.clone().into(), records: 1, id: id.to_owned() };
    let asks = || stand_in.requests().iter().filter(|it| it.0 == "/services/collector/ack").count();
    block_on(async {
        let given_up = service.send(request("a"));
        let asked_twice = async {
            while asks() < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let first = futures_util::future::select(given_up, Box::pin(asked_twice)).await;
        assert!(matches!(first, futures_util::future::Either::Right(_)));
        drop(first);
        assert_eq!(stand_in.records().len(), 1);
        stand_in.settings(&json!({ "ack_polls": 1 }));
        // Several that wait are told by one who asks.
        let (again, other) =
            futures_util::future::join(service.send(request("a")), service.send(request("b")))
                .await;
        assert_eq!((again.unwrap(), other.unwrap()), (Reply::Taken, Reply::Taken));
        assert_eq!(stand_in.records().len(), 2);
    });
}

/// It forgets its acknowledgements: what it had not told is sent again.
#[test]
fn what_was_not_acknowledged_when_splunk_started_anew_is_sent_again() {
    let stand_in = start();
    stand_in.settings(&json!({ "ack": true, "ack_polls": 0 }));
    let writer = writer("run", "train", now());
    std::thread::scope(|scope| {
        let delivered = scope.spawn(|| deliver(service(&stand_in), &writer, &[]));
        let asked = || stand_in.requests().iter().any(|it| it.0 == "/services/collector/ack");
        while !asked() {
            std::thread::yield_now();
        }
        stand_in.kill();
        // Away for longer than the pause between two questions: so one of them finds nobody.
        std::thread::sleep(5 * super::acks::PAUSE);
        stand_in.start_again();
        stand_in.settings(&json!({ "ack": true }));
        delivered.join().unwrap().unwrap();
    });
    assert_eq!(stand_in.records().len(), 3);
}

#[test]
fn a_line_that_splunk_has_cut_is_passed_over() {
    let stand_in = start();
    let reader = reader(&stand_in);
    let writer = writer("run", "train", now());
    stand_in.settings(&json!({ "truncate": 10_000 }));
    let mut blocks = [plain(0, 3, 5, now(), 1_000_000), plain(3, 1, 10_000, now(), 0)];
    blocks[1].lines[0].time = Nanos(now().0 + 1_000_000_000);
    deliver(service(&stand_in), &writer, &blocks).unwrap();
    let found = async { pages(&*reader, &writer, Filter::default(), Direction::Forward, 4).await };
    check_same(block_on(found), &records(&blocks[..1], &writer));
}
