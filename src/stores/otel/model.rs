//! A record in OTLP's words, whatever the encoding: what goes into the Resource, which attributes a
//! record has, what its body is.
//!
//! ```text
//! Resource   service.*, cicd.pipeline.run.id, cicd.pipeline.task.run.id, all the writer's attributes
//! Scope      steplog and its version
//! LogRecord  timeUnixNano = observedTimeUnixNano   when the line's first byte was read
//!            severityNumber, severityText          of the level; absent without one
//!            body                                  text; bytes for a line that is not UTF-8
//!            traceId, spanId, flags                of TRACEPARENT
//!            eventName                             steplog.start, steplog.end
//!            attributes                            names as records have them in every store, but
//!                                                  log.iostream, log.record.uid and
//!                                                  log.record.original (`raw`), which have
//!                                                  standard names
//! ```
//!
//! Apart from the two encodings so that they say the same. Sources: the protocol's
//! `logs/v1/logs.proto`, the OpenTelemetry log data model (severity, mapping of arbitrary values),
//! the semantic conventions for names.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::config::Config;
use crate::record::{Level, Writer};
use crate::stores::view::{Field, View};

/// The instrumentation scope.
pub(super) const SCOPE: (&str, &str) = ("steplog", env!("CARGO_PKG_VERSION"));

/// What is the same in every record of a writer.
#[derive(Debug)]
pub(super) struct Constant {
    /// Of the Resource, in order of names.
    pub(super) resource: BTreeMap<String, Value>,
    /// Of every record.
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// What `log.record.uid` begins with: the writer and a hyphen.
    pub(super) uid: String,
    /// What the step is part of.
    pub(super) trace: Option<SpanContext>,
}

/// The trace that the step is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpanContext {
    /// 32 hexadecimal digits.
    pub(super) trace_id: String,
    /// 16 hexadecimal digits.
    pub(super) span_id: String,
    /// W3C trace flags.
    pub(super) flags: u8,
}

/// Attributes of the writer that become fields of the record.
const TRACE_ATTRIBUTES: [&str; 3] = ["trace_id", "span_id", "trace_flags"];
/// Attributes that are numbers by the semantic conventions.
const NUMBERS: [&str; 2] = ["process.pid", "process.parent_pid"];

impl Constant {
    pub(super) fn new(writer: &Writer, config: &Config) -> Self {
        let origin = &writer.origin;
        let mut resource: BTreeMap<String, Value> = writer
            .attributes
            .iter()
            .filter(|(name, _)| !TRACE_ATTRIBUTES.contains(&name.as_str()))
            .map(|(name, text)| (name.clone(), typed(name, text)))
            .collect();
        for (name, own) in
            [("service.name", &config.service_name), ("service.version", &config.service_version)]
        {
            if let Some(own) = own {
                resource.insert(name.to_owned(), own.as_str().into());
            }
        }
        let service = if resource.contains_key("service.name") { None } else { Some(SCOPE) };
        let otherwise = [
            ("service.name", service.map(|(name, _)| name.to_owned())),
            ("service.version", service.map(|(_, version)| version.to_owned())),
            ("service.instance.id", Some(writer.id.to_string())),
            ("cicd.pipeline.run.id", Some(origin.pipeline_run_id.clone())),
            ("cicd.pipeline.task.run.id", Some(origin.step_id.clone())),
        ];
        for (name, value) in otherwise {
            if let Some(value) = value {
                resource.entry(name.to_owned()).or_insert(value.into());
            }
        }
        Self {
            resource,
            attributes: vec![
                ("pipeline_run_id", origin.pipeline_run_id.as_str().into()),
                ("step_id", origin.step_id.as_str().into()),
                ("source", origin.source.as_str().into()),
                ("attempt", origin.attempt.into()),
            ],
            uid: format!("{}-", writer.id),
            trace: trace(writer),
        }
    }
}

fn typed(name: &str, text: &str) -> Value {
    let number = if NUMBERS.contains(&name) { text.parse::<u32>().ok() } else { None };
    number.map_or_else(|| text.into(), Value::from)
}

fn trace(writer: &Writer) -> Option<SpanContext> {
    let [trace_id, span_id, flags] = TRACE_ATTRIBUTES.map(|name| writer.attributes.get(name));
    let hex = |text: Option<&String>, length| {
        text.filter(|it| it.len() == length && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(|text| text.to_ascii_lowercase())
    };
    Some(SpanContext {
        trace_id: hex(trace_id, 32)?,
        span_id: hex(span_id, 16)?,
        flags: flags.and_then(|flags| u8::from_str_radix(flags, 16).ok()).unwrap_or(0),
    })
}

/// `SeverityNumber` of a level: the lowest of its range.
pub(super) fn severity(level: Level) -> u8 {
    match level {
        Level::Trace => 1,
        Level::Debug => 5,
        Level::Info => 9,
        Level::Warning => 13,
        Level::Error => 17,
        Level::Critical => 21,
    }
}

/// What a record says.
#[derive(Debug)]
pub(super) enum Body<'a> {
    Text(&'a str),
    /// In base64.
    Bytes(&'a str),
}

#[inline]
pub(super) fn body<'a>(view: &View<'a>) -> Body<'a> {
    match view.rare.and_then(|rare| rare.bytes.as_deref()) {
        Some(bytes) => Body::Bytes(bytes),
        None => Body::Text(view.message),
    }
}

/// `eventName`, for records that are no lines.
pub(super) fn event_name(view: &View<'_>) -> Option<String> {
    let event = view.rare.and_then(|rare| rare.event)?;
    Some(format!("steplog.{}", event.kind))
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyValue<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    Json(&'a Value),
}

/// Shows each attribute that most records do not have.
pub(super) fn rare_attributes(view: &View<'_>, mut each: impl FnMut(&str, AnyValue<'_>)) {
    view.rare_fields(|name, field| match field {
        // They are the body.
        Field::Text(_) if name == "bytes" => {}
        Field::Text(text) if name == "raw" => each("log.record.original", AnyValue::Text(text)),
        Field::Text(text) => each(name, AnyValue::Text(text)),
        Field::Number(number) => each(name, AnyValue::Number(number)),
        Field::Flag(flag) => each(name, AnyValue::Flag(flag)),
        Field::Gap(gap) => {
            each("gap.bytes", AnyValue::Number(gap.bytes));
            each("gap.lines", AnyValue::Number(gap.lines));
            if let Ok(Value::String(reason)) = serde_json::to_value(gap.reason) {
                each("gap.reason", AnyValue::Text(&reason));
            }
        }
        Field::Object(object) => {
            for (name, value) in object {
                match free_name(name, object) {
                    None => each(name, AnyValue::Json(value)),
                    Some(name) => each(&name, AnyValue::Json(value)),
                }
            }
        }
    });
}

/// Names that records use themselves: a name may be there only once.
const TAKEN: [&str; 21] = [
    "attempt",
    "eol",
    "event_timestamp",
    "gap.bytes",
    "gap.lines",
    "gap.reason",
    "group",
    "line",
    "log.iostream",
    "log.record.original",
    "log.record.uid",
    "part",
    "parts",
    "pipeline_run_id",
    "progress",
    "seq",
    "source",
    "step_id",
    "steplog_event",
    "steplog_stream",
    "",
];

/// Another name for a lifted field whose own is taken, or is none.
fn free_name(name: &str, object: &Map<String, Value>) -> Option<String> {
    if !TAKEN.contains(&name) {
        return None;
    }
    let mut free = format!("attributes.{name}");
    while object.contains_key(&free) {
        free.insert_str(0, "attributes.");
    }
    Some(free)
}
