//! The memory that files are read into: one for all followers of a thread.
//!
//! Apart so that an idle follower holds none. It remembers whose bytes it holds, so that a follower
//! that finds its own still there need not read them again, and one that does not just reads them.

use super::Block;

/// A block smaller than a memory page would cost a system call for nothing.
const MIN: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Buffer {
    pub(super) bytes: Box<[u8]>,
    /// Whose bytes these are: a follower's number and its file's generation.
    pub(super) owner: (u64, u64),
    /// What has not been cut off yet.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where in the file `start` is.
    pub(super) offset: u64,
    /// Nothing followed `end`.
    pub(super) met_end: bool,
}

impl Buffer {
    /// For blocks of up to so many bytes; not less than 4 KiB.
    pub fn new(bytes: usize) -> Self {
        Self {
            // Zeroed by the system when touched.
            bytes: vec![0; bytes.max(MIN)].into_boxed_slice(),
            owner: (0, 0),
            start: 0,
            end: 0,
            offset: 0,
            met_end: false,
        }
    }

    /// The bytes of the block that [`Follower::read`](super::Follower::read) has just returned.
    pub fn bytes(&self, block: &Block) -> &[u8] {
        self.bytes.get(block.start..block.end).unwrap_or_default()
    }

    /// What has been read and not been cut off.
    pub(super) fn ahead(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn is_full(&self) -> bool {
        self.start == 0 && self.end == self.bytes.len()
    }

    /// So many bytes are cut off.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    pub(super) fn forget(&mut self) {
        self.owner = (0, 0);
        (self.start, self.end) = (0, 0);
    }
}
