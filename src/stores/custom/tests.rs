//! Programs that behave, and programs that do not. Each is a few words of shell.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, json};

use super::config::{BOUNDS, Config, Registered, Values};
use super::*;
use crate::read::store::{Direction, Stream};
use crate::record::{Nanos, Origin, WriterId};
use crate::stores::records::config::Batching;
use crate::stores::records::event::StreamEvent;
use crate::stores::records::fetch::{Question, Search, events_of, newest_runs};
use crate::stores::view::View;

const POLITE: &str = r#"
while read -r line; do
    id=$(printf %s "$line" | sed 's/.*"id":"\([0-9]*\)".*/\1/')
    case $line in
    *describe*) echo "{\"type\":\"description\",\"id\":\"$id\",\"protocol\":1,\"name\":\"x\"}" ;;
    *'"write"'*) WRITE ;;
    *) echo "{\"type\":\"ack\",\"id\":\"$id\"}" ;;
    esac
done
"#;

fn config(command: &[&str]) -> Config {
    let flavor = Registered {
        name: "mine".into(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        can_fetch: true,
        keys: None,
    };
    let timeout = Some(Duration::from_secs(5));
    let batching = Batching { timeout, ..Batching::usual(BOUNDS) };
    Config { log_store: "store".into(), flavor, values: Values::default(), batching }
}

/// A program that does this to a `write` of one record.
fn writes(what: &str) -> Config {
    config(&["sh", "-c", &POLITE.replace("WRITE", what)])
}

fn request() -> Request {
    Request { body: "{}\n".into(), records: 1, id: "b".into() }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[track_caller]
fn check(config: Config, expected: &str) {
    let said = block_on(async {
        let custom = Custom::open(config);
        let said = match custom.send(request()).await {
            Ok(reply) => format!("{reply:?}"),
            Err(error) => format!("{error:?}"),
        };
        custom.close().await;
        said
    });
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_program_takes_records_or_says_why_not() {
    let ack =
        |more: &str| format!(r#"read -r record; echo "{{\"type\":\"ack\",\"id\":\"$id\"{more}}}""#);
    check(writes(&ack("")), "Taken");
    check(
        writes(&ack(r#",\"rejected\":[{\"position\":0,\"reason\":\"no\"}]"#)),
        r#"rejected: [Rejected { position: 0, reason: "no" }]"#,
    );
    check(writes(&ack(r#",\"again\":[0],\"retry_after_ms\":70"#)), "after: Some(70ms)");
    check(writes(&ack(r#",\"again\":[1]"#)), "records that were not sent");
    let error = |kind: &str| {
        let text = r#"read -r record; echo "{\"type\":\"error\",\"id\":\"$id\",\"kind\":\"KIND\",\"message\":\"so\"}""#;
        text.replace("KIND", kind)
    };
    check(writes(&error("retry")), "Retry");
    check(writes(&error("too_large")), "TooLarge");
    check(writes(&error("invalid")), "Invalid");
    check(writes(&error("not_allowed")), "not_allowed: true");
    check(writes(&error("fatal")), "not_allowed: false");
}

#[test]
fn whatever_else_it_does_can_be_tried_again() {
    check(writes("exit 3"), "it ended");
    check(writes("echo oh no >&2; exit 3"), "it said: oh no");
    check(writes("echo hello"), "which is not of the protocol");
    check(
        writes(r#"echo "{\"type\":\"page\",\"id\":\"$id\",\"records\":1}"; exit"#),
        "middle of a page",
    );
    check(writes("printf x; exit"), "middle of a line");
    let slow = Config {
        batching: Batching { timeout: Some(Duration::from_millis(200)), ..writes("").batching },
        ..writes("exec sleep 60")
    };
    check(slow, "no answer within 200ms");
}

#[test]
fn a_program_that_cannot_be_started_or_speaks_otherwise_needs_somebody() {
    check(config(&["/no/such/program"]), "check the command of the flavor");
    let other = POLITE.replace(r#"\"protocol\":1"#, r#"\"protocol\":9"#);
    check(config(&["sh", "-c", &other]), "it speaks protocol 9");
}

#[test]
fn the_next_one_takes_what_the_last_one_did_not() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("mark");
        let once = format!(
            r#"read -r record; [ -e {0} ] || {{ touch {0}; exit 1; }}; echo "{{\"type\":\"ack\",\"id\":\"$id\"}}""#,
            mark.display()
        );
        let custom = Custom::open(writes(&once));
        assert!(matches!(custom.send(request()).await, Err(SendError::Retry { .. })));
        assert_eq!(custom.send(request()).await, Ok(Reply::Taken));
        custom.close().await;
    });
}

fn example(name: &str, path: &std::path::Path) -> Config {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/flavors").join(name);
    let mut values = Map::new();
    values.insert("path".into(), json!(path));
    let config = config(&[program.to_str().unwrap()]);
    Config { values: Values(values), ..config }
}

#[test]
fn the_example_in_python_gives_back_what_it_was_given_once() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer {
        id: WriterId::new(),
        origin: Origin {
            pipeline_run_id: "r".into(),
            step_id: "s".into(),
            attempt: 1,
            source: "step".into(),
        },
        started: Nanos(1_700_000_000_000_000_000),
        attributes: std::collections::BTreeMap::new(),
    };
    block_on(async {
        let custom = Custom::open(example("sqlite.py", &dir.path().join("logs.db")));
        let mut format = custom.format(&writer);
        let mut body = Vec::new();
        StreamEvent::start(&writer).show(|view| format.record(view, &mut body));
        for seq in 0..5 {
            let view = View {
                time: Nanos(1_700_000_000_000_000_000 + seq as i64),
                seq,
                level: None,
                iostream: crate::record::IoStream::Stdout,
                message: "é \"line\"",
                rare: None,
            };
            format.record(&view, &mut body);
        }
        let request = Request { body: body.into(), records: 6, id: "b".into() };
        for _ in 0..2 {
            assert_eq!(custom.send(request.clone()).await, Ok(Reply::Taken));
        }
        custom.flush().await.unwrap();
        let runs = newest_runs(&*custom, 10).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.pipeline_run_id.as_str()).collect::<Vec<_>>(), ["r"]);
        let events = events_of(&*custom, "r", Some("s")).await.unwrap();
        assert_eq!(events, [StreamEvent::start(&writer)]);
        assert_eq!(events_of(&*custom, "r", Some("other")).await.unwrap(), []);
        let stream = Stream::started(&writer);
        let filter = crate::read::filter::Filter { from_seq: 1, ..Default::default() };
        let mut seqs = Vec::new();
        let mut cursor = None;
        loop {
            let question = Question {
                stream: &stream,
                filter: &filter,
                direction: Direction::Backward,
                cursor: cursor.as_deref(),
                limit: 3,
            };
            let page = custom.page(&question).await.unwrap();
            seqs.extend(page.records.iter().map(|record| record.seq));
            assert!(page.records.iter().all(|record| record.message == "é \"line\""));
            let Some(next) = page.next else { break };
            cursor = Some(next);
        }
        assert_eq!(seqs, [4, 3, 2, 1]);
        custom.close().await;
    });
}

#[test]
fn the_example_in_shell_keeps_each_request() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let custom = Custom::open(example("folder.sh", dir.path()));
        for _ in 0..2 {
            assert_eq!(custom.send(request()).await, Ok(Reply::Taken));
        }
        custom.close().await;
    });
    assert_eq!(std::fs::read_to_string(dir.path().join("b.ndjson")).unwrap(), "{}\n");
}

#[test]
fn its_keys_are_not_shown() {
    let mut config = writes("");
    config.values.0.insert("token".into(), json!("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
}
