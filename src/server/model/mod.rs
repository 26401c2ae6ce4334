//! What answers look like, as JSON: the one place that says which fields there are. Streams and records have
//! the names that `steplog ls -o json` and `steplog logs -o json` give them.

mod line;
mod run;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

pub(super) use self::line::{Bars, Extent, Line};
pub(super) use self::run::{Run, RunSummary, Runs, Stream, streams};
use crate::read::store::{self, Trouble};
use crate::record::{Nanos, WriterId};

/// A point in time: RFC 3339, UTC, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Nanos);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

/// Something is missing or damaged.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    /// In which stream.
    #[schema(value_type = Option<String>)]
    pub(super) writer: Option<WriterId>,
    /// What, where, in words.
    pub(super) what: String,
}

impl Fault {
    /// Of these streams.
    pub(super) fn new(trouble: &Trouble, streams: &[store::Stream]) -> Self {
        let writer = streams.get(trouble.stream as usize).map(|stream| stream.writer);
        Self { writer, what: crate::stores::artifact::without_queries(&trouble.what) }
    }
}

/// Some lines of what is selected.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Logs {
    /// Oldest first.
    #[schema(value_type = Vec<Line>)]
    pub(super) items: Vec<Box<RawValue>>,
    /// Goes on before them: the value of `before` for the next request; none at the beginning.
    pub(super) before: Option<String>,
    /// Goes on behind them, also with what comes later: the value of `after`; none if all has been read and
    /// nothing more will come.
    pub(super) after: Option<String>,
    /// All numbers are exact; else some are about right, and `writer` and `seq` say which lines they are.
    pub(super) exact: bool,
    /// What is selected, and how it stands.
    pub(super) streams: Vec<Stream>,
    /// What is missing or damaged.
    pub(super) troubles: Vec<Fault>,
}

/// Lines by number.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Window {
    /// Number of the first of them. It is the one asked for, except where lines of many streams have the very
    /// same time.
    pub(super) start: u64,
    /// Lines there are, as far as known.
    pub(super) total: u64,
    /// Nothing more will come.
    pub(super) complete: bool,
    /// All numbers are exact; else some are about right, and `writer` and `seq` say which lines they are.
    pub(super) exact: bool,
    /// Oldest first.
    #[schema(value_type = Vec<Line>)]
    pub(super) items: Vec<Box<RawValue>>,
    /// Goes on before them: the value of `cursor` with a negative `count`; none at the beginning.
    pub(super) before: Option<String>,
    /// Goes on behind them: the value of `cursor`.
    pub(super) after: Option<String>,
    /// What is missing or damaged.
    pub(super) troubles: Vec<Fault>,
}

/// Where something was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Position {
    /// As in [`Line`].
    pub(super) number: u64,
    /// Who captured it.
    #[schema(value_type = String)]
    pub(super) writer: WriterId,
    /// Its number in its stream.
    pub(super) seq: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub(super) time: Time,
}

/// What a search has found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Found {
    /// Lines that match, of those looked at.
    pub(super) matches: u64,
    /// All lines were looked at.
    pub(super) complete: bool,
    /// Lines before the place that it has come to, about.
    pub(super) scanned_lines: u64,
    /// Bytes looked at, about.
    pub(super) scanned_bytes: u64,
    /// Where they are, oldest first; at most `limit` of them.
    pub(super) positions: Vec<Position>,
    /// All numbers are exact; else some are about right, and `writer` and `seq` say which lines they are.
    pub(super) exact: bool,
    /// Goes on behind the last position, or behind what was looked at: the value of `after`.
    pub(super) after: Option<String>,
    /// What is missing or damaged.
    pub(super) troubles: Vec<Fault>,
}
