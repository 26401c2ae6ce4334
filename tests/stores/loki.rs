//! The `loki` flavor, against the stand-in `tests/servers/python/loki.py`: with a tenant and a token.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::conformance::{Stored, Subject, conformance};
use crate::servers::free_port;
use crate::servers::proxy::Seen;
use crate::servers::python::Program;

pub(super) struct Loki {
    server: Program,
}

impl Subject for Loki {
    fn start() -> Self {
        let options = ["--tenant=team-a", "--token=secret"];
        Self { server: Program::start_at(free_port(), "loki", &options) }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn keys(&self, base: &str) -> String {
        format!("flavor = \"loki\"\nendpoint = \"{base}\"\ntenant = \"team-a\"\ntoken = \"secret\"")
    }

    fn wrong_keys(&self, base: &str) -> Option<String> {
        Some(self.keys(base).replace("\"secret\"", "\"wrong\""))
    }

    fn stop(&mut self) {
        self.server.kill();
    }

    fn restart(&mut self) {
        self.server.start_again();
    }

    fn stored(&self, run: &str) -> Vec<Stored> {
        let entries = self.server.records().into_iter();
        entries.filter(|entry| entry["attached"]["pipeline_run_id"] == run).map(stored).collect()
    }

    fn is_write(request: &Seen) -> bool {
        request.path == "/loki/api/v1/push"
    }

    fn refuse(&mut self, text: &str) {
        self.server.settings(&json!({ "refuse": text }));
    }
}

/// An entry, with the record's words for what has Loki's.
fn stored(entry: Value) -> Stored {
    let mut record = entry["attached"].clone();
    record["message"] = entry["line"].clone();
    // What was lifted is in the line.
    if record["lifted"] == "true" {
        let line = entry["line"].as_str().unwrap();
        let lifted = steplog::line::json::lift(line.as_bytes()).unwrap();
        if let Some(message) = lifted.message {
            record["message"] = message.into();
            record["raw"] = line.into();
        }
        record["attributes"] = lifted.attributes.into();
        record["event_timestamp"] = lifted.event_timestamp.into();
    }
    let nanos: i128 = record["time_unix_nano"].as_str().unwrap().parse().unwrap();
    let time = jiff::Timestamp::from_nanosecond(nanos).unwrap();
    record["timestamp"] = format!("{time:.9}").into();
    match record["eol"].as_str() {
        Some("none") => record["eol"] = "".into(),
        Some("crlf") => record["eol"] = "\r\n".into(),
        _ => {}
    }
    for name in ["seq", "attempt", "part", "parts", "line", "group"] {
        if let Some(digits) = record[name].as_str() {
            record[name] = digits.parse::<u64>().unwrap().into();
        } else {
            record.as_object_mut().unwrap().remove(name);
        }
    }
    if record["progress"] == "true" {
        record["progress"] = true.into();
    }
    let writer = match record["steplog_stream"].as_str() {
        None => entry["labels"]["writer"].as_str().unwrap().to_owned(),
        Some(stream) => {
            let stream: Value = serde_json::from_str(stream).unwrap();
            stream["writer"]["id"].as_str().unwrap().to_owned()
        }
    };
    Stored {
        writer,
        seq: record["seq"].as_u64().unwrap(),
        event: entry["labels"]["steplog_event"].as_str().map(str::to_owned),
        record,
    }
}

conformance!(Loki: basics, faults, wire, secure, partial, reading, searching);
