//! A spool directory to all its log stores, and away with it.
//!
//! Apart from the pipelines, of which there is one a store: here is what they share, the lock, the
//! checkpoint, and the removal of a spool that everybody has.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

use super::cadence::Cadence;
use super::gate::Gate;
use super::keeper::Keeper;
use super::pipeline::{Delivery, Left, age_of, deliver};
use super::source::{FrameSource, SpoolSource};
use super::stop::{Stop, Until};
use super::{Error, Outcome, Progress, Settings};
use crate::spool::{self, LoadError, Meta, ShipLock};
use crate::stores::LogStore;

/// A log store, and how far delivery of one spool to it is.
pub struct Target {
    /// Its name in the stack file.
    pub name: String,
    /// Where lines go.
    pub store: Arc<dyn LogStore>,
    /// Its gate: one for all spools.
    pub gate: Arc<Gate>,
    /// How far they are.
    pub progress: Progress,
}

impl Target {
    /// A log store to which nothing was delivered yet.
    pub fn new(name: String, store: Arc<dyn LogStore>, settings: &Settings) -> Self {
        Self { name, store, gate: Gate::new(settings), progress: Progress::default() }
    }

    /// The same store for another spool.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            name: self.name.clone(),
            store: Arc::clone(&self.store),
            gate: Arc::clone(&self.gate),
            progress: Progress::default(),
        }
    }
}

/// What a store may take to close.
const CLOSING: Duration = Duration::from_secs(2);

/// Nothing more will be delivered to these. What does not close in time is left.
pub fn close(targets: &[Target], runtime: &Runtime) {
    let all = futures_util::future::join_all(targets.iter().map(|target| target.store.close()));
    // Left is left: the process ends, and what stores hold open with it.
    drop(runtime.block_on(async { tokio::time::timeout(CLOSING, all).await }));
}

/// Why a spool could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process delivers it.
    #[error("another process is delivering the spool {}", dir.display())]
    Held {
        /// The spool.
        dir: PathBuf,
    },
    /// The lock could not be taken.
    #[error("failed to lock the spool {}", dir.display())]
    Lock {
        /// The spool.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] LoadError),
    /// A store or the spool made it impossible.
    #[error(transparent)]
    Delivery(#[from] Error),
    /// All is delivered, but the spool stays.
    #[error("failed to remove the spool {}, of which all is delivered", dir.display())]
    Remove {
        /// The spool.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where requests run: one thread for the network, a few for files.
pub fn runtime(settings: &Settings) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4 * settings.concurrency.max(1) + 1)
        .thread_name("ship requests")
        .enable_all()
        .build()
}

/// The delivery of one spool to its log stores, in one turn or in several. While it is there, no other process
/// delivers the spool.
pub struct Shipment {
    dir: PathBuf,
    meta: Meta,
    targets: Arc<[Target]>,
    /// What each of them has left of the last turn.
    left: Vec<Left>,
    settings: Settings,
    keeper: Keeper,
    _lock: ShipLock,
}

impl Shipment {
    /// Takes the spool in `dir`. `spool_bytes` is the spool's limit.
    pub fn open(
        dir: &Path,
        meta: Meta,
        targets: Arc<[Target]>,
        settings: &Settings,
        spool_bytes: u64,
    ) -> Result<Self, SpoolError> {
        let lock = match ShipLock::try_acquire(dir) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(SpoolError::Held { dir: dir.to_owned() }),
            Err(source) => return Err(SpoolError::Lock { dir: dir.to_owned(), source }),
        };
        let names = targets.iter().map(|target| target.name.clone()).collect();
        let keeper = Keeper::open(dir, names, spool_bytes)?;
        for target in targets.iter() {
            if let Some(part) = keeper.get(&target.name) {
                target.progress.acknowledged(&part.acked);
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            meta,
            left: targets.iter().map(|_| Left::default()).collect(),
            targets,
            settings: settings.clone(),
            keeper,
            _lock: lock,
        })
    }

    /// Its log stores.
    pub fn targets(&self) -> &Arc<[Target]> {
        &self.targets
    }

    /// Whose lines they are.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How long a line waits for others at the most, at the store that lets it wait least.
    pub fn seal_age(&self) -> Duration {
        let (now, before) = (Instant::now(), age_of(&self.meta.writer));
        let limit =
            |target: &Target| Cadence::new(target.store.limits().age, before, now).limit(now);
        self.targets.iter().map(limit).min().unwrap_or_default()
    }

    /// Delivers to all of them; follows the spool while its writer lives, as long as `until` says; removes it
    /// when all have everything. Another turn may follow where it has caught up, or a store is down.
    pub fn turn(
        &mut self,
        runtime: &Handle,
        until: Until<'_>,
        stop: &Stop,
    ) -> Result<Outcome, SpoolError> {
        let Self { dir, meta, targets, left, settings, keeper, .. } = self;
        let (dir, keeper, settings) = (dir.as_path(), &*keeper, &*settings);
        let to = |target: &Target, left: &mut Left| {
            let delivery = Delivery {
                writer: &meta.writer,
                lines: &meta.lines,
                name: &target.name,
                store: target.store.as_ref(),
                gate: &target.gate,
                settings,
                keeper,
                runtime,
                progress: &target.progress,
                until,
            };
            let mut open = |from| {
                SpoolSource::open(dir, from).map(|source| Box::new(source) as Box<dyn FrameSource>)
            };
            deliver(&delivery, left, &mut open, stop)
        };
        // What one store refuses the others still get.
        let each = targets.iter().zip(left);
        let outcomes: Vec<Result<Outcome, Error>> = if targets.len() == 1 {
            each.map(|(target, left)| to(target, left)).collect()
        } else {
            thread::scope(|scope| {
                let running: Vec<_> =
                    each.map(|(target, left)| scope.spawn(|| to(target, left))).collect();
                let joined = running.into_iter().map(thread::ScopedJoinHandle::join);
                joined.map(|joined| joined.unwrap_or(Ok(Outcome::Stopped))).collect()
            })
        };
        let mut least = Outcome::Delivered;
        for outcome in outcomes {
            least = match (outcome?, least) {
                (Outcome::Stopped, _) => return Ok(Outcome::Stopped),
                (Outcome::Down, _) | (_, Outcome::Down) => Outcome::Down,
                (Outcome::CaughtUp, _) => Outcome::CaughtUp,
                (Outcome::Delivered, least) => least,
            };
        }
        if least != Outcome::Delivered {
            return Ok(least);
        }
        match spool::remove(dir) {
            Ok(()) => Ok(Outcome::Delivered),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::Delivered),
            Err(source) => {
                keeper.write();
                Err(SpoolError::Remove { dir: dir.to_owned(), source })
            }
        }
    }
}
