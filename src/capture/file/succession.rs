//! Which file to read when one is read: the oldest of those written after it.
//!
//! Apart from the follower because it is about several files at one moment, while others rename them. Nothing is
//! remembered between two calls: the folder is listed, and what was found is opened and compared before it is believed.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::beneath::open_file;
use super::content::{Content, Stamp};
use super::position::Identity;
use super::rotation::{Sibling, Style, siblings};
use crate::record::Nanos;

/// Files may be renamed between list and open; then the list is made again.
const TRIES: usize = 8;

/// File systems keep times that are so much older than the clock's.
const COARSE: i64 = 100_000_000;

/// The file that was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    pub(super) file: Identity,
    pub(super) modified: Nanos,
}

/// A file that was found and opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) content: Content,
    pub(super) stamp: Stamp,
    pub(super) path: PathBuf,
}

/// What is known of the files before the one looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    /// All of them are read or not wanted.
    All,
    /// None of them.
    None,
    /// Those that nothing was written to since then.
    Since(Nanos),
    /// Those up to this one.
    File(Previous),
}

/// What comes after a file.
#[derive(Debug)]
pub(super) enum Next {
    /// This one.
    File(Opened),
    /// A rotated one that we may not open, nor wait for: what came after it would be lost too.
    Denied(Sibling),
    /// None yet.
    Missing,
}

/// Opens a file; `None` if it is not there.
pub(super) fn open(path: &Path, root: Option<&Path>) -> io::Result<Option<Opened>> {
    let file = match open_file(path, root) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file?,
    };
    let gzip = path.extension().is_some_and(|extension| extension == "gz");
    let content = Content::new(file, gzip);
    let stamp = content.stamp()?;
    Ok(Some(Opened { content, stamp, path: path.to_owned() }))
}

/// What is at a path; `None` if nothing is.
pub(super) fn look(path: &Path) -> io::Result<Option<Stamp>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(Stamp::of(&metadata))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The file to read next.
///
/// `passed` is the inode of a file after that one which was empty: nothing but that says which it is.
pub(super) fn next(
    path: &Path,
    root: Option<&Path>,
    after: After,
    passed: Option<u64>,
) -> io::Result<Next> {
    for _ in 0..TRIES {
        // First the path, then the list: what is renamed in between is in the list, or is what was opened. What is
        // newer than that then waits for the next call.
        let live = open(path, root)?;
        let found = newer(path, root, after, live.as_ref().map(|live| live.stamp))?;
        let passed = found.iter().rposition(|one| Some(one.stamp.inode) == passed);
        let Some(first) = found.get(passed.map_or(0, |index| index + 1)) else {
            return Ok(live.map_or(Next::Missing, Next::File));
        };
        match open(&first.path, root) {
            Ok(Some(opened)) if opened.stamp.is_same_file(&first.stamp) => {
                return Ok(Next::File(opened));
            }
            // It was renamed.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Ok(Next::Denied(first.clone()));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::ResourceBusy, "it is being renamed all the time"))
}

/// Whether files have been rotated since this one, which is not at its path any more.
pub(super) fn has_newer(path: &Path, root: Option<&Path>, previous: Previous) -> io::Result<bool> {
    Ok(!newer(path, root, After::File(previous), look(path)?)?.is_empty())
}

/// Rotated files that were written after, oldest first.
fn newer(
    path: &Path,
    root: Option<&Path>,
    after: After,
    live: Option<Stamp>,
) -> io::Result<Vec<Sibling>> {
    if let After::All = after {
        return Ok(Vec::new());
    }
    let mut found = siblings(path)?;
    let renamed = |one: &Sibling| live.is_some_and(|live| one.stamp.is_same_file(&live));
    if let Some(index) = found.iter().position(renamed) {
        found.truncate(index);
    }
    let previous = match after {
        After::File(previous) => previous,
        After::Since(since) => {
            let since = Nanos(since.0.saturating_sub(COARSE));
            found.retain(|one| one.name.style == Style::Suffix && one.stamp.modified >= since);
            return Ok(found);
        }
        After::All | After::None => {
            found.retain(|one| one.name.style == Style::Suffix);
            return Ok(found);
        }
    };
    if let Some(index) = position(&found, root, &previous.file) {
        let style = found.get(index).map(|one| one.name.style);
        found = found.split_off(index + 1);
        found.retain(|one| Some(one.name.style) == style);
    } else {
        // Deleted: the rotated files that were written to after it was read.
        found.retain(|one| {
            one.name.style == Style::Suffix && one.stamp.modified >= previous.modified
        });
    }
    Ok(found)
}

/// Finds a file by what is in it: the path itself or a rotated one, plain before compressed.
pub(super) fn find(
    path: &Path,
    root: Option<&Path>,
    file: &Identity,
) -> io::Result<Option<Opened>> {
    if let Some(mut live) = open(path, root)?
        && is(&mut live, file)?
        && live.stamp.inode == file.inode
    {
        return Ok(Some(live));
    }
    if let Some(copy) = find_rotated(path, root, file)? {
        return Ok(Some(copy));
    }
    // Inodes change too, when a volume is moved.
    let Some(mut live) = open(path, root)? else { return Ok(None) };
    Ok((file.head.bytes > 0 && is(&mut live, file)?).then_some(live))
}

/// The same among the rotated files alone.
pub(super) fn find_rotated(
    path: &Path,
    root: Option<&Path>,
    file: &Identity,
) -> io::Result<Option<Opened>> {
    let found = siblings(path)?;
    match position(&found, root, file).and_then(|index| found.get(index)) {
        Some(one) => open(&one.path, root),
        None => Ok(None),
    }
}

/// Which of the files it is: by inode if one has it, else the newest that has what was read.
fn position(found: &[Sibling], root: Option<&Path>, file: &Identity) -> Option<usize> {
    let newest = || found.iter().enumerate().rev();
    let known = |(_, one): &(usize, &Sibling)| one.stamp.inode == file.inode;
    let candidates = newest().filter(known).chain(newest().filter(|one| !known(one)));
    for (index, one) in candidates {
        // Of which nothing was read, all files are the continuation.
        if file.head.bytes == 0 && !known(&(index, one)) {
            continue;
        }
        // One that we may not read, or that is damaged, is not it.
        let Ok(opened) = open(&one.path, root) else { continue };
        if let Some(mut opened) = opened
            && is(&mut opened, file).unwrap_or(false)
        {
            return Some(index);
        }
    }
    None
}

fn is(opened: &mut Opened, file: &Identity) -> io::Result<bool> {
    if file.head.bytes == 0 {
        return Ok(opened.stamp.inode == file.inode);
    }
    opened.content.is(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Between opening the path and listing the folder, what was opened may be renamed twice.
    #[test]
    fn what_is_newer_than_the_opened_file_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        for (name, text) in [("x.log.3", "one"), ("x.log.2", "two"), ("x.log.1", "three")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::write(&path, "four").unwrap();
        let opened = look(&folder.path().join("x.log.2")).unwrap();
        let found = newer(&path, None, After::None, opened).unwrap();
        let names: Vec<_> = found.iter().map(|one| one.path.file_name().unwrap()).collect();
        assert_eq!(names, ["x.log.3"]);
    }
}
