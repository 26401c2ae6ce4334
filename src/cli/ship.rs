//! `steplog ship`: delivers spools.
//!
//! | code | |
//! |---|---|
//! | 0 | everything is delivered, or another process is at it |
//! | 1 | something is left in a spool: it was stopped, or a store or a disk failed |
//! | 2 | usage, or the stack file is wrong |
//! | 4 | the log store does not allow it |

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::reading::{self, Failure, NOT_ALLOWED, USAGE};
use super::wrap::{chain, say};
use crate::ship::{self, Error, Outcome, Progress, SpoolError, Stop, Stopper, Target};
use crate::spool::{self, SpoolEntry, SpoolState};
use crate::stack::{self, Stack};

/// Something is left in a spool.
const LEFT: u8 = 1;
/// How often the progress bar moves.
const REFRESH: Duration = Duration::from_millis(100);

/// Deliver what a spool holds to the log store
///
/// Follows a spool until its writer has ended, delivers everything and removes it. `steplog run`
/// does this by itself; it is needed for what was left behind when a store was away or a machine
/// was restarted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spool of one writer
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    spools: Vec<PathBuf>,
    /// Every spool whose writer has ended and that nobody delivers
    #[arg(long)]
    all: bool,
    /// The stack file [default: the one that the writer used]
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> ExitCode {
    reading::end(deliver(&args))
}

fn deliver(args: &Args) -> Result<u8, Failure> {
    let stop = stop_on_signals()
        .map_err(|error| Failure { code: LEFT, message: format!("wait for signals: {error}") })?;
    if args.all {
        return deliver_all(args.stack.as_deref(), &stop);
    }
    let mut code = 0;
    for dir in &args.spools {
        match one(dir, args.stack.as_deref(), &stop, None) {
            Ok(Outcome::Delivered) => {}
            Ok(Outcome::Stopped) => code = code.max(LEFT),
            Err(failure) => {
                say(&failure.message);
                code = code.max(failure.code);
            }
        }
    }
    Ok(code)
}

/// What earlier runs have left behind.
fn deliver_all(stack: Option<&Path>, stop: &Stop) -> Result<u8, Failure> {
    let root = stack::load(stack).map_err(Failure::usage)?.spool.dir;
    let entries = spool::list(&root).map_err(|error| Failure {
        code: LEFT,
        message: format!("list the spools in {}: {error}", root.display()),
    })?;
    let entries: Vec<SpoolEntry> =
        entries.into_iter().filter(|entry| entry.state != SpoolState::Live).collect();
    let bar = reading::bar(entries.iter().map(|entry| entry.bytes).sum(), "delivering");
    let (mut delivered, mut left, mut code) = (0_u64, 0_u64, 0);
    for entry in &entries {
        if stop.is_set() {
            left += 1;
            continue;
        }
        match one(&entry.path, stack, stop, Some(&bar)) {
            Ok(Outcome::Delivered) => delivered += 1,
            Ok(Outcome::Stopped) => left += 1,
            Err(failure) => {
                left += 1;
                code = code.max(failure.code);
                bar.suspend(|| say(&failure.message));
            }
        }
    }
    bar.finish_and_clear();
    if let Err(error) = spool::clean(&root) {
        say(format!("clean up {}: {error}", root.display()));
    }
    let rest = if left == 0 { String::new() } else { format!(", {left} left") };
    say(format!("{} delivered{rest}", reading::counted(delivered, "spool")));
    Ok(if left > 0 { code.max(LEFT) } else { code })
}

/// One spool, by the stack that its writer used.
fn one(
    dir: &Path,
    stack: Option<&Path>,
    stop: &Stop,
    bar: Option<&indicatif::ProgressBar>,
) -> Result<Outcome, Failure> {
    let left = |message: String| Failure { code: LEFT, message };
    let meta = spool::read_meta(dir)
        .map_err(|error| left(format!("read the spool {}: {}", dir.display(), chain(&error))))?;
    let file = stack.or(meta.stack_file.as_deref().filter(|file| file.exists()));
    let stack = match &meta.stack {
        Some(name) => stack::load_named(file, name),
        None => stack::load(file),
    };
    let stack = stack.map_err(Failure::usage)?;
    let targets = targets(&stack)?;
    let runtime = ship::runtime(&stack.ship)
        .map_err(|error| left(format!("start the threads for requests: {error}")))?;
    let over = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        if let Some(bar) = bar.filter(|bar| !bar.is_hidden()) {
            scope.spawn(|| show(bar, &targets, &over));
        }
        let result = ship::ship_spool(
            dir,
            &meta,
            &targets,
            &stack.ship,
            stack.spool.max_bytes,
            runtime.handle(),
            stop,
        );
        over.store(true, Ordering::Relaxed);
        result
    });
    runtime.shutdown_background();
    match result {
        Ok(Outcome::Stopped) => {
            for error in targets.iter().filter_map(|target| target.progress.error()) {
                say(error);
            }
            Ok(Outcome::Stopped)
        }
        Ok(outcome) => Ok(outcome),
        // Whoever holds it delivers it.
        Err(SpoolError::Held { .. }) => Ok(Outcome::Delivered),
        Err(error) => {
            let not_allowed =
                matches!(error, SpoolError::Delivery(Error::Refused { not_allowed: true, .. }));
            let code = if not_allowed { NOT_ALLOWED } else { LEFT };
            Err(Failure { code, message: chain(&error) })
        }
    }
}

pub(super) fn targets(stack: &Stack) -> Result<Vec<Target>, Failure> {
    stack
        .log_stores
        .iter()
        .map(|store| {
            let opened = store.config.store().map_err(|error| {
                // A folder that cannot be made now may be later; a wrong option stays wrong.
                let code = if is_io(&error) { LEFT } else { USAGE };
                Failure { code, message: format!("log store {}: {}", store.name, chain(&error)) }
            })?;
            Ok(Target { name: store.name.clone(), store: opened, progress: Progress::default() })
        })
        .collect()
}

fn is_io(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<io::Error>() || error.source().is_some_and(is_io)
}

/// Moves the bar by what the slowest store has acknowledged, until it is `over`.
fn show(bar: &indicatif::ProgressBar, targets: &[Target], over: &AtomicBool) {
    let before = bar.position();
    while !over.load(Ordering::Relaxed) {
        let slowest = targets.iter().map(|target| target.progress.offset()).min();
        bar.set_position(before + slowest.unwrap_or(0));
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
