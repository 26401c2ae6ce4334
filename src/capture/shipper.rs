//! Keeps a `steplog ship` process on the spool: starts it, starts it again when it dies, ends it.
//!
//! Ship is a process of its own so that nothing it does (or dies of) touches the step: in a session
//! of its own, so that the terminal's signals do not reach it; niced, so that it takes no processor
//! time that the step could use; with none of the descriptors that steplog inherited, so that
//! nobody who waits for those to close waits for it. What it says goes to a file in the spool's
//! directory and is shown only if it fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::SigmaskHow;
use nix::unistd::{Pid, setsid};

use super::process::{How, Signal, set_background_signals};
use crate::ship::Settings;

/// Where ship's standard error goes, in the spool's directory.
const LOG: &str = "ship.log";

/// How much lower than the step's ship's priority is.
const NICE: i32 = 5;

/// First pause before ship is started again; doubles. `[ship] retry_initial` can make it shorter.
const BACKOFF: Duration = Duration::from_millis(100);

/// Longest pause before ship is started again. `[ship] retry_max` can make it shorter.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A ship that has lived this long has not failed at once.
const SETTLED: Duration = Duration::from_secs(30);

/// The most of ship's last words that is shown.
const LAST_WORDS: u64 = 2048;

/// With these exit codes starting it again would change nothing: usage or a wrong stack file, and a
/// log store that does not allow it.
const FINAL: [i32; 2] = [2, 4];

/// With this exit code it has delivered everything but for records that a log store refused.
const REFUSED: i32 = 5;

/// The ship process of one spool.
#[derive(Debug)]
pub(crate) struct Shipper {
    spool: PathBuf,
    stack: Option<PathBuf>,
    log: Option<File>,
    said: u64,
    state: State,
    first_backoff: Duration,
    longest_backoff: Duration,
    backoff: Duration,
    started: Instant,
    nice: i32,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Running(Pid),
    /// It died and is to be started again.
    Waiting(Instant),
    /// Everything has been delivered, but for what a log store refused for good.
    Delivered {
        refused: bool,
    },
    /// It cannot work, and starting it again would not help.
    Failed,
}

/// Ship ended before its work was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// What it said last, if it said anything.
    pub words: String,
    /// It will not be started again.
    pub final_: bool,
}

impl Shipper {
    /// Starts ship on a spool. With a stack file, the same one that this process uses.
    pub(crate) fn start(
        spool: &Path,
        stack: Option<&Path>,
        settings: &Settings,
        now: Instant,
    ) -> Self {
        let log = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(spool.join(LOG))
            .ok();
        let mut shipper = Self {
            spool: spool.to_owned(),
            stack: stack.map(Path::to_owned),
            log,
            said: 0,
            state: State::Waiting(now),
            first_backoff: BACKOFF.min(settings.retry_initial),
            longest_backoff: BACKOFF_MAX.min(settings.retry_max),
            backoff: BACKOFF.min(settings.retry_initial),
            started: now,
            nice: NICE,
        };
        shipper.launch(now);
        shipper
    }

    fn launch(&mut self, now: Instant) {
        self.started = now;
        self.state = match self.spawn() {
            Ok(pid) => State::Running(pid),
            Err(_) => State::Waiting(now + self.next_backoff()),
        };
    }

    fn spawn(&self) -> io::Result<Pid> {
        let mut command = Command::new(own_program());
        command.arg0("steplog").arg("ship").arg(&self.spool);
        if let Some(stack) = &self.stack {
            command.arg("--stack").arg(stack);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        match &self.log {
            Some(log) => command.stderr(log.try_clone()?),
            None => command.stderr(Stdio::null()),
        };
        let nice = self.nice;
        // SAFETY: between fork and exec only async-signal-safe calls are made: setsid(2), nice(2),
        // sigprocmask(2), close_range(2); nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                setsid()?;
                libc::nice(nice);
                set_background_signals(SigmaskHow::SIG_UNBLOCK)?;
                // Not closed but marked: the runtime's own pipe, which reports errors of exec, is
                // among them. Kernels before 5.11 do not know it; then they are inherited.
                libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
                Ok(())
            });
        }
        Ok(Pid::from_raw(command.spawn()?.id() as i32))
    }

    fn next_backoff(&mut self) -> Duration {
        let pause = self.backoff;
        self.backoff = (pause * 2).min(self.longest_backoff);
        pause
    }

    /// The running process.
    pub(crate) fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Running(pid) => Some(pid),
            _ => None,
        }
    }

    /// The process has ended and is reaped. Says if that was too early, and why.
    pub(crate) fn ended(&mut self, how: How, now: Instant) -> Option<Death> {
        if let How::Exited(code @ (0 | REFUSED)) = how {
            self.state = State::Delivered { refused: code == REFUSED };
            return None;
        }
        if now.duration_since(self.started) >= SETTLED {
            self.backoff = self.first_backoff;
        }
        let final_ = matches!(how, How::Exited(code) if FINAL.contains(&code));
        self.state = if final_ { State::Failed } else { State::Waiting(now + self.next_backoff()) };
        Some(Death { words: self.last_words(), final_ })
    }

    /// When ship is to be started again.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(until) => Some(until),
            _ => None,
        }
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant) {
        if self.due().is_some_and(|due| now >= due) {
            self.launch(now);
        }
    }

    pub(crate) fn is_delivered(&self) -> bool {
        matches!(self.state, State::Delivered { .. })
    }

    /// Everything has been delivered but for what a log store refused.
    pub(crate) fn has_refused(&self) -> bool {
        self.state == State::Delivered { refused: true }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Asks it to end: what it has not delivered stays in the spool.
    pub(crate) fn stop(&self, signal: Signal) {
        if let State::Running(pid) = self.state {
            // SAFETY: kill(2) takes two integers; the process is our child and not reaped yet.
            unsafe { libc::kill(pid.as_raw(), signal.0) };
        }
    }

    /// What ship has said since this was asked last.
    pub(crate) fn last_words(&mut self) -> String {
        let Some(log) = &mut self.log else { return String::new() };
        let end = log.metadata().map_or(self.said, |metadata| metadata.len());
        let start = self.said.max(end.saturating_sub(LAST_WORDS));
        self.said = end;
        let mut words = Vec::new();
        if log.seek(SeekFrom::Start(start)).is_err()
            || log.take(LAST_WORDS).read_to_end(&mut words).is_err()
        {
            return String::new();
        }
        let words = String::from_utf8_lossy(&words);
        // It says who it is; so will whoever shows this.
        let lines = words.trim().lines().map(|line| line.strip_prefix("steplog: ").unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// This program, even if its file has been replaced since it was started.
fn own_program() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}
