//! Entries, read: those of a request that was refused in part, and those that a query gives back.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::encode::{LIFTED, TIME, WHOLE};
use crate::line::json;
use crate::record::{IoStream, Level, Nanos, Origin, Record};
use crate::protobuf::Fields;

/// An entry as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a>(&'a [u8]);

impl<'a> Entry<'a> {
    /// All entries that stand one after the other in a stream.
    pub(super) fn all(stream: &'a [u8]) -> impl Iterator<Item = Self> {
        Fields(stream).filter(|(number, _)| *number == 2).map(|(_, value)| Self(value.bytes()))
    }

    /// All entries of a request, in order.
    pub(super) fn of_request(request: &'a [u8]) -> impl Iterator<Item = Self> {
        Fields(request)
            .filter(|(number, _)| *number == 1)
            .flat_map(|(_, stream)| Self::all(stream.bytes()))
    }

    /// The time that Loki was told.
    pub(super) fn time(&self) -> i64 {
        let (mut seconds, mut nanos) = (0, 0);
        for (number, value) in self.field(1).flat_map(Fields) {
            match number {
                1 => seconds = value.number() as i64,
                2 => nanos = value.number() as i64,
                _ => {}
            }
        }
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    }

    /// The value that is attached by this name.
    pub(super) fn pair(&self, name: &str) -> Option<Cow<'a, str>> {
        self.pairs().find(|(of, _)| of == name).map(|(_, value)| value)
    }

    /// As people read it.
    pub(super) fn show(&self) -> Value {
        let line = self.field(2).next().unwrap_or_default();
        let mut shown = Map::new();
        shown.insert("timestamp".to_owned(), Nanos(self.time()).to_rfc3339().into());
        shown.insert("line".to_owned(), String::from_utf8_lossy(line).into());
        for (name, value) in self.pairs() {
            shown.insert(name.into_owned(), value.into());
        }
        shown.into()
    }

    fn pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.field(3).map(|pair| {
            let text = |wanted: u64| {
                let mut fields = Fields(pair).filter(|(number, _)| *number == wanted);
                String::from_utf8_lossy(fields.next().map_or(&[], |(_, value)| value.bytes()))
            };
            (text(1), text(2))
        })
    }

    fn field(&self, wanted: u64) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let fields = Fields(self.0).filter(move |(number, _)| *number == wanted);
        fields.map(|(_, value)| value.bytes())
    }
}

/// The record of an entry that a query has given back; none if it is no line of steplog's.
pub(super) fn record(
    line: String,
    attached: &HashMap<String, String>,
    origin: &Origin,
) -> Option<Record> {
    let text = |name: &str| attached.get(name).map(String::as_str);
    let number = |name: &str| text(name).and_then(|digits| digits.parse::<u64>().ok());
    let level = |name: &str| Level::ALL.into_iter().find(|level| level.as_str() == name);
    let mut record = Record {
        timestamp: Nanos(text(TIME)?.parse().ok()?).to_rfc3339(),
        seq: number("seq")?,
        level: text("level").and_then(level),
        iostream: IoStream::ALL.into_iter().find(|it| Some(it.as_str()) == text("iostream"))?,
        message: line,
        raw: None,
        bytes: text("bytes").map(str::to_owned),
        eol: match text("eol") {
            None => None,
            Some("crlf") => Some("\r\n".to_owned()),
            Some(_) => Some(String::new()),
        },
        part: number("part").and_then(|part| part.try_into().ok()),
        parts: number("parts").and_then(|parts| parts.try_into().ok()),
        line: number("line"),
        group: number("group"),
        progress: text("progress").is_some(),
        gap: text("gap").and_then(|gap| serde_json::from_str(gap).ok()),
        event_timestamp: None,
        attributes: Map::new(),
        origin: origin.clone(),
    };
    if text(LIFTED).is_some()
        && let Some(lifted) = json::lift(record.message.as_bytes())
    {
        record.event_timestamp = lifted.event_timestamp;
        record.attributes = lifted.attributes;
        if let Some(message) = lifted.message {
            record.raw = Some(std::mem::replace(&mut record.message, message));
        }
    }
    if text(WHOLE).is_some() {
        let bytes = STANDARD.decode(&record.message).ok()?;
        let message = String::from_utf8_lossy(&bytes).into_owned();
        record.bytes = Some(std::mem::replace(&mut record.message, message));
    }
    Some(record)
}
