//! How the agent is doing, as `steplog status` shows it.
//!
//! Apart because its names are read by scripts: fields are added, never changed.

use serde::{Deserialize, Serialize};

use super::log::Said;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// The agent's process.
    pub pid: u32,
    /// For how long it has been running.
    pub uptime_seconds: f64,
    /// The stack.
    pub stack: String,
    /// What it reads.
    pub inputs: Vec<InputStatus>,
    /// What is not delivered yet.
    pub spool: SpoolStatus,
    /// Who delivers.
    pub deliveries: DeliveryStatus,
    /// The log stores.
    pub stores: Vec<StoreStatus>,
    /// The last errors, oldest first.
    pub errors: Vec<Said>,
}

/// One input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where.
    pub path: String,
    /// The process whose end is this input's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// By `steplog attach`, and not by the stack file.
    pub attached: bool,
    /// Why it does not work, if it does not.
    pub error: Option<String>,
    /// Streams that have ended.
    pub ended: u64,
    /// Bytes read, of those too.
    #[serde(default)]
    pub bytes: u64,
    /// Streams that are open.
    pub streams: Vec<StreamStatus>,
}

impl Status {
    /// In one line, for whoever manages services.
    pub(super) fn summary(&self) -> String {
        let streams = || self.inputs.iter().flat_map(|input| &input.streams);
        let closed = self.inputs.iter().filter(|input| input.error.is_some()).count();
        let lag: u64 = streams().map(|stream| stream.lag_bytes).sum();
        let behind = streams().map(|stream| stream.lag_seconds).fold(0.0, f64::max);
        let mut text = format!("{} inputs", self.inputs.len());
        if closed > 0 {
            text.push_str(&format!(" ({closed} not open)"));
        }
        text.push_str(&format!(", {} streams, ", streams().count()));
        if lag == 0 {
            text.push_str("all delivered");
        } else {
            let lag = bytesize::ByteSize(lag).display().iec();
            text.push_str(&format!("{lag} not delivered for {behind:.0} s"));
        }
        for store in self.stores.iter().filter(|store| store.error.is_some()) {
            text.push_str(&format!("; log store {} fails", store.name));
        }
        text
    }
}

/// One stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Its path or peer.
    pub label: String,
    /// Its run, once there are lines.
    pub pipeline_run_id: Option<String>,
    /// Its step.
    pub step_id: Option<String>,
    /// Its writer.
    pub writer: Option<String>,
    /// Bytes read.
    pub bytes: u64,
    /// Since something came.
    pub idle_seconds: f64,
    /// Bytes that are not in every log store.
    pub lag_bytes: u64,
    /// For how long not everything has been in every log store.
    pub lag_seconds: f64,
    /// Bytes of its file that are not read.
    pub unread_bytes: u64,
}

/// The folder of spools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Where.
    pub dir: String,
    /// How much is in it.
    pub bytes: u64,
    /// How much may be.
    pub max_bytes: u64,
    /// Writers that have something in it.
    pub spools: u64,
}

/// The courier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeliveryStatus {
    /// Spools that are delivered now.
    pub running: u64,
    /// Spools that wait.
    pub waiting: u64,
    /// Spools that were delivered to their end.
    pub delivered: u64,
}

/// A log store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its name.
    pub name: String,
    /// Why the last try failed, if it did.
    pub error: Option<String>,
}
