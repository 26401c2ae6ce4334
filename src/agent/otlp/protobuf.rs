//! `ExportLogsServiceRequest` from protobuf, by hand.
//!
//! ```text
//! request    1: ResourceLogs { 1: Resource { 1: attributes }, 2: ScopeLogs { 1: Scope, 2: LogRecord … } }
//! ```
//!
//! By hand, since it is a hundred lines: `opentelemetry-proto` (prost, tonic's messages) would be five more
//! crates in the program, and makes all records at once, so that a few bytes become megabytes. Its types are
//! the judge in the tests. Unknown fields are passed over, as the format demands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::record::{Attributes, Body, DecodeError, LogRecord, Scope, Sink, double, hex};
use crate::protobuf::{self, Fields};

/// Deeper values are refused.
const MAX_DEPTH: usize = 64;

/// Gives all records to `sink`.
pub(super) fn decode(request: &[u8], sink: &mut impl Sink) -> Result<(), DecodeError> {
    each(request, |number, logs| match number {
        1 => resource_logs(logs.bytes(), sink),
        _ => Ok(()),
    })
}

fn resource_logs(logs: &[u8], sink: &mut impl Sink) -> Result<(), DecodeError> {
    let mut attributes = Attributes::new();
    // The resource may stand behind its records.
    each(logs, |number, resource| match number {
        1 => each(resource.bytes(), |number, value| match number {
            1 => pair(value.bytes(), 0, &mut attributes),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })?;
    sink.resource(&attributes);
    each(logs, |number, logs| match number {
        2 => scope_logs(logs.bytes(), sink),
        _ => Ok(()),
    })
}

fn scope_logs(logs: &[u8], sink: &mut impl Sink) -> Result<(), DecodeError> {
    let mut scope = Scope::default();
    each(logs, |number, field| match number {
        1 => each(field.bytes(), |number, value| {
            match number {
                1 => scope.name = value.text(),
                2 => scope.version = value.text(),
                3 => pair(value.bytes(), 0, &mut scope.attributes)?,
                _ => {}
            }
            Ok(())
        }),
        _ => Ok(()),
    })?;
    each(logs, |number, record| match number {
        2 => sink.record(&scope, log_record(record.bytes())?),
        _ => Ok(()),
    })
}

fn log_record(record: &[u8]) -> Result<LogRecord, DecodeError> {
    let mut out = LogRecord::default();
    each(record, |number, value| {
        match number {
            1 => out.time = value.number(),
            2 => out.severity_number = value.number() as i64,
            3 => out.severity_text = value.text(),
            5 => out.body = body(value.bytes())?,
            6 => pair(value.bytes(), 0, &mut out.attributes)?,
            7 => out.dropped_attributes = value.number(),
            8 => out.flags = value.number(),
            9 => out.trace_id = hex(value.bytes()),
            10 => out.span_id = hex(value.bytes()),
            11 => out.observed_time = value.number(),
            12 => out.event_name = value.text(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn body(any_value: &[u8]) -> Result<Body, DecodeError> {
    let mut bytes = None;
    each(any_value, |number, value| {
        bytes = (number == 7).then(|| value.bytes().to_vec());
        Ok(())
    })?;
    match bytes {
        Some(bytes) => Ok(Body::Bytes(bytes)),
        None => Ok(Body::Value(any(any_value, 0)?)),
    }
}

/// A `KeyValue`.
fn pair(pair: &[u8], depth: usize, out: &mut Attributes) -> Result<(), DecodeError> {
    let (mut key, mut value) = (String::new(), Value::Null);
    each(pair, |number, field| {
        match number {
            1 => key = field.text(),
            2 => value = any(field.bytes(), depth)?,
            _ => {}
        }
        Ok(())
    })?;
    out.insert(key, value);
    Ok(())
}

/// An `AnyValue`: the last of its fields counts.
fn any(value: &[u8], depth: usize) -> Result<Value, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::Deep(MAX_DEPTH));
    }
    let mut out = Value::Null;
    each(value, |number, value| {
        out = match number {
            1 => value.text().into(),
            2 => (value.number() != 0).into(),
            3 => (value.number() as i64).into(),
            4 => double(f64::from_bits(value.number())),
            5 => {
                let mut values = Vec::new();
                each(value.bytes(), |number, value| {
                    if number == 1 {
                        values.push(any(value.bytes(), depth + 1)?);
                    }
                    Ok(())
                })?;
                values.into()
            }
            6 => {
                let mut values = Attributes::new();
                each(value.bytes(), |number, value| match number {
                    1 => pair(value.bytes(), depth + 1, &mut values),
                    _ => Ok(()),
                })?;
                values.into()
            }
            7 => STANDARD.encode(value.bytes()).into(),
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(out)
}

/// Each field of a message.
fn each<'a>(
    message: &'a [u8],
    mut take: impl FnMut(u64, protobuf::Value<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.field()? {
        take(number, value)?;
    }
    Ok(())
}
