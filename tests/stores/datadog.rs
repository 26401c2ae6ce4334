//! The `datadog` flavor, against the stand-in `tests/servers/python/datadog.py`, and that against
//! Datadog's own client.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::conformance::{Stored, Subject, conformance};
use crate::servers::free_port;
use crate::servers::python::Program;
use crate::support::sandbox::tool;

pub(super) struct Datadog {
    server: Program,
}

impl Subject for Datadog {
    fn start() -> Self {
        Self { server: Program::start_at(free_port(), "datadog", &[]) }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn keys(&self, base: &str) -> String {
        format!(
            "flavor = \"datadog\"\napi_key = \"api-key\"\nendpoint = \"{base}\"\n\
             api_endpoint = \"{base}\"\napplication_key = \"application-key\""
        )
    }

    fn wrong_keys(&self, base: &str) -> Option<String> {
        Some(self.keys(base).replace("\"api-key\"", "\"wrong\""))
    }

    fn stop(&mut self) {
        self.server.kill();
    }

    fn restart(&mut self) {
        self.server.start_again();
    }

    fn stored(&self, run: &str) -> Vec<Stored> {
        let entries = self.server.records().into_iter();
        entries.filter(|entry| entry["pipeline_run_id"] == run).map(stored).collect()
    }
}

/// An entry, with the record's words for what has Datadog's.
fn stored(mut record: Value) -> Stored {
    let nanos: i128 = record["time_unix_nano"].as_str().unwrap().parse().unwrap();
    let time = jiff::Timestamp::from_nanosecond(nanos).unwrap();
    record["timestamp"] = format!("{time:.9}").into();
    match record["eol"].as_str() {
        Some("none") => record["eol"] = "".into(),
        Some("crlf") => record["eol"] = "\r\n".into(),
        _ => {}
    }
    // A line that Datadog would take apart is sent twice.
    if record["raw"] == record["message"] {
        record.as_object_mut().unwrap().remove("raw");
    }
    Stored {
        writer: record["writer"].as_str().unwrap().to_owned(),
        seq: record["seq"].as_u64().unwrap(),
        event: record["steplog_event"].as_str().map(str::to_owned),
        record,
    }
}

// No group `partial`: Datadog takes a request as a whole.
conformance!(Datadog: basics, faults, wire, secure, reading, searching);

#[test]
fn datadogs_own_client_takes_the_stand_in_for_datadog() {
    let server = Program::start("datadog", &[]);
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/python/datadog_client.py");
    let output = Command::new(tool("python")).arg("-B").arg(script).arg(server.url("")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.records().len(), 21);
}
