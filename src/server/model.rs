//! What answers look like, as JSON: the one place that says which fields there are. Streams and records have
//! the names that `steplog ls -o json` and `steplog logs -o json` give them.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ansi::{self, Span};
use super::section::{self, Section};
use crate::line::{Eol, progress as bar};
use crate::read::page::{Line as Read, Page};
use crate::read::standing;
use crate::read::store::{self, Status, Trouble};
use crate::read::target::{self, Selection};
use crate::record::{Exit, Gap, LevelCounts, Nanos, WriterId};

/// A point in time: RFC 3339, UTC, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Nanos);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

/// A run, as a list shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunSummary {
    /// Its id.
    pub(super) pipeline_run_id: String,
    /// When its newest writer started, as far as the list tells.
    #[schema(value_type = String, format = DateTime)]
    pub(super) started: Time,
}

/// The newest runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runs {
    /// Newest first.
    pub(super) items: Vec<RunSummary>,
    /// Older ones: the value of `before` for the next request; none if there are no more.
    pub(super) before: Option<String>,
}

/// A run and all that is in it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Run {
    /// Its id.
    pub(super) pipeline_run_id: String,
    /// How it stands: of several tries at a step, the last counts.
    #[schema(value_type = String, example = "failed")]
    pub(super) status: Status,
    /// When its first step started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) started: Option<Time>,
    /// When its last step ended, if all have.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) ended: Option<Time>,
    /// Records, as far as known.
    pub(super) lines: Option<u64>,
    /// Bytes that they stand for, as far as known.
    pub(super) bytes: Option<u64>,
    /// Records of levels TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, as far as known.
    #[schema(value_type = Option<Vec<u64>>)]
    pub(super) levels: Option<LevelCounts>,
    /// Times that lines could not be kept.
    pub(super) gaps: u64,
    /// Nothing more will come of any of its streams, and nothing is missing.
    pub(super) complete: bool,
    /// In the order in which they started.
    pub(super) steps: Vec<Step>,
}

/// A step of a run.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the name that records have")]
pub(super) struct Step {
    /// Its id.
    pub(super) step_id: String,
    /// How its last try stands.
    #[schema(value_type = String, example = "failed")]
    pub(super) status: Status,
    /// When its first try started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) started: Option<Time>,
    /// When its last try ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) ended: Option<Time>,
    /// Records, as far as known.
    pub(super) lines: Option<u64>,
    /// Records per level, as far as known.
    #[schema(value_type = Option<Vec<u64>>)]
    pub(super) levels: Option<LevelCounts>,
    /// Oldest first.
    pub(super) attempts: Vec<Attempt>,
}

/// A try at a step.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the name that records have")]
pub(super) struct Attempt {
    /// From 1.
    pub(super) attempt: u32,
    /// How it stands.
    #[schema(value_type = String, example = "failed")]
    pub(super) status: Status,
    /// When it started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) started: Option<Time>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) ended: Option<Time>,
    /// Records, as far as known.
    pub(super) lines: Option<u64>,
    /// Records per level, as far as known.
    #[schema(value_type = Option<Vec<u64>>)]
    pub(super) levels: Option<LevelCounts>,
    /// How the step ended, as `steplog run --exit-record` writes it.
    #[schema(value_type = Option<Object>)]
    pub(super) exit: Option<Exit>,
    /// What a shell would show: 0, its code, or 128 + the signal.
    pub(super) exit_status: Option<u8>,
    /// Why it failed, in words: `exit code 1`, `killed by SIGKILL (OOMKilled)`.
    pub(super) reason: Option<String>,
    /// Text of its first line of level ERROR or above.
    pub(super) first_error: Option<String>,
    /// What its writers captured.
    pub(super) streams: Vec<Stream>,
}

/// What one writer captured of one source.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Stream {
    /// The run.
    pub(super) pipeline_run_id: String,
    /// The step.
    pub(super) step_id: String,
    /// The try at it.
    pub(super) attempt: u32,
    /// `step`, `orchestrator`, `client`, …
    pub(super) source: String,
    /// Who captured it; unique for ever.
    #[schema(value_type = String)]
    pub(super) writer: WriterId,
    /// The writer that it goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) continues: Option<WriterId>,
    /// How it stands: running, unfinished, succeeded, failed, interrupted, continued.
    #[schema(value_type = String, example = "succeeded")]
    pub(super) status: Status,
    /// When capture started.
    #[schema(value_type = String, format = DateTime)]
    pub(super) started: Time,
    /// When the step ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) ended: Option<Time>,
    /// When the store last got something of it, where it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) last_seen: Option<Time>,
    /// Records, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lines: Option<u64>,
    /// Bytes that they stand for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    /// Records per level.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<u64>>)]
    pub(super) levels: Option<LevelCounts>,
    /// Times that lines could not be kept.
    pub(super) gaps: u64,
    /// How the step ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(super) exit: Option<Exit>,
    /// Text of the first line of level ERROR or above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_error: Option<String>,
}

impl From<&store::Stream> for Stream {
    fn from(stream: &store::Stream) -> Self {
        let origin = stream.origin.clone();
        Self {
            pipeline_run_id: origin.pipeline_run_id,
            step_id: origin.step_id,
            attempt: origin.attempt,
            source: origin.source,
            writer: stream.writer,
            continues: stream.continues,
            status: stream.status,
            started: Time(stream.started),
            ended: stream.ended.map(Time),
            last_seen: stream.last_seen.map(Time),
            lines: stream.lines,
            bytes: stream.bytes,
            levels: stream.levels,
            gaps: stream.gaps,
            exit: stream.exit.clone(),
            first_error: stream.first_error.clone(),
        }
    }
}

/// All of them.
pub(super) fn streams(streams: &[store::Stream]) -> Vec<Stream> {
    streams.iter().map(Stream::from).collect()
}

impl Run {
    /// Of the streams of one run, oldest first.
    pub(super) fn new(pipeline_run_id: String, streams: &[store::Stream]) -> Self {
        let last = Selection::default().of(streams);
        let complete = streams.iter().all(|it| it.status.is_final() && it.gaps == 0);
        Self {
            pipeline_run_id,
            status: standing::of(&last),
            started: started(streams),
            ended: ended(&last),
            lines: streams.iter().map(|it| it.lines).sum(),
            bytes: streams.iter().map(|it| it.bytes).sum(),
            levels: levels(streams),
            gaps: streams.iter().map(|it| it.gaps).sum(),
            complete: complete && !streams.is_empty(),
            steps: grouped(streams, |it| it.origin.step_id.clone())
                .into_iter()
                .map(|(step_id, streams)| Step::new(step_id, &streams))
                .collect(),
        }
    }
}

impl Step {
    fn new(step_id: String, streams: &[store::Stream]) -> Self {
        let mut attempts: Vec<Attempt> = grouped(streams, |it| it.origin.attempt)
            .into_iter()
            .map(|(attempt, streams)| Attempt::new(attempt, &streams))
            .collect();
        attempts.sort_by_key(|it| it.attempt);
        Self {
            step_id,
            status: standing::of_run(streams),
            started: started(streams),
            ended: ended(&Selection::default().of(streams)),
            lines: streams.iter().map(|it| it.lines).sum(),
            levels: levels(streams),
            attempts,
        }
    }
}

impl Attempt {
    fn new(attempt: u32, all: &[store::Stream]) -> Self {
        // Of several sources, that which failed tells why.
        let ended_badly = all.iter().find(|it| target::is_failed(it.status));
        let tells = ended_badly.or_else(|| all.iter().find(|it| it.exit.is_some()));
        Self {
            attempt,
            status: standing::of(all),
            started: started(all),
            ended: ended(all),
            lines: all.iter().map(|it| it.lines).sum(),
            levels: levels(all),
            exit: tells.and_then(|it| it.exit.clone()),
            exit_status: tells.and_then(store::Stream::exit_status),
            reason: ended_badly.and_then(standing::why),
            first_error: all.iter().find_map(|it| it.first_error.clone()),
            streams: streams(all),
        }
    }
}

/// In the order in which each key came up first.
fn grouped<K: PartialEq>(
    streams: &[store::Stream],
    key: impl Fn(&store::Stream) -> K,
) -> Vec<(K, Vec<store::Stream>)> {
    let mut groups: Vec<(K, Vec<store::Stream>)> = Vec::new();
    for stream in streams {
        let key = key(stream);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(stream.clone()),
            None => groups.push((key, vec![stream.clone()])),
        }
    }
    groups
}

fn started(streams: &[store::Stream]) -> Option<Time> {
    streams.iter().map(|it| it.started).min().map(Time)
}

fn ended(streams: &[store::Stream]) -> Option<Time> {
    let all: Option<Vec<Nanos>> = streams.iter().map(|it| it.ended).collect();
    all?.into_iter().max().map(Time)
}

fn levels(streams: &[store::Stream]) -> Option<LevelCounts> {
    streams.iter().try_fold(LevelCounts::default(), |mut sum, stream| {
        for (sum, count) in sum.iter_mut().zip(stream.levels?) {
            *sum += count;
        }
        Some(sum)
    })
}

/// One record.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the name that records have")]
pub(super) struct Line<'a> {
    /// Its number in what is selected, from 0: in one stream its `seq`, in several the lines of all of them
    /// that stand before it. Exact where all lines are asked for; about right where only some are, of several
    /// streams.
    pub(super) number: u64,
    /// Who captured it. With `seq` this names the line for ever.
    #[schema(value_type = String)]
    pub(super) writer: WriterId,
    /// Its number in its stream.
    pub(super) seq: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub(super) time: Time,
    /// What it says of itself; none if it does not say.
    pub(super) level: Option<&'static str>,
    /// Where to.
    #[schema(example = "stdout")]
    pub(super) iostream: &'static str,
    /// What it comes from.
    pub(super) source: &'a str,
    /// The step.
    pub(super) step_id: &'a str,
    /// The try at it.
    pub(super) attempt: u32,
    /// The text, without terminal sequences. Control characters are in it as they were.
    pub(super) message: Cow<'a, str>,
    /// How pieces of the message look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) spans: Vec<Span>,
    /// The message is longer than this: so many characters. The whole is at `/raw` with `writer` and `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cut: Option<u64>,
    /// It redraws itself with carriage returns. The message is what a terminal shows in the end, a row each of
    /// those it is drawn on, unless `progress=all` asks for all states.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) progress: bool,
    /// How often it was drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) states: Option<u64>,
    /// Of a line that did not fit one record: which part this is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<u32>,
    /// On the last part: how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parts: Option<u32>,
    /// Of a line in parts: `seq` of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
    /// Of lines that belong together (a traceback): `seq` of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<u64>,
    /// Lines are missing here: how many, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(super) gap: Option<&'a Gap>,
    /// How it ended, where that was not a line feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eol: Option<&'static str>,
    /// `false`: it was not asked for, it stands near one that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) matched: Option<bool>,
    /// A part of the log begins or ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) section: Option<Section>,
}

/// Which states of a line that redraws itself are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bars {
    /// The last.
    Last,
    /// All, as they were written.
    All,
}

/// How much of a line is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Characters of a message.
    pub(super) chars: usize,
    /// States of it.
    pub(super) bars: Bars,
}

impl<'a> Line<'a> {
    /// Of a stream.
    pub(super) fn new(
        page: &'a Page,
        line: &'a Read,
        stream: &'a store::Stream,
        number: u64,
        matched: bool,
        extent: Extent,
    ) -> Self {
        let text = page.message(line);
        let states = line.progress.then(|| bar::states(text).count() as u64);
        let text = if line.progress && extent.bars == Bars::Last {
            Cow::Owned(last_state(text))
        } else {
            String::from_utf8_lossy(text)
        };
        let section = section::of(&text);
        let (text, cut) = cut(text, extent.chars);
        let (message, spans) = match text {
            Cow::Borrowed(text) => ansi::take_apart(text),
            Cow::Owned(text) => {
                let (plain, spans) = ansi::take_apart(&text);
                (Cow::Owned(plain.into_owned()), spans)
            }
        };
        let part = line.part();
        Self {
            number,
            writer: stream.writer,
            seq: line.seq,
            time: Time(line.time),
            level: line.level.map(crate::record::Level::as_str),
            iostream: line.iostream.as_str(),
            source: &stream.origin.source,
            step_id: &stream.origin.step_id,
            attempt: stream.origin.attempt,
            message,
            spans,
            cut,
            progress: line.progress,
            states,
            part: part.map(|part| part.number),
            parts: part.filter(|part| part.last).map(|part| part.number),
            line: part.map(|part| part.line),
            group: line.group(),
            gap: line.gap(),
            eol: match line.eol {
                Eol::Lf => None,
                Eol::CrLf => Some("\r\n"),
                Eol::None => Some(""),
            },
            matched: (!matched).then_some(false),
            section,
        }
    }
}

/// What a terminal shows in the end of a line that redraws itself.
fn last_state(text: &[u8]) -> String {
    let mut screen = bar::Screen::default();
    screen.feed(text);
    let rows = screen.shown();
    let rows: Vec<_> = rows.iter().map(|row| String::from_utf8_lossy(row)).collect();
    rows.join("\n")
}

/// The text up to `most` characters, and how many there are where that is more.
fn cut(text: Cow<'_, str>, most: usize) -> (Cow<'_, str>, Option<u64>) {
    if text.len() <= most {
        return (text, None);
    }
    let Some((end, _)) = text.char_indices().nth(most) else { return (text, None) };
    let count = text.chars().count() as u64;
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    };
    (text, Some(count))
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
    /// Goes on behind the last position, or behind what was looked at: the value of `after`.
    pub(super) after: Option<String>,
    /// What is missing or damaged.
    pub(super) troubles: Vec<Fault>,
}
