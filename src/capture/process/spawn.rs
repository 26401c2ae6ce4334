//! Starting the step: its pipes or terminal, process group, environment, and what it means when
//! it cannot be started.
//!
//! The plain case goes through posix_spawn(3) and costs no copy of steplog's page tables. Only
//! where the child must do something about a terminal before it becomes the step is it forked.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::pty::openpty;
use nix::sys::signal::SigmaskHow;
use nix::unistd::{Pid, getpid, setsid, tcsetpgrp};

use super::terminal::{Terminal, set_background_signals, set_size};

/// What the step reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// What steplog would read; steplog itself does not touch it.
    #[default]
    Inherit,
    /// Nothing: CI jobs that must not wait for a person.
    Null,
}

/// What the step writes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Two pipes.
    #[default]
    Pipes,
    /// One pipe for both: exact order, no telling them apart.
    Merged,
    /// A terminal of its own, for programs that behave differently without one.
    Terminal,
}

/// A command as the user gave it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Path, or name to be found in PATH.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Added to steplog's own environment.
    pub environment: Vec<(String, OsString)>,
    /// What it reads.
    pub stdin: Stdin,
    /// What it writes to.
    pub output: Output,
}

/// The step could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No such program.
    #[error("{}: command not found", program.display())]
    NotFound {
        /// As given.
        program: PathBuf,
    },
    /// The program is there, but the interpreter that its first line names is not.
    #[error("{}: the interpreter named in its first line was not found", program.display())]
    NoInterpreter {
        /// As given.
        program: PathBuf,
    },
    /// It is there and cannot be executed.
    #[error("cannot execute {}: {source}", program.display())]
    NotExecutable {
        /// As given.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system has no process, pipe or terminal left to give.
    #[error("cannot start a process: {0}")]
    System(#[source] io::Error),
}

impl SpawnError {
    /// The exit code that shells, env(1) and nohup(1) give.
    pub fn code(&self) -> u8 {
        match self {
            Self::NotFound { .. } | Self::NoInterpreter { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::System(_) => 125,
        }
    }
}

/// A step that has been started.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) pid: Pid,
    pub(super) outputs: Outputs,
}

/// Our ends of what the step writes to; non-blocking.
#[derive(Debug)]
pub(super) enum Outputs {
    Two { stdout: OwnedFd, stderr: OwnedFd },
    One(OwnedFd),
    Terminal(OwnedFd),
}

/// How the step relates to the terminal that steplog was started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreground {
    /// There is none, or the step starts in its background.
    No,
    /// The step starts in its foreground.
    Hand,
}

/// Starts the step in a process group of its own.
pub(super) fn spawn(
    step: &Step,
    pipe_bytes: usize,
    terminal: Option<&Terminal>,
    foreground: Foreground,
) -> Result<Spawned, SpawnError> {
    let mut command = Command::new(&step.program);
    command.args(&step.arguments);
    let outputs = connect(&mut command, step, pipe_bytes, terminal).map_err(SpawnError::System)?;
    let started = match start(&mut command, step, terminal.is_some(), foreground) {
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            // A script without a first line that names its interpreter: execvp(3), and with it
            // env(1) and every shell, runs it with sh.
            let mut shell = Command::new("/bin/sh");
            shell.arg(find_program(&step.program)).args(&step.arguments);
            let outputs =
                connect(&mut shell, step, pipe_bytes, terminal).map_err(SpawnError::System)?;
            start(&mut shell, step, terminal.is_some(), foreground).map(|pid| (pid, outputs))
        }
        other => other.map(|pid| (pid, outputs)),
    };
    // The command still holds our copies of the step's ends: with them open there is no end of file.
    drop(command);
    let (pid, outputs) = started.map_err(|error| explain(error, &step.program))?;
    Ok(Spawned { pid, outputs })
}

/// Makes the pipes or the terminal and hands the step's ends to the command.
fn connect(
    command: &mut Command,
    step: &Step,
    pipe_bytes: usize,
    terminal: Option<&Terminal>,
) -> io::Result<Outputs> {
    if step.stdin == Stdin::Null {
        command.stdin(Stdio::null());
    }
    match step.output {
        Output::Pipes => {
            let (stdout, child_stdout) = pipe(pipe_bytes)?;
            let (stderr, child_stderr) = pipe(pipe_bytes)?;
            command.stdout(child_stdout).stderr(child_stderr);
            Ok(Outputs::Two { stdout, stderr })
        }
        Output::Merged => {
            let (output, child) = pipe(pipe_bytes)?;
            command.stdout(child.try_clone()?).stderr(child);
            Ok(Outputs::One(output))
        }
        Output::Terminal => {
            let pair = openpty(None, None)?;
            for end in [&pair.master, &pair.slave] {
                fcntl(end, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
            }
            match terminal {
                Some(terminal) => terminal.copy_size(pair.master.as_fd()),
                // Nobody looks at it: as wide as CI log viewers show.
                None => set_size(
                    pair.master.as_fd(),
                    libc::winsize { ws_row: 50, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 },
                ),
            }
            set_nonblocking(&pair.master)?;
            // Input that is no terminal (a file, a pipe) goes to the step untouched.
            if step.stdin == Stdin::Inherit && io::IsTerminal::is_terminal(&io::stdin()) {
                command.stdin(pair.slave.try_clone()?);
            }
            command.stdout(pair.slave.try_clone()?).stderr(pair.slave);
            Ok(Outputs::Terminal(pair.master))
        }
    }
}

fn start(
    command: &mut Command,
    step: &Step,
    has_terminal: bool,
    foreground: Foreground,
) -> io::Result<Pid> {
    command.envs(step.environment.iter().map(|(name, value)| (name, value)));
    if step.output == Output::Terminal {
        // SAFETY: between fork and exec only async-signal-safe calls are made: setsid(2),
        // ioctl(2), sigprocmask(2); nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                setsid()?;
                if libc::ioctl(libc::STDOUT_FILENO, libc::TIOCSCTTY, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
                if has_terminal {
                    set_background_signals(SigmaskHow::SIG_UNBLOCK)?;
                }
                Ok(())
            });
        }
    } else {
        command.process_group(0);
        if has_terminal {
            // SAFETY: as above: tcsetpgrp(3), getpid(2), sigprocmask(2).
            unsafe {
                command.pre_exec(move || {
                    if foreground == Foreground::Hand {
                        // Before the step can read: the parent might be too late for that.
                        tcsetpgrp(
                            std::os::fd::BorrowedFd::borrow_raw(libc::STDIN_FILENO),
                            getpid(),
                        )?;
                    }
                    set_background_signals(SigmaskHow::SIG_UNBLOCK)
                });
            }
        }
    }
    let child = command.spawn()?;
    Ok(Pid::from_raw(child.id() as i32))
}

/// A pipe whose read end does not block, with the largest buffer up to `bytes` that the system
/// grants (there is a limit a pipe and a limit a user).
fn pipe(bytes: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    grow_pipe(&read, bytes);
    set_nonblocking(&read)?;
    Ok((read, write))
}

/// Gives a pipe the largest buffer up to `bytes` that the system grants. What is no pipe, or is as
/// large already, stays as it is.
pub(crate) fn grow_pipe(pipe: &OwnedFd, bytes: usize) {
    let Ok(mut least) = fcntl(pipe, FcntlArg::F_GETPIPE_SZ) else { return };
    least *= 2;
    let mut wanted = i32::try_from(bytes).unwrap_or(i32::MAX);
    while wanted >= least && fcntl(pipe, FcntlArg::F_SETPIPE_SZ(wanted)).is_err() {
        wanted /= 2;
    }
}

fn set_nonblocking(descriptor: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What an error of posix_spawn(3) or execve(2) means for the user.
fn explain(error: io::Error, program: &OsStr) -> SpawnError {
    let path = PathBuf::from(program);
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            let found = find_program(program);
            if found.exists() {
                SpawnError::NoInterpreter { program: path }
            } else {
                SpawnError::NotFound { program: path }
            }
        }
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
            SpawnError::System(error)
        }
        _ => SpawnError::NotExecutable { program: path, source: error },
    }
}

/// Where execvp(3) would look.
fn find_program(program: &OsStr) -> PathBuf {
    let path = Path::new(program);
    if path.components().count() > 1 || path.is_absolute() {
        return path.to_owned();
    }
    std::env::var_os("PATH")
        .and_then(|folders| {
            std::env::split_paths(&folders)
                .map(|folder| folder.join(path))
                .find(|file| file.is_file())
        })
        .unwrap_or_else(|| path.to_owned())
}

/// Whether own standard output is a pipe or socket: somebody in our process group may be at its
/// other end and need the terminal (`steplog run -- make | less`).
pub(super) fn stdout_is_pipeline() -> bool {
    // SAFETY: fstat(2) writes one `stat` to memory that lives for the call; all-zero is valid.
    let mode = unsafe {
        let mut status = std::mem::zeroed::<libc::stat>();
        libc::fstat(io::stdout().as_raw_fd(), &raw mut status);
        status.st_mode
    };
    matches!(mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK)
}
