//! Job control: the step and the terminal that steplog was started from.
//!
//! The step has a process group of its own, so the shell knows only ours. Three things follow:
//!
//! * The keyboard belongs to the terminal's foreground group, so the step's group is put there,
//!   and ours again when the step has ended or stopped. Not where own stdout is a pipe: then
//!   somebody in our group may be at its other end and need the keyboard (`… | less`). Should the
//!   step touch the terminal from the background all the same, it is stopped by TTIN or TTOU, we
//!   see that, give it the foreground and let it go on.
//! * When the step stops (Ctrl-Z), we stop as well, so that the shell sees its job stopped; when
//!   we go on, it goes on, in the foreground if we are.
//! * Where nobody could make us go on (no shell with job control above us), the kernel does not
//!   stop us, and the step goes on at once.

use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal as Number, sigaction};
use nix::unistd::Pid;

use super::signals::Signal;
use super::spawn::{Foreground, Output, Step, stdout_is_pipeline};
use super::terminal::Terminal;

/// The terminal, if there is one, and what is to be done with it.
#[derive(Debug)]
pub(super) struct JobControl {
    terminal: Option<Terminal>,
    /// The step's group belongs into the foreground while we would be there.
    hand_over: bool,
    raw: bool,
    /// TSTP came to us: when the step has stopped, so do we.
    stop_asked: bool,
}

/// What a stopped step calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnStop {
    /// It has the foreground now and is to go on.
    GoOn,
    /// We are to stop too.
    Follow,
    /// Somebody stopped it on purpose and will let it go on.
    Wait,
}

impl JobControl {
    /// Looks at where steplog was started from.
    pub(super) fn find(step: &Step) -> Self {
        let terminal = Terminal::controlling();
        let hand_over = step.output != Output::Terminal
            && io::stdin().is_terminal()
            && !stdout_is_pipeline()
            && terminal.as_ref().is_some_and(Terminal::is_ours);
        Self { terminal, hand_over, raw: false, stop_asked: false }
    }

    /// Nothing is done with any terminal.
    pub(super) fn none() -> Self {
        Self { terminal: None, hand_over: false, raw: false, stop_asked: false }
    }

    pub(super) fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }

    pub(super) fn foreground(&self) -> Foreground {
        if self.hand_over { Foreground::Hand } else { Foreground::No }
    }

    /// Keys go to the step's own terminal unchanged.
    pub(super) fn make_raw(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            self.raw = true;
            if terminal.is_ours() {
                // Then keys go through as the terminal has them.
                terminal.make_raw().ok();
            }
        }
    }

    /// Whether what is typed is ours to read.
    pub(super) fn has_keyboard(&self) -> bool {
        self.terminal.as_ref().is_some_and(Terminal::is_ours)
    }

    /// The size of the terminal has changed.
    pub(super) fn copy_size(&self, to: BorrowedFd<'_>) {
        if let Some(terminal) = &self.terminal {
            terminal.copy_size(to);
        }
    }

    /// TSTP came to us and was passed on.
    pub(super) fn stop_asked(&mut self) {
        self.stop_asked = true;
    }

    /// The step has stopped.
    pub(super) fn on_stop(&mut self, step: Pid, by: Signal) -> OnStop {
        let wants_terminal = by == Signal::TTIN || by == Signal::TTOU;
        match &self.terminal {
            Some(terminal) if wants_terminal && terminal.belongs_to(step) => OnStop::GoOn,
            Some(terminal) if wants_terminal && terminal.is_ours() => {
                terminal.give_to(step);
                self.hand_over = true;
                OnStop::GoOn
            }
            Some(_) if wants_terminal || self.hand_over || self.stop_asked => OnStop::Follow,
            None if self.stop_asked => OnStop::Follow,
            _ => OnStop::Wait,
        }
    }

    /// Stops this process and whoever shares its job, until the shell lets it go on. Says how long
    /// that took.
    pub(super) fn stop_ourselves(&mut self, step: Pid) -> Duration {
        self.leave_terminal(step);
        let at = Instant::now();
        // SAFETY: the default action is a valid one, and the action put back is the one that was
        // there; kill(2) takes two integers.
        unsafe {
            let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
            if let Ok(before) = sigaction(Number::SIGTSTP, &default) {
                // Here this process stands still. Whoever shares its group was stopped by the same
                // key, unless the key went to the step's group alone.
                let whom = if self.hand_over { 0 } else { libc::getpid() };
                libc::kill(whom, libc::SIGTSTP);
                sigaction(Number::SIGTSTP, &before).ok();
            }
        }
        self.stop_asked = false;
        self.enter_terminal(step);
        at.elapsed()
    }

    /// The terminal is ours again, as it was.
    pub(super) fn leave_terminal(&mut self, step: Pid) {
        if let Some(terminal) = &mut self.terminal {
            if terminal.belongs_to(step) {
                terminal.take_back();
            }
            terminal.restore();
        }
    }

    /// We were put into the foreground, or may have been.
    pub(super) fn enter_terminal(&mut self, step: Pid) {
        if let Some(terminal) = &mut self.terminal
            && terminal.is_ours()
        {
            if self.hand_over {
                terminal.give_to(step);
            } else if self.raw {
                terminal.make_raw().ok();
            }
        }
    }
}
