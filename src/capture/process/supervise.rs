//! The event loop around a step: what can happen, and what is done about it.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::drain::{Drain, DrainEnd};
use super::job::{JobControl, OnStop};
use super::ladder::Ladder;
use super::memory_events::MemoryEvents;
use super::reap::{self, Change, Ending};
use super::relay::{Relay, Wish};
use super::signals::{Signal, Signals};
use super::{Courier, Delivery, How, Notice, Outcome};
use crate::capture::Settings;
use crate::capture::additions::Additions;
use crate::capture::poll::{Interest, PollSet};
use crate::capture::pump::{Pump, Ready, earlier};
use crate::pages;
use crate::record::Exit;
use crate::redact::{MIN_SECRET, Redactor};

/// How often a delivering thread is asked how far it is.
const ASK_THREAD: Duration = Duration::from_millis(10);

/// What can happen, apart from time passing.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Bytes, or room for bytes.
    Pump(Ready),
    /// A secret has become known.
    Addition,
    /// A key was pressed, for the step's own terminal.
    Keys,
    /// The step's own terminal takes more keys.
    KeysRoom,
    /// Signals have arrived.
    Signals,
}

impl From<Ready> for Event {
    fn from(ready: Ready) -> Self {
        Self::Pump(ready)
    }
}

/// Whose output it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A step that we have started.
    Step(Pid),
    /// Something that we read and know nothing else of.
    Input,
}

/// What [`Supervisor`] is made of.
pub(super) struct Parts {
    pub(super) subject: Subject,
    pub(super) started: Instant,
    pub(super) signals: Signals,
    pub(super) pump: Pump,
    pub(super) job: JobControl,
    pub(super) relay: Option<Relay>,
    pub(super) additions: Option<Additions>,
    pub(super) redactor: Redactor,
    pub(super) courier: Courier,
    pub(super) settings: Settings,
    pub(super) deadline: Duration,
}

/// A step, from its start to the end of delivery.
pub(super) struct Supervisor<'a> {
    pub(super) subject: Subject,
    pub(super) started: Instant,
    pub(super) signals: Signals,
    pub(super) job: JobControl,
    pub(super) relay: Option<Relay>,
    pub(super) additions: Option<Additions>,
    pub(super) redactor: Redactor,
    pub(super) courier: Courier,
    pub(super) settings: Settings,
    pub(super) deadline: Duration,
    pub(super) ladder: Ladder,
    pub(super) memory: Option<MemoryEvents>,
    /// Gone when the exit record has been written.
    pub(super) pump: Option<Pump>,
    pub(super) exit: Exit,
    pub(super) code: u8,
    pub(super) phase: Phase,
    pub(super) stopped: bool,
    /// The step has written something.
    heard: bool,
    pub(super) fault_told: bool,
    pub(super) death_told: String,
    /// What ship said when it was asked to end.
    pub(super) death_words: String,
    pub(super) notify: &'a mut dyn FnMut(Notice<'_>),
}

pub(super) enum Phase {
    Running,
    Draining { drain: Drain, stuck_since: Option<Instant>, end: Option<DrainEnd> },
    Delivering { until: Instant, word_at: Option<Instant> },
    Leaving { delivery: Delivery, kill_at: Instant },
    Done { delivery: Delivery },
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(parts: Parts, notify: &'a mut dyn FnMut(Notice<'_>)) -> Self {
        Self {
            ladder: Ladder::new(parts.settings.grace),
            memory: MemoryEvents::start(),
            subject: parts.subject,
            started: parts.started,
            signals: parts.signals,
            job: parts.job,
            relay: parts.relay,
            additions: parts.additions,
            redactor: parts.redactor,
            courier: parts.courier,
            settings: parts.settings,
            deadline: parts.deadline,
            pump: Some(parts.pump),
            exit: Exit::default(),
            code: 0,
            phase: Phase::Running,
            stopped: false,
            heard: false,
            fault_told: false,
            death_told: String::new(),
            death_words: String::new(),
            notify,
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        pages::give_back();
        let mut set = PollSet::with_capacity(8);
        let mut now = Instant::now();
        loop {
            self.on_time(now);
            if let Phase::Done { delivery } = self.phase {
                self.exit.delivery = Some(delivery.as_str().to_owned());
                if delivery == Delivery::Delivered {
                    self.exit.bytes_delivered = Some(self.exit.bytes_spooled);
                }
                let words = match (&mut self.courier, delivery) {
                    (Courier::Agent | Courier::Nobody, _) => String::new(),
                    (Courier::Process(shipper), Delivery::Delivered) if !shipper.has_refused() => {
                        String::new()
                    }
                    (Courier::Process(shipper), _) => {
                        let words = std::mem::take(&mut self.death_words);
                        if words.is_empty() { shipper.last_words() } else { words }
                    }
                    (Courier::Thread(thread), _) => thread.last_words(),
                };
                return Outcome { exit: self.exit, code: self.code, delivery, words };
            }
            set.clear();
            self.watch(&mut set);
            let timeout = self.due(now).map(|due| due.saturating_duration_since(now));
            if set.wait(timeout).is_err() {
                // The kernel has no memory for it now; what is ready will be ready then.
                std::thread::sleep(ASK_THREAD);
            }
            now = Instant::now();
            for event in set.ready() {
                self.handle(event, now);
            }
        }
    }

    /// What to wait for. Secrets come first, so that they are in effect before what is read next.
    fn watch(&self, set: &mut PollSet<Event>) {
        if let Some(additions) = &self.additions {
            set.add(Event::Addition, additions.descriptor(), Interest::Read);
        }
        if let Some(pump) = &self.pump {
            pump.watch(set);
        }
        if let Some(relay) = &self.relay {
            match relay.wish() {
                Wish::Keys => set.add(Event::Keys, io::stdin().as_fd(), Interest::Read),
                Wish::Room => set.add(Event::KeysRoom, relay.master(), Interest::Write),
                Wish::Nothing => {}
            }
        }
        set.add(Event::Signals, self.signals.descriptor(), Interest::Read);
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Pump(ready) => {
                let heard = self.pump.as_mut().is_some_and(|pump| pump.handle(ready, now));
                if heard && !self.heard {
                    // The first block is like no other: it asks for room and begins the first file.
                    self.heard = true;
                    pages::give_back();
                }
                if let Phase::Draining { drain, .. } = &mut self.phase
                    && heard
                {
                    drain.heard(now);
                }
            }
            Event::Addition => {
                if let Some(additions) = &mut self.additions {
                    additions.receive(now, |values| mask(&self.redactor, values));
                }
            }
            Event::Keys => {
                if let Some(relay) = &mut self.relay {
                    relay.read(&self.job, now);
                }
            }
            Event::KeysRoom => {
                if let Some(relay) = &mut self.relay {
                    relay.write();
                }
            }
            Event::Signals => {
                for signal in self.signals.take() {
                    self.on_signal(signal, now);
                }
            }
        }
    }

    fn on_signal(&mut self, signal: Signal, now: Instant) {
        match signal {
            Signal::CHLD => self.reap(now),
            Signal::WINCH if self.relay.is_some() => {
                if let Some(relay) = &self.relay {
                    self.job.copy_size(relay.master());
                }
            }
            Signal::CONT => {
                if let (Phase::Running, Subject::Step(step)) = (&self.phase, self.subject) {
                    self.job.enter_terminal(step);
                }
                self.forward(signal);
            }
            _ => {
                self.forward(signal);
                match &self.phase {
                    Phase::Running if self.subject == Subject::Input => {
                        self.on_input_end(signal, now);
                    }
                    Phase::Running => {
                        self.ladder.observe(signal, now);
                        if signal == Signal::TSTP {
                            self.job.stop_asked();
                        } else if self.stopped && self.ladder.asked() {
                            self.forward(Signal::CONT);
                        }
                    }
                    _ if signal == Signal::TERM || signal == Signal::INT => self.hurry(now),
                    _ => {}
                }
            }
        }
    }

    fn forward(&self, signal: Signal) {
        let Subject::Step(step) = self.subject else { return };
        let ship = match &self.courier {
            Courier::Process(shipper) => shipper.pid(),
            _ => None,
        };
        let reaped = !matches!(self.phase, Phase::Running);
        reap::signal_all(step, reaped, signal, ship);
    }

    fn reap(&mut self, now: Instant) {
        while let Some((pid, change)) = reap::next_change() {
            let is_step = self.subject == Subject::Step(pid);
            let is_ship =
                matches!(&self.courier, Courier::Process(shipper) if shipper.pid() == Some(pid));
            match change {
                Change::Ended(ending) if is_step => self.on_step_end(pid, ending, now),
                Change::Ended(ending) if is_ship => self.on_ship_end(ending.how, now),
                Change::Stopped(signal) if is_step => self.on_step_stop(pid, signal, now),
                Change::Continued if is_step => self.stopped = false,
                // An orphan of the step, or a stop that is nobody's business.
                _ => {}
            }
        }
    }

    fn on_step_stop(&mut self, step: Pid, by: Signal, now: Instant) {
        self.stopped = true;
        if self.ladder.asked() {
            // What stands still cannot end by itself.
            self.forward(Signal::CONT);
            return;
        }
        match self.job.on_stop(step, by) {
            OnStop::GoOn => self.forward(Signal::CONT),
            OnStop::Follow => {
                let pause = self.job.stop_ourselves(step);
                self.shift(pause);
                self.forward(Signal::CONT);
                // What made us go on made the step go on already; what made us stop is over.
                let others = |signal: &Signal| !matches!(*signal, Signal::CONT | Signal::TSTP);
                for signal in self.signals.take().filter(others) {
                    self.on_signal(signal, now + pause);
                }
            }
            OnStop::Wait => {}
        }
    }

    /// Time in which everything stood still does not count.
    fn shift(&mut self, pause: Duration) {
        self.ladder.shift(pause);
        if let Some(pump) = &mut self.pump {
            pump.shift(pause);
        }
        if let Phase::Draining { drain, .. } = &mut self.phase {
            drain.shift(pause);
        }
    }

    fn on_step_end(&mut self, step: Pid, ending: Ending, now: Instant) {
        self.job.leave_terminal(step);
        self.relay = None;
        self.code = ending.how.code();
        match ending.how {
            How::Exited(code) => self.exit.code = Some(code),
            How::Killed { signal, core } => {
                self.exit.signal = Some(signal.to_string());
                self.exit.core = core;
            }
        }
        self.exit.usage = Some(ending.usage);
        if self.code != 0 && self.memory.as_ref().is_some_and(|memory| memory.kills() > 0) {
            self.exit.reason = Some("OOMKilled".to_owned());
        }
        self.start_drain(now);
    }

    fn on_ship_end(&mut self, how: How, now: Instant) {
        let Courier::Process(shipper) = &mut self.courier else { return };
        let Some(death) = shipper.ended(how, now) else { return };
        if matches!(self.phase, Phase::Leaving { .. }) {
            self.death_words = death.words;
            return;
        }
        if death.words == self.death_told {
            return;
        }
        (self.notify)(Notice::ShipDied(&death));
        self.death_told = death.words;
    }

    /// Does whatever is due by now.
    fn on_time(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Running) && self.ladder.expired(now) {
            self.forward(Signal::KILL);
        }
        if let Some(additions) = &mut self.additions {
            additions.on_time(now);
        }
        if let Some(relay) = &mut self.relay {
            relay.on_time(now);
        }
        if let Courier::Process(shipper) = &mut self.courier
            && !matches!(self.phase, Phase::Leaving { .. })
        {
            shipper.on_time(now);
        }
        if let Some(pump) = &mut self.pump {
            pump.on_time(now);
            if let Some(error) = pump.take_tee_error() {
                (self.notify)(Notice::TeeFailed(&error));
            }
            if let Some(fault) = pump.fault().filter(|_| !self.fault_told) {
                self.fault_told = true;
                (self.notify)(Notice::SpoolFault(&fault));
            }
        }
        if self.subject == Subject::Input
            && matches!(self.phase, Phase::Running)
            && self.pump.as_ref().is_some_and(Pump::is_done)
        {
            self.start_drain(now);
        }
        match &mut self.phase {
            Phase::Running | Phase::Done { .. } => {}
            Phase::Draining { .. } => self.drain(now),
            Phase::Delivering { .. } => self.deliver(now),
            Phase::Leaving { delivery, kill_at } => {
                let delivery = *delivery;
                if now >= *kill_at {
                    if let Courier::Process(shipper) = &self.courier {
                        shipper.stop(Signal::KILL);
                    }
                    self.phase = Phase::Done { delivery };
                } else if !self.is_shipping() {
                    // It may have come to its end after all.
                    let done = self.is_delivered();
                    let delivery = if done { Delivery::Delivered } else { delivery };
                    self.phase = Phase::Done { delivery };
                }
            }
        }
    }

    /// When something will be due though nothing happens.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        let mut due = self.pump.as_mut().and_then(|pump| pump.due(now));
        due = earlier(due, self.additions.as_ref().and_then(Additions::due));
        due = earlier(due, self.relay.as_ref().and_then(Relay::due));
        due = match &self.courier {
            Courier::Process(shipper) => earlier(due, shipper.due()),
            Courier::Thread(_) if self.pump.is_none() => earlier(due, Some(now + ASK_THREAD)),
            Courier::Thread(_) | Courier::Agent | Courier::Nobody => due,
        };
        match &self.phase {
            Phase::Running => earlier(due, self.ladder.due()),
            Phase::Draining { stuck_since: Some(_), .. } => due,
            Phase::Draining { drain, .. } => earlier(due, drain.due()),
            Phase::Delivering { until, word_at } => earlier(earlier(due, Some(*until)), *word_at),
            Phase::Leaving { kill_at, .. } => earlier(due, Some(*kill_at)),
            Phase::Done { .. } => Some(now),
        }
    }
}

/// Puts values into effect: says how many, or what is wrong with them.
fn mask(redactor: &Redactor, values: &[&[u8]]) -> Result<usize, String> {
    let taken = redactor.add(values.iter().map(|value| value.to_vec()));
    if taken == values.len() {
        return Ok(taken);
    }
    let short = values.len() - taken;
    Err(format!("{short} of {} are shorter than {MIN_SECRET} bytes", values.len()))
}
