//! Wrapping a step: start it, be a faithful stand-in for it towards whoever started us, collect
//! what it writes, notice how it ends.
//!
//! steplog stands between the step and the world, and neither may notice. What that takes:
//!
//! ```text
//!            signals ────────────►┌───────────┐──── to the step's group and its orphans
//!   terminal: who is in front ───►│           │◄─── how children end, stop, go on   (`reap`)
//!   own stdout has room ─────────►│ supervise │◄─── pipes or pty                    (pump)
//!   `redact add` ────────────────►│           │◄─── TERM, grace, KILL               (`ladder`)
//!   deadline ────────────────────►└───────────┘◄─── end, idle, cap after exit       (`drain`)
//! ```
//!
//! One thread, one ppoll(2): every cause becomes an event, every event is handled at once and
//! without waiting. The step is the main process that we started; it is over when that has ended,
//! whoever else still holds its output. There are four phases:
//!
//! | phase | ends when |
//! |---|---|
//! | running | the main process has ended |
//! | draining | its output is at its end, or idle, or over the cap; then the exit record is written |
//! | delivering | ship has delivered everything, or the deadline is over, or TERM or INT came |
//! | leaving | ship, asked to stop, has stopped |
//!
//! The exit code is the step's, 128 + s where signal s ended it; 127, 126 and 125 where it could
//! not be started ([`SpawnError::code`]). What is not here: bytes (the pump's), the spool, and
//! whatever is said to the user, who hears of everything through [`Notice`]s.

mod drain;
mod endings;
mod holders;
mod job;
mod ladder;
mod memory_events;
mod reap;
mod relay;
mod signals;
pub(crate) mod spawn;
mod supervise;
mod terminal;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

pub use drain::DrainEnd;
pub use holders::Holder;
pub(crate) use reap::How;
pub(crate) use signals::{Signal, Signals};
pub use spawn::{Output, SpawnError, Stdin, Step};
pub(crate) use terminal::set_background_signals;

use self::job::JobControl;
use self::relay::Relay;
use self::spawn::Outputs;
use self::supervise::{Parts, Subject, Supervisor};
use super::additions::Additions;
use super::mask::Mask;
use super::pump::{Pump, Source, Tempo};
use super::shipper::{Death, Shipper};
use super::sink::FrameSink;
use super::tee::Tee;
use super::{Settings, memory};
use crate::record::{Exit, IoStream};
use crate::redact::Redactor;

/// Something the user may have to know. Nothing of it stops the capture.
#[derive(Debug)]
pub enum Notice<'a> {
    /// The step has ended and is captured; nothing is known of delivery yet.
    Ended(&'a Exit),
    /// The spool, or what stands in for it, lost something or soon will.
    SpoolFault(&'a str),
    /// Own output cannot be written to any more.
    TeeFailed(&'a io::Error),
    /// The step has ended, but these still hold its output, which is read no longer.
    Held(&'a [Holder]),
    /// Somebody writes on, long after the step has ended.
    StillWriting(&'a [Holder]),
    /// Delivery stopped before its time.
    ShipDied(&'a Death),
    /// The step has ended; its logs are still under way.
    Delivering,
    /// The exit record could not be written to the spool.
    ExitNotKept(&'a str),
}

/// What became of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Everything is in the log store.
    Delivered,
    /// The deadline came first.
    Deadline,
    /// Whoever waited was told to stop waiting.
    Interrupted,
    /// Ship cannot work.
    Failed,
    /// The agent delivers; it is not waited for.
    Agent,
}

impl Delivery {
    /// The name in the exit record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deadline => "deadline",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Agent => "agent",
        }
    }
}

/// How it all ended.
#[derive(Debug)]
pub struct Outcome {
    /// The step's exit record, with what is known of delivery.
    pub exit: Exit,
    /// What to exit with, if delivery has no say in it.
    pub code: u8,
    /// What became of delivery.
    pub delivery: Delivery,
    /// What ship said last, if it did not deliver or not all of it.
    pub words: String,
}

/// Everything around a step that takes time to set up and so comes after its start.
pub struct Surroundings {
    /// Where frames go.
    pub(crate) sink: Box<dyn FrameSink>,
    /// What must not be seen.
    pub(crate) redactor: Redactor,
    /// Own stdout and stderr show nothing.
    pub(crate) quiet: bool,
    /// Listens for secrets that become known.
    pub(crate) additions: Option<Additions>,
    /// Who delivers.
    pub(crate) courier: Courier,
    /// How long to wait for delivery.
    pub(crate) deadline: Duration,
}

/// Who delivers what the sink takes.
pub(crate) enum Courier {
    /// A process of its own that follows the spool.
    Process(Shipper),
    /// A thread of this process that empties the channel.
    Thread(memory::Courier),
    /// The agent of this machine, which finds the spool.
    Agent,
    /// Somebody else, later.
    Nobody,
}

/// A step that runs, and of which nothing has been read yet.
#[derive(Debug)]
pub struct Started {
    pid: Pid,
    at: Instant,
    outputs: Outputs,
    signals: Signals,
    job: JobControl,
    settings: Settings,
}

impl Started {
    /// Starts the step.
    pub fn spawn(step: &Step, settings: &Settings) -> Result<Self, SpawnError> {
        let signals = Signals::catch().map_err(SpawnError::System)?;
        reap::become_subreaper();
        let job = JobControl::find(step);
        let at = Instant::now();
        let spawned = spawn::spawn(step, settings.pipe_bytes, job.terminal(), job.foreground())?;
        Ok(Self {
            pid: spawned.pid,
            at,
            outputs: spawned.outputs,
            signals,
            job,
            settings: settings.clone(),
        })
    }

    /// The step's process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Sees the step, its output and delivery to their ends.
    pub fn run(self, surroundings: Surroundings, notify: &mut dyn FnMut(Notice<'_>)) -> Outcome {
        let now = Instant::now();
        let source = |iostream, descriptor| Source {
            iostream,
            descriptor,
            tee: tee(surroundings.quiet, iostream),
            mask: Mask::new(&surroundings.redactor),
        };
        let mut relay = None;
        let mut collect = true;
        let sources = match self.outputs {
            Outputs::Two { stdout, stderr } => {
                vec![source(IoStream::Stdout, stdout), source(IoStream::Stderr, stderr)]
            }
            Outputs::One(output) => vec![source(IoStream::Stdout, output)],
            Outputs::Terminal(master) => {
                relay = Relay::new(&master, &self.job);
                collect = false;
                vec![source(IoStream::Stdout, master)]
            }
        };
        let tempo = Tempo {
            read_bytes: self.settings.read_bytes,
            partial_idle: self.settings.partial_idle,
            partial_age: self.settings.partial_age,
            collect,
        };
        let mut job = self.job;
        if relay.is_some() {
            job.make_raw();
        }
        Supervisor::new(
            Parts {
                subject: Subject::Step(self.pid),
                started: self.at,
                signals: self.signals,
                pump: Pump::new(sources, surroundings.sink, tempo, now),
                job,
                relay,
                additions: surroundings.additions,
                redactor: surroundings.redactor,
                courier: surroundings.courier,
                settings: self.settings,
                deadline: surroundings.deadline,
            },
            notify,
        )
        .run()
    }
}

fn tee(quiet: bool, iostream: IoStream) -> Tee {
    match (quiet, iostream) {
        (true, _) => Tee::nowhere(),
        (false, IoStream::Stdout) => Tee::to(io::stdout().as_fd()),
        (false, IoStream::Stderr) => Tee::to(io::stderr().as_fd()),
    }
}

/// Standard input as the thing to be captured: something else has started the step.
#[derive(Debug)]
pub struct Input {
    descriptor: OwnedFd,
    signals: Signals,
    settings: Settings,
}

impl Input {
    /// Prepares to read; nothing is read yet.
    pub fn open(settings: &Settings) -> io::Result<Self> {
        let signals = Signals::catch_only(&[Signal::TERM, Signal::INT, Signal::HUP, Signal::CHLD])?;
        let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
        spawn::grow_pipe(&descriptor, settings.pipe_bytes);
        Ok(Self { descriptor, signals, settings: settings.clone() })
    }

    /// Reads to the end of file, or until told to stop, and sees delivery to its end.
    pub fn run(self, surroundings: Surroundings, notify: &mut dyn FnMut(Notice<'_>)) -> Outcome {
        let now = Instant::now();
        let iostream = IoStream::Stdout;
        let source = Source {
            iostream,
            descriptor: self.descriptor,
            tee: tee(surroundings.quiet, iostream),
            mask: Mask::new(&surroundings.redactor),
        };
        let tempo = Tempo {
            read_bytes: self.settings.read_bytes,
            partial_idle: self.settings.partial_idle,
            partial_age: self.settings.partial_age,
            collect: true,
        };
        Supervisor::new(
            Parts {
                subject: Subject::Input,
                started: now,
                signals: self.signals,
                pump: Pump::new(vec![source], surroundings.sink, tempo, now),
                job: JobControl::none(),
                relay: None,
                additions: surroundings.additions,
                redactor: surroundings.redactor,
                courier: surroundings.courier,
                settings: self.settings,
                deadline: surroundings.deadline,
            },
            notify,
        )
        .run()
    }
}
