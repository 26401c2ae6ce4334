//! The file that is being read: what is known of it, and how it gets into the buffer.
//!
//! Apart from the [`Follower`](super::Follower), which decides when a file is over and which is next.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::content::{Content, Filled, Stamp};
use super::position::Identity;
use super::succession::Opened;
use super::trace::{Tail, Trace};
use super::{Buffer, Counts};

/// The file being read.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) content: Content,
    pub(super) path: PathBuf,
    /// When it was looked at last, and whether a change since would show.
    pub(super) stamp: Stamp,
    pub(super) settled: bool,
    pub(super) offset: u64,
    pub(super) trace: Trace,
    /// What an earlier process knew of it, which had read further.
    pub(super) known: Option<Identity>,
    /// Nothing was read so far but NULs.
    pub(super) blank: bool,
    /// Bytes of a line that is not whole, at the last look.
    pub(super) partial: u64,
    /// It is the copy of a file that was truncated, which was so long.
    pub(super) copy_of: Option<u64>,
    /// Where its end was and since when, once it was not at the path any more.
    pub(super) end: Option<(u64, Instant)>,
    /// What was at the path then: device and inode.
    pub(super) beside: Option<(u64, u64)>,
    /// Nobody writes it any more.
    pub(super) over: bool,
}

impl Current {
    pub(super) fn new(opened: Opened) -> Self {
        let Opened { content, stamp, path } = opened;
        Self {
            content,
            path,
            stamp,
            settled: false,
            offset: 0,
            trace: Trace::default(),
            known: None,
            blank: true,
            partial: 0,
            copy_of: None,
            end: None,
            beside: None,
            over: false,
        }
    }

    /// Nothing of it has been read, but NULs.
    pub(super) fn is_unread(&self) -> bool {
        self.trace.tail == Tail::default() && self.known.is_none()
    }

    /// While less is read than an earlier process had read: whether that is still there.
    pub(super) fn is_as_known(&mut self) -> bool {
        match self.known {
            Some(known) if known.end() > self.offset && !self.content.is_gzip() => {
                self.content.is(&known).unwrap_or(false)
            }
            _ => true,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        let (device, inode) = (self.stamp.device, self.stamp.inode);
        let mut read = Identity {
            device,
            inode,
            head: self.trace.head,
            tail: self.trace.tail.print(self.offset),
        };
        if let Some(known) = self.known.filter(|known| known.end() > self.offset) {
            (read.head, read.tail) = (known.head, known.tail);
        }
        read
    }

    /// Reads from `offset` on into the buffer.
    pub(super) fn fill(&mut self, buffer: &mut Buffer, owner: (u64, u64)) -> io::Result<Filled> {
        let kept =
            if self.content.is_gzip() && buffer.owner == owner && buffer.offset == self.offset {
                // Going back would mean to decompress all of it again.
                buffer.bytes.copy_within(buffer.start..buffer.end, 0);
                buffer.end - buffer.start
            } else {
                0
            };
        buffer.forget();
        let room = buffer.bytes.get_mut(kept..).unwrap_or_default();
        let wanted = room.len();
        let filled = self.content.read(self.offset + kept as u64, &self.trace.tail, room)?;
        if let Filled::Bytes(count) = filled {
            buffer.owner = owner;
            buffer.end = kept + count;
            buffer.offset = self.offset;
            buffer.met_end = count < wanted;
        }
        Ok(filled)
    }

    /// Passes NULs at the beginning, such as a writer leaves that goes on at its old offset in a truncated file. True if
    /// there was nothing else and there is more to look at.
    pub(super) fn skip_blank(&mut self, buffer: &mut Buffer, counts: &mut Counts) -> bool {
        let ahead = buffer.ahead();
        let total = ahead.len();
        let nuls = ahead.iter().take_while(|byte| **byte == 0).count();
        buffer.pass(nuls);
        self.trace.push_nuls(nuls as u64);
        self.offset += nuls as u64;
        counts.nuls += nuls as u64;
        if nuls < total {
            return false;
        }
        let data = if total > 0 { self.content.data(self.offset) } else { None };
        let hole = data.map_or(0, |data| data.saturating_sub(self.offset));
        self.trace.push_nuls(hole);
        self.offset += hole;
        counts.nuls += hole;
        data.is_some()
    }
}
