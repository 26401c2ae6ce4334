//! Children: waiting for all of them, and finding those that were left to us.
//!
//! The wrapper is a subreaper (or process 1), so it inherits every process of the step whose own
//! parent has ended. All of them are reaped; the step is told apart by its process id.

use std::fs;
use std::io;
use std::time::Duration;

use nix::libc;
use nix::unistd::{Pid, getpgid, getpgrp};

use super::signals::Signal;
use crate::record::Usage;

/// What a child has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has ended and is reaped.
    Ended(Ending),
    /// It stands still.
    Stopped(Signal),
    /// It goes on.
    Continued,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) how: How,
    pub(crate) usage: Usage,
}

/// By itself or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Exited(i32),
    Killed { signal: Signal, core: bool },
}

impl How {
    /// What a status of wait(2) says; `None` if the process lives.
    pub(crate) fn of(status: i32) -> Option<Self> {
        if libc::WIFEXITED(status) {
            return Some(Self::Exited(libc::WEXITSTATUS(status)));
        }
        let killed = || Self::Killed {
            signal: Signal(libc::WTERMSIG(status)),
            core: libc::WCOREDUMP(status),
        };
        libc::WIFSIGNALED(status).then(killed)
    }

    /// The status that a shell would show.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code as u8,
            Self::Killed { signal, .. } => 128_u8.wrapping_add(signal.0 as u8),
        }
    }
}

/// Becomes the parent of every process of the step that loses its own.
pub(crate) fn become_subreaper() {
    // An old kernel or a strict sandbox refuses: then orphans go to process 1, as without steplog.
    nix::sys::prctl::set_child_subreaper(true).ok();
}

/// The next child that has changed, if there is one; never waits.
pub(crate) fn next_change() -> Option<(Pid, Change)> {
    loop {
        let mut status = 0;
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: both pointers are to memory of the right size that lives for the call; all-zero
        // is a valid `rusage` where the call does not fill it.
        let (pid, usage) = unsafe {
            let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
            let pid = libc::wait4(-1, &raw mut status, options, usage.as_mut_ptr());
            (pid, usage.assume_init())
        };
        if pid < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
            continue;
        }
        if pid <= 0 {
            return None;
        }
        let change = if let Some(how) = How::of(status) {
            Change::Ended(Ending { how, usage: to_usage(&usage) })
        } else if libc::WIFSTOPPED(status) {
            Change::Stopped(Signal(libc::WSTOPSIG(status)))
        } else {
            Change::Continued
        };
        return Some((Pid::from_raw(pid), change));
    }
}

fn to_usage(usage: &libc::rusage) -> Usage {
    let micros = |time: libc::timeval| {
        let duration =
            Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64);
        duration.as_micros() as u64
    };
    Usage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss as u64,
        major_faults: usage.ru_majflt as u64,
        voluntary_switches: usage.ru_nvcsw as u64,
        involuntary_switches: usage.ru_nivcsw as u64,
    }
}

/// Sends a signal to the step's process group and to every process that was left to us.
///
/// Once the step itself is reaped, the group's number may be given to others when the group is
/// empty; then it is signalled only while somebody of it is our child. `ours` is a child that is
/// no part of the step (ship).
pub(crate) fn signal_all(step: Pid, reaped: bool, signal: Signal, ours: Option<Pid>) {
    let own = getpgrp();
    let mut groups = Vec::new();
    if !reaped {
        groups.push(step);
        send(-step.as_raw(), signal);
    }
    for child in children() {
        if child == step || Some(child) == ours {
            continue;
        }
        match getpgid(Some(child)) {
            // It has it already.
            Ok(its) if groups.contains(&its) => {}
            Ok(its) if its != own => {
                groups.push(its);
                send(-its.as_raw(), signal);
            }
            _ => send(child.as_raw(), signal),
        }
    }
}

/// A process that is gone, or has become somebody else's, needs no signal: errors say just that.
fn send(target: i32, signal: Signal) {
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    unsafe { libc::kill(target, signal.0) };
}

/// Direct children of this process.
fn children() -> Vec<Pid> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        let Ok(list) = fs::read_to_string(task.path().join("children")) else { continue };
        found.extend(list.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(How::Exited(0).code(), 0);
        assert_eq!(How::Exited(255).code(), 255);
        assert_eq!(How::Killed { signal: Signal::KILL, core: false }.code(), 137);
        assert_eq!(How::Killed { signal: Signal(64), core: false }.code(), 192);
    }
}
