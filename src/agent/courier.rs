//! Delivers every spool in the folder, a few at a time: the agent's own, those of `steplog run --via agent`
//! and what any process has left.
//!
//! ```text
//! hint, or a look at the folder ──► due (by time) ──► a turn ──► caught up: idle, or due after a rest
//!                                                      │ ◄ at most `[agent] deliveries` of a stack
//!                                                      └─► delivered: the spool is gone
//! ```
//!
//! A turn delivers what there is and then, while nobody else waits, stays a while for what may come. So
//! a stream that is idle has no thread and no timer, and thousands of busy ones take turns: what a turn costs
//! does not depend on how much it delivers, so each of them rests between its turns, the longer the more
//! there are, and delivers more at once. What a turn leaves ([`Kept`]) serves the next one.
//!
//! Each stack has slots of its own, and a turn whose store is down ends where others wait: what is
//! down starves nobody else. Apart from [`ship`], which delivers one spool and knows of no other. It
//! opens no input.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select, tick, unbounded};

use super::log::Log;
use super::telemetry::Spans;
use super::turn::{Finish, Finished, Kept, Others, Turn, Workers};
use crate::delivery::{OpenStacks, StackKey};
use crate::ship::{self, Stop, Stopper, Target};
use crate::spool::{self, SpoolState};

/// Between looks at the folder.
const LOOK: Duration = Duration::from_secs(1);
/// After a turn that failed, or that another process has taken.
const AGAIN: Duration = Duration::from_secs(5);
/// Where more spools are busy than may be delivered at once, each rests so long for each of them: about 500
/// turns begin in a second …
const REST: Duration = Duration::from_millis(2);
/// … but no longer, so that who looks sees what is new.
const LONGEST_REST: Duration = Duration::from_millis(1500);
/// A spool that had a turn so lately is busy.
const BUSY: Duration = Duration::from_secs(3);
/// What a turn has left is kept so long …
const KEEP: Duration = Duration::from_secs(10);
/// … for so many spools: each has four descriptors and a few kilobytes.
const MOST_KEPT: usize = 2000;

/// Tells the courier that there is something in a spool.
#[derive(Clone)]
pub(super) struct Hint {
    hints: Sender<Hinted>,
    /// Spools that need no hint: one has been given, and no turn has begun since.
    given: Given,
}

type Given = Arc<Mutex<HashSet<Arc<Path>>>>;

struct Hinted {
    dir: Arc<Path>,
    /// It is its end, for which nobody is to wait.
    end: bool,
}

impl Hint {
    /// Bytes have come to this spool.
    pub(super) fn bytes(&self, dir: &Path) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.contains(dir) {
            return;
        }
        let dir: Arc<Path> = dir.into();
        given.insert(Arc::clone(&dir));
        // Nobody hears it when the agent ends: the next one looks.
        drop(self.hints.send(Hinted { dir, end: false }));
    }

    /// Its writer has ended.
    pub(super) fn end(&self, dir: &Path) {
        drop(self.hints.send(Hinted { dir: dir.into(), end: true }));
    }
}

/// What is known of deliveries, for whoever asks.
#[derive(Clone, Default)]
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
    pub(super) caught_up: HashMap<Arc<Path>, Instant>,
    /// By spool: the log stores of its last turn, which know how far they are.
    pub(super) targets: HashMap<Arc<Path>, Arc<[Target]>>,
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

/// What is known of one spool.
struct Spool {
    /// A stream of this process: it hints.
    own: bool,
    /// How much there was at the last look, of those that do not hint.
    size: Option<u64>,
    /// Which of the groups it belongs to, once its meta file has been read.
    group: Option<usize>,
    stage: Stage,
    /// When its last turn ended, and how long its stores let lines wait.
    last: Option<(Instant, Duration)>,
    kept: Option<Box<Kept>>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// There is nothing to deliver.
    Idle,
    /// Its turn may begin then.
    Due(Instant),
    Running {
        /// Something has come meanwhile, and whether that was its end.
        more: Option<bool>,
    },
    /// Its last turn failed; not before then.
    Later(Instant),
}

/// The spools of one stack.
struct Group {
    key: StackKey,
    running: usize,
    due: BTreeSet<(Instant, Arc<Path>)>,
    /// Spools that had a turn lately, at the last look.
    busy: usize,
    /// How many wait, for its turns to know.
    others: Others,
}

/// The scheduling thread.
struct Scheduler {
    root: PathBuf,
    deliveries: usize,
    stacks: Arc<OpenStacks>,
    report: Arc<Mutex<Report>>,
    given: Given,
    stop: Stop,
    spans: Option<Spans>,
    log: Log,
    spools: HashMap<Arc<Path>, Spool>,
    groups: Vec<Group>,
    workers: Workers,
    drains: Vec<Sender<()>>,
}

impl Courier {
    pub(super) fn start(
        root: PathBuf,
        deliveries: usize,
        stacks: OpenStacks,
        spans: Option<Spans>,
        log: Log,
    ) -> io::Result<Self> {
        let (commands, orders) = unbounded();
        let (hints, hinted) = unbounded();
        let (finished, ends) = unbounded();
        let (stopper, stop) = ship::stop();
        let report = Arc::new(Mutex::new(Report::default()));
        let given = Given::default();
        let stacks = Arc::new(stacks);
        let scheduler = Scheduler {
            root,
            deliveries,
            stacks: Arc::clone(&stacks),
            report: Arc::clone(&report),
            given: Arc::clone(&given),
            stop,
            spans,
            log,
            spools: HashMap::new(),
            groups: Vec::new(),
            workers: Workers::new(finished),
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
        hinted: &Receiver<Hinted>,
        ends: &Receiver<Finished>,
    ) {
        let looks = tick(LOOK);
        let mut stopping = false;
        self.look();
        loop {
            let mut due = never();
            if stopping {
                if self.running() == 0 {
                    return;
                }
            } else {
                // What has been told so far comes before the answer that nothing is left.
                hinted.try_iter().for_each(|hint| self.hinted(&hint));
                ends.try_iter().for_each(|end| self.ended(end));
                if let Some(next) = self.begin() {
                    due = at(next);
                }
                self.tell();
            }
            select! {
                recv(hinted) -> hint => if let Ok(hint) = hint { self.hinted(&hint) },
                recv(ends) -> end => if let Ok(end) = end { self.ended(end) },
                recv(orders) -> order => match order {
                    Ok(Command::Drain(sender)) => {
                        self.look();
                        self.drains.push(sender);
                        self.hurry();
                    }
                    Ok(Command::Stop) | Err(_) => stopping = true,
                },
                recv(looks) -> _ => self.look(),
                recv(due) -> _ => {}
            }
        }
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> usize {
        self.groups.iter().map(|group| group.running).sum()
    }

    fn spool(&mut self, dir: &Arc<Path>) -> &mut Spool {
        self.spools.entry(Arc::clone(dir)).or_insert_with(|| Spool {
            own: false,
            size: None,
            group: None,
            stage: Stage::Idle,
            last: None,
            kept: None,
        })
    }

    /// A stream of this process has given something to its spool.
    fn hinted(&mut self, Hinted { dir, end }: &Hinted) {
        self.spool(dir).own = true;
        self.wants(dir, *end);
    }

    /// There is something to deliver in this spool, or it is its end.
    fn wants(&mut self, dir: &Arc<Path>, end: bool) {
        let now = Instant::now();
        let spool = self.spool(dir);
        match &mut spool.stage {
            Stage::Running { more } => *more = Some(end || more.unwrap_or_default()),
            Stage::Later(_) => {}
            Stage::Due(at) => {
                if end && *at > now {
                    self.set_due(dir, now);
                }
            }
            Stage::Idle => {
                let (last, group) = (spool.last, spool.group);
                let rest = last.map_or(Duration::ZERO, |(_, age)| self.rest(group, age));
                let at = last.map_or(now, |(last, _)| last + rest).max(now);
                self.set_due(dir, if end { now } else { at });
            }
        }
    }

    /// How long a spool whose stores let lines wait for `age` rests between its turns.
    fn rest(&self, group: Option<usize>, age: Duration) -> Duration {
        let Some(group) = group.and_then(|index| self.groups.get(index)) else {
            return Duration::ZERO;
        };
        let busy = group.busy.max(group.due.len() + group.running);
        if busy <= self.deliveries || !self.drains.is_empty() {
            return Duration::ZERO;
        }
        LONGEST_REST.min(REST * busy as u32).max(age)
    }

    fn set_due(&mut self, dir: &Arc<Path>, at: Instant) {
        self.set_stage(dir, Stage::Due(at));
    }

    /// Keeps the queue of the group in step.
    fn set_stage(&mut self, dir: &Arc<Path>, stage: Stage) {
        let group = match self.spool(dir).group {
            Some(group) => group,
            None => match self.group_of(dir) {
                Ok(group) => group,
                Err(_) if !dir.exists() => {
                    // Delivered, before the word of its end came.
                    self.spools.remove(dir);
                    return;
                }
                Err(why) => {
                    self.log.limited(&format!("deliver {}: {why}", dir.display()));
                    self.spool(dir).stage = Stage::Later(Instant::now() + AGAIN);
                    return;
                }
            },
        };
        let spool = self.spool(dir);
        spool.group = Some(group);
        let before = std::mem::replace(&mut spool.stage, stage);
        let Some(group) = self.groups.get_mut(group) else { return };
        if let Stage::Due(at) = before {
            group.due.remove(&(at, Arc::clone(dir)));
        }
        if let Stage::Due(at) = stage {
            group.due.insert((at, Arc::clone(dir)));
        }
    }

    fn group_of(&mut self, dir: &Path) -> Result<usize, String> {
        let meta = spool::read_meta(dir).map_err(|error| crate::delivery::chain(&error))?;
        let key = self.stacks.key(&meta);
        if let Some(known) = self.groups.iter().position(|group| group.key == key) {
            return Ok(known);
        }
        self.groups.push(Group {
            key,
            running: 0,
            due: BTreeSet::new(),
            busy: 0,
            others: Others::default(),
        });
        Ok(self.groups.len() - 1)
    }

    /// Who waits for everything to be delivered does not want anybody to rest.
    fn hurry(&mut self) {
        let now = Instant::now();
        let resting = self.groups.iter().flat_map(|group| group.due.iter());
        let resting: Vec<_> = resting.map(|(_, dir)| Arc::clone(dir)).collect();
        for dir in &resting {
            self.set_due(dir, now);
        }
    }

    /// Spools that nobody has told of: of other processes, and of those that are gone.
    fn look(&mut self) {
        let now = Instant::now();
        let entries = match spool::writers(&self.root) {
            Ok(entries) => entries,
            Err(error) => {
                let root = self.root.display();
                self.log.warn(&format!("cannot list the spools in {root}: {error}"));
                return;
            }
        };
        let known: HashSet<&Path> = entries.iter().map(PathBuf::as_path).collect();
        self.spools.retain(|dir, spool| {
            known.contains(&**dir) || matches!(spool.stage, Stage::Running { .. } | Stage::Due(_))
        });
        {
            let mut report = self.report();
            report.caught_up.retain(|dir, _| known.contains(&**dir));
            report.targets.retain(|dir, _| known.contains(&**dir));
        }
        for dir in &entries {
            let dir: Arc<Path> = dir.as_path().into();
            let spool = self.spool(&dir);
            match spool.stage {
                Stage::Later(until) if until <= now => spool.stage = Stage::Idle,
                Stage::Idle => {}
                _ => continue,
            }
            if spool.own && spool.size.is_some() {
                continue;
            }
            // What is gone since has been delivered.
            let Ok((state, bytes)) = spool::growth(&dir) else { continue };
            let ended = state != SpoolState::Live;
            if spool.size.replace(bytes) != Some(bytes) || ended {
                self.wants(&dir, ended);
            }
        }
        self.tidy(now);
    }

    /// Lets go of what no turn will soon need, and counts who is busy.
    fn tidy(&mut self, now: Instant) {
        self.groups.iter_mut().for_each(|group| group.busy = 0);
        let (mut kept, mut old) = (0, Vec::new());
        for (dir, spool) in &mut self.spools {
            let since = spool.last.map(|(last, _)| now.saturating_duration_since(last));
            if since.is_some_and(|since| since < BUSY)
                && let Some(group) = spool.group.and_then(|index| self.groups.get_mut(index))
            {
                group.busy += 1;
            }
            if spool.kept.is_some() {
                kept += 1;
                if kept > MOST_KEPT || since.is_none_or(|since| since > KEEP) {
                    spool.kept = None;
                    old.push(Arc::clone(dir));
                }
            }
        }
        let mut report = self.report();
        for dir in old {
            report.targets.remove(&dir);
        }
    }

    /// Begins as many turns as there may be. Tells when the next may begin.
    fn begin(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next = None;
        for index in 0..self.groups.len() {
            while let Some(group) = self.groups.get(index)
                && group.running < self.deliveries
                && let Some((at, dir)) = group.due.first().cloned()
            {
                if at > now {
                    next = Some(next.map_or(at, |next: Instant| next.min(at)));
                    break;
                }
                self.begin_one(index, dir);
            }
        }
        let waiting = self.groups.iter().map(|group| group.due.len()).sum();
        for group in &self.groups {
            // Who wants everything delivered does not want to wait for what may come.
            group.others.store(group.due.len() + self.drains.len(), Ordering::Relaxed);
        }
        let running = self.running();
        let mut report = self.report();
        (report.running, report.waiting) = (running, waiting);
        next
    }

    fn begin_one(&mut self, index: usize, dir: Arc<Path>) {
        self.set_stage(&dir, Stage::Running { more: None });
        self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(&dir);
        let kept = self.spool(&dir).kept.take();
        let Some(group) = self.groups.get_mut(index) else { return };
        group.running += 1;
        let turn = Turn {
            dir,
            kept,
            stacks: Arc::clone(&self.stacks),
            report: Arc::clone(&self.report),
            stop: self.stop.clone(),
            others: Arc::clone(&group.others),
            spans: self.spans.clone(),
            log: self.log.clone(),
        };
        let running = self.running();
        if let Err(error) = self.workers.run(turn, running) {
            self.log.warn(&format!("cannot start a thread for delivery: {error}"));
        }
    }

    fn ended(&mut self, Finished { dir, what, kept }: Finished) {
        let now = Instant::now();
        let spool = self.spool(&dir);
        let Stage::Running { more } = spool.stage else { return };
        spool.last = Some((now, kept.as_ref().map_or(Duration::ZERO, |kept| kept.seal_age())));
        spool.kept = kept;
        let group = spool.group;
        self.set_stage(&dir, Stage::Idle);
        if let Some(group) = group.and_then(|index| self.groups.get_mut(index)) {
            group.running -= 1;
        }
        match what {
            Finish::Delivered => {
                self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(&dir);
                self.spools.remove(&dir);
                let mut report = self.report();
                report.delivered += 1;
                report.caught_up.remove(&dir);
                report.targets.remove(&dir);
            }
            Finish::CaughtUp => {
                self.report().caught_up.insert(Arc::clone(&dir), now);
                self.spool(&dir).size.get_or_insert_default();
                if let Some(end) = more {
                    self.wants(&dir, end);
                }
            }
            Finish::Down => {
                let again = now + AGAIN;
                // Stores that are not down get what has come.
                let rest = self.rest(group, Duration::ZERO).max(LOOK);
                self.set_due(&dir, if more.is_some() { now + rest } else { again });
            }
            Finish::Stopped => {}
            Finish::Failed => {
                let spool = self.spool(&dir);
                spool.size = None;
                spool.stage = Stage::Later(now + AGAIN);
            }
        }
    }

    /// Tells those who wait for it that nothing is left.
    fn tell(&mut self) {
        let is_idle = |spool: &Spool| matches!(spool.stage, Stage::Idle);
        if !self.drains.is_empty() && self.spools.values().all(is_idle) {
            for drain in self.drains.drain(..) {
                drain.send(()).ok();
            }
        }
    }
}
