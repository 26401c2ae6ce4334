//! The vocabulary that every stage shares: who wrote ([`Origin`], [`Writer`]), what was written
//! ([`Record`]), how it ended ([`Exit`]), and when ([`Nanos`]).
//!
//! Apart from the stages so that none of them has to know another. Does no I/O and knows no
//! format but the JSON names of its fields, which are the ones users see in every store.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// The wall clock now.
    pub fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => {
                Self(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos))
            }
        }
    }

    /// RFC 3339 in UTC with nine decimals, as every record carries it: `2026-11-23T06:44:00.000000001Z`.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .map_or_else(|_| self.0.to_string(), |timestamp| format!("{timestamp:.9}"))
    }

    /// Reads any RFC 3339 time; `None` if it is not one or lies outside the years 1678 to 2262.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let timestamp = jiff::Timestamp::from_str(text).ok()?;
        i64::try_from(timestamp.as_nanosecond()).ok().map(Self)
    }
}

/// Which of the two output streams a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoStream {
    /// File descriptor 1 (and the only one of `pipe`, of `--merge-streams` and of `--pty`).
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl IoStream {
    /// Both, in the order of their descriptors.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The name in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How serious a line says it is. Absent (`Option<Level>`) when the line does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Finer than debugging.
    Trace,
    /// For whoever debugs the step.
    Debug,
    /// Normal progress.
    Info,
    /// Something to look at; the step goes on.
    Warning,
    /// Something failed.
    Error,
    /// The step cannot go on.
    Critical,
}

impl Level {
    /// All, least serious first; the position is the index into [`LevelCounts`].
    pub const ALL: [Self; 6] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The name in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }

    /// Reads the spellings that loggers use, in any case: `warn`, `ERR`, `fatal`, `notice`, …
    pub fn from_name(name: &[u8]) -> Option<Self> {
        const NAMES: [(&str, Level); 20] = [
            ("trace", Level::Trace),
            ("debug", Level::Debug),
            ("dbg", Level::Debug),
            ("verbose", Level::Debug),
            ("info", Level::Info),
            ("information", Level::Info),
            ("informational", Level::Info),
            ("inf", Level::Info),
            ("notice", Level::Info),
            ("warn", Level::Warning),
            ("warning", Level::Warning),
            ("wrn", Level::Warning),
            ("error", Level::Error),
            ("err", Level::Error),
            ("severe", Level::Error),
            ("critical", Level::Critical),
            ("crit", Level::Critical),
            ("fatal", Level::Critical),
            ("panic", Level::Critical),
            ("emergency", Level::Critical),
        ];
        NAMES
            .iter()
            .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|(_, level)| *level)
    }
}

/// Lines per level: index by `Level as usize`; lines without a level are in none.
pub type LevelCounts = [u64; 6];

/// Names one capture session for ever: a UUID version 7 (RFC 9562), so that it sorts by start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriterId(pub uuid::Uuid);

impl WriterId {
    /// A new, unique id that carries the current time.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7())
    }

    /// The time in the id, to the millisecond; the epoch for an id that is not version 7.
    pub fn started(self) -> Nanos {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        Nanos((seconds as i64).saturating_mul(1_000_000_000).saturating_add(i64::from(nanos)))
    }
}

impl Default for WriterId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for WriterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for WriterId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Where lines come from; on every record. A step may have several attempts, an attempt several
/// sources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// One pipeline run.
    pub pipeline_run_id: String,
    /// One step of that run.
    pub step_id: String,
    /// The try at that step, from 1.
    pub attempt: u32,
    /// `step`, `orchestrator`, `client`, `prepare_step`, `hook:*`, …
    pub source: String,
}

/// One capture session and all that is constant about it. Written once, at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Unique for ever.
    pub id: WriterId,
    /// Whose lines these are.
    #[serde(flatten)]
    pub origin: Origin,
    /// When capture started.
    pub started: Nanos,
    /// Enrichment that is the same for every line, by OpenTelemetry attribute name where there is
    /// one (`host.name`, `process.pid`, `k8s.pod.name`, …), else the user's.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// Of a writer's attributes: the writer that it goes on from.
pub const CONTINUES: &str = "steplog.continues";

impl Writer {
    /// The writer that this one goes on from: the agent was restarted in the middle of the stream.
    pub fn continues(&self) -> Option<WriterId> {
        self.attributes.get(CONTINUES)?.parse().ok()
    }
}

/// One line with its metadata, as the stores see it and as `read` returns it.
///
/// The JSON of this type is the record format of the artifact store, in this order of fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// RFC 3339 UTC with nanoseconds: the read that saw the line's first byte.
    #[serde(alias = "@timestamp")]
    pub timestamp: String,
    /// Dense per writer, from 0.
    pub seq: u64,
    /// Absent if the line does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Which descriptor it was written to.
    pub iostream: IoStream,
    /// The text without its line end; the lifted message of a JSON line; lossy if not UTF-8.
    pub message: String,
    /// The whole line where `message` is only a part of it (JSON lines).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// The exact bytes in base64 where the line is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// How the line ended, where that was not `\n`: `\r\n`, or nothing (a part, or the end of output).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eol: Option<String>,
    /// For a line in parts: which part this is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// On the last part: how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// For a line in parts: the `seq` of the first part, the id that all of them share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// For lines that belong together (a traceback): the `seq` of the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u64>,
    /// The line redraws itself with carriage returns (a progress bar); `message` keeps them all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub progress: bool,
    /// This record stands for lines that could not be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// The time that a JSON line gives itself, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_timestamp: Option<String>,
    /// Fields lifted from a JSON line.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Whose line it is.
    #[serde(flatten)]
    pub origin: Origin,
}

/// What could not be kept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Bytes lost.
    pub bytes: u64,
    /// Line ends among them.
    pub lines: u64,
    /// Why they were lost.
    pub reason: GapReason,
}

/// Why bytes were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The spool was full and the policy was to drop what was oldest.
    DroppedOldest,
    /// The spool was full and the policy was to drop what came.
    DroppedNewest,
    /// The spool's disk failed or was taken away.
    WriteFailed,
    /// A frame in the spool was damaged.
    Corrupt,
    /// A piece of the spool is missing that nothing accounts for.
    Missing,
}

/// How the step ended: `exit.json` in the spool and the file that `run --exit-record` writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// The step's exit code, if it exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal's name (`SIGKILL`) if one ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// It left a core dump.
    #[serde(default)]
    pub core: bool,
    /// `OOMKilled`, or why capture ended before the step did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the step ended.
    pub ended: Nanos,
    /// Wall time of the step, nanoseconds by the monotonic clock.
    pub wall_ns: u64,
    /// Resource use of the step and all that it waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Bytes the step wrote.
    pub bytes_captured: u64,
    /// Bytes that went into the spool, after redaction; offsets count these.
    pub bytes_spooled: u64,
    /// Secrets masked.
    pub masked: u64,
    /// Processes that still held the step's output when capture stopped reading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<u32>,
    /// How reading ended: `eof`, `idle`, `limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
    /// Bytes that the log store had acknowledged when this was written; only in `--exit-record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_delivered: Option<u64>,
    /// `delivered`, `deadline`, `interrupted`, `failed`, `agent`; only in `--exit-record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
}

impl Exit {
    /// The step has exited with 0.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Nothing tells how the step ended: capture did before it.
    pub fn is_unknown(&self) -> bool {
        self.code.is_none() && self.signal.is_none()
    }
}

/// A part of `struct rusage` (getrusage(2)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode, microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, microseconds.
    pub system_us: u64,
    /// Largest resident set of one process, KiB.
    pub max_rss_kib: u64,
    /// Page faults that needed I/O.
    pub major_faults: u64,
    /// Context switches that it waited for.
    pub voluntary_switches: u64,
    /// Context switches that it was forced to.
    pub involuntary_switches: u64,
}
