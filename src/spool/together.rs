//! The threads that sync for all writers of this process, and many syncs as one.
//!
//! Apart from [`syncer`](super::syncer), of which each writer has one and which decides what is synced when.
//! Where a thousand writers are due in the same second, as in an agent, a thousand calls of fdatasync(2) would keep
//! the disk and a good part of a processor busy: whoever finds so many waiting syncs the file system once
//! for all of them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Threads of all writers of this process together: one a writer would be thousands in an agent.
const MAX_THREADS: usize = 4;

/// A thread's stack: it makes system calls and nothing else.
const STACK_BYTES: usize = 64 << 10;

/// As many at once are one: below that the whole file system costs more than each by itself.
const MANY: usize = 16;

/// What one writer wants synced.
pub(super) struct Task {
    /// Does it.
    pub(super) each: Box<dyn FnOnce() -> io::Result<()> + Send>,
    /// Hears how that went.
    pub(super) done: Box<dyn FnOnce(io::Result<()>) + Send>,
}

impl Task {
    pub(super) fn run(self) {
        (self.done)((self.each)());
    }
}

/// The threads, and how much they have to do.
struct Pool {
    tasks: Sender<(Root, Task)>,
    todo: Receiver<(Root, Task)>,
    threads: usize,
    roots: Vec<(PathBuf, Root)>,
}

/// A folder of spools. Open for as long as the process lives: a write that has failed is told to those
/// who had the file system open before.
type Root = Arc<File>;

/// Gives a task to the threads of the process, of which another is started when those there are busy;
/// gives it back if there can be none. `root` is a folder on the file system of all that it syncs.
pub(super) fn in_background(root: &Path, task: Task) -> Result<(), Task> {
    static POOL: Mutex<Option<Pool>> = Mutex::new(None);
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = pool.get_or_insert_with(|| {
        let (tasks, todo) = unbounded();
        Pool { tasks, todo, threads: 0, roots: Vec::new() }
    });
    let Some(root) = pool.root(root) else { return Err(task) };
    if pool.threads == 0 || (!pool.todo.is_empty() && pool.threads < MAX_THREADS) {
        let todo = pool.todo.clone();
        let builder = thread::Builder::new().name("spool-sync".into()).stack_size(STACK_BYTES);
        pool.threads += usize::from(builder.spawn(move || work(&todo)).is_ok());
    }
    if pool.threads == 0 {
        return Err(task);
    }
    pool.tasks.send((root, task)).map_err(|unsent| unsent.0.1)
}

impl Pool {
    fn root(&mut self, path: &Path) -> Option<Root> {
        if let Some((_, root)) = self.roots.iter().find(|(known, _)| known == path) {
            return Some(Arc::clone(root));
        }
        let root = Arc::new(File::open(path).ok()?);
        self.roots.push((path.to_owned(), Arc::clone(&root)));
        Some(root)
    }
}

fn work(todo: &Receiver<(Root, Task)>) {
    for (root, first) in todo {
        let mut batch = vec![first];
        // What is of another folder is done by itself: hardly anybody has two.
        let mut others = Vec::new();
        for (its, task) in todo.try_iter() {
            if Arc::ptr_eq(&its, &root) { batch.push(task) } else { others.push(task) }
        }
        if batch.len() >= MANY && nix::unistd::syncfs(&*root).is_ok() {
            batch.drain(..).for_each(|task| (task.done)(Ok(())));
        }
        // Who cannot have it for all learns by itself what is wrong.
        batch.into_iter().chain(others).for_each(Task::run);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How many were synced by themselves, and how many heard that it went well.
    fn synced(count: usize) -> (usize, usize) {
        let folder = tempfile::tempdir().unwrap();
        let root = Arc::new(File::open(folder.path()).unwrap());
        let (tasks, todo) = unbounded();
        let (done, heard) = unbounded();
        let alone = Arc::new(AtomicUsize::new(0));
        for _ in 0..count {
            let (alone, done) = (Arc::clone(&alone), done.clone());
            let each = Box::new(move || {
                alone.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            let done = Box::new(move |result: io::Result<()>| done.send(result.is_ok()).unwrap());
            tasks.send((Arc::clone(&root), Task { each, done })).unwrap();
        }
        drop((tasks, done));
        work(&todo);
        (alone.load(Ordering::SeqCst), heard.iter().filter(|ok| *ok).count())
    }

    #[test]
    fn many_at_once_are_one_and_each_hears_of_it() {
        assert_eq!(synced(MANY - 1), (MANY - 1, MANY - 1));
        assert_eq!(synced(100), (0, 100));
    }
}
