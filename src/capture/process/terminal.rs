//! The terminal that steplog itself was started from: who is in its foreground, its size, raw mode.
//!
//! A process in the background that touches its terminal is stopped by TTOU or TTIN unless it
//! blocks them, so whoever owns a [`Terminal`] blocks both; what it starts must unblock them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal as Number, pthread_sigmask};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// The controlling terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    device: File,
    /// As it was before raw mode.
    cooked: Option<Termios>,
}

impl Terminal {
    /// `None` where there is no controlling terminal: services, containers, most CI.
    pub(super) fn controlling() -> Option<Self> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC)
            .open("/dev/tty")
            .ok()?;
        set_background_signals(SigmaskHow::SIG_BLOCK).ok()?;
        Some(Self { device, cooked: None })
    }

    /// Whether steplog's own process group is the one that the keyboard belongs to.
    pub(super) fn is_ours(&self) -> bool {
        tcgetpgrp(&self.device).is_ok_and(|group| group == getpgrp())
    }

    /// Whether it belongs to that group.
    pub(super) fn belongs_to(&self, group: Pid) -> bool {
        tcgetpgrp(&self.device).is_ok_and(|foreground| foreground == group)
    }

    /// Puts a group into the foreground. Fails harmlessly when the group has just ended.
    pub(super) fn give_to(&self, group: Pid) {
        tcsetpgrp(&self.device, group).ok();
    }

    /// Puts steplog's own group into the foreground.
    pub(super) fn take_back(&self) {
        self.give_to(getpgrp());
    }

    /// Keys go through unchanged, Ctrl-C and Ctrl-Z too.
    pub(super) fn make_raw(&mut self) -> nix::Result<()> {
        let cooked = tcgetattr(&self.device)?;
        let mut raw = cooked.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&self.device, SetArg::TCSADRAIN, &raw)?;
        self.cooked.get_or_insert(cooked);
        Ok(())
    }

    /// Undoes raw mode.
    pub(super) fn restore(&mut self) {
        if let Some(cooked) = self.cooked.take() {
            tcsetattr(&self.device, SetArg::TCSADRAIN, &cooked).ok();
        }
    }

    /// Gives another terminal the size of this one.
    pub(super) fn copy_size(&self, other: BorrowedFd<'_>) {
        if let Some(size) = size(self.device.as_fd()) {
            set_size(other, size);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Blocks or unblocks the signals that stop a background process at its terminal. Async-signal-safe.
pub(crate) fn set_background_signals(how: SigmaskHow) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Number::SIGTTOU);
    signals.add(Number::SIGTTIN);
    Ok(pthread_sigmask(how, Some(&signals), None)?)
}

/// Rows and columns of a terminal.
pub(super) fn size(terminal: BorrowedFd<'_>) -> Option<libc::winsize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one `winsize` to memory that lives for the call.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(size)
}

/// Sets rows and columns of a terminal; whoever is in its foreground gets WINCH.
pub(super) fn set_size(terminal: BorrowedFd<'_>, size: libc::winsize) {
    // SAFETY: the request reads one `winsize` from memory that lives for the call.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
}
