//! The capture side: takes bytes, never fails the caller, and accounts for every byte it could
//! not keep.
//!
//! Apart from [`active`](super::active) and [`quota`](super::quota), which do as they are told:
//! the policies are here. It never reads a spool back and never opens an old one; a writer is
//! used once.

mod room;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::active::Active;
use super::dir::{META, RESERVE, make};
use super::disk::{Disk, RealDisk, remove_if_there};
use super::frame::{MAX_PAYLOAD, MAX_POSITION};
use super::quota::{Quota, Room};
use super::segment::Header;
use super::syncer::{Syncer, Tick};
use super::{Kind, Meta, Note, Settings, Sync, WhenFull};
use crate::pages;
use crate::record::{Exit, Gap, GapReason, IoStream, Nanos};
use room::Refusal;

/// The quota is first asked when the spool is this large, so that a small step, and there are
/// many of them, never looks at the spools of all others.
const FIRST_GRANT: u64 = 256 << 10;

/// A spool that was full is not asked again before this time has passed.
const RECHECK: Duration = Duration::from_millis(50);

/// Writes the spool of one capture session.
pub struct SpoolWriter<D: Disk = RealDisk> {
    disk: D,
    dir: PathBuf,
    /// Contents of the meta file, in case the directory has to be made again.
    meta: Vec<u8>,
    when_full: WhenFull,
    quota: Quota,
    active: Active<D::File>,
    /// Offset of the next byte that is given to us.
    offset: u64,
    /// What was dropped since the last frame; a gap frame is owed for it.
    owed: Option<Owed>,
    /// The last position that was given, and the offset of the bytes that it is about.
    position: Option<(Vec<u8>, u64)>,
    /// The segment with the last position.
    positioned: Option<u32>,
    /// A sync has failed: nobody knows what is on the disk, so nothing more is accepted.
    stopped: bool,
    /// When it was found full, and until when that is believed.
    full_until: Option<Instant>,
    recheck: Duration,
    syncer: Syncer<D>,
    fault: Option<Fault>,
    /// More than one only after the directory had to be made again.
    locks: Vec<D::Lock>,
}

/// A gap frame that is still to be written.
#[derive(Clone, Debug)]
struct Owed {
    offset: u64,
    gap: Gap,
}

/// What became of the bytes given to [`SpoolWriter::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// They are in the spool.
    Written,
    /// They are lost and counted; a gap frame will stand for them.
    Dropped,
    /// They were not taken, since the spool is full and the policy is to wait.
    Full,
}

/// The first thing that went wrong, for one message to the user.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There was no room.
    #[error(
        "the spool in {} is full: {}; deliver what it holds, or raise [spool] max_bytes or free \
         the disk",
        dir.display(),
        consequence(*when_full)
    )]
    Full {
        /// The writer's directory.
        dir: PathBuf,
        /// The policy.
        when_full: WhenFull,
    },
    /// The disk did not take what was written.
    #[error("failed to write to the spool in {} ({source}): output is lost while this lasts; check the disk", dir.display())]
    Write {
        /// The writer's directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk did not confirm what was written.
    #[error(
        "failed to sync the spool in {} ({source}): nobody can say what is on the disk, so output \
         is no longer kept; check the disk",
        dir.display()
    )]
    Sync {
        /// The writer's directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody has removed the directory.
    #[error(
        "the spool directory {} was removed and has been made again: what was not delivered may \
         be lost; keep cleaners away from it",
        dir.display()
    )]
    Vanished {
        /// The writer's directory.
        dir: PathBuf,
    },
}

fn consequence(when_full: WhenFull) -> &'static str {
    match when_full {
        WhenFull::Block => "the step waits",
        WhenFull::DropOldest => "the oldest output is dropped",
        WhenFull::DropNewest => "new output is dropped",
    }
}

/// Why [`SpoolWriter::create`] failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to make the spool directory {}", dir.display())]
pub struct CreateError {
    /// The writer's directory.
    pub dir: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Why [`SpoolWriter::finish`] failed.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The disk did not confirm the last bytes. The exit record is written.
    #[error("failed to sync the spool in {}", dir.display())]
    Sync {
        /// The writer's directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The exit record, or the position that goes before it, could not be written: the spool looks
    /// interrupted.
    #[error("failed to write the exit record to {}", dir.display())]
    Exit {
        /// The writer's directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SpoolWriter {
    /// Makes the directory of a new writer below `settings.dir`, with its lock and its first
    /// segment.
    pub fn create(settings: &Settings, meta: &Meta) -> Result<Self, CreateError> {
        Self::create_on(RealDisk, settings, meta, RECHECK)
    }
}

impl<D: Disk> SpoolWriter<D> {
    pub(super) fn create_on(
        disk: D,
        settings: &Settings,
        meta: &Meta,
        recheck: Duration,
    ) -> Result<Self, CreateError> {
        let dir = settings.dir.join(meta.writer.id.to_string());
        let contents = serde_json::to_vec(meta).map_err(io::Error::from);
        pages::give_back();
        let created = contents.and_then(|contents| {
            disk.create_dir(&settings.dir)?;
            Self::create_in(disk, settings, dir.clone(), contents, meta.writer.started, recheck)
        });
        created.map_err(|source| CreateError { dir, source })
    }

    fn create_in(
        disk: D,
        settings: &Settings,
        dir: PathBuf,
        meta: Vec<u8>,
        started: Nanos,
        recheck: Duration,
    ) -> io::Result<Self> {
        let quota = Quota::new(&disk, settings, dir.clone());
        let granted = FIRST_GRANT.min(quota.segment_bytes);
        let header = Header { number: 0, base: 0, time: started };
        let (lock, active) =
            make(&disk, &dir, &meta, |new| Active::create(&disk, new, header, granted))?;
        let mut syncer = Syncer::new(disk.clone(), settings.sync);
        if settings.sync != Sync::Never {
            syncer.closed(disk.open(&dir.join(META))?);
        }
        syncer.made_names(dir.clone());
        syncer.made_names(settings.dir.clone());
        if settings.sync == Sync::Always {
            syncer.finish(&active.file)?;
        }
        Ok(Self {
            disk,
            dir,
            meta,
            when_full: settings.when_full,
            quota,
            active,
            offset: 0,
            owed: None,
            position: None,
            positioned: None,
            stopped: false,
            full_until: None,
            recheck,
            syncer,
            fault: None,
            locks: vec![lock],
        })
    }

    /// The writer's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Offset of the next byte in the writer's stream: how many bytes were taken or dropped.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The first thing that went wrong, if anything did.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Adds bytes that were read from `iostream` at `time`: one frame, one system call, as long
    /// as they are not more than [`MAX_PAYLOAD`].
    pub fn append(&mut self, iostream: IoStream, time: Nanos, payload: &[u8]) -> Append {
        self.take(iostream, time, &[], payload)
    }

    /// As [`append`](Self::append), of bytes that can be read again: `position`, which is not longer
    /// than [`MAX_POSITION`], says where from. After a crash it is found with
    /// [`last_position`](super::last_position).
    pub fn append_at(
        &mut self,
        iostream: IoStream,
        time: Nanos,
        position: &[u8],
        payload: &[u8],
    ) -> Append {
        debug_assert!(position.len() <= MAX_POSITION);
        let offset = self.offset;
        let outcome = self.take(iostream, time, position, payload);
        if outcome != Append::Full && !payload.is_empty() {
            let (kept, at) = self.position.get_or_insert_default();
            kept.clear();
            kept.extend_from_slice(position);
            *at = offset;
        }
        outcome
    }

    fn take(&mut self, iostream: IoStream, time: Nanos, position: &[u8], payload: &[u8]) -> Append {
        let mut rest = payload;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(MAX_PAYLOAD));
            let first = rest.len() == payload.len();
            let position = if first { position } else { &[] };
            match self.append_frame(position, Kind::from(iostream), time, piece) {
                Ok(()) => {
                    self.offset += piece.len() as u64;
                    if let Err(refusal) = self.confirm() {
                        self.report(refusal);
                    }
                }
                // Of several frames, those that are written cannot be taken back.
                Err(Refusal::Full) if self.when_full == WhenFull::Block && first => {
                    self.report(Refusal::Full);
                    return Append::Full;
                }
                Err(refusal) => {
                    self.lose(rest, refusal);
                    return Append::Dropped;
                }
            }
            rest = after;
        }
        Append::Written
    }

    /// So many bytes that belong here cannot be had any more: a gap frame will stand for them.
    pub fn lost(&mut self, bytes: u64) {
        let gap = Gap { bytes: 0, lines: 0, reason: GapReason::Missing };
        let owed = self.owed.get_or_insert(Owed { offset: self.offset, gap });
        owed.gap.bytes += bytes;
        self.offset += bytes;
    }

    /// Adds a note. One that there is no room for is lost: it says only how to cut lines.
    pub fn note(&mut self, time: Nanos, note: Note) {
        let noted = self.append_frame(&[], Kind::Note, time, &note.to_payload());
        if let Err(refusal) = noted.and_then(|()| self.confirm()) {
            self.report(refusal);
        }
    }

    /// After [`Append::Full`]: whether it is worth trying again. Cheap enough to ask often.
    pub fn has_room(&mut self) -> bool {
        if self.is_known_full() {
            return false;
        }
        let wanted = self.quota.segment_bytes;
        match self.quota.room(&self.disk, wanted, self.active.header.number, false) {
            Ok(Room::Lacking(_)) => {
                self.full_until = Some(Instant::now() + self.recheck);
                false
            }
            // If the disk cannot be asked, the write will say why.
            Ok(Room::Enough) | Err(_) => true,
        }
    }

    /// What is to be done from time to time: syncs when that is due, and looks whether the
    /// directory is still there. Says when it wants to be called again; to be called after
    /// writing and then.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        match self.syncer.tick(now, &self.active.file) {
            Ok(Tick { started, next }) => {
                if started {
                    self.watch();
                }
                next
            }
            Err(error) => {
                self.report(Refusal::SyncFailed(error));
                None
            }
        }
    }

    /// Ends the spool: the last gap frame, the exit record that says how much was taken (up to
    /// [`offset`](Self::offset), which becomes its `bytes_spooled`), and a sync.
    ///
    /// The record comes first, so that who delivers need not wait for the disk: it counts what
    /// should be there, and if power is lost now, the reader says what is not.
    pub fn finish(mut self, exit: &Exit) -> Result<(), FinishError> {
        self.watch();
        // If this fails, the exit record says how much is missing.
        drop(self.pay(exit.ended));
        let exit = Exit { bytes_spooled: self.offset, ..exit.clone() };
        if self.position.is_some() {
            // Its room is kept with that for the exit record. It comes first, since who delivers may
            // remove the spool as soon as there is an exit record.
            let reserve = self.dir.join(RESERVE);
            let kept = remove_if_there(&self.disk, &reserve).and_then(|()| self.keep_position());
            if let Err(source) = kept {
                return Err(FinishError::Exit { dir: self.dir, source });
            }
        }
        if let Err(source) = self.write_exit(&exit) {
            return Err(FinishError::Exit { dir: self.dir, source });
        }
        if self.stopped {
            return Ok(());
        }
        pages::give_back();
        let synced = self.syncer.finish(&self.active.file);
        synced.map_err(|source| FinishError::Sync { dir: self.dir, source })
    }
}

#[cfg(test)]
mod tests;
