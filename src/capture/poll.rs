//! Waiting for several descriptors at once: ppoll(2) over a list that is rebuilt each turn and
//! allocated once.
//!
//! Apart because `nix::poll` borrows its descriptors, so that a list of them cannot be kept from
//! turn to turn. Knows nothing of what the descriptors are: the caller names each by a token.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::libc;

/// What to wait for on one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Bytes to read, or the end.
    Read,
    /// Room to write, or nobody left who reads.
    Write,
    /// Only that the other side has gone.
    Hangup,
}

/// The descriptors of one turn, each with the caller's token.
#[derive(Debug)]
pub(crate) struct PollSet<T> {
    descriptors: Vec<libc::pollfd>,
    tokens: Vec<T>,
}

impl<T: Copy> PollSet<T> {
    pub(crate) fn with_capacity(descriptors: usize) -> Self {
        Self {
            descriptors: Vec::with_capacity(descriptors),
            tokens: Vec::with_capacity(descriptors),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.descriptors.clear();
        self.tokens.clear();
    }

    pub(crate) fn add(&mut self, token: T, descriptor: BorrowedFd<'_>, interest: Interest) {
        let events = match interest {
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
            Interest::Hangup => 0,
        };
        self.descriptors.push(libc::pollfd { fd: descriptor.as_raw_fd(), events, revents: 0 });
        self.tokens.push(token);
    }

    /// Waits until one of them is ready, a signal arrives or the time is over (`None`: for ever).
    /// An interrupted wait is a wait in which nothing was ready.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|duration| libc::timespec {
            tv_sec: duration.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(duration.subsec_nanos() as i32),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the list and the timeout live for the call, the length is the list's own. A
        // descriptor closed since `add` is reported as POLLNVAL and harms nothing.
        let ready = unsafe {
            libc::ppoll(
                self.descriptors.as_mut_ptr(),
                self.descriptors.len() as libc::nfds_t,
                timeout,
                std::ptr::null(),
            )
        };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            for descriptor in &mut self.descriptors {
                descriptor.revents = 0;
            }
        }
        Ok(())
    }

    /// Tokens of all that is waited for.
    #[cfg(test)]
    pub(crate) fn tokens(&self) -> impl Iterator<Item = T> + '_ {
        self.tokens.iter().copied()
    }

    /// Tokens of what is ready (or broken: the call that follows will say so), in order of `add`.
    pub(crate) fn ready(&self) -> impl Iterator<Item = T> + '_ {
        self.descriptors
            .iter()
            .zip(&self.tokens)
            .filter(|(descriptor, _)| descriptor.revents != 0)
            .map(|(_, token)| *token)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn names_what_is_ready() {
        let (read, mut write) = io::pipe().unwrap();
        let mut set = PollSet::with_capacity(2);
        set.add('r', read.as_fd(), Interest::Read);
        set.add('w', write.as_fd(), Interest::Write);
        set.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(set.ready().collect::<String>(), "w");
        write.write_all(b"x").unwrap();
        set.wait(None).unwrap();
        assert_eq!(set.ready().collect::<String>(), "rw");
    }

    #[test]
    fn hangup_is_seen_without_asking_to_read() {
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"x").unwrap();
        let mut set = PollSet::with_capacity(1);
        set.add((), read.as_fd(), Interest::Hangup);
        set.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(set.ready().count(), 0);
        drop(write);
        set.wait(None).unwrap();
        assert_eq!(set.ready().count(), 1);
    }
}
