//! How much room the spool may take, and what goes when there is none.
//!
//! Apart from the writer because the limit is one for all writers of a spool folder, who know
//! nothing of each other but what lies there. It is asked once a segment; it decides who must
//! give, and [`tombstone`](super::tombstone) does the dropping.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::dir::{SpoolState, bytes, segments, state, writers_on};
use super::disk::{Disk, Usage};
use super::tombstone::{bury, is_tombstone};
use super::{Settings, position, segment};

/// A segment is never larger (but for a single frame that is).
const MAX_SEGMENT_BYTES: u64 = 16 << 20;

/// Where there are so many writers that each would have less, it has this much; of a small limit a 64th.
const MIN_SEGMENT_BYTES: u64 = 256 << 10;

/// From so many writers on what they take is not measured for each question anew.
const MANY: u64 = 64;

/// What so many writers take is known for so long, if there is room; a process adds what it lets its own take.
const KNOWN: Duration = Duration::from_secs(1);

/// And for so long if there is none.
const KNOWN_FULL: Duration = Duration::from_millis(50);

/// A tombstone is at most an eighth of a segment, and never larger than this.
const MAX_TOMBSTONE_BYTES: u64 = 12 << 10;

/// Held by who drops, so that two do not drop the same.
const DROP_LOCK: &str = ".drop.lock";

/// See the module.
pub(super) struct Quota {
    /// The folder of all writers.
    root: PathBuf,
    /// The directory of this writer.
    own: PathBuf,
    max_bytes: u64,
    /// When the segment is this long, the next is begun. Smaller the more writers there are, since none gives
    /// away the segment that it writes to.
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
        let limit =
            disk.free(&root).map_or(settings.max_bytes, |free| settings.max_bytes.min(share(free)));
        let segment_bytes = segment_bytes(limit, 1);
        Self { root, own, max_bytes: settings.max_bytes, segment_bytes }
    }

    /// Whether this writer, whose segments before `active` are closed, may take `wanted` bytes
    /// more. `takes`: it does, if it may.
    pub(super) fn room<D: Disk>(
        &mut self,
        disk: &D,
        wanted: u64,
        active: u32,
        takes: bool,
    ) -> io::Result<Room> {
        let free = disk.free(&self.root)?;
        let most = self.max_bytes;
        let limit = |usage: &Usage| most.min(share(free.saturating_add(usage.bytes)));
        let lacking =
            |usage: &Usage| usage.bytes.saturating_add(wanted).saturating_sub(limit(usage));
        let is_valid = |usage: &Usage| {
            usage.at.elapsed() < if lacking(usage) == 0 { KNOWN } else { KNOWN_FULL }
        };
        let usage = match disk.known_usage(&self.root).filter(is_valid) {
            Some(usage) => usage,
            None => self.measure(disk)?,
        };
        self.segment_bytes = segment_bytes(limit(&usage), usage.writers);
        // A writer may always have two segments, so that none is starved by the others: the
        // last segment is never released, and until there is a next one nothing would move.
        let lacking = if self.has_closed(disk, active) { lacking(&usage) } else { 0 };
        if usage.writers >= MANY {
            let taken = if takes && lacking == 0 { wanted } else { 0 };
            disk.know_usage(&self.root, Usage { bytes: usage.bytes + taken, ..usage });
        }
        Ok(if lacking == 0 { Room::Enough } else { Room::Lacking(lacking) })
    }

    /// What all writers take now.
    fn measure<D: Disk>(&self, disk: &D) -> io::Result<Usage> {
        let dirs = writers_on(disk, &self.root)?;
        // What we may not look into counts for nothing.
        let bytes = dirs.iter().map(|dir| bytes(disk, dir).unwrap_or_default()).sum();
        Ok(Usage { writers: dirs.len() as u64, bytes, at: Instant::now() })
    }

    /// Whether there is something before the segment that this writer writes to.
    fn has_closed<D: Disk>(&self, disk: &D, active: u32) -> bool {
        let own = segments(disk, &self.own).unwrap_or_default();
        own.into_iter().any(|number| {
            number < active && matches!(is_tombstone(disk, &self.own, number), Ok(false))
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
        // Where another drops at this moment we keep to our own: nobody waits for anybody.
        let lock = disk.try_lock(&self.root.join(DROP_LOCK)).ok().flatten();
        let mut dirs = vec![(self.own.clone(), active)];
        if lock.is_some() {
            let others = writers_on(disk, &self.root)?.into_iter().filter(|dir| {
                *dir != self.own && state(disk, dir).is_ok_and(|state| state != SpoolState::Live)
            });
            dirs.extend(others.map(|dir| (dir, u32::MAX)));
        }
        let tombstone_bytes = (self.segment_bytes / 8).min(MAX_TOMBSTONE_BYTES);
        let mut freed = 0;
        while freed < wanted {
            let Some((dir, number)) = oldest(disk, &dirs) else { break };
            if dir != self.own && segments(disk, &dir).is_ok_and(|all| all.last() == Some(&number))
            {
                // Where it cannot be kept, its input may be read again: better than no room.
                drop(position::keep_last(disk, &dir));
            }
            match bury(disk, &dir, number, tombstone_bytes) {
                Ok(bytes) => freed += bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if dir == self.own => return Err(error),
                // Not ours to change, perhaps.
                Err(_) => dirs.retain(|(other, _)| *other != dir),
            }
        }
        // So that no other drops for the same lack.
        if let Some(usage) = disk.known_usage(&self.root) {
            let bytes = (usage.bytes + self.segment_bytes).saturating_sub(freed);
            disk.know_usage(&self.root, Usage { bytes, ..usage });
        }
        Ok(freed)
    }
}

/// The segment that was written to the longest time ago, of those before the given numbers that
/// hold something.
fn oldest<D: Disk>(disk: &D, dirs: &[(PathBuf, u32)]) -> Option<(PathBuf, u32)> {
    let (_, dir, number) = dirs
        .iter()
        .filter_map(|(dir, end)| {
            let (modified, number) = first_droppable(disk, dir, *end)?;
            Some((modified, dir.clone(), number))
        })
        .min()?;
    Some((dir, number))
}

/// The first segment before `end` that holds something, and its age.
fn first_droppable<D: Disk>(disk: &D, dir: &Path, end: u32) -> Option<(SystemTime, u32)> {
    let numbers = segments(disk, dir).unwrap_or_default();
    numbers.into_iter().take_while(|number| *number < end).find_map(|number| {
        let stat = disk.stat(&dir.join(segment::file_name(number))).ok()?;
        let droppable = stat.len > segment::HEADER_LEN as u64
            // One that cannot be read can be dropped all the same.
            && !matches!(is_tombstone(disk, dir, number), Ok(true));
        droppable.then_some((stat.modified, number))
    })
}

/// An eighth of the limit, shared among the writers.
fn segment_bytes(limit: u64, writers: u64) -> u64 {
    let least = (limit / 64).clamp(segment::HEADER_LEN as u64 + 1, MIN_SEGMENT_BYTES);
    (limit / 8 / writers.max(1)).clamp(least, MAX_SEGMENT_BYTES)
}

/// The share of the free disk that the spool may take: 80 %.
fn share(bytes: u64) -> u64 {
    bytes - bytes / 5
}
