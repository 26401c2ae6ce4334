//! The `splunk` flavor, against the stand-in `tests/servers/python/splunk.py`: with indexer
//! acknowledgement, which asks more of a sender.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::conformance::{Stored, Subject, conformance};
use crate::servers::free_port;
use crate::servers::proxy::Seen;
use crate::servers::python::Program;

pub(super) struct Splunk {
    server: Program,
}

impl Subject for Splunk {
    fn start() -> Self {
        let server = Program::start_at(free_port(), "splunk", &[]);
        server.settings(&settings());
        Self { server }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn keys(&self, base: &str) -> String {
        format!(
            "flavor = \"splunk\"\nendpoint = \"{base}\"\ntoken = \"hec-token\"\nindex = \"steps\"\n\
             search_endpoint = \"{base}\"\nsearch_token = \"search-token\""
        )
    }

    fn wrong_keys(&self, base: &str) -> Option<String> {
        Some(self.keys(base).replace("\"hec-token\"", "\"wrong\""))
    }

    fn stop(&mut self) {
        self.server.kill();
    }

    fn restart(&mut self) {
        self.server.start_again();
        self.server.settings(&settings());
    }

    fn stored(&self, run: &str) -> Vec<Stored> {
        let events = self.server.records().into_iter();
        events.filter(|event| event["fields"]["pipeline_run_id"] == run).map(stored).collect()
    }

    fn is_write(request: &Seen) -> bool {
        request.path == "/services/collector/event"
    }

    fn refuse(&mut self, text: &str) {
        self.server.settings(&json!({ "refuse": text }));
    }
}

/// What becomes of the events before a refused one is not documented. If they are kept, they are there
/// twice, which the suite does not expect; that case is the unit tests'.
fn settings() -> Value {
    json!({ "ack": true, "keep_before": false })
}

/// What is in the event, and what is constant beside it.
fn stored(event: Value) -> Stored {
    let mut record: Value = serde_json::from_str(event["raw"].as_str().unwrap()).unwrap();
    let fields = &event["fields"];
    for (field, name) in
        [("pipeline_run_id", "pipeline_run_id"), ("step_id", "step_id"), ("source", "step_source")]
    {
        record[field] = fields[name].clone();
    }
    record["attempt"] = fields["attempt"].as_str().unwrap().parse::<u32>().unwrap().into();
    Stored {
        writer: fields["writer"].as_str().unwrap().to_owned(),
        seq: record["seq"].as_u64().unwrap(),
        event: fields["steplog_event"].as_str().map(str::to_owned),
        record,
    }
}

conformance!(Splunk: basics, faults, wire, secure, partial, reading, searching);
