//! Delivers every spool in the folder, a few at a time: the agent's own, those of `steplog run --via agent`,
//! and what any process has left.
//!
//! ```text
//! hint, or a look at the folder ──► waiting (in order) ──► a turn ──► caught up: idle, or waiting again
//!                                                           │ ◄ at most `[agent] deliveries`
//!                                                           └─► delivered: the spool is gone
//! ```
//!
//! A turn delivers what there is and then, while nobody else waits, stays a while for what may come. So
//! a stream that is idle has no thread and no timer, and thousands of busy ones take turns. Apart
//! from [`ship`], which delivers one spool and knows of no other. It opens no input.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select, tick, unbounded};

use super::log::Log;
use crate::delivery::{OpenStacks, chain, refusal};
use crate::ship::{self, Outcome, SpoolError, Stop, Stopper, Target, Until};
use crate::spool::{self, SpoolState};

/// Between looks at the folder.
const LOOK: Duration = Duration::from_secs(1);
/// How long a turn stays when nothing comes and nobody else waits.
const STAY: Duration = Duration::from_secs(5);
/// After a turn that failed, or that another process has taken.
const AGAIN: Duration = Duration::from_secs(5);

/// Tells the courier that there is something in a spool.
#[derive(Clone)]
pub(super) struct Hint {
    hints: Sender<PathBuf>,
    /// Spools that need no hint: one has been given, and no turn has begun since.
    given: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Hint {
    /// Bytes have come to this spool, or its end.
    pub(super) fn bytes(&self, dir: &Path) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.contains(dir) {
            return;
        }
        given.insert(dir.to_owned());
        // Nobody hears it when the agent ends: the next one looks.
        drop(self.hints.send(dir.to_owned()));
    }
}

/// What is known of deliveries, for whoever asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// Turns that are under way.
    pub(super) running: usize,
    /// Spools that wait for one.
    pub(super) waiting: usize,
    /// Spools that were delivered to their end.
    pub(super) delivered: u64,
    /// By log store: why the last try failed, if it did.
    pub(super) stores: BTreeMap<String, Option<String>>,
    /// By spool: when all that was there was delivered.
    pub(super) caught_up: HashMap<PathBuf, Instant>,
}

/// See the module.
pub(super) struct Courier {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
    report: Arc<Mutex<Report>>,
    stacks: Arc<OpenStacks>,
    stopper: Option<Stopper>,
    hint: Hint,
}

enum Command {
    /// Tell when nothing is left.
    Drain(Sender<()>),
    /// End now.
    Stop,
}

struct Finished {
    dir: PathBuf,
    what: Finish,
}

enum Finish {
    Delivered,
    CaughtUp,
    Stopped,
    Failed,
}

/// The scheduling thread.
struct Scheduler {
    root: PathBuf,
    deliveries: usize,
    stacks: Arc<OpenStacks>,
    report: Arc<Mutex<Report>>,
    given: Arc<Mutex<HashSet<PathBuf>>>,
    stop: Stop,
    log: Log,
    waiting: VecDeque<PathBuf>,
    queued: HashSet<PathBuf>,
    running: HashSet<PathBuf>,
    /// Something came to these while their turn was under way.
    more: HashSet<PathBuf>,
    /// Not before.
    later: HashMap<PathBuf, Instant>,
    /// How much there was at the last look, of those that do not hint.
    sizes: HashMap<PathBuf, u64>,
    /// How many wait, for the turns to know.
    others: Arc<AtomicUsize>,
    /// Spools of this process: they hint.
    own: HashSet<PathBuf>,
    finished: Sender<Finished>,
    drains: Vec<Sender<()>>,
}

impl Courier {
    pub(super) fn start(
        root: PathBuf,
        deliveries: usize,
        stacks: OpenStacks,
        log: Log,
    ) -> io::Result<Self> {
        let (commands, orders) = unbounded();
        let (hints, hinted) = unbounded();
        let (finished, ends) = unbounded();
        let (stopper, stop) = ship::stop();
        let report = Arc::new(Mutex::new(Report::default()));
        let given = Arc::new(Mutex::new(HashSet::new()));
        let stacks = Arc::new(stacks);
        let scheduler = Scheduler {
            root,
            deliveries,
            stacks: Arc::clone(&stacks),
            report: Arc::clone(&report),
            given: Arc::clone(&given),
            stop,
            log,
            waiting: VecDeque::new(),
            queued: HashSet::new(),
            running: HashSet::new(),
            more: HashSet::new(),
            later: HashMap::new(),
            sizes: HashMap::new(),
            others: Arc::default(),
            own: HashSet::new(),
            finished,
            drains: Vec::new(),
        };
        let builder = thread::Builder::new().name("courier".to_owned());
        let thread = builder.spawn(move || scheduler.run(&orders, &hinted, &ends))?;
        let hint = Hint { hints, given };
        Ok(Self { commands, thread: Some(thread), report, stacks, stopper: Some(stopper), hint })
    }

    pub(super) fn hint(&self) -> Hint {
        self.hint.clone()
    }

    pub(super) fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The stack file has changed: turns that begin from now on use it.
    pub(super) fn reload(&self) {
        self.stacks.forget();
    }

    /// Hears when nothing is left to deliver of writers that have ended.
    pub(super) fn drained(&self) -> Receiver<()> {
        let (sender, receiver) = unbounded();
        drop(self.commands.send(Command::Drain(sender)));
        receiver
    }

    /// Ends all turns: the rest stays in the spools.
    pub(super) fn stop(mut self) {
        drop(self.stopper.take());
        drop(self.commands.send(Command::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Scheduler {
    fn run(
        mut self,
        orders: &Receiver<Command>,
        hinted: &Receiver<PathBuf>,
        ends: &Receiver<Finished>,
    ) {
        let looks = tick(LOOK);
        let mut stopping = false;
        self.look();
        loop {
            if stopping {
                if self.running.is_empty() {
                    return;
                }
            } else {
                // What has been told so far comes before the answer that nothing is left.
                hinted.try_iter().for_each(|dir| self.hinted(dir));
                self.begin();
                self.tell();
            }
            select! {
                recv(hinted) -> dir => if let Ok(dir) = dir { self.hinted(dir) },
                recv(ends) -> end => if let Ok(end) = end { self.ended(end) },
                recv(orders) -> order => match order {
                    Ok(Command::Drain(sender)) => {
                        self.look();
                        self.drains.push(sender);
                    }
                    Ok(Command::Stop) | Err(_) => stopping = true,
                },
                recv(looks) -> _ => self.look(),
            }
        }
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of this process has given something to its spool.
    fn hinted(&mut self, dir: PathBuf) {
        self.own.insert(dir.clone());
        self.wants(dir);
    }

    /// There is something to deliver in this spool.
    fn wants(&mut self, dir: PathBuf) {
        if self.running.contains(&dir) {
            self.more.insert(dir);
        } else if !self.later.contains_key(&dir) && self.queued.insert(dir.clone()) {
            self.waiting.push_back(dir);
        }
    }

    /// Spools that nobody has told of: of other processes, and of those that are gone.
    fn look(&mut self) {
        let now = Instant::now();
        self.later.retain(|_, until| *until > now);
        let entries = match spool::writers(&self.root) {
            Ok(entries) => entries,
            Err(error) => {
                let root = self.root.display();
                self.log.warn(&format!("cannot list the spools in {root}: {error}"));
                return;
            }
        };
        let known: HashSet<&PathBuf> = entries.iter().collect();
        self.sizes.retain(|dir, _| known.contains(dir));
        self.own.retain(|dir| known.contains(dir));
        self.report().caught_up.retain(|dir, _| known.contains(dir));
        for dir in entries {
            let known = self.running.contains(&dir) || self.queued.contains(&dir);
            if known || self.later.contains_key(&dir) {
                continue;
            }
            if self.own.contains(&dir) && self.sizes.contains_key(&dir) {
                continue;
            }
            // What is gone since has been delivered.
            let Ok((state, bytes)) = spool::growth(&dir) else { continue };
            let before = self.sizes.insert(dir.clone(), bytes);
            if before != Some(bytes) || state != SpoolState::Live {
                self.wants(dir);
            }
        }
    }

    /// Begins as many turns as there may be.
    fn begin(&mut self) {
        while self.running.len() < self.deliveries
            && let Some(dir) = self.waiting.pop_front()
        {
            self.queued.remove(&dir);
            self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(&dir);
            self.running.insert(dir.clone());
            let turn = Turn {
                dir: dir.clone(),
                stacks: Arc::clone(&self.stacks),
                report: Arc::clone(&self.report),
                stop: self.stop.clone(),
                others: Arc::clone(&self.others),
                log: self.log.clone(),
            };
            let finished = self.finished.clone();
            let builder = thread::Builder::new().name("delivery".to_owned());
            let begun = builder.spawn(move || {
                let dir = turn.dir.clone();
                let what = turn.run();
                drop(finished.send(Finished { dir, what }));
            });
            if let Err(error) = begun {
                self.log.warn(&format!("cannot start a thread for delivery: {error}"));
                self.ended(Finished { dir, what: Finish::Failed });
                break;
            }
        }
        // Who wants everything delivered does not want to wait for what may come.
        self.others.store(self.waiting.len() + self.drains.len(), Ordering::Relaxed);
        let (running, waiting) = (self.running.len(), self.waiting.len());
        let mut report = self.report();
        (report.running, report.waiting) = (running, waiting);
    }

    fn ended(&mut self, Finished { dir, what }: Finished) {
        self.running.remove(&dir);
        let more = self.more.remove(&dir);
        match what {
            Finish::Delivered => {
                self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(&dir);
                let mut report = self.report();
                report.delivered += 1;
                report.caught_up.remove(&dir);
            }
            Finish::CaughtUp => {
                self.report().caught_up.insert(dir.clone(), Instant::now());
                self.sizes.entry(dir.clone()).or_default();
                if more {
                    self.wants(dir);
                }
            }
            Finish::Stopped => {}
            Finish::Failed => {
                self.sizes.remove(&dir);
                self.later.insert(dir, Instant::now() + AGAIN);
            }
        }
    }

    /// Tells those who wait for it that nothing is left.
    fn tell(&mut self) {
        let idle = self.running.is_empty() && self.waiting.is_empty() && self.later.is_empty();
        if idle && !self.drains.is_empty() {
            for drain in self.drains.drain(..) {
                drain.send(()).ok();
            }
        }
    }
}

/// One spool's turn.
struct Turn {
    dir: PathBuf,
    stacks: Arc<OpenStacks>,
    report: Arc<Mutex<Report>>,
    stop: Stop,
    others: Arc<AtomicUsize>,
    log: Log,
}

impl Turn {
    fn run(&self) -> Finish {
        match self.try_run() {
            Ok(finish) => finish,
            Err(_) if !self.dir.exists() => Finish::Delivered,
            Err(message) => {
                self.log.limited(&format!("deliver {}: {message}", self.dir.display()));
                Finish::Failed
            }
        }
    }

    fn try_run(&self) -> Result<Finish, String> {
        let meta = spool::read_meta(&self.dir).map_err(|error| chain(&error))?;
        let open = self.stacks.of(&meta).map_err(|error| chain(&error))?;
        let Some(handle) = open.handle() else { return Ok(Finish::Stopped) };
        let targets: Vec<_> = open.stores.iter().map(Target::another).collect();
        let over = |quiet: Duration| {
            self.note(&targets);
            quiet >= STAY || self.others.load(Ordering::Relaxed) > 0
        };
        let shipped = ship::ship_spool(
            &self.dir,
            &meta,
            &targets,
            &open.stack.ship,
            open.stack.spool.max_bytes,
            handle,
            Until::Told(&over),
            &self.stop,
        );
        self.note(&targets);
        match shipped {
            Ok(Outcome::Delivered) => {
                targets.iter().filter_map(refusal).for_each(|line| self.log.warn(&line));
                Ok(Finish::Delivered)
            }
            Ok(Outcome::CaughtUp) => Ok(Finish::CaughtUp),
            Ok(Outcome::Stopped) => Ok(Finish::Stopped),
            Err(SpoolError::Held { .. }) => Ok(Finish::Failed),
            Err(error) => Err(chain(&error)),
        }
    }

    fn note(&self, targets: &[Target]) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        for target in targets {
            report.stores.insert(target.name.clone(), target.progress.error());
        }
    }
}
