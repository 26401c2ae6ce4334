//! Following files that somebody else writes, rotates, truncates, compresses and deletes.
//!
//! ```text
//! template ──► Globs ──► paths with captures ──► Follower (one a path) ──► blocks, each with its Position
//!                ▲ Watch: hints that it is worth a look
//! ```
//!
//! A library apart from the agent: it knows no spool, no stream and no stack file, holds no thread and
//! waits for nothing. The caller says when to look, gives the memory, and keeps the positions.
//!
//! # Invariants
//!
//! 1. What is read comes out once and in order, over any number of rotations and restarts, as long as
//!    the caller resumes from the last position it kept. What cannot be read any more is a [`Gap`].
//! 2. A file is known by what is in it. Device and inode say where to look first; names say in which order rotated
//!    files were written. Neither is believed without the prints of the file's beginning and of the last bytes read.
//! 3. Nothing is kept in memory of what was read but 64 bytes a file, and the numbers of [`Position`].
//!    What has not been handed out is read again.
//! 4. A look at an idle file is one stat(2).
//! 5. No link leads out of the root, unless allowed; nothing but a regular file is read.
//!
//! # What happens to a file, and what follows
//!
//! | what | found out by | then |
//! |---|---|---|
//! | grows | size or modification time | read on |
//! | renamed, a new one in its place | the path has another inode | read to its end; [`Settings::linger`] later, or once the new one is rotated too, to its end again, for who still has it open; then the files rotated since, oldest first; then the new one |
//! | renamed several times between two looks | the file's own place among its siblings | the siblings after it are read in order |
//! | made and renamed between two looks | nothing is known of the path, and siblings were written to since the last look | they are read in order: [`Start::Since`] |
//! | renamed, and the next one may not be opened | its permissions | a gap of its size |
//! | copied and truncated | it is shorter, or the last bytes read are not there any more | the copy is found by what is in it and read on to its end, then the file from 0. Without a copy: a gap of what was known to be unread |
//! | truncated, and its writer goes on at its old offset | the same | the hole at the beginning is skipped and counted |
//! | rewritten in place, to any size | the same | from 0 |
//! | deleted | the path is missing | read to its end; then [`Presence::Missing`] until there is one again |
//! | deleted, and a new one has its inode | the prints differ | as another file |
//! | compressed while nobody read it | no file has the prints, but what is in a `.gz` has | read on in there |
//! | gone while nobody read it | nothing has the prints | a gap of unknown size; then what was written after it |
//!
//! Prints cannot tell a file from one that was rewritten with the same first 1 KiB and the same 64
//! bytes before the place where reading stopped; then it is taken for the old one that has grown. A
//! file that a crash of the machine has shortened is read again from 0: doubled rather than lost.
//! What is written to a renamed file after `linger` is not seen. Of two files that begin alike, of which only
//! a few bytes were read and which got new inodes meanwhile, the newer one is taken.
//!
//! # Whole lines
//!
//! Blocks end at line ends ([`Take::Lines`]), so that a caller that stops leaves a line that is still being
//! written to whoever comes next. The caller asks for the rest ([`Take::Everything`]) when it has
//! been quiet for long enough. The rest of a file that nobody writes any more comes by itself, and
//! so does a line that is longer than the buffer.
//!
//! In reading order: [`Position`] and [`Ledger`] say how far; [`Follower`] reads one path; `content` is an open file,
//! `rotation` the names of rotated ones, [`cri`] the node's format, `beneath` opens safely; [`Globs`]
//! finds paths by a [`Template`], [`Watch`] says when to look.

mod position;

mod buffer;
mod current;
mod follower;
mod succession;

mod beneath;
mod content;
pub mod cri;
mod rotation;
mod trace;

mod globs;
mod template;
mod watch;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use buffer::Buffer;
pub use follower::Follower;
pub use globs::{Found, Globs, Refused, Scan};
pub use position::{Identity, Ledger, Place, Position, Print};
pub use rotation::{base_of, rotated_bases};
pub use template::{BadTemplate, BadValue, Captures, Template};
pub use watch::Watch;

use crate::record::{IoStream, Nanos};

/// How a file is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is in it.
    pub format: Format,
    /// Where a file begins of which nothing is known.
    pub start: Start,
    /// How long a renamed or deleted file is read on for writers that still have it open. The new one waits as long.
    pub linger: Duration,
    /// Links may not lead out of this folder. `None`: they may lead anywhere.
    pub root: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Plain(IoStream::Stdout),
            start: Start::Beginning,
            linger: Duration::from_secs(5),
            root: None,
        }
    }
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What was written, as it is, to be taken for this iostream.
    Plain(IoStream),
    /// The format of container logs on a Kubernetes node: see [`cri`].
    Cri {
        /// A block's lines have times that differ by less than this from its first line's.
        span: Duration,
    },
}

impl Format {
    /// Container logs, with times that are right to 10 ms.
    pub const CRI: Self = Self::Cri { span: Duration::from_millis(10) };
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest rotated file that is there.
    Oldest,
    /// With the oldest rotated file that was written to since then, which is when all there was had been found.
    Since(Nanos),
    /// With the first byte of the file that the path names.
    Beginning,
    /// With what is written from now on.
    End,
}

/// How much of what is there is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Whole lines.
    Lines,
    /// Also the beginning of a line. In the node's format a line is always whole, since a piece of it says nothing.
    Everything,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes, which [`Buffer::bytes`] gives.
    Block(Block),
    /// Bytes are missing here.
    Gap(Gap),
    /// There is nothing now.
    Idle(Idle),
    /// There never will be anything: the path names a gzip file, and all of it was read.
    Ended,
}

/// Bytes that were read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Which descriptor they were written to.
    pub iostream: IoStream,
    /// When its first line was written, where the format says so.
    pub time: Option<Nanos>,
    /// Counts up with each file, and with each truncation of one.
    pub generation: u64,
    /// The file, known up to `to`.
    pub file: Identity,
    /// The file's modification time when it was looked at last.
    pub modified: Nanos,
    /// Where the bytes begin.
    pub from: Place,
    /// Where they end.
    pub to: Place,
    start: usize,
    end: usize,
}

impl Block {
    /// How many bytes there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// The position to keep with the bytes if all of them are given on as they are. Else see [`Ledger`].
    pub fn position(&self) -> Position {
        Position {
            file: self.file,
            modified: self.modified,
            iostream: self.iostream,
            from: self.from,
            to: self.to,
            bytes: self.len() as u64,
        }
    }
}

/// Bytes that cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// So many at least; 0 where it cannot be known.
    pub bytes: u64,
    /// Why.
    pub reason: Loss,
}

/// Why bytes cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The file was truncated before they were read.
    Truncated,
    /// The file is gone or was truncated while nobody read it, and no rotated or compressed one has what was in it.
    Vanished,
    /// A compressed file is damaged.
    Damaged,
    /// A rotated file may not be opened.
    Denied,
}

impl Loss {
    /// For a message: "bytes are lost: {}".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "the file was truncated before they were read",
            Self::Vanished => {
                "the file is gone or truncated, and no rotated one has what was in it"
            }
            Self::Damaged => "the compressed file is damaged",
            Self::Denied => {
                "a rotated file may not be read: give the agent the right to, also for files to come"
            }
        }
    }
}

/// Nothing to read, and what to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Bytes of a line that is not whole.
    pub partial: u64,
    /// What the path names.
    pub presence: Presence,
}

/// What a path names while nothing is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The file that is being read.
    Live,
    /// Another file, or none; the one being read is watched a while longer.
    Rotated,
    /// No file, and all that there was is read.
    Missing,
}

/// What has happened to a followed path so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that were read to their end and left.
    pub rotations: u64,
    /// Times that what was read was not there any more.
    pub truncations: u64,
    /// Bytes of holes at the beginning of a file, skipped.
    pub nuls: u64,
    /// Lines that are not in the node's format, given on as they are.
    pub malformed: u64,
    /// Bytes known to be lost.
    pub lost: u64,
}

/// A path in a message: whoever names a file may put control characters in it, and lines of their own.
pub fn shown(path: &Path) -> String {
    let mut shown = String::new();
    for char in path.display().to_string().chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Why a file could not be followed now. The next read tries again.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It cannot be opened.
    #[error("failed to open {}", shown(path))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read or looked at.
    #[error("failed to read {}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
