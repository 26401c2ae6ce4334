//! The reader thread: frames to lines to blocks, and where chunks are cut.
//!
//! Apart because every cut is decided here: by size, by age, by the end, or because it was decided
//! before a crash. Given the cuts, the blocks in a chunk are always the same: they end where they
//! are full, and nowhere else but at a cut. Sends nothing to a store and keeps nothing.
//!
//! What is there at once is read, and encoded, on the thread that starts the pipeline: a turn of a spool
//! that has little to deliver needs no other. Threads begin where there is more, or something to wait for.

use std::collections::VecDeque;
use std::thread::Scope;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, select};

use super::budget::{Allowance, Ledger};
use super::cadence::Cadence;
use super::encoder;
use super::source::{FrameSource, SourceError};
use super::stop::{Stop, Until, Wait};
use crate::line::{Block, Splitter, State};
use crate::record::Exit;
use crate::spool::{Frame, Next};
use crate::stores::{EncodeError, Encoded, Encoder, Limits, Session};

/// What the threads tell the coordinator.
pub(super) enum Event {
    /// A block is encoded.
    Encoded {
        /// Of which chunk.
        chunk: u64,
        /// Which of its blocks.
        position: usize,
        encoded: Result<Encoded, EncodeError>,
    },
    /// A chunk has all its blocks.
    Sealed(Seal),
    /// Reading has ended.
    Ended(Result<How, SourceError>),
    /// All that there was is read; the writer may go on, and be read on with these.
    CaughtUp(Box<Stand>),
}

/// Where reading stands, between two turns.
pub(super) struct Stand {
    pub(super) source: Box<dyn FrameSource>,
    pub(super) splitter: Splitter,
}

/// A complete chunk.
pub(super) struct Seal {
    pub(super) chunk: u64,
    pub(super) blocks: usize,
    /// Nothing follows it.
    pub(super) last: bool,
    /// Behind its last line.
    pub(super) after: State,
}

/// How reading has ended.
pub(super) enum How {
    /// The writer has finished.
    Finished(Box<Exit>),
    /// The writer died.
    Interrupted,
    /// We were told to stop; the writer may go on.
    Stopped,
}

/// A block on its way to an encoder.
pub(super) struct Job {
    pub(super) chunk: u64,
    pub(super) position: usize,
    /// What was taken from the budget for it.
    pub(super) taken: usize,
    pub(super) block: Block,
}

/// Where blocks go, and where they come back from.
pub(super) struct Encoders<'scope, 'env> {
    pub(super) scope: &'scope Scope<'scope, 'env>,
    pub(super) session: &'env dyn Session,
    /// Encodes on the reader's thread, while that is all there is.
    pub(super) here: Option<Box<dyn Encoder>>,
    pub(super) most: usize,
    pub(super) running: usize,
    pub(super) jobs: (Sender<Job>, Receiver<Job>),
    pub(super) spare: (Sender<Block>, Receiver<Block>),
    pub(super) events: Sender<Event>,
    pub(super) ledger: Ledger,
    /// Set when the coordinator has gone.
    pub(super) gone: Stop,
}

pub(super) struct Reader<'scope, 'env> {
    pub(super) source: Box<dyn FrameSource>,
    pub(super) splitter: Splitter,
    pub(super) block: Block,
    pub(super) block_bytes: usize,
    pub(super) limits: Limits,
    /// `seq` where the next chunks have to end.
    pub(super) cuts: VecDeque<u64>,
    pub(super) cadence: Cadence,
    pub(super) chunk: u64,
    /// Of the open chunk, without the open block.
    pub(super) chunk_blocks: usize,
    pub(super) chunk_bytes: u64,
    pub(super) allowance: Allowance,
    pub(super) encoders: Encoders<'scope, 'env>,
    /// What all stores have acknowledged.
    pub(super) released: &'env (dyn Fn() -> u64 + Sync),
    pub(super) until: Until<'env>,
    pub(super) halt: Stop,
    /// Still on the thread that has started it: so many bytes may be read there.
    pub(super) at_once: Option<usize>,
}

/// As much is read on the thread that starts a pipeline, but no more than half of the budget.
pub(super) const AT_ONCE: usize = 256 << 10;

/// Why reading goes no further.
enum Way {
    Ended(How),
    CaughtUp,
    /// It takes longer: on a thread of its own.
    On,
}

/// Nobody listens any more.
struct Hangup;

impl Reader<'_, '_> {
    /// Reads what is there at once. None: that was all, and the coordinator has been told.
    pub(super) fn start(mut self) -> Option<Self> {
        self.encoders.here = Some(self.encoders.session.encoder());
        match self.follow() {
            Ok(Way::On) => {
                self.at_once = None;
                self.encoders.here = None;
                Some(self)
            }
            way => {
                self.tell(way);
                None
            }
        }
    }

    pub(super) fn run(mut self) {
        let way = self.follow();
        self.tell(way);
    }

    fn tell(self, way: Result<Way, Failed>) {
        let event = match way {
            Ok(Way::Ended(how)) => Event::Ended(Ok(how)),
            Ok(Way::CaughtUp) => {
                let mut source = self.source;
                source.stand();
                Event::CaughtUp(Box::new(Stand { source, splitter: self.splitter }))
            }
            Err(Failed::Source(error)) => Event::Ended(Err(error)),
            Ok(Way::On) | Err(Failed::Hangup) => return,
        };
        // If nobody hears it, nobody waits for it.
        drop(self.encoders.events.send(event));
    }

    fn follow(&mut self) -> Result<Way, Failed> {
        let mut payload = Vec::new();
        let mut released = 0;
        let mut quiet_since = Instant::now();
        loop {
            if self.halt.is_set() {
                self.seal(false)?;
                return Ok(Way::Ended(How::Stopped));
            }
            if self.at_once == Some(0) {
                return Ok(Way::On);
            }
            payload.clear();
            match self.source.next(&mut payload)? {
                Next::Frame(frame) => {
                    self.feed(&frame, &payload)?;
                    self.at_once = self.at_once.map(|left| left.saturating_sub(payload.len()));
                    quiet_since = Instant::now();
                }
                // A chunk that was cut before ends there.
                Next::Pending
                    if let Until::Told(over) = self.until
                        && self.cuts.is_empty()
                        && over(Wait::Bytes(quiet_since.elapsed())) =>
                {
                    self.seal(false)?;
                    return Ok(Way::CaughtUp);
                }
                Next::Pending if self.at_once.is_some() => return Ok(Way::On),
                Next::Pending => self.pause()?,
                Next::Finished => {
                    self.end()?;
                    return Ok(Way::Ended(How::Finished(Box::new(self.source.exit()?))));
                }
                Next::Interrupted => {
                    self.end()?;
                    return Ok(Way::Ended(How::Interrupted));
                }
            }
            let now_released = (self.released)();
            if now_released > released {
                released = now_released;
                self.source.release(released);
            }
        }
    }

    fn feed(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), Hangup> {
        let mut rest = payload;
        while !rest.is_empty() {
            let cut = self.cuts.front().copied();
            let taken = self.splitter.push(frame, rest, &mut self.block, cut);
            rest = rest.get(taken..).unwrap_or_default();
            let at_cut = cut.is_some_and(|cut| self.block.next_seq() >= cut);
            if rest.is_empty() && !at_cut {
                break;
            }
            if self.block.lines.is_empty() && self.chunk_blocks == 0 {
                // A cut that leaves nothing for its chunk; the plan makes none.
                self.cuts.pop_front();
                continue;
            }
            self.hand_on()?;
            let no_room = self.chunk_blocks >= self.limits.chunk_blocks
                || self.chunk_bytes + self.block_bytes as u64 / 2 >= self.limits.chunk_bytes;
            if at_cut || (cut.is_none() && no_room) {
                self.seal(false)?;
            }
        }
        Ok(())
    }

    /// Nothing more to read now.
    fn pause(&mut self) -> Result<(), Hangup> {
        let now = Instant::now();
        let mut due = None;
        // A chunk that was cut before ends there and not because it has become old.
        if self.cuts.is_empty() && (self.chunk_blocks > 0 || !self.block.lines.is_empty()) {
            self.cadence.has_lines(self.splitter.urgent(), now);
            due = self.cadence.due(now);
        }
        match due {
            Some(due) if due <= now => self.seal(false),
            due => {
                self.source.wait(due, &self.halt);
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), Hangup> {
        self.splitter.end(&mut self.block);
        self.seal(true)
    }

    /// Hands the block to an encoder.
    fn hand_on(&mut self) -> Result<(), Hangup> {
        if self.block.lines.is_empty() {
            return Ok(());
        }
        let taken = self.block.bytes.len();
        match self.at_once {
            // Nobody gives room back yet.
            Some(_) => self.allowance.take_anyway(taken),
            None => self.allowance.take(taken, &self.halt),
        }
        let mut next = self.encoders.spare.1.try_recv().unwrap_or_default();
        next.clear();
        next.first_seq = self.block.next_seq();
        let block = std::mem::replace(&mut self.block, next);
        self.chunk_bytes += block.raw_bytes;
        let job = Job { chunk: self.chunk, position: self.chunk_blocks, taken, block };
        self.chunk_blocks += 1;
        self.encoders.take(job)
    }

    /// Ends the chunk, if there is anything in it.
    fn seal(&mut self, last: bool) -> Result<(), Hangup> {
        self.hand_on()?;
        if self.chunk_blocks == 0 {
            return Ok(());
        }
        self.allowance.sealed();
        let seal = Seal {
            chunk: self.chunk,
            blocks: self.chunk_blocks,
            last,
            after: self.splitter.state(),
        };
        self.chunk += 1;
        self.chunk_blocks = 0;
        self.chunk_bytes = 0;
        self.cuts.pop_front();
        self.cadence.sealed(Instant::now());
        self.encoders.events.send(Event::Sealed(seal)).map_err(|_| Hangup)
    }
}

impl Encoders<'_, '_> {
    /// Gives a job to the encoders; the next of them is only started when those there are busy.
    fn take(&mut self, job: Job) -> Result<(), Hangup> {
        if let Some(encoder) = &mut self.here {
            let sent =
                encoder::encode(encoder.as_mut(), job, &self.spare.0, &self.events, &self.ledger);
            return sent.then_some(()).ok_or(Hangup);
        }
        if self.running == 0 {
            self.start();
        }
        let job = match self.jobs.0.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(job)) => job,
            Err(TrySendError::Disconnected(_)) => return Err(Hangup),
        };
        if self.running < self.most {
            self.start();
        }
        select! {
            send(self.jobs.0, job) -> sent => sent.map_err(|_| Hangup),
            // The coordinator has gone, and the encoders with it.
            recv(self.gone.channel()) -> _ => Err(Hangup),
        }
    }

    fn start(&mut self) {
        self.running += 1;
        let jobs = self.jobs.1.clone();
        let (spare, events) = (self.spare.0.clone(), self.events.clone());
        let ledger = self.ledger.clone();
        let session = self.session;
        self.scope.spawn(move || encoder::run(session, &jobs, &spare, &events, &ledger));
    }
}

enum Failed {
    Source(SourceError),
    Hangup,
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<Hangup> for Failed {
    fn from(_: Hangup) -> Self {
        Self::Hangup
    }
}
