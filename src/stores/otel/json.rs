//! Records as OTLP/JSON.
//!
//! Source: the OTLP specification, "JSON Protobuf Encoding": names in lowerCamelCase, 64-bit
//! integers as text, enumerations as numbers, trace and span ids as hexadecimal digits, other bytes
//! in base64. Does no I/O.

use serde_json::Value;

use super::model::{self, AnyValue, Body, Constant, SCOPE};
use crate::record::{IoStream, Level};
use crate::stores::json::escape;
use crate::stores::records::{Around, Format};
use crate::stores::view::View;

const LEVELS: usize = Level::ALL.len() + 1;

pub(super) struct Json {
    /// Before the first record.
    head: Vec<u8>,
    /// By iostream and level: all that is constant in a record, up to and with the last constant
    /// attribute.
    constant: [[Vec<u8>; LEVELS]; 2],
    /// What `log.record.uid` begins with.
    uid: String,
}

impl Json {
    pub(super) fn new(constant: &Constant) -> Self {
        let mut head = br#"{"resourceLogs":[{"resource":{"attributes":["#.to_vec();
        for (position, (name, value)) in constant.resource.iter().enumerate() {
            if position > 0 {
                head.push(b',');
            }
            attribute(&mut head, name, AnyValue::Json(value));
        }
        head.extend_from_slice(br#"]},"scopeLogs":[{"scope":{"name":"#);
        text(&mut head, SCOPE.0);
        head.extend_from_slice(br#","version":"#);
        text(&mut head, SCOPE.1);
        head.extend_from_slice(br#"},"logRecords":["#);
        let of = |iostream: IoStream, level: usize| {
            let mut out = Vec::new();
            if let Some(level) = Level::ALL.get(level) {
                let (number, name) = (model::severity(*level), level.as_str());
                out.extend(
                    format!(r#""severityNumber":{number},"severityText":"{name}","#).bytes(),
                );
            }
            if let Some(trace) = &constant.trace {
                let (trace_id, span_id, flags) = (&trace.trace_id, &trace.span_id, trace.flags);
                let ids =
                    format!(r#""flags":{flags},"traceId":"{trace_id}","spanId":"{span_id}","#);
                out.extend(ids.bytes());
            }
            out.extend_from_slice(br#""attributes":["#);
            for (name, value) in &constant.attributes {
                attribute(&mut out, name, AnyValue::Json(value));
                out.push(b',');
            }
            attribute(&mut out, "log.iostream", AnyValue::Text(iostream.as_str()));
            out
        };
        Self {
            head,
            constant: IoStream::ALL
                .map(|iostream| std::array::from_fn(|level| of(iostream, level))),
            uid: constant.uid.clone(),
        }
    }
}

impl Format for Json {
    #[inline]
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        let [stdout, stderr] = &self.constant;
        let of = match view.iostream {
            IoStream::Stdout => stdout,
            IoStream::Stderr => stderr,
        };
        let level = view.level.map_or(LEVELS - 1, |level| level as usize);
        let mut digits = itoa::Buffer::new();
        let time = digits.format(view.time.0.max(0)).as_bytes();
        out.extend_from_slice(br#"{"timeUnixNano":""#);
        out.extend_from_slice(time);
        out.extend_from_slice(br#"","observedTimeUnixNano":""#);
        out.extend_from_slice(time);
        out.extend_from_slice(br#"","#);
        if let Some(event) = model::event_name(view) {
            out.extend_from_slice(br#""eventName":"#);
            text(out, &event);
            out.push(b',');
        }
        out.extend_from_slice(of.get(level).map_or(&[], Vec::as_slice));
        let seq = digits.format(view.seq);
        let event = view.rare.and_then(|rare| rare.event);
        out.extend_from_slice(br#",{"key":"seq","value":{"intValue":""#);
        out.extend_from_slice(seq.as_bytes());
        out.extend_from_slice(br#""}},{"key":"log.record.uid","value":{"stringValue":""#);
        out.extend_from_slice(self.uid.as_bytes());
        out.extend_from_slice(event.map_or(seq, |event| event.kind).as_bytes());
        out.extend_from_slice(br#""}}"#);
        model::rare_attributes(view, |name, value| {
            out.push(b',');
            attribute(out, name, value);
        });
        match model::body(view) {
            Body::Text(text) => {
                out.extend_from_slice(br#"],"body":{"stringValue":""#);
                escape(text.as_bytes(), out);
            }
            Body::Bytes(base64) => {
                out.extend_from_slice(br#"],"body":{"bytesValue":""#);
                out.extend_from_slice(base64.as_bytes());
            }
        }
        out.extend_from_slice(br#""}}"#);
    }

    fn separator(&self) -> &'static [u8] {
        b","
    }

    fn around(&self, _records: &[u8]) -> Around {
        Around { head: self.head.clone(), tail: b"]}]}]}".to_vec() }
    }
}

/// Appends a `KeyValue`.
fn attribute(out: &mut Vec<u8>, name: &str, value: AnyValue<'_>) {
    out.extend_from_slice(br#"{"key":"#);
    text(out, name);
    out.extend_from_slice(br#","value":"#);
    match value {
        AnyValue::Text(value) => string(out, value),
        AnyValue::Number(number) => any(out, &number.into()),
        AnyValue::Flag(flag) => any(out, &flag.into()),
        AnyValue::Json(value) => any(out, value),
    }
    out.push(b'}');
}

/// Appends an `AnyValue`.
fn any(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"{}"),
        Value::Bool(flag) => out.extend(format!(r#"{{"boolValue":{flag}}}"#).bytes()),
        Value::Number(number) if number.is_i64() => {
            out.extend(format!(r#"{{"intValue":"{number}"}}"#).bytes());
        }
        // There are no unsigned integers: one that is too large is text.
        Value::Number(number) if number.is_u64() => string(out, &number.to_string()),
        Value::Number(number) => out.extend(format!(r#"{{"doubleValue":{number}}}"#).bytes()),
        Value::String(text) => string(out, text),
        Value::Array(values) => {
            out.extend_from_slice(br#"{"arrayValue":{"values":["#);
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                any(out, value);
            }
            out.extend_from_slice(b"]}}");
        }
        Value::Object(values) => {
            out.extend_from_slice(br#"{"kvlistValue":{"values":["#);
            for (position, (name, value)) in values.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                attribute(out, name, AnyValue::Json(value));
            }
            out.extend_from_slice(b"]}}");
        }
    }
}

fn string(out: &mut Vec<u8>, value: &str) {
    out.extend_from_slice(br#"{"stringValue":"#);
    text(out, value);
    out.push(b'}');
}

/// Appends a JSON string.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(text.as_bytes(), out);
    out.push(b'"');
}
