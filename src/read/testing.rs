//! What the tests of reading build their input with.

use crate::record::{IoStream, Level, Nanos, Origin, Record};

use super::page::Page;

/// A line to be.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) text: String,
    pub(crate) level: Option<Level>,
    pub(crate) iostream: IoStream,
    pub(crate) time: Option<Nanos>,
    pub(crate) group: Option<u64>,
    /// Id of the line, number, last.
    pub(crate) part: Option<(u64, u32, bool)>,
    pub(crate) eol: Option<String>,
    pub(crate) progress: bool,
    pub(crate) step: String,
}

impl Spec {
    pub(crate) fn text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            level: None,
            iostream: IoStream::Stdout,
            time: None,
            group: None,
            part: None,
            eol: None,
            progress: false,
            step: "step".to_owned(),
        }
    }

    pub(crate) fn record(&self, seq: u64) -> Record {
        Record {
            timestamp: self.time.unwrap_or_else(|| time(seq)).to_rfc3339(),
            seq,
            level: self.level,
            iostream: self.iostream,
            message: self.text.clone(),
            raw: None,
            bytes: None,
            eol: self.eol.clone(),
            part: self.part.map(|(_, number, _)| number),
            parts: self.part.and_then(|(_, number, last)| last.then_some(number)),
            line: self.part.map(|(line, _, _)| line),
            group: self.group,
            progress: self.progress,
            gap: None,
            event_timestamp: None,
            attributes: serde_json::Map::new(),
            origin: Origin {
                pipeline_run_id: "run".into(),
                step_id: self.step.clone(),
                attempt: 1,
                source: "step".into(),
            },
        }
    }
}

/// Line `seq` is written so many seconds after a fixed time.
pub(crate) fn time(seq: u64) -> Nanos {
    Nanos(1_795_416_240_000_000_000 + seq as i64 * 1_000_000_000)
}

pub(crate) fn ndjson(specs: &[Spec]) -> Vec<u8> {
    ndjson_from(0, specs)
}

pub(crate) fn ndjson_from(first: u64, specs: &[Spec]) -> Vec<u8> {
    let mut out = Vec::new();
    for (spec, seq) in specs.iter().zip(first..) {
        serde_json::to_writer(&mut out, &spec.record(seq)).unwrap();
        out.push(b'\n');
    }
    out
}

/// A page of lines with these times and no text.
pub(crate) fn page(stream: u32, times: &[u8]) -> Page {
    let specs: Vec<Spec> = times
        .iter()
        .map(|time| Spec { time: Some(Nanos(i64::from(*time))), ..Spec::text("") })
        .collect();
    let mut page = super::filter::Filter::default().select(ndjson(&specs), stream);
    for line in &mut page.lines {
        line.ordinal = line.seq as u32;
    }
    page
}

/// A stream as a store may list it; each one starts after the one before.
pub(crate) fn stream(
    step: &str,
    attempt: u32,
    status: super::store::Status,
) -> super::store::Stream {
    let writer = crate::record::WriterId::new();
    super::store::Stream {
        origin: Origin {
            pipeline_run_id: "run".into(),
            step_id: step.into(),
            attempt,
            source: "step".into(),
        },
        writer,
        continues: None,
        status,
        started: Nanos::now(),
        ended: None,
        last_seen: None,
        lines: None,
        bytes: None,
        levels: None,
        gaps: 0,
        exit: None,
        first_error: None,
    }
}
