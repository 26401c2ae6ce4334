//! A line in JSON: what of it is shown, and how. Pure.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::Time;
use crate::line::{Eol, progress as bar};
use crate::read::page::{Line as Read, Page};
use crate::read::store;
use crate::record::{Gap, WriterId};
use crate::server::ansi::{self, Span};
use crate::server::section::{self, Section};

/// One record.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the name that records have")]
pub(in crate::server) struct Line<'a> {
    /// Its number in what is selected, from 0: in one stream its `seq`, in several the lines of all of them
    /// that stand before it. Exact where all lines are asked for; about right where only some are, of several
    /// streams.
    pub(in crate::server) number: u64,
    /// Who captured it. With `seq` this names the line for ever.
    #[schema(value_type = String)]
    pub(in crate::server) writer: WriterId,
    /// Its number in its stream.
    pub(in crate::server) seq: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::server) time: Time,
    /// What it says of itself; none if it does not say.
    pub(in crate::server) level: Option<&'static str>,
    /// Where to.
    #[schema(example = "stdout")]
    pub(in crate::server) iostream: &'static str,
    /// What it comes from.
    pub(in crate::server) source: &'a str,
    /// The step.
    pub(in crate::server) step_id: &'a str,
    /// The try at it.
    pub(in crate::server) attempt: u32,
    /// The text, without terminal sequences. Control characters are in it as they were.
    pub(in crate::server) message: Cow<'a, str>,
    /// How pieces of the message look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::server) spans: Vec<Span>,
    /// The message is longer than this: so many characters. The whole is at `/raw` with `writer` and `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) cut: Option<u64>,
    /// It redraws itself with carriage returns. The message is what a terminal shows in the end, a row each of
    /// those it is drawn on, unless `progress=all` asks for all states.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::server) progress: bool,
    /// How often it was drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) states: Option<u64>,
    /// Of a line that did not fit one record: which part this is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) part: Option<u32>,
    /// On the last part: how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) parts: Option<u32>,
    /// Of a line in parts: `seq` of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) line: Option<u64>,
    /// Of lines that belong together (a traceback): `seq` of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) group: Option<u64>,
    /// Lines are missing here: how many, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(in crate::server) gap: Option<&'a Gap>,
    /// How it ended, where that was not a line feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) eol: Option<&'static str>,
    /// `false`: it was not asked for, it stands near one that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) matched: Option<bool>,
    /// A part of the log begins or ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) section: Option<Section>,
}

/// Which states of a line that redraws itself are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Bars {
    /// The last.
    Last,
    /// All, as they were written.
    All,
}

/// How much of a line is shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Extent {
    /// Characters of a message.
    pub(in crate::server) chars: usize,
    /// States of it.
    pub(in crate::server) bars: Bars,
}

impl<'a> Line<'a> {
    /// Of a stream.
    pub(in crate::server) fn new(
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
