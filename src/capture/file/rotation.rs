//! The names that rotated files get, and their order.
//!
//! ```text
//! x.log.1  x.log.2.gz                     logrotate, Python, lumberjack …   older the higher
//! x.log-20261125  x.log.20261125-101112   logrotate dateext, kubelet        older the lower
//! x-20261125.log  x-2026-11-25T10-11-12.345.log                             the same, before the extension
//! ```
//!
//! Apart because it is about names alone: which file is the one looked for is said by its contents.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use super::content::Stamp;

/// Numbers up to here count rotations; longer ones are dates or seconds.
const MAX_COUNT: usize = 3;

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
    born: Option<SystemTime>,
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
pub(super) fn base_of(name: &OsStr) -> Option<&OsStr> {
    let bytes = name.as_bytes();
    // The mark itself may have separators in it: the longest one that is a mark is meant.
    (1..bytes.len()).find_map(|end| {
        let base = OsStr::from_bytes(bytes.get(..end)?);
        rotated(base, name).filter(|found| found.style == Style::Suffix).map(|_| base)
    })
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
            let (stamp, born) = (Stamp::of(&metadata), metadata.created().ok());
            found.push(Sibling { path: entry.path(), name, stamp, born });
        }
    }
    let plain: Vec<_> =
        found.iter().filter(|one| !one.name.gzip).map(|one| one.name.clone()).collect();
    found.retain(|one| {
        !one.name.gzip
            || !plain
                .iter()
                .any(|other| (other.style, &other.mark) == (one.name.style, &one.name.mark))
    });
    sort(&mut found);
    Ok(found)
}

/// Oldest first: by their marks where all are of one kind, else by when they were written.
fn sort(found: &mut [Sibling]) {
    let counts = found.iter().filter(|one| matches!(one.name.mark, Mark::Count(_))).count();
    if counts == 0 || counts == found.len() {
        found.sort_by(|one, other| match (&one.name.mark, &other.name.mark) {
            (Mark::Date(one), Mark::Date(other)) => one.cmp(other),
            (Mark::Count(one), Mark::Count(other)) => other.cmp(one),
            // Not both kinds here.
            _ => std::cmp::Ordering::Equal,
        });
        if counts > 0 && is_newest_first(found) {
            found.reverse();
        }
    } else {
        found.sort_by_key(|one| one.stamp.modified);
    }
}

/// Most count what is old: the highest number was written first. Some count on, and then the times say so: both
/// when the files were made and when they were written. One alone may mislead: an old file may be written to
/// late, and a compressed one was made late.
fn is_newest_first(found: &[Sibling]) -> bool {
    fn grows<T: Ord>(times: impl Iterator<Item = T> + Clone) -> bool {
        times.clone().is_sorted_by(|one, other| one >= other) && times.clone().min() != times.max()
    }
    grows(found.iter().map(|one| one.stamp.modified))
        && found.iter().all(|one| one.born.is_some())
        && grows(found.iter().map(|one| one.born))
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
