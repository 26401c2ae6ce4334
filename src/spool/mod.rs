//! The on-disk queue between capture and ship.

mod frame;
mod segment;

mod active;
mod quota;
mod settings;
mod syncer;
mod tombstone;
mod writer;

mod cursor;
mod reader;

mod checkpoint;
mod dir;
mod disk;

pub use checkpoint::{Checkpoint, Cut, LoadError, StoreCheckpoint};
pub use dir::{
    Durability, MetaError, ShipLock, SpoolEntry, SpoolState, clean, list, read_exit, read_meta,
    remove,
};
pub use disk::{Disk, DiskFile, RealDisk, RealFile, Stat};
pub use frame::MAX_PAYLOAD;
pub use reader::{Next, OpenError, ReadError, SpoolReader};
pub use settings::{Settings, Sync, WhenFull};
pub use writer::{Append, CreateError, Fault, FinishError, SpoolWriter};

use serde::{Deserialize, Serialize};

use crate::record::{IoStream, Nanos};

/// The version of the spool that this code writes, for [`Meta::version`].
pub const VERSION: u32 = segment::VERSION;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes of file descriptor 1.
    Stdout = 0,
    /// Bytes of file descriptor 2.
    Stderr = 1,
    /// JSON of [`crate::record::Gap`]: bytes that could not be kept.
    Gap = 2,
    /// A [`Note`].
    Note = 3,
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: Kind,
    /// When the payload was read.
    pub time: Nanos,
    /// Position of the payload's first byte in the writer's stream.
    pub offset: u64,
    /// Payload bytes.
    pub len: u32,
}

/// Something that happened to a stream and decides how its lines are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Quiet in the middle of a line: what there is of it becomes a part.
    Idle(IoStream),
    /// The stream has ended.
    Eof(IoStream),
}

/// `meta.json`: whose spool this is and how to cut its lines. Written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the spool's format.
    pub version: u32,
    /// The capture session.
    pub writer: crate::record::Writer,
    /// How lines are cut.
    pub lines: crate::line::Settings,
    /// The stack that was active.
    pub stack: Option<String>,
    /// The stack file it came from, absolute.
    pub stack_file: Option<std::path::PathBuf>,
}

#[cfg(test)]
mod tests;
