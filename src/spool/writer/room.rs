//! The private half of the writer: finding room for a frame, and accounting for what found none.
//!
//! Apart from the public half so that each can be read in one go. All that may fail returns
//! here, and nothing of it reaches the caller but as a count.

use std::io::{self, ErrorKind};
use std::mem;
use std::path::Path;
use std::time::Instant;

use memchr::memchr_iter;

use super::{Fault, Owed, SpoolWriter};
use crate::pages;
use crate::record::{Exit, Gap, GapReason, Nanos};
use crate::spool::active::Active;
use crate::spool::dir::{EXIT, META, RESERVE, WRITER_LOCK, make, replace_file, write_file};
use crate::spool::disk::{Disk, DiskFile as _, is_full, remove_if_there};
use crate::spool::frame::{self, MAX_GAP_PAYLOAD};
use crate::spool::position::{self, Position};
use crate::spool::quota::Room;
use crate::spool::segment::{self, Header};
use crate::spool::{Kind, WhenFull};

/// Why a frame was not written.
pub(super) enum Refusal {
    /// There is no room for it.
    Full,
    /// The disk did not take it.
    Failed(io::Error),
    /// The disk did not confirm what was written, this frame included.
    SyncFailed(io::Error),
    /// That happened before.
    Stopped,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Failed(error) }
    }
}

impl<D: Disk> SpoolWriter<D> {
    /// Writes one frame with its position, after the gap frame that is owed.
    pub(super) fn append_frame(
        &mut self,
        position: &[u8],
        kind: Kind,
        time: Nanos,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        if self.stopped {
            return Err(Refusal::Stopped);
        }
        if self.is_known_full() {
            return Err(Refusal::Full);
        }
        let gap_len = self.owed.as_ref().map_or(0, |_| frame::HEADER_LEN + MAX_GAP_PAYLOAD);
        let position_len = if position.is_empty() { 0 } else { frame::HEADER_LEN + position.len() };
        let need = (gap_len + position_len + frame::HEADER_LEN + payload.len()) as u64;
        loop {
            let written =
                self.ensure_room(need, time).and_then(|()| self.pay(time)).and_then(|()| {
                    Ok(self.active.write(position, kind, time, self.offset, payload)?)
                });
            match written {
                Ok(()) => break,
                Err(Refusal::Full) if self.make_room(need, time)? => {}
                Err(Refusal::Full) => {
                    self.full_until = Some(Instant::now() + self.recheck);
                    return Err(Refusal::Full);
                }
                Err(refusal) => return Err(refusal),
            }
        }
        self.full_until = None;
        if !position.is_empty() {
            self.positioned = Some(self.active.header.number);
        }
        Ok(())
    }

    /// Syncs what was written, where the policy is to do so at once.
    pub(super) fn confirm(&mut self) -> Result<(), Refusal> {
        self.syncer.wrote(&self.active.file).map_err(Refusal::SyncFailed)
    }

    /// Writes the gap frame that is owed.
    pub(super) fn pay(&mut self, time: Nanos) -> Result<(), Refusal> {
        if let Some(Owed { offset, gap }) = &self.owed {
            self.active.write(&[], Kind::Gap, time, *offset, &frame::encode_gap(gap))?;
            self.owed = None;
        }
        Ok(())
    }

    /// Counts bytes that are lost.
    pub(super) fn lose(&mut self, payload: &[u8], refusal: Refusal) {
        let reason = match refusal {
            Refusal::Full => GapReason::DroppedNewest,
            _ => GapReason::WriteFailed,
        };
        let Owed { gap, .. } = self
            .owed
            .get_or_insert(Owed { offset: self.offset, gap: Gap { bytes: 0, lines: 0, reason } });
        gap.bytes += payload.len() as u64;
        gap.lines += memchr_iter(b'\n', payload).count() as u64;
        self.offset += payload.len() as u64;
        self.report(refusal);
    }

    /// Remembers the first thing that went wrong, and what follows from it.
    pub(super) fn report(&mut self, refusal: Refusal) {
        let dir = self.dir.clone();
        let fault = match refusal {
            Refusal::Full => Fault::Full { dir, when_full: self.when_full },
            Refusal::Failed(source) => Fault::Write { dir, source },
            Refusal::SyncFailed(source) => {
                self.stopped = true;
                Fault::Sync { dir, source }
            }
            Refusal::Stopped => return,
        };
        self.fault.get_or_insert(fault);
    }

    /// Whether it was full a moment ago.
    pub(super) fn is_known_full(&self) -> bool {
        self.full_until.is_some_and(|until| Instant::now() < until)
    }

    /// Makes the directory again if somebody has removed it.
    pub(super) fn watch(&mut self) {
        if !self.active.file.is_linked().unwrap_or(true)
            && let Err(error) = self.revive()
        {
            self.report(Refusal::from(error));
        }
    }

    /// Writes the exit record; the next sync makes its name durable.
    pub(super) fn write_exit(&mut self, exit: &Exit) -> io::Result<()> {
        let contents = serde_json::to_vec(exit)?;
        remove_if_there(&self.disk, &self.dir.join(RESERVE))?;
        replace_file(&self.disk, &self.dir, EXIT, &contents, self.syncer.durability())?;
        self.syncer.made_names(self.dir.clone());
        Ok(())
    }

    /// Makes sure that the active segment may take so many bytes: begins the next one when it is
    /// full, and asks the quota for every segment once.
    fn ensure_room(&mut self, need: u64, time: Nanos) -> Result<(), Refusal> {
        let end = self.active.len + need;
        let fits = self.active.is_empty() || end <= self.quota.segment_bytes;
        if fits && end <= self.active.granted {
            return Ok(());
        }
        let wanted = if fits {
            self.quota.segment_bytes.max(end) - self.active.len
        } else {
            self.quota.segment_bytes.max(segment::HEADER_LEN as u64 + need)
        };
        let number = self.active.header.number;
        // Once a segment other code runs than for every block.
        pages::give_back();
        // Where the folder cannot be looked through, the write itself will say what is wrong.
        if let Ok(Room::Lacking(lacking)) = self.quota.room(&self.disk, wanted, number, true) {
            if self.when_full != WhenFull::DropOldest {
                return Err(Refusal::Full);
            }
            self.report(Refusal::Full);
            self.drop_oldest(lacking)?;
            self.syncer.let_go();
        }
        if fits {
            self.active.granted = self.quota.segment_bytes.max(end);
        } else {
            self.rotate(need, time)?;
        }
        pages::give_back();
        Ok(())
    }

    /// After the disk was found full: drops something where that is the policy. False if there
    /// is nothing to drop.
    fn make_room(&mut self, need: u64, time: Nanos) -> Result<bool, Refusal> {
        self.syncer.let_go();
        if self.when_full != WhenFull::DropOldest {
            return Ok(false);
        }
        self.report(Refusal::Full);
        if self.drop_oldest(need)? > 0 {
            self.syncer.let_go();
            return Ok(true);
        }
        if self.active.is_empty() {
            return Ok(false);
        }
        // All that is left is the segment that is being written.
        self.rotate(need, time)?;
        Ok(true)
    }

    fn drop_oldest(&mut self, wanted: u64) -> io::Result<u64> {
        if self.positioned != Some(self.active.header.number) {
            // The last position is in a segment that may go now. Where it cannot be kept, its input
            // may be read again if we die before the next frame.
            drop(self.keep_position());
        }
        self.quota.drop_oldest(&self.disk, wanted, self.active.header.number)
    }

    /// Keeps the last position where nobody drops it.
    pub(super) fn keep_position(&self) -> io::Result<()> {
        let Some((payload, offset)) = &self.position else { return Ok(()) };
        let following = self.offset - offset;
        let position = Position { payload: payload.clone(), following };
        position::keep(&self.disk, &self.dir, &position, self.syncer.durability())
    }

    /// Begins the next segment.
    fn rotate(&mut self, need: u64, time: Nanos) -> Result<(), Refusal> {
        self.watch();
        let number = self.active.header.number + 1;
        let base = self.owed.as_ref().map_or(self.offset, |owed| owed.offset);
        let granted = self.quota.segment_bytes.max(segment::HEADER_LEN as u64 + need);
        let header = Header { number, base, time };
        let next = match Active::create(&self.disk, &self.dir, header, granted) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.revive()?;
                let header = Header { number: number + 1, ..header };
                Active::create(&self.disk, &self.dir, header, granted)?
            }
            next => next?,
        };
        self.syncer.made_names(self.dir.clone());
        self.syncer.closed(mem::replace(&mut self.active, next).file);
        Ok(())
    }

    /// Makes the directory again and puts into it what is at hand: the segment that is being
    /// written. It gets a new number, so that a reader who has the old one open finds it.
    fn revive(&mut self) -> io::Result<()> {
        let Self { disk, active, .. } = self;
        let number = active.header.number + 1;
        let header = Header { number, ..active.header };
        let fill = |dir: &Path| {
            let mut next = Active::create(disk, dir, header, active.granted)?;
            next.copy_from(active)?;
            Ok(next)
        };
        let (lock, next) = match disk.names(&self.dir) {
            Ok(names) => {
                // Only files were removed.
                let lock = disk.lock(&self.dir.join(WRITER_LOCK))?;
                if !names.iter().any(|name| name == META) {
                    write_file(disk, &self.dir, META, &self.meta, self.syncer.durability())?;
                }
                (lock, fill(&self.dir)?)
            }
            Err(_) => make(disk, &self.dir, &self.meta, fill)?,
        };
        self.locks.push(lock);
        self.active = next;
        self.syncer.made_names(self.dir.clone());
        self.fault.get_or_insert(Fault::Vanished { dir: self.dir.clone() });
        Ok(())
    }
}
