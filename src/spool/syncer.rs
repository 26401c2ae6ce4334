//! When what has been written is forced to the disk, and by whom.
//!
//! Apart from the writer because with an interval a thread does it: fdatasync(2) of a busy disk
//! takes long, and the step must not wait for it. It says that syncing failed; what follows from
//! that is the writer's business.

use std::io::{self, ErrorKind};
use std::mem;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Sync;
use super::dir::Durability;
use super::disk::{Disk, DiskFile};
use crate::pages;

/// Segments that are closed and not synced, at the most; more are synced before their time, so
/// that few descriptors are held.
const MAX_CLOSED: usize = 8;

/// Threads of all writers of this process together: one a writer would be thousands in an agent.
const MAX_THREADS: usize = 4;

/// A thread's stack: it makes system calls and nothing else.
const STACK_BYTES: usize = 64 << 10;

/// See the module.
pub(super) struct Syncer<D: Disk> {
    disk: D,
    policy: Sync,
    /// Something has been written since the last job.
    written: bool,
    /// When to start the next job; set by the first tick after a write.
    due: Option<Instant>,
    /// What the next job syncs besides the segment that is being written.
    next: Job<D>,
    /// Started when first needed: a short step never needs it.
    worker: Option<Worker>,
}

/// What a tick has done.
pub(super) struct Tick {
    /// An interval is over.
    pub(super) started: bool,
    /// When the next tick has something to do; `None` if nothing was written.
    pub(super) next: Option<Instant>,
}

/// What is synced in one go: first contents, then names.
struct Job<D: Disk> {
    files: Vec<D::File>,
    dirs: Vec<PathBuf>,
}

struct Worker {
    done: Sender<io::Result<()>>,
    results: Receiver<io::Result<()>>,
    busy: bool,
}

impl<D: Disk> Syncer<D> {
    pub(super) fn new(disk: D, policy: Sync) -> Self {
        let next = Job { files: Vec::new(), dirs: Vec::new() };
        Self { disk, policy, written: false, due: None, next, worker: None }
    }

    /// Names were made in this directory.
    pub(super) fn made_names(&mut self, dir: PathBuf) {
        self.written = true;
        if self.policy != Sync::Never && !self.next.dirs.contains(&dir) {
            self.next.dirs.push(dir);
        }
    }

    /// A file of the directory was written as a whole, or a segment's last frame was.
    pub(super) fn closed(&mut self, file: D::File) {
        self.written = true;
        if self.policy != Sync::Never {
            self.next.files.push(file);
        }
    }

    /// Lets go of files that have been deleted: as long as they are open they take room.
    pub(super) fn let_go(&mut self) {
        self.next.files.retain(|file| file.is_linked().unwrap_or(true));
    }

    /// A frame was written.
    pub(super) fn wrote(&mut self, active: &D::File) -> io::Result<()> {
        self.written = true;
        if self.policy == Sync::Always {
            return self.finish(active);
        }
        if self.next.files.len() > MAX_CLOSED {
            return self.start(active);
        }
        Ok(())
    }

    /// Starts a job when one is due.
    pub(super) fn tick(&mut self, now: Instant, active: &D::File) -> io::Result<Tick> {
        self.collect()?;
        let due = self.written.then(|| *self.due.get_or_insert(now + self.interval()));
        let started = due.is_some_and(|due| now >= due);
        if started {
            self.start(active)?;
        }
        let waiting = self.written || self.worker.as_ref().is_some_and(|worker| worker.busy);
        let next = waiting.then(|| self.due.unwrap_or(now + self.interval()));
        Ok(Tick { started, next })
    }

    /// Syncs all that was written, and waits for it.
    pub(super) fn finish(&mut self, active: &D::File) -> io::Result<()> {
        let job = self.take(active);
        if let Some(worker) = &mut self.worker
            && mem::take(&mut worker.busy)
        {
            // A worker that is gone has said why, or nothing was asked of it.
            worker.results.recv().unwrap_or(Ok(()))?;
        }
        if self.policy == Sync::Never {
            return Ok(());
        }
        job.run(&self.disk)
    }

    /// What small files must outlive.
    pub(super) fn durability(&self) -> Durability {
        match self.policy {
            Sync::Never => Durability::Process,
            Sync::Interval(_) | Sync::Always => Durability::Power,
        }
    }

    /// How often there is something to do.
    fn interval(&self) -> Duration {
        match self.policy {
            Sync::Interval(interval) => interval,
            Sync::Never | Sync::Always => Duration::from_secs(1),
        }
    }

    fn take(&mut self, active: &D::File) -> Job<D> {
        (self.written, self.due) = (false, None);
        let mut files = mem::take(&mut self.next.files);
        files.push(active.clone());
        Job { files, dirs: mem::take(&mut self.next.dirs) }
    }

    fn start(&mut self, active: &D::File) -> io::Result<()> {
        if !matches!(self.policy, Sync::Interval(_)) {
            (self.written, self.due) = (false, None);
            return Ok(());
        }
        if self.worker.is_none() && D::SYNC_IN_BACKGROUND {
            pages::give_back();
            self.worker = Some(Worker::new());
        }
        self.collect()?;
        match &self.worker {
            // The disk is slower than the interval: what is written meanwhile waits for the
            // next job, unless too much waits already.
            Some(worker) if worker.busy && self.next.files.len() <= 2 * MAX_CLOSED => {
                self.due = None;
                return Ok(());
            }
            Some(worker) if worker.busy => return self.finish(active),
            _ => {}
        }
        let job = self.take(active);
        match &mut self.worker {
            Some(worker) => {
                let (disk, done) = (self.disk.clone(), worker.done.clone());
                // A writer that has ended meanwhile has synced everything itself.
                let task = move || drop(done.send(job.run(&disk)));
                match in_background(Box::new(task)) {
                    Ok(()) => worker.busy = true,
                    Err(task) => {
                        task();
                        worker.busy = true;
                        self.collect()?;
                    }
                }
            }
            None => job.run(&self.disk)?,
        }
        Ok(())
    }

    fn collect(&mut self) -> io::Result<()> {
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.busy) else {
            return Ok(());
        };
        match worker.results.try_recv() {
            Ok(result) => {
                worker.busy = false;
                result
            }
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(io::Error::other("the sync thread has died")),
        }
    }
}

impl<D: Disk> Job<D> {
    fn run(self, disk: &D) -> io::Result<()> {
        for file in &self.files {
            file.sync()?;
        }
        for dir in &self.dirs {
            match disk.sync_dir(dir) {
                // Delivered and removed, or removed by somebody: the writer looks for itself.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }
}

impl Worker {
    fn new() -> Self {
        let (done, results) = channel();
        Self { done, results, busy: false }
    }
}

type Task = Box<dyn FnOnce() + Send>;

/// The threads that sync, and how much they have to do.
struct Pool {
    tasks: crossbeam_channel::Sender<Task>,
    todo: crossbeam_channel::Receiver<Task>,
    threads: usize,
}

/// Gives a task to the threads of the process, of which another is started when those there are busy;
/// gives it back if there can be none.
fn in_background(task: Task) -> Result<(), Task> {
    static POOL: Mutex<Option<Pool>> = Mutex::new(None);
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = pool.get_or_insert_with(|| {
        let (tasks, todo) = crossbeam_channel::unbounded();
        Pool { tasks, todo, threads: 0 }
    });
    if pool.threads == 0 || (!pool.todo.is_empty() && pool.threads < MAX_THREADS) {
        let todo = pool.todo.clone();
        let work = move || todo.iter().for_each(|task: Task| task());
        let builder = thread::Builder::new().name("spool-sync".into()).stack_size(STACK_BYTES);
        pool.threads += usize::from(builder.spawn(work).is_ok());
    }
    if pool.threads == 0 {
        return Err(task);
    }
    pool.tasks.send(task).map_err(|unsent| unsent.0)
}
