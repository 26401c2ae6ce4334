//! A record of a protobuf request as OTLP/JSON: what people read of one that was refused.
//!
//! Apart because nothing but the dead-letter file needs it. Reads what `protobuf` writes; other
//! fields are passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::protobuf::{self as wire, Fields};

/// `record` is a `ScopeLogs.log_records` field with its tag.
pub(super) fn record(record: &[u8]) -> Value {
    let mut shown = Map::new();
    let mut attributes = Vec::new();
    for (number, value) in Fields(record).flat_map(|(_, record)| Fields(record.bytes())) {
        let (name, value) = match number {
            1 => ("timeUnixNano", value.number().to_string().into()),
            2 => ("severityNumber", value.number().into()),
            3 => ("severityText", value.text().into()),
            5 => ("body", any(value)),
            6 => {
                attributes.push(pair(value));
                continue;
            }
            8 => ("flags", value.number().into()),
            9 => ("traceId", hex(value.bytes()).into()),
            10 => ("spanId", hex(value.bytes()).into()),
            11 => ("observedTimeUnixNano", value.number().to_string().into()),
            12 => ("eventName", value.text().into()),
            _ => continue,
        };
        shown.insert(name.to_owned(), value);
    }
    shown.insert("attributes".to_owned(), attributes.into());
    shown.into()
}

/// A `KeyValue`.
fn pair(pair: wire::Value<'_>) -> Value {
    let (mut key, mut value) = (String::new(), json!({}));
    for (number, field) in Fields(pair.bytes()) {
        match number {
            1 => key = field.text(),
            2 => value = any(field),
            _ => {}
        }
    }
    json!({ "key": key, "value": value })
}

/// An `AnyValue`.
fn any(value: wire::Value<'_>) -> Value {
    let Some((number, value)) = Fields(value.bytes()).next() else { return json!({}) };
    let values = || Fields(value.bytes()).map(|(_, value)| value);
    match number {
        1 => json!({ "stringValue": value.text() }),
        2 => json!({ "boolValue": value.number() != 0 }),
        3 => json!({ "intValue": (value.number() as i64).to_string() }),
        4 => json!({ "doubleValue": f64::from_bits(value.number()) }),
        5 => json!({ "arrayValue": { "values": values().map(any).collect::<Vec<_>>() } }),
        6 => json!({ "kvlistValue": { "values": values().map(pair).collect::<Vec<_>>() } }),
        7 => json!({ "bytesValue": STANDARD.encode(value.bytes()) }),
        _ => json!({}),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
