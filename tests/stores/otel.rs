//! The `otel` flavor: over HTTP and gRPC against a server on the official stubs, then against servers
//! of others.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Map, Value, json};

use super::conformance::{BATCH, Bench, Doubles, Stored, Subject, assert_arrived, conformance};
use crate::servers::otlp::{Collector, Otlp, SESSION, test_agent};
use crate::support::{lines, wait};

/// A server with one of the protocols.
struct Over<const PROTOCOL: usize> {
    server: Otlp,
}

const PROTOCOLS: [&str; 3] = ["http/protobuf", "http/json", "grpc"];
const PROTOBUF: usize = 0;
const JSON: usize = 1;
const GRPC: usize = 2;

impl<const PROTOCOL: usize> Subject for Over<PROTOCOL> {
    const PROTOCOLS: &'static [&'static str] = if PROTOCOL == GRPC { &["h2"] } else { &[] };

    fn start() -> Self {
        Self { server: Otlp::start() }
    }

    fn address(&self) -> SocketAddr {
        if PROTOCOL == GRPC { self.server.grpc } else { self.server.http }
    }

    fn keys(&self, base: &str) -> String {
        let protocol = PROTOCOLS[PROTOCOL];
        format!("flavor = \"otel\"\nprotocol = \"{protocol}\"\nendpoint = \"{base}\"")
    }

    fn stop(&mut self) {
        self.server.stop();
    }

    fn restart(&mut self) {
        self.server.restart();
    }

    fn stored(&self, run: &str) -> Vec<Stored> {
        stored(&self.server, run)
    }
}

/// Every record of a run, from what the server has taken.
fn stored(server: &Otlp, run: &str) -> Vec<Stored> {
    let mut stored = Vec::new();
    for resource in
        server.seen().into_iter().filter_map(|it| it.request).flat_map(|it| it.resource_logs)
    {
        let about = fields(&resource.resource.unwrap().attributes);
        if about["cicd.pipeline.run.id"] != run {
            continue;
        }
        let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
        stored.extend(records.map(|record| one(&about, &record)));
    }
    stored
}

/// A record as `logs -o json` gives it.
fn one(resource: &Map<String, Value>, record: &LogRecord) -> Stored {
    let mut fields = fields(&record.attributes);
    let writer = resource["service.instance.id"].as_str().unwrap().to_owned();
    let uid = fields.remove("log.record.uid").unwrap();
    let event = fields.get("steplog_event").and_then(Value::as_str).map(str::to_owned);
    let seq = fields["seq"].as_u64().unwrap();
    let name = event.clone().unwrap_or_else(|| seq.to_string());
    assert_eq!(uid, format!("{writer}-{name}"));
    assert_eq!(record.observed_time_unix_nano, record.time_unix_nano);

    let mut found = Map::new();
    for (name, standard) in [("raw", "log.record.original"), ("iostream", "log.iostream")] {
        if let Some(value) = fields.remove(standard) {
            found.insert(name.to_owned(), value);
        }
    }
    for name in [
        "seq",
        "pipeline_run_id",
        "step_id",
        "source",
        "attempt",
        "eol",
        "part",
        "parts",
        "line",
        "group",
        "progress",
        "event_timestamp",
        "steplog_event",
        "steplog_stream",
    ] {
        if let Some(value) = fields.remove(name) {
            found.insert(name.to_owned(), value);
        }
    }
    let nanos = i128::from(record.time_unix_nano);
    let time = jiff::Timestamp::from_nanosecond(nanos).unwrap();
    found.insert("timestamp".to_owned(), format!("{time:.9}").into());
    if !record.severity_text.is_empty() {
        found.insert("level".to_owned(), record.severity_text.clone().into());
    }
    match record.body.clone().unwrap().value.unwrap() {
        Any::StringValue(text) => found.insert("message".to_owned(), text.into()),
        Any::BytesValue(bytes) => {
            found.insert("bytes".to_owned(), STANDARD.encode(&bytes).into());
            found.insert("message".to_owned(), String::from_utf8_lossy(&bytes).into())
        }
        other => panic!("{other:?}"),
    };
    // What is left was lifted.
    if !fields.is_empty() {
        found.insert("attributes".to_owned(), fields.into());
    }
    Stored { writer, seq, event, record: found.into() }
}

fn fields(attributes: &[KeyValue]) -> Map<String, Value> {
    let value = |pair: &KeyValue| value(pair.value.clone().unwrap());
    let fields: Map<_, _> = attributes.iter().map(|pair| (pair.key.clone(), value(pair))).collect();
    assert_eq!(fields.len(), attributes.len(), "a name is there twice: {attributes:?}");
    fields
}

fn value(any: AnyValue) -> Value {
    match any.value {
        None => Value::Null,
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(flag)) => flag.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::ArrayValue(array)) => array.values.into_iter().map(value).collect(),
        Some(Any::KvlistValue(list)) => fields(&list.values).into(),
        Some(other) => panic!("{other:?}"),
    }
}

// Nowhere the group `partial`: a server says how many records it rejected, but not which.

mod http_protobuf {
    use super::{Over, PROTOBUF, conformance};
    type Protobuf = Over<PROTOBUF>;
    conformance!(Protobuf: basics, faults, wire, secure);
}

mod http_json {
    use super::{JSON, Over, conformance};
    type Json = Over<JSON>;
    conformance!(Json: basics);
}

mod over_grpc {
    use super::{GRPC, Over, conformance};
    type Grpc = Over<GRPC>;
    // The group `faults` knows HTTP/1.1 only; what stands for it is below.
    conformance!(Grpc: basics, wire);
    // Without TLS there is no proxy for gRPC.
    conformance!(@tests secure Grpc: a_private_ca_is_trusted_when_it_is_named,
        a_private_ca_is_not_trusted_otherwise, a_client_certificate_is_shown,
        without_its_client_certificate_it_is_refused, https_goes_through_a_proxy,
        no_proxy_is_heeded);
}

fn grpc_bench(server: &Otlp) -> Bench {
    let keys = format!(
        "flavor = \"otel\"\nprotocol = \"grpc\"\nendpoint = \"http://{}\"\nheaders = {{ x-key = \"k\" }}",
        server.grpc
    );
    Bench::new(&keys)
}

/// These requests are refused with a code; everything must arrive all the same.
#[track_caller]
fn survives(run: &str, code: u8, pause: &str, count: usize) -> Otlp {
    let subject = Over::<GRPC>::start();
    let bench = grpc_bench(&subject.server);
    subject.server.order(&format!("{code} {pause} {count}"));
    let text = lines::numbered(3 * BATCH);
    bench.deliver(run, text.as_bytes());
    assert_arrived(&subject, run, text.as_bytes(), Doubles::Never);
    let seen = subject.server.seen();
    assert_eq!(seen.iter().filter(|seen| seen.request.is_none()).count(), count);
    assert!(seen.iter().all(|seen| seen.metadata["x-key"] == "k"), "{seen:?}");
    subject.server
}

#[test]
fn grpc_codes_that_pass_are_tried_again() {
    for (code, name) in [
        (1, "cancelled"),
        (2, "unknown"),
        (4, "deadline"),
        (10, "aborted"),
        (11, "range"),
        (13, "internal"),
        (14, "unavailable"),
        (15, "data-loss"),
    ] {
        survives(&format!("grpc-{name}"), code, "-", 2);
    }
}

#[test]
fn grpc_exhaustion_with_a_time_to_come_back_waits_for_it() {
    let server = survives("grpc-exhausted", 8, "1.0", 1);
    let seen = server.seen();
    let refused = seen.iter().find(|seen| seen.request.is_none()).unwrap();
    let next = seen.iter().find(|seen| seen.at > refused.at).unwrap();
    assert!(next.at - refused.at > 0.99, "it came back after {}", next.at - refused.at);
}

/// Delivery stops, says these words, and goes on when somebody says so.
#[track_caller]
fn stops(run: &str, code: u8, words: &[&str], exit_code: i32) {
    let subject = Over::<GRPC>::start();
    let mut bench = grpc_bench(&subject.server);
    bench.set("deadline", "3s");
    subject.server.order(&format!("{code} - 1000"));
    let text = lines::numbered(BATCH);
    let said = bench.print(run, text.as_bytes()).expect(0).errors();
    for word in words {
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
    assert_eq!(bench.sandbox.spooled().len(), 1, "the spool keeps it");
    let tries = subject.server.seen().len();
    // What is no matter of credentials is tried anew with each new ship, until the deadline.
    assert!(tries < 5 || exit_code != 4, "{tries} tries: it does not go on");
    bench.sandbox.call(["ship", "--all"]).expect(exit_code);
    subject.server.order("");
    bench.sandbox.call(["ship", "--all"]).expect(0);
    assert_arrived(&subject, run, text.as_bytes(), Doubles::Never);
    assert!(bench.dead_letters().is_empty());
}

#[test]
fn grpc_credentials_that_are_refused_stop_delivery() {
    stops("grpc-unauthenticated", 16, &["UNAUTHENTICATED: told to say so", "credentials"], 4);
    stops("grpc-denied", 7, &["PERMISSION_DENIED", "credentials"], 4);
}

#[test]
fn grpc_codes_that_stay_stop_delivery() {
    stops("grpc-exhausted-for-good", 8, &["RESOURCE_EXHAUSTED", "quota"], 1);
    stops("grpc-unimplemented", 12, &["UNIMPLEMENTED", "endpoint"], 1);
}

/// All records of a request of which some were rejected are dead letters: nobody can tell which.
#[track_caller]
fn rejects_some(run: &str, protocol: usize) {
    let server = Otlp::start();
    let address = if protocol == GRPC { server.grpc } else { server.http };
    let bench = Bench::new(&format!(
        "flavor = \"otel\"\nprotocol = \"{}\"\nendpoint = \"http://{address}\"",
        PROTOCOLS[protocol]
    ));
    server.order("refuse line=00000003");
    let text = lines::numbered(BATCH);
    bench.print(run, text.as_bytes()).expect(0);
    bench.all_delivered();
    let stored = stored(&server, run);
    let end = stored.iter().find(|stored| stored.event.as_deref() == Some("end")).unwrap();
    let end: Value = serde_json::from_str(end.record["steplog_stream"].as_str().unwrap()).unwrap();
    assert_eq!(end["end"]["rejected"], 1);
    assert_eq!(stored.len(), BATCH - 1 + 2);
    let letters = bench.dead_letters();
    assert_eq!(letters.len(), BATCH);
    let reason = letters[0]["reason"].as_str().unwrap();
    assert!(reason.contains("1 of these") && reason.contains("words I do not like"), "{reason}");
    let bodies = letters.iter().map(|letter| &letter["record"]["body"]["stringValue"]);
    assert_eq!(bodies.filter(|body| body.as_str().unwrap().contains("line=00000003")).count(), 1);
}

#[test]
fn records_that_a_server_rejects_are_dead_letters() {
    rejects_some("rejected-protobuf", PROTOBUF);
    rejects_some("rejected-json", JSON);
    rejects_some("rejected-grpc", GRPC);
}

/// Headers, and every coding that a server of ours knows.
#[test]
fn every_coding_arrives() {
    let subject = Over::<PROTOBUF>::start();
    for (protocol, name) in PROTOCOLS.into_iter().enumerate() {
        let address = if protocol == GRPC { subject.server.grpc } else { subject.server.http };
        for coding in ["none", "gzip", "deflate"] {
            let run = format!("coding-{protocol}-{coding}");
            let bench = Bench::new(&format!(
                "flavor = \"otel\"\nprotocol = \"{name}\"\nendpoint = \"http://{address}\"\n\
                 compression = \"{coding}\""
            ));
            bench.deliver(&run, b"hello\n");
            assert_arrived(&subject, &run, b"hello\n", Doubles::Never);
        }
    }
    let mut by_protocol = BTreeMap::new();
    for seen in subject.server.seen() {
        *by_protocol.entry(seen.protocol).or_insert(0) += 1;
    }
    let kinds = ["application/json", "application/x-protobuf", "grpc"];
    assert_eq!(by_protocol.into_keys().collect::<Vec<_>>(), kinds);
}

/// The standard variables alone say where to.
#[test]
fn the_environment_says_where_to() {
    let subject = Over::<PROTOBUF>::start();
    let bench = Bench::new("flavor = \"otel\"");
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", subject.server.http)),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20secret".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json".to_owned()),
        ("OTEL_SERVICE_NAME", "training".to_owned()),
        ("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    ];
    let mut command = bench.sandbox.wrap("environment", ["echo", "hello"]);
    for (name, value) in &variables {
        command.env(name, value);
    }
    let output = crate::support::sandbox::finish(&mut command).expect(0);
    assert_eq!(output.errors(), "", "{}", bench.sandbox.ship_said());
    assert_arrived(&subject, "environment", b"hello\n", Doubles::Never);
    let seen = subject.server.seen();
    assert!(seen.iter().all(|seen| seen.metadata["x-key"] == "a secret"), "{seen:?}");
    assert!(seen.iter().all(|seen| seen.protocol == "application/json"), "{seen:?}");
    let request = seen[0].request.as_ref().unwrap();
    let resource = &request.resource_logs[0];
    let about = fields(&resource.resource.as_ref().unwrap().attributes);
    assert_eq!(about["service.name"], "training");
    let record = &resource.scope_logs[0].log_records[0];
    assert_eq!((record.trace_id[0], record.span_id[7], record.flags), (0x4b, 0xb7, 1));
}

#[test]
fn logs_says_where_they_can_be_seen() {
    let bench = Bench::new(
        "flavor = \"otel\"\nendpoint = \"https://u:hunter2@otlp.example.com/base?key=hunter2\"",
    );
    let said = bench.sandbox.call(["logs", "some-run"]).errors();
    assert!(said.contains("https://otlp.example.com/base/v1/logs"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

/// Datadog's test agent reads every protocol, and what it shows is what the step printed.
#[test]
fn a_server_of_others_takes_every_protocol() {
    let agent = test_agent();
    for (protocol, name) in PROTOCOLS.into_iter().enumerate() {
        let address = if protocol == GRPC { agent.grpc } else { agent.http };
        for coding in ["gzip", "none"] {
            let session = format!("session-{protocol}-{coding}");
            let bench = Bench::new(&format!(
                "flavor = \"otel\"\nprotocol = \"{name}\"\nendpoint = \"http://{address}\"\n\
                 compression = \"{coding}\"\nheaders = {{ {SESSION} = \"{session}\" }}"
            ));
            let text = lines::numbered(20);
            bench.deliver("test-agent", text.as_bytes());
            let messages: Vec<String> = wait::until("the agent to show the records", || {
                let messages: Vec<String> =
                    agent.requests(&session).iter().flat_map(messages).collect();
                (messages.len() >= 22).then_some(messages)
            });
            let printed: Vec<&str> = text.lines().collect();
            assert_eq!(messages[1..21], printed[..], "{session}");
        }
    }
}

/// The texts of a request that is shown as JSON, in either spelling.
fn messages(request: &Value) -> Vec<String> {
    let of = |value: &Value, snake: &str, camel: &str| -> Vec<Value> {
        let found = value.get(snake).or_else(|| value.get(camel));
        found.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let text = |value: &Value| {
        let body = &value["body"];
        let text = body.get("string_value").or_else(|| body.get("stringValue"));
        text.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let resources = of(request, "resource_logs", "resourceLogs");
    let scopes = resources.iter().flat_map(|it| of(it, "scope_logs", "scopeLogs"));
    scopes.flat_map(|it| of(&it, "log_records", "logRecords")).map(|it| text(&it)).collect()
}

/// A collector takes every protocol, and what it passes on is what we sent.
#[test]
fn a_collector_passes_it_on() {
    let subject = Over::<GRPC>::start();
    let collector = Collector::before(&subject.server);
    for (protocol, name) in PROTOCOLS.into_iter().enumerate() {
        let address = if protocol == GRPC { collector.grpc } else { collector.http };
        let run = format!("collector-{protocol}");
        let bench = Bench::new(&format!(
            "flavor = \"otel\"\nprotocol = \"{name}\"\nendpoint = \"http://{address}\""
        ));
        let text = lines::numbered(2 * BATCH);
        bench.deliver(&run, text.as_bytes());
        let end = assert_arrived(&subject, &run, text.as_bytes(), Doubles::Never);
        assert_eq!(end["end"]["exit"]["code"], json!(0));
    }
}
