//! Requests to lines. The official types judge both encodings, our own encoder's requests come back as what
//! was sent, and no bytes are a panic.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::record::DecodeError;
use super::streams::Decoded;
use super::{Encoding, decode};
use crate::line::json::lift;
use crate::record::{IoStream, Level, Nanos, Origin, Writer, WriterId};
use crate::stores::otel::tests::{Sent, requests};

const MOST: usize = 1 << 20;
const NOW: Nanos = Nanos(1_764_000_000_000_000_000);

fn protobuf(request: &[u8]) -> Result<Decoded, DecodeError> {
    decode(Encoding::Protobuf, request, NOW, MOST)
}

fn from_json(request: &Value) -> Result<Decoded, DecodeError> {
    decode(Encoding::Json, request.to_string().as_bytes(), NOW, MOST)
}

/// One record with these attributes, of a resource with those.
fn one(resource: Value, record: Value) -> Value {
    let pairs = |named: Value| -> Vec<Value> {
        let Value::Object(named) = named else { unreachable!() };
        let pair = |(key, text): (String, Value)| json!({ "key": key, "value": text_value(&text) });
        named.into_iter().map(pair).collect()
    };
    let Value::Object(mut record) = record else { unreachable!() };
    if let Some(attributes) = record.remove("attributes") {
        record.insert("attributes".to_owned(), pairs(attributes).into());
    }
    json!({ "resourceLogs": [{
        "resource": { "attributes": pairs(resource) },
        "scopeLogs": [{ "logRecords": [record] }],
    }] })
}

fn text_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        other => json!({ "stringValue": other }),
    }
}

fn lines(decoded: &Decoded) -> Vec<&str> {
    let batches = decoded.batches.iter();
    batches.flat_map(|batch| std::str::from_utf8(&batch.lines).unwrap().lines()).collect()
}

prop_compose! {
    fn sent()(
        time in 1..i64::MAX,
        level in proptest::option::of(proptest::sample::select(&Level::ALL[..])),
        iostream in proptest::sample::select(&IoStream::ALL[..]),
        message in ".{0,60}",
        attributes in proptest::collection::btree_map("x[a-zé\"]{0,5}", any_json(), 0..4),
    ) -> Sent {
        let attributes = attributes.into_iter().collect();
        Sent { time: Nanos(time), level, iostream, message, attributes }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Such as a reader of JSON that rounds in its own way gets right.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        ".{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z\"é]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Option<AnyValue>> {
    let leaf = prop_oneof![
        Just(None),
        any::<bool>().prop_map(|flag| Some(Any::BoolValue(flag))),
        any::<i64>().prop_map(|number| Some(Any::IntValue(number))),
        any::<i32>().prop_map(|number| Some(Any::DoubleValue(f64::from(number) / 8.0))),
        ".{0,9}".prop_map(|text| Some(Any::StringValue(text))),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Some(Any::BytesValue(bytes))),
    ];
    let value = leaf.prop_map(|value| AnyValue { value });
    let value = value.prop_recursive(3, 12, 4, |inner| {
        let pair = (".{1,4}", inner.clone());
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            vec(pair.prop_map(|(key, value)| pair_of(key, Some(value))), 0..4)
                .prop_map(|values| Any::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    });
    proptest::option::of(value)
}

fn pair_of(key: String, value: Option<AnyValue>) -> KeyValue {
    KeyValue { key, value, ..KeyValue::default() }
}

fn pairs() -> impl Strategy<Value = Vec<KeyValue>> {
    let names = "[a-z.]{1,6}|level|message|severity|pipeline_run_id|step_id|source|attempt";
    vec((names, any_value()).prop_map(|(key, value)| pair_of(key, value)), 0..5)
}

prop_compose! {
    fn record()(
        (time_unix_nano, observed_time_unix_nano) in (any::<u64>(), any::<u64>()),
        severity_number in 0..30,
        severity_text in "|INFO|warn|.{0,8}",
        body in any_value(),
        attributes in pairs(),
        (dropped_attributes_count, flags) in (any::<u32>(), any::<u32>()),
        trace_id in prop_oneof![Just(vec![]), vec(any::<u8>(), 16)],
        span_id in prop_oneof![Just(vec![]), vec(any::<u8>(), 8)],
        event_name in ".{0,8}",
    ) -> LogRecord {
        LogRecord {
            time_unix_nano, observed_time_unix_nano, severity_number, severity_text, body, attributes,
            dropped_attributes_count, flags, trace_id, span_id, event_name,
        }
    }
}

prop_compose! {
    fn request()(
        resource in proptest::option::of(pairs()),
        scope in proptest::option::of((".{0,4}", ".{0,4}", pairs())),
        log_records in vec(record(), 0..4),
    ) -> ExportLogsServiceRequest {
        let resource = resource.map(|attributes| Resource { attributes, ..Resource::default() });
        let scope = scope.map(|(name, version, attributes)| {
            InstrumentationScope { name, version, attributes, ..InstrumentationScope::default() }
        });
        let scope_logs = vec![ScopeLogs { scope, log_records, ..ScopeLogs::default() }];
        let logs = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
        ExportLogsServiceRequest { resource_logs: vec![logs] }
    }
}

/// The names of fields as the `.proto` files have them.
fn snake(value: Value) -> Value {
    let name = |name: &str| {
        name.chars()
            .flat_map(|char| {
                let upper = char.is_ascii_uppercase().then_some('_');
                upper.into_iter().chain([char.to_ascii_lowercase()])
            })
            .collect::<String>()
    };
    match value {
        Value::Array(values) => values.into_iter().map(snake).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(field, value)| (name(&field), snake(value))).collect()
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn what_our_own_encoder_sends_comes_back(sent in vec(sent(), 1..6)) {
        let writer = Writer {
            id: WriterId::new(),
            origin: Origin {
                pipeline_run_id: "run \"1\"".into(),
                step_id: "träin".into(),
                attempt: 3,
                source: "hook:x".into(),
            },
            started: NOW,
            attributes: [("host.name".to_owned(), "h".to_owned())].into(),
        };
        let [from_protobuf, from_json] = requests(&writer, &sent);
        let decoded = protobuf(&from_protobuf).unwrap();
        prop_assert_eq!(&decoded, &decode(Encoding::Json, &from_json, NOW, MOST).unwrap());
        let [batch] = &decoded.batches[..] else { panic!("{decoded:?}") };
        let metadata = &batch.metadata;
        prop_assert_eq!(metadata.pipeline_run_id.as_ref(), Some(&writer.origin.pipeline_run_id));
        prop_assert_eq!(metadata.step_id.as_ref(), Some(&writer.origin.step_id));
        prop_assert_eq!(metadata.source.as_ref(), Some(&writer.origin.source));
        prop_assert_eq!(metadata.attempt, Some(3));
        prop_assert_eq!(metadata.attributes.get("host.name").map(String::as_str), Some("h"));
        let found = lines(&decoded);
        prop_assert_eq!(found.len(), sent.len());
        let mut of_bytes = Vec::new();
        let mut from = 0;
        for (iostream, until) in &batch.pieces {
            let count = memchr::memchr_iter(b'\n', &batch.lines[from..*until]).count();
            of_bytes.extend(std::iter::repeat_n(*iostream, count));
            from = *until;
        }
        for (((line, sent), seq), iostream) in found.into_iter().zip(&sent).zip(0..).zip(of_bytes) {
            let lifted = lift(line.as_bytes()).unwrap();
            prop_assert_eq!(lifted.message.as_ref(), Some(&sent.message));
            prop_assert_eq!(lifted.level, sent.level);
            prop_assert_eq!(lifted.event_timestamp, Some(sent.time.to_rfc3339()));
            prop_assert_eq!(iostream, sent.iostream);
            let mut attributes = lifted.attributes;
            prop_assert_eq!(attributes.remove("seq"), Some(json!(seq)));
            let uid = format!("{}-{seq}", writer.id);
            prop_assert_eq!(attributes.remove("log.record.uid"), Some(json!(uid)));
            attributes.remove("otel.scope.name");
            attributes.remove("otel.scope.version");
            prop_assert_eq!(attributes, sent.attributes.clone());
        }
    }

    #[test]
    fn both_encodings_and_both_spellings_say_the_same(request in request()) {
        let decoded = protobuf(&request.encode_to_vec()).unwrap();
        let camel = serde_json::to_value(&request).unwrap();
        prop_assert_eq!(&from_json(&camel).unwrap(), &decoded);
        prop_assert_eq!(&from_json(&snake(camel)).unwrap(), &decoded);
        let records = request.resource_logs[0].scope_logs[0].log_records.len() as u64;
        prop_assert_eq!(lines(&decoded).len() as u64 + decoded.rejected, records);
        for line in lines(&decoded) {
            let lifted = lift(line.as_bytes());
            prop_assert!(lifted.is_some_and(|it| it.event_timestamp.is_some()), "{}", line);
        }
    }

    #[test]
    fn no_bytes_are_a_panic(
        noise in vec(any::<u8>(), 0..300),
        request in request(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        _ = protobuf(&noise);
        _ = decode(Encoding::Json, &noise, NOW, MOST);
        for (mut bytes, encoding) in [
            (request.encode_to_vec(), Encoding::Protobuf),
            (serde_json::to_vec(&request).unwrap(), Encoding::Json),
        ] {
            for (index, byte) in &changes {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            if let Ok(decoded) = decode(encoding, &bytes, NOW, MOST) {
                let objects = lines(&decoded).iter().all(|line| line.starts_with('{'));
                prop_assert!(objects);
            }
        }
    }
}

#[track_caller]
fn check_origin(resource: Value, attributes: Value, expected: [&str; 4], left: Value) {
    let decoded = from_json(&one(resource, json!({ "attributes": attributes }))).unwrap();
    let [batch] = &decoded.batches[..] else { panic!("{decoded:?}") };
    let metadata = &batch.metadata;
    let attempt = metadata.attempt.map(|attempt| attempt.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let found = [
        text(&metadata.pipeline_run_id),
        text(&metadata.step_id),
        text(&metadata.source),
        attempt,
    ];
    assert_eq!(found, expected.map(str::to_owned));
    let [line] = lines(&decoded).try_into().unwrap();
    assert_eq!(Value::Object(lift(line.as_bytes()).unwrap().attributes), left);
}

#[test]
fn attributes_name_the_stream() {
    check_origin(
        json!({ "cicd.pipeline.run.id": "r", "service.name": "s" }),
        json!({ "cicd.pipeline.task.run.id": "t", "x": 1 }),
        ["r", "t", "", ""],
        json!({ "x": 1 }),
    );
    // A record knows better than its resource, and our names are surer than others'.
    check_origin(
        json!({ "pipeline_run_id": "r", "step_id": "s", "attempt": 2, "source": "client" }),
        json!({ "step_id": "other", "cicd.pipeline.task.run.id": "task" }),
        ["r", "other", "client", "2"],
        json!({ "cicd.pipeline.task.run.id": "task" }),
    );
    // Common words mean nothing by themselves.
    check_origin(
        json!({ "source": "kafka" }),
        json!({ "attempt": 7, "source": "topic" }),
        ["", "", "", ""],
        json!({ "attempt": 7, "source": "topic" }),
    );
}

/// As `zenml.log_stores.otel` 0.98 writes it.
#[test]
fn requests_of_zenml() {
    let request = json!({ "resource_logs": [{
        "resource": { "attributes": [
            { "key": "service.name", "value": { "string_value": "zenml" } },
            { "key": "empty", "value": null },
        ] },
        "scope_logs": [{
            "scope": { "name": "step", "version": "", "schema_url": "", "attributes": null },
            "log_records": [{
                "time_unix_nano": 1_764_000_000_000_000_000_i64,
                "observed_time_unix_nano": 1_764_000_000_000_000_001_i64,
                "span_id": 255, "trace_id": 4096, "flags": 1,
                "body": { "string_value": "Step train has started." },
                "severity_text": "INFO", "severity_number": 9, "dropped_attributes_count": 0,
                "attributes": [
                    { "key": "code.line.number", "value": { "int_value": 12 } },
                    { "key": "zenml.pipeline.run.id", "value": { "string_value": "9f3e" } },
                    { "key": "zenml.step.run.id", "value": { "string_value": "77aa" } },
                    { "key": "zenml.step.run.name", "value": { "string_value": "train" } },
                    { "key": "zenml.log.source", "value": { "string_value": "step" } },
                    { "key": "nested", "value": { "kvlist_value": { "values": [
                        { "a": { "int_value": 1 }, "b": { "bool_value": true } },
                    ] } } },
                ],
            }],
            "schema_url": "", "attributes": null,
        }],
        "schema_url": "",
    }] });
    let decoded = from_json(&request).unwrap();
    let [batch] = &decoded.batches[..] else { panic!("{decoded:?}") };
    let metadata = &batch.metadata;
    let named = [&metadata.pipeline_run_id, &metadata.step_id, &metadata.source];
    assert_eq!(named.map(|id| id.as_deref()), [Some("9f3e"), Some("77aa"), Some("step")]);
    assert_eq!(
        lines(&decoded),
        [r#"{"timestamp":"2025-11-24T16:00:00.000000000Z","level":"INFO","message":"Step train has started.","code.line.number":12,"nested":{"a":1,"b":true},"otel.scope.name":"step","span_id":"00000000000000ff","trace_flags":1,"trace_id":"00000000000000000000000000001000","zenml.step.run.name":"train"}"#]
    );
}

#[test]
fn what_a_record_lacks_is_made_up_from_what_it_has() {
    let line = |record: Value| {
        let decoded = from_json(&one(json!({}), record)).unwrap();
        lines(&decoded).concat()
    };
    let at = r#"{"timestamp":"2025-11-24T16:00:00.000000000Z""#;
    assert_eq!(line(json!({})), format!(r#"{at},"message":""}}"#));
    assert_eq!(
        line(json!({ "timeUnixNano": "0", "observedTimeUnixNano": "1000000000", "severityText": "warn" })),
        r#"{"timestamp":"1970-01-01T00:00:01.000000000Z","level":"WARNING","message":""}"#
    );
    assert_eq!(
        line(json!({ "severityNumber": 18, "severityText": "Oops", "eventName": "done" })),
        format!(r#"{at},"level":"ERROR","message":"done","event.name":"done","severity_number":18,"severity_text":"Oops"}}"#)
    );
    assert_eq!(
        line(json!({ "severityNumber": "SEVERITY_NUMBER_INFO", "body": { "bytesValue": "/w==" } })),
        format!(r#"{at},"level":"INFO","message":"�","body.bytes":"/w=="}}"#)
    );
    assert_eq!(
        line(json!({ "attributes": { "level": "beginner", "message": "m" } })),
        format!(r#"{at},"message":"","attributes.level":"beginner","attributes.message":"m"}}"#)
    );
}

#[test]
fn who_cannot_be_is_rejected_and_the_rest_is_taken() {
    let mut request = one(json!({ "pipeline_run_id": "r" }), json!({}));
    let records = request.pointer_mut("/resourceLogs/0/scopeLogs/0/logRecords").unwrap();
    let named = |step: &str| {
        json!({ "attributes": [{ "key": "step_id", "value": { "stringValue": step } }] })
    };
    *records = json!([named("a"), named(".."), named("a\nb"), named("b"), named("a")]);
    let decoded = from_json(&request).unwrap();
    assert_eq!((decoded.batches.len(), decoded.rejected), (2, 2));
    assert_eq!(decoded.reason.as_deref(), Some("step_id has no letter or digit"));

    let records = request.pointer_mut("/resourceLogs/0/scopeLogs/0/logRecords").unwrap();
    *records = (0..300).map(|step: u32| named(&step.to_string())).collect();
    let decoded = from_json(&request).unwrap();
    assert_eq!((decoded.batches.len(), decoded.rejected), (256, 44));
}

#[test]
fn a_few_bytes_do_not_become_many() {
    // A scope that is long, and records that are empty.
    let scope = InstrumentationScope { name: "x".repeat(10_000), ..InstrumentationScope::default() };
    let log_records = vec![LogRecord::default(); 1000];
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() }];
    let logs = ResourceLogs { scope_logs, ..ResourceLogs::default() };
    let request = ExportLogsServiceRequest { resource_logs: vec![logs] }.encode_to_vec();
    assert!(request.len() < 13_000);
    assert!(matches!(protobuf(&request), Err(DecodeError::TooMuch(MOST))));

    let mut deep = AnyValue { value: Some(Any::StringValue("x".into())) };
    for _ in 0..100 {
        deep = AnyValue { value: Some(Any::ArrayValue(ArrayValue { values: vec![deep] })) };
    }
    let record = LogRecord { body: Some(deep), ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let logs = ResourceLogs { scope_logs, ..ResourceLogs::default() };
    let request = ExportLogsServiceRequest { resource_logs: vec![logs] }.encode_to_vec();
    assert!(matches!(protobuf(&request), Err(DecodeError::Deep(_))));
}

#[test]
fn what_is_deep_becomes_text() {
    let mut value = json!({ "stringValue": "x" });
    for _ in 0..20 {
        value = json!({ "arrayValue": { "values": [value] } });
    }
    let record = json!({ "attributes": [{ "key": "deep", "value": value }] });
    let request = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [record] }] }] });
    let decoded = from_json(&request).unwrap();
    let lifted = lift(lines(&decoded)[0].as_bytes()).unwrap();
    assert!(lifted.attributes.contains_key("deep"));
}

#[test]
fn what_is_wrong_is_named() {
    for (request, expected) in [
        (json!([]), "the request: expected an object"),
        (json!({ "resourceLogs": {} }), "resourceLogs: expected a list"),
        (one(json!({}), json!({ "timeUnixNano": "soon" })), "timeUnixNano: expected a number from 0"),
        (one(json!({}), json!({ "body": "text" })), "body: expected an object"),
        (one(json!({}), json!({ "body": { "intValue": 1.5 } })), "intValue: expected a number of 64 bits"),
    ] {
        assert_eq!(from_json(&request).unwrap_err().to_string(), expected);
    }
    assert_eq!(protobuf(b"\x0a\x05x").unwrap_err().to_string(), "not a protobuf message");
    let nothing = Map::new();
    assert_eq!(from_json(&nothing.into()).unwrap(), Decoded::default());
}
