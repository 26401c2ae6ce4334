//! Where in an input the bytes of a spool come from: found again after a crash, kept when the spool
//! itself is removed.
//!
//! Apart because readers of lines know nothing of it. What a position says is the business of
//! whoever captures from an input that can be read again (a file); here it is bytes with a
//! place in the writer's stream. See "Positions" in [`spool`](super).

use std::io::{self, ErrorKind};
use std::path::Path;

use super::cursor::{Cursor, Here};
use super::dir::{Durability, EXIT, segments, write_file};
use super::disk::{Disk, RealDisk, read_all, remove_if_there};
use super::segment::{self, HEADER_LEN, Header};
use super::{Kind, frame};
use crate::record::{Gap, WriterId};

/// The folder of kept positions, among the writers' directories.
const FOLDER: &str = ".positions";

/// What one read asks for.
const PIECE: usize = 64 << 10;

/// The last position of a writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// What was given to [`SpoolWriter::append_at`](super::SpoolWriter::append_at).
    pub payload: Vec<u8>,
    /// So many bytes of the writer's stream come after it, counting those that a gap stands for.
    pub following: u64,
}

/// A position whose writer has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The writer.
    pub writer: WriterId,
    /// How far it came.
    pub position: Position,
}

/// The last position in the spool of a writer that is gone; none if it has none.
pub fn last_position(dir: &Path) -> io::Result<Option<Position>> {
    last(&RealDisk, dir)
}

/// All positions that are kept below `root`, in order of their writers' starts.
pub fn kept_positions(root: &Path) -> io::Result<Vec<Kept>> {
    let folder = root.join(FOLDER);
    let mut names = match RealDisk.names(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    names.sort_unstable();
    let mut kept = Vec::new();
    for name in names {
        // Anything else is a temporary file of a writer that died.
        let Ok(writer) = name.parse() else { continue };
        let contents = match read_all(&RealDisk, &folder.join(&name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            contents => contents?,
        };
        kept.extend(decode(&contents).map(|position| Kept { writer, position }));
    }
    Ok(kept)
}

/// A later position stands for this one.
pub fn forget_position(root: &Path, writer: WriterId) -> io::Result<()> {
    remove_if_there(&RealDisk, &root.join(FOLDER).join(writer.to_string()))
}

/// What is kept of the writer with this directory.
#[cfg(test)]
pub(super) fn kept_on<D: Disk>(disk: &D, dir: &Path) -> Option<Position> {
    let path = dir.parent()?.join(FOLDER).join(dir.file_name()?);
    decode(&read_all(disk, &path).ok()?)
}

/// Keeps the position of the writer with this directory.
pub(super) fn keep<D: Disk>(
    disk: &D,
    dir: &Path,
    position: &Position,
    durability: Durability,
) -> io::Result<()> {
    let root = dir.parent().ok_or(ErrorKind::InvalidInput)?;
    let name = dir.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?;
    let folder = root.join(FOLDER);
    disk.create_dir(&folder)?;
    write_file(disk, &folder, name, &encode(position), durability)
}

/// Keeps the last position of a writer that is gone and could not do so itself.
pub(super) fn keep_last<D: Disk>(disk: &D, dir: &Path) -> io::Result<()> {
    if disk.names(dir)?.iter().any(|name| name == EXIT) {
        return Ok(());
    }
    match last(disk, dir)? {
        Some(position) => keep(disk, dir, &position, Durability::Power),
        None => Ok(()),
    }
}

pub(super) fn last<D: Disk>(disk: &D, dir: &Path) -> io::Result<Option<Position>> {
    let mut end = None;
    for number in segments(disk, dir)?.into_iter().rev() {
        let file = match disk.open(&dir.join(segment::file_name(number))) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file?,
        };
        let mut cursor = Cursor::new(file, 0, PIECE);
        let mut at = Header::decode(cursor.peek(HEADER_LEN)?).ok().map(|header| header.base);
        let mut position: Option<(Vec<u8>, u64)> = None;
        cursor.seek(HEADER_LEN as u64);
        loop {
            let found = match cursor.look()? {
                Here::Frame(found) => found,
                Here::Nothing => break,
                here @ (Here::Part(_) | Here::Damage(_)) => match cursor.resync(here, at)? {
                    Some(found) => found,
                    None => break,
                },
            };
            let payload = cursor.payload(found)?;
            let bytes = match found.kind {
                Kind::Stdout | Kind::Stderr => u64::from(found.len),
                Kind::Gap => frame::decode_gap(payload).map_or(0, |Gap { bytes, .. }| bytes),
                Kind::Note => 0,
                Kind::Position => {
                    position = Some((payload.to_vec(), found.offset));
                    0
                }
            };
            at = Some(found.offset.saturating_add(bytes));
            cursor.pass(found.whole_len());
        }
        end = end.or(at);
        if let Some((payload, offset)) = position {
            let following = end.map_or(0, |end| end.saturating_sub(offset));
            return Ok(Some(Position { payload, following }));
        }
    }
    Ok(None)
}

/// A line with the number, then what the position says.
fn encode(position: &Position) -> Vec<u8> {
    let mut contents = format!("{}\n", position.following).into_bytes();
    contents.extend_from_slice(&position.payload);
    contents
}

fn decode(contents: &[u8]) -> Option<Position> {
    let end = memchr::memchr(b'\n', contents)?;
    let (number, payload) = contents.split_at_checked(end)?;
    let following = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some(Position { payload: payload.get(1..)?.to_vec(), following })
}
