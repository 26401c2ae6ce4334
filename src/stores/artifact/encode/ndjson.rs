//! A block as NDJSON: one [`Record`](crate::record::Record) a line, and the block's summary.
//!
//! Apart from compression so that each can be measured. Knows the order of the fields; fields
//! that most lines do not have are off the fast path.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::escape::escape;
use crate::line::{Block, Eol, Line, json};
use crate::record::{IoStream, Level, Nanos, Origin};
use crate::stores::{FirstError, MAX_ERROR_MESSAGE, Summary};

/// `{"timestamp":"2026-11-23T06:44:00.000000001Z","seq":`
const HEAD: usize = 14 + STAMP + 8;
const STAMP: usize = 30;
const NANOS_AT: usize = 14 + 20;
const LEVELS: usize = Level::ALL.len() + 1;

/// Writes the records of one writer.
pub(super) struct Ndjson {
    /// What every record ends with.
    tail: Vec<u8>,
    /// By iostream and level: what stands between `seq` and the message.
    middles: [[Vec<u8>; LEVELS]; 2],
    /// What a record of the time `time` begins with.
    head: [u8; HEAD],
    time: Option<Nanos>,
    second: Option<i64>,
}

impl Ndjson {
    pub(super) fn new(origin: &Origin) -> Self {
        let mut tail = b"\",".to_vec();
        // `{…}` without its first brace.
        let origin = serde_json::to_vec(origin).unwrap_or_default();
        tail.extend(origin.iter().skip(1));
        tail.push(b'\n');
        let middle = |iostream: IoStream, level: usize| {
            let level = Level::ALL.get(level).map(|level| level.as_str());
            let level = level.map_or(String::new(), |level| format!(",\"level\":\"{level}\""));
            let iostream = iostream.as_str();
            format!("{level},\"iostream\":\"{iostream}\",\"message\":\"").into_bytes()
        };
        let mut head = [b'0'; HEAD];
        for (to, from) in head.iter_mut().zip(br#"{"timestamp":""#) {
            *to = *from;
        }
        for (to, from) in head.iter_mut().rev().zip(br#"","seq":"#.iter().rev()) {
            *to = *from;
        }
        Self {
            tail,
            middles: IoStream::ALL
                .map(|iostream| std::array::from_fn(|level| middle(iostream, level))),
            head,
            time: None,
            second: None,
        }
    }

    /// Appends all lines of the block.
    pub(super) fn write(&mut self, block: &Block, out: &mut Vec<u8>) -> Summary {
        let text = simdutf8::basic::from_utf8(&block.bytes).ok();
        let mut summary = Summary::of(block);
        out.reserve(block.bytes.len() + block.lines.len() * (HEAD + 60 + self.tail.len()));
        for (seq, line) in (block.first_seq..).zip(&block.lines) {
            let bytes = block.text(line);
            let start = line.start as usize;
            let is_utf8 = text.map_or_else(
                || simdutf8::basic::from_utf8(bytes).is_ok(),
                // A slice of valid text is valid if it is not cut inside a character.
                |text| {
                    text.is_char_boundary(start) && text.is_char_boundary(start + bytes.len())
                },
            );
            let lifts = bytes.first() == Some(&b'{') && line.part.is_none() && line.gap.is_none();
            let lifted = if lifts && is_utf8 { json::lift(bytes) } else { None };
            let level =
                line.level.or_else(|| lifted.as_ref().and_then(|lifted| lifted.level));
            summary.count_level(level);
            if level >= Some(Level::Error) && summary.first_error.is_none() {
                summary.first_error = Some(first_error(seq, bytes));
            }

            self.stamp(line.time);
            out.extend_from_slice(&self.head);
            out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
            out.extend_from_slice(self.middle(line.iostream, level));
            let plain = is_utf8
                && lifted.is_none()
                && line.eol == Eol::Lf
                && line.part.is_none()
                && line.group.is_none();
            if plain {
                if escape(bytes, out) && memchr::memchr(b'\r', bytes).is_some() {
                    summary.progress += 1;
                    out.extend_from_slice(b"\",\"progress\":true");
                    out.extend_from_slice(self.tail.get(1..).unwrap_or_default());
                } else {
                    out.extend_from_slice(&self.tail);
                }
            } else {
                let fields = Rare { block, line, bytes, is_utf8, lifted };
                summary.progress += u64::from(fields.write(out));
                out.extend_from_slice(self.tail.get(1..).unwrap_or_default());
            }
        }
        summary
    }

    fn middle(&self, iostream: IoStream, level: Option<Level>) -> &[u8] {
        let [stdout, stderr] = &self.middles;
        let of = match iostream {
            IoStream::Stdout => stdout,
            IoStream::Stderr => stderr,
        };
        let level = level.map_or(LEVELS - 1, |level| level as usize);
        of.get(level).map_or(&[], Vec::as_slice)
    }

    /// Makes `head` that of a record of this time. Lines of one read have one time, and most
    /// reads one second.
    #[inline]
    fn stamp(&mut self, time: Nanos) {
        if self.time == Some(time) {
            return;
        }
        self.time = Some(time);
        let (second, mut nanos) =
            (time.0.div_euclid(1_000_000_000), time.0.rem_euclid(1_000_000_000));
        if self.second != Some(second) {
            self.second = Some(second);
            let text = time.to_rfc3339();
            for (to, from) in self.head.iter_mut().skip(14).zip(text.as_bytes()) {
                *to = *from;
            }
            return;
        }
        let digits = self.head.get_mut(NANOS_AT..NANOS_AT + 9).unwrap_or_default();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (nanos % 10) as u8;
            nanos /= 10;
        }
    }
}

/// A line with fields that most lines do not have.
struct Rare<'a> {
    block: &'a Block,
    line: &'a Line,
    bytes: &'a [u8],
    is_utf8: bool,
    lifted: Option<json::Lifted>,
}

impl Rare<'_> {
    /// Writes the message and all that follows it, up to but not including the comma before the
    /// origin. Tells whether it is a line that redraws itself.
    fn write(self, out: &mut Vec<u8>) -> bool {
        let lifted = self.lifted.unwrap_or_default();
        let lossy;
        let text = if self.is_utf8 {
            self.bytes
        } else {
            lossy = String::from_utf8_lossy(self.bytes);
            lossy.as_bytes()
        };
        escape(lifted.message.as_deref().map_or(text, str::as_bytes), out);
        out.push(b'"');
        if lifted.message.is_some() {
            out.extend_from_slice(b",\"raw\":\"");
            escape(text, out);
            out.push(b'"');
        }
        if !self.is_utf8 {
            field(out, "bytes", &STANDARD.encode(self.bytes));
        }
        match self.line.eol {
            Eol::CrLf => field(out, "eol", "\r\n"),
            // A gap is no line of the step's: it has no end.
            Eol::None if self.line.gap.is_none() => field(out, "eol", ""),
            Eol::Lf | Eol::None => {}
        }
        if let Some(part) = self.line.part {
            field(out, "part", &part.number);
            if part.last {
                field(out, "parts", &part.number);
            }
            field(out, "line", &part.line);
        }
        if let Some(group) = self.line.group {
            field(out, "group", &group);
        }
        let progress = memchr::memchr(b'\r', self.bytes).is_some();
        if progress {
            field(out, "progress", &true);
        }
        if let Some(gap) = self.line.gap.and_then(|gap| self.block.gaps.get(gap as usize)) {
            field(out, "gap", gap);
        }
        if let Some(time) = &lifted.event_timestamp {
            field(out, "event_timestamp", time);
        }
        if !lifted.attributes.is_empty() {
            field(out, "attributes", &lifted.attributes);
        }
        progress
    }
}

fn field<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    // Writing JSON of these types into memory does not fail.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.extend_from_slice(b"null");
    }
}

fn first_error(seq: u64, bytes: &[u8]) -> FirstError {
    let text = String::from_utf8_lossy(bytes);
    let cut = text.floor_char_boundary(MAX_ERROR_MESSAGE);
    FirstError { seq, message: text.get(..cut).unwrap_or_default().to_owned() }
}
