//! Log records over the network, from the official SDK and by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Running, sandbox};
use crate::servers::free_port;
use crate::support::sandbox::{Output, Sandbox, finish, tool};
use crate::support::{project, wait};

fn input(port: u16, more: &str) -> String {
    format!("[[inputs]]\nname = \"sdk\"\nkind = \"otlp\"\nlisten = \"127.0.0.1:{port}\"\n{more}")
}

/// One record of a run's step.
fn one(run: &str, step: &str, text: &str) -> Value {
    let named = |key: &str, text: &str| json!({ "key": key, "value": { "stringValue": text } });
    json!({ "resourceLogs": [{
        "resource": { "attributes": [named("pipeline_run_id", run)] },
        "scopeLogs": [{ "logRecords": [{
            "body": { "stringValue": text },
            "attributes": [named("step_id", step)],
        }] }],
    }] })
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn ask(port: u16, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    // Who is refused by the head alone may not read the rest.
    stream.write_all(body).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn post(port: u16, body: &Value) -> Answer {
    let kind = "Content-Type: application/json; charset=utf-8";
    ask(port, "POST", "/v1/logs", &[kind], body.to_string().as_bytes())
}

fn sdk(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let mut command = sandbox.command(tool("python"));
    command.arg(project("tests/steps/otlp.py")).args(arguments);
    finish(&mut command)
}

#[test]
fn records_of_the_official_sdk_arrive_with_all_they_have() {
    let port = free_port();
    let sandbox = sandbox(
        &input(port, "token_file = \"{sandbox}/token\"\n")
            .replace("token_file", "ends_after_idle = \"1h\"\ntoken_file"),
    );
    std::fs::write(sandbox.path("token"), "s3cret-of-the-test\n").unwrap();
    let agent = Running::start(&sandbox);
    let endpoint = format!("127.0.0.1:{port}");
    for protocol in ["http", "grpc"] {
        let sent = sdk(&sandbox, &[protocol, &endpoint, "120", "s3cret-of-the-test"]).expect(0);
        assert_eq!(sent.text(), "SUCCESS\nSUCCESS\nSUCCESS\n", "{protocol}: {}", sent.errors());
        let refused = sdk(&sandbox, &[protocol, &endpoint, "1", "another"]).expect(0);
        assert_eq!(refused.text(), "FAILURE\n", "{protocol}");
    }
    agent.stop().expect(0);
    for protocol in ["http", "grpc"] {
        let run = format!("run-{protocol}");
        let records = sandbox.records(&format!("{run}/train"));
        assert_eq!(records.len(), 120);
        for (number, record) in records.iter().enumerate() {
            assert_eq!(record["message"], format!("line {number}"));
            let level = if number % 10 == 0 { "WARNING" } else { "INFO" };
            assert_eq!(record["level"], level);
            assert_eq!(record["attributes"]["epoch"], number);
            assert!(record["event_timestamp"].is_string(), "{record}");
        }
        sandbox.verify(&run);
    }
}

#[test]
fn of_a_request_that_cannot_be_taken_whole_nothing_is_taken() {
    let port = free_port();
    let sandbox = sandbox(&input(port, ""));
    let stack = std::fs::read_to_string(sandbox.path("config/steplog/stack.toml")).unwrap();
    sandbox.write_stack(&stack.replace("[agent]\n", "[agent]\nmax_inputs = 1\n"));
    let agent = Running::start(&sandbox);
    assert_eq!(post(port, &one("r", "train", "first")).status, 200);
    let mut two = one("r", "train", "second");
    two["resourceLogs"]
        .as_array_mut()
        .unwrap()
        .push(one("other", "s", "x")["resourceLogs"][0].clone());
    for _ in 0..3 {
        assert_eq!(post(port, &two).status, 429);
    }
    assert_eq!(post(port, &one("r", "train", "third")).status, 200);
    agent.stop().expect(0);
    let said: Vec<_> = sandbox.records("r").iter().map(|it| it["message"].clone()).collect();
    assert_eq!(said, ["first", "third"]);
}

#[test]
fn each_request_has_the_answer_that_otlp_knows() {
    let port = free_port();
    let limits = "max_request_bytes = \"2 KiB\"\nmax_decompressed_bytes = \"4 KiB\"\n";
    let sandbox = sandbox(&input(port, limits));
    let agent = Running::start(&sandbox);
    let json = "Content-Type: application/json";

    let taken = post(port, &one("r", "train", "first"));
    assert_eq!((taken.status, taken.body.as_str()), (200, "{}"), "{taken:?}");
    let partial = post(port, &one("r", "..", "forged"));
    assert_eq!(partial.status, 200);
    let said: Value = serde_json::from_str(&partial.body).unwrap();
    assert_eq!(said["partialSuccess"]["rejectedLogRecords"], "1");
    assert_eq!(said["partialSuccess"]["errorMessage"], "step_id has no letter or digit");

    let bad = ask(port, "POST", "/v1/logs", &[json], b"{");
    let status: Value = serde_json::from_str(&bad.body).unwrap();
    assert_eq!((bad.status, status["code"].as_i64()), (400, Some(3)), "{bad:?}");
    assert!(status["message"].as_str().unwrap().starts_with("not JSON: "), "{bad:?}");
    let protobuf = "Content-Type: application/x-protobuf";
    let bad = ask(port, "POST", "/v1/logs", &[protobuf], b"\xff");
    assert_eq!(bad.status, 400);
    assert!(bad.body.contains("not a protobuf message"), "{bad:?}");

    let large = one("r", "train", &"x".repeat(3000));
    assert_eq!(post(port, &large).status, 413);
    let expands = zstd::encode_all(one("r", "train", &"x".repeat(9000)).to_string().as_bytes(), 3);
    let coding = [json, "Content-Encoding: zstd"];
    let answer = ask(port, "POST", "/v1/logs", &coding, &expands.unwrap());
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("max_decompressed_bytes"), "{answer:?}");

    let text = ask(port, "POST", "/v1/logs", &["Content-Type: text/plain"], b"x");
    assert_eq!(text.status, 415);
    let coding = ask(port, "POST", "/v1/logs", &[json, "Content-Encoding: br"], b"x");
    assert_eq!(coding.status, 415);
    assert!(coding.head.contains("accept-encoding: gzip, deflate, zstd"), "{coding:?}");
    let get = ask(port, "GET", "/v1/logs", &[], b"");
    assert_eq!(get.status, 405);
    assert!(get.head.contains("allow: post"), "{get:?}");
    assert_eq!(ask(port, "POST", "/v1/traces", &[json], b"{}").status, 404);

    agent.stop().expect(0);
    let records = sandbox.records("r/train");
    assert_eq!(records.len(), 1, "{records:?}");
}

#[test]
fn a_record_of_any_length_up_to_the_longest_line_has_its_message() {
    let port = free_port();
    let sandbox = sandbox(&input(port, ""));
    let agent = Running::start(&sandbox);
    for length in [70_000, 250_000] {
        let sent = post(port, &one("r", &length.to_string(), &"x".repeat(length)));
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    agent.stop().expect(0);
    for length in [70_000, 250_000] {
        let records = sandbox.records(&format!("r/{length}"));
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["message"].as_str().map(str::len), Some(length));
    }
}

#[test]
fn a_full_spool_asks_the_client_to_wait_and_takes_nothing() {
    let port = free_port();
    let sandbox = sandbox("");
    // A store that cannot be written, and a spool that is soon full.
    let stack = format!(
        "active = \"s\"\n[stacks.s]\nartifact_store = \"a\"\n[artifact_stores.a]\nflavor = \"local\"\n\
         path = \"{{sandbox}}/file/store\"\n[spool]\ndir = \"{{sandbox}}/spool\"\nmax_bytes = \"256 KiB\"\n\
         when_full = \"block\"\n[agent]\ndeadline = \"0s\"\nscan_interval = \"100ms\"\n{}",
        input(port, "")
    );
    std::fs::write(sandbox.path("file"), "").unwrap();
    sandbox.write_stack(&stack);
    let agent = Running::start(&sandbox);
    let mut taken = 0;
    let refused = wait::until("the spool to be full", || {
        let answer = post(port, &one("r", "train", &format!("{taken} {}", "x".repeat(10_000))));
        if answer.status == 200 {
            taken += 1;
        }
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    let status: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(status["details"][0]["retryDelay"], "1s");
    agent.stop().expect(1);
    // What was taken is there, and nothing else.
    std::fs::remove_file(sandbox.path("file")).unwrap();
    sandbox.call(["ship", "--all"]).expect(0);
    let records = sandbox.records("r/train");
    assert_eq!(records.len(), taken, "{taken}");
}

#[test]
fn a_reload_loses_no_connection_and_what_is_open_to_others_is_refused() {
    let port = free_port();
    let sandbox = sandbox(&input(port, ""));
    let agent = Running::start(&sandbox);
    assert_eq!(post(port, &one("r", "a", "before")).status, 200);
    super::write_stack(&sandbox, &input(port, "max_requests = 2\n"));
    sandbox.call(["agent", "--reload"]).expect(0);
    assert_eq!(post(port, &one("r", "a", "after")).status, 200);
    super::write_stack(&sandbox, &input(port, "").replace("127.0.0.1", "0.0.0.0"));
    agent.signal(nix::sys::signal::Signal::SIGHUP);
    wait::until_true("the agent to say why not", || {
        let said = agent.said();
        said.contains("not reloaded") && said.contains("can be reached from other machines")
    });
    assert_eq!(post(port, &one("r", "a", "still")).status, 200);
    // Deliveries that begin look at the file.
    super::write_stack(&sandbox, &input(port, ""));
    agent.stop().expect(0);
    let records = sandbox.records("r/a");
    let messages: Vec<_> = records.iter().map(|record| record["message"].as_str()).collect();
    assert_eq!(messages, [Some("before"), Some("after"), Some("still")]);
}

#[test]
fn metrics_are_read_by_the_official_parser() {
    const PARSE: &str = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families\n\
        for family in text_string_to_metric_families(sys.stdin.read()):\n\
        \x20   for sample in family.samples:\n\
        \x20       print(family.name, family.type, sample.name, sample.labels, sample.value)\n";
    let (port, http) = (free_port(), free_port());
    let sandbox = sandbox(&input(port, ""));
    let stack = std::fs::read_to_string(sandbox.path("config/steplog/stack.toml")).unwrap();
    let with_http = format!("[agent]\nhttp = \"127.0.0.1:{http}\"");
    sandbox.write_stack(&stack.replace("[agent]", &with_http));
    let agent = Running::start(&sandbox);
    assert_eq!(post(port, &one("r", "a", "x")).status, 200);
    assert_eq!(ask(http, "GET", "/healthz", &[], b"").body, "ok\n");
    assert_eq!(ask(http, "GET", "/readyz", &[], b"").body, "ready\n");
    assert_eq!(ask(http, "GET", "/", &[], b"").status, 404);
    assert_eq!(ask(http, "POST", "/metrics", &[], b"").status, 405);
    let page = ask(http, "GET", "/metrics", &[], b"");
    assert!(page.head.contains("content-type: text/plain; version=0.0.4"), "{page:?}");
    let mut parser = sandbox.command(tool("python"));
    parser.args(["-c", PARSE]).stdin(Stdio::piped());
    let parsed = crate::support::sandbox::finish_with_input(&mut parser, page.body.as_bytes());
    let parsed = parsed.expect(0).text();
    let has = |line: &str| parsed.lines().any(|it| it.starts_with(line));
    for line in [
        "steplog_build_info gauge steplog_build_info {'version': '",
        "process_start_time_seconds gauge process_start_time_seconds {} 1",
        "steplog_input_up gauge steplog_input_up {'input': 'sdk', 'kind': 'otlp'} 1",
        "steplog_input_streams gauge steplog_input_streams {'input': 'sdk', 'kind': 'otlp'} 1",
        "steplog_input_read_bytes counter steplog_input_read_bytes_total {'input': 'sdk', 'kind': 'otlp'} ",
        "steplog_store_up gauge steplog_store_up {'store': '",
    ] {
        assert!(has(line), "{line}: {parsed}");
    }
    assert!(!parsed.contains(" unknown "), "a sample without a type: {parsed}");
    agent.stop().expect(0);
}
