//! A record as one JSON object, the way [`Record`](crate::record::Record) has it.
//!
//! Apart from blocks and compression so that each can be measured. Knows the order of the fields;
//! fields that most lines do not have are off the fast path.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Stamp, escape, rare_fields};
use crate::record::{IoStream, Level, Origin, Writer, WriterId};
use crate::stores::view::View;

/// What is the same in every record of a writer, for stores that have no better place for it.
#[derive(Serialize)]
pub(crate) struct Constant<'a> {
    writer: WriterId,
    #[serde(flatten)]
    origin: &'a Origin,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    resource: &'a BTreeMap<String, String>,
}

impl<'a> Constant<'a> {
    pub(crate) fn of(writer: &'a Writer) -> Self {
        Self { writer: writer.id, origin: &writer.origin, resource: &writer.attributes }
    }
}

const LEVELS: usize = Level::ALL.len() + 1;

/// Writes the records of one writer.
#[derive(Debug)]
pub(crate) struct RecordJson {
    /// `{"timestamp":"`
    head: Vec<u8>,
    /// By iostream and level: what stands between `seq` and the message.
    middles: [[Vec<u8>; LEVELS]; 2],
    /// What every record ends with, without the comma.
    tail: Vec<u8>,
    stamp: Stamp,
}

impl RecordJson {
    /// Records whose time is called `timestamp` and which end with the fields of `constant`, an
    /// object.
    pub(crate) fn new(timestamp: &str, constant: &impl Serialize) -> Self {
        // `{…}` without its first brace.
        let constant = serde_json::to_vec(constant).unwrap_or_default();
        let comma = if constant == b"{}" { "" } else { "," };
        let tail = comma.bytes().chain(constant.into_iter().skip(1)).collect();
        let middle = |iostream: IoStream, level: usize| {
            let level = Level::ALL.get(level).map(|level| level.as_str());
            let level = level.map_or(String::new(), |level| format!(",\"level\":\"{level}\""));
            let iostream = iostream.as_str();
            format!("{level},\"iostream\":\"{iostream}\",\"message\":\"").into_bytes()
        };
        Self {
            head: format!("{{\"{timestamp}\":\"").into_bytes(),
            middles: IoStream::ALL
                .map(|iostream| std::array::from_fn(|level| middle(iostream, level))),
            tail,
            stamp: Stamp::new(),
        }
    }

    /// Bytes of a record beside its message, about.
    pub(crate) fn overhead(&self) -> usize {
        self.head.len() + 100 + self.tail.len()
    }

    /// Appends the record as one object, without line end.
    #[inline]
    pub(crate) fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(self.stamp.text(view.time));
        out.extend_from_slice(b"\",\"seq\":");
        out.extend_from_slice(itoa::Buffer::new().format(view.seq).as_bytes());
        let [stdout, stderr] = &self.middles;
        let of = match view.iostream {
            IoStream::Stdout => stdout,
            IoStream::Stderr => stderr,
        };
        let level = view.level.map_or(LEVELS - 1, |level| level as usize);
        out.extend_from_slice(of.get(level).map_or(&[], Vec::as_slice));
        escape(view.message.as_bytes(), out);
        out.push(b'"');
        if view.rare.is_some() {
            rare_fields(view, out);
        }
        out.extend_from_slice(&self.tail);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::line::{Block, Eol, Line, Part, json};
    use crate::record::{Gap, GapReason, Nanos, Origin, Record};
    use crate::stores::{Summary, view};

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
        let mut json = RecordJson::new("timestamp", &origin());
        let summary = view::each(block, |view| {
            json.record(view, &mut out);
            out.push(b'\n');
        });
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
                headline: false,
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
