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
pub struct Ndjson {
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
    /// For the writer with this origin.
    pub fn new(origin: &Origin) -> Self {
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
    pub fn write(&mut self, block: &Block, out: &mut Vec<u8>) -> Summary {
        let text = simdutf8::basic::from_utf8(&block.bytes).ok();
        let mut summary = Summary::of(block);
        out.reserve(block.bytes.len() + block.lines.len() * (HEAD + 60 + self.tail.len()));
        for (seq, line) in (block.first_seq..).zip(&block.lines) {
            let bytes = block.text(line);
            let start = line.start as usize;
            let is_utf8 = text.map_or_else(
                || simdutf8::basic::from_utf8(bytes).is_ok(),
                // A slice of valid text is valid if it is not cut inside a character.
                |text| text.is_char_boundary(start) && text.is_char_boundary(start + bytes.len()),
            );
            let lifts = bytes.first() == Some(&b'{') && line.part.is_none() && line.gap.is_none();
            let lifted = if lifts && is_utf8 { json::lift(bytes) } else { None };
            let level = line.level.or_else(|| lifted.as_ref().and_then(|lifted| lifted.level));
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
                && line.group.is_none()
                && line.gap.is_none();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line::Part;
    use crate::record::{Gap, GapReason, Record};

    fn origin() -> Origin {
        Origin {
            pipeline_run_id: "run \"1\"".into(),
            step_id: "träin".into(),
            attempt: 3,
            source: "step".into(),
        }
    }

    /// The record that a line must become, made the plain way.
    fn model(block: &Block, seq: u64, line: &Line) -> Record {
        let bytes = block.text(line);
        let text = String::from_utf8_lossy(bytes).into_owned();
        let is_utf8 = std::str::from_utf8(bytes).is_ok();
        let whole = line.part.is_none() && line.gap.is_none() && is_utf8 && text.starts_with('{');
        let lifted = if whole { json::lift(bytes) } else { None }.unwrap_or_default();
        Record {
            timestamp: line.time.to_rfc3339(),
            seq,
            level: line.level.or(lifted.level),
            iostream: line.iostream,
            message: lifted.message.clone().unwrap_or_else(|| text.clone()),
            raw: lifted.message.is_some().then_some(text),
            bytes: (!is_utf8).then(|| STANDARD.encode(bytes)),
            eol: match line.eol {
                Eol::CrLf => Some("\r\n".into()),
                Eol::None if line.gap.is_none() => Some(String::new()),
                Eol::Lf | Eol::None => None,
            },
            part: line.part.map(|part| part.number),
            parts: line.part.filter(|part| part.last).map(|part| part.number),
            line: line.part.map(|part| part.line),
            group: line.group,
            progress: bytes.contains(&b'\r'),
            gap: line.gap.map(|gap| block.gaps[gap as usize].clone()),
            event_timestamp: lifted.event_timestamp,
            attributes: lifted.attributes,
            origin: origin(),
        }
    }

    fn check(block: &Block) -> Summary {
        let mut out = b"before ".to_vec();
        let summary = Ndjson::new(&origin()).write(block, &mut out);
        let text = std::str::from_utf8(&out).unwrap().strip_prefix("before ").unwrap();
        let mut seqs = block.first_seq..;
        let mut lines = block.lines.iter();
        let mut levels = [0; 6];
        for json in text.split_terminator('\n') {
            let expected = model(block, seqs.next().unwrap(), lines.next().unwrap());
            let record: Record =
                serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"));
            assert_eq!(record, expected);
            // The order of the fields is the record's own.
            assert_eq!(json, serde_json::to_string(&expected).unwrap());
            if let Some(level) = record.level {
                levels[level as usize] += 1;
            }
        }
        assert_eq!(lines.next(), None);
        assert_eq!(summary.levels, levels);
        assert_eq!(summary.lines, block.lines.len() as u64);
        summary
    }

    #[derive(Clone, Debug)]
    struct Made {
        text: Vec<u8>,
        time: i64,
        stderr: bool,
        eol: Eol,
        level: Option<Level>,
        group: Option<u64>,
        part: Option<Part>,
        gap: bool,
    }

    fn block(first_seq: u64, made: &[Made]) -> Block {
        let mut block = Block { first_seq, ..Block::default() };
        for made in made {
            let gap = made.gap.then(|| {
                let reason = GapReason::DroppedOldest;
                block.gaps.push(Gap { bytes: made.time as u64, lines: 2, reason });
                block.gaps.len() as u32 - 1
            });
            block.lines.push(Line {
                start: block.bytes.len() as u32,
                len: made.text.len() as u32,
                time: Nanos(made.time),
                iostream: if made.stderr { IoStream::Stderr } else { IoStream::Stdout },
                eol: made.eol,
                level: made.level,
                group: made.group,
                part: made.part,
                gap,
            });
            block.bytes.extend_from_slice(&made.text);
            // Line ends belong to no line, and a part has none: then texts touch.
            match made.eol {
                Eol::Lf => block.bytes.push(b'\n'),
                Eol::CrLf => block.bytes.extend_from_slice(b"\r\n"),
                Eol::None => {}
            }
        }
        block.raw_bytes = block.bytes.len() as u64;
        block
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => "[ -~]{0,120}".prop_map(String::into_bytes),
            2 => "\\PC{0,40}".prop_map(String::into_bytes),
            1 => "[ -~]{0,20}\r[ -~]{0,20}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..60),
            2 => "\\{\"(msg|message|x)\": ?\"[a-zé\\\\n]{0,9}\", \"level\": \"(warn|ERROR|x)\", \
                  \"ts\": (1700000000|\"2026-01-02T03:04:05Z\"|null)\\}"
                .prop_map(String::into_bytes),
            // Halves of a character: valid together, not alone.
            1 => Just("é".as_bytes()[..1].to_vec()),
            1 => Just("é".as_bytes()[1..].to_vec()),
        ]
    }

    fn made() -> impl Strategy<Value = Made> {
        let time = prop_oneof![
            Just(1_700_000_000_000_000_000),
            1_700_000_000_000_000_000_i64..1_700_000_003_000_000_000,
            Just(0),
        ];
        let eol = prop_oneof![3 => Just(Eol::Lf), 1 => Just(Eol::CrLf), 1 => Just(Eol::None)];
        let level = proptest::option::of(proptest::sample::select(&Level::ALL[..]));
        let part = proptest::option::weighted(
            0.2,
            (any::<u64>(), any::<u32>(), any::<bool>()).prop_map(|(line, number, last)| Part {
                line,
                number,
                last,
            }),
        );
        let group = proptest::option::weighted(0.2, any::<u64>());
        (text(), time, any::<bool>(), eol, level, group, part, proptest::bool::weighted(0.1))
            .prop_map(|(text, time, stderr, eol, level, group, part, gap)| Made {
                text,
                time,
                stderr,
                eol,
                level,
                group,
                part,
                gap,
            })
    }

    proptest! {
        #[test]
        fn records_are_what_serde_would_make(
            first_seq in prop_oneof![Just(0_u64), any::<u32>().prop_map(u64::from)],
            made in proptest::collection::vec(made(), 0..20),
        ) {
            check(&block(first_seq, &made));
        }
    }

    #[test]
    fn the_summary_has_the_first_error_cut_at_a_character() {
        let line = |text: String, level| Made {
            text: text.into_bytes(),
            time: 5,
            stderr: true,
            eol: Eol::Lf,
            level,
            group: None,
            part: None,
            gap: false,
        };
        let made = [
            line("fine".into(), Some(Level::Info)),
            line(format!("x{}", "é".repeat(800)), Some(Level::Critical)),
            line("later".into(), Some(Level::Error)),
            line("50%\r100%".into(), None),
        ];
        let summary = check(&block(7, &made));
        let error = summary.first_error.unwrap();
        assert_eq!(error.seq, 8);
        assert_eq!(error.message, format!("x{}", "é".repeat(511)));
        assert_eq!(summary.progress, 1);
    }
}
