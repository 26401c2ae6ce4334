//! What each endpoint answers of a run that has ended, and what it says where it cannot.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::client::{Serving, items, names, word};
use crate::support::lines;
use crate::support::sandbox::{LOCAL, Sandbox, finish, in_small_pieces};

/// A run of three steps: one with colours and sections that fails at the first try, one with many lines, one of which
/// the second try succeeds.
pub(super) fn run() -> Sandbox {
    let sandbox = Sandbox::with_stack(&in_small_pieces(LOCAL));
    let script = r"printf '\033[31mred\033[0m \033]8;;https://a.example\007link\033]8;;\007\n'
        echo '::group::Install'; echo inside; echo '::endgroup::'
        printf 'no end'; echo 'ERROR: it broke' >&2; exit 3";
    let mut load = sandbox.wrap("run-1", ["sh", "-c", script]);
    finish(load.env("STEPLOG_STEP_ID", "load")).expect(3);
    std::fs::write(sandbox.path("input"), lines::numbered(5000)).unwrap();
    let input = sandbox.path("input").display().to_string();
    finish(sandbox.wrap("run-1", ["cat", &input]).env("STEPLOG_STEP_ID", "train")).expect(0);
    for (attempt, code) in [("1", 1), ("2", 0)] {
        let mut eval =
            sandbox.wrap("run-1", ["sh", "-c", &format!("echo try {attempt}; exit {code}")]);
        eval.env("STEPLOG_STEP_ID", "eval").env("STEPLOG_ATTEMPT", attempt);
        finish(&mut eval).expect(code);
    }
    sandbox
}

#[test]
fn runs_and_what_is_in_them() {
    let sandbox = run();
    for run in ["run-2", "run-3"] {
        finish(&mut sandbox.wrap(run, ["true"])).expect(0);
    }
    let serving = Serving::new(&sandbox);
    let ids = |answer: &Value| -> Vec<String> {
        items(answer).iter().map(|it| it["pipeline_run_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&serving.get("runs").json()), ["run-3", "run-2", "run-1"]);
    let first = serving.get("runs?limit=2").json();
    assert_eq!(ids(&first), ["run-3", "run-2"]);
    let before = word(&first["before"]).unwrap();
    let second = serving.get(&format!("runs?limit=2&before={before}")).json();
    assert_eq!(ids(&second), ["run-1"]);
    assert!(second["before"].is_null());

    let run = serving.get("runs/run-1").json();
    assert_eq!((&run["status"], &run["complete"]), (&"failed".into(), &true.into()));
    assert_eq!(run["lines"], 5000 + 6 + 2);
    let steps: Vec<&str> =
        run["steps"].as_array().unwrap().iter().map(|it| it["step_id"].as_str().unwrap()).collect();
    assert_eq!(steps, ["load", "train", "eval"]);
    let load = &run["steps"][0]["attempts"][0];
    assert_eq!(load["reason"], "exit code 3");
    assert_eq!(
        (&load["exit_status"], &load["first_error"]),
        (&3.into(), &"ERROR: it broke".into())
    );
    let eval = &run["steps"][2];
    assert_eq!(
        (&eval["status"], &eval["attempts"][0]["status"]),
        (&"succeeded".into(), &"failed".into())
    );
    // Streams are those that ls prints, but for how times are written.
    let printed = sandbox.call(["ls", "run-1", "-o", "json"]).expect(0).text();
    let printed: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let streams: Vec<Value> = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|step| step["attempts"].as_array().unwrap())
        .flat_map(|attempt| attempt["streams"].as_array().unwrap().clone())
        .collect();
    assert_eq!(streams.len(), printed.len());
    for (stream, printed) in streams.iter().zip(&printed) {
        for (key, value) in printed.as_object().unwrap() {
            if !["started", "ended"].contains(&key.as_str()) {
                assert_eq!(&stream[key], value, "{key}");
            }
        }
    }
    assert_eq!(serving.get("runs/@latest").json()["pipeline_run_id"], "run-3");
    assert_eq!(serving.get("runs/%40failed").json()["pipeline_run_id"], "run-1");
    let store = serving.get("store").json();
    assert_eq!((&store["name"], &store["flavor"]), (&"here".into(), &"artifact".into()));
    assert_eq!(serving.get("healthz").text(), "ok\n");
    assert_eq!(serving.get("openapi.json").json()["openapi"], "3.1.0");
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn a_line_has_its_looks_and_sections() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let all = items(&serving.get("runs/run-1/lines?step=load").json());
    assert_eq!(all[0]["message"], "red link");
    assert_eq!(
        all[0]["spans"],
        serde_json::json!([
            {"at": 0, "len": 3, "fg": "1"}, {"at": 4, "len": 4, "link": "https://a.example"}
        ])
    );
    assert_eq!(all[1]["section"], serde_json::json!({"kind": "start", "name": "Install"}));
    assert_eq!(all[3]["section"]["kind"], "end");
    let error = all.iter().find(|line| line["message"] == "ERROR: it broke").unwrap();
    assert_eq!((&error["level"], &error["iostream"]), (&"ERROR".into(), &"stderr".into()));
    let open = all.iter().find(|line| line["message"] == "no end").unwrap();
    assert_eq!(open["eol"], "");
    let few = items(&serving.get("runs/run-1/logs?step=load&iostream=stderr").json());
    assert_eq!(names(&few).len(), 1);
}

#[test]
fn records_and_bytes_are_those_of_the_command_line() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let ndjson = [("accept", "application/x-ndjson")];
    for (query, options) in [
        ("", &["run-1"][..]),
        ("?step=train&level=warning", &["run-1/train", "--level", "warning"]),
        ("?grep=line=0000[12]5&limit=7", &["run-1", "--grep", "line=0000[12]5", "--head", "7"]),
        ("?attempt=all&step=eval", &["run-1/eval", "--attempt", "all"]),
        ("?exclude=loss", &["run-1", "--exclude", "loss"]),
        (
            "?grep=00002500&fixed&before_context=2&after_context=1",
            &["run-1", "-F", "--grep", "00002500", "-B", "2", "-A", "1"],
        ),
    ] {
        let printed = sandbox.call([&["logs", "-o", "json"], options].concat()).expect(0).stdout;
        let answer = serving.get_with(&format!("runs/run-1/logs{query}"), &ndjson);
        assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
        lines::assert_same(query, &printed, &answer.body);
    }
    for (query, options) in [
        ("", &["run-1", "-o", "raw"][..]),
        ("?step=train", &["run-1/train", "-o", "raw"]),
        ("?form=text", &["run-1"]),
        ("?form=json&step=load", &["run-1/load", "-o", "json"]),
        ("?step=load&form=text&timestamps", &["run-1/load", "--timestamps"]),
    ] {
        let printed = sandbox.call([&["logs"], options].concat()).expect(0).stdout;
        let answer = serving.get(&format!("runs/run-1/raw{query}"));
        lines::assert_same(query, &printed, &answer.body);
        assert!(answer.header("content-disposition").unwrap().starts_with("attachment; filename="));
    }
}

#[test]
fn a_download_goes_in_parts_and_compressed() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let whole = sandbox.raw("run-1/train");
    let path = "runs/run-1/raw?step=train";
    let answer = serving.get(path);
    assert_eq!(answer.header("content-length"), Some(&*whole.len().to_string()));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=100000-200000", 100_000..200_001),
        ("bytes=-1000", whole.len() - 1000..whole.len()),
        ("bytes=599990-", 599_990..whole.len()),
        ("bytes=65535-65537", 65_535..65_538),
        ("bytes=300000-300009", 300_000..300_010),
    ] {
        let answer = serving.get_with(path, &[("range", range), ("accept-encoding", "gzip")]);
        assert_eq!(answer.status, 206, "{range}");
        let place = format!("bytes {}-{}/{}", expected.start, expected.end - 1, whole.len());
        assert_eq!(answer.header("content-range"), Some(&*place));
        lines::assert_same(range, &whole[expected], &answer.body);
    }
    let beyond = serving.get_with(path, &[("range", "bytes=99999999-")]);
    assert_eq!((beyond.status, beyond.body.len()), (416, 0));
    // Several streams, or some of the lines: how long that is nobody knows before.
    for query in ["", "?step=train&grep=loss"] {
        let answer = serving.get_with(&format!("runs/run-1/raw{query}"), &[("range", "bytes=0-9")]);
        assert_eq!((answer.status, answer.header("accept-ranges")), (200, Some("none")));
    }
    for (encoding, program) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let answer = serving.get_with(path, &[("accept-encoding", encoding)]);
        assert_eq!(answer.header("content-encoding"), Some(encoding));
        assert!(answer.body.len() < whole.len() / 3);
        let packed = sandbox.path("packed");
        std::fs::write(&packed, &answer.body).unwrap();
        let file = std::fs::File::open(&packed).unwrap();
        let unpacked = finish(Command::new(program).arg("-dc").stdin(file)).expect(0).stdout;
        lines::assert_same(encoding, &whole, &unpacked);
    }
    // What is built whole is packed too, unless it is small.
    let lines = "runs/run-1/lines?count=100";
    let plain = serving.get(lines);
    assert_eq!(plain.header("content-encoding"), None);
    let answer = serving.get_with(lines, &[("accept-encoding", "gzip")]);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut unpacked).unwrap();
    lines::assert_same("gzip", &plain.body, &unpacked);
    let small = serving.get_with("runs", &[("accept-encoding", "gzip")]);
    assert_eq!(small.header("content-encoding"), None);
    let first = &items(&serving.get("runs/run-1/lines?step=train&start=4321&count=1").json())[0];
    let writer = first["writer"].as_str().unwrap();
    let one = serving.get(&format!("runs/run-1/raw?writer={writer}&seq=4321"));
    assert_eq!(one.text(), lines::numbered_line(4321) + "\n");
    serving.get(&format!("runs/run-1/raw?writer={writer}&seq=5000")).problem(
        404,
        "has no line 5000",
        "",
    );
}

#[test]
fn searching_counts_all_and_names_places() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let records = sandbox.records("run-1");
    let matching: Vec<usize> = (0..records.len())
        .filter(|at| records[*at]["message"].as_str().unwrap().contains("1009"))
        .collect();
    let found = serving.get("runs/run-1/search?grep=1009").json();
    assert_eq!((&found["matches"], &found["complete"]), (&matching.len().into(), &true.into()));
    let numbers: Vec<usize> = found["positions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| usize::try_from(it["number"].as_u64().unwrap()).unwrap())
        .collect();
    assert_eq!(numbers, matching);
    // One at a time, each answer going on where the last ended.
    let mut one_by_one = Vec::new();
    let mut after = String::new();
    loop {
        let found = serving.get(&format!("runs/run-1/search?grep=1009&limit=1{after}")).json();
        let Some(position) = found["positions"].get(0) else { break };
        one_by_one.push(position["number"].as_u64().unwrap() as usize);
        match word(&found["after"]) {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(one_by_one, matching);
    let errors = serving.get("runs/run-1/search?level=error").json();
    let expected = records.iter().filter(|it| it["level"] == "ERROR").count();
    assert_eq!(errors["matches"], expected);
    let sse = [("accept", "text/event-stream")];
    let events = serving.open("runs/run-1/search?grep=1009", &sse).events();
    assert_eq!(events.last().unwrap().name, "result");
    assert_eq!(events.last().unwrap().data["positions"], found["positions"]);
    assert!(events.iter().rev().skip(1).all(|event| event.name == "progress"));
    let none = serving.get("runs/run-1/search?grep=nowhere").json();
    assert_eq!((&none["matches"], &none["after"]), (&0.into(), &Value::Null));
}

#[test]
fn the_strip_shows_every_error() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let records = sandbox.records("run-1");
    let strip = serving.get("runs/run-1/density?buckets=50").json();
    assert_eq!((&strip["lines"], &strip["exact"]), (&records.len().into(), &true.into()));
    let buckets = strip["buckets"].as_array().unwrap();
    assert_eq!(buckets.len(), 50);
    for bucket in buckets {
        let from = bucket["number"].as_u64().unwrap() as usize;
        let lines = &records[from..from + bucket["lines"].as_u64().unwrap() as usize];
        let of = |level: &str| lines.iter().filter(|it| it["level"] == level).count();
        assert_eq!(
            (&bucket["errors"], &bucket["warnings"]),
            (&of("ERROR").into(), &of("WARNING").into())
        );
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let long = "x".repeat(5000);
    let cases: &[(&str, u16, &str, &str)] = &[
        ("runs?limit=many", 400, "limit: expected a number from 1 to 1000", ""),
        ("runs?limits=1", 400, "there is no parameter \"limits\"", "did you mean \"limit\"?"),
        ("runs?before=x", 400, "before: expected a cursor", ""),
        ("runs/nope", 404, "there is no run nope in the log store here", "it may not have begun"),
        ("runs/run-1/logs?step=nope", 404, "has no step nope; it has eval, load, train", ""),
        ("runs/run-1/logs?step=eval&attempt=9", 404, "attempts: 1, 2", ""),
        ("runs/run-1/logs?attempt=9", 404, "attempts: 1, 2; sources: step", ""),
        ("runs/run-1/logs?attempt=x", 400, "expected a number, last, previous or all", ""),
        ("runs/run-1/logs?before=a&after=b", 400, "before: expected a cursor", ""),
        ("runs/run-1/logs?start=middle", 400, "expected oldest or newest", ""),
        ("runs/run-1/logs?grep=(", 400, "grep: not a regular expression", "fixed=true"),
        ("runs/run-1/logs?level=error&level=info", 400, "level is given more than once", ""),
        ("runs/run-1/logs?limit=10001", 400, "a number from 1 to 10000", ""),
        ("runs/run-1/logs?limit=0", 400, "a number from 1 to 10000", ""),
        ("runs/run-1/logs?since=1h&until=2h", 400, "since must be earlier than until", ""),
        ("runs/run-1/density?level=error", 400, "level: this counts all lines", "/search says"),
        (
            "runs/run-1/logs?log_store=other",
            404,
            "there is no log store \"other\"",
            "log stores: here",
        ),
        ("runs/run-1/lines?count=0", 400, "from -2000 to 2000", ""),
        ("runs/run-1/lines?count=-9223372036854775808", 400, "from -2000 to 2000", ""),
        ("runs/run-1/lines?start=1&at=10m", 400, "exclude each other", ""),
        ("runs/run-1/lines?around=x:1", 400, "expected WRITER:SEQ", ""),
        ("runs/run-1/search", 400, "a search needs grep, level or exclude", ""),
        ("runs/run-1/search?grep=a&after=zz", 400, "a cursor that a search has given", ""),
        ("runs/run-1/raw?seq=1", 400, "seq needs writer", ""),
        ("runs/run-1/raw?form=pdf", 400, "expected raw, text or json", ""),
        ("runs/run-1/logs/stream?grep=a&after_context=1", 400, "no context yet", ""),
        ("runs/run-1/logs/stream?after=x", 400, "after: expected a cursor", ""),
        ("nope", 404, "there is no /api/v1/nope", "openapi.json"),
        ("runs/%ff", 400, "the path is not UTF-8", "percent-encode"),
        ("zenml/logs/run-1/%ff/entries", 400, "the path is not UTF-8", "percent-encode"),
        ("runs/..%2f..%2fetc", 404, "there is no run ../../etc", ""),
        ("runs/run-1%00", 404, "there is no run run-1\0", ""),
        ("runs/*", 404, "there is no run *", ""),
        ("runs/run-1/logs?grep=%ff", 400, "not UTF-8", ""),
    ];
    for (path, status, detail, next) in cases {
        serving.get(path).problem(*status, detail, next);
    }
    serving.get(&format!("runs/run-1/logs?grep={long}")).problem(400, "longer than 4096", "");
    let unknown = "01a21444-8ff4-70b7-ad26-b18009d250f7";
    serving.get(&format!("runs/run-1/lines?around={unknown}:1")).problem(
        404,
        "there is no line 1",
        "not selected",
    );
    serving.get(&format!("runs/run-1/logs?writer={unknown}")).problem(
        404,
        &format!("has no writer {unknown}"),
        "/runs/{run}",
    );
    serving.get(&format!("runs/{long}")).problem(404, "xxx…", "");
    for line in ["POST /api/v1/runs", "OPTIONS /api/v1/runs/run-1/logs", "DELETE /", "BREW /x"] {
        let answer = serving.ask(line, &[]);
        answer.problem(405, "only read from", "use GET");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{line}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    serving.ask("GET /none.js", &[]).problem(404, "nothing at /none.js", "the page is at /");
    serving.ask("GET /../../etc/passwd", &[]).problem(404, "nothing at", "");
    serving.get_with("runs/run-1/logs/stream", &[("last-event-id", "x")]).problem(
        400,
        "Last-Event-ID",
        "",
    );
}

/// Behind this line of a stream, as a place says it.
fn behind(writer: &str, seq: u64) -> Vec<u8> {
    let (high, low) = uuid::Uuid::parse_str(writer).unwrap().as_u64_pair();
    [&(high ^ low).to_be_bytes()[..], &seq.to_be_bytes()[2..]].concat()
}

/// A place that no answer has given.
fn place(streams: &[Vec<u8>]) -> String {
    URL_SAFE_NO_PAD.encode([vec![2], streams.concat()].concat())
}

#[test]
fn the_largest_place_fits_into_a_request() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let first = &items(&serving.get("runs/run-1/lines?count=1").json())[0];
    let mut streams = vec![behind(first["writer"].as_str().unwrap(), 0)];
    streams.resize_with(1500, || behind(&uuid::Uuid::now_v7().to_string(), 1 << 40));
    let place = place(&streams);
    let next = serving.get(&format!("runs/run-1/logs?limit=1&after={place}")).json();
    assert_eq!(items(&next)[0]["seq"], 1);
    let mut coming = serving.open("runs/run-1/logs/stream?linger=0", &[("last-event-id", &place)]);
    let lines = std::iter::from_fn(|| coming.event()).find(|event| event.name == "lines").unwrap();
    assert_eq!(items(&lines.data)[0]["seq"], 1);
}

#[test]
fn places_that_somebody_makes_up_break_nothing() {
    let sandbox = run();
    let serving = Serving::new(&sandbox);
    let first = &items(&serving.get("runs/run-1/lines?count=1").json())[0];
    let writer = first["writer"].as_str().unwrap();
    for seq in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 48] {
        let around = serving.get(&format!("runs/run-1/lines?around={writer}:{seq}"));
        around.problem(404, "there is no line", "");
    }
    let far = behind(writer, (1 << 48) - 1);
    // Cut off, of another version, something behind it.
    for bytes in
        [&[&[2], &far[1..]].concat(), &[&[1], &far[..]].concat(), &[&[2, 0], &far[..]].concat()]
    {
        let place = URL_SAFE_NO_PAD.encode(bytes);
        for path in [
            "logs?after=",
            "logs?before=",
            "lines?cursor=",
            "lines?count=-5&cursor=",
            "logs/stream?after=",
        ] {
            let answer = serving.get(&format!("runs/run-1/{path}{place}"));
            answer.problem(400, "expected a cursor", "");
        }
        let search = serving.get(&format!("runs/run-1/search?grep=a&after=.{place}"));
        search.problem(400, "a cursor that a search has given", "");
    }
    // One that could be: what is behind it is nothing, and what is before it all.
    let place = place(&[far]);
    let alone = format!("writer={writer}&");
    let rest = serving.get(&format!("runs/run-1/logs?{alone}after={place}")).json();
    assert_eq!(items(&rest).len(), 0);
    let search = serving.get(&format!("runs/run-1/search?{alone}grep=a&after=.{place}")).json();
    assert_eq!((&search["matches"], &search["complete"]), (&0.into(), &true.into()));
    for since in [i64::MIN, i64::MAX] {
        let search = format!("runs/run-1/search?grep=a&after={since}.{place}");
        assert_eq!(serving.get(&search).json()["complete"], true);
    }
    assert!(!serving.said().contains("panicked"), "{}", serving.said());
}

/// What curl gets over HTTP/1.1, and whether it thinks that is all.
fn chunked(serving: &Serving, path: &str) -> (std::process::ExitStatus, String) {
    let url = format!("http://{}{path}", serving.address());
    let output = Command::new("curl").args(["-s", &url]).output().unwrap();
    (output.status, String::from_utf8(output.stdout).unwrap())
}

fn segments_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            segments_below(&path, found);
        } else if path.parent().is_some_and(|folder| folder.ends_with("seg")) {
            found.push(path);
        }
    }
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_there() {
    let sandbox = run();
    let mut segments = Vec::new();
    segments_below(&sandbox.store(), &mut segments);
    segments.retain(|path| path.to_string_lossy().contains("step_id=train"));
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    let cut = std::fs::File::options().write(true).open(&segments[0]).unwrap();
    cut.set_len(cut.metadata().unwrap().len() / 2).unwrap();
    let mut torn = std::fs::read(&segments[1]).unwrap();
    let end = torn.len() - 40;
    torn[end..].fill(0);
    std::fs::write(&segments[1], torn).unwrap();
    let serving = Serving::new(&sandbox);
    let whole = std::fs::read_to_string(sandbox.path("input")).unwrap().len();
    for path in ["search?step=train&grep=line", "logs?step=train&limit=10000"] {
        let answer = serving.get(&format!("runs/run-1/{path}")).json();
        let what = answer["troubles"].to_string();
        assert!(what.contains(" are lost"), "{path}: {what}");
        let count = answer["matches"].as_u64().unwrap_or_else(|| items(&answer).len() as u64);
        assert!((100..5000).contains(&count), "{path}: {count}");
    }
    let events = serving.open("runs/run-1/logs/stream?step=train&linger=0", &[]).events();
    assert!(events.iter().any(|event| event.name == "trouble"));
    assert_eq!(events.last().unwrap().name, "end");
    assert_eq!(serving.get("runs/run-1/density?step=train").status, 200);
    // What was promised by its length and is not there breaks off.
    let raw = serving.get("runs/run-1/raw?step=train").body.len();
    assert!(raw < whole, "{raw} of {whole}");
    // So does what has no length, behind the last line.
    let (status, taken) = chunked(&serving, "/api/v1/runs/run-1/raw?step=train&form=json");
    assert!(taken.contains("\"seq\":4999") && !status.success(), "{status}");
    let (status, taken) = chunked(&serving, "/api/v1/runs/run-1/raw?step=load&form=json");
    assert!(taken.contains("\"seq\":0") && status.success(), "{status}");
    // A run that is removed is not there any more.
    std::fs::remove_dir_all(sandbox.store()).unwrap();
    serving.get("runs/run-1/logs").problem(404, "there is no run run-1", "");
}

#[test]
fn the_page_comes_with_what_a_browser_needs_to_be_careful() {
    let sandbox = Sandbox::local("");
    let serving = Serving::new(&sandbox);
    let page = serving.ask("GET /", &[]);
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let tag = page.header("etag").unwrap().to_owned();
    let packed = serving.ask("GET /", &[("accept-encoding", "gzip, br")]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let file = sandbox.path("packed");
    std::fs::write(&file, &packed.body).unwrap();
    let file = std::fs::File::open(&file).unwrap();
    let unpacked = finish(Command::new("gzip").arg("-dc").stdin(file)).expect(0).stdout;
    lines::assert_same("the page", &page.body, &unpacked);
    let same = serving.ask("GET /", &[("if-none-match", &tag)]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(policy.contains("connect-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let others = [serving.get("runs"), serving.get("runs/nope"), serving.ask("GET /main.js", &[])];
    for answer in &others {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; base-uri"), "{policy}");
    }
    for answer in others.into_iter().chain([page]) {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert!(items(&serving.get("runs").json()).is_empty());
    serving.get("runs/@latest").problem(404, "there are no runs", "");
}
