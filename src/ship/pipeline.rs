//! One spool to one log store: the threads of a pipeline, and starting again after a conflict.
//!
//! Apart from the coordinator, which knows nothing of threads. First the store is asked what it
//! has (`recover` makes the plan), then reader, encoders and coordinator run until one of them
//! says that it is over; the others end because their channels do. What a pipeline that has caught up is
//! made of is kept by its caller: the next turn goes on with that and asks nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{at, bounded, select, unbounded};
use tokio::runtime::Handle;

use super::budget::budget;
use super::cadence::Cadence;
use super::coordinator::{Coordinator, Done, Flow, Parts};
use super::gate::Gate;
use super::keeper::{Keeper, Mark, StoreCheckpoint, fresh};
use super::pace::Pace;
use super::reader::{AT_ONCE, Encoders, Reader, Stand};
use super::recover::{Plan, behind_the_store, plan};
use super::request::Requests;
use super::rest::{self, is_more};
use super::retry::Backoff;
use super::source::{FrameSource, SourceError};
use super::stop::{self, Stop, Until};
use super::{Error, Outcome, Progress, Settings};
use crate::line::{self, Block, Splitter};
use crate::record::{GapReason, Nanos, Writer};
use crate::spool::{Kind, Next};
use crate::stores::{DeliverError, Found, LogStore, Session, Totals};

/// Restarts after conflicts without a chunk delivered in between.
const MOST_CONFLICTS: u32 = 4;

/// What is delivered where, and how.
pub struct Delivery<'a> {
    /// Whose lines.
    pub writer: &'a Writer,
    /// How they are cut.
    pub lines: &'a line::Settings,
    /// The log store's name.
    pub name: &'a str,
    /// The log store.
    pub store: &'a dyn LogStore,
    /// The log store's gate.
    pub gate: &'a Arc<Gate>,
    /// Limits and patience.
    pub settings: &'a Settings,
    /// The spool's checkpoint.
    pub keeper: &'a Keeper,
    /// Requests run here.
    pub runtime: &'a Handle,
    /// How far it is.
    pub progress: &'a Progress,
    /// How long a writer that goes on is followed.
    pub until: Until<'a>,
}

/// Opens the frames from a stream offset on.
pub type Open<'a> = dyn FnMut(u64) -> Result<Box<dyn FrameSource>, SourceError> + 'a;

/// What a pipeline leaves when it has caught up, for the next turn of the same writer and store.
#[derive(Default)]
pub struct Left(Option<Parts>);

/// Delivers a writer's frames until its end, or until stopped.
pub fn deliver(
    delivery: &Delivery<'_>,
    left: &mut Left,
    open: &mut Open<'_>,
    stop: &Stop,
) -> Result<Outcome, Error> {
    let outcome = try_to_deliver(delivery, left, open, stop)?;
    if outcome == Outcome::Delivered {
        let state = delivery.keeper.get(delivery.name).map(|stored| stored.store);
        let session = delivery.store.session(delivery.writer, &state.unwrap_or_default())?;
        delivery.progress.delivered(session.refused());
    }
    Ok(outcome)
}

fn try_to_deliver(
    delivery: &Delivery<'_>,
    left: &mut Left,
    open: &mut Open<'_>,
    stop: &Stop,
) -> Result<Outcome, Error> {
    let mut conflicts = 0;
    let mut delivered = 0;
    let mut parts = left.0.take();
    loop {
        let stored = delivery.keeper.get(delivery.name);
        if let Some(stored) = stored.as_ref().filter(|stored| stored.finished) {
            match delivery.all(&stored.acked, open, stop)? {
                None => return Ok(Outcome::Stopped),
                Some(here) if !is_more(here, stored.acked.totals.so_much()) => {
                    return Ok(Outcome::Delivered);
                }
                // What the store has now decides.
                Some(_) => {}
            }
        }
        let next_chunk = stored.as_ref().map_or(0, |stored| stored.next_chunk);
        if next_chunk > delivered {
            (delivered, conflicts) = (next_chunk, 0);
        }
        let (done, stands) = match parts.take() {
            Some(parts) => delivery.go_on(parts, stop)?,
            None => delivery.once(stored, open, stop)?,
        };
        let conflict = match done {
            Done::Delivered => return Ok(Outcome::Delivered),
            Done::CaughtUp => {
                left.0 = stands;
                return Ok(Outcome::CaughtUp);
            }
            Done::Down => return Ok(Outcome::Down),
            Done::Stopped => return Ok(Outcome::Stopped),
            Done::Conflict(chunk) => chunk,
        };
        conflicts += 1;
        if conflicts > MOST_CONFLICTS {
            return Err(Error::Conflict { store: delivery.name.to_owned(), chunk: conflict });
        }
    }
}

impl Delivery<'_> {
    /// Until its end, until stopped, or until a conflict.
    fn once(
        &self,
        stored: Option<StoreCheckpoint>,
        open: &mut Open<'_>,
        stop: &Stop,
    ) -> Result<(Done, Option<Parts>), Error> {
        let had_checkpoint = stored.is_some();
        let mut kept = stored.unwrap_or_else(fresh);
        kept.finished = false;
        let session = self.store.session(self.writer, &kept.store)?;
        let next_chunk = kept.next_chunk;
        let found = match self.look(&session, &mut kept, stop)? {
            Ok(found) => found,
            Err(done) => return Ok((done, None)),
        };
        if let Some(there) = found.complete {
            let Some(here) = self.all(&kept.acked, open, stop)? else {
                return Ok((Done::Stopped, None));
            };
            if is_more(here, there) {
                return Err(Error::More { store: self.name.to_owned(), here, there });
            }
            kept.finished = true;
            self.keeper.put(self.name, kept);
            return Ok((Done::Delivered, None));
        }
        let missing = if had_checkpoint || found.chunks.is_empty() {
            None
        } else {
            missing_start(&mut *open(0)?)?
        };
        let plan = match missing {
            Some(missing) => behind_the_store(&found, missing),
            None => plan(&kept, &found).ok(),
        };
        let Some(plan) = plan else {
            let chunk = found.chunks.first().map_or(next_chunk, |chunk| chunk.chunk);
            return Err(Error::Conflict { store: self.name.to_owned(), chunk });
        };
        let Plan { acked, next_chunk, cuts, skipped } = plan;
        for receipt in &skipped {
            session.acknowledged(receipt);
        }
        kept.acked = acked;
        kept.next_chunk = next_chunk;
        kept.in_flight.retain(|cut| cut.chunk >= next_chunk);
        self.progress.acknowledged(&kept.acked);
        let source = open(kept.acked.lines.resume_offset())?;
        let splitter = Splitter::new(self.line_settings(), kept.acked.lines.clone());
        let stand = Stand { source, splitter };
        self.pipeline(Parts { stand, session, kept, proved: false }, cuts, stop)
    }

    /// With what the last turn has left: nobody else has delivered anything since.
    fn go_on(&self, parts: Parts, stop: &Stop) -> Result<(Done, Option<Parts>), Error> {
        self.progress.acknowledged(&parts.kept.acked);
        self.pipeline(parts, VecDeque::new(), stop)
    }

    fn line_settings(&self) -> line::Settings {
        let limits = self.store.limits();
        line::Settings {
            block_lines: self.lines.block_lines.min(limits.block_lines),
            block_bytes: self.lines.block_bytes.min(limits.block_bytes),
            ..self.lines.clone()
        }
    }

    fn pipeline(
        &self,
        parts: Parts,
        cuts: VecDeque<u64>,
        stop: &Stop,
    ) -> Result<(Done, Option<Parts>), Error> {
        let Parts { stand: Stand { source, splitter }, session, kept, proved } = parts;
        let session = &session;
        let settings = self.settings;
        let most = settings.encoders.max(1);
        let limits = self.store.limits();
        let (allowance, ledger) = budget(settings.channel_bytes);
        let (halt_by, halt) = stop::stop();
        let (gone_by, gone) = stop::stop();
        // As many at the most as the budget has room for.
        let (events_in, events) = unbounded();
        let released = || self.keeper.released();
        thread::scope(|scope| {
            let encoders = Encoders {
                scope,
                session: session.as_ref(),
                here: None,
                most,
                running: 0,
                jobs: bounded(1),
                spare: bounded(most + 1),
                events: events_in,
                ledger: ledger.clone(),
                gone,
            };
            let reader = Reader {
                source,
                block_bytes: self.lines.block_bytes.min(limits.block_bytes),
                splitter,
                block: Block::default(),
                limits,
                cuts,
                cadence: Cadence::new(limits.age, age_of(self.writer), Instant::now()),
                chunk: kept.next_chunk,
                chunk_blocks: 0,
                chunk_bytes: 0,
                allowance,
                encoders,
                released: &released,
                until: self.until,
                halt,
                at_once: Some(AT_ONCE.min(settings.channel_bytes / 2)),
            };
            if let Some(reader) = reader.start() {
                scope.spawn(|| reader.run());
            }
            let requests = Requests::new(Arc::clone(session), self.runtime.clone());
            let coordinator = Coordinator {
                store: self.name,
                session: Arc::clone(session),
                keeper: self.keeper,
                progress: self.progress,
                ledger,
                pace: Pace::new(limits.concurrency.unwrap_or(settings.concurrency)),
                gate: self.gate,
                backoff: Backoff::new(settings.retry_initial, settings.retry_max),
                requests,
                until: self.until,
                remembers: limits.remembers,
                flow: Flow::after(kept.next_chunk, kept.acked.totals.clone(), proved),
                kept,
                halt: Some(halt_by),
            };
            let done = coordinator.run(&events, stop);
            drop((events, gone_by));
            done
        })
    }

    /// How much the writer's lines come to; none if stopped before its end.
    fn all(&self, mark: &Mark, open: &mut Open<'_>, stop: &Stop) -> Result<Option<Totals>, Error> {
        rest::all(mark, open(mark.lines.resume_offset())?, self.lines, stop)
    }

    /// Asks the store what it has until it answers; or says why nobody waits for that any more.
    fn look(
        &self,
        session: &Arc<dyn Session>,
        kept: &mut StoreCheckpoint,
        stop: &Stop,
    ) -> Result<Result<Found, Done>, Error> {
        let settings = self.settings;
        let mut backoff = Backoff::new(settings.retry_initial, settings.retry_max);
        let mut failures = 0;
        let changes = self.gate.changes();
        let still = || Instant::now() + STILL;
        loop {
            let pass = match self.gate.enter(Instant::now()) {
                Ok(pass) => pass,
                Err(again) => {
                    if self.gate.is_down() && self.until.spares() {
                        return Ok(Err(Done::Down));
                    }
                    select! {
                        recv(stop.channel()) -> _ => return Ok(Err(Done::Stopped)),
                        recv(changes.channel()) -> _ => {}
                        recv(at(again.map_or_else(still, |again| again.min(still())))) -> _ => {}
                    }
                    continue;
                }
            };
            let (answer, answers) = bounded(1);
            let (session, next) = (Arc::clone(session), kept.next_chunk);
            let task = self.runtime.spawn(async move {
                drop(answer.send(session.resume(next).await));
            });
            let found = select! {
                recv(answers) -> answer => answer.unwrap_or_else(|_| {
                    let message = "the request for what the store has panicked".to_owned();
                    Err(DeliverError::Retry { message, after: None })
                }),
                recv(stop.channel()) -> _ => {
                    task.abort();
                    return Ok(Err(Done::Stopped));
                }
            };
            let (message, after, refused) = match found {
                Ok(found) => {
                    kept.last_error = None;
                    self.progress.failing(None);
                    // That it can be read says little of whether it takes anything: a pass without a word.
                    return Ok(Ok(found));
                }
                Err(DeliverError::Fatal { message, advice, not_allowed }) => {
                    (message, None, Some((advice, not_allowed)))
                }
                Err(DeliverError::Retry { message, after }) => (message, after, None),
                Err(error @ DeliverError::Conflict { .. }) => (error.to_string(), None, None),
            };
            self.progress.failing(Some(&message));
            kept.last_error = Some(message.clone());
            self.keeper.put(self.name, kept.clone());
            if let Some((advice, not_allowed)) = refused {
                let store = self.name.to_owned();
                return Err(Error::Refused { store, message, advice, not_allowed });
            }
            failures += 1;
            pass.failed(after, Instant::now());
            select! {
                recv(stop.channel()) -> _ => return Ok(Err(Done::Stopped)),
                recv(at(Instant::now() + backoff.pause(failures, after))) -> _ => {}
            }
        }
    }
}

/// How often it is asked whether to go on waiting for a store that is down.
pub(super) const STILL: Duration = Duration::from_millis(250);

/// How many bytes of the spool's start are gone; none if it is all there.
fn missing_start(source: &mut dyn FrameSource) -> Result<Option<u64>, Error> {
    let mut payload = Vec::new();
    let Next::Frame(frame) = source.next(&mut payload)? else { return Ok(None) };
    if frame.kind != Kind::Gap || frame.offset != 0 {
        return Ok(None);
    }
    let gap = serde_json::from_slice::<crate::record::Gap>(&payload).ok();
    Ok(gap.filter(|gap| gap.reason == GapReason::Missing).map(|gap| gap.bytes))
}

/// How long ago the writer started, by the wall clock; zero if that has jumped back.
pub(super) fn age_of(writer: &Writer) -> Duration {
    let nanos = Nanos::now().0.saturating_sub(writer.started.0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
