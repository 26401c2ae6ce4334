//! Tombstones: what stands in place of a segment that was dropped.
//!
//! Apart from the quota, which decides that something must go; here it goes, such that a reader
//! learns exactly what is missing. See "Dropping" in [`spool`](super).

use std::io::{self, ErrorKind};
use std::path::Path;

use memchr::memchr_iter;

use super::cursor::{Cursor, Here};
use super::disk::{Disk, DiskFile, append_all, is_full, remove_if_there};
use super::segment::{self, HEADER_LEN, Header};
use super::{Kind, dir, frame};
use crate::record::{Gap, GapReason, Nanos};

/// Bytes of a gap frame, about.
const GRAVE_BYTES: u64 = 96;

/// What one read asks for; the process that captures must stay small.
const PIECE: usize = 64 << 10;

/// One gap frame of a tombstone.
#[derive(Clone, Debug)]
struct Grave {
    time: Nanos,
    offset: u64,
    gap: Gap,
}

/// Replaces a segment by a tombstone and merges it with those before it; returns the bytes that
/// are free now. An error of kind `NotFound` says that somebody else has removed the segment.
///
/// A tombstone has one gap frame a dropped segment, so that a reader who has read some of them
/// is told of the others alone. When it outgrows `max_bytes`, the oldest are added up.
pub(super) fn bury<D: Disk>(disk: &D, dir: &Path, number: u32, max_bytes: u64) -> io::Result<u64> {
    let path = dir.join(segment::file_name(number));
    let old_len = disk.stat(&path)?.len;
    let numbers = dir::segments(disk, dir)?;
    let next_base = numbers
        .iter()
        .find(|other| **other > number)
        .and_then(|next| base(disk, dir, *next).transpose())
        .transpose()?;

    let file = disk.open(&path)?;
    let Ok(grave) = survey(&file, next_base) else {
        // What the disk will not read cannot be counted. The reader finds the hole by the offsets.
        disk.remove(&path)?;
        return Ok(old_len);
    };
    let mut graves = Vec::new();
    let mut merged = Vec::new();
    for earlier in numbers.into_iter().filter(|other| *other < number) {
        let path = dir.join(segment::file_name(earlier));
        if let Some(mut earlier) = read(&disk.open(&path)?)? {
            graves.append(&mut earlier);
            merged.push(path);
        }
    }
    graves.push(grave);
    let contents = encode(number, compact(graves, (max_bytes / GRAVE_BYTES).max(1) as usize));

    let new_len = contents.len() as u64;
    match write(disk, dir, &path, &contents) {
        Err(error) if is_full(&error) => {
            // Without room for a tombstone the segment goes first. A crash in between leaves a
            // hole, which the reader finds by the offsets.
            disk.remove(&path)?;
            if write(disk, dir, &path, &contents).is_err() {
                return Ok(old_len);
            }
        }
        result => result?,
    }
    let mut freed = old_len.saturating_sub(new_len);
    for path in merged {
        freed += disk.stat(&path).map_or(0, |stat| stat.len);
        remove_if_there(disk, &path)?;
    }
    Ok(freed)
}

/// Whether a segment is a tombstone.
pub(super) fn is_tombstone<D: Disk>(disk: &D, dir: &Path, number: u32) -> io::Result<bool> {
    Ok(read(&disk.open(&dir.join(segment::file_name(number)))?)?.is_some())
}

/// The base offset of a segment; `None` if it does not say.
fn base<D: Disk>(disk: &D, dir: &Path, number: u32) -> io::Result<Option<u64>> {
    let file = disk.open(&dir.join(segment::file_name(number)))?;
    let mut cursor = Cursor::new(file, 0, HEADER_LEN);
    Ok(Header::decode(cursor.peek(HEADER_LEN)?).ok().map(|header| header.base))
}

/// What a segment stands for, from its base to the next segment's base if that is known.
fn survey<F: DiskFile>(file: &F, next_base: Option<u64>) -> io::Result<Grave> {
    let mut cursor = Cursor::new(file.clone(), 0, PIECE);
    let header = Header::decode(cursor.peek(HEADER_LEN)?).ok();
    let mut time = header.map_or(Nanos(0), |header| header.time);
    let mut start = header.map(|header| header.base);
    let mut end = start;
    let mut lines = 0;
    cursor.seek(HEADER_LEN as u64);
    loop {
        let found = match cursor.look()? {
            Here::Frame(frame) => frame,
            Here::Nothing => break,
            here @ (Here::Part(_) | Here::Damage(_)) => match cursor.resync(here, end)? {
                Some(frame) => frame,
                None => break,
            },
        };
        let payload = cursor.payload(found)?;
        let bytes = match found.kind {
            Kind::Stdout | Kind::Stderr => {
                lines += memchr_iter(b'\n', payload).count() as u64;
                u64::from(found.len)
            }
            Kind::Gap => frame::decode_gap(payload).map_or(0, |gap| {
                lines += gap.lines;
                gap.bytes
            }),
            Kind::Note | Kind::Position => 0,
        };
        start.get_or_insert(found.offset);
        end = Some(found.offset.saturating_add(bytes));
        time = found.time;
        cursor.pass(found.whole_len());
    }
    let start = start.or(next_base).unwrap_or(0);
    let end = next_base.or(end).unwrap_or(start).max(start);
    let gap = Gap { bytes: end - start, lines, reason: GapReason::DroppedOldest };
    Ok(Grave { time, offset: start, gap })
}

/// The gaps of a tombstone; `None` if it is a segment of another kind.
fn read<F: DiskFile>(file: &F) -> io::Result<Option<Vec<Grave>>> {
    let mut cursor = Cursor::new(file.clone(), HEADER_LEN as u64, 256);
    let mut graves = Vec::new();
    // Bytes of a step say what they are by their header, and may be many.
    let first = frame::decode(cursor.peek(frame::HEADER_LEN)?);
    if first.is_some_and(|first| first.kind.is_data()) {
        return Ok(None);
    }
    while let Here::Frame(found) = cursor.look()? {
        let gap = frame::decode_gap(cursor.payload(found)?);
        match gap.filter(|gap| found.kind == Kind::Gap && gap.reason == GapReason::DroppedOldest) {
            Some(gap) => graves.push(Grave { time: found.time, offset: found.offset, gap }),
            None => return Ok(None),
        }
        cursor.pass(found.whole_len());
    }
    Ok((!graves.is_empty()).then_some(graves))
}

/// Makes them few enough, the oldest first.
fn compact(graves: Vec<Grave>, max: usize) -> Vec<Grave> {
    let surplus = graves.len().saturating_sub(max);
    let mut kept: Vec<Grave> = Vec::with_capacity(graves.len());
    for (index, grave) in graves.into_iter().enumerate() {
        match kept.last_mut() {
            Some(last)
                if grave.offset == last.offset + last.gap.bytes
                    && (index <= surplus || grave.gap.bytes == 0) =>
            {
                last.gap.bytes += grave.gap.bytes;
                last.gap.lines += grave.gap.lines;
                last.time = grave.time;
            }
            _ => kept.push(grave),
        }
    }
    kept
}

fn encode(number: u32, graves: Vec<Grave>) -> Vec<u8> {
    let (base, time) = graves.first().map_or((0, Nanos(0)), |first| (first.offset, first.time));
    let mut contents = Header { number, base, time }.encode().to_vec();
    for grave in graves {
        let payload = frame::encode_gap(&grave.gap);
        contents.extend_from_slice(&frame::encode(Kind::Gap, grave.time, grave.offset, &payload));
        contents.extend_from_slice(&payload);
    }
    contents
}

fn write<D: Disk>(disk: &D, dir: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    let temporary = dir.join("tombstone.tmp");
    remove_if_there(disk, &temporary)?;
    let written = disk
        .create(&temporary)
        .and_then(|file| append_all(&file, contents, &[]))
        .and_then(|()| disk.rename(&temporary, path));
    if written.is_err() {
        // It holds nothing that is not elsewhere; the error to tell is the first.
        drop(remove_if_there(disk, &temporary));
    }
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(io::Error::other("two processes drop from one spool"))
        }
        written => written,
    }
}
