//! Records as documents, each behind the action that creates it. Does no I/O.

use serde_json::Value;

use crate::record::Writer;
use crate::stores::json::{Constant, RecordJson};
use crate::stores::records::Format;
use crate::stores::view::View;

pub(super) struct Encode {
    json: RecordJson,
    /// `{"create":{"_id":"<writer>-`
    action: Vec<u8>,
}

impl Encode {
    pub(super) fn new(writer: &Writer) -> Self {
        Self {
            json: RecordJson::new("@timestamp", &Constant::of(writer)),
            action: format!("{{\"create\":{{\"_id\":\"{}-", writer.id).into_bytes(),
        }
    }
}

impl Format for Encode {
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.action);
        match view.rare.and_then(|rare| rare.event) {
            Some(event) => out.extend_from_slice(event.kind.as_bytes()),
            None => out.extend_from_slice(itoa::Buffer::new().format(view.seq).as_bytes()),
        }
        out.extend_from_slice(b"\"}}\n");
        self.json.record(view, out);
        out.push(b'\n');
    }

    fn show(&self, record: &[u8]) -> Value {
        let document = record.split(|byte| *byte == b'\n').nth(1).unwrap_or(record);
        serde_json::from_slice(document).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::{IoStream, Nanos, Origin};
    use crate::stores::records::event::StreamEvent;

    #[test]
    fn a_document_has_its_name_and_its_place() {
        let writer = Writer {
            id: "0192f0aa-0000-7000-8000-000000000001".parse().unwrap(),
            origin: Origin {
                pipeline_run_id: "r".into(),
                step_id: "s".into(),
                attempt: 2,
                source: "step".into(),
            },
            started: Nanos(1),
            attributes: BTreeMap::from([("host.name".into(), "h".into())]),
        };
        let mut encode = Encode::new(&writer);
        let view = View {
            time: Nanos(1_700_000_000_000_000_001),
            seq: 7,
            level: None,
            iostream: IoStream::Stdout,
            message: "a \"b\"",
            rare: None,
        };
        let mut out = Vec::new();
        encode.record(&view, &mut out);
        assert_eq!(
            String::from_utf8(out.clone()).unwrap(),
            "{\"create\":{\"_id\":\"0192f0aa-0000-7000-8000-000000000001-7\"}}\n\
             {\"@timestamp\":\"2023-11-14T22:13:20.000000001Z\",\"seq\":7,\"iostream\":\"stdout\",\
             \"message\":\"a \\\"b\\\"\",\"writer\":\"0192f0aa-0000-7000-8000-000000000001\",\
             \"pipeline_run_id\":\"r\",\"step_id\":\"s\",\"attempt\":2,\"source\":\"step\",\
             \"resource\":{\"host.name\":\"h\"}}\n"
        );
        assert_eq!(encode.show(&out)["seq"], 7);
        out.clear();
        StreamEvent::start(&writer).show(|view| encode.record(view, &mut out));
        assert!(out.starts_with(
            b"{\"create\":{\"_id\":\"0192f0aa-0000-7000-8000-000000000001-start\"}}\n"
        ));
    }
}
