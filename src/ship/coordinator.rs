//! The coordinator: everything that must happen in order, in one thread.
//!
//! ```text
//! Encoded, Sealed ─► open ─► ready ─(cut into the checkpoint)─► under way ─► delivered
//!                                                                 │  ▲          │
//!                                                          failed │  │ pause    │ in order
//!                                                                 ▼  │          ▼
//!                                                                waiting    acknowledged
//! ```
//!
//! Apart because order is the point: chunks are sent only when their cut is in the checkpoint, are
//! acknowledged in order, and the writer is finished when nothing else is left. It is also the one
//! place that waits before a request is made again. All it does is handle one event, then start
//! what has become possible. Requests run elsewhere and come back as events; how many may run at once
//! the `pace` knows, whether any may the `gate`.
//!
//! Writing the checkpoint takes longer than all else here, so it is not done for every chunk: cuts are
//! decided ahead, all that are ready together, and acknowledgements wait for the next time. It takes
//! one twentieth of the time at the most. What no recovery needs waits a moment for something that one does:
//! upkeep can be done again (what it makes has a name that says so), and behind the last
//! acknowledgement comes the end, which says all that it says. So a short step has its checkpoint written
//! once, for the cut of its one chunk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never, select};

use super::budget::Ledger;
use super::gate::{Gate, Pass};
use super::keeper::{Cut, Keeper, Mark, StoreCheckpoint};
use super::pace::{Pace, Ticket};
use super::pipeline::STILL;
use super::reader::{Event, How, Seal, Stand};
use super::request::{Answered, Requests};
use super::retry::Backoff;
use super::stop::{Stop, Stopper, Until};
use super::{Error, Progress};
use crate::line::State;
use crate::record::Exit;
use crate::stores::{Chunk, DeliverError, Encoded, Ending, Receipt, Session, Summary};

/// After a stop, requests that are under way may still succeed this long.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Between looks whether room has to be made, where nothing happens.
const LOOK: Duration = Duration::from_secs(1);

/// Between two checkpoints, so many times as long as the last one took …
const SAVING_PART: u32 = 20;
/// … but not longer. Also how long that waits which no recovery needs: a store that cannot tell what it
/// has gets its last chunk twice if we die before it is written.
const LONGEST_UNSAVED: Duration = Duration::from_millis(50);

/// How long an acknowledgement may wait for the next cut where the store remembers its chunks: whoever asks how far
/// delivery is reads the checkpoint.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Cuts that are noted at once at least, also for a store that takes one request at a time: the
/// checkpoint must not be what it waits for.
const BERTHS: usize = 16;

/// How the coordinator's work has ended.
pub(super) enum Done {
    /// All is delivered and the store knows that it is all.
    Delivered,
    /// Stopped before that.
    Stopped,
    /// All that there was is delivered, and the writer goes on.
    CaughtUp,
    /// The store is down, and others are to have their turn.
    Down,
    /// The store has other lines under a chunk's number: cuts have to be made anew.
    Conflict(u64),
}

pub(super) struct Coordinator<'a> {
    pub(super) store: &'a str,
    pub(super) session: Arc<dyn Session>,
    pub(super) keeper: &'a Keeper,
    pub(super) progress: &'a Progress,
    pub(super) ledger: Ledger,
    pub(super) pace: Pace,
    pub(super) gate: &'a Arc<Gate>,
    pub(super) backoff: Backoff,
    pub(super) requests: Requests,
    /// What is in the checkpoint, or will be when it is next written.
    pub(super) kept: StoreCheckpoint,
    /// Stops the reader.
    pub(super) halt: Option<Stopper>,
    pub(super) until: Until<'a>,
    /// The store can be asked for what it has.
    pub(super) remembers: bool,
    pub(super) flow: Flow,
}

/// A pipeline between two turns: all that it goes on with, without asking disk or store.
pub(super) struct Parts {
    pub(super) stand: Stand,
    pub(super) session: Arc<dyn Session>,
    pub(super) kept: StoreCheckpoint,
    /// A chunk was delivered: our cuts are those of the store.
    pub(super) proved: bool,
}

/// What is on its way, by stage.
#[derive(Default)]
pub(super) struct Flow {
    /// Chunks of which blocks or the end are missing.
    open: BTreeMap<u64, Open>,
    /// The first chunk that is not ready.
    next_ready: u64,
    /// All lines up to there.
    totals: Summary,
    /// Chunks that can be sent.
    ready: VecDeque<Flight>,
    under_way: BTreeMap<u64, Flight>,
    /// Chunks that were delivered before others that come before them.
    delivered: BTreeMap<u64, (Receipt, State)>,
    /// How the writer ended, when it has.
    ending: Option<WriterEnd>,
    upkeep: Errand,
    finish: Errand,
    /// A chunk was delivered: our cuts are those of the store.
    proved: bool,
    /// Reading has ended because we were stopped.
    halted: bool,
    /// Reading has ended because there is no more for now.
    caught_up: Option<Box<Stand>>,
    /// We were told to stop, and until when requests may still succeed.
    grace: Option<Instant>,
    /// The checkpoint lacks something, and by when it is to be written for that.
    unsaved: Option<Instant>,
    /// It is not written again before.
    save_at: Option<Instant>,
    /// When to look whether what is acknowledged has to make room.
    look_at: Option<Instant>,
    /// When something may be sent that may not be now.
    wake: Option<Instant>,
    /// The gate has let something wait.
    refused: bool,
    /// Outages of the store that the pace knows of.
    outages: u64,
}

impl Flow {
    /// Goes on with chunk `next`, after lines that come to `totals`.
    pub(super) fn after(next: u64, totals: Summary, proved: bool) -> Self {
        Self { next_ready: next, totals, proved, ..Self::default() }
    }

    /// Nothing is left but to tell the store that this is all.
    fn is_at_end(&self) -> bool {
        self.ending.is_some() && self.is_all_acknowledged()
    }

    /// Nothing more comes from the reader.
    fn is_all_read(&self) -> bool {
        self.ending.is_some() || self.halted || self.caught_up.is_some()
    }

    /// Nothing that was read is under way.
    fn is_all_acknowledged(&self) -> bool {
        self.open.is_empty()
            && self.ready.is_empty()
            && self.under_way.is_empty()
            && self.delivered.is_empty()
    }
}

#[derive(Default)]
struct Open {
    blocks: BTreeMap<usize, Encoded>,
    held: usize,
    seal: Option<Seal>,
}

struct Flight {
    chunk: Arc<Chunk>,
    /// Of the budget.
    held: usize,
    after: Mark,
    failures: u32,
    /// When to try, the first time or again; none while a request runs.
    again: Option<Instant>,
    /// The request that runs.
    attempt: Option<(Pass, Ticket)>,
}

struct WriterEnd {
    /// None if capture died before the step ended.
    exit: Option<Exit>,
}

/// A request of which there is one at a time.
#[derive(Default)]
struct Errand {
    /// It runs.
    pass: Option<Pass>,
    failures: u32,
    again: Option<Instant>,
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

impl Coordinator<'_> {
    /// Works until all is done or nothing can be. Where it has caught up, says what to go on with.
    pub(super) fn run(
        mut self,
        events: &Receiver<Event>,
        stop: &Stop,
    ) -> Result<(Done, Option<Parts>), Error> {
        self.flow.outages = self.gate.outages();
        let done = self.work(events, stop);
        // What the store remembers is written with the next cut.
        let goes_on = self.remembers
            && matches!(done, Ok(Done::CaughtUp))
            && self.flow.unsaved.is_some_and(|by| by > Instant::now() + LONGEST_UNSAVED);
        if (self.flow.unsaved.is_some() && !goes_on) || self.owes_room() {
            self.save();
        }
        let done = done?;
        let stand = self.flow.caught_up.take().filter(|_| matches!(done, Done::CaughtUp));
        let parts = stand.map(|mut stand| Parts {
            stand: {
                // A writer that waits for room gives no reason for another turn.
                stand.source.release(self.keeper.released());
                *stand
            },
            session: self.session,
            kept: self.kept,
            proved: self.flow.proved,
        });
        Ok((done, parts))
    }

    fn work(&mut self, events: &Receiver<Event>, stop: &Stop) -> Result<Done, Error> {
        let (answers, changes) = (self.requests.answers(), self.gate.changes());
        let (deaf, no_timer, silence) = (never(), never(), never());
        let mut events = events;
        loop {
            if let Some(done) = self.advance() {
                return Ok(done);
            }
            self.look();
            let stops = if self.flow.grace.is_some() { &deaf } else { stop.channel() };
            let timer = self.next_due().map_or_else(|| no_timer.clone(), at);
            select! {
                recv(events) -> event => match event {
                    Ok(event) => self.handle(event)?,
                    Err(_) if self.flow.is_all_read() => events = &silence,
                    // They only go without a word by a panic; the scope they run in will tell.
                    Err(_) => return Ok(Done::Stopped),
                },
                recv(answers) -> answer => if let Ok(answer) = answer
                    && let Some(done) = self.answered(answer)? {
                        return Ok(done);
                    },
                recv(changes.channel()) -> _ => {}
                recv(stops) -> _ => self.stop(),
                recv(timer) -> _ => {}
            }
            // What has come meanwhile goes into the same checkpoint.
            while let Ok(event) = events.try_recv() {
                self.handle(event)?;
            }
            while let Ok(answer) = answers.try_recv() {
                if let Some(done) = self.answered(answer)? {
                    return Ok(done);
                }
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Encoded { chunk, position, encoded } => {
                let encoded = encoded?;
                let held = encoded.held();
                let open = self.flow.open.entry(chunk).or_default();
                open.held += held;
                open.blocks.insert(position, encoded);
            }
            Event::Sealed(seal) => {
                let open = self.flow.open.entry(seal.chunk).or_default();
                open.seal = Some(seal);
            }
            Event::Ended(how) => match how? {
                How::Finished(exit) => self.flow.ending = Some(WriterEnd { exit: Some(*exit) }),
                How::Interrupted => self.flow.ending = Some(WriterEnd { exit: None }),
                How::Stopped => self.flow.halted = true,
            },
            Event::CaughtUp(stand) => self.flow.caught_up = Some(stand),
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.halt = None;
        self.flow.grace.get_or_insert_with(|| Instant::now() + STOP_GRACE);
    }

    fn answered(&mut self, answer: Answered) -> Result<Option<Done>, Error> {
        self.requests.answered();
        match answer {
            Answered::Delivered(number, result) => {
                let Some(mut flight) = self.flow.under_way.remove(&number) else { return Ok(None) };
                let Some((pass, ticket)) = flight.attempt.take() else { return Ok(None) };
                match result {
                    Ok(receipt) => {
                        pass.succeeded();
                        self.pace.answered(ticket);
                        self.ledger.delivered(flight.held);
                        self.flow.delivered.insert(number, (receipt, flight.after.lines));
                    }
                    Err(DeliverError::Conflict { .. }) => return Ok(Some(Done::Conflict(number))),
                    Err(error) => {
                        self.pace.congested(ticket);
                        flight.failures += 1;
                        flight.again = Some(self.failed(error, pass, flight.failures)?);
                        self.flow.under_way.insert(number, flight);
                    }
                }
            }
            Answered::Upkeep(result) => {
                let Some(pass) = self.flow.upkeep.pass.take() else { return Ok(None) };
                match result {
                    Ok(()) => {
                        pass.succeeded();
                        self.flow.upkeep = Errand::default();
                        self.save_by(Instant::now() + LONGEST_UNSAVED);
                    }
                    Err(error) => {
                        let failures = self.flow.upkeep.failures + 1;
                        let again = Some(self.failed(error, pass, failures)?);
                        self.flow.upkeep = Errand { pass: None, failures, again };
                    }
                }
            }
            Answered::Finished(result) => {
                let Some(pass) = self.flow.finish.pass.take() else { return Ok(None) };
                match result {
                    Ok(()) => {
                        pass.succeeded();
                        self.kept.finished = true;
                        self.kept.last_error = None;
                        self.save();
                        self.progress.failing(None);
                        return Ok(Some(Done::Delivered));
                    }
                    Err(error) => {
                        let failures = self.flow.finish.failures + 1;
                        let again = Some(self.failed(error, pass, failures)?);
                        self.flow.finish = Errand { pass: None, failures, again };
                    }
                }
            }
        }
        Ok(None)
    }

    /// Notes a failure and says when to try again.
    fn failed(&mut self, error: DeliverError, pass: Pass, failures: u32) -> Result<Instant, Error> {
        let (message, after, refused) = match error {
            DeliverError::Retry { message, after } => (message, after, None),
            DeliverError::Fatal { message, advice, not_allowed } => {
                (message, None, Some((advice, not_allowed)))
            }
            DeliverError::Conflict { .. } => (error.to_string(), None, None),
        };
        self.progress.failing(Some(&message));
        self.kept.last_error = Some(message.clone());
        self.save_by(Instant::now());
        if let Some((advice, not_allowed)) = refused {
            let store = self.store.to_owned();
            return Err(Error::Refused { store, message, advice, not_allowed });
        }
        let now = Instant::now();
        pass.failed(after, now);
        Ok(now + self.backoff.pause(failures, after))
    }

    /// Starts all that has become possible; tells when nothing ever will be.
    fn advance(&mut self) -> Option<Done> {
        let now = Instant::now();
        self.flow.wake = None;
        self.flow.refused = false;
        self.complete();
        self.acknowledge(now);
        let stopping = self.flow.grace.is_some();
        let may_save = stopping || self.flow.save_at.is_none_or(|at| at <= now);
        let overdue = self.flow.unsaved.is_some_and(|by| stopping || by <= now);
        if may_save && (self.board(now) | overdue) {
            self.save();
        }
        self.depart(now);
        self.run_errands(now);
        if self.flow.caught_up.is_some() && self.is_idle() {
            return Some(Done::CaughtUp);
        }
        if self.flow.refused
            && self.gate.is_down()
            && self.requests.running() == 0
            && self.until.spares()
        {
            return Some(Done::Down);
        }
        self.is_over(now).then_some(Done::Stopped)
    }

    /// We were told to stop, and nothing that may still be tried is under way.
    fn is_over(&self, now: Instant) -> bool {
        let flow = &self.flow;
        let all_read = flow.open.is_empty() && flow.is_all_read();
        flow.grace.is_some_and(|grace| now >= grace || (all_read && self.requests.running() == 0))
    }

    /// All chunks that there are have been acknowledged, and nothing is under way.
    fn is_idle(&self) -> bool {
        self.flow.is_all_acknowledged() && self.requests.running() == 0
    }

    /// Upkeep, and the end when all else is done.
    fn run_errands(&mut self, now: Instant) {
        let flow = &self.flow;
        let ends = flow.is_at_end() && flow.upkeep.pass.is_none();
        let errand = match ends {
            true => &flow.finish,
            false if flow.grace.is_none() && self.session.upkeep_due() => &flow.upkeep,
            false => return,
        };
        if errand.pass.is_some() {
            return;
        }
        if let Some(again) = errand.again.filter(|again| *again > now) {
            self.flow.wake = earlier(self.flow.wake, Some(again));
            return;
        }
        let Some(pass) = self.enter(now) else { return };
        if ends {
            self.flow.finish.pass = Some(pass);
            self.requests.finish(Ending {
                exit: self.flow.ending.as_ref().and_then(|ending| ending.exit.clone()),
                totals: self.kept.acked.totals.clone(),
                chunks: self.kept.next_chunk,
            });
        } else {
            self.flow.upkeep.pass = Some(pass);
            self.requests.upkeep();
        }
    }

    /// Passes the store's gate, or notes when to ask again.
    fn enter(&mut self, now: Instant) -> Option<Pass> {
        match self.gate.enter(now) {
            Ok(pass) => Some(pass),
            Err(again) => {
                self.flow.wake = earlier(self.flow.wake, again);
                self.flow.refused = true;
                None
            }
        }
    }

    /// Chunks that have all their blocks become ready, in order.
    fn complete(&mut self) {
        let flow = &mut self.flow;
        while let Some(entry) = flow.open.first_entry() {
            let complete = *entry.key() == flow.next_ready
                && entry
                    .get()
                    .seal
                    .as_ref()
                    .is_some_and(|seal| seal.blocks == entry.get().blocks.len());
            if !complete {
                return;
            }
            let Open { blocks, held, seal } = entry.remove();
            let Some(seal) = seal else { return };
            let chunk = Chunk::new(seal.chunk, seal.last, blocks.into_values().collect());
            flow.totals.add(&chunk.summary);
            flow.next_ready += 1;
            let after = Mark { lines: seal.after, totals: flow.totals.clone() };
            flow.ready.push_back(Flight {
                chunk: Arc::new(chunk),
                held,
                after,
                failures: 0,
                again: None,
                attempt: None,
            });
        }
    }

    /// Delivered chunks are acknowledged, in order.
    fn acknowledge(&mut self, now: Instant) {
        let mut any = false;
        while let Some((receipt, lines)) = self.flow.delivered.remove(&self.kept.next_chunk) {
            self.session.acknowledged(&receipt);
            self.kept.acked.lines = lines;
            self.kept.acked.totals.add(&receipt.summary);
            self.kept.next_chunk += 1;
            any = true;
        }
        if any {
            self.flow.proved = true;
            self.kept.last_error = None;
            self.progress.failing(None);
            let next = self.kept.next_chunk;
            self.kept.in_flight.retain(|cut| cut.chunk >= next);
            self.progress.acknowledged(&self.kept.acked);
            self.save_by(match (self.remembers, self.flow.is_at_end()) {
                (true, _) => now + REMEMBERED,
                (false, true) => now + LONGEST_UNSAVED,
                (false, false) => now,
            });
        }
    }

    fn save_by(&mut self, by: Instant) {
        self.flow.unsaved = earlier(self.flow.unsaved, Some(by));
    }

    /// Ready chunks go under way; their cuts are noted, for more of them than may be sent at once, so that
    /// there are some at hand until the checkpoint is written again.
    ///
    /// The first goes alone: should the store have other lines under its number after all, those
    /// behind it are cut wrongly too, and must not be there yet.
    fn board(&mut self, now: Instant) -> bool {
        let mut any = false;
        while self.has_berth()
            && let Some(mut flight) = self.flow.ready.pop_front()
        {
            let (chunk, after) = (flight.chunk.number, flight.after.clone());
            let cut = Cut { chunk, to_seq: after.lines.seq, after: Some(after) };
            let cuts = &mut self.kept.in_flight;
            // In order, as those that make a plan of them expect.
            match cuts.binary_search_by_key(&chunk, |cut| cut.chunk) {
                Ok(there) => cuts.splice(there..=there, [cut]).for_each(drop),
                Err(there) => cuts.insert(there, cut),
            }
            flight.again = Some(now);
            self.flow.under_way.insert(chunk, flight);
            any = true;
        }
        any
    }

    fn has_berth(&self) -> bool {
        let most = if self.flow.proved { (2 * self.pace.most()).max(BERTHS) } else { 1 };
        self.flow.under_way.len() + self.flow.delivered.len() < most
    }

    /// Sends what is due, as far as the store seems to bear it.
    fn depart(&mut self, now: Instant) {
        let outages = self.gate.outages();
        if outages > self.flow.outages {
            self.flow.outages = outages;
            self.pace.restart();
            // Whatever waits has waited for that.
            for flight in self.flow.under_way.values_mut() {
                flight.again = flight.again.map(|again| again.min(now));
            }
            self.flow.upkeep.again = None;
            self.flow.finish.again = None;
        }
        let stopping = self.flow.grace.is_some();
        for flight in self.flow.under_way.values_mut() {
            let Some(again) = flight.again else { continue };
            if again > now {
                self.flow.wake = earlier(self.flow.wake, Some(again));
            } else if !self.pace.has_room() {
                // An answer will make some.
                return;
            } else if !stopping || flight.failures == 0 {
                match self.gate.enter(now) {
                    Ok(pass) => {
                        flight.again = None;
                        flight.attempt = Some((pass, self.pace.begin()));
                        self.requests.deliver(Arc::clone(&flight.chunk));
                    }
                    Err(again) => {
                        self.flow.wake = earlier(self.flow.wake, again);
                        self.flow.refused = true;
                        return;
                    }
                }
            }
        }
    }

    /// Others may fill the disk when nothing is delivered any more: a writer then waits for what was left to be
    /// deleted later.
    fn look(&mut self) {
        let now = Instant::now();
        if self.flow.look_at.is_some_and(|at| at <= now) && self.owes_room() {
            self.save();
        }
        if self.flow.look_at.is_none_or(|at| at <= now) {
            self.flow.look_at = Some(now + LOOK);
        }
    }

    fn owes_room(&self) -> bool {
        self.keeper.owes(self.kept.acked.lines.resume_offset())
    }

    /// Writes the checkpoint.
    fn save(&mut self) {
        self.kept.store = self.session.state();
        let start = Instant::now();
        self.keeper.put(self.store, self.kept.clone());
        let now = Instant::now();
        self.flow.unsaved = None;
        self.flow.save_at = Some(now + LONGEST_UNSAVED.min((now - start) * SAVING_PART));
    }

    /// When something is to be done though nothing happens.
    fn next_due(&self) -> Option<Instant> {
        let flow = &self.flow;
        let boards = self.has_berth() && !flow.ready.is_empty();
        let overdue = flow.unsaved.map(|by| flow.save_at.map_or(by, |at| at.max(by)));
        let save = earlier(overdue, flow.save_at.filter(|_| boards));
        let save = earlier(save, flow.look_at);
        let told = matches!(self.until, Until::Told(_)) && self.gate.is_down();
        match flow.grace {
            // Nothing is tried again.
            Some(grace) => Some(grace),
            None => earlier(save, earlier(flow.wake, told.then(|| Instant::now() + STILL))),
        }
    }
}
