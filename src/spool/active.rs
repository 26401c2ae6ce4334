//! The segment that is being written.
//!
//! Apart from the writer so that one place keeps the rule: after a write that failed, the file
//! ends where the last whole frame ended. It knows no quota and no policy.

use std::io;
use std::path::Path;

use super::Kind;
use super::disk::{Disk, DiskFile, append_all, remove_if_there};
use super::frame;
use super::segment::{self, HEADER_LEN, Header};
use crate::record::Nanos;

/// The name of a segment that has no header yet.
const TEMPORARY: &str = "segment.tmp";

/// See the module.
pub(super) struct Active<F> {
    pub(super) file: F,
    pub(super) header: Header,
    /// Bytes up to the end of the last whole frame.
    pub(super) len: u64,
    /// Up to this length the quota has been asked for.
    pub(super) granted: u64,
    /// A piece of a frame may stand behind `len`.
    torn: bool,
    /// Position and header of a frame that has one: kept to be filled again.
    lead: Vec<u8>,
}

impl<F: DiskFile> Active<F> {
    /// Makes the file with its header. It has its name only then: a reader who sees it knows that
    /// the segment before it has ended.
    pub(super) fn create<D: Disk<File = F>>(
        disk: &D,
        dir: &Path,
        header: Header,
        granted: u64,
    ) -> io::Result<Self> {
        let temporary = dir.join(TEMPORARY);
        remove_if_there(disk, &temporary)?;
        let file = disk.create(&temporary)?;
        append_all(&file, &header.encode(), &[])?;
        disk.rename(&temporary, &dir.join(segment::file_name(header.number)))?;
        Ok(Self { file, header, len: HEADER_LEN as u64, granted, torn: false, lead: Vec::new() })
    }

    /// Whether there is no frame in it.
    pub(super) fn is_empty(&self) -> bool {
        self.len == HEADER_LEN as u64
    }

    /// Writes one frame, whole or not at all; before it, in the same call, the position of its bytes
    /// if there is one.
    pub(super) fn write(
        &mut self,
        position: &[u8],
        kind: Kind,
        time: Nanos,
        offset: u64,
        payload: &[u8],
    ) -> io::Result<()> {
        self.mend()?;
        let header = frame::encode(kind, time, offset, payload);
        let mut first = header.as_slice();
        if !position.is_empty() {
            self.lead.clear();
            self.lead.extend(frame::encode(Kind::Position, time, offset, position));
            self.lead.extend_from_slice(position);
            self.lead.extend(header);
            first = &self.lead;
        }
        let written = (first.len() + payload.len()) as u64;
        if let Err(error) = append_all(&self.file, first, payload) {
            self.torn = true;
            // Tried again before the next frame if it fails now; the error to tell is the first.
            drop(self.mend());
            return Err(error);
        }
        self.len += written;
        Ok(())
    }

    /// Takes over the frames of a segment that has lost its name.
    pub(super) fn copy_from(&mut self, other: &Self) -> io::Result<()> {
        let mut piece = vec![0; 64 << 10];
        while self.len < other.len {
            let wanted = piece.len().min((other.len - self.len) as usize);
            let room = piece.get_mut(..wanted).unwrap_or_default();
            let count = other.file.read_at(room, self.len)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            append_all(&self.file, piece.get(..count).unwrap_or_default(), &[])?;
            self.len += count as u64;
        }
        Ok(())
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.truncate(self.len)?;
            self.torn = false;
        }
        Ok(())
    }
}
