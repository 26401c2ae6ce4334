//! The daemon: reads many streams into spools, and delivers every spool of its folder.
//!
//! ```text
//! inputs ──► intake (one thread, epoll) ──► Stream: mask ──► spools ──► courier: a few at a time ──► log stores
//! fifo · socket · stdin · file · cri · steps                 ▲
//!                ▲ control socket: attach, detach,            └── `steplog run --via agent`
//!                  status, reload
//! ```
//!
//! The only part that knows inputs, spools and delivery; each of those knows nothing of it.
//!
//! # Invariants
//!
//! 1. One thread reads. It waits for nothing but the descriptors, and for the spool's disk as little as
//!    `steplog run` does; exit records are written elsewhere (`finisher`), deliveries elsewhere (`courier`).
//! 2. Bytes that were read are in the spool before the next are read. Nothing is kept in memory but
//!    what a mask holds back and a block that a full spool has no room for.
//! 3. A stream has a spool only from its first byte on, and a spool has a delivery only while there is
//!    something to deliver. An idle input costs a descriptor and a few hundred bytes, no thread and no timer.
//! 4. Of a file no line is lost or doubled, whatever kills the agent: each frame says where it comes from
//!    (`position`). Of a FIFO a kill loses at most the block between its read and its append; what was not
//!    read stays in the pipe while a writer has it open.
//! 5. What the stack file fixes of a stream's metadata nobody else can say (`identity`).
//! 6. A stack file that is wrong changes nothing: the agent goes on as it was, and says why.
//!
//! # Start, reload, stop
//!
//! **Start**: the spool folder's leftovers are cleaned; the courier begins with what is there;
//! the last positions are looked up before any file is opened; inputs of the stack file and
//! attached ones are opened; then the agent is ready.
//!
//! **Reload** (SIGHUP, `steplog agent --reload`): the stack file is read again. Inputs that are the same are not
//! touched, others end or open. New streams and new deliveries use the new settings.
//!
//! **Stop** (TERM, INT): what is there is read, writers end, and the courier has `[agent] deadline` to deliver;
//! a second signal ends that wait. What is left stays in the spools for whoever comes next.
//!
//! | what dies | what follows |
//! |---|---|
//! | the agent, at any moment | its spools are interrupted writers: the next agent delivers them, and files go on behind the last byte that is in one of them |
//! | a delivery | the agent with it: the same |
//! | a step's writer | nothing: its FIFO stays open for the next one |
//! | the machine | as the spool has it: at most `[spool] sync_interval` of a FIFO; files are read again from there |

mod settings;

mod brought;
mod commands;
mod control;
mod courier;
mod earlier;
mod finisher;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gc;
mod http;
mod identity;
mod inbox;
mod inputs;
mod intake;
mod log;
mod log_format;
mod looks;
mod metrics;
mod otlp;
mod own;
mod position;
mod process;
mod room;
mod scan;
mod service;
mod sockets;
mod source;
mod status;
mod stream;
mod telemetry;
mod turn;
mod web;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::select;

pub use control::{Answer, AskError, Request, ask, is_there};
pub use log::{Out, Said};
pub use log_format::LogFormat;
pub use process::Process;
pub(crate) use settings::max_connections;
pub use settings::{Input, Kind, Metadata, Otlp, Settings};
pub use status::{DeliveryStatus, InputStatus, SpoolStatus, Status, StoreStatus, StreamStatus};

use self::brought::Brought;
use self::control::{Client, Control};
use self::courier::Courier;
use self::earlier::Earlier;
use self::finisher::Finisher;
use self::gc::Gc;
use self::inbox::{Ask, Delivery, Inbox, inbox};
use self::inputs::Inputs;
use self::intake::{Event, Intake, Token};
use self::log::Log;
use self::position::Positions;
use self::service::{Given, Service};
use self::stream::Common;
use self::telemetry::Telemetry;
use crate::capture::file::Take;
use crate::capture::process::{Signal, Signals};
use crate::delivery::OpenStacks;
use crate::record::Exit;
use crate::redact::Redactor;
use crate::spool::{self, Disk as _, RealDisk, SpoolState};
use crate::stack::Stack;

/// The control socket's name in the folder of the spools.
pub const CONTROL: &str = ".agent.sock";

/// Held while an agent lives.
const LOCK: &str = ".agent.lock";

/// How long an agent that was just killed may take to be gone.
const GOING: Duration = Duration::from_secs(2);

/// How long whoever has sent records may take to read the last answer.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Between looks how a process has ended.
const PROCESS_LOOK: Duration = Duration::from_millis(50);

/// Between looks whether everything is over.
const DONE_LOOK: Duration = Duration::from_millis(200);

/// For so long an answer over HTTP is good for others too.
const RECENT: Duration = Duration::from_millis(200);

/// What the agent is started with.
pub struct Start {
    /// The stack.
    pub stack: Stack,
    /// What must not be seen.
    pub redactor: Redactor,
    /// The agent's own variables.
    pub environment: BTreeMap<String, String>,
    /// The machine's name.
    pub host: Option<String>,
    /// A stack file that stands over those that writers have used.
    pub stack_file: Option<PathBuf>,
    /// Reads the stack file again.
    pub load: Box<dyn FnMut() -> Result<(Stack, Redactor), String>>,
    /// Where the agent's own lines go.
    pub log: Out,
    /// End when all that there was to read has ended and is delivered.
    pub until_done: bool,
}

/// How the agent has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is delivered.
    Delivered,
    /// Something is left in the spools, which the next start of this service delivers.
    Waiting,
    /// Something is left in the spools.
    Left,
}

/// The daemon.
pub struct Agent {
    _lock: fs::File,
    signals: Signals,
    control: Control,
    clients: Vec<Option<Client>>,
    courier: Courier,
    intake: Intake,
    inputs: Inputs,
    inbox: Inbox,
    load: Box<dyn FnMut() -> Result<(Stack, Redactor), String>>,
    log: Log,
    until_done: bool,
    started: Instant,
    scan_at: Instant,
    gc: Gc,
    last_status: Option<(Instant, Status)>,
    /// Dropped when all else is over: what is told last is sent.
    telemetry: Option<Telemetry>,
}

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control socket.
    #[error("cannot listen at {}", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder of spools.
    #[error("cannot use the folder of spools {}", path.display())]
    Spools {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another agent works there.
    #[error("another agent is running on the spools in {}: see `steplog status`", path.display())]
    Another {
        /// The folder.
        path: PathBuf,
    },
    /// Something that every program needs.
    #[error("cannot start")]
    System(#[from] io::Error),
}

/// The lock of the folder; none if another agent has it, and goes on to have it.
fn lock(root: &Path) -> io::Result<Option<fs::File>> {
    let until = Instant::now() + GOING;
    loop {
        let lock = RealDisk.try_lock(&root.join(LOCK))?;
        if lock.is_some() || Instant::now() >= until {
            return Ok(lock);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

impl Agent {
    /// Opens everything; returns when it is ready.
    pub fn start(start: Start) -> Result<Self, StartError> {
        let signals = Signals::catch_only(&[Signal::TERM, Signal::INT, Signal::HUP])?;
        let log = Log::new(start.log);
        let root = start.stack.spool.dir.clone();
        let spools = |source| StartError::Spools { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(spools)?;
        // Before anything is delivered or made: one agent a folder, whether or not it answers.
        let lock = lock(&root).map_err(spools)?;
        let lock = lock.ok_or_else(|| StartError::Another { path: root.clone() })?;
        let path = start.stack.agent.control.clone();
        let control =
            Control::listen(&path).map_err(|source| StartError::Control { path, source })?;
        if let Err(error) = spool::clean(&root) {
            log.warn(&format!("clean up {}: {error}", root.display()));
        }
        // Before anything is removed: positions of dead writers are in their spools.
        let positions = Positions::load(&root).map_err(spools)?;
        let earlier = Earlier::load(&root).map_err(spools)?;
        let stacks = OpenStacks::new(start.stack_file);
        let deliveries = start.stack.agent.deliveries;
        let (outbox, inbox) = inbox()?;
        let telemetry = Telemetry::start(&start.environment, outbox.clone(), &log);
        let spans = telemetry.as_ref().map(Telemetry::spans);
        let courier = Courier::start(root.clone(), deliveries, stacks, spans, log.clone())?;
        let hint = courier.hint();
        let finisher = Finisher::new(root.clone(), hint.clone(), log.clone());
        let stack = Arc::new(start.stack);
        let (redactor, host) = (start.redactor, start.host);
        let common = Common { stack: Arc::clone(&stack), redactor, host, hint, earlier };
        let mut intake = Intake::new(common, finisher, log.clone())?;
        intake.watch(Token::Signals, signals.descriptor())?;
        intake.watch(Token::Control, control.descriptor())?;
        let mut given = Given::take(&start.environment);
        let service = Service::new(&start.environment, &mut given);
        intake.watch(Token::Web, inbox.descriptor())?;
        let brought = Brought::new(outbox, given.sockets, log.clone());
        let (environment, settings) = (start.environment, stack.agent.clone());
        let mut inputs =
            Inputs::new(positions, environment, settings, log.clone(), &intake, brought, service)?;
        if let Err(why) = inputs.brought.watch(stack.agent.http.as_ref()) {
            log.warn(&why);
        }
        for input in &stack.inputs {
            inputs.add(input.clone(), false, &mut intake);
        }
        for input in commands::attached(&root, &log) {
            if inputs.get(&input.name).is_none() {
                inputs.add(input, true, &mut intake);
            }
        }
        let now = Instant::now();
        let interval = stack.agent.gc_interval;
        let mut agent = Self {
            _lock: lock,
            signals,
            control,
            clients: Vec::new(),
            courier,
            intake,
            inputs,
            inbox,
            load: start.load,
            log,
            until_done: start.until_done,
            started: now,
            scan_at: now,
            gc: Gc::new(interval, now),
            last_status: None,
            telemetry,
        };
        agent.scan();
        agent.inputs.let_go();
        Ok(agent)
    }

    /// Works until it is told to stop, or everything is over.
    pub fn run(mut self) -> io::Result<Outcome> {
        self.inputs.service.ready();
        let deadline = loop {
            self.tell_service();
            let mut until = Some(self.scan_at.min(self.gc.due()));
            until = until.into_iter().chain(self.inputs.service.due()).min();
            until = until.into_iter().chain(self.clients.iter().flatten().map(|it| it.until)).min();
            if self.until_done {
                let look = Instant::now() + DONE_LOOK;
                until = until.map(|until| until.min(look));
            }
            let events = self.intake.turn(until)?;
            if self.handle(events) {
                break Some(self.intake.common.stack.agent.deadline);
            }
            let now = Instant::now();
            for slot in &mut self.clients {
                // Dropped, it is gone from the epoll set too.
                slot.take_if(|client| now >= client.until);
            }
            if now >= self.scan_at {
                self.scan();
            }
            if now >= self.gc.due() {
                let stack = &self.intake.common.stack;
                self.gc.begin(stack, &stack.spool.dir, &self.log, now);
            }
            if self.until_done && self.is_done() {
                break None;
            }
        };
        Ok(self.stop(deadline))
    }

    /// True: the agent is to stop.
    fn handle(&mut self, events: Vec<Event>) -> bool {
        let mut events = events;
        while !events.is_empty() {
            let mut told = Vec::new();
            for event in events {
                match event {
                    Event::Ready(Token::Signals) => {
                        let signals: Vec<Signal> = self.signals.take().collect();
                        for signal in signals {
                            if signal != Signal::HUP {
                                return true;
                            }
                            // Whoever sent it reads the log.
                            drop(self.reload());
                        }
                    }
                    Event::Ready(Token::Control) => self.accept(),
                    Event::Ready(Token::Client(number)) => self.hear(number),
                    Event::Ready(Token::Watch) => {
                        if self.inputs.hinted(&mut self.intake, &mut told) {
                            self.scan_at = Instant::now();
                        }
                    }
                    Event::Ready(Token::Listener(number)) => {
                        self.inputs.accept(number, &mut self.intake);
                    }
                    Event::Ready(Token::Web) => {
                        let asks = self.inbox.take();
                        self.hear_all(asks);
                    }
                    Event::Ready(Token::Process(pid)) => {
                        self.inputs.process_ends(pid, &self.intake);
                        self.scan_at = Instant::now();
                    }
                    Event::Ready(Token::Stream(_)) => {}
                    Event::Header { slot } => self.inputs.header(slot, &mut self.intake),
                    Event::Ended { input, path, descriptor } => {
                        if let Some(descriptor) = descriptor {
                            self.inputs.service.release(&descriptor);
                        }
                        self.inputs.ended(&input, path, &mut self.intake);
                    }
                }
            }
            events = told;
        }
        false
    }

    /// The service manager hears that this thread is alive.
    fn tell_service(&mut self) {
        let now = Instant::now();
        if self.inputs.service.due().is_some_and(|due| now < due) {
            return;
        }
        let mut service = std::mem::take(&mut self.inputs.service);
        service.on_time(now, || self.status().summary());
        self.inputs.service = service;
    }

    /// No more is taken over the network; who has sent something hears what became of it, or would send it
    /// again.
    fn answer_web(&mut self) {
        self.inputs.brought.stop();
        let until = Instant::now() + LAST_ANSWERS;
        while !self.inputs.brought.is_quiet() && Instant::now() < until {
            let asks = self.inbox.wait(Duration::from_millis(5));
            self.hear_all(asks);
        }
    }

    /// What the web servers ask.
    fn hear_all(&mut self, asks: Vec<Ask>) {
        for ask in asks {
            // Who has gone needs no answer.
            match ask {
                Ask::Lines(Delivery { input, batches, answer }) => {
                    _ = answer.send(self.inputs.bring(&input, &batches, &mut self.intake));
                }
                Ask::Status(answer) => drop(answer.send(self.recent_status())),
            }
        }
    }

    /// For those who ask over HTTP, of whom there may be many: it looks at every spool.
    fn recent_status(&mut self) -> Status {
        if let Some((at, status)) = &self.last_status
            && at.elapsed() < RECENT
        {
            return status.clone();
        }
        let status = self.status();
        self.last_status = Some((Instant::now(), status.clone()));
        status
    }

    fn scan(&mut self) {
        let mut told = Vec::new();
        self.inputs.scan(&mut self.intake, &mut told);
        let mut until = self.intake.common.stack.agent.scan_interval;
        self.forget_processes();
        if self.inputs.waits_for_processes() {
            until = until.min(PROCESS_LOOK);
        }
        self.scan_at = Instant::now() + until;
        // A look cannot bring a signal.
        self.handle(told);
    }

    fn root(&self) -> &Path {
        &self.intake.common.stack.spool.dir
    }

    /// Whether all that there was to read has ended, and there was something.
    fn is_done(&self) -> bool {
        let own: Vec<&Path> = self
            .intake
            .slots()
            .filter_map(|(_, slot)| slot.stream.spool().map(|(dir, _)| dir))
            .collect();
        // Steps that are wrapped spool into this folder too.
        let alive = |dir: &PathBuf| {
            !own.contains(&dir.as_path())
                && spool::growth(dir).is_ok_and(|(state, _)| state == SpoolState::Live)
        };
        let spools = spool::writers(self.root()).unwrap_or_default();
        let any =
            !self.inputs.is_empty() || self.courier.report().delivered > 0 || !spools.is_empty();
        any && self.inputs.is_done(&self.intake) && !spools.iter().any(alive)
    }

    /// Reads what is there, ends all writers, and has everything delivered: within `deadline`, if there is one.
    fn stop(mut self, deadline: Option<Duration>) -> Outcome {
        let mut until = deadline.map(|deadline| Instant::now() + deadline);
        let told_now = self.intake.common.stack.agent.deadline;
        self.inputs.service.stopping();
        self.answer_web();
        if let Some(telemetry) = &self.telemetry {
            telemetry.freeze(&self.status());
        }
        let open: Vec<usize> = self.intake.slots().map(|(index, _)| index).collect();
        let writers = self.intake.slots().map(|(_, slot)| &slot.stream);
        let writers = writers.filter_map(|stream| Some((stream.input.as_str(), stream.writer()?)));
        if let Err(error) = Earlier::keep(self.root(), writers) {
            self.log.warn(&format!("streams will be shown in two pieces: {error}"));
        }
        // Who starts it again, unless it was started for what is there now.
        let is_managed = self.inputs.service.is_managed() && !self.until_done;
        let left = if is_managed { Outcome::Waiting } else { Outcome::Left };
        let mut told = Vec::new();
        for index in open {
            let exit = Exit { reason: Some("agent stopped".to_owned()), ..Exit::default() };
            self.intake.end(index, exit, Take::Lines, &mut told);
        }
        // The lock is held to the end.
        let Self {
            _lock: lock, mut signals, control, courier, intake, inputs, telemetry, log, ..
        } = self;
        drop((control, inputs));
        intake.finisher.wait();
        let drained = courier.drained();
        let rest = |why: &str| log.info(&format!("{why}; the rest stays in the spools"));
        let outcome = loop {
            select! {
                recv(drained) -> _ => break Outcome::Delivered,
                default(Duration::from_millis(50)) => {}
            }
            if signals.take().any(|signal| signal != Signal::HUP) {
                // The first one, where everything was over by itself.
                if until.is_none() {
                    until = Some(Instant::now() + told_now);
                    continue;
                }
                rest("told to end at once");
                break left;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                rest("not everything is delivered within [agent] deadline");
                break left;
            }
        };
        courier.stop();
        drop((telemetry, lock));
        outcome
    }
}
