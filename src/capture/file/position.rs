//! How far a file has been read: what goes to disk beside the bytes, so that whoever comes next goes
//! on exactly there.
//!
//! Apart because it is the promise between two processes, one of which may have been killed at any
//! moment. Pure: numbers in, numbers out. It knows no spool; what "given on" means is the caller's.

use serde::{Deserialize, Serialize};

use super::{Block, Gap};
use crate::record::{IoStream, Nanos};

/// What some bytes of a file hash to. A name for contents, not a proof: it tells files apart that
/// nobody made to look alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// Where the bytes begin.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at: u64,
    /// How many they are.
    pub bytes: u32,
    /// Their CRC-64/NVME.
    pub hash: u64,
}

/// Which file it is, whatever its name is now and whether or not it has been compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The device's number. Some file systems get another one with each mount, so it alone decides nothing.
    pub device: u64,
    /// The inode's number, which another file may get once this one is deleted.
    pub inode: u64,
    /// The file's beginning: up to 1 KiB of what has been read of it.
    pub head: Print,
    /// The last bytes that were read, up to 64: many files begin alike, few go on alike.
    pub tail: Print,
}

impl Identity {
    /// How far it was read.
    pub(super) fn end(&self) -> u64 {
        self.tail.at + u64::from(self.tail.bytes)
    }
}

/// A place in the output of a file.
///
/// Two counts, because two things may happen between reading and arriving: what was read may be held back, and what it became
/// may be longer or shorter. `skip` is in bytes as they are read, `arrived` in bytes as they are given on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The byte of the file (of a gzip file: of what is in it).
    pub offset: u64,
    /// How many bytes of stdout and of stderr that come after `offset` are not to be read again.
    #[serde(default, skip_serializing_if = "are_zero")]
    pub skip: [u64; 2],
    /// How many bytes of what the rest of stdout and of stderr becomes have arrived already.
    #[serde(default, skip_serializing_if = "are_zero")]
    pub arrived: [u64; 2],
}

/// "The next `bytes` bytes given on are what came of the file between `from` and `to`."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The file, known by what was read up to `to` at least.
    pub file: Identity,
    /// The file's modification time when it was read: what is older was read before it.
    pub modified: Nanos,
    /// What the bytes are of.
    pub iostream: IoStream,
    /// Where the bytes begin.
    pub from: Place,
    /// Where they end.
    pub to: Place,
    /// How many they became.
    pub bytes: u64,
}

impl Position {
    /// Where to go on when so many of `bytes` have arrived. [`Follower`](super::Follower) minds `offset` and `skip`, and
    /// [`Ledger`] minds `arrived`, since only the caller knows what it makes of what is read.
    pub fn resume(&self, arrived: u64) -> Place {
        if arrived >= self.bytes {
            self.to
        } else {
            Place { arrived: added(self.from.arrived, self.iostream, arrived), ..self.from }
        }
    }
}

/// Keeps the account of a caller that does not give on at once all that it has read (a mask holds
/// back what may be the beginning of a secret) or gives on something else, and writes one
/// [`Position`] for each piece it gives on.
///
/// While something is held back, the place to go on at is the latest one where nothing was, and how
/// much of what followed has been given on, for each iostream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    last: Option<Block>,
    /// A place at or before the first byte that is held back.
    base: u64,
    /// Bytes of each iostream that follow `base` and have been read.
    read: [u64; 2],
    /// Bytes of each iostream that are to be dropped when they come.
    arrived: [u64; 2],
    /// Where what was given on last ended.
    given: Place,
}

impl Ledger {
    /// For a caller that goes on after a position, of whose bytes so many have arrived.
    pub fn resume(position: &Position, arrived: u64) -> Self {
        Self { arrived: position.resume(arrived).arrived, ..Self::default() }
    }

    /// A block has been read. Flush the masks before, if its [`Block::generation`] is another one.
    pub fn read(&mut self, block: &Block) {
        if self.last.is_none_or(|last| last.generation != block.generation) {
            self.given = Place { arrived: self.arrived, ..block.from };
            self.base = block.from.offset;
            self.read = block.from.skip;
        }
        self.read = added(self.read, block.iostream, block.len() as u64);
        self.last = Some(*block);
    }

    /// Bytes are missing. What has arrived of them does not come again and is not missing either: how many are. Flush the
    /// masks before.
    pub fn gap(&mut self, gap: &Gap) -> u64 {
        let [stdout, stderr] = std::mem::take(&mut self.arrived);
        gap.bytes.saturating_sub(stdout + stderr)
    }

    /// So many bytes are ready to be given on: how many of them have arrived before, and are to be dropped.
    pub fn doubled(&mut self, iostream: IoStream, bytes: usize) -> usize {
        let Some(arrived) = self.arrived.get_mut(iostream as usize) else { return 0 };
        let doubled = (bytes as u64).min(*arrived);
        *arrived -= doubled;
        doubled as usize
    }

    /// So many bytes are given on, which are not doubled; of what has been read so many bytes of each iostream are
    /// still held back. `None` before the first block.
    pub fn give(&mut self, iostream: IoStream, bytes: u64, held: [u64; 2]) -> Option<Position> {
        let last = self.last?;
        if held == [0, 0] {
            self.base = last.to.offset;
            self.read = last.to.skip;
        } else {
            let in_last = added([0, 0], last.iostream, last.len() as u64);
            // All that is held came with the last block: nothing before it has to be read again.
            if in_last.iter().zip(held).all(|(len, held)| held <= *len) {
                self.base = last.from.offset;
                self.read = added(last.from.skip, last.iostream, last.len() as u64);
            }
        }
        let ([read_out, read_err], [held_out, held_err]) = (self.read, held);
        let skip = [read_out.saturating_sub(held_out), read_err.saturating_sub(held_err)];
        let to = Place { offset: self.base, skip, arrived: self.arrived };
        let from = std::mem::replace(&mut self.given, to);
        Some(Position { file: last.file, modified: last.modified, iostream, from, to, bytes })
    }
}

fn added([stdout, stderr]: [u64; 2], iostream: IoStream, bytes: u64) -> [u64; 2] {
    match iostream {
        IoStream::Stdout => [stdout + bytes, stderr],
        IoStream::Stderr => [stdout, stderr + bytes],
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn are_zero(numbers: &[u64; 2]) -> bool {
    *numbers == [0, 0]
}
