//! Hints that files have changed, by inotify(7).
//!
//! Only hints: queues overflow, network file systems are silent, watches run out. Whoever uses it looks at everything
//! from time to time all the same. Apart because it is one descriptor for the caller's epoll; the `notify` crate, which
//! waits in a thread of its own and needs one for each watcher, would wake two threads for each line.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// What says that there may be more to read, or another file.
const EVENTS: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ONLYDIR);

/// Watches folders.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    events: AddWatchFlags,
    folders: BTreeMap<PathBuf, WatchDescriptor>,
    paths: BTreeMap<i32, PathBuf>,
    blind: u64,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        Self::of(EVENTS)
    }

    /// The same, that tells of names that come and go, and of what is written only when it is closed.
    pub fn of_names() -> io::Result<Self> {
        let names = EVENTS.difference(AddWatchFlags::IN_MODIFY);
        Self::of(names.union(AddWatchFlags::IN_CLOSE_WRITE))
    }

    fn of(events: AddWatchFlags) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self { inotify, events, folders: BTreeMap::new(), paths: BTreeMap::new(), blind: 0 })
    }

    /// Watches these folders and no others.
    pub fn set<'a>(&mut self, folders: impl IntoIterator<Item = &'a Path>) {
        let wanted: BTreeSet<&Path> = folders.into_iter().collect();
        let unwanted: Vec<PathBuf> = self
            .folders
            .keys()
            .filter(|folder| !wanted.contains(folder.as_path()))
            .cloned()
            .collect();
        for folder in unwanted {
            if let Some(watch) = self.folders.remove(&folder) {
                self.paths.remove(&watch.as_raw());
                // The kernel has removed it itself if the folder is gone.
                self.inotify.rm_watch(watch).unwrap_or_default();
            }
        }
        self.blind = 0;
        for folder in wanted {
            if self.folders.contains_key(folder) {
                continue;
            }
            match self.inotify.add_watch(folder, self.events) {
                // Two paths to one folder have one watch, of which the first is told.
                Ok(watch) if self.paths.contains_key(&watch.as_raw()) => self.blind += 1,
                Ok(watch) => {
                    self.paths.insert(watch.as_raw(), folder.to_owned());
                    self.folders.insert(folder.to_owned(), watch);
                }
                Err(_) => self.blind += 1,
            }
        }
    }

    /// Folders that could not be watched: `fs.inotify.max_user_watches` is used up, or they are gone.
    pub fn blind(&self) -> u64 {
        self.blind
    }

    /// Tells each path that something has happened to, until nothing is left to tell. True: also look for new files,
    /// and at all others, as something may have been missed.
    pub fn drain(&mut self, mut changed: impl FnMut(PathBuf)) -> bool {
        let mut rescan = false;
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return rescan,
                Err(_) => return true,
            };
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    // The folder is gone. One with its name may come again.
                    if let Some(folder) = self.paths.remove(&event.wd.as_raw()) {
                        self.folders.remove(&folder);
                    }
                    rescan = true;
                    continue;
                }
                rescan |= event.mask.intersects(
                    AddWatchFlags::IN_Q_OVERFLOW
                        | AddWatchFlags::IN_CREATE
                        | AddWatchFlags::IN_DELETE
                        | AddWatchFlags::IN_MOVED_FROM
                        | AddWatchFlags::IN_MOVED_TO,
                );
                if let Some((folder, name)) = self.paths.get(&event.wd.as_raw()).zip(event.name) {
                    changed(folder.join(name));
                }
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn drained(watch: &mut Watch) -> (BTreeSet<PathBuf>, bool) {
        let mut paths = BTreeSet::new();
        let rescan = watch.drain(|path| {
            paths.insert(path);
        });
        (paths, rescan)
    }

    #[test]
    fn changes_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.set([one.as_path(), two.as_path(), Path::new("/not/there")]);
        assert_eq!(watch.blind(), 1);
        assert_eq!(drained(&mut watch), (BTreeSet::new(), false));

        let path = one.join("x.log");
        let mut file = fs::File::create(&path).unwrap();
        assert_eq!(drained(&mut watch), ([path.clone()].into(), true));
        file.write_all(b"x").unwrap();
        assert_eq!(drained(&mut watch), ([path.clone()].into(), false));
        fs::rename(&path, two.join("y.log")).unwrap();
        assert_eq!(drained(&mut watch), ([path, two.join("y.log")].into(), true));

        watch.set([one.as_path()]);
        fs::write(two.join("z.log"), "z").unwrap();
        assert_eq!(drained(&mut watch).0, BTreeSet::new());
        fs::remove_dir(&one).unwrap();
        assert!(drained(&mut watch).1);
        fs::create_dir(&one).unwrap();
        watch.set([one.as_path()]);
        fs::write(one.join("x.log"), "x").unwrap();
        assert_eq!(drained(&mut watch).0, [one.join("x.log")].into());
    }
}
