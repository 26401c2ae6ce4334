//! The official types judge: what we write by hand, they read, in both encodings, and it says what
//! the record says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Any, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::super::config::Config;
use super::super::json::Json;
use super::super::model::Constant;
use super::super::protobuf::Protobuf;
use super::keys;
use crate::record::{Gap, GapReason, IoStream, Level, Nanos, Origin, Writer, WriterId};
use crate::stores::records::Format;
use crate::stores::records::event::StreamEvent;
use crate::stores::view::{Rare, View};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

pub(super) fn config() -> Config {
    keys::config("endpoint = 'http://localhost:4318'", []).unwrap()
}

fn writer(attributes: &[(&str, &str)]) -> Writer {
    let attributes = attributes.iter().map(|(name, text)| ((*name).into(), (*text).into()));
    Writer {
        id: WriterId::new(),
        origin: Origin {
            pipeline_run_id: "run \"1\"".into(),
            step_id: "träin".into(),
            attempt: 3,
            source: "step".into(),
        },
        started: Nanos(1_700_000_000_000_000_000),
        attributes: attributes.collect(),
    }
}

/// The request that these records become, by hand.
pub(super) fn request(format: &mut dyn Format, views: &[&View<'_>]) -> Vec<u8> {
    let mut all = Vec::new();
    for (position, view) in views.iter().enumerate() {
        if position > 0 {
            all.extend_from_slice(format.separator());
        }
        format.record(view, &mut all);
    }
    let around = format.around(&all);
    [around.head, all, around.tail].concat()
}

/// Both encodings of a request, read by the official types; they must be the same.
fn read(writer: &Writer, config: &Config, views: &[&View<'_>]) -> ExportLogsServiceRequest {
    let constant = Constant::new(writer, config);
    let protobuf = request(&mut Protobuf::new(&constant), views);
    let protobuf = ExportLogsServiceRequest::decode(protobuf.as_slice()).unwrap();
    let json = request(&mut Json::new(&constant), views);
    let json: ExportLogsServiceRequest = serde_json::from_slice(&json)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&json)));
    assert_eq!(json, protobuf);
    protobuf
}

fn records(writer: &Writer, views: &[&View<'_>]) -> Vec<LogRecord> {
    let request = read(writer, &config(), views);
    let [resource] = request.resource_logs.try_into().unwrap();
    let [scope] = resource.scope_logs.try_into().unwrap();
    let named = scope.scope.unwrap();
    assert_eq!(
        (named.name.as_str(), named.version.as_str()),
        ("steplog", env!("CARGO_PKG_VERSION"))
    );
    scope.log_records
}

fn official(value: &Value) -> Option<AnyValue> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => AnyValue::BoolValue(*flag),
        Value::String(text) => AnyValue::StringValue(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => AnyValue::IntValue(number),
            (_, Some(large)) => AnyValue::StringValue(large.to_string()),
            _ => AnyValue::DoubleValue(number.as_f64().unwrap()),
        },
        Value::Array(values) => {
            let values = values.iter().map(|value| Any { value: official(value) }).collect();
            AnyValue::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values })
        }
        Value::Object(values) => {
            let values = values.iter().map(|(key, value)| pair(key, value)).collect();
            AnyValue::KvlistValue(opentelemetry_proto::tonic::common::v1::KeyValueList { values })
        }
    })
}

fn pair(key: &str, value: &Value) -> KeyValue {
    let value = Some(Any { value: official(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Attributes by name; each may be there only once.
fn by_name(attributes: &[KeyValue]) -> BTreeMap<String, KeyValue> {
    let by_name: BTreeMap<_, _> =
        attributes.iter().map(|pair| (pair.key.clone(), pair.clone())).collect();
    assert_eq!(by_name.len(), attributes.len(), "{attributes:?}");
    by_name
}

fn plain(message: &str, seq: u64, level: Option<Level>) -> View<'_> {
    let (time, iostream) = (Nanos(1_764_000_000_123_456_789), IoStream::Stderr);
    View { time, seq, level, iostream, message, rare: None }
}

/// The record that a view must become, made the plain way.
fn model(writer: &Writer, view: &View<'_>) -> LogRecord {
    let (id, origin) = (writer.id, &writer.origin);
    let time = u64::try_from(view.time.0).unwrap_or(0);
    let name = match view.rare.and_then(|rare| rare.event) {
        None => view.seq.to_string(),
        Some(event) => event.kind.to_owned(),
    };
    let mut attributes = Map::new();
    for (name, value) in [
        ("pipeline_run_id", json!(origin.pipeline_run_id)),
        ("step_id", json!(origin.step_id)),
        ("source", json!(origin.source)),
        ("attempt", json!(origin.attempt)),
        ("seq", json!(view.seq)),
        ("log.iostream", json!(view.iostream.as_str())),
        ("log.record.uid", json!(format!("{id}-{name}"))),
    ] {
        attributes.insert(name.to_owned(), value);
    }
    let mut body = AnyValue::StringValue(view.message.to_owned());
    let mut event_name = String::new();
    if let Some(rare) = view.rare {
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                attributes.insert(name.to_owned(), value);
            }
        };
        set("log.record.original", rare.raw.map(Value::from));
        set("eol", rare.eol.map(Value::from));
        set("part", rare.part.map(Value::from));
        set("parts", rare.parts.map(Value::from));
        set("line", rare.line.map(Value::from));
        set("group", rare.group.map(Value::from));
        set("progress", rare.progress.then_some(true.into()));
        set("gap.bytes", rare.gap.map(|gap| gap.bytes.into()));
        set("gap.lines", rare.gap.map(|gap| gap.lines.into()));
        set("gap.reason", rare.gap.map(|_| "dropped_oldest".into()));
        set("event_timestamp", rare.event_timestamp.map(Value::from));
        set("steplog_event", rare.event.map(|event| event.kind.into()));
        set("steplog_stream", rare.event.map(|event| event.stream.into()));
        for (name, value) in rare.attributes.into_iter().flatten() {
            // The strategy has no name that is taken but this one.
            let name = if name == "source" { "attributes.source" } else { name };
            attributes.insert(name.to_owned(), value.clone());
        }
        if let Some(bytes) = &rare.bytes {
            body = AnyValue::BytesValue(STANDARD.decode(bytes).unwrap());
        }
        if let Some(event) = rare.event {
            event_name = format!("steplog.{}", event.kind);
        }
    }
    let severities = [1, 5, 9, 13, 17, 21];
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: view.level.map_or(0, |level| severities[level as usize]),
        severity_text: view.level.map_or("", Level::as_str).to_owned(),
        body: Some(Any { value: Some(body) }),
        attributes: attributes.iter().map(|(name, value)| pair(name, value)).collect(),
        dropped_attributes_count: 0,
        flags: 1,
        trace_id: (0..16)
            .map(|at| u8::from_str_radix(&TRACE[at * 2..at * 2 + 2], 16).unwrap())
            .collect(),
        span_id: (0..8)
            .map(|at| u8::from_str_radix(&SPAN[at * 2..at * 2 + 2], 16).unwrap())
            .collect(),
        event_name,
    }
}

fn traced() -> Writer {
    writer(&[("trace_id", TRACE), ("span_id", SPAN), ("trace_flags", "01")])
}

/// Views must become the records that the model says, and be shown as the JSON encoding has them.
fn check(views: &[&View<'_>]) {
    let writer = traced();
    let found = records(&writer, views);
    assert_eq!(found.len(), views.len());
    for (mut found, view) in found.into_iter().zip(views) {
        let mut expected = model(&writer, view);
        assert_eq!(by_name(&found.attributes), by_name(&expected.attributes));
        expected.attributes.clear();
        found.attributes.clear();
        assert_eq!(found, expected);

        let constant = Constant::new(&writer, &config());
        let (mut json, mut protobuf) = (Json::new(&constant), Protobuf::new(&constant));
        let (mut as_json, mut as_protobuf) = (Vec::new(), Vec::new());
        json.record(view, &mut as_json);
        protobuf.record(view, &mut as_protobuf);
        let shown: Value = serde_json::from_slice(&as_json).unwrap();
        assert_eq!(sorted(protobuf.show(&as_protobuf)), sorted(shown));
    }
}

/// Attributes in order of names: the two encodings have them in different orders.
fn sorted(mut record: Value) -> Value {
    if let Some(attributes) = record["attributes"].as_array_mut() {
        attributes.sort_by_key(|pair| pair["key"].to_string());
    }
    record
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Such as a reader of JSON that rounds in its own way gets right.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        ".{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z\"é]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn rare()(
        raw in proptest::option::of(".{0,20}"),
        bytes in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
        eol in proptest::option::of(Just("\r\n")),
        part in proptest::option::of(1..u32::MAX),
        line in proptest::option::of(any::<u64>()),
        progress in any::<bool>(),
        event_timestamp in proptest::option::of(Just("2026-01-02T03:04:05.000000000Z")),
        attributes in proptest::collection::btree_map("x[a-z\"é]{0,4}|source", value(), 0..5),
    ) -> (Option<String>, Option<Vec<u8>>, Rare<'static>, Map<String, Value>) {
        let rare = Rare { eol, part, parts: part, line, group: line, progress, event_timestamp, ..Rare::default() };
        (raw, bytes, rare, attributes.into_iter().collect())
    }
}

proptest! {
    #[test]
    fn plain_lines(
        message in ".{0,300}|[ -~]{0,300}",
        seq in prop_oneof![0..=i64::MAX as u64, 0..300_u64],
        time in prop_oneof![any::<i64>(), Just(1_764_000_000_123_456_789)],
        level in proptest::option::of(proptest::sample::select(&Level::ALL[..])),
        iostream in proptest::sample::select(&IoStream::ALL[..]),
    ) {
        let view = View { time: Nanos(time), iostream, ..plain(&message, seq, level) };
        check(&[&view, &view]);
    }

    #[test]
    fn lines_with_fields_that_most_do_not_have(
        (raw, bytes, rare, attributes) in rare(),
        message in ".{0,100}",
        gap in proptest::option::of(any::<u32>()),
    ) {
        let gap = gap.map(|bytes| {
            Gap { bytes: bytes.into(), lines: 2, reason: GapReason::DroppedOldest }
        });
        let rare = Rare {
            raw: raw.as_deref(),
            bytes: bytes.map(|bytes| STANDARD.encode(bytes)),
            gap: gap.as_ref(),
            attributes: Some(&attributes),
            ..rare
        };
        check(&[&View { rare: Some(&rare), ..plain(&message, 7, None) }]);
    }
}

#[test]
fn starts_and_ends_are_events() {
    let writer = traced();
    StreamEvent::start(&writer).show(|view| {
        let [record] = records(&writer, &[view]).try_into().unwrap();
        assert_eq!(record.event_name, "steplog.start");
        let attributes = by_name(&record.attributes);
        let uid = pair("log.record.uid", &format!("{}-start", writer.id).into());
        assert_eq!(attributes["log.record.uid"], uid);
        assert_eq!(attributes["steplog_event"], pair("steplog_event", &"start".into()));
        assert!(attributes.contains_key("steplog_stream"));
        check(&[view]);
    });
}

#[test]
fn lifted_fields_never_take_a_name_of_ours() {
    let Value::Object(attributes) = json!({
        "seq": 1, "attributes.seq": 2, "log.iostream": "x", "": null, "part": [1], "loss": 0.5,
    }) else {
        unreachable!()
    };
    let rare = Rare { attributes: Some(&attributes), part: Some(4), ..Rare::default() };
    let view = View { rare: Some(&rare), ..plain("m", 9, None) };
    let [record] = records(&traced(), &[&view]).try_into().unwrap();
    let found = by_name(&record.attributes);
    for (name, value) in [
        ("seq", json!(9)),
        ("attributes.seq", json!(2)),
        ("attributes.attributes.seq", json!(1)),
        ("log.iostream", json!("stderr")),
        ("attributes.log.iostream", json!("x")),
        ("attributes.", Value::Null),
        ("part", json!(4)),
        ("attributes.part", json!([1])),
        ("loss", json!(0.5)),
    ] {
        assert_eq!(found.get(name), Some(&pair(name, &value)), "{name}");
    }
}

#[track_caller]
fn check_resource(attributes: &[(&str, &str)], config: &Config, expected: &[(&str, Value)]) {
    let writer = writer(attributes);
    let request = read(&writer, config, &[]);
    let [logs] = request.resource_logs.try_into().unwrap();
    let found = by_name(&logs.resource.unwrap().attributes);
    let own = [
        ("service.instance.id", json!(writer.id.to_string())),
        ("cicd.pipeline.run.id", json!("run \"1\"")),
    ];
    let mut expected: BTreeMap<_, _> = expected
        .iter()
        .chain(&own)
        .map(|(name, value)| ((*name).to_owned(), pair(name, value)))
        .collect();
    if !attributes.iter().any(|(name, _)| *name == "cicd.pipeline.task.run.id") {
        let name = "cicd.pipeline.task.run.id";
        expected.insert(name.to_owned(), pair(name, &"träin".into()));
    }
    assert_eq!(found, expected);
}

#[test]
fn the_resource_says_what_is_constant() {
    let version = json!(env!("CARGO_PKG_VERSION"));
    let steplog = [("service.name", json!("steplog")), ("service.version", version)];
    check_resource(&[], &config(), &steplog);
    check_resource(
        &[
            ("process.pid", "17"),
            ("host.name", "h"),
            ("service.name", "ours"),
            ("trace_id", TRACE),
            ("cicd.pipeline.task.run.id", "99"),
        ],
        &config(),
        &[
            ("process.pid", json!(17)),
            ("host.name", json!("h")),
            ("service.name", json!("ours")),
            ("cicd.pipeline.task.run.id", json!("99")),
        ],
    );
    let named = keys::config("service_name = 'mine'\nservice_version = '2'", []).unwrap();
    check_resource(
        &[("service.name", "ours"), ("service.version", "1")],
        &named,
        &[("service.name", json!("mine")), ("service.version", json!("2"))],
    );
}

#[test]
fn without_a_trace_there_is_none() {
    for attributes in [&[][..], &[("trace_id", TRACE)], &[("trace_id", "xyz"), ("span_id", SPAN)]] {
        let [record] = records(&writer(attributes), &[&plain("m", 0, None)]).try_into().unwrap();
        assert_eq!((record.trace_id, record.span_id, record.flags), (vec![], vec![], 0));
    }
}
