//! `ExportLogsServiceRequest` from JSON, in both spellings.
//!
//! Source: the OTLP specification, "JSON Protobuf Encoding", and protobuf's own JSON mapping. Names are
//! lowerCamelCase or as in the `.proto` files: ZenML's exporter writes the latter. 64-bit numbers are text
//! or numbers, null is a field that is not there, ids are hexadecimal digits, other bytes base64,
//! unknown fields are passed over. Apart from [`protobuf`](super::protobuf), which says the same.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::record::{Attributes, Body, DecodeError, LogRecord, Scope, Sink, double};

/// Both alphabets, with or without padding: the mapping takes any of them.
const PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDING);

/// Gives all records to `sink`.
pub(super) fn decode(request: &[u8], sink: &mut impl Sink) -> Result<(), DecodeError> {
    let request: Value = serde_json::from_slice(request)?;
    let request = object("the request", &request)?;
    for logs in list(request, "resourceLogs", "resource_logs")? {
        let logs = object("resourceLogs", logs)?;
        let resource = message(logs, "resource")?;
        sink.resource(&resource.map_or(Ok(Attributes::new()), attributes)?);
        for logs in list(logs, "scopeLogs", "scope_logs")? {
            let logs = object("scopeLogs", logs)?;
            let scope = match message(logs, "scope")? {
                None => Scope::default(),
                Some(scope) => Scope {
                    name: text(scope, "name", "name")?,
                    version: text(scope, "version", "version")?,
                    attributes: attributes(scope)?,
                },
            };
            for record in list(logs, "logRecords", "log_records")? {
                sink.record(&scope, log_record(object("logRecords", record)?)?)?;
            }
        }
    }
    Ok(())
}

fn log_record(record: &Map<String, Value>) -> Result<LogRecord, DecodeError> {
    Ok(LogRecord {
        time: unsigned(record, "timeUnixNano", "time_unix_nano")?,
        observed_time: unsigned(record, "observedTimeUnixNano", "observed_time_unix_nano")?,
        severity_number: severity_number(record)?,
        severity_text: text(record, "severityText", "severity_text")?,
        body: body(get(record, "body", "body"))?,
        attributes: attributes(record)?,
        dropped_attributes: unsigned(record, "droppedAttributesCount", "dropped_attributes_count")?,
        flags: unsigned(record, "flags", "flags")?,
        trace_id: id(record, "traceId", "trace_id", 32)?,
        span_id: id(record, "spanId", "span_id", 16)?,
        event_name: text(record, "eventName", "event_name")?,
    })
}

/// A number, or its name as protobuf's mapping has it.
fn severity_number(record: &Map<String, Value>) -> Result<i64, DecodeError> {
    const NAMES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let names = ("severityNumber", "severity_number");
    if let Some(Value::String(name)) = get(record, names.0, names.1)
        && let Some(name) = name.strip_prefix("SEVERITY_NUMBER_")
    {
        let (word, step) = match name.strip_suffix(['2', '3', '4']) {
            Some(word) => (word, name.bytes().last().map_or(0, |digit| i64::from(digit - b'1'))),
            None => (name, 0),
        };
        let base = NAMES.iter().position(|known| *known == word);
        return Ok(base.map_or(0, |base| base as i64 * 4 + 1 + step));
    }
    Ok(unsigned(record, names.0, names.1)? as i64)
}

fn body(value: Option<&Value>) -> Result<Body, DecodeError> {
    let Some(value) = value else { return Ok(Body::default()) };
    let body = object("body", value)?;
    match get(body, "bytesValue", "bytes_value") {
        Some(Value::String(text)) => Ok(Body::Bytes(base64(text)?)),
        _ => Ok(Body::Value(any("body", value)?)),
    }
}

fn attributes(of: &Map<String, Value>) -> Result<Attributes, DecodeError> {
    let mut out = Attributes::new();
    for pair in list(of, "attributes", "attributes")? {
        key_value(object("attributes", pair)?, &mut out)?;
    }
    Ok(out)
}

/// A `KeyValue`; or, as ZenML's exporter writes them inside of values, names with their values.
fn key_value(pair: &Map<String, Value>, out: &mut Attributes) -> Result<(), DecodeError> {
    let key = match pair.get("key") {
        Some(Value::String(key)) => Some(key.as_str()),
        // Some leave out what is empty.
        None if pair.len() == 1 && pair.contains_key("value") => Some(""),
        _ => None,
    };
    if let Some(key) = key {
        let value = get(pair, "value", "value").map(|value| any("value", value));
        out.insert(key.to_owned(), value.transpose()?.unwrap_or_default());
        return Ok(());
    }
    for (key, value) in pair {
        out.insert(key.clone(), any("value", value)?);
    }
    Ok(())
}

/// An `AnyValue`.
fn any(name: &'static str, value: &Value) -> Result<Value, DecodeError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let value = object(name, value)?;
    if let Some(text) = get(value, "stringValue", "string_value") {
        return Ok(text.as_str().ok_or(shape("stringValue", "text"))?.into());
    }
    if let Some(flag) = get(value, "boolValue", "bool_value") {
        return Ok(flag.as_bool().ok_or(shape("boolValue", "true or false"))?.into());
    }
    if let Some(number) = get(value, "intValue", "int_value") {
        let number = match number {
            Value::String(digits) => digits.parse().ok(),
            number => number.as_i64(),
        };
        return Ok(number.ok_or(shape("intValue", "a number of 64 bits"))?.into());
    }
    if let Some(number) = get(value, "doubleValue", "double_value") {
        let number = match number {
            // "NaN" and "Infinity" too.
            Value::String(text) => text.parse().ok(),
            number => number.as_f64(),
        };
        return Ok(double(number.ok_or(shape("doubleValue", "a number"))?));
    }
    if let Some(array) = get(value, "arrayValue", "array_value") {
        let values = list(object("arrayValue", array)?, "values", "values")?;
        return values.iter().map(|value| any("values", value)).collect::<Result<_, _>>();
    }
    if let Some(pairs) = get(value, "kvlistValue", "kvlist_value") {
        let mut out = Attributes::new();
        for pair in list(object("kvlistValue", pairs)?, "values", "values")? {
            key_value(object("values", pair)?, &mut out)?;
        }
        return Ok(out.into());
    }
    if let Some(bytes) = get(value, "bytesValue", "bytes_value") {
        let text = bytes.as_str().ok_or(shape("bytesValue", "base64"))?;
        return Ok(base64::engine::general_purpose::STANDARD.encode(base64(text)?).into());
    }
    Ok(Value::Null)
}

fn base64(text: &str) -> Result<Vec<u8>, DecodeError> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode(text).map_err(|_| shape("bytesValue", "base64"))
}

/// An id; some write it as a number. One of zeros is none.
fn id(
    of: &Map<String, Value>,
    camel: &'static str,
    snake: &'static str,
    digits: usize,
) -> Result<String, DecodeError> {
    match get(of, camel, snake) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.to_ascii_lowercase()),
        // More than 64 bits cannot be read back from a number of JSON.
        Some(Value::Number(number)) => {
            Ok(number.as_u64().map_or(String::new(), |number| format!("{number:0digits$x}")))
        }
        Some(_) => Err(shape(camel, "hexadecimal digits")),
    }
}

fn unsigned(
    of: &Map<String, Value>,
    camel: &'static str,
    snake: &'static str,
) -> Result<u64, DecodeError> {
    let number = match get(of, camel, snake) {
        None => Some(0),
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(number) => number.as_u64(),
    };
    number.ok_or(shape(camel, "a number from 0"))
}

fn text(
    of: &Map<String, Value>,
    camel: &'static str,
    snake: &'static str,
) -> Result<String, DecodeError> {
    match get(of, camel, snake) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(shape(camel, "text")),
    }
}

fn list<'a>(
    of: &'a Map<String, Value>,
    camel: &'static str,
    snake: &'static str,
) -> Result<&'a [Value], DecodeError> {
    match get(of, camel, snake) {
        None => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(shape(camel, "a list")),
    }
}

fn message<'a>(
    of: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a Map<String, Value>>, DecodeError> {
    get(of, name, name).map(|value| object(name, value)).transpose()
}

fn object<'a>(name: &'static str, value: &'a Value) -> Result<&'a Map<String, Value>, DecodeError> {
    value.as_object().ok_or(shape(name, "an object"))
}

/// A field in either spelling; null is none.
fn get<'a>(of: &'a Map<String, Value>, camel: &str, snake: &str) -> Option<&'a Value> {
    of.get(camel).or_else(|| of.get(snake)).filter(|value| !value.is_null())
}

fn shape(name: &'static str, expected: &'static str) -> DecodeError {
    DecodeError::Shape { name, expected }
}
