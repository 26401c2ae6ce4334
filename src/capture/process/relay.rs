//! What is typed goes to the step's own terminal (`--pty`).
//!
//! Only where own stdin is a terminal: any other input is the step's stdin itself and passes by.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::job::JobControl;

/// While somebody else has the keyboard, look again after this long.
const RETRY: Duration = Duration::from_millis(200);

/// From own stdin to the step's terminal.
#[derive(Debug)]
pub(super) struct Relay {
    master: OwnedFd,
    typed: [u8; 1024],
    done: usize,
    len: usize,
    ended: bool,
    away_until: Option<Instant>,
}

/// What the relay waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Something to be typed.
    Keys,
    /// The step's terminal to have room.
    Room,
    /// Nothing now.
    Nothing,
}

impl Relay {
    pub(super) fn new(master: &OwnedFd, job: &JobControl) -> Option<Self> {
        if !io::stdin().is_terminal() || job.terminal().is_none() {
            return None;
        }
        let master = master.try_clone().ok()?;
        Some(Self { master, typed: [0; 1024], done: 0, len: 0, ended: false, away_until: None })
    }

    pub(super) fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    pub(super) fn wish(&self) -> Wish {
        if self.done < self.len {
            Wish::Room
        } else if self.ended || self.away_until.is_some() {
            Wish::Nothing
        } else {
            Wish::Keys
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.away_until
    }

    pub(super) fn on_time(&mut self, now: Instant) {
        self.away_until.take_if(|until| now >= *until);
    }

    /// There is something to read; it is only read if it is meant for us.
    pub(super) fn read(&mut self, job: &JobControl, now: Instant) {
        if !job.has_keyboard() {
            self.away_until = Some(now + RETRY);
            return;
        }
        match nix::unistd::read(io::stdin(), &mut self.typed) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.done = 0;
                self.len = count;
                self.write();
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.ended = true,
        }
    }

    /// The step's terminal may have room.
    pub(super) fn write(&mut self) {
        match nix::unistd::write(
            &self.master,
            self.typed.get(self.done..self.len).unwrap_or_default(),
        ) {
            Ok(count) => self.done += count,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // Nobody is there to read it.
            Err(_) => self.done = self.len,
        }
    }
}
