//! What the agent reads, and how it works: `[[inputs]]` and `[agent]`, resolved.
//!
//! Apart from what it does with them, so that the stack file knows the shape and nothing else.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LogFormat, Process};
use crate::listen::{Address, Endpoint};

/// The `[agent]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The control socket.
    pub control: PathBuf,
    /// Spools that are delivered at the same time.
    pub deliveries: usize,
    /// Streams that are open at the same time.
    pub max_inputs: usize,
    /// Between looks for new files where nothing tells.
    pub scan_interval: Duration,
    /// Between looks for runs that are older than their store keeps them.
    pub gc_interval: Duration,
    /// Where it says how it is doing.
    pub http: Option<Endpoint>,
    /// How its own lines look.
    pub log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            control: PathBuf::from("/var/lib/steplog/spool/.agent.sock"),
            deliveries: 8,
            max_inputs: 10_000,
            scan_interval: Duration::from_secs(5),
            gc_interval: Duration::from_hours(6),
            http: None,
            log_format: LogFormat::default(),
        }
    }
}

/// One of `[[inputs]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Unique among all inputs.
    pub name: String,
    /// What is read.
    pub kind: Kind,
    /// Where: a path, for `file` and `cri` a template; empty for `stdin`.
    pub path: String,
    /// Files and folders that are left out, as templates.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// A file with variables beside each file; captures of the path stand in it.
    pub env_file: Option<String>,
    /// Who writes it: its end is the stream's, and the input's.
    #[serde(default)]
    pub process: Option<Process>,
    /// A stream ends when nothing came for so long. `None`: never.
    pub ends_after_idle: Option<Duration>,
    /// The mode of a FIFO or socket that is made.
    pub mode: u32,
    /// Of a socket and over the network: clients that are connected at the same time.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// How records are taken, where they are.
    #[serde(skip)]
    pub otlp: Option<Otlp>,
    /// Whose lines they are.
    pub metadata: Metadata,
}

/// Of a socket, unless the stack file says it.
pub(crate) fn max_connections() -> usize {
    1024
}

/// How log records are taken over the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Where, and from whom.
    pub endpoint: Endpoint,
    /// The largest request, as it comes.
    pub max_request_bytes: usize,
    /// The same, when it is decompressed.
    pub max_decompressed_bytes: usize,
    /// Requests that are in memory at the same time.
    pub max_requests: usize,
}

impl Default for Otlp {
    /// The standard port.
    fn default() -> Self {
        Self {
            endpoint: Endpoint::local(Address::Tcp((Ipv4Addr::LOCALHOST, 4318).into())),
            max_request_bytes: 4 << 20,
            max_decompressed_bytes: 8 << 20,
            max_requests: 8,
        }
    }
}

/// What an input reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Standard input of the agent.
    Stdin,
    /// A named pipe.
    Fifo,
    /// A Unix stream socket: each connection is a stream.
    Socket,
    /// Files.
    File,
    /// Container logs of a Kubernetes node.
    Cri,
    /// A folder in which a FIFO or file appears for each step.
    Steps,
    /// Log records over HTTP and gRPC.
    Otlp,
}

impl Kind {
    /// All, with the words of the stack file.
    pub const ALL: [(&'static str, Self); 7] = [
        ("fifo", Self::Fifo),
        ("file", Self::File),
        ("cri", Self::Cri),
        ("steps", Self::Steps),
        ("socket", Self::Socket),
        ("stdin", Self::Stdin),
        ("otlp", Self::Otlp),
    ];

    /// The word of the stack file.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

/// Metadata that an input's table fixes, or that something else says of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metadata {
    /// The run.
    pub pipeline_run_id: Option<String>,
    /// The step.
    pub step_id: Option<String>,
    /// The try at the step.
    pub attempt: Option<u32>,
    /// What writes.
    pub source: Option<String>,
    /// More.
    pub attributes: BTreeMap<String, String>,
}
