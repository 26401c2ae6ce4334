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
//! what has become possible. Requests run elsewhere and come back as events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never, select};

use super::budget::Ledger;
use super::keeper::{Cut, Keeper, Mark, StoreCheckpoint};
use super::reader::{Event, How, Seal};
use super::request::{Answered, Requests};
use super::retry::Backoff;
use super::stop::{Stop, Stopper};
use super::{Error, Progress};
use crate::line::State;
use crate::record::Exit;
use crate::stores::{Chunk, DeliverError, Encoded, Ending, Receipt, Session, Summary};

/// After a stop, requests that are under way may still succeed this long.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How the coordinator's work has ended.
#[derive(Debug)]
pub(super) enum Done {
    /// All is delivered and the store knows that it is all.
    Delivered,
    /// Stopped before that.
    Stopped,
    /// The store has other lines under a chunk's number: cuts have to be made anew.
    Conflict(u64),
}

pub(super) struct Coordinator<'a> {
    pub(super) store: &'a str,
    pub(super) session: Arc<dyn Session>,
    pub(super) keeper: &'a Keeper,
    pub(super) progress: &'a Progress,
    pub(super) ledger: Ledger,
    pub(super) concurrency: usize,
    pub(super) backoff: Backoff,
    pub(super) requests: Requests,
    /// What is in the checkpoint, or will be when it is next written.
    pub(super) kept: StoreCheckpoint,
    /// Stops the reader.
    pub(super) halt: Option<Stopper>,
    pub(super) flow: Flow,
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
    /// We were told to stop, and until when requests may still succeed.
    grace: Option<Instant>,
}

impl Flow {
    /// Goes on with chunk `next`, after lines that come to `totals`.
    pub(super) fn after(next: u64, totals: Summary) -> Self {
        Self { next_ready: next, totals, ..Self::default() }
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
    /// When to try again; none while a request runs.
    again: Option<Instant>,
}

struct WriterEnd {
    /// None if capture died before the step ended.
    exit: Option<Exit>,
}

/// A request of which there is one at a time.
#[derive(Default)]
struct Errand {
    runs: bool,
    failures: u32,
    again: Option<Instant>,
}

impl Errand {
    /// Whether it may be started now; if so, it is.
    fn start(&mut self, now: Instant) -> bool {
        let starts = !self.runs && self.again.is_none_or(|again| again <= now);
        self.runs |= starts;
        starts
    }
}

impl Coordinator<'_> {
    /// Works until all is done or nothing can be.
    pub(super) fn run(mut self, events: &Receiver<Event>, stop: &Stop) -> Result<Done, Error> {
        let answers = self.requests.answers();
        let (deaf, no_timer, silence) = (never(), never(), never());
        let mut events = events;
        loop {
            if let Some(done) = self.advance() {
                return Ok(done);
            }
            let stops = if self.flow.grace.is_some() { &deaf } else { stop.channel() };
            let timer = self.next_due().map_or_else(|| no_timer.clone(), at);
            select! {
                recv(events) -> event => match event {
                    Ok(event) => self.handle(event)?,
                    Err(_) if self.flow.ending.is_some() || self.flow.halted => events = &silence,
                    // They only go without a word by a panic; the scope they run in will tell.
                    Err(_) => return Ok(Done::Stopped),
                },
                recv(answers) -> answer => if let Ok(answer) = answer
                    && let Some(done) = self.answered(answer)? {
                        return Ok(done);
                    },
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
            Event::Encoded { chunk, position, taken, encoded } => {
                let encoded = encoded?;
                let held = taken.min(encoded.body.len());
                self.ledger.give(taken - held);
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
            Answered::Delivered(number, Ok(receipt)) => {
                if let Some(flight) = self.flow.under_way.remove(&number) {
                    self.ledger.delivered(flight.held);
                    self.flow.delivered.insert(number, (receipt, flight.after.lines));
                }
            }
            Answered::Delivered(number, Err(DeliverError::Conflict { .. })) => {
                return Ok(Some(Done::Conflict(number)));
            }
            Answered::Delivered(number, Err(error)) => {
                let failures = self.flow.under_way.get(&number).map_or(0, |flight| flight.failures);
                let again = self.failed(error, failures + 1)?;
                if let Some(flight) = self.flow.under_way.get_mut(&number) {
                    flight.failures += 1;
                    flight.again = Some(again);
                }
            }
            Answered::Upkeep(Ok(())) => {
                self.flow.upkeep = Errand::default();
                self.save();
            }
            Answered::Upkeep(Err(error)) => {
                let failures = self.flow.upkeep.failures + 1;
                let again = Some(self.failed(error, failures)?);
                self.flow.upkeep = Errand { runs: false, failures, again };
            }
            Answered::Finished(Ok(())) => {
                self.kept.finished = true;
                self.kept.last_error = None;
                self.save();
                self.progress.failing(None);
                return Ok(Some(Done::Delivered));
            }
            Answered::Finished(Err(error)) => {
                let failures = self.flow.finish.failures + 1;
                let again = Some(self.failed(error, failures)?);
                self.flow.finish = Errand { runs: false, failures, again };
            }
        }
        Ok(None)
    }

    /// Notes a failure and says when to try again.
    fn failed(&mut self, error: DeliverError, failures: u32) -> Result<Instant, Error> {
        let (message, after, refused) = match error {
            DeliverError::Retry { message, after } => (message, after, None),
            DeliverError::Fatal { message, advice, not_allowed } => {
                (message, None, Some((advice, not_allowed)))
            }
            DeliverError::Conflict { .. } => (error.to_string(), None, None),
        };
        self.progress.failing(Some(&message));
        self.kept.last_error = Some(message.clone());
        self.save();
        match refused {
            None => Ok(Instant::now() + self.backoff.pause(failures, after)),
            Some((advice, not_allowed)) => {
                Err(Error::Refused { store: self.store.to_owned(), message, advice, not_allowed })
            }
        }
    }

    /// Starts all that has become possible; tells when nothing ever will be.
    fn advance(&mut self) -> Option<Done> {
        let now = Instant::now();
        self.complete();
        let acknowledged = self.acknowledge();
        let sent = self.board();
        if acknowledged || sent {
            self.save();
        }
        self.depart(now);
        let flow = &mut self.flow;
        if let Some(grace) = flow.grace
            && (now >= grace || (flow.halted && self.requests.running() == 0))
        {
            return Some(Done::Stopped);
        }
        let all_acknowledged = flow.open.is_empty()
            && flow.ready.is_empty()
            && flow.under_way.is_empty()
            && flow.delivered.is_empty();
        let ending = flow.ending.as_ref().filter(|_| all_acknowledged && !flow.upkeep.runs);
        if let Some(WriterEnd { exit }) = ending {
            if flow.finish.start(now) {
                self.requests.finish(Ending {
                    exit: exit.clone(),
                    totals: self.kept.acked.totals.clone(),
                    chunks: self.kept.next_chunk,
                });
            }
        } else if flow.grace.is_none() && self.session.upkeep_due() && flow.upkeep.start(now) {
            self.requests.upkeep();
        }
        None
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
            });
        }
    }

    /// Delivered chunks are acknowledged, in order.
    fn acknowledge(&mut self) -> bool {
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
        }
        any
    }

    /// Ready chunks go under way, as many as may; their cuts are noted.
    ///
    /// The first goes alone: should the store have other lines under its number after all, those
    /// behind it are cut wrongly too, and must not be there yet.
    fn board(&mut self) -> bool {
        let mut any = false;
        let most = if self.flow.proved { self.concurrency.max(1) } else { 1 };
        while self.flow.under_way.len() < most
            && let Some(mut flight) = self.flow.ready.pop_front()
        {
            let chunk = flight.chunk.number;
            self.kept.in_flight.retain(|cut| cut.chunk != chunk);
            self.kept.in_flight.push(Cut {
                chunk,
                to_seq: flight.after.lines.seq,
                after: Some(flight.after.clone()),
            });
            flight.again = Some(Instant::now());
            self.flow.under_way.insert(chunk, flight);
            any = true;
        }
        any
    }

    /// Sends what is due.
    fn depart(&mut self, now: Instant) {
        let stopping = self.flow.grace.is_some();
        for flight in self.flow.under_way.values_mut() {
            let may = flight.failures == 0
                || (!stopping && flight.again.is_some_and(|again| again <= now));
            if flight.again.is_some() && may {
                flight.again = None;
                self.requests.deliver(Arc::clone(&flight.chunk));
            }
        }
    }

    /// Writes the checkpoint.
    fn save(&mut self) {
        self.kept.store = self.session.state();
        self.keeper.put(self.store, self.kept.clone());
    }

    /// When something is to be done though nothing happens.
    fn next_due(&self) -> Option<Instant> {
        let flow = &self.flow;
        let flights = flow.under_way.values().filter_map(|flight| flight.again);
        let errands = [&flow.upkeep, &flow.finish].into_iter().filter_map(|errand| errand.again);
        match flow.grace {
            // Nothing is tried again.
            Some(grace) => Some(grace),
            None => flights.chain(errands).min(),
        }
    }
}
