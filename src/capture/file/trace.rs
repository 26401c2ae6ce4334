//! What stays of a file's bytes when they have been read: enough to know the file again.
//!
//! Apart because it is made from the bytes as they pass. A second look at the file would see what is in it then, which may
//! be something else.

use crc_fast::{CrcAlgorithm, checksum, checksum_combine};

use super::position::Print;

/// Bytes of a file's beginning that are its head.
pub(super) const HEAD: u64 = 1024;

/// Bytes of what was read last that are kept.
pub(super) const TAIL: usize = 64;

const CRC: CrcAlgorithm = CrcAlgorithm::Crc64Nvme;

/// How a file begins, and the last bytes of it that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) head: Print,
    pub(super) tail: Tail,
}

/// The last bytes of a file that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    bytes: [u8; TAIL],
    len: usize,
}

impl Trace {
    /// More has been read.
    pub(super) fn push(&mut self, read: &[u8]) {
        self.push_head(read);
        self.tail.push(read);
    }

    /// NULs at the beginning were passed. They are in all such files, and no mark of this one's end.
    pub(super) fn push_nuls(&mut self, count: u64) {
        self.push_head([0; HEAD as usize].get(..count.min(HEAD) as usize).unwrap_or_default());
    }

    fn push_head(&mut self, read: &[u8]) {
        let room = (HEAD as usize).saturating_sub(self.head.bytes as usize);
        if room > 0 {
            let more = read.get(..room.min(read.len())).unwrap_or_default();
            self.head.hash = checksum_combine(CRC, self.head.hash, hash(more), more.len() as u64);
            self.head.bytes += more.len() as u32;
        }
    }
}

impl Tail {
    /// More has been read.
    pub(super) fn push(&mut self, read: &[u8]) {
        if let Some(last) = read.last_chunk::<TAIL>() {
            *self = Self { bytes: *last, len: TAIL };
            return;
        }
        let gone = (self.len + read.len()).saturating_sub(TAIL);
        self.bytes.copy_within(gone..self.len, 0);
        self.len -= gone;
        if let Some(free) = self.bytes.get_mut(self.len..self.len + read.len()) {
            free.copy_from_slice(read);
            self.len += read.len();
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Its print, when it ends at `end`.
    pub(super) fn print(&self, end: u64) -> Print {
        Print {
            at: end.saturating_sub(self.len as u64),
            bytes: self.len as u32,
            hash: hash(self.as_bytes()),
        }
    }
}

impl Default for Tail {
    fn default() -> Self {
        Self { bytes: [0; TAIL], len: 0 }
    }
}

/// What bytes hash to.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    checksum(CRC, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_do_not_depend_on_how_much_is_read_at_once() {
        let all: Vec<u8> = (0..2000_u32).map(|number| (number % 251) as u8).collect();
        for step in [1, 7, 63, 64, 65, 1000, 2000] {
            let mut trace = Trace::default();
            let mut read = 0;
            for piece in all.chunks(step) {
                trace.push(piece);
                read += piece.len();
                assert_eq!(trace.tail.as_bytes(), &all[read.saturating_sub(TAIL)..read], "{step}");
                let head = &all[..read.min(HEAD as usize)];
                assert_eq!(trace.head, Print { at: 0, bytes: head.len() as u32, hash: hash(head) });
            }
        }
    }
}
