//! A writer's directory: the names in it, how its small files are written, how it comes and goes,
//! and what a list of directories says.
//!
//! Apart from writer and reader because both sides, and whoever cleans up, need the same names
//! in the same order. It does not look into segments.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use super::Meta;
use super::disk::{Disk, DiskFile as _, RealDisk, append_all, read_all, remove_if_there};
use super::{position, segment};
use crate::record::Exit;

pub(super) const META: &str = "meta.json";
pub(super) const EXIT: &str = "exit.json";
pub(super) const WRITER_LOCK: &str = "writer.lock";
const SHIP_LOCK: &str = "ship.lock";
/// Room on the disk for [`EXIT`], given back just before it is written.
pub(super) const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 4096;

/// Suffix of a directory that is being made; the name also begins with a dot.
const NEW: &str = ".new";
/// Suffix of a directory that is being removed; the name also begins with a dot.
const OLD: &str = ".old";

/// Bytes of [`META`]; what is behind them is not read.
const MOST_META: u64 = 1 << 20;

/// What a file must outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of any process.
    Process,
    /// The loss of power.
    Power,
}

/// One directory of [`list`].
#[derive(Debug)]
pub struct SpoolEntry {
    /// The writer's directory.
    pub path: PathBuf,
    /// Whose it is, or why that cannot be known.
    pub meta: Result<Meta, MetaError>,
    /// Whether more is to come.
    pub state: SpoolState,
    /// Bytes in its segments.
    pub bytes: u64,
}

/// Whether more is to come from a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolState {
    /// It holds its lock.
    Live,
    /// It has left its exit record.
    Finished,
    /// It is gone without one.
    Interrupted,
}

/// Why [`read_meta`] failed.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The file could not be read.
    #[error("failed to read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what a writer writes.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A later version of steplog wrote it.
    #[error("{} has version {found}, this steplog reads version {}", path.display(), segment::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
    },
}

/// Every writer's directory below `root`, in order of name, which is the order of their starts. No root, no writers.
pub fn list(root: &Path) -> io::Result<Vec<SpoolEntry>> {
    writers_on(&RealDisk, root)?.into_iter().filter_map(|path| entry(&path).transpose()).collect()
}

/// The directories of all writers below `root`, in order of their starts, without a look into them.
pub fn writers(root: &Path) -> io::Result<Vec<PathBuf>> {
    writers_on(&RealDisk, root)
}

/// How many writers there are below `root`, as of a second ago at the most.
pub fn count(root: &Path) -> u64 {
    const KNOWN: Duration = Duration::from_secs(1);
    static COUNTED: Mutex<Option<(PathBuf, Instant, u64)>> = Mutex::new(None);
    let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, at, count)) = &*counted
        && of == root
        && at.elapsed() < KNOWN
    {
        return *count;
    }
    let names = RealDisk.names(root).unwrap_or_default();
    let count = names.iter().filter(|name| !name.starts_with('.')).count() as u64;
    *counted = Some((root.to_owned(), Instant::now(), count));
    count
}

/// How many writers' directories there are below `root`, and the bytes in their segments.
pub fn usage(root: &Path) -> io::Result<(u64, u64)> {
    let dirs = writers_on(&RealDisk, root)?;
    // What is gone meanwhile takes no room.
    let used = dirs.iter().map(|dir| bytes(&RealDisk, dir).unwrap_or_default());
    Ok((dirs.len() as u64, used.sum()))
}

/// Whether more is to come from a writer, and something that grows with what it writes.
pub fn growth(dir: &Path) -> io::Result<(SpoolState, u64)> {
    let last = segments(&RealDisk, dir)?.last().copied().unwrap_or_default();
    let len = RealDisk.stat(&dir.join(segment::file_name(last))).map_or(0, |stat| stat.len);
    Ok((state(&RealDisk, dir)?, (u64::from(last) << 40) + len))
}

/// One writer's directory; `None` if it is gone.
fn entry(path: &Path) -> io::Result<Option<SpoolEntry>> {
    let known = state(&RealDisk, path).and_then(|state| Ok((state, bytes(&RealDisk, path)?)));
    match known {
        Ok((state, bytes)) => {
            let path = path.to_owned();
            Ok(Some(SpoolEntry { meta: read_meta(&path), state, bytes, path }))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whose spool a directory is, and how to cut its lines.
pub fn read_meta(dir: &Path) -> Result<Meta, MetaError> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let path = dir.join(META);
    let (contents, owner) = match contents_and_owner(&path) {
        Ok(read) => read,
        Err(source) => return Err(MetaError::Io { path, source }),
    };
    // The version first: a later one may have other fields.
    match serde_json::from_slice::<Version>(&contents) {
        Ok(Version { version: 1..=segment::VERSION }) => {
            let mut meta: Meta = serde_json::from_slice(&contents)
                .map_err(|source| MetaError::Damaged { path, source })?;
            meta.stranger = stranger(owner, Uid::effective());
            Ok(meta)
        }
        Ok(Version { version: found }) => Err(MetaError::Version { path, found }),
        Err(source) => Err(MetaError::Damaged { path, source }),
    }
}

fn contents_and_owner(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    let owner = file.metadata()?.uid();
    let mut contents = Vec::new();
    file.take(MOST_META).read_to_end(&mut contents)?;
    Ok((contents, owner))
}

/// The owner of a file, if its word is not to be taken.
fn stranger(owner: u32, reader: Uid) -> Option<u32> {
    (owner != reader.as_raw() && owner != 0).then_some(owner)
}

/// How the step ended; `None` while its writer has not finished.
pub fn read_exit(dir: &Path) -> io::Result<Option<Exit>> {
    match read_all(&RealDisk, &dir.join(EXIT)) {
        Ok(contents) => Ok(Some(serde_json::from_slice(&contents)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a writer's directory, of which all is delivered. A crash in its middle leaves either
/// the whole directory or nothing that [`list`] shows. The last position of a writer that was
/// interrupted is kept.
pub fn remove(dir: &Path) -> io::Result<()> {
    position::keep_last(&RealDisk, dir)?;
    let old = hidden(dir, OLD)?;
    RealDisk.rename(dir, &old)?;
    RealDisk.remove_dir(&old)
}

/// Removes what crashes have left below `root`: directories half made or half removed.
pub fn clean(root: &Path) -> io::Result<()> {
    let names = match RealDisk.names(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        names => names?,
    };
    for name in names.iter().filter(|name| name.starts_with('.')) {
        let path = root.join(name);
        let abandoned = if name.ends_with(OLD) {
            true
        } else if name.ends_with(NEW) {
            // It is made in an instant, so an old one that nobody locks has no maker any more.
            let stat = RealDisk.stat(&path)?;
            stat.modified.elapsed().is_ok_and(|age| age.as_secs() > 3600)
                && !RealDisk.is_locked(&path.join(WRITER_LOCK))?
        } else {
            false
        };
        if abandoned {
            RealDisk.remove_dir(&path)?;
        }
    }
    Ok(())
}

/// The right to deliver a spool: one process at a time has it, until it drops it or dies.
#[derive(Debug)]
pub struct ShipLock {
    _file: <RealDisk as Disk>::Lock,
}

impl ShipLock {
    /// Takes the lock; `None` if another process has it.
    pub fn try_acquire(dir: &Path) -> Result<Option<Self>, io::Error> {
        Ok(RealDisk.try_lock(&dir.join(SHIP_LOCK))?.map(|file| Self { _file: file }))
    }
}

/// The directories of writers below `root`, in order.
pub(super) fn writers_on<D: Disk>(disk: &D, root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = match disk.names(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    let mut dirs = Vec::with_capacity(names.len());
    for name in names {
        let path = root.join(name);
        match disk.stat(&path) {
            Ok(stat) if stat.is_dir => dirs.push(path),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(dirs)
}

/// The numbers of the segments in a writer's directory, in order.
pub(super) fn segments<D: Disk>(disk: &D, dir: &Path) -> io::Result<Vec<u32>> {
    Ok(segment_numbers(&disk.names(dir)?))
}

/// The segments among the names in a writer's directory, in order.
pub(super) fn segment_numbers(names: &[String]) -> Vec<u32> {
    let mut numbers: Vec<_> = names.iter().filter_map(|name| segment::number_of(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether a writer lives.
pub(super) fn state<D: Disk>(disk: &D, dir: &Path) -> io::Result<SpoolState> {
    let finished = || disk.names(dir).map(|names| names.iter().any(|name| name == EXIT));
    if !finished()? && disk.is_locked(&dir.join(WRITER_LOCK))? {
        return Ok(SpoolState::Live);
    }
    // It may have finished and gone between the two questions.
    Ok(if finished()? { SpoolState::Finished } else { SpoolState::Interrupted })
}

pub(super) fn bytes<D: Disk>(disk: &D, dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for number in segments(disk, dir)? {
        match disk.stat(&dir.join(segment::file_name(number))) {
            Ok(stat) => sum += stat.len,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// Makes a writer's directory with its lock, its meta file, and what `fill` puts into it.
/// It has its name only when it is complete, so that nobody sees a writer without its lock.
pub(super) fn make<D: Disk, T>(
    disk: &D,
    dir: &Path,
    meta: &[u8],
    fill: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<(D::Lock, T)> {
    let new = hidden(dir, NEW)?;
    // What an earlier try has left; the name is ours alone.
    match disk.remove_dir(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.create_dir(&new)?;
    let made = fill_new(disk, &new, meta, fill).and_then(|made| {
        disk.rename(&new, dir)?;
        Ok(made)
    });
    if made.is_err() {
        // The first error is the one to tell; what stays behind is `clean`'s to find.
        drop(disk.remove_dir(&new));
    }
    made
}

fn fill_new<D: Disk, T>(
    disk: &D,
    new: &Path,
    meta: &[u8],
    fill: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<(D::Lock, T)> {
    let lock = disk.lock(&new.join(WRITER_LOCK))?;
    append_all(&disk.create(&new.join(META))?, meta, &[])?;
    append_all(&disk.create(&new.join(RESERVE))?, &[b' '; RESERVE_BYTES], &[])?;
    Ok((lock, fill(new)?))
}

/// Writes a small file so that it is there as a whole or not at all.
pub(super) fn write_file<D: Disk>(
    disk: &D,
    dir: &Path,
    name: &str,
    contents: &[u8],
    durability: Durability,
) -> io::Result<()> {
    replace_file(disk, dir, name, contents, durability)?;
    match durability {
        Durability::Process => Ok(()),
        Durability::Power => disk.sync_dir(dir),
    }
}

/// The same, but that its name is not durable yet.
pub(super) fn replace_file<D: Disk>(
    disk: &D,
    dir: &Path,
    name: &str,
    contents: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    remove_if_there(disk, &temporary)?;
    let file = disk.create(&temporary)?;
    append_all(&file, contents, &[])?;
    if durability == Durability::Power {
        file.sync()?;
    }
    disk.rename(&temporary, &dir.join(name))
}

/// The name beside `dir` under which it is made or removed.
fn hidden(dir: &Path, suffix: &str) -> io::Result<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(dir.file_name().ok_or(ErrorKind::InvalidInput)?);
    name.push(suffix);
    Ok(dir.with_file_name(name))
}
