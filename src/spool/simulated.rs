//! A disk in memory for tests: it fills up, fails, loses power, and stops its user in the middle
//! of a write, when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use super::disk::{Disk, DiskFile, Stat};

/// The disk as one of its users sees it; clones are the same user.
#[derive(Clone)]
pub(super) struct SimulatedDisk {
    world: Arc<Mutex<World>>,
    user: User,
}

/// Faults hit one user, so that a test can tell who should have noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Writer,
    Reader,
}

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
    capacity: u64,
    clock: u64,
    fault: Option<Fault>,
    crashed: bool,
    /// Reads of the reader, or calls of the writer that read, that will fail.
    failing_reads: BTreeMap<&'static str, u32>,
    failing_syncs: u32,
    /// Contents of segments that the writer has removed.
    removed: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Inode {
    data: Vec<u8>,
    /// What `data` would be had nobody tampered with it.
    pristine: Vec<u8>,
    synced: usize,
    modified: u64,
    locked: bool,
}

/// What will happen to the writer's changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// So many changes go well.
    pub(super) after: u32,
    /// Then so many go wrong. A crash lasts.
    pub(super) times: u32,
    pub(super) kind: FaultKind,
    /// A write that goes wrong writes this share of its bytes, in 256ths.
    pub(super) share: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    Full,
    Broken,
    Crash,
}

impl SimulatedDisk {
    pub(super) fn new(capacity: u64) -> Self {
        let world = World { capacity, ..World::default() };
        Self { world: Arc::new(Mutex::new(world)), user: User::Writer }
    }

    pub(super) fn seen_by(&self, user: User) -> Self {
        Self { user, ..self.clone() }
    }

    pub(super) fn set_capacity(&self, capacity: u64) {
        self.world().capacity = capacity;
    }

    pub(super) fn arm(&self, fault: Fault) {
        self.world().fault = Some(fault);
    }

    pub(super) fn fail_syncs(&self, times: u32) {
        self.world().failing_syncs = times;
    }

    pub(super) fn fail_reads(&self, user: User, times: u32) {
        self.world().failing_reads.insert(user.name(), times);
    }

    /// All is well again.
    pub(super) fn mend(&self) {
        let mut world = self.world();
        world.fault = None;
        world.crashed = false;
        world.failing_reads.clear();
        world.failing_syncs = 0;
        world.capacity = u64::MAX / 2;
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.world().crashed
    }

    /// The contents as they were written, and how much of them is durable. Nothing for a file that is not there.
    pub(super) fn written_and_synced(&self, path: &Path) -> (Vec<u8>, usize) {
        let world = self.world();
        world.names.get(path).map_or_else(Default::default, |inode| {
            let inode = &world.inodes[*inode];
            (inode.pristine.clone(), inode.synced)
        })
    }

    /// Changes a file behind everybody's back.
    pub(super) fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let inode = world.names[path];
        change(&mut world.inodes[inode].data);
    }

    /// What was not synced is cut off at a share (in 256ths) of it, or reads as zeros from there.
    pub(super) fn lose_power(&self, share: u8, zeros: bool) {
        for inode in &mut self.world().inodes {
            let lost = inode.data.len() - inode.synced.min(inode.data.len());
            let kept = inode.data.len() - lost + lost * usize::from(share) / 256;
            if zeros {
                inode.data[kept..].fill(0);
            } else {
                inode.data.truncate(kept);
            }
        }
    }

    pub(super) fn take_removed(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.world().removed)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn reading(&self) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        if self.user == User::Writer && world.crashed {
            return Err(broken());
        }
        match world.failing_reads.get_mut(self.user.name()) {
            Some(times) if *times > 0 => {
                *times -= 1;
                Err(broken())
            }
            _ => Ok(world),
        }
    }

    /// Asks the fault before a change; `Err` with how much of the change is still made.
    fn changing(&self) -> Result<MutexGuard<'_, World>, (io::Error, u8)> {
        let mut world = self.world();
        world.clock += 1;
        if self.user == User::Reader {
            return Ok(world);
        }
        if world.crashed {
            return Err((broken(), 0));
        }
        let Some(fault) = &mut world.fault else { return Ok(world) };
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(world);
        }
        let Fault { kind, share, .. } = *fault;
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            world.fault = None;
        }
        match kind {
            FaultKind::Full => Err((ErrorKind::StorageFull.into(), share)),
            FaultKind::Broken => Err((broken(), share)),
            FaultKind::Crash => {
                world.crashed = true;
                Err((broken(), share))
            }
        }
    }

    fn change(&self) -> io::Result<MutexGuard<'_, World>> {
        self.changing().map_err(|(error, _)| error)
    }

    fn file(&self, inode: usize) -> SimulatedFile {
        SimulatedFile { disk: self.clone(), inode }
    }

    fn lock_file(&self, path: &Path) -> io::Result<usize> {
        if let Some(inode) = self.reading()?.names.get(path) {
            return Ok(*inode);
        }
        Ok(self.create(path)?.inode)
    }
}

impl User {
    fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("the simulated disk is broken")
}

impl World {
    fn used(&self) -> u64 {
        let inodes: BTreeSet<_> = self.names.values().collect();
        inodes.into_iter().map(|inode| self.inodes[*inode].data.len() as u64).sum()
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;
    type Lock = SimulatedLock;
    const SYNC_IN_BACKGROUND: bool = false;

    fn create(&self, path: &Path) -> io::Result<SimulatedFile> {
        let mut world = self.change()?;
        if !path.parent().is_some_and(|parent| world.dirs.contains(parent)) {
            return Err(ErrorKind::NotFound.into());
        }
        if world.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let modified = world.clock;
        world.inodes.push(Inode { modified, ..Inode::default() });
        let inode = world.inodes.len() - 1;
        world.names.insert(path.to_owned(), inode);
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<SimulatedFile> {
        let world = self.reading()?;
        let inode = *world.names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(self.file(inode))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.change()?;
        world.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.reading()?;
        if !world.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let paths = world.names.keys().chain(&world.dirs);
        Ok(paths
            .filter(|path| path.parent() == Some(dir))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let world = self.reading()?;
        if world.dirs.contains(path) {
            return Ok(Stat { len: 0, modified: UNIX_EPOCH, is_dir: true });
        }
        let inode = &world.inodes[*world.names.get(path).ok_or(ErrorKind::NotFound)?];
        let modified = UNIX_EPOCH + Duration::from_secs(inode.modified);
        Ok(Stat { len: inode.data.len() as u64, modified, is_dir: false })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.change()?;
        if world.dirs.remove(from) {
            if world.names.keys().any(|path| path.starts_with(to)) {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
            world.dirs.insert(to.to_owned());
            let names = std::mem::take(&mut world.names);
            world.names = names
                .into_iter()
                .map(|(path, inode)| match path.strip_prefix(from) {
                    Ok(rest) => (to.join(rest), inode),
                    Err(_) => (path, inode),
                })
                .collect();
            return Ok(());
        }
        let inode = world.names.remove(from).ok_or(ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.change()?;
        let inode = world.names.remove(path).ok_or(ErrorKind::NotFound)?;
        if self.user == User::Writer && path.extension().is_some_and(|end| end == "seg") {
            let data = world.inodes[inode].pristine.clone();
            world.removed.push(data);
        }
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.change()?;
        if !world.dirs.contains(path) {
            return Err(ErrorKind::NotFound.into());
        }
        world.dirs.retain(|dir| !dir.starts_with(path));
        world.names.retain(|file, _| !file.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.change()?;
        if !world.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        if world.failing_syncs > 0 {
            world.failing_syncs -= 1;
            return Err(broken());
        }
        Ok(())
    }

    fn free(&self, _dir: &Path) -> io::Result<u64> {
        let world = self.reading()?;
        Ok(world.capacity.saturating_sub(world.used()))
    }

    fn lock(&self, path: &Path) -> io::Result<SimulatedLock> {
        self.try_lock(path)?.ok_or_else(|| io::Error::other("would wait for ever"))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<SimulatedLock>> {
        let inode = self.lock_file(path)?;
        let mut world = self.reading()?;
        if world.inodes[inode].locked {
            return Ok(None);
        }
        world.inodes[inode].locked = true;
        Ok(Some(SimulatedLock { disk: self.clone(), inode }))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let world = self.reading()?;
        Ok(world.names.get(path).is_some_and(|inode| world.inodes[*inode].locked))
    }
}

/// A file on [`SimulatedDisk`].
#[derive(Clone)]
pub(super) struct SimulatedFile {
    disk: SimulatedDisk,
    inode: usize,
}

impl DiskFile for SimulatedFile {
    fn append(&self, [first, second]: [&[u8]; 2]) -> io::Result<usize> {
        let bytes = [first, second].concat();
        let (mut world, result, count) = match self.disk.changing() {
            Ok(world) => {
                // A file that has lost its name takes room that nobody counts here.
                let room = world.capacity.saturating_sub(world.used());
                let count = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                let full = count == 0 && !bytes.is_empty();
                let result = if full { Err(ErrorKind::StorageFull.into()) } else { Ok(count) };
                (world, result, count)
            }
            Err((error, share)) => {
                (self.disk.world(), Err(error), bytes.len() * usize::from(share) / 256)
            }
        };
        let modified = world.clock;
        let inode = &mut world.inodes[self.inode];
        inode.data.extend_from_slice(&bytes[..count]);
        inode.pristine.extend_from_slice(&bytes[..count]);
        inode.modified = modified;
        result
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let world = self.disk.reading()?;
        let data = &world.inodes[self.inode].data;
        let rest = data.get(position as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let inode = &mut self.disk.change()?.inodes[self.inode];
        inode.data.truncate(length as usize);
        inode.pristine.truncate(length as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.change()?;
        if world.failing_syncs > 0 {
            world.failing_syncs -= 1;
            return Err(broken());
        }
        let inode = &mut world.inodes[self.inode];
        inode.synced = inode.data.len();
        Ok(())
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.disk.reading()?.names.values().any(|inode| *inode == self.inode))
    }

    fn is_locked(&self) -> io::Result<bool> {
        Ok(self.disk.reading()?.inodes[self.inode].locked)
    }
}

/// A lock on [`SimulatedDisk`]; the death of its holder drops it.
pub(super) struct SimulatedLock {
    disk: SimulatedDisk,
    inode: usize,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.world().inodes[self.inode].locked = false;
    }
}
