//! A terminal of its own for a program, driven by what it shows.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use super::sandbox::Sandbox;

/// What the shell of [`Screen::shell`] shows when it waits for a command.
pub(crate) const PROMPT: &str = "ready> ";

/// How long anything may take to show on a terminal.
const LIMIT: Duration = Duration::from_secs(60);

/// A program on a terminal of its own, driven by what it prints.
pub(crate) struct Screen {
    master: File,
    pub(crate) child: Child,
    seen: String,
}

impl Screen {
    pub(crate) fn start(mut command: Command) -> Self {
        let pair = openpty(
            Some(&libc::winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 }),
            None,
        )
        .unwrap();
        let mut modes = tcgetattr(&pair.slave).unwrap();
        modes.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &modes).unwrap();
        command
            .stdin(Stdio::from(pair.slave.try_clone().unwrap()))
            .stdout(Stdio::from(pair.slave.try_clone().unwrap()))
            .stderr(Stdio::from(pair.slave));
        // SAFETY: setsid(2) and ioctl(2) are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        Self { master: pair.master.into(), child, seen: String::new() }
    }

    /// A shell with job control, past its first prompt. `$STEPLOG` is steplog.
    pub(crate) fn shell(sandbox: &Sandbox, variables: &[(&str, &str)]) -> Self {
        let mut command = sandbox.command("bash");
        command.args(["--norc", "--noprofile", "--noediting", "-i"]);
        command.env("PS1", PROMPT).env("STEPLOG", env!("CARGO_BIN_EXE_steplog"));
        command.envs(variables.iter().copied());
        let mut screen = Self::start(command);
        screen.expect(PROMPT);
        screen
    }

    /// Reads on until it shows; returns what came before it.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: &str) -> String {
        self.wait(&format!("{wanted:?} on the screen"), |seen| seen.contains(wanted));
        let at = self.seen.find(wanted).unwrap();
        let mut before: String = self.seen.drain(..at + wanted.len()).collect();
        before.truncate(at);
        before
    }

    /// Reads on until it is so, of what was seen and not yet expected, or of anything else.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, mut is_so: impl FnMut(&str) -> bool) {
        let started = Instant::now();
        let mut over = false;
        while !is_so(&self.seen) {
            assert!(!over, "ended without {what}: {:?}", self.seen);
            assert!(started.elapsed() < LIMIT, "no {what}: {:?}", self.seen);
            over = !self.read();
        }
    }

    /// Reads what is there or comes soon; `false` at the end.
    fn read(&mut self) -> bool {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(20_u16)).unwrap();
        if !fds[0].any().unwrap() {
            return true;
        }
        let mut block = [0; 4096];
        match self.master.read(&mut block) {
            Ok(count) => {
                self.seen.push_str(&String::from_utf8_lossy(&block[..count]));
                true
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EIO), "{:?}", ErrorKind::Other);
                false
            }
        }
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the request reads one `winsize` from memory that lives for the call.
        unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
