//! `steplog ship`: delivers spools.
//!
//! | code | |
//! |---|---|
//! | 0 | everything is delivered, by this process or by another that was at it |
//! | 1 | something is left in a spool: it was stopped, or a store or a disk failed |
//! | 2 | usage, or the stack file is wrong |
//! | 4 | the log store does not allow it |
//! | 5 | everything is delivered but for records that a log store refused; they are in the dead letters |

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{process, thread};

use crossbeam_channel::select;
use indicatif::ProgressBar;
use nix::libc;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::reading::{self, Failure, NOT_ALLOWED};
use super::wrap::say;
use crate::delivery::{OpenError, OpenStacks, behind, chain, refusal};
use crate::ship::{self, Error, Outcome, Shipment, SpoolError, Stop, Stopper, Target, Until};
use crate::spool::{self, Meta, SpoolState};
use crate::stack;
use crate::words::counted;

/// Something is left in a spool.
const LEFT: u8 = 1;
/// Nothing is left, but records were refused.
const REFUSED: u8 = 5;
/// Spools that are shipped at the same time.
const AT_ONCE: usize = 4;
/// Between looks at a spool that another process delivers.
const HELD: Duration = Duration::from_millis(200);
/// How often the progress bar moves.
const REFRESH: Duration = Duration::from_millis(100);

/// Deliver what a spool holds to the log store
///
/// Follows a spool until its writer has ended, delivers everything and removes it. `steplog run`
/// does this by itself; it is needed for what was left behind when a store was away or a machine
/// was restarted. A spool that another process is delivering is waited for.
///
/// Exit codes: 0 everything is delivered; 1 something is left in a spool; 2 usage, or the stack file is
/// wrong; 4 the log store does not allow it; 5 everything is delivered but for records that a log
/// store refused.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spool of one writer, or a folder of them
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "SPOOL|DIR")]
    spools: Vec<PathBuf>,
    /// Every spool whose writer has ended and that nobody delivers
    #[arg(long)]
    all: bool,
    /// The stack file [default: the one that the writer used]
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> ExitCode {
    give_memory_back();
    reading::end(deliver(&args))
}

fn deliver(args: &Args) -> Result<u8, Failure> {
    let stop = stop_on_signals().map_err(|error| left(format!("wait for signals: {error}")))?;
    let stack = args.stack.as_deref();
    let root =
        if args.all { Some(stack::load(stack).map_err(Failure::usage)?.spool.dir) } else { None };
    let (mut spools, mut total) = (Vec::new(), 0);
    for path in root.iter().chain(&args.spools) {
        if root.is_none() && is_spool(path) {
            spools.push(Spool { dir: path.clone(), listed: false });
            continue;
        }
        let entries = spool::list(path)
            .map_err(|error| left(format!("list the spools in {}: {error}", path.display())))?;
        // One that is written to has a ship of its own.
        for entry in entries.into_iter().filter(|entry| entry.state != SpoolState::Live) {
            total += entry.bytes;
            spools.push(Spool { dir: entry.path, listed: true });
        }
    }
    let bar = reading::bar(total, "delivering");
    let stacks = OpenStacks::new(stack.map(Path::to_owned));
    let shipping = Shipping { stack, stacks, stop: &stop, bar: &bar };
    let tally = shipping.ship(&spools);
    bar.finish_and_clear();
    if let Some(root) = root {
        if let Err(error) = spool::clean(&root) {
            say(format!("clean up {}: {error}", root.display()));
        }
        say(tally.sentence());
    }
    Ok(tally.code())
}

/// Buffers of blocks and objects come and go in several threads. Left to itself, glibc keeps what
/// was freed once in an arena of each; asked, it gives large ones back at once.
#[cfg(target_env = "gnu")]
pub(super) fn give_memory_back() {
    const LARGE: libc::c_int = 256 << 10;
    // SAFETY: mallopt(3) takes two integers; no other thread is there yet that could allocate.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

#[cfg(not(target_env = "gnu"))]
pub(super) fn give_memory_back() {}

/// A writer's directory, or what may have been one: a folder of them has other folders only.
fn is_spool(path: &Path) -> bool {
    path.join("meta.json").exists() || !path.is_dir()
}

fn left(message: String) -> Failure {
    Failure { code: LEFT, message }
}

/// A spool to deliver.
struct Spool {
    dir: PathBuf,
    /// It was there a moment ago.
    listed: bool,
}

/// What came of several spools.
#[derive(Default)]
struct Tally {
    delivered: u64,
    /// By others.
    elsewhere: u64,
    left: u64,
    /// Records were refused.
    refused: bool,
    code: u8,
}

impl Tally {
    fn count(&mut self, result: &Result<Done, Failure>) {
        match result {
            Ok(Done::Delivered { refused }) => {
                self.delivered += 1;
                self.refused |= refused;
            }
            Ok(Done::Elsewhere) => self.elsewhere += 1,
            Ok(Done::Stopped) => {
                self.left += 1;
                self.code = self.code.max(LEFT);
            }
            Err(failure) => {
                self.left += 1;
                self.code = self.code.max(failure.code);
            }
        }
    }

    /// What is left counts more than what was refused.
    fn code(&self) -> u8 {
        if self.code == 0 && self.refused { REFUSED } else { self.code }
    }

    fn sentence(&self) -> String {
        let mut text = format!("{} delivered", counted(self.delivered, "spool"));
        let others = [(self.elsewhere, "delivered by another process"), (self.left, "left")];
        for (count, what) in others {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }
}

enum Done {
    Delivered {
        /// But for records that a store refused.
        refused: bool,
    },
    Stopped,
    /// Another process has delivered it.
    Elsewhere,
}

/// What all spools of one call have in common.
struct Shipping<'a> {
    stack: Option<&'a Path>,
    stacks: OpenStacks,
    stop: &'a Stop,
    bar: &'a ProgressBar,
}

impl Shipping<'_> {
    /// Ships all of them, a few at a time.
    fn ship(&self, spools: &[Spool]) -> Tally {
        let tally = Mutex::new(Tally::default());
        let queue = Mutex::new(spools.iter());
        let work = || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(spool) = next else { return };
                let result =
                    if self.stop.is_set() { Ok(Done::Stopped) } else { self.ship_one(spool) };
                if let Err(failure) = &result {
                    self.bar.suspend(|| say(&failure.message));
                }
                tally.lock().unwrap_or_else(PoisonError::into_inner).count(&result);
            }
        };
        match spools {
            [] => {}
            [_] => work(),
            _ => thread::scope(|scope| {
                for _ in spools.iter().take(AT_ONCE) {
                    scope.spawn(work);
                }
            }),
        }
        tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// One spool. While another process holds it, that one delivers it, or will leave it to us.
    fn ship_one(&self, spool: &Spool) -> Result<Done, Failure> {
        let Spool { dir, listed } = spool;
        let mut held = false;
        loop {
            let result = self.try_one(dir);
            if (held || *listed) && !matches!(result, Ok(Some(_))) && !dir.exists() {
                return Ok(Done::Elsewhere);
            }
            if let Some(done) = result? {
                return Ok(done);
            }
            if !held {
                let dir = dir.display();
                let what = format!("another process is delivering the spool {dir}; waiting for it");
                self.bar.suspend(|| say(what));
                held = true;
            }
            select! {
                recv(self.stop.channel()) -> _ => return Ok(Done::Stopped),
                default(HELD) => {}
            }
        }
    }

    /// By the stack that its writer used; none if another process holds it.
    fn try_one(&self, dir: &Path) -> Result<Option<Done>, Failure> {
        let meta = spool::read_meta(dir).map_err(|error| {
            left(format!("read the spool {}: {}", dir.display(), chain(&error)))
        })?;
        if let Some(line) = self.stacks.not_followed(dir, &meta) {
            self.bar.suspend(|| say(line));
        }
        let open = self.stacks.of(&meta).map_err(|error| self.unopened(dir, &meta, &error))?;
        let Some(handle) = open.handle() else { return Ok(Some(Done::Stopped)) };
        let targets: Arc<[Target]> = open.stores.iter().map(Target::another).collect();
        let over = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            if !self.bar.is_hidden() {
                scope.spawn(|| show(self.bar, &targets, &over));
            }
            let (settings, max) = (&open.stack.ship, open.stack.spool.max_bytes);
            let shipment = Shipment::open(dir, meta, Arc::clone(&targets), settings, max);
            let result =
                shipment.and_then(|mut shipment| shipment.turn(handle, Until::End, self.stop));
            over.store(true, Ordering::Relaxed);
            result
        });
        match result {
            Ok(Outcome::Delivered) => {
                let refused: Vec<String> = targets.iter().filter_map(refusal).collect();
                for line in &refused {
                    self.bar.suspend(|| say(line));
                }
                Ok(Some(Done::Delivered { refused: !refused.is_empty() }))
            }
            Ok(Outcome::Stopped | Outcome::CaughtUp | Outcome::Down) => {
                for target in targets.iter().filter(|target| !target.progress.is_delivered()) {
                    self.bar.suspend(|| say(behind(target)));
                }
                Ok(Some(Done::Stopped))
            }
            Err(SpoolError::Held { .. }) => Ok(None),
            Err(error) => {
                // That one stands for all that cannot go on; the others are behind for other reasons.
                for target in targets.iter() {
                    if let Some(cause) = target.progress.error()
                        && !chain(&error).contains(&cause)
                    {
                        self.bar.suspend(|| say(behind(target)));
                    }
                }
                let not_allowed =
                    matches!(error, SpoolError::Delivery(Error::Refused { not_allowed: true, .. }));
                let code = if not_allowed { NOT_ALLOWED } else { LEFT };
                Err(Failure { code, message: chain(&error) })
            }
        }
    }

    /// Says whose stack it is that cannot be had, and how its lines get out all the same.
    fn without_stack(&self, dir: &Path, meta: &Meta, errors: &stack::Errors) -> Failure {
        let dir = dir.display();
        let wanted = match &meta.stack {
            Some(name) => format!("the stack {name:?} that its writer used"),
            None => "a stack".to_owned(),
        };
        let gone = meta.stack_file.as_deref().filter(|file| !file.exists());
        let gone = match (self.stack, gone) {
            (None, Some(file)) => format!(" (its file {} is gone)", file.display()),
            _ => String::new(),
        };
        Failure::usage(format!(
            "the spool {dir} is to be delivered by {wanted}{gone}, which cannot be used; it is kept:\n{errors}\n    \
             help: give a stack file that has it: steplog ship {dir} --stack FILE"
        ))
    }

    /// Why no store can be had for this spool, and how its lines get out all the same.
    fn unopened(&self, dir: &Path, meta: &Meta, error: &OpenError) -> Failure {
        match error {
            OpenError::Stack(errors) => self.without_stack(dir, meta, errors),
            // A folder that cannot be made now may be later; a wrong option stays wrong.
            OpenError::Store { later: false, .. } => Failure::usage(chain(error)),
            OpenError::Store { later: true, .. } | OpenError::Threads(_) => left(chain(error)),
        }
    }
}

/// Moves the bar by what the slowest store has acknowledged, until it is `over`.
fn show(bar: &ProgressBar, targets: &[Target], over: &AtomicBool) {
    let mut shown = 0;
    loop {
        let last = over.load(Ordering::Relaxed);
        let slowest = targets.iter().map(|target| target.progress.offset()).min().unwrap_or(0);
        bar.inc(slowest.saturating_sub(shown));
        shown = shown.max(slowest);
        if last {
            return;
        }
        thread::sleep(REFRESH);
    }
}

/// TERM, INT and HUP leave the rest in the spool; a second one ends the process at once.
fn stop_on_signals() -> io::Result<Stop> {
    let (stopper, stop) = ship::stop();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let mut stopper: Option<Stopper> = Some(stopper);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in &mut signals {
            if stopper.take().is_none() {
                process::exit(i32::from(LEFT));
            }
        }
    })?;
    Ok(stop)
}
