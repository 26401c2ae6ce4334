//! Signals as something to read: every signal that a process can meaningfully catch.
//!
//! Handlers, not signalfd(2): a handler is reset by execve(2), whereas the mask that signalfd
//! needs would be inherited by the step. A signal that was ignored when steplog started (`nohup`,
//! a background job of a shell without job control) stays ignored, as the step inherits that.
//!
//! Not caught: KILL and STOP, which cannot be; ILL, FPE, SEGV and BUS, after which a process that
//! really has that fault would not end; PIPE, which the runtime ignores so that a closed pipe is
//! an error code.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::libc;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// A signal's number, with a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(pub(crate) i32);

impl Signal {
    /// Terminal gone, or reload.
    pub(crate) const HUP: Self = Self(libc::SIGHUP);
    /// Ctrl-C.
    pub(crate) const INT: Self = Self(libc::SIGINT);
    /// Please end.
    pub(crate) const TERM: Self = Self(libc::SIGTERM);
    /// End.
    pub(crate) const KILL: Self = Self(libc::SIGKILL);
    /// A child changed its state.
    pub(crate) const CHLD: Self = Self(libc::SIGCHLD);
    /// Go on.
    pub(crate) const CONT: Self = Self(libc::SIGCONT);
    /// Ctrl-Z.
    pub(crate) const TSTP: Self = Self(libc::SIGTSTP);
    /// Read from the terminal in the background.
    pub(crate) const TTIN: Self = Self(libc::SIGTTIN);
    /// Wrote to the terminal in the background.
    pub(crate) const TTOU: Self = Self(libc::SIGTTOU);
    /// The terminal's size changed.
    pub(crate) const WINCH: Self = Self(libc::SIGWINCH);
}

impl fmt::Display for Signal {
    /// `SIGTERM`, `SIGRTMIN+3`, …
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(known) = nix::sys::signal::Signal::try_from(self.0) {
            return formatter.write_str(known.as_str());
        }
        match self.0 - libc::SIGRTMIN() {
            0 => formatter.write_str("SIGRTMIN"),
            offset => write!(formatter, "SIGRTMIN{offset:+}"),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The signals of this process, from [`Signals::catch`] on.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// All that can be caught and were not ignored.
    pub(crate) fn catch() -> io::Result<Self> {
        let numbers = (1..=libc::SIGRTMAX()).filter(|&number| {
            let skipped = match number {
                libc::SIGKILL
                | libc::SIGSTOP
                | libc::SIGPIPE
                | libc::SIGILL
                | libc::SIGFPE
                | libc::SIGSEGV
                | libc::SIGBUS => true,
                // Between the standard and the real-time signals are those of the C library.
                _ => number > libc::SIGSYS && number < libc::SIGRTMIN(),
            };
            // Without SIGCHLD nothing works, whoever ignored it.
            !skipped && (number == libc::SIGCHLD || !is_ignored(number))
        });
        Self::of(numbers)
    }

    /// These, unless they were ignored.
    pub(crate) fn catch_only(signals: &[Signal]) -> io::Result<Self> {
        let wanted = |signal: &&Signal| **signal == Signal::CHLD || !is_ignored(signal.0);
        Self::of(signals.iter().filter(wanted).map(|signal| signal.0))
    }

    fn of(numbers: impl Iterator<Item = i32>) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        Ok(Self { delivery: SignalDelivery::with_pipe(read, write, SignalOnly, numbers)? })
    }

    /// Readable when a signal has arrived.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }

    /// What has arrived since it was asked last; several of the same number are one.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Signal> + use<> {
        self.delivery.pending().map(Signal)
    }
}

/// Whether this process was started with the signal ignored (or has ignored it since).
fn is_ignored(number: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action changes nothing; the old one is written to memory of its size,
    // and all-zero is a valid value of it should the call fail.
    let action = unsafe {
        libc::sigaction(number, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
        assert_eq!(Signal(libc::SIGRTMIN()).to_string(), "SIGRTMIN");
        assert_eq!(Signal(libc::SIGRTMIN() + 3).to_string(), "SIGRTMIN+3");
    }
}
