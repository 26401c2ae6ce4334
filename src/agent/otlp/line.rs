//! A record as one line of JSON, such that [`line::json`](crate::line::json) gives it back.
//!
//! ```text
//! {"timestamp":"…","level":"INFO","message":"…", the record's attributes, what else it has}
//! ```
//!
//! The spool has lines and nothing else, so that everything behind it is the same for all inputs. Apart from
//! [`streams`](super::streams), which says whose line it is. A line longer than
//! `max_line_bytes` comes in parts, which are shown as they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::record::{Attributes, Body, LogRecord, Scope};
use crate::record::{Level, Nanos};

/// The lift takes objects 16 deep: the line is one, so what is deeper than this becomes text.
const MAX_DEPTH: usize = 12;

/// Keys of the line's own, and what else a record has under which name.
const TAKEN: [&str; 13] = [
    "timestamp",
    "level",
    "message",
    "trace_id",
    "span_id",
    "trace_flags",
    "event.name",
    "severity_number",
    "severity_text",
    "dropped_attributes_count",
    "body.bytes",
    "otel.scope.name",
    "otel.scope.version",
];

/// Appends the line of a record, whose attributes are `attributes`.
pub(super) fn write(
    scope: &Scope,
    record: &LogRecord,
    attributes: Attributes,
    received: Nanos,
    out: &mut Vec<u8>,
) {
    let level = level(record);
    out.extend_from_slice(b"{\"timestamp\":");
    value(out, &time(record, received).to_rfc3339().into());
    if let Some(level) = level {
        out.extend_from_slice(b",\"level\":");
        value(out, &level.as_str().into());
    }
    out.extend_from_slice(b",\"message\":");
    value(out, &message(record).into());
    let mut all = Attributes::new();
    for (name, value) in attributes {
        all.insert(free_name(name, &all), shallow(value, 1));
    }
    for (name, value) in &scope.attributes {
        if !all.contains_key(name) {
            all.insert(free_name(name.clone(), &all), shallow(value.clone(), 1));
        }
    }
    more(scope, record, level, &mut all);
    for (name, each) in &all {
        out.push(b',');
        value(out, &name.as_str().into());
        out.push(b':');
        value(out, each);
    }
    out.extend_from_slice(b"}\n");
}

fn more(scope: &Scope, record: &LogRecord, level: Option<Level>, all: &mut Attributes) {
    let mut text = |name: &str, value: &str| {
        if !value.is_empty() {
            all.insert(name.to_owned(), value.into());
        }
    };
    text("trace_id", &record.trace_id);
    text("span_id", &record.span_id);
    text("event.name", &record.event_name);
    text("otel.scope.name", &scope.name);
    text("otel.scope.version", &scope.version);
    // What the level does not say already.
    if level != Level::from_name(record.severity_text.as_bytes()) {
        text("severity_text", &record.severity_text);
    }
    if let Body::Bytes(bytes) = &record.body
        && std::str::from_utf8(bytes).is_err()
    {
        text("body.bytes", &STANDARD.encode(bytes));
    }
    if record.severity_number != 0
        && level.map(|level| level as i64 * 4 + 1) != Some(record.severity_number)
    {
        all.insert("severity_number".to_owned(), record.severity_number.into());
    }
    for (name, number) in
        [("trace_flags", record.flags), ("dropped_attributes_count", record.dropped_attributes)]
    {
        if number != 0 {
            all.insert(name.to_owned(), number.into());
        }
    }
}

/// When it happened; when it was seen; when it came here.
fn time(record: &LogRecord, received: Nanos) -> Nanos {
    let known = |time: u64| i64::try_from(time).ok().filter(|time| *time > 0).map(Nanos);
    known(record.time).or_else(|| known(record.observed_time)).unwrap_or(received)
}

/// Source: the log data model, "Severity Fields": four numbers a level.
fn level(record: &LogRecord) -> Option<Level> {
    match record.severity_number {
        number @ 1..=24 => Level::ALL.get((number as usize - 1) / 4).copied(),
        _ => Level::from_name(record.severity_text.as_bytes()),
    }
}

fn message(record: &LogRecord) -> String {
    match &record.body {
        // An event says what it is by its name.
        Body::Value(Value::Null) => record.event_name.clone(),
        Body::Value(Value::String(text)) => text.clone(),
        Body::Value(other) => other.to_string(),
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// A name that neither the line itself nor another attribute has.
fn free_name(mut name: String, all: &Attributes) -> String {
    while TAKEN.contains(&name.as_str()) || all.contains_key(&name) {
        name.insert_str(0, "attributes.");
    }
    name
}

/// The same value, but as text from some depth on.
fn shallow(value: Value, depth: usize) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if depth > MAX_DEPTH => value.to_string().into(),
        Value::Array(values) => values.into_iter().map(|value| shallow(value, depth + 1)).collect(),
        Value::Object(values) => {
            values.into_iter().map(|(name, value)| (name, shallow(value, depth + 1))).collect()
        }
        other => other,
    }
}

fn value(out: &mut Vec<u8>, value: &Value) {
    // Writing JSON into memory does not fail.
    drop(serde_json::to_writer(out, value));
}
