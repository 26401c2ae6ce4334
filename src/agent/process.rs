//! A process whose output is attached: that it still is the one that was meant, and how it has ended.
//!
//! It is no child of the agent, which therefore cannot wait for it: a descriptor of it is readable when it
//! has ended (pidfd_open(2)), and since Linux 6.15 tells how once its parent has waited for it
//! (`PIDFD_GET_INFO`, `PIDFD_INFO_EXIT`). A number alone may be another process by tomorrow: its start
//! (proc_pid_stat(5), field 22) tells. Apart from [`inputs`](super::inputs), which says what follows.

use std::fs;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::libc::{self, PIDFD_GET_INFO, PIDFD_INFO_EXIT, SYS_pidfd_open, pidfd_info};
use serde::{Deserialize, Serialize};

use crate::capture::process::How;
use crate::record::Exit;

/// How long its parent may take to wait for it, before its end is one of which no more is known.
const PATIENCE: Duration = Duration::from_secs(1);

/// A process, for ever: no other has both of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it was started, clock ticks since the machine was.
    pub started: u64,
}

impl Process {
    /// The one that has this number now.
    pub fn find(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let started = field(&stat, 22).and_then(|started| started.parse().ok());
        Ok(Self { pid, started: started.ok_or(io::ErrorKind::InvalidData)? })
    }
}

/// Whether the kernel is still making it the program that it will be (execve(2)): who started it may go on
/// before its variables are there (field 51 is where they end), which are none for so long.
pub(super) fn is_beginning(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let has_ended = matches!(field(&stat, 3), Some("Z" | "X") | None);
    !has_ended && field(&stat, 51) == Some("0")
}

/// A field from the third on; the name, field 2, may have spaces and parentheses.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)
}

/// A process that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) process: Process,
    /// None if it had ended before.
    descriptor: Option<OwnedFd>,
    /// Since when it is known that it has ended.
    ended: Option<Instant>,
}

impl Watched {
    /// One that has ended is no error.
    pub(super) fn new(process: Process) -> io::Result<Self> {
        let gone = |error: &io::Error| error.raw_os_error() == Some(libc::ESRCH);
        let descriptor = match open(process.pid) {
            Ok(descriptor) => Some(descriptor),
            Err(error) if gone(&error) => None,
            Err(error) => return Err(error),
        };
        // Only now is it certain that the number is not given to another. Where processes of other users
        // are hidden (`ProtectProc=`) there is nothing to compare.
        let other = Process::find(process.pid).is_ok_and(|there| there != process);
        let descriptor = descriptor.filter(|_| !other);
        let ended = descriptor.is_none().then(Instant::now);
        Ok(Self { process, descriptor, ended })
    }

    /// Readable when it has ended.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// It has ended.
    pub(super) fn ends(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    /// How it has ended, if it has. Asked again and again until it is known, or nobody will know.
    pub(super) fn exit(&self, now: Instant) -> Option<Exit> {
        let since = self.ended?;
        let how = self.descriptor.as_ref().and_then(exit_status).and_then(How::of);
        let patience = if self.descriptor.is_some() { PATIENCE } else { Duration::ZERO };
        if how.is_none() && now < since + patience {
            return None;
        }
        let unknown = || format!("process {} has ended, how is not known", self.process.pid);
        Some(match how {
            Some(How::Exited(code)) => Exit { code: Some(code), ..Exit::default() },
            Some(How::Killed { signal, core }) => {
                Exit { signal: Some(signal.to_string()), core, ..Exit::default() }
            }
            None => Exit { reason: Some(unknown()), ..Exit::default() },
        })
    }

    /// It has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }
}

fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers and no memory.
    let descriptor = unsafe { libc::syscall(SYS_pidfd_open, pid, 0) };
    let descriptor = i32::try_from(descriptor).unwrap_or(-1);
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it has just been opened, for nobody else, and close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// As wait(2) gives it.
fn exit_status(descriptor: &OwnedFd) -> Option<i32> {
    let mut info = MaybeUninit::<pidfd_info>::zeroed();
    // SAFETY: all-zero is a valid `pidfd_info`, and `mask` is one of its fields.
    unsafe { (*info.as_mut_ptr()).mask = u64::from(PIDFD_INFO_EXIT) };
    const { assert!(size_of::<pidfd_info>() == 64) };
    // SAFETY: the kernel writes at most as many bytes as the request says, which is the structure's size.
    let asked =
        unsafe { libc::ioctl(descriptor.as_raw_fd(), PIDFD_GET_INFO as _, info.as_mut_ptr()) };
    // SAFETY: it was all zero, and has been filled by the kernel or left alone.
    let info = unsafe { info.assume_init() };
    let told = asked == 0 && info.mask & u64::from(PIDFD_INFO_EXIT) != 0;
    told.then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn a_field_is_found_behind_any_name() {
        let fields = (3..=52).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        let stat = format!("7 (a) b (c)) {fields}\n");
        assert_eq!((field(&stat, 3), field(&stat, 22)), (Some("3"), Some("22")));
        assert_eq!((field("7 (a) S 1", 22), field(&stat, 2)), (None, None));
    }

    #[test]
    fn an_end_is_noticed_and_told() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::find(child.id() as i32).unwrap();
        assert_eq!(process, Process::find(child.id() as i32).unwrap());
        let mut watched = Watched::new(process).unwrap();
        assert_eq!(watched.exit(Instant::now()), None);
        // Another that has the number now.
        let other = Watched::new(Process { started: process.started + 1, ..process }).unwrap();
        assert!(other.exit(Instant::now()).unwrap().is_unknown());
        drop(child.stdin.take());
        let mut set = [PollFd::new(watched.descriptor().unwrap(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut set, PollTimeout::NONE), Ok(1));
        let now = Instant::now();
        watched.ends(now);
        // Nobody has waited for it: the kernel does not tell yet.
        assert_eq!(watched.exit(now), None);
        assert!(watched.exit(now + PATIENCE).unwrap().is_unknown());
        child.wait().unwrap();
        // Older kernels never tell.
        let exit = watched.exit(now + PATIENCE).unwrap();
        assert!(exit.succeeded() || exit.reason.unwrap().contains("how is not known"));
        let gone = Watched::new(process).unwrap();
        assert!(gone.exit(Instant::now()).unwrap().is_unknown());
    }
}
