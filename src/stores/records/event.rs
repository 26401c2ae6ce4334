//! What a store of records is told of a writer beside its lines: that it has started, and how it
//! ended.
//!
//! Two records a writer, like any other but for the fields `steplog_event` (`start` or `end`) and
//! `steplog_stream` (this, as JSON in a text: services differ in what they do to nested fields). A
//! reader finds runs and streams by them; the end says how many lines there are, which is how
//! complete is told from unfinished.

use serde::{Deserialize, Serialize};

use crate::record::{Exit, IoStream, Level, LevelCounts, Nanos, Writer};
use crate::stores::view::{Event, Rare, View};
use crate::stores::{Ending, FirstError, Gaps};
use crate::words::counted;

/// The value of `steplog_event` on the first record of a writer.
pub(crate) const START: &str = "start";
/// … and on the last.
pub(crate) const END: &str = "end";

/// The value of `steplog_stream`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamEvent {
    /// Who writes.
    pub(crate) writer: Writer,
    /// How it ended; none at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<StreamEnd>,
}

/// How a writer ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamEnd {
    /// None if capture ended before the step did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit: Option<Exit>,
    /// When; that of the last line if nobody saw the step end.
    pub(crate) ended: Nanos,
    /// Records, those of the events not counted.
    pub(crate) lines: u64,
    /// Bytes that they stand for.
    pub(crate) bytes: u64,
    /// Records per level.
    pub(crate) levels: LevelCounts,
    /// The first line of level ERROR or above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<FirstError>,
    /// What could not be kept.
    pub(crate) gaps: Gaps,
    /// Records that the service refused; they are in the dead-letter file where it was shipped.
    #[serde(default)]
    pub(crate) rejected: u64,
}

impl StreamEvent {
    /// The writer has started.
    pub(crate) fn start(writer: &Writer) -> Self {
        Self { writer: writer.clone(), end: None }
    }

    /// It has ended.
    pub(crate) fn end(writer: &Writer, ending: &Ending, rejected: u64) -> Self {
        let totals = &ending.totals;
        let last = totals.last_time.max(writer.started);
        Self {
            writer: writer.clone(),
            end: Some(StreamEnd {
                ended: ending.exit.as_ref().map_or(last, |exit| exit.ended.max(last)),
                exit: ending.exit.clone(),
                lines: totals.lines,
                bytes: totals.raw_bytes,
                levels: totals.levels,
                first_error: totals.first_error.clone(),
                gaps: totals.gaps,
                rejected,
            }),
        }
    }

    /// Shows it as a record.
    pub(crate) fn show<T>(&self, show: impl FnOnce(&View<'_>) -> T) -> T {
        let stream = serde_json::to_string(self).unwrap_or_default();
        let (kind, time, seq, level) = match &self.end {
            None => (START, self.writer.started, 0, Level::Info),
            Some(end) if end.exit.as_ref().is_some_and(Exit::succeeded) => {
                (END, end.ended, end.lines, Level::Info)
            }
            Some(end) => (END, end.ended, end.lines, Level::Error),
        };
        let rare = Rare { event: Some(Event { kind, stream: &stream }), ..Rare::default() };
        show(&View {
            time,
            seq,
            level: Some(level),
            iostream: IoStream::Stderr,
            message: &self.sentence(),
            rare: Some(&rare),
        })
    }

    /// What a person reads who looks at the service itself.
    fn sentence(&self) -> String {
        let step = &self.writer.origin.step_id;
        let Some(end) = &self.end else { return format!("steplog: step {step} started") };
        let how = match &end.exit {
            None => "was interrupted: capture ended before it did".to_owned(),
            Some(exit) if exit.succeeded() => "succeeded".to_owned(),
            Some(Exit { signal: Some(signal), .. }) => format!("failed: killed by {signal}"),
            Some(Exit { code: Some(code), .. }) => format!("failed: exit code {code}"),
            Some(_) => "failed".to_owned(),
        };
        format!("steplog: step {step} {how}, {}", counted(end.lines, "line"))
    }
}
