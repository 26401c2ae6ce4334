//! How much room the spool may take, and what goes when there is none.
//!
//! Apart from the writer because the limit is one for all writers of a spool folder, who know
//! nothing of each other but what lies there. It is asked once a segment; it decides who must
//! give, and [`tombstone`](super::tombstone) does the dropping.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::dir::{SpoolState, segments, state, writers};
use super::disk::Disk;
use super::tombstone::{bury, is_tombstone};
use super::{Settings, segment};

/// A segment is never larger (but for a single frame that is).
const MAX_SEGMENT_BYTES: u64 = 16 << 20;

/// Held by who drops, so that two do not drop the same.
const DROP_LOCK: &str = ".drop.lock";

/// See the module.
pub(super) struct Quota {
    /// The folder of all writers.
    root: PathBuf,
    /// The directory of this writer.
    own: PathBuf,
    max_bytes: u64,
    /// When the segment is this long, the next is begun.
    pub(super) segment_bytes: u64,
}

/// The answer to a question for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room.
    Enough,
    /// There is none for this many bytes.
    Lacking(u64),
}

impl Quota {
    pub(super) fn new<D: Disk>(disk: &D, settings: &Settings, own: PathBuf) -> Self {
        let root = settings.dir.clone();
        // What the disk has may change; the size of the segments need not follow it.
        let limit =
            disk.free(&root).map_or(settings.max_bytes, |free| settings.max_bytes.min(share(free)));
        let segment_bytes = (limit / 8).clamp(segment::HEADER_LEN as u64 + 1, MAX_SEGMENT_BYTES);
        Self { root, own, max_bytes: settings.max_bytes, segment_bytes }
    }

    /// Whether this writer, whose segments before `active` are closed, may take `wanted` bytes
    /// more.
    pub(super) fn room<D: Disk>(&self, disk: &D, wanted: u64, active: u32) -> io::Result<Room> {
        let mut used = 0;
        let mut own_closed = false;
        for dir in writers(disk, &self.root)? {
            for number in tolerate_absence(segments(disk, &dir))?.unwrap_or_default() {
                let path = dir.join(segment::file_name(number));
                used += tolerate_absence(disk.stat(&path))?.map_or(0, |stat| stat.len);
                own_closed = own_closed
                    || dir == self.own
                        && number < active
                        && tolerate_absence(is_tombstone(disk, &dir, number))? == Some(false);
            }
        }
        // A writer may always have two segments, so that none is starved by the others: the
        // last segment is never released, and until there is a next one nothing would move.
        if !own_closed {
            return Ok(Room::Enough);
        }
        let limit = self.max_bytes.min(share(disk.free(&self.root)?.saturating_add(used)));
        Ok(match used.saturating_add(wanted).checked_sub(limit) {
            None | Some(0) => Room::Enough,
            Some(lacking) => Room::Lacking(lacking),
        })
    }

    /// Drops the oldest segments that may be dropped, until `wanted` bytes are free; returns how
    /// many are. Those are the closed ones of this writer and all of writers that are gone:
    /// nobody drops from a writer that lives but itself.
    pub(super) fn drop_oldest<D: Disk>(
        &self,
        disk: &D,
        wanted: u64,
        active: u32,
    ) -> io::Result<u64> {
        let _lock = disk.lock(&self.root.join(DROP_LOCK))?;
        let mut freed = 0;
        while freed < wanted {
            let Some((dir, number)) = self.oldest(disk, active)? else { break };
            freed += tolerate_absence(bury(disk, &dir, number))?.unwrap_or(0);
        }
        Ok(freed)
    }

    fn oldest<D: Disk>(&self, disk: &D, active: u32) -> io::Result<Option<(PathBuf, u32)>> {
        let mut oldest: Option<(SystemTime, PathBuf, u32)> = None;
        for dir in writers(disk, &self.root)? {
            let end = if dir == self.own {
                active
            } else if state(disk, &dir).is_ok_and(|state| state != SpoolState::Live) {
                u32::MAX
            } else {
                continue;
            };
            let Some(number) = first_droppable(disk, &dir, end)? else { continue };
            let path = dir.join(segment::file_name(number));
            let Some(stat) = tolerate_absence(disk.stat(&path))? else { continue };
            if oldest.as_ref().is_none_or(|(modified, ..)| stat.modified < *modified) {
                oldest = Some((stat.modified, dir, number));
            }
        }
        Ok(oldest.map(|(_, dir, number)| (dir, number)))
    }
}

/// The first segment before `end` that holds something.
fn first_droppable<D: Disk>(disk: &D, dir: &Path, end: u32) -> io::Result<Option<u32>> {
    for number in tolerate_absence(segments(disk, dir))?.unwrap_or_default() {
        if number >= end {
            break;
        }
        let path = dir.join(segment::file_name(number));
        let holds_something = tolerate_absence(disk.stat(&path))?
            .is_some_and(|stat| stat.len > segment::HEADER_LEN as u64);
        if holds_something && tolerate_absence(is_tombstone(disk, dir, number))? == Some(false) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// The share of the free disk that the spool may take: 80 %.
fn share(bytes: u64) -> u64 {
    bytes - bytes / 5
}

/// Who delivers also deletes: what was listed a moment ago may be gone.
fn tolerate_absence<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
