//! One spool's turn, and the threads that turns run on.
//!
//! Apart from [`courier`](super::courier), which decides whose turn it is: here a spool is opened, delivered,
//! and what that leaves is given back. Threads live on between turns for a while, as
//! there may be hundreds of turns in a second; an agent with nothing to deliver has none.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::courier::Report;
use super::log::Log;
use super::telemetry::{Spans, Told};
use crate::delivery::{OpenStack, OpenStacks, chain, refusal};
use crate::ship::{Outcome, Shipment, SpoolError, Stop, Target, Until, Wait};
use crate::spool;

/// How long a turn stays when nothing comes and nobody else waits.
const STAY: Duration = Duration::from_secs(5);
/// How long a thread waits for another turn.
const IDLE: Duration = Duration::from_secs(5);

/// How many wait for a turn.
pub(super) type Others = Arc<AtomicUsize>;

/// What a turn leaves for the next one of the same spool.
pub(super) struct Kept {
    shipment: Shipment,
    stack: Arc<OpenStack>,
}

impl Kept {
    /// How long the stores let lines wait for others.
    pub(super) fn seal_age(&self) -> Duration {
        self.shipment.seal_age()
    }
}

/// How a turn has ended.
pub(super) enum Finish {
    Delivered,
    CaughtUp,
    /// A store is down.
    Down,
    Stopped,
    Failed,
}

/// A turn has ended.
pub(super) struct Finished {
    pub(super) dir: Arc<Path>,
    pub(super) what: Finish,
    pub(super) kept: Option<Box<Kept>>,
}

/// See the module.
pub(super) struct Turn {
    pub(super) dir: Arc<Path>,
    /// What the last one has left.
    pub(super) kept: Option<Box<Kept>>,
    pub(super) stacks: Arc<OpenStacks>,
    pub(super) report: Arc<Mutex<Report>>,
    pub(super) stop: Stop,
    pub(super) others: Others,
    /// Who wants to hear of it.
    pub(super) spans: Option<Spans>,
    pub(super) log: Log,
}

impl Turn {
    fn run(mut self) -> Finished {
        let started = SystemTime::now();
        let before = self.kept.as_ref().map_or(0, |kept| acknowledged(&kept.shipment));
        let mut error = None;
        let what = match self.try_run() {
            Ok(finish) => finish,
            Err(_) if !self.dir.exists() => Finish::Delivered,
            Err(message) => {
                self.log.limited(&format!("deliver {}: {message}", self.dir.display()));
                error = Some(message);
                Finish::Failed
            }
        };
        self.tell(started, before, &what, error);
        let goes_on = matches!(what, Finish::CaughtUp | Finish::Down);
        Finished { dir: self.dir, what, kept: self.kept.filter(|_| goes_on) }
    }

    /// Tells whoever wants to hear of it, unless nothing has come of it.
    fn tell(&self, started: SystemTime, before: u64, what: &Finish, error: Option<String>) {
        let (Some(spans), Some(kept)) = (&self.spans, &self.kept) else { return };
        let outcome = match what {
            Finish::Delivered => "delivered",
            Finish::CaughtUp => "caught up",
            Finish::Down => "store down",
            Finish::Stopped => "stopped",
            Finish::Failed => "failed",
        };
        let mut targets = kept.shipment.targets().iter();
        let failing = targets.find_map(|target| target.progress.error());
        let error = error.or(failing);
        let bytes = acknowledged(&kept.shipment).saturating_sub(before);
        if bytes > 0 || error.is_some() || matches!(what, Finish::Delivered) {
            let writer = &kept.shipment.meta().writer;
            spans.turn(Told { writer, started, bytes, outcome, error });
        }
    }

    fn try_run(&mut self) -> Result<Finish, String> {
        let mut kept = match self.opened()? {
            Ok(kept) => kept,
            Err(SpoolError::Held { .. }) => return Ok(Finish::Failed),
            Err(error) => return Err(chain(&error)),
        };
        let stack = Arc::clone(&kept.stack);
        let Some(handle) = stack.handle() else { return Ok(Finish::Stopped) };
        let targets = Arc::clone(kept.shipment.targets());
        let Self { dir, report, others, .. } = &*self;
        let over = |wait: Wait| {
            note(report, dir, &targets);
            others.load(Ordering::Relaxed) > 0
                || matches!(wait, Wait::Bytes(quiet) if quiet >= STAY)
        };
        let shipped = kept.shipment.turn(handle, Until::Told(&over), &self.stop);
        note(report, dir, &targets);
        self.kept = Some(kept);
        match shipped {
            Ok(Outcome::Delivered) => {
                targets.iter().filter_map(refusal).for_each(|line| self.log.warn(&line));
                Ok(Finish::Delivered)
            }
            Ok(Outcome::CaughtUp) => Ok(Finish::CaughtUp),
            Ok(Outcome::Down) => Ok(Finish::Down),
            Ok(Outcome::Stopped) => Ok(Finish::Stopped),
            Err(error) => Err(chain(&error)),
        }
    }

    /// The spool as the last turn has left it, if it is still for the same stack; else opened anew.
    fn opened(&mut self) -> Result<Result<Box<Kept>, SpoolError>, String> {
        let kept = self.kept.take();
        let meta = if let Some(kept) = &kept {
            kept.shipment.meta().clone()
        } else {
            let meta = spool::read_meta(&self.dir).map_err(|error| chain(&error))?;
            if let Some(line) = self.stacks.not_followed(&self.dir, &meta) {
                self.log.limited(&line);
            }
            meta
        };
        let stack = self.stacks.of(&meta).map_err(|error| chain(&error))?;
        self.stacks.complaints().iter().for_each(|line| self.log.limited(line));
        match kept {
            Some(kept) if Arc::ptr_eq(&kept.stack, &stack) => Ok(Ok(kept)),
            kept => {
                // Its lock goes before it is taken anew.
                drop(kept);
                Ok(self.open(meta, stack))
            }
        }
    }

    fn open(&self, meta: spool::Meta, stack: Arc<OpenStack>) -> Result<Box<Kept>, SpoolError> {
        let targets = stack.stores.iter().map(Target::another).collect();
        let (settings, max_bytes) = (&stack.stack.ship, stack.stack.spool.max_bytes);
        let shipment = Shipment::open(&self.dir, meta, targets, settings, max_bytes)?;
        Ok(Box::new(Kept { shipment, stack }))
    }
}

/// Bytes that every log store has taken.
fn acknowledged(shipment: &Shipment) -> u64 {
    let offsets = shipment.targets().iter().map(|target| target.progress.offset());
    offsets.min().unwrap_or_default()
}

/// Says how the stores are.
fn note(report: &Mutex<Report>, dir: &Arc<Path>, targets: &Arc<[Target]>) {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    for target in targets.iter() {
        let error = target.progress.error();
        if error.is_none() && target.gate.is_down() {
            // This turn has not asked it: what the last one heard still holds.
            continue;
        }
        match report.stores.get_mut(&target.name) {
            Some(known) => *known = error,
            None => _ = report.stores.insert(target.name.clone(), error),
        }
    }
    report.targets.insert(Arc::clone(dir), Arc::clone(targets));
}

/// The threads.
pub(super) struct Workers {
    turns: (Sender<Turn>, Receiver<Turn>),
    finished: Sender<Finished>,
    /// How many there are.
    threads: Arc<Mutex<usize>>,
}

impl Workers {
    pub(super) fn new(finished: Sender<Finished>) -> Self {
        Self { turns: unbounded(), finished, threads: Arc::default() }
    }

    /// Runs a turn, which is the `running`th of those that have not ended.
    pub(super) fn run(&self, turn: Turn, running: usize) -> io::Result<()> {
        drop(self.turns.0.send(turn));
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if running > *threads {
            let work = Work {
                turns: self.turns.1.clone(),
                finished: self.finished.clone(),
                threads: Arc::clone(&self.threads),
            };
            let builder = thread::Builder::new().name("delivery".to_owned());
            builder.spawn(move || work.work())?;
            *threads += 1;
        }
        Ok(())
    }
}

struct Work {
    turns: Receiver<Turn>,
    finished: Sender<Finished>,
    threads: Arc<Mutex<usize>>,
}

impl Work {
    fn work(&self) {
        loop {
            if let Ok(turn) = self.turns.recv_timeout(IDLE) {
                drop(self.finished.send(turn.run()));
                continue;
            }
            // A turn that is handed out now finds us here, or counts us as gone.
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            if self.turns.is_empty() {
                *threads -= 1;
                return;
            }
        }
    }
}
