//! Records as Loki's protobuf, written by hand. Does no I/O.
//!
//! ```text
//! PushRequest   1: Stream { 1: labels, 2: Entry … }
//! Entry         1: Timestamp { 1: seconds, 2: nanos }   2: line   3: LabelPair { 1: name, 2: value } …
//! ```
//!
//! A request has one stream, whose length depends on its entries: it is put together when they are
//! known ([`Format::around`]). In an entry, what is constant are pieces of bytes per iostream and
//! level; the length that stands first is a sum. Pairs stand in order of their names, as Loki's own clients
//! send them.

use std::borrow::Cow;

use serde_json::Value;

use super::config::Label;
use super::decode::Entry;
use super::{EVENT, HALF_HOUR, WRITER};
use crate::record::{IoStream, Level, Nanos, Writer};
use crate::protobuf::{self as wire, varint_len};
use crate::stores::records::{Around, Format};
use crate::stores::view::{Field, Rare, View};

const LEVELS: usize = Level::ALL.len() + 1;
/// All that one entry has attached is limited (64 KiB); what is larger stands in the line.
const MAX_BYTES: usize = 48 << 10;
/// What stands below the millisecond in an entry's time.
const CELL: i64 = 1_000_000;
/// What one stream has of a writer's lines.
const STREAM_SPAN: i64 = 1800 * 1_000_000_000;

/// Names of what is attached to a line beside what is constant.
pub(super) const FIELDS: [&str; 16] = [
    "bytes",
    "eol",
    "gap",
    "group",
    "iostream",
    "level",
    LIFTED,
    "line",
    "part",
    "parts",
    "progress",
    "seq",
    STREAM,
    TIME,
    WHOLE,
    "detected_level",
];
/// The line is JSON: the message and attributes are in it.
pub(super) const LIFTED: &str = "lifted";
/// The start or end in JSON.
pub(super) const STREAM: &str = "steplog_stream";
/// When the line was written.
pub(super) const TIME: &str = "time_unix_nano";
/// The line is the base64 of what was printed.
pub(super) const WHOLE: &str = "line_is_base64";

/// `LabelPair { name: "seq", value`, but for the two lengths that depend on the value.
const SEQ: &[u8; 5] = b"\x0a\x03seq";
/// The same of the time.
const TIME_NAME: &[u8; 16] = b"\x0a\x0etime_unix_nano";

pub(super) struct Encode {
    /// Labels of the writer's streams, but for the half-hour.
    labels: Vec<(String, String)>,
    /// Those of starts and ends, but for their kind.
    event_labels: Vec<(String, String)>,
    /// Of the line before, and of this one.
    half_hours: (Option<i64>, Option<i64>),
    /// By iostream and level: pairs whose names come before `seq`.
    heads: [[Vec<u8>; LEVELS]; 2],
    /// Those whose names come behind it.
    tail: Vec<u8>,
    /// What of the writer is attached to each line.
    constant: Vec<(&'static str, String)>,
    /// The same, whether it is a label or not.
    origin: Vec<(&'static str, String)>,
}

/// The time that Loki is told: its millisecond, and the line's number below that. No two lines of a writer
/// have the same, if there are less than a million in a millisecond.
pub(super) fn place(time: Nanos, seq: u64) -> i64 {
    let number = (seq % CELL as u64) as i64;
    (time.0 - time.0.rem_euclid(CELL)).saturating_add(number)
}

/// A set of labels as LogQL and the push API have it; also a selector of exactly those.
pub(super) fn labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut sorted: Vec<_> = labels.into_iter().collect();
    sorted.sort_unstable();
    let pairs: Vec<String> =
        sorted.into_iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A text as LogQL has it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

impl Encode {
    pub(super) fn new(writer: &Writer, written: &[Label]) -> Self {
        let mut known: Vec<(String, String)> = written
            .iter()
            .filter_map(|label| Some((label.name.clone(), label.of(writer)?)))
            .collect();
        let fixed = written.iter().filter_map(|label| Some((&label.name, label.fixed()?)));
        let origin = vec![
            ("attempt", writer.origin.attempt.to_string()),
            ("pipeline_run_id", writer.origin.pipeline_run_id.clone()),
            ("source", writer.origin.source.clone()),
            ("step_id", writer.origin.step_id.clone()),
        ];
        let is_label = |name: &str| known.iter().any(|(label, _)| label == name);
        let constant: Vec<_> = origin.iter().filter(|(name, _)| !is_label(name)).cloned().collect();
        known.push((WRITER.to_owned(), writer.id.to_string()));
        let head = |iostream: IoStream, level: usize| {
            let level = Level::ALL.get(level).map(|level| ("level", level.as_str()));
            let mut pairs: Vec<(&str, &str)> = vec![("iostream", iostream.as_str())];
            pairs.extend(level);
            let before = constant.iter().filter(|(name, _)| *name < "seq");
            pairs.extend(before.map(|(name, value)| (*name, value.as_str())));
            encoded(&mut pairs)
        };
        let behind = constant.iter().filter(|(name, _)| *name > "seq");
        let mut behind: Vec<_> = behind.map(|(name, value)| (*name, value.as_str())).collect();
        Self {
            labels: known,
            event_labels: fixed.map(|(name, value)| (name.clone(), value.to_owned())).collect(),
            heads: IoStream::ALL.map(|iostream| std::array::from_fn(|level| head(iostream, level))),
            tail: encoded(&mut behind),
            constant,
            origin,
            half_hours: (None, None),
        }
    }

    /// `Stream.labels` of what this is the first entry of, with its tag.
    fn stream(&self, first: &Entry<'_>) -> Vec<u8> {
        let (name, value, others) = if let Some(kind) = first.pair(EVENT) {
            (EVENT, kind.into_owned(), &self.event_labels)
        } else {
            let begins = first.time() - first.time().rem_euclid(STREAM_SPAN);
            let text = Nanos(begins).to_rfc3339();
            let minutes = text.get(..16).unwrap_or(&text);
            (HALF_HOUR, format!("{minutes}Z"), &self.labels)
        };
        let others = others.iter().map(|(name, value)| (&**name, &**value));
        let mut out = Vec::new();
        wire::bytes(&mut out, 1, labels(others.chain([(name, &*value)])).as_bytes());
        out
    }

    /// A line with fields that most lines do not have, or no line.
    fn rare(&mut self, view: &View<'_>, rare: &Rare<'_>, out: &mut Vec<u8>) {
        let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let origin = if rare.event.is_some() { &self.origin } else { &self.constant };
        pairs.extend(origin.iter().map(|(name, value)| (*name, Cow::from(value))));
        pairs.push(("iostream", view.iostream.as_str().into()));
        pairs.extend(view.level.map(|level| ("level", level.as_str().into())));
        pairs.push(("seq", view.seq.to_string().into()));
        pairs.push((TIME, view.time.0.to_string().into()));
        let (mut line, mut lifted) = (rare.raw.unwrap_or(view.message), false);
        view.rare_fields(|name, value| match (name, value) {
            ("raw" | "attributes" | "event_timestamp", _) => lifted = true,
            ("eol", Field::Text("\r\n")) => pairs.push((name, "crlf".into())),
            // An empty value would be none.
            ("eol", _) => pairs.push((name, "none".into())),
            (_, Field::Text(text)) => pairs.push((name, text.to_owned().into())),
            (_, Field::Number(number)) => pairs.push((name, number.to_string().into())),
            (_, Field::Flag(flag)) => pairs.push((name, flag.to_string().into())),
            (_, Field::Gap(gap)) => {
                pairs.push((name, serde_json::to_string(gap).unwrap_or_default().into()));
            }
            (_, Field::Object(_)) => {}
        });
        if lifted {
            pairs.push((LIFTED, "true".into()));
        }
        if let Some(bytes) = rare.bytes.as_deref().filter(|bytes| bytes.len() > MAX_BYTES) {
            line = bytes;
            pairs.retain(|(name, _)| *name != "bytes");
            pairs.push((WHOLE, "true".into()));
        }
        let mut borrowed: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (*name, &**value)).collect();
        let encoded = encoded(&mut borrowed);
        // A start or an end must not come late, whenever it was: its time is that of sending.
        let time = match rare.event {
            Some(_) => Nanos::now().0,
            None => place(view.time, view.seq),
        };
        entry(time, line.as_bytes(), encoded.len(), out);
        out.extend_from_slice(&encoded);
    }
}

impl Format for Encode {
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        let half_hour = view.time.0.div_euclid(STREAM_SPAN);
        self.half_hours = (self.half_hours.1, Some(half_hour));
        if let Some(rare) = view.rare {
            self.rare(view, rare, out);
            return;
        }
        let [stdout, stderr] = &self.heads;
        let heads = match view.iostream {
            IoStream::Stdout => stdout,
            IoStream::Stderr => stderr,
        };
        let level = view.level.map_or(LEVELS - 1, |level| level as usize);
        let head = heads.get(level).map_or(&[][..], Vec::as_slice);
        let (mut seq, mut time) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (seq, time) = (seq.format(view.seq), time.format(view.time.0));
        let numbers = number_len(SEQ, seq) + number_len(TIME_NAME, time);
        let attached = head.len() + self.tail.len() + numbers;
        entry(place(view.time, view.seq), view.message.as_bytes(), attached, out);
        out.extend_from_slice(head);
        number(SEQ, seq, out);
        out.extend_from_slice(&self.tail);
        number(TIME_NAME, time, out);
    }

    fn begins_anew(&self) -> bool {
        self.half_hours.0 != self.half_hours.1
    }

    fn around(&self, records: &[u8]) -> Around {
        let labels = Entry::all(records).next().map_or(Vec::new(), |first| self.stream(&first));
        let mut head = vec![1 << 3 | 2];
        wire::varint(&mut head, (labels.len() + records.len()) as u64);
        head.extend_from_slice(&labels);
        Around { head, tail: Vec::new() }
    }

    fn show(&self, record: &[u8]) -> Value {
        Entry::all(record).next().map_or(Value::Null, |entry| entry.show())
    }
}

/// Pairs in order of their names.
fn encoded(pairs: &mut [(&str, &str)]) -> Vec<u8> {
    pairs.sort_unstable();
    let mut out = Vec::new();
    for (name, value) in pairs {
        wire::message(&mut out, 3, |out| {
            wire::bytes(out, 1, name.as_bytes());
            wire::bytes(out, 2, value.as_bytes());
        });
    }
    out
}

/// Appends a pair whose value has fewer than a hundred digits.
#[inline]
fn number(name: &[u8], digits: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[3 << 3 | 2, (name.len() + 2 + digits.len()) as u8]);
    out.extend_from_slice(name);
    out.extend_from_slice(&[2 << 3 | 2, digits.len() as u8]);
    out.extend_from_slice(digits.as_bytes());
}

/// The length of that.
#[inline]
fn number_len(name: &[u8], digits: &str) -> usize {
    name.len() + 4 + digits.len()
}

/// Appends `Stream.entries`, with its tag, up to the pairs, which have `attached` bytes.
#[inline]
fn entry(time: i64, line: &[u8], attached: usize, out: &mut Vec<u8>) {
    let seconds = time.div_euclid(1_000_000_000) as u64;
    let nanos = time.rem_euclid(1_000_000_000) as u64;
    let time_len = 2 + varint_len(seconds) + varint_len(nanos);
    let line_len = 1 + varint_len(line.len() as u64) + line.len();
    out.push(2 << 3 | 2);
    wire::varint(out, (2 + time_len + line_len + attached) as u64);
    out.extend_from_slice(&[1 << 3 | 2, time_len as u8, 1 << 3]);
    wire::varint(out, seconds);
    out.push(2 << 3);
    wire::varint(out, nanos);
    wire::bytes(out, 2, line);
}
