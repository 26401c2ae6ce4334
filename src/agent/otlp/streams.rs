//! Whose lines the records of a request are, and the lines, stream by stream.
//!
//! ```text
//!                    run                    step                        source             attempt
//! steplog            pipeline_run_id        step_id                     source             attempt
//! OpenTelemetry      cicd.pipeline.run.id   cicd.pipeline.task.run.id
//! ZenML's otel store zenml.pipeline.run.id  zenml.step.run.id           zenml.log.source
//! ```
//!
//! A record's own attribute wins over its resource's. `source` and `attempt` are common words: they count only
//! beside a `pipeline_run_id` or `step_id`. What names the stream is taken out of the record; the rest of
//! the resource is the stream's, so that two processes of a step are two streams. `log.iostream` says which
//! of the two outputs a line was printed to. Apart from [`identity`](crate::agent), where what the input's
//! table fixes wins over all of this.

use std::collections::BTreeMap;

use serde_json::Value;

use super::line;
use super::record::{Attributes, DecodeError, LogRecord, Scope, Sink};
use crate::agent::Metadata;
use crate::agent::identity::{MAX_ATTRIBUTES, MAX_VALUE};
use crate::record::{IoStream, Nanos};

/// Streams of one request; records of further ones are rejected.
const MAX_STREAMS: usize = 256;

const RUN: [&str; 3] = ["pipeline_run_id", "cicd.pipeline.run.id", "zenml.pipeline.run.id"];
const STEP: [&str; 3] = ["step_id", "cicd.pipeline.task.run.id", "zenml.step.run.id"];
const SOURCE: [&str; 2] = ["source", "zenml.log.source"];
const ATTEMPT: [&str; 1] = ["attempt"];
const IOSTREAM: &str = "log.iostream";

/// Lines of one stream, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batch {
    /// Whose they are.
    pub(crate) metadata: Metadata,
    /// With their line ends.
    pub(crate) lines: Vec<u8>,
    /// Which output they belong to, up to which byte.
    pub(crate) pieces: Vec<(IoStream, usize)>,
}

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    /// By stream.
    pub(crate) batches: Vec<Batch>,
    /// Records that are in none of them.
    pub(crate) rejected: u64,
    /// Why the first of them is not.
    pub(crate) reason: Option<String>,
}

/// See the module.
pub(super) struct Streams {
    resource: Metadata,
    received: Nanos,
    max_bytes: usize,
    bytes: usize,
    last: usize,
    decoded: Decoded,
}

impl Streams {
    /// Of a request that came at this time and may become so many bytes.
    pub(super) fn new(received: Nanos, max_bytes: usize) -> Self {
        let (resource, decoded) = (Metadata::default(), Decoded::default());
        Self { resource, received, max_bytes, bytes: 0, last: 0, decoded }
    }

    pub(super) fn finish(self) -> Decoded {
        self.decoded
    }

    fn reject(&mut self, reason: String) {
        self.decoded.rejected += 1;
        self.decoded.reason.get_or_insert(reason);
    }

    /// The batch of this stream; `None`: there are too many.
    fn batch(&mut self, metadata: Metadata) -> Option<&mut Batch> {
        let batches = &mut self.decoded.batches;
        if batches.get(self.last).is_none_or(|last| last.metadata != metadata) {
            let known = batches.iter().position(|batch| batch.metadata == metadata);
            self.last = known.unwrap_or(batches.len());
            if known.is_none() {
                if batches.len() == MAX_STREAMS {
                    return None;
                }
                batches.push(Batch { metadata, ..Batch::default() });
            }
        }
        batches.get_mut(self.last)
    }
}

impl Sink for Streams {
    fn resource(&mut self, attributes: &Attributes) {
        let mut rest = attributes.clone();
        self.resource = named(&mut rest);
        let rest = rest.into_iter().filter_map(|(name, value)| {
            let name = clean(&name)?;
            Some((name, clean(&text(&value)?)?))
        });
        self.resource.attributes = rest.take(MAX_ATTRIBUTES).collect::<BTreeMap<_, _>>();
    }

    fn record(&mut self, scope: &Scope, mut record: LogRecord) -> Result<(), DecodeError> {
        let mut attributes = std::mem::take(&mut record.attributes);
        let own = named(&mut attributes);
        let of = &self.resource;
        let metadata = Metadata {
            pipeline_run_id: own.pipeline_run_id.or_else(|| of.pipeline_run_id.clone()),
            step_id: own.step_id.or_else(|| of.step_id.clone()),
            attempt: own.attempt.or(of.attempt),
            source: own.source.or_else(|| of.source.clone()),
            attributes: of.attributes.clone(),
        };
        let iostream = iostream(&mut attributes);
        if let Err(why) = metadata.check() {
            self.reject(why);
            return Ok(());
        }
        let (received, max_bytes) = (self.received, self.max_bytes);
        let Some(batch) = self.batch(metadata) else {
            self.reject(format!("one request has records of more than {MAX_STREAMS} streams"));
            return Ok(());
        };
        let before = batch.lines.len();
        line::write(scope, &record, attributes, received, &mut batch.lines);
        let end = batch.lines.len();
        match batch.pieces.last_mut() {
            Some((last, until)) if *last == iostream => *until = end,
            _ => batch.pieces.push((iostream, end)),
        }
        self.bytes += end - before;
        if self.bytes > max_bytes {
            return Err(DecodeError::TooMuch(max_bytes));
        }
        Ok(())
    }
}

/// Takes out what names a stream.
fn named(attributes: &mut Attributes) -> Metadata {
    let ours = attributes.contains_key("pipeline_run_id") || attributes.contains_key("step_id");
    let mut first = |names: &[&str]| {
        let found = names.iter().find_map(|name| {
            let common = ["source", "attempt"].contains(name);
            let value = text(attributes.get(*name)?)?;
            ((ours || !common) && !value.is_empty()).then_some(value)
        })?;
        // What says the same again says nothing.
        for name in names {
            if attributes.get(*name).and_then(text).as_ref() == Some(&found) {
                attributes.remove(*name);
            }
        }
        Some(found)
    };
    Metadata {
        pipeline_run_id: first(&RUN),
        step_id: first(&STEP),
        source: first(&SOURCE),
        attempt: first(&ATTEMPT).map(|attempt| attempt.parse().unwrap_or(0)),
        attributes: BTreeMap::new(),
    }
}

fn iostream(attributes: &mut Attributes) -> IoStream {
    let said = attributes.get(IOSTREAM).and_then(Value::as_str);
    let known = IoStream::ALL.into_iter().find(|known| said == Some(known.as_str()));
    if known.is_some() {
        attributes.remove(IOSTREAM);
    }
    known.unwrap_or(IoStream::Stdout)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Without what cannot be shown, and not too long. `None` if nothing is left.
fn clean(text: &str) -> Option<String> {
    let mut out = String::new();
    for char in text.chars().filter(|char| !char.is_control()) {
        if out.len() + char.len_utf8() > MAX_VALUE {
            break;
        }
        out.push(char);
    }
    (!out.is_empty()).then_some(out)
}
