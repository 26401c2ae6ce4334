//! Where the splitter stands: what a checkpoint keeps so that another splitter goes on from there
//! and cuts the same lines.
//!
//! Apart from the splitter because it is a format: it is written to disk. It holds positions and
//! labels, never text: bytes that are in no line yet are read from the spool again.

use serde::{Deserialize, Serialize};

use super::group::Kind;
use crate::record::{Level, Nanos};

/// After some line: everything that decides how the rest of the spool is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// `seq` of the next line.
    pub seq: u64,
    /// Time of the line before; none is earlier than the one before it.
    pub last_time: Nanos,
    /// Position in the writer's stream up to which bytes were looked at.
    pub position: u64,
    /// Of file descriptor 1.
    pub stdout: StreamState,
    /// Of file descriptor 2.
    pub stderr: StreamState,
}

impl State {
    /// Where to read the spool from: every byte that is in no line yet lies behind it.
    pub fn resume_offset(&self) -> u64 {
        self.stdout.offset.min(self.stderr.offset)
    }
}

/// One iostream's share of a [`State`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// All its bytes before this position of the writer's stream are in lines.
    pub offset: u64,
    /// How many of its bytes between `offset` and [`State::position`] are in no line yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pending: u64,
    /// A line of which parts are out already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenLine>,
    /// A traceback that may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<OpenGroup>,
}

/// A line of which parts are out already; what its next part has in common with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLine {
    /// `seq` of its first part.
    pub line: u64,
    /// Parts that are out.
    pub parts: u32,
    /// What the line says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The group it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u64>,
    /// How many rows the cursor is above the lowest one (`rows`).
    #[serde(default, skip_serializing_if = "is_none_above")]
    pub above: u32,
}

/// A traceback that may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenGroup {
    /// `seq` of its first line.
    pub first: u64,
    /// Lines in it.
    pub lines: u32,
    /// Time of its latest line.
    pub time: Nanos,
    /// What it is, and how far it has come.
    pub(super) kind: Kind,
    /// Which process of a launcher that prefixes lines (`[rank3]: `) prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rank: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_none_above(rows: &u32) -> bool {
    *rows == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
