//! One record on its way into a store, borrowed from its block: what all encoders begin with.
//!
//! Apart so that what a line *is* (valid text or not, lifted from JSON, a part, a gap) is decided in
//! one place, and every flavor writes the same records in its own words. Per line there is no
//! allocation unless the line has fields that most lines do not have. Does no I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{FirstError, MAX_ERROR_MESSAGE, Summary};
use crate::line::{Block, Eol, Line, json};
use crate::record::{Gap, IoStream, Level, Nanos};

/// One record, as [`Record`](crate::record::Record) has it.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// When its first byte was read.
    pub(crate) time: Nanos,
    /// Dense per writer.
    pub(crate) seq: u64,
    /// Absent if the line does not say.
    pub(crate) level: Option<Level>,
    /// Which descriptor.
    pub(crate) iostream: IoStream,
    /// Without line end; the lifted message of a JSON line; lossy if the line is not UTF-8.
    pub(crate) message: &'a str,
    /// What most lines do not have; then none of it.
    pub(crate) rare: Option<&'a Rare<'a>>,
}

/// Fields that most lines do not have, in the order in which records have them.
#[derive(Debug, Default)]
pub(crate) struct Rare<'a> {
    /// The whole line where the message is only a part of it.
    pub(crate) raw: Option<&'a str>,
    /// The exact bytes in base64 where the line is not UTF-8.
    pub(crate) bytes: Option<String>,
    /// How the line ended, where that was not `\n`.
    pub(crate) eol: Option<&'static str>,
    /// For a line in parts: which one, from 1.
    pub(crate) part: Option<u32>,
    /// On the last part: how many.
    pub(crate) parts: Option<u32>,
    /// For a line in parts: the `seq` of the first.
    pub(crate) line: Option<u64>,
    /// For lines that belong together: the `seq` of the first.
    pub(crate) group: Option<u64>,
    /// It redraws itself.
    pub(crate) progress: bool,
    /// It stands for lines that were lost.
    pub(crate) gap: Option<&'a Gap>,
    /// The time that a JSON line gives itself.
    pub(crate) event_timestamp: Option<&'a str>,
    /// Fields lifted from a JSON line.
    pub(crate) attributes: Option<&'a Map<String, Value>>,
    /// It is no line but says something of its writer.
    pub(crate) event: Option<Event<'a>>,
}

/// What a record that is no line says of its writer; see `records::event`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    /// `start` or `end`.
    pub(crate) kind: &'static str,
    /// The rest, one JSON object.
    pub(crate) stream: &'a str,
}

/// A field of [`Rare`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    Gap(&'a Gap),
    Object(&'a Map<String, Value>),
}

impl<'a> View<'a> {
    /// The fields of [`Rare`] that are there, with the names they have in records, in order.
    pub(crate) fn rare_fields(&self, mut each: impl FnMut(&'static str, Field<'a>)) {
        let Some(rare) = self.rare else { return };
        let mut text = |name, value: Option<&'a str>| {
            if let Some(value) = value {
                each(name, Field::Text(value));
            }
        };
        text("raw", rare.raw);
        text("bytes", rare.bytes.as_deref());
        text("eol", rare.eol);
        let numbers = [
            ("part", rare.part.map(u64::from)),
            ("parts", rare.parts.map(u64::from)),
            ("line", rare.line),
            ("group", rare.group),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                each(name, Field::Number(value));
            }
        }
        if rare.progress {
            each("progress", Field::Flag(true));
        }
        if let Some(gap) = rare.gap {
            each("gap", Field::Gap(gap));
        }
        if let Some(time) = rare.event_timestamp {
            each("event_timestamp", Field::Text(time));
        }
        if let Some(attributes) = rare.attributes {
            each("attributes", Field::Object(attributes));
        }
        if let Some(event) = rare.event {
            each("steplog_event", Field::Text(event.kind));
            each("steplog_stream", Field::Text(event.stream));
        }
    }
}

/// Shows each record of the block, in order, and says what is in all of them.
pub(crate) fn each(block: &Block, mut show: impl FnMut(&View<'_>)) -> Summary {
    let text = simdutf8::basic::from_utf8(&block.bytes).ok();
    let may_redraw = memchr::memchr(b'\r', &block.bytes).is_some();
    let mut summary = Summary::of(block);
    for (seq, line) in (block.first_seq..).zip(&block.lines) {
        let bytes = block.text(line);
        let start = line.start as usize;
        // A slice of valid text is valid if it is not cut inside a character.
        let message = match text {
            Some(text) => text.get(start..start + bytes.len()),
            None => simdutf8::basic::from_utf8(bytes).ok(),
        };
        let progress = may_redraw && memchr::memchr(b'\r', bytes).is_some();
        summary.progress += u64::from(progress);
        let plain = line.eol == Eol::Lf
            && !progress
            && line.part.is_none()
            && line.group.is_none()
            && line.gap.is_none()
            && bytes.first() != Some(&b'{');
        let level = match message {
            Some(message) if plain => {
                show(&View {
                    time: line.time,
                    seq,
                    level: line.level,
                    iostream: line.iostream,
                    message,
                    rare: None,
                });
                line.level
            }
            message => {
                summary.count_group(line.group);
                rare(block, (seq, line), message, progress, &mut show)
            }
        };
        summary.count_level(level);
        if level >= Some(Level::Error) && summary.first_error.is_none() {
            summary.first_error = Some(first_error(seq, bytes));
        }
        if line.headline
            && let Some(group) = line.group
        {
            // Of an exception group it stands in a frame: `  | ExceptionGroup: …`.
            let said = bytes.trim_ascii_start();
            let said = said.strip_prefix(b"| ").unwrap_or(said);
            summary.count_headline(first_error(group, said));
        }
    }
    summary
}

/// Shows a line that has, or may have, fields that most lines do not have; returns its level.
fn rare(
    block: &Block,
    (seq, line): (u64, &Line),
    message: Option<&str>,
    progress: bool,
    show: &mut impl FnMut(&View<'_>),
) -> Option<Level> {
    let bytes = block.text(line);
    let lifts = bytes.first() == Some(&b'{') && line.part.is_none() && line.gap.is_none();
    let lifted = if lifts && message.is_some() { json::lift(bytes) } else { None };
    let lifted = lifted.unwrap_or_default();
    let level = line.level.or(lifted.level);
    let lossy;
    let text = if let Some(message) = message {
        message
    } else {
        lossy = String::from_utf8_lossy(bytes);
        &lossy
    };
    let rare = Rare {
        raw: lifted.message.is_some().then_some(text),
        bytes: message.is_none().then(|| STANDARD.encode(bytes)),
        eol: match line.eol {
            Eol::CrLf => Some("\r\n"),
            // A gap is no line of the step's: it has no end.
            Eol::None if line.gap.is_none() => Some(""),
            Eol::Lf | Eol::None => None,
        },
        part: line.part.map(|part| part.number),
        parts: line.part.filter(|part| part.last).map(|part| part.number),
        line: line.part.map(|part| part.line),
        group: line.group,
        progress,
        gap: line.gap.and_then(|gap| block.gaps.get(gap as usize)),
        event_timestamp: lifted.event_timestamp.as_deref(),
        attributes: (!lifted.attributes.is_empty()).then_some(&lifted.attributes),
        event: None,
    };
    show(&View {
        time: line.time,
        seq,
        level,
        iostream: line.iostream,
        message: lifted.message.as_deref().unwrap_or(text),
        rare: Some(&rare),
    });
    level
}

fn first_error(seq: u64, bytes: &[u8]) -> FirstError {
    let text = String::from_utf8_lossy(bytes);
    let cut = text.floor_char_boundary(MAX_ERROR_MESSAGE);
    FirstError { seq, message: text.get(..cut).unwrap_or_default().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{Settings, Splitter, State};
    use crate::record::Nanos;
    use crate::spool::{Frame, Kind};

    /// What is kept of the first error, the lines in blocks of so many.
    fn first_error_of(text: &str, block_lines: usize) -> Option<(u64, String)> {
        let settings = Settings { block_lines, ..Settings::default() };
        let mut splitter = Splitter::new(settings, State::default());
        let len = text.len() as u32;
        let frame = Frame { kind: Kind::Stderr, time: Nanos(1), offset: 0, len };
        let (mut summary, mut block) = (Summary::default(), Block::default());
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let taken = splitter.push(&frame, rest, &mut block, None);
            rest = &rest[taken..];
            // Blocks make a chunk before chunks make the whole.
            let mut chunk = Summary::default();
            chunk.add(&each(&block, |_| {}));
            summary.add(&chunk);
            block.clear();
        }
        summary.first_error.map(|error| (error.seq, error.message))
    }

    #[test]
    fn the_first_error_is_the_exception_and_not_the_word_traceback() {
        let chained = "start\n\
            Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n\n\
            During handling of the above exception, another exception occurred:\n\n\
            Traceback (most recent call last):\n  File \"a.py\", line 2, in g\nValueError: bad\n";
        let twice = format!("{chained}then\n{}", chained.replace("bad", "worse"));
        let table: &[(&str, u64, &str)] = &[
            (chained, 1, "ValueError: bad"),
            (&twice, 1, "ValueError: bad"),
            (
                "thread 'main' panicked at src/main.rs:4:5:\nindex out of bounds\nnote: run with x\n",
                0,
                "index out of bounds",
            ),
            (
                "thread 'main' panicked at 'old', src/main.rs:4:5\n",
                0,
                "thread 'main' panicked at 'old', src/main.rs:4:5",
            ),
            (
                "panic: one [recovered]\n\tpanic: two\n\ngoroutine 1 [running]:\nmain.main()\n",
                0,
                "panic: two",
            ),
            (
                "Exception in thread \"main\" java.lang.IllegalStateException: x\n\tat a.B.c(B.java:1)\n\
                Caused by: java.io.IOException: y\n\tat a.B.d(B.java:2)\n",
                0,
                "Exception in thread \"main\" java.lang.IllegalStateException: x",
            ),
            (
                "ERROR: first\nTraceback (most recent call last):\nValueError: bad\n",
                0,
                "ERROR: first",
            ),
            (
                "Traceback (most recent call last):\n  cut off",
                0,
                "Traceback (most recent call last):",
            ),
        ];
        for (text, seq, message) in table {
            for block_lines in [1, 2, 3, 100] {
                let found = first_error_of(text, block_lines);
                assert_eq!(found, Some((*seq, (*message).to_owned())), "{block_lines} in {text}");
            }
        }
    }
}
