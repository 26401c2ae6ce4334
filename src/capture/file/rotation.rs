//! The names that rotated files get, and their order.
//!
//! ```text
//! x.log.1  x.log.2.gz                     logrotate, Python, lumberjack …   older the higher
//! x.log-20261125  x.log.20261125-101112   logrotate dateext, kubelet        older the lower
//! x-20261125.log  x-2026-11-25T10-11-12.345.log                             the same, before the extension
//! ```
//!
//! Apart because it is about names alone: which file is the one looked for is said by its contents.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use std::{fs, io};

use super::content::Stamp;
use crate::record::Nanos;

/// Numbers of up to so many digits count rotations; longer ones are dates or seconds.
const MAX_COUNT: usize = MIN_DATE - 1;

/// Lists of a folder until two of them agree.
const TRIES: usize = 8;

/// A date or a time in seconds has as many digits at least: `x-2.log` is another step's, not an older `x.log`.
const MIN_DATE: usize = 8;

/// Where the mark of a rotation stands in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Behind the whole name.
    Suffix,
    /// Before the extension.
    Infix,
}

/// What a rotated file's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotated {
    pub(super) style: Style,
    pub(super) mark: Mark,
    pub(super) gzip: bool,
}

/// Which rotation it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// So many rotations ago.
    Count(u32),
    /// At this time, as text that sorts.
    Date(Vec<u8>),
}

/// A rotated file beside the one that is followed.
#[derive(Clone, Debug)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) name: Rotated,
    pub(super) stamp: Stamp,
    /// When it was made, where the file system says that. Neither a late write nor a rename changes it.
    born: Option<Nanos>,
}

/// What `name` says if it may be a rotated `base`.
pub(super) fn rotated(base: &OsStr, name: &OsStr) -> Option<Rotated> {
    let (base, name) = (base.as_bytes(), name.as_bytes());
    let (plain, gzip) = match name.strip_suffix(b".gz") {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    if let Some(rest) = plain.strip_prefix(base) {
        if rest.is_empty() && gzip {
            return Some(Rotated { style: Style::Suffix, mark: Mark::Count(0), gzip });
        }
        let (separator, mark) = rest.split_first()?;
        let mark = mark_of(*separator, mark)?;
        return Some(Rotated { style: Style::Suffix, mark, gzip });
    }
    let dot = memchr::memrchr(b'.', base).filter(|dot| *dot > 0)?;
    let (stem, extension) = base.split_at(dot);
    let (separator, mark) = plain.strip_prefix(stem)?.strip_suffix(extension)?.split_first()?;
    let mark = mark_of(*separator, mark).filter(|mark| matches!(mark, Mark::Date(_)))?;
    Some(Rotated { style: Style::Infix, mark, gzip })
}

/// The name that a rotated file had, if the mark stands behind it.
pub fn base_of(name: &OsStr) -> Option<&OsStr> {
    let bytes = name.as_bytes();
    // The mark itself may have separators in it: the longest one that is a mark is meant.
    (1..bytes.len()).find_map(|end| {
        let base = OsStr::from_bytes(bytes.get(..end)?);
        rotated(base, name).filter(|found| found.style == Style::Suffix).map(|_| base)
    })
}

/// The names in a folder that others there are rotated files of, with the mark behind.
pub fn rotated_bases(folder: &Path) -> io::Result<HashSet<OsString>> {
    let entries = fs::read_dir(folder)?.flatten();
    Ok(entries.filter_map(|entry| base_of(&entry.file_name()).map(OsStr::to_owned)).collect())
}

fn mark_of(separator: u8, mark: &[u8]) -> Option<Mark> {
    let (first, last) = (mark.first()?, mark.last()?);
    let is_mark = matches!(separator, b'.' | b'-' | b'_')
        && first.is_ascii_digit()
        && (last.is_ascii_digit() || *last == b'Z')
        && mark.iter().all(|byte| {
            matches!(byte, b'0'..=b'9' | b'T' | b'Z' | b':' | b'.' | b'_' | b'+' | b'-')
        });
    if !is_mark {
        return None;
    }
    let count = std::str::from_utf8(mark).ok().filter(|text| text.len() <= MAX_COUNT);
    match count.and_then(|text| text.parse().ok()) {
        // A number is one only behind a dot: `train-2` is a step.
        Some(count) => (separator == b'.').then_some(Mark::Count(count)),
        None => (mark.iter().filter(|byte| byte.is_ascii_digit()).count() >= MIN_DATE)
            .then(|| Mark::Date(mark.to_vec())),
    }
}

/// The rotated files beside `path`, oldest first as far as their names say; where one is there twice, plain and
/// compressed, only the plain one.
pub(super) fn siblings(path: &Path) -> io::Result<Vec<Sibling>> {
    // What is renamed while a folder is listed may be in the list twice or not at all: two lists have to agree.
    let mut found = list(path)?;
    for _ in 0..TRIES {
        let again = list(path)?;
        let same = |(one, other): (&Sibling, &Sibling)| {
            one.path == other.path && one.stamp.is_same_file(&other.stamp)
        };
        if found.len() == again.len() && found.iter().zip(&again).all(same) {
            return Ok(in_order(again));
        }
        found = again;
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "files are being renamed all the time"))
}

/// The rotated files beside `path`, by name.
fn list(path: &Path) -> io::Result<Vec<Sibling>> {
    let (Some(folder), Some(base)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = rotated(base, &entry.file_name()) else { continue };
        // One that is gone again, or is a link, is none.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let born = born.map(|born| Nanos(born.as_nanos() as i64));
            found.push(Sibling { path: entry.path(), name, stamp: Stamp::of(&metadata), born });
        }
    }
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Oldest first, each once.
fn in_order(mut found: Vec<Sibling>) -> Vec<Sibling> {
    let plain: Vec<_> =
        found.iter().filter(|one| !one.name.gzip).map(|one| one.name.clone()).collect();
    found.retain(|one| {
        !one.name.gzip
            || !plain
                .iter()
                .any(|other| (other.style, &other.mark) == (one.name.style, &one.name.mark))
    });
    sort(&mut found);
    found
}

/// Oldest first: by their marks where all are of one kind, else by when they were written.
///
/// Of numbers the highest is the oldest, and dates are written so that they sort. But some count on, and some begin a date
/// with its day: then the times say so, if all of them do.
fn sort(found: &mut [Sibling]) {
    let counts = found.iter().filter(|one| matches!(one.name.mark, Mark::Count(_))).count();
    let upwards = |one: &Sibling, other: &Sibling| match (&one.name.mark, &other.name.mark) {
        (Mark::Date(one), Mark::Date(other)) => one.cmp(other),
        (Mark::Count(one), Mark::Count(other)) => one.cmp(other),
        // Not both kinds here.
        _ => Ordering::Equal,
    };
    if counts > 0 && counts < found.len() {
        found.sort_by_key(|one| one.stamp.modified);
        return;
    }
    found.sort_by(upwards);
    if times_agree(found) {
        return;
    }
    if counts > 0 {
        found.reverse();
    }
    let mut in_time: Vec<Sibling> = found.to_vec();
    // Those of one moment stay as their names have them.
    in_time.sort_by_key(|one| one.stamp.modified);
    if times_agree(&in_time) && in_time.is_sorted_by(|one, other| one.born < other.born) {
        found.clone_from_slice(&in_time);
    }
}

/// Whether these were both made and written one after the other. One alone may mislead: an old file may be written to
/// late. A compressed one was made late too, so that nothing is known where there is one.
fn times_agree(found: &[Sibling]) -> bool {
    let modified = || found.iter().map(|one| one.stamp.modified);
    let born = || found.iter().map(|one| one.born);
    modified().is_sorted()
        && modified().min() != modified().max()
        && found.iter().all(|one| one.born.is_some() && !one.name.gzip)
        && born().is_sorted()
        && born().min() != born().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let count = |count| Some((Style::Suffix, Mark::Count(count), false));
        let date = |style, date: &str, gzip| Some((style, Mark::Date(date.into()), gzip));
        for (base, name, expected) in [
            ("x.log", "x.log", None),
            ("x.log", "x.log.1", count(1)),
            ("x.log", "x.log.1000", count(1000)),
            ("x.log", "x.log.12.gz", Some((Style::Suffix, Mark::Count(12), true))),
            ("x.log", "x.log.gz", Some((Style::Suffix, Mark::Count(0), true))),
            ("x.log", "x.log-20261125", date(Style::Suffix, "20261125", false)),
            ("0.log", "0.log.20261125-101112.gz", date(Style::Suffix, "20261125-101112", true)),
            ("x.log", "x-20261125.log", date(Style::Infix, "20261125", false)),
            (
                "x.log",
                "x-2026-11-25T10-11-12.345.log.gz",
                date(Style::Infix, "2026-11-25T10-11-12.345", true),
            ),
            ("x.log", "x.log.2026-11-25", date(Style::Suffix, "2026-11-25", false)),
            ("train.log", "train-2.log", None),
            ("train.log", "train-2026.log", None),
            ("train", "train-2", None),
            ("train.log", "train.log.tmp", None),
            ("0.log", "0.log.20261125-101112.gz.tmp", None),
            ("x.log", "y.log.1", None),
            (".log", "-20261125.log", None),
        ] {
            let found = rotated(base.as_ref(), name.as_ref());
            let found = found.map(|found| (found.style, found.mark, found.gzip));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_name_that_a_rotated_file_had() {
        for (name, expected) in [
            ("x.log.1", Some("x.log")),
            ("x.log.2.gz", Some("x.log")),
            ("x.log.gz", Some("x.log")),
            ("0.log.20261125-101112", Some("0.log")),
            ("train-2", None),
            ("x.log", None),
        ] {
            assert_eq!(base_of(name.as_ref()), expected.map(OsStr::new), "{name}");
        }
    }
}
