//! A log record as OTLP has it, whatever the encoding.
//!
//! Apart from the two encodings, which make it, and from [`line`](super::line) and
//! [`streams`](super::streams), which use it. Source: `logs/v1/logs.proto`, `common/v1/common.proto`.

use serde_json::{Map, Value};

use crate::protobuf::Malformed;

/// Attributes by name. Bytes are base64 text, what JSON has no number for is text.
pub(super) type Attributes = Map<String, Value>;

/// What the records of a `ScopeLogs` have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) attributes: Attributes,
}

/// One of them. A field that is not there has its zero, as in protobuf.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LogRecord {
    /// Nanoseconds since the epoch.
    pub(super) time: u64,
    pub(super) observed_time: u64,
    pub(super) severity_number: i64,
    pub(super) severity_text: String,
    pub(super) body: Body,
    pub(super) attributes: Attributes,
    pub(super) dropped_attributes: u64,
    pub(super) flags: u64,
    /// Hexadecimal digits, as far as it is one.
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) event_name: String,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Value(Value),
    Bytes(Vec<u8>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Value(Value::Null)
    }
}

/// Takes records one by one: a request of a few bytes may stand for millions of them.
pub(super) trait Sink {
    /// The records that follow have this resource.
    fn resource(&mut self, attributes: &Attributes);

    /// A record.
    fn record(&mut self, scope: &Scope, record: LogRecord) -> Result<(), DecodeError>;
}

/// Why a request cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// It is not protobuf.
    #[error(transparent)]
    Protobuf(#[from] Malformed),
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON, but not of this shape.
    #[error("{name}: expected {expected}")]
    Shape {
        /// The field.
        name: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// Values within values.
    #[error("values are nested more than {0} deep")]
    Deep(usize),
    /// What comes of it is too much.
    #[error("the records become more than {0} bytes: send fewer at a time")]
    TooMuch(usize),
}

/// A number as a value.
pub(super) fn double(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => number.into(),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
