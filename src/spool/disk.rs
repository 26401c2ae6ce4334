//! The seam between the spool and the machine: every system call that the spool makes.
//!
//! Apart so that tests can let any of them fail, stop in its middle, or lose what was not synced.
//! No policy is here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IoSlice, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// What the spool asks of a file system.
pub trait Disk: Clone + Send + 'static {
    /// An open file.
    type File: DiskFile;
    /// Held until dropped, or until the process is dead.
    type Lock;
    /// Whether syncing may be left to a thread.
    const SYNC_IN_BACKGROUND: bool;

    /// A new file for appending and reading; fails if there is one.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// A file for reading.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// Makes a directory and those above it.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in any order.
    fn names(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Size and age of a file, or that it is a directory.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// Replaces what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all that is in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that an unprivileged process may still write to this disk.
    fn free(&self, dir: &Path) -> io::Result<u64>;
    /// Waits for the lock; makes the file if there is none.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
    /// Takes the lock if nobody holds it; makes the file if there is none.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;
    /// Whether somebody holds the lock. False if there is no such file.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
    /// What all writers of a folder take, as was last found out by this process.
    fn known_usage(&self, _root: &Path) -> Option<Usage> {
        None
    }
    /// Remembers that, for all of this process.
    fn know_usage(&self, _root: &Path, _usage: Usage) {}
}

/// What the spool asks of an open file.
pub trait DiskFile: Clone + Send + 'static {
    /// Writes at the end, both parts with one call; returns how many bytes were taken.
    fn append(&self, parts: [&[u8]; 2]) -> io::Result<usize>;
    /// Reads from a position; returns how many bytes came, none at the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Cuts the file.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes the contents durable.
    fn sync(&self) -> io::Result<()>;
    /// Whether the file still has a name.
    fn is_linked(&self) -> io::Result<bool>;
    /// Whether somebody holds the lock that this file is, with or without a name.
    fn is_locked(&self) -> io::Result<bool>;
}

/// What [`Disk::stat`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub len: u64,
    /// Last change.
    pub modified: SystemTime,
    /// It is a directory.
    pub is_dir: bool,
}

/// What all writers of a folder take.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// How many there are.
    pub writers: u64,
    /// Of their segments.
    pub bytes: u64,
    /// When that was.
    pub at: Instant,
}

/// Of the folder that was last asked for: a process has one.
static USAGE: Mutex<Option<(PathBuf, Usage)>> = Mutex::new(None);

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    type File = RealFile;
    type Lock = File;
    const SYNC_IN_BACKGROUND: bool = true;

    fn create(&self, path: &Path) -> io::Result<RealFile> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        Ok(RealFile(Arc::new(file)))
    }

    fn open(&self, path: &Path) -> io::Result<RealFile> {
        Ok(RealFile(Arc::new(File::open(path)?)))
    }

    fn known_usage(&self, root: &Path) -> Option<Usage> {
        let known = USAGE.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(known, _)| known == root).map(|(_, usage)| *usage)
    }

    fn know_usage(&self, root: &Path, usage: Usage) {
        let mut known = USAGE.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((root.to_owned(), usage));
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Stat { len: metadata.len(), modified: metadata.modified()?, is_dir: metadata.is_dir() })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        let stat = nix::sys::statvfs::statvfs(dir)?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }

    fn lock(&self, path: &Path) -> io::Result<File> {
        let file = open_lock(path)?;
        file.lock()?;
        Ok(file)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<File>> {
        let file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        is_held(&file)
    }
}

fn is_held(file: &File) -> io::Result<bool> {
    // Shared, so that two who ask at the same time do not take each other for the holder.
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// A file on [`RealDisk`]; clones share one descriptor.
#[derive(Clone, Debug)]
pub struct RealFile(Arc<File>);

impl DiskFile for RealFile {
    fn append(&self, [first, second]: [&[u8]; 2]) -> io::Result<usize> {
        loop {
            let result = (&*self.0).write_vectored(&[IoSlice::new(first), IoSlice::new(second)]);
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, position) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.0.metadata()?.nlink() > 0)
    }

    fn is_locked(&self) -> io::Result<bool> {
        is_held(&self.0)
    }
}

/// Whether an error says that there is no room, rather than that the disk is broken.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Removes a file that may be gone already.
pub(super) fn remove_if_there<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Appends all of it, however many calls that takes.
pub(super) fn append_all<F: DiskFile>(
    file: &F,
    mut first: &[u8],
    mut second: &[u8],
) -> io::Result<()> {
    while !(first.is_empty() && second.is_empty()) {
        let taken = file.append([first, second])?;
        if taken == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        let from_second = taken.saturating_sub(first.len());
        first = first.get(taken..).unwrap_or_default();
        second = second.get(from_second..).unwrap_or_default();
    }
    Ok(())
}

/// Reads a small file as a whole.
pub(super) fn read_all<D: Disk>(disk: &D, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut contents = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = file.read_at(&mut piece, contents.len() as u64)?;
        if count == 0 {
            return Ok(contents);
        }
        contents.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}
