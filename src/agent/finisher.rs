//! Ends spools: the exit record, and a sync that waits for the disk.
//!
//! Apart because the capture thread must not wait, and a thousand streams may end at once. A few
//! threads, started when they are needed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::courier::Hint;
use super::log::Log;
use super::stream::Ended;
use crate::record::WriterId;
use crate::spool;

/// Threads at the most.
const MOST: usize = 4;

struct Task {
    ended: Ended,
    /// Its kept position is of no use any more.
    before: Option<WriterId>,
}

/// See the module.
pub(super) struct Finisher {
    root: PathBuf,
    tasks: Sender<Task>,
    todo: Receiver<Task>,
    pending: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    hint: Hint,
    log: Log,
}

impl Finisher {
    pub(super) fn new(root: PathBuf, hint: Hint, log: Log) -> Self {
        let (tasks, todo) = unbounded();
        let pending = Arc::default();
        Self { root, tasks, todo, pending, threads: Vec::new(), hint, log }
    }

    /// Ends a spool, if there is one.
    pub(super) fn finish(&mut self, ended: Option<Ended>, before: Option<WriterId>) {
        let Some(ended) = ended else { return };
        let pending = self.pending.fetch_add(1, Ordering::Relaxed);
        if pending >= self.threads.len() && self.threads.len() < MOST {
            let work = Work {
                root: self.root.clone(),
                hint: self.hint.clone(),
                log: self.log.clone(),
                pending: Arc::clone(&self.pending),
            };
            let todo = self.todo.clone();
            let builder = thread::Builder::new().name("spool-end".to_owned());
            let begun = builder.spawn(move || todo.iter().for_each(|task| work.run(task)));
            self.threads.extend(begun);
        }
        if self.threads.is_empty() {
            // No thread can be had: then it is waited for.
            if let Err(error) = ended.finish(&self.hint) {
                self.log.warn(&error);
            }
            return;
        }
        drop(self.tasks.send(Task { ended, before }));
    }

    /// Waits until all are ended.
    pub(super) fn wait(self) {
        let Self { tasks, todo, threads, .. } = self;
        drop((tasks, todo));
        for thread in threads {
            drop(thread.join());
        }
    }
}

struct Work {
    root: PathBuf,
    hint: Hint,
    log: Log,
    pending: Arc<AtomicUsize>,
}

impl Work {
    fn run(&self, Task { ended, before }: Task) {
        match ended.finish(&self.hint) {
            Ok(()) => {
                // One that stays is the older of two, and not looked at.
                if let Some(before) = before {
                    drop(spool::forget_position(&self.root, before));
                }
            }
            Err(error) => self.log.warn(&error),
        }
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }
}
