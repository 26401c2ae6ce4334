//! The `http` flavor: a stand-in that takes what the documentation promises, and no less.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::conformance::{Stored, Subject, conformance};
use crate::servers::message::Message;
use crate::servers::stand_in::{Reply, StandIn};

/// What is asked of a record by docs/log-stores/http.md.
const FIELDS: [&str; 9] = [
    "timestamp",
    "seq",
    "iostream",
    "message",
    "writer",
    "pipeline_run_id",
    "step_id",
    "attempt",
    "source",
];

pub(super) struct Http {
    server: StandIn,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    records: Vec<Value>,
    /// What was wrong with requests.
    problems: Vec<String>,
}

impl Subject for Http {
    fn start() -> Self {
        let taken: Arc<Mutex<Taken>> = Arc::default();
        let for_server = Arc::clone(&taken);
        let server = StandIn::start(move |request| {
            let mut taken = for_server.lock().unwrap();
            match records(request) {
                Ok(records) => {
                    taken.records.extend(records);
                    Reply::text(204, "")
                }
                Err(problem) => {
                    taken.problems.push(problem.clone());
                    Reply::text(400, &problem)
                }
            }
        });
        Self { server, taken }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn keys(&self, base: &str) -> String {
        format!("flavor = \"http\"\nendpoint = \"{base}/ingest\"\ncompression = \"gzip\"")
    }

    fn stop(&mut self) {
        self.server.stop();
    }

    fn restart(&mut self) {
        self.server.restart();
    }

    fn stored(&self, run: &str) -> Vec<Stored> {
        let taken = self.taken.lock().unwrap();
        assert!(taken.problems.is_empty(), "{:#?}", taken.problems);
        let of_run = taken.records.iter().filter(|record| record["pipeline_run_id"] == run);
        of_run
            .map(|record| Stored {
                writer: record["writer"].as_str().unwrap().to_owned(),
                seq: record["seq"].as_u64().unwrap(),
                event: record["steplog_event"].as_str().map(str::to_owned),
                record: record.clone(),
            })
            .collect()
    }
}

/// The records of a request that is as it should be.
fn records(request: &Message) -> Result<Vec<Value>, String> {
    let header = |name: &str| request.header(name).ok_or(format!("no {name}"));
    if !["POST", "PUT"].contains(&request.method().as_str()) || request.path() != "/ingest" {
        return Err(format!("{} {}", request.method(), request.path()));
    }
    if header("idempotency-key")?.len() < 36 || !header("user-agent")?.starts_with("steplog/") {
        return Err("a header".to_owned());
    }
    let text = String::from_utf8(request.text()?).map_err(|error| error.to_string())?;
    let records: Vec<Value> = match header("content-type")?.as_str() {
        "application/json" => serde_json::from_str(&text),
        "application/x-ndjson" if text.ends_with('\n') => {
            text.lines().map(serde_json::from_str).collect()
        }
        other => return Err(format!("a body of {other}: {text:?}")),
    }
    .map_err(|error| format!("{error}: {text:?}"))?;
    match records.iter().find(|record| FIELDS.iter().any(|field| record[field].is_null())) {
        Some(record) => Err(format!("a field is missing in {record}")),
        None if records.is_empty() => Err("no records".to_owned()),
        None => Ok(records),
    }
}

// No group `partial`: a status is for a request as a whole.
conformance!(Http: basics, faults, wire, secure);
