//! The step's bytes on steplog's own stdout and stderr, unchanged and at once.
//!
//! A reader that is slow may slow the step, as it would without steplog; but it must not keep
//! steplog from seeing signals and the step's end. So nothing here waits: what a pipe, terminal or
//! socket does not take now is for later. The descriptors are shared with others and so are never
//! made non-blocking themselves: pipes and terminals are opened a second time through /proc,
//! sockets have a flag for it. Files and devices never make anybody wait for a reader.
//!
//! A reader that is gone ends the tee, not the capture.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use nix::errno::Errno;
use nix::libc;

/// A pipe with room takes at least this much without waiting (PIPE_BUF).
const ATOMIC: usize = 4096;

/// One of steplog's own outputs.
#[derive(Debug)]
pub(crate) struct Tee {
    target: Target,
    identity: Option<(u64, u64)>,
    broken: Option<io::Error>,
}

#[derive(Debug)]
enum Target {
    /// `--quiet`, or the reader is gone.
    Nowhere,
    /// Never waits for a reader.
    File(OwnedFd),
    /// Opened for us alone, does not block.
    Own(OwnedFd),
    Socket(OwnedFd),
    /// Could not be opened again: written in pieces that a pipe with room takes at once.
    Shared(OwnedFd),
}

impl Tee {
    /// Bytes go nowhere.
    pub(crate) fn nowhere() -> Self {
        Self { target: Target::Nowhere, identity: None, broken: None }
    }

    /// To a descriptor that others may share.
    pub(crate) fn to(descriptor: BorrowedFd<'_>) -> Self {
        let Ok((owned, metadata)) = descriptor
            .try_clone_to_owned()
            .and_then(|owned| Ok((owned.try_clone()?, File::from(owned).metadata()?)))
        else {
            // Closed (`>&-`): the step would have found nobody to write to either.
            return Self::nowhere();
        };
        let kind = metadata.file_type();
        let terminal = io::IsTerminal::is_terminal(&owned);
        let target = if kind.is_socket() {
            Target::Socket(owned)
        } else if kind.is_fifo() || terminal {
            let again = File::options()
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                .open(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
            match again {
                Ok(file) => Target::Own(file.into()),
                Err(_) => Target::Shared(owned),
            }
        } else {
            Target::File(owned)
        };
        Self { target, identity: Some((metadata.dev(), metadata.ino())), broken: None }
    }

    /// Whether both end at the same place (`2>&1`).
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.identity.is_some() && self.identity == other.identity
    }

    /// What to wait for when not everything was taken.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.target {
            Target::Nowhere => None,
            Target::File(fd) | Target::Own(fd) | Target::Socket(fd) | Target::Shared(fd) => {
                Some(fd.as_fd())
            }
        }
    }

    /// Writes what is taken without waiting; says how much that was. With nobody to write to, all.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let written = match &self.target {
                Target::Nowhere => return bytes.len(),
                Target::File(fd) | Target::Own(fd) => nix::unistd::write(fd, rest),
                Target::Socket(fd) => send(fd, rest),
                Target::Shared(fd) => write_if_room(fd, rest),
            };
            match written {
                Ok(count) => done += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return done,
                Err(error) => {
                    self.target = Target::Nowhere;
                    self.broken = Some(error.into());
                    return bytes.len();
                }
            }
        }
        done
    }

    /// Why the tee has ended, once; a reader that is gone is no reason worth a word.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.broken.take().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }
}

fn send(socket: &OwnedFd, bytes: &[u8]) -> nix::Result<usize> {
    // SAFETY: pointer and length are those of a slice that lives for the call.
    let sent = unsafe {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags)
    };
    Errno::result(sent).map(|count| count as usize)
}

fn write_if_room(pipe: &OwnedFd, bytes: &[u8]) -> nix::Result<usize> {
    let mut poll = [nix::poll::PollFd::new(pipe.as_fd(), nix::poll::PollFlags::POLLOUT)];
    if nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO)? == 0 {
        return Err(Errno::EAGAIN);
    }
    nix::unistd::write(pipe, bytes.get(..ATOMIC).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn check_stuck(tee: &mut Tee, read: &mut impl Read) {
        let bytes: Vec<u8> = (0..3_000_000).map(|index| (index / 7) as u8).collect();
        let mut done = tee.write(&bytes);
        assert!(done < bytes.len(), "nobody reads, so not all is taken");
        let mut seen = vec![0; done];
        read.read_exact(&mut seen).unwrap();
        while done < bytes.len() {
            let more = tee.write(&bytes[done..]);
            let mut next = vec![0; more];
            read.read_exact(&mut next).unwrap();
            seen.extend(next);
            done += more;
        }
        assert_eq!(seen, bytes);
    }

    #[test]
    fn a_pipe_that_nobody_reads_does_not_block() {
        let (mut read, write) = io::pipe().unwrap();
        let mut tee = Tee::to(write.as_fd());
        assert!(matches!(tee.target, Target::Own(_)));
        check_stuck(&mut tee, &mut read);
    }

    #[test]
    fn nor_one_that_cannot_be_opened_again() {
        let (mut read, write) = io::pipe().unwrap();
        let mut tee = Tee::to(write.as_fd());
        tee.target = Target::Shared(write.into());
        check_stuck(&mut tee, &mut read);
    }

    #[test]
    fn nor_a_socket() {
        let (mut read, write) = UnixStream::pair().unwrap();
        let mut tee = Tee::to(write.as_fd());
        check_stuck(&mut tee, &mut read);
    }

    #[test]
    fn a_broken_pipe_ends_the_tee_without_a_word() {
        let (read, write) = io::pipe().unwrap();
        let mut tee = Tee::to(write.as_fd());
        drop(read);
        assert_eq!(tee.write(b"hello"), 5);
        assert!(matches!(tee.target, Target::Nowhere));
        assert!(tee.take_error().is_none());
    }

    #[test]
    fn a_full_device_ends_the_tee_with_a_word() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut tee = Tee::to(full.as_fd());
        assert_eq!(tee.write(b"hello"), 5);
        assert_eq!(tee.take_error().unwrap().raw_os_error(), Some(libc::ENOSPC));
        assert!(tee.take_error().is_none(), "said once");
    }

    #[test]
    fn two_names_of_one_pipe_are_the_same() {
        let (_read, write) = io::pipe().unwrap();
        let (_other, elsewhere) = io::pipe().unwrap();
        let copy = write.try_clone().unwrap();
        assert!(Tee::to(write.as_fd()).is_same_as(&Tee::to(copy.as_fd())));
        assert!(!Tee::to(write.as_fd()).is_same_as(&Tee::to(elsewhere.as_fd())));
        assert!(!Tee::nowhere().is_same_as(&Tee::nowhere()));
    }
}
