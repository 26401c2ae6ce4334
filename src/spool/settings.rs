//! The spool's limits, resolved.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits and policies of the spool: the `[spool]` table, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folder of all writers' spools.
    pub dir: PathBuf,
    /// All writers together; also never more than 80 % of what the disk has free.
    pub max_bytes: u64,
    /// What happens at the limit.
    pub when_full: WhenFull,
    /// When bytes are forced to the disk.
    pub sync: Sync,
}

/// What happens when the spool is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The step waits.
    Block,
    /// The oldest bytes go; a gap record stands for them.
    #[default]
    DropOldest,
    /// The newest bytes go; a gap record stands for them.
    DropNewest,
}

/// When the spool calls fdatasync(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Never: the death of a process loses nothing, the loss of power may.
    Never,
    /// At most this long after a write.
    Interval(Duration),
    /// After each write.
    Always,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/steplog/spool"),
            max_bytes: 1 << 30,
            when_full: WhenFull::default(),
            sync: Sync::Interval(Duration::from_secs(1)),
        }
    }
}
