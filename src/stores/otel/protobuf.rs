//! Records as OTLP protobuf: an `ExportLogsServiceRequest`, written by hand.
//!
//! ```text
//! request    1: ResourceLogs { 1: Resource, 2: ScopeLogs { 1: Scope, 2: LogRecord … } }
//! LogRecord  1, 11: times   2, 3: severity   6: attributes   8: flags   9, 10: ids   5: body
//! ```
//!
//! Everything before the first record has lengths that depend on the records: it is put together
//! when they are known ([`Format::around`]). In a record, all that is constant is one piece of
//! bytes per iostream and level; the length that stands first is a sum. Fields stand in an order that
//! suits that, which the format allows. Does no I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::model::{self, AnyValue, Body, Constant, SCOPE};
use super::show;
use crate::record::{IoStream, Level};
use crate::protobuf as wire;
use crate::stores::records::{Around, Format};
use crate::stores::view::View;

const LEVELS: usize = Level::ALL.len() + 1;

pub(super) struct Protobuf {
    /// `ResourceLogs.resource`, with its tag.
    resource: Vec<u8>,
    /// `ScopeLogs.scope`, with its tag.
    scope: Vec<u8>,
    /// By iostream and level: all that is constant in a record.
    constant: [[Vec<u8>; LEVELS]; 2],
    /// What `log.record.uid` begins with.
    uid: Vec<u8>,
    /// Attributes that most records do not have, while they are put together.
    rare: Vec<u8>,
}

/// `KeyValue { key: "seq", value: AnyValue { int_value`, but for the two lengths.
const SEQ_KEY: &[u8; 5] = b"\x0a\x03seq";
/// The same of the record's name, a text.
const UID_KEY: &[u8; 16] = b"\x0a\x0elog.record.uid";

impl Protobuf {
    pub(super) fn new(constant: &Constant) -> Self {
        let mut resource = Vec::new();
        wire::message(&mut resource, 1, |out| {
            for (name, value) in &constant.resource {
                attribute(out, 1, name, AnyValue::Json(value));
            }
        });
        let mut scope = Vec::new();
        wire::message(&mut scope, 1, |out| {
            wire::bytes(out, 1, SCOPE.0.as_bytes());
            wire::bytes(out, 2, SCOPE.1.as_bytes());
        });
        let of = |iostream: IoStream, level: usize| {
            let mut out = Vec::new();
            if let Some(level) = Level::ALL.get(level) {
                wire::number(&mut out, 2, model::severity(*level).into());
                wire::bytes(&mut out, 3, level.as_str().as_bytes());
            }
            if let Some(trace) = &constant.trace {
                wire::fixed32(&mut out, 8, trace.flags.into());
                wire::bytes(&mut out, 9, &unhex(&trace.trace_id));
                wire::bytes(&mut out, 10, &unhex(&trace.span_id));
            }
            for (name, value) in &constant.attributes {
                attribute(&mut out, 6, name, AnyValue::Json(value));
            }
            attribute(&mut out, 6, "log.iostream", AnyValue::Text(iostream.as_str()));
            out
        };
        Self {
            resource,
            scope,
            constant: IoStream::ALL
                .map(|iostream| std::array::from_fn(|level| of(iostream, level))),
            uid: constant.uid.as_bytes().to_vec(),
            rare: Vec::new(),
        }
    }
}

impl Format for Protobuf {
    #[inline]
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        let Self { constant: [stdout, stderr], uid, rare, .. } = self;
        let of = match view.iostream {
            IoStream::Stdout => stdout,
            IoStream::Stderr => stderr,
        };
        let level = view.level.map_or(LEVELS - 1, |level| level as usize);
        let constant = of.get(level).map_or(&[][..], Vec::as_slice);
        let mut digits = itoa::Buffer::new();
        let mut name = digits.format(view.seq);
        let (mut body_tag, mut body) = (1 << 3 | 2, view.message.as_bytes());
        let decoded;
        rare.clear();
        if let Some(these) = view.rare {
            model::rare_attributes(view, |name, value| attribute(rare, 6, name, value));
            if let Some(event) = these.event {
                name = event.kind;
            }
            if let Some(event) = model::event_name(view) {
                wire::bytes(rare, 12, event.as_bytes());
            }
            if let Body::Bytes(base64) = model::body(view) {
                decoded = STANDARD.decode(base64).unwrap_or_default();
                (body_tag, body) = (7 << 3 | 2, &decoded);
            }
        }

        let seq_value = 1 + wire::varint_len(view.seq);
        let seq_pair = SEQ_KEY.len() + 2 + seq_value;
        // A name has at most 37 + 20 bytes: these lengths are one byte.
        let uid_text = uid.len() + name.len();
        let uid_pair = UID_KEY.len() + 2 + 2 + uid_text;
        let body_value = 1 + wire::varint_len(body.len() as u64) + body.len();
        let length = 2 * 9
            + constant.len()
            + rare.len()
            + (2 + seq_pair)
            + (2 + uid_pair)
            + (1 + wire::varint_len(body_value as u64) + body_value);

        out.reserve(length + 6);
        out.push(2 << 3 | 2);
        wire::varint(out, length as u64);
        let time = view.time.0.max(0).to_le_bytes();
        out.push(1 << 3 | 1);
        out.extend_from_slice(&time);
        out.push(11 << 3 | 1);
        out.extend_from_slice(&time);
        out.extend_from_slice(constant);
        out.extend_from_slice(&[6 << 3 | 2, seq_pair as u8]);
        out.extend_from_slice(SEQ_KEY);
        out.extend_from_slice(&[2 << 3 | 2, seq_value as u8, 3 << 3]);
        wire::varint(out, view.seq);
        out.extend_from_slice(&[6 << 3 | 2, uid_pair as u8]);
        out.extend_from_slice(UID_KEY);
        out.extend_from_slice(&[2 << 3 | 2, uid_text as u8 + 2, 1 << 3 | 2, uid_text as u8]);
        out.extend_from_slice(uid);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(rare);
        out.push(5 << 3 | 2);
        wire::varint(out, body_value as u64);
        out.push(body_tag);
        wire::varint(out, body.len() as u64);
        out.extend_from_slice(body);
    }

    fn around(&self, records: &[u8]) -> Around {
        let scope_logs = self.scope.len() + records.len();
        let resource_logs =
            self.resource.len() + 1 + wire::varint_len(scope_logs as u64) + scope_logs;
        let mut head = Vec::with_capacity(self.resource.len() + self.scope.len() + 12);
        head.push(1 << 3 | 2);
        wire::varint(&mut head, resource_logs as u64);
        head.extend_from_slice(&self.resource);
        head.push(2 << 3 | 2);
        wire::varint(&mut head, scope_logs as u64);
        head.extend_from_slice(&self.scope);
        Around { head, tail: Vec::new() }
    }

    fn show(&self, record: &[u8]) -> Value {
        show::record(record)
    }
}

/// Appends a `KeyValue` as field `number`.
fn attribute(out: &mut Vec<u8>, number: u8, name: &str, value: AnyValue<'_>) {
    wire::message(out, number, |out| {
        wire::bytes(out, 1, name.as_bytes());
        wire::message(out, 2, |out| match value {
            AnyValue::Text(text) => wire::bytes(out, 1, text.as_bytes()),
            AnyValue::Number(number) => unsigned(out, number),
            AnyValue::Flag(flag) => wire::number(out, 2, flag.into()),
            AnyValue::Json(value) => any(out, value),
        });
    });
}

/// Appends the one field of an `AnyValue`; none for null.
fn any(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => wire::number(out, 2, u64::from(*flag)),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(signed), ..) => wire::number(out, 3, signed as u64),
            (_, Some(large), _) => unsigned(out, large),
            (.., float) => wire::fixed64(out, 4, float.unwrap_or_default().to_bits()),
        },
        Value::String(text) => wire::bytes(out, 1, text.as_bytes()),
        Value::Array(values) => wire::message(out, 5, |out| {
            for value in values {
                wire::message(out, 1, |out| any(out, value));
            }
        }),
        Value::Object(values) => wire::message(out, 6, |out| {
            for (name, value) in values {
                attribute(out, 1, name, AnyValue::Json(value));
            }
        }),
    }
}

/// There are no unsigned integers: one that is too large is text.
fn unsigned(out: &mut Vec<u8>, value: u64) {
    if i64::try_from(value).is_ok() {
        wire::number(out, 3, value);
    } else {
        wire::bytes(out, 1, itoa::Buffer::new().format(value).as_bytes());
    }
}

/// The bytes of hexadecimal digits.
fn unhex(digits: &str) -> Vec<u8> {
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    pairs.iter().map(|[high, low]| nibble(*high) << 4 | nibble(*low)).collect()
}
