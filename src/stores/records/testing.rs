//! Lines of every kind, delivered to a service and expected back, and log stores as a stack file has
//! them: for the tests of flavors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::compress::Compression;
use super::config::Batching;
use super::dead_letter::{DeadLetter, Settings};
use super::fetch::ask::AnswerTooLarge;
use super::fetch::{Question, Search, newest_runs};
use super::http::{Connection, Hidden};
use super::{RecordStore, Service};
use crate::line::{Block, Eol, Line, Part};
use crate::read::filter::Filter;
use crate::read::store::{Direction, ReadError, Stream};
use crate::record::{
    Exit, Gap, GapReason, IoStream, Level, Nanos, Origin, Record, Writer, WriterId,
};
use crate::stack::{self, Env, Errors};
use crate::stores::artifact::testing::block_on;
use crate::stores::json::RecordJson;
use crate::stores::{self, Chunk, DeliverError, Ending, LogStore, Summary, view};

/// What these keys of the log store `it` come to in this environment.
pub(crate) fn log_store<const N: usize>(
    flavor: &str,
    keys: &str,
    variables: [(&str, &str); N],
) -> Result<stores::Config, Errors> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stack.toml");
    let text = format!(
        "[stacks.s]\nartifact_store = 'local'\nlog_stores = ['it']\n\
         [artifact_stores.local]\nflavor = 'local'\npath = '/x'\n\
         [log_stores.it]\nflavor = '{flavor}'\n{keys}\n"
    );
    std::fs::write(&file, text).unwrap();
    let stack = stack::load_in(&Env::given(1000, variables), Some(&file))?;
    let [store] = stack.log_stores.try_into().unwrap();
    Ok(store.config)
}

/// These keys are refused, with these words, and no secret is among them.
#[track_caller]
pub(crate) fn check_refused<const N: usize>(
    flavor: &str,
    keys: &str,
    variables: [(&str, &str); N],
    expected: &[&str],
) {
    let Err(errors) = log_store(flavor, keys, variables) else { panic!("accepted: {keys}") };
    let text = errors.to_string();
    for words in expected {
        assert!(text.contains(words), "no {words:?} for\n{keys}\nin\n{text}");
    }
    assert!(!format!("{text}{errors:?}").contains("hunter2"), "{text}");
}

/// All keys that flavors share, but for `compression`, and what they come to.
pub(crate) fn shared_keys(compression: Compression) -> (&'static str, Connection, Batching) {
    let keys = "headers = { X-Team = 'hunter2' }\ncertificate_file = '/ca.pem'\n\
                client_certificate_file = '/c.pem'\nclient_key_file = '/k.pem'\n\
                max_export_batch_size = 7\nmax_export_batch_bytes = '64 KiB'\n\
                schedule_delay_millis = 10\nexport_timeout_millis = 500\n\
                max_concurrent_exports = 3\n";
    let connection = Connection {
        headers: BTreeMap::from([("x-team".to_owned(), Hidden("hunter2".to_owned()))]),
        certificate_file: Some("/ca.pem".into()),
        client_certificate_file: Some("/c.pem".into()),
        client_key_file: Some("/k.pem".into()),
    };
    let batching = Batching {
        records: 7,
        bytes: 64 << 10,
        delay: Duration::from_millis(10),
        timeout: Some(Duration::from_millis(500)),
        concurrency: 3,
        compression,
    };
    (keys, connection, batching)
}

/// The keys that all flavors share which send requests: what is out of bounds is refused. `good` are the
/// keys that the flavor needs; then the most records and bytes, and the words for `compression`.
#[track_caller]
pub(crate) fn check_shared_keys(
    flavor: &str,
    good: &str,
    (records, bytes): (usize, &str),
    compressions: &str,
) {
    let check = |key: &str, values: [&str; 3], expected: &str| {
        for value in values {
            let expected = format!("log_stores.it.{key}: expected {expected}");
            check_refused(flavor, &format!("{good}\n{key} = {value}"), [], &[&expected]);
        }
    };
    let above = (records + 1).to_string();
    let range = format!("an integer from 1 to {records}, found");
    check("max_export_batch_size", ["0", &above, "'1'"], &range);
    let range = format!("a size from 16 KiB to {bytes}, such as");
    check("max_export_batch_bytes", ["'16383'", "'1 TiB'", "true"], &range);
    check(
        "schedule_delay_millis",
        ["9", "3600001", "'1s'"],
        "an integer from 10 to 3600000, found",
    );
    check(
        "export_timeout_millis",
        ["99", "3600001", "1.5"],
        "an integer from 100 to 3600000, found",
    );
    check("max_concurrent_exports", ["0", "257", "-1"], "an integer from 1 to 256, found");
    check("compression", ["'lz4'", "'GZIP'", "1"], &format!("one of {compressions}, found"));
    check("headers", ["'a'", "['a']", "1"], "a table");
    check("certificate_file", ["1", "true", "['a']"], "a path");
    for (given, missing) in [
        ("client_key_file = '/k'", "client_certificate_file: missing"),
        ("max_export_batches = 1", "max_export_batches: unknown key"),
    ] {
        check_refused(flavor, &format!("{good}\n{given}"), [], &[missing]);
    }
    for key in ["max_export_batch_size = 1", &format!("max_export_batch_size = {records}")] {
        log_store(flavor, &format!("{good}\n{key}"), []).unwrap();
    }
}

/// A writer that started at `started`, with attributes.
pub(crate) fn writer(run: &str, step: &str, started: Nanos) -> Writer {
    let attributes = [("host.name", "node-1"), ("service.name", "training"), ("team", "a \"b\"")];
    Writer {
        id: WriterId::new(),
        origin: Origin {
            pipeline_run_id: run.into(),
            step_id: step.into(),
            attempt: 2,
            source: "hook:on_failure".into(),
        },
        started,
        attributes: attributes
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// A block of one line of each kind, each a little later than the one before.
pub(crate) fn every_kind(first_seq: u64, from: Nanos) -> Block {
    let mut block = Block { first_seq, ..Block::default() };
    let mut time = from.0;
    let mut add = |text: &[u8], change: &dyn Fn(&mut Line)| {
        let mut line = Line {
            start: block.bytes.len() as u32,
            len: text.len() as u32,
            time: Nanos(time),
            iostream: IoStream::Stdout,
            eol: Eol::Lf,
            level: None,
            group: None,
            headline: false,
            part: None,
            gap: None,
        };
        change(&mut line);
        time += 300_000_007;
        block.bytes.extend_from_slice(text);
        block.bytes.push(b'\n');
        block.lines.push(line);
    };
    for level in Level::ALL {
        add(level.as_str().as_bytes(), &|line| line.level = Some(level));
    }
    let texts: [&[u8]; 22] = [
        b"plain",
        b"",
        b" ",
        "grüße, \u{1f600} \u{202e}".as_bytes(),
        b"\t\"quotes\" \\ and \x1b[31mcolour\x1b[0m \x00 \x7f",
        b"not UTF-8: \xff\xfe",
        b"\xff{\"half\": 1}",
        b"{\"message\": \"lossy \xff\"}",
        b"50%\r100%",
        b"{\"message\": \"hello\", \"level\": \"warn\", \"ts\": 1700000000.5, \"user\": {\"id\": 7}}",
        b"{\"msg\": \"\", \"none\": null, \"empty\": \"\", \"no\": {}, \"list\": [1, [], null]}",
        b"{\"x\": 18446744073709551615, \"y\": 1e300, \"z\": 0.1}",
        b"{\"timestamp\": 5, \"service\": \"mine\", \"host\": \"other\", \"status\": \"error\"}",
        b"{\"message\": {\"deep\": true}, \"date\": \"soon\"}",
        b"{\"message\": 12}",
        b"{not JSON}",
        b" {\"message\": \"indented\", \"level\": \"error\"} ",
        b"[1, 2]",
        b"\"a text\"",
        b"key=value a::b @c:d source=x",
        b"{\"message\": \"  kept  \"}",
        b"  kept  ",
    ];
    for text in texts {
        add(text, &|_| {});
        add(text, &|line| line.iostream = IoStream::Stderr);
    }
    for eol in [Eol::CrLf, Eol::None] {
        add(b"an end", &|line| line.eol = eol);
        add(b"{\"msg\": \"a JSON end\"}", &|line| line.eol = eol);
    }
    for (number, last) in [(1, false), (2, false), (3, true)] {
        add(b"{\"part\": 1}", &|line| {
            line.part = Some(Part { line: first_seq, number, last });
            line.eol = if last { Eol::Lf } else { Eol::None };
            line.level = Some(Level::Error);
        });
    }
    for text in ["Traceback", "  File x", "{\"error\": 1}"] {
        add(text.as_bytes(), &|line| line.group = Some(first_seq + 3));
    }
    add(b"lines were lost", &|line| {
        line.gap = Some(0);
        line.eol = Eol::None;
    });
    block.gaps.push(Gap { bytes: 1 << 40, lines: 3, reason: GapReason::DroppedOldest });
    block.raw_bytes = block.bytes.len() as u64;
    block
}

/// A block of `count` lines of `bytes` bytes, `pause` nanoseconds after each other.
pub(crate) fn plain(first_seq: u64, count: u64, bytes: usize, from: Nanos, pause: i64) -> Block {
    let mut block = Block { first_seq, ..Block::default() };
    for seq in first_seq..first_seq + count {
        let text = format!("{seq} {}", "x".repeat(bytes));
        block.lines.push(Line {
            start: block.bytes.len() as u32,
            len: text.len() as u32,
            time: Nanos(from.0 + (seq - first_seq) as i64 * pause),
            iostream: if seq % 3 == 0 { IoStream::Stderr } else { IoStream::Stdout },
            eol: Eol::Lf,
            level: Level::ALL.get(seq as usize % 7).copied(),
            group: None,
            headline: false,
            part: None,
            gap: None,
        });
        block.bytes.extend_from_slice(text.as_bytes());
        block.bytes.push(b'\n');
    }
    block.raw_bytes = block.bytes.len() as u64;
    block
}

/// The records of these blocks, as the artifact store would give them back.
pub(crate) fn records(blocks: &[Block], writer: &Writer) -> Vec<Record> {
    let mut json = RecordJson::new("timestamp", &writer.origin);
    let mut records = Vec::new();
    for block in blocks {
        view::each(block, |view| {
            let mut text = Vec::new();
            json.record(view, &mut text);
            records.push(serde_json::from_slice(&text).unwrap());
        });
    }
    records
}

/// Delivers the blocks, each as a chunk, and the end. Gives what the dead letters hold.
pub(crate) fn deliver(
    service: Arc<dyn Service>,
    writer: &Writer,
    blocks: &[Block],
) -> Result<Vec<serde_json::Value>, DeliverError> {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { dir: folder.path().to_owned(), max_bytes: 64 << 20 };
    let patience = crate::ship::Settings::default().patience();
    let store = RecordStore::new(service, patience, DeadLetter::new(settings, "test"));
    let session = store.session(writer, &serde_json::Value::Null).unwrap();
    let mut encoder = session.encoder();
    let mut totals = Summary::default();
    let all = async {
        for (number, block) in (0..).zip(blocks) {
            let encoded = encoder.encode(block).unwrap();
            let chunk = Chunk::new(number, false, vec![encoded]);
            totals.add(&chunk.summary);
            again(async || session.deliver(&chunk).await).await?;
        }
        let exit = Exit { code: Some(0), ended: totals.last_time, ..Exit::default() };
        let ending = Ending { exit: Some(exit), totals, chunks: blocks.len() as u64 };
        again(async || session.finish(&ending).await).await
    };
    block_on(all)?;
    let file = folder.path().join("test").join(format!("{}.ndjson", writer.id));
    let letters = std::fs::read_to_string(file).unwrap_or_default();
    Ok(letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Tries as often as it may help, as `ship` does.
async fn again<T>(
    mut what: impl AsyncFnMut() -> Result<T, DeliverError>,
) -> Result<T, DeliverError> {
    for _ in 0..3000 {
        match what().await {
            Err(DeliverError::Retry { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            done => return done,
        }
    }
    what().await
}

/// Writers of three runs that started one after the other, the last one at `last`: `search` finds the
/// newest runs, each once.
pub(crate) fn check_newest_runs(service: &Arc<dyn Service>, search: &dyn Search, last: Nanos) {
    for (age, run, step) in
        [(5, "a", "1"), (4, "b", "1"), (3, "b", "2"), (2, "c", "1"), (1, "c", "2")]
    {
        let started = Nanos(last.0 - age * 1_000_000_000);
        deliver(Arc::clone(service), &writer(run, step, started), &[]).unwrap();
    }
    block_on(async {
        for (limit, expected) in [(0, &[][..]), (2, &["c", "b"]), (9, &["c", "b", "a"])] {
            let runs = newest_runs(search, limit).await.unwrap();
            let runs: Vec<_> = runs.iter().map(|run| run.pipeline_run_id.as_str()).collect();
            assert_eq!(runs, expected);
        }
    });
}

/// All pages of a writer's lines, one after the other, none larger than memory should hold.
pub(crate) async fn pages(
    search: &dyn Search,
    writer: &Writer,
    filter: Filter,
    direction: Direction,
    limit: usize,
) -> Vec<Record> {
    let (stream, filter) = (&Stream::started(writer), &filter);
    let mut records = Vec::new();
    let (mut cursor, mut limit) = (None::<String>, limit);
    loop {
        let question = Question { stream, filter, direction, cursor: cursor.as_deref(), limit };
        let page = match search.page(&question).await {
            Err(ReadError::Store(error)) if error.is::<AnswerTooLarge>() => {
                limit /= 4;
                continue;
            }
            page => page.unwrap(),
        };
        assert!(page.records.len() <= limit, "{}", page.records.len());
        records.extend(page.records);
        let before = cursor;
        cursor = page.next;
        if cursor.is_none() {
            return records;
        }
        assert_ne!(cursor, before, "the next page is this one");
    }
}
