//! Records as lines of text, or of JSON. Does no I/O.

use std::io::Write;

use serde_json::Value;

use super::config::Show;
use crate::record::Writer;
use crate::stores::json::{Constant, RecordJson, Stamp};
use crate::stores::records::Format;
use crate::stores::view::View;

pub(super) fn format(writer: &Writer, show: Show) -> Box<dyn Format> {
    match show {
        Show::Json => Box::new(Json(RecordJson::new("timestamp", &Constant::of(writer)))),
        Show::Text => {
            let origin = &writer.origin;
            let mut name = vec![b' '];
            escape(&format!("{}/{}", origin.pipeline_run_id, origin.step_id), &mut name);
            Box::new(Text { stamp: Stamp::new(), name })
        }
    }
}

struct Json(RecordJson);

impl Format for Json {
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        self.0.record(view, out);
        out.push(b'\n');
    }
}

/// `2026-11-25T14:10:22.000000001Z WARNING run/step: message`
struct Text {
    stamp: Stamp,
    /// ` run/step`
    name: Vec<u8>,
}

impl Format for Text {
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.stamp.text(view.time));
        if let Some(level) = view.level {
            out.push(b' ');
            out.extend_from_slice(level.as_str().as_bytes());
        }
        out.extend_from_slice(&self.name);
        out.extend_from_slice(b": ");
        escape(view.message, out);
        out.push(b'\n');
    }

    fn show(&self, record: &[u8]) -> Value {
        String::from_utf8_lossy(record).trim_end().into()
    }
}

/// What a terminal would obey is shown instead.
fn escape(text: &str, out: &mut Vec<u8>) {
    let obeyed = |c: char| c.is_control() && c != '\t';
    let mut rest = text;
    while let Some((plain, c)) = rest.find(obeyed).and_then(|at| {
        let (plain, from) = rest.split_at_checked(at)?;
        rest = from;
        Some((plain, rest.chars().next()?))
    }) {
        out.extend_from_slice(plain.as_bytes());
        // Writing to memory does not fail.
        drop(write!(out, "{}", c.escape_default()));
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::{IoStream, Level, Nanos, Origin};

    fn check(show: Show, message: &str, expected: &str) {
        let writer = Writer {
            id: "0192f0aa-0000-7000-8000-000000000001".parse().unwrap(),
            origin: Origin {
                pipeline_run_id: "r\n".into(),
                step_id: "s".into(),
                attempt: 1,
                source: "step".into(),
            },
            started: Nanos(1),
            attributes: BTreeMap::new(),
        };
        let mut out = Vec::new();
        let view = View {
            time: Nanos(1_700_000_000_000_000_001),
            seq: 7,
            level: Some(Level::Warning),
            iostream: IoStream::Stdout,
            message,
            rare: None,
        };
        format(&writer, show).record(&view, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_line_for_people_obeys_nobody() {
        for (message, expected) in [
            ("plain é\tx", "plain é\tx"),
            ("\x1b[31mred\x1b[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("1%\r2%", "1%\\r2%"),
            ("", ""),
            ("\u{9b}1m", "\\u{9b}1m"),
        ] {
            let head = "2023-11-14T22:13:20.000000001Z WARNING r\\n/s: ";
            check(Show::Text, message, &format!("{head}{expected}\n"));
        }
    }

    #[test]
    fn json_is_the_record() {
        let expected = "{\"timestamp\":\"2023-11-14T22:13:20.000000001Z\",\"seq\":7,\
            \"level\":\"WARNING\",\"iostream\":\"stdout\",\"message\":\"m\",\
            \"writer\":\"0192f0aa-0000-7000-8000-000000000001\",\"pipeline_run_id\":\"r\\n\",\
            \"step_id\":\"s\",\"attempt\":1,\"source\":\"step\"}\n";
        check(Show::Json, "m", expected);
    }
}
