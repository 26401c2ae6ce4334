//! The on-disk queue between capture and ship: append-only, checked, bounded, one directory a
//! writer.
//!
//! Everything that steplog promises about bytes rests here. Capture ([`SpoolWriter`]) turns what a
//! read returned into a frame with one system call and never waits for the disk's confirmation;
//! ship ([`SpoolReader`]) follows, in a process of its own, and deletes what every log store has
//! acknowledged. The two meet only in the files below.
//!
//! # Invariants
//!
//! 1. Bytes have offsets. Each byte that capture is given gets the next one, whether or not the
//!    spool can keep it; lines and their numbers follow from frames and offsets alone.
//! 2. What a reader hands out is continuous: a frame begins where the one before it ended. Where
//!    bytes are missing stands a gap with their exact count; there is no silent loss.
//! 3. A frame is handed out byte for byte as it was appended, or not at all.
//! 4. A writer is used once. Nothing ever opens an old spool for appending, and nothing but a
//!    tombstone ever replaces a segment.
//! 5. Only two things delete a segment: its release, after every store has acknowledged all of
//!    it, and the quota under `drop_oldest`, which leaves a tombstone.
//! 6. Appending never fails the caller. What cannot be kept is counted, and the first trouble
//!    is remembered as a [`Fault`] for one message.
//! 7. After a failed fsync nobody knows what is on the disk: nothing more is accepted.
//! 8. An I/O error is an error. It is never taken for damage, and the reader stands where it
//!    stood. Damage, in turn, never hides what follows it.
//! 9. No memory but one frame's header on the writer's side; the sizes of files are known, not
//!    asked for.
//!
//! # On disk
//!
//! ```text
//! <spool dir>/<writer id>/
//!     meta.json        Meta; written before the directory has its name
//!     00000000.seg …   segments, numbered upwards
//!     writer.lock      flock(2)ed by capture: the kernel lets go of it when capture dies
//!     ship.lock        flock(2)ed by ship
//!     checkpoint       Checkpoint; ship's alone; with checkpoint.0, checkpoint.1
//!     reserve          4 KiB, given back just before exit.json is written to a full disk
//!     exit.json        record::Exit, by rename: the mark of a finished writer
//! <spool dir>/.<writer id>.new   a directory that is being made
//! <spool dir>/.<writer id>.old   a directory that is being removed
//! <spool dir>/.positions/<writer id>   the last position of a writer that has ended
//! <spool dir>/.drop.lock         flock(2)ed by who drops segments of writers that are gone
//!
//! segment = header, frame*                                               all little-endian
//! header  = "STPLSEG\0" | version u32 | number u32 | base offset u64 | time_ns i64 | crc32c u32
//! frame   = len u32 | crc32c u32 | kind u8 | flags u8 = 0 | reserved u16 = 0
//!           | time_ns i64 | offset u64 | payload
//! kind    = 0 stdout | 1 stderr         payload: what was read
//!         | 2 gap                       payload: JSON of record::Gap; stands for `bytes` bytes at `offset`
//!         | 3 note                      payload: 0 idle, 1 end of file | 0 stdout, 1 stderr
//!         | 4 position                  payload: where the next frame's bytes come from; stands for none
//! ```
//!
//! The checksum is CRC-32C (Castagnoli): in a header over all before it, in a frame over all
//! after it. The base offset of a segment is the offset of its first frame, so that each segment
//! says where the one before it should have ended.
//!
//! A writer is *finished* when there is an exit.json, *live* while writer.lock is held, and
//! otherwise *interrupted*.
//!
//! Changelog of the version, which is in each segment and in meta.json:
//!
//! * 1: the first.
//! * 2: position frames.
//!
//! # Operations
//!
//! **Create** makes everything under a hidden name, lock included, and renames: no one ever sees
//! a directory that looks like a dead writer's and is not.
//!
//! **Append** is one writev(2) of header and payload at the end of the active segment. After a
//! write that failed or came short, the file is cut back to the last whole frame, at once or
//! before the next write.
//!
//! **Positions**: bytes that can be read again (a file's) come with a word on where they are from:
//! [`SpoolWriter::append_at`] writes it as a frame of its own before theirs, in the same writev(2).
//! Whoever reads lines never sees it. After a crash [`last_position`] says which was the last, and how
//! many bytes of the stream came after it, so that the input is read on from exactly there. A spool
//! that is delivered is removed, so the last position is put into a file beside the directories:
//! before exit.json by the writer, before anything is removed or dropped by whoever removes what a
//! dead writer has left. [`kept_positions`] are there until somebody [forgets](forget_position) them.
//!
//! **Rotate** when the next frame would not fit a segment (an eighth of the limit, shared among the writers, 256 KiB or a 64th of
//! the limit at the least and 16 MiB at the most). The quota is asked then, once for the whole of the next segment, and looks at all
//! writers' directories (of 64 and more, as they were up to a second ago); and once when the first segment grows beyond 256 KiB, so that the many
//! small steps never look. The limit is `max_bytes`, and 80 % of what the disk would have free
//! without the spool. A writer may always have two segments: the active one and one before it,
//! since an active segment is never released and nothing would ever move. That is by how much
//! the limit may be exceeded.
//!
//! **Full**, by the quota or by ENOSPC, which are treated alike:
//! * `block`: [`Append::Full`]; capture stops reading and the step waits.
//! * `drop_newest`: the bytes are counted, lines too, and one gap frame is written before the
//!   next frame that there is room for.
//! * `drop_oldest`: see Dropping. When there is nothing to drop, as `drop_newest`.
//!
//! **Dropping** replaces the oldest closed segment, of this writer or of one that is gone, by a
//! tombstone: a segment of the same number and base (temporary file, rename) with a gap frame that
//! counts what was in it. The tombstones before it are taken into the new one, frame by frame (the
//! oldest are added up when it outgrows 12 KiB), and removed; so numbers jump, offsets do not. A reader that
//! has the dropped segment open reads on in it, and later takes only that part of the tombstone
//! which it has not read. Where the disk has no room for the tombstone, the segment is removed
//! first; where it will not read the segment, it is only removed.
//!
//! **Sync** by policy: never; every interval, by a thread, so that the step does not wait for the
//! disk; after every write. Process death loses nothing in any case: the page cache outlives it.
//! Names are synced after contents.
//!
//! **Finish** writes the gap that is owed and exit.json (contents synced, then renamed), and then
//! syncs the rest; ship need not wait for that. `bytes_spooled` in exit.json is the final offset:
//! with it the reader accounts for an end that could not be written, or that power took.
//!
//! **Read** takes large pieces, checks each frame, and hands out its payload. Behind the last
//! whole frame of the last segment it waits; it goes on to the next segment when that exists and
//! nothing more has come to this one; it concludes when the writer is gone and nothing more has
//! come.
//!
//! **Resume** at any offset: the last segment that begins at or before it; frames that end before
//! it are passed. The frame that holds it comes whole, a gap only from there on.
//!
//! **Release** removes segments that lie wholly before an offset, by the base of the next one.
//!
//! # Crashes and other accidents
//!
//! | what | what follows |
//! |---|---|
//! | capture dies in the middle of a write | a torn frame at the very end: cut, [`Next::Interrupted`]; so is a position without its bytes |
//! | capture dies while making the directory | a hidden directory, which [`clean`] removes |
//! | capture dies while dropping | both tombstones, or a hole: the reader skips the double, reports the hole as missing |
//! | ship dies | nothing here changes; the next one resumes from the checkpoint |
//! | ship dies while removing | a hidden directory, which [`clean`] removes |
//! | power is lost | at most what was not synced: a torn or empty end, counted as a gap where something follows |
//! | a bit flips in a frame | a gap of that frame's bytes ([`GapReason::Corrupt`]); the next frame is found by the damaged one's length, or else by search |
//! | a bit flips in a segment's header | nothing: the frames say where they belong |
//! | a segment is missing | a gap ([`GapReason::Missing`]), its bytes known from the next base |
//! | a write fails (EIO) | the bytes are counted; a gap ([`GapReason::WriteFailed`]) when writing works again |
//! | an fsync fails | nothing more is accepted; the gap runs to the end |
//! | a read fails | [`ReadError::Io`]; asking again reads again |
//! | somebody removes the directory | the writer notices when it syncs or rotates, makes it again, and copies the active segment from the file that has lost its name; a reader that has it open loses nothing, another one reports what is gone as missing |
//!
//! [`GapReason::Corrupt`]: crate::record::GapReason::Corrupt
//! [`GapReason::Missing`]: crate::record::GapReason::Missing
//! [`GapReason::WriteFailed`]: crate::record::GapReason::WriteFailed

mod frame;
mod segment;

mod active;
mod quota;
mod settings;
mod syncer;
mod tombstone;
mod writer;

mod cursor;
mod position;
mod reader;

mod checkpoint;
mod dir;
mod disk;

pub use checkpoint::{Checkpoint, Cut, LoadError, StoreCheckpoint};
pub use dir::{
    Durability, MetaError, ShipLock, SpoolEntry, SpoolState, clean, count, growth, list, read_exit,
    read_meta, remove, usage, writers,
};
pub use disk::{Disk, DiskFile, RealDisk, RealFile, Stat};
pub use frame::{MAX_PAYLOAD, MAX_POSITION};
pub use position::{Kept, Position, forget_position, kept_positions, last_position};
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
    /// Where the bytes of the next frame come from, in words of the input that they come from.
    Position = 4,
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
    /// The user whose file this is, where that is neither root nor who has read it: what it names is not to be
    /// followed.
    #[serde(skip)]
    pub stranger: Option<u32>,
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod model;
#[cfg(any(test, fuzzing))]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "for tests and fuzzers alone")]
#[cfg_attr(fuzzing, allow(dead_code, reason = "its faults are for tests"))]
mod simulated;
#[cfg(test)]
mod tests;
