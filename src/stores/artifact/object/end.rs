//! `end.json`: what is known of a writer when all of it is in the store. Written once and last;
//! without it a reader must take the writer for unfinished.

use serde::{Deserialize, Serialize};

use super::super::Codec;
use super::Sha256;
use crate::record::{Exit, LevelCounts, Nanos, Writer};

/// The mark of completeness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Of the format.
    pub version: u32,
    /// Whose end.
    pub writer: Writer,
    /// How it ended.
    pub status: Status,
    /// The exit record; none if capture died before the step ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// The first line of level ERROR or above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<FirstError>,
    /// Records.
    pub lines: u64,
    /// Bytes of the writer's stream that the records stand for.
    pub bytes: u64,
    /// Records per level.
    pub levels: LevelCounts,
    /// What could not be kept.
    #[serde(default)]
    pub gaps: Gaps,
    /// Secrets masked.
    #[serde(default)]
    pub masked: u64,
    /// All segments, in order; together they hold all chunks.
    pub segments: Vec<SegmentInfo>,
    /// How many chunks there are.
    pub chunks: u64,
    /// The chain after the last chunk.
    pub chain: Sha256,
    /// When capture started.
    pub started: Nanos,
    /// When the step ended, or the last that is known of it.
    pub ended: Nanos,
    /// When this was written.
    pub delivered: Nanos,
}

/// How a writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Exit code 0.
    Succeeded,
    /// Another exit code, or a signal.
    Failed,
    /// Capture ended before the step did: nobody knows how the step ended.
    Interrupted,
}

impl Status {
    /// The name in `end.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The first line that says something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstError {
    /// Of the record.
    pub seq: u64,
    /// Its text, perhaps cut.
    pub message: String,
}

/// What could not be kept, in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps {
    /// Gap records.
    pub count: u64,
    /// Bytes lost.
    pub bytes: u64,
    /// Line ends among them.
    pub lines: u64,
}

/// What a reader must know of a segment before it reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Number of its first chunk.
    pub first: u64,
    /// Number of its last chunk.
    pub last: u64,
    /// Gives the extension of its name.
    pub codec: Codec,
    /// Bytes of the object.
    pub size: u64,
    /// Bytes of all that follows the frames: the index and how to find it.
    pub index_len: u64,
    /// Of the whole object.
    pub sha256: Sha256,
    /// `seq` of its first record.
    pub first_seq: u64,
    /// Records.
    pub lines: u64,
    /// Time of its first record.
    pub first_time: Nanos,
    /// Time of its last record.
    pub last_time: Nanos,
    /// Records per level.
    pub levels: LevelCounts,
    /// The oldest group that began before this segment and goes on in it, see
    /// [`FrameInfo::group_from`](super::FrameInfo::group_from).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_from: Option<u64>,
}
