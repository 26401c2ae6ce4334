//! Clears away, now and then: runs that are older than their artifact store keeps them, and what crashes have
//! left in the folder of spools.
//!
//! Apart from delivery, which never removes what others have. What may go is decided by the code of
//! `steplog gc`; a pass has a thread of its own, and a store that hangs holds up nothing but the next pass. A
//! delivered spool is removed by its delivery, so all that is left of those is half a removal.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::log::Log;
use super::position;
use crate::delivery::chain;
use crate::record::Nanos;
use crate::spool;
use crate::stack::Stack;
use crate::stores;
use crate::stores::artifact::fetch::Reader;
use crate::stores::artifact::gc::{self, Policy};
use crate::stores::artifact::{Config, Location};
use crate::words::counted;

/// See the module.
pub(super) struct Gc {
    due: Instant,
    running: Arc<AtomicBool>,
}

impl Gc {
    /// The first pass comes within an interval, at a moment that differs from agent to agent.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        let part = RandomState::new().build_hasher().finish() % 256;
        Self { due: now + interval * part as u32 / 256, running: Arc::default() }
    }

    /// When the next pass is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Begins a pass, unless the last one goes on.
    pub(super) fn begin(&mut self, stack: &Stack, root: &Path, log: &Log, now: Instant) {
        self.due = now + stack.agent.gc_interval;
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let pass = Pass { root: root.to_owned(), stores: stores_of(stack), log: log.clone() };
        let running = Arc::clone(&self.running);
        let begun = thread::Builder::new().name("gc".to_owned()).spawn(move || {
            pass.run();
            running.store(false, Ordering::Release);
        });
        if begun.is_err() {
            // The next one may have a thread.
            self.running.store(false, Ordering::Release);
        }
    }
}

/// Artifact stores that do not keep everything for ever, with their names.
fn stores_of(stack: &Stack) -> Vec<(String, Config)> {
    let own = (&stack.artifact_store.name, &stack.artifact_store.config);
    let others = stack.log_stores.iter().filter_map(|store| match &store.config {
        stores::Config::Artifact(config) => Some((&store.name, config)),
        _ => None,
    });
    let mut found: Vec<(String, Config)> = Vec::new();
    for (name, config) in [own].into_iter().chain(others) {
        let known = found.iter().any(|(_, known)| known.location == config.location);
        if config.retention.is_some() && !known {
            found.push((name.clone(), config.clone()));
        }
    }
    found
}

struct Pass {
    root: PathBuf,
    stores: Vec<(String, Config)>,
    log: Log,
}

impl Pass {
    fn run(&self) {
        let cleaned = spool::clean(&self.root).and_then(|()| position::forget_old(&self.root));
        if let Err(error) = cleaned {
            self.log.limited(&format!("clean up {}: {error}", self.root.display()));
        }
        for (name, config) in &self.stores {
            match collect(config) {
                Ok((0, 0)) => {}
                Ok((runs, others)) => {
                    let runs = counted(runs, "run");
                    let others = counted(others, "leftover");
                    self.log.info(&format!("removed {runs} and {others} from {name}"));
                }
                Err(why) => self.log.limited(&format!("gc of {name}: {why}")),
            }
        }
    }
}

/// How many runs and leftovers have gone.
fn collect(config: &Config) -> Result<(u64, u64), String> {
    let reader = Reader::of(config).map_err(|error| chain(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("start threads: {error}"))?;
    let folder = match &config.location {
        Location::Local { path } => Some(path.as_path()),
        Location::Remote { .. } => None,
    };
    let policy = Policy { older_than: config.retention, keep: None };
    let done = runtime.block_on(async {
        let garbage = gc::find(&reader, policy, Nanos::now(), folder).await?;
        // A file that stays is found again by the next pass.
        gc::remove_all(&reader, &garbage, || (), |_, _| ()).await?;
        Ok(garbage)
    });
    let garbage = done.map_err(|error: crate::read::store::ReadError| chain(&error))?;
    let others = garbage.leftovers.len() + garbage.files.len();
    Ok((garbage.runs.len() as u64, others as u64))
}
