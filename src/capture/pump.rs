//! The pump: what the step writes goes, redacted, first into the sink and then to the tee.
//!
//! ```text
//! read ──► block ──► mask ──► sink.append ──► tee.write ──► read …
//!                               │ no room       │ reader is slow
//!                               └───────────────┴──► this stream is not read until it went on
//! ```
//!
//! One block a stream, reused; nothing looks at lines. What is on disk is never waiting for a
//! reader of own stdout, and a stream that waits does not keep the other from being read (unless
//! both end in the same pipe, where it would get into the middle of a line).
//!
//! Does not wait: the owner of the event loop asks what to wait for ([`Pump::watch`], [`Pump::due`])
//! and says what is ready.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::mask::{Mask, Masked};
use super::poll::{Interest, PollSet};
use super::sink::FrameSink;
use super::tee::Tee;
use super::unfinished::Unfinished;
use crate::record::{Exit, IoStream, Nanos};
use crate::spool::{FinishError, Note};

/// Reads smaller than this are worth collecting.
const SMALL_READ: usize = 8 << 10;

/// Small reads in quick succession before they are collected; a person's output never gets there.
const BURST: u32 = 32;

/// How long a burst of small reads is collected. Well below what anybody can see.
const PACE: Duration = Duration::from_millis(1);

/// Reads that are further apart are no burst.
const BURST_GAP: Duration = Duration::from_millis(3);

/// How long to wait before a sink without room is asked again.
const ROOM_RETRY: Duration = Duration::from_millis(20);

/// What the pump waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The step has written, or closed, this stream.
    Source(IoStream),
    /// Own output has room again.
    Tee(IoStream),
}

/// How the pump treats its streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tempo {
    /// Largest read.
    pub(crate) read_bytes: usize,
    /// A line without end is flushed after this long.
    pub(crate) partial_idle: Duration,
    /// A line without end that goes on is flushed each time this long has passed.
    pub(crate) partial_age: Duration,
    /// Collect bursts of small reads. Not for terminals, whose buffers are small.
    pub(crate) collect: bool,
}

/// Moves bytes from the step to sink and tee.
pub(crate) struct Pump {
    streams: Vec<Stream>,
    sink: Box<dyn FrameSink>,
    tempo: Tempo,
    captured: u64,
    shared_tee: bool,
}

/// A source of bytes with all that belongs to it.
pub(crate) struct Source {
    /// What its frames say.
    pub(crate) iostream: IoStream,
    /// Where it is read.
    pub(crate) descriptor: OwnedFd,
    /// Where its bytes are shown.
    pub(crate) tee: Tee,
    /// What must not be seen.
    pub(crate) mask: Mask,
}

struct Stream {
    iostream: IoStream,
    source: Option<OwnedFd>,
    tee: Tee,
    mask: Mask,
    buffer: Box<[u8]>,
    clean: Vec<u8>,
    block: Block,
    stage: Stage,
    /// What no line end has followed yet.
    line: Unfinished,
    last_read: Instant,
    burst: u32,
    collect_until: Option<Instant>,
    /// The mask holds nothing back any more, as nothing more comes.
    flushed: bool,
}

/// Which bytes are under way.
#[derive(Clone, Copy)]
enum Block {
    /// The beginning of `buffer`.
    Read { len: usize },
    /// All of `clean`.
    Clean,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The block is done; the next may be read.
    Clear,
    /// The sink has not taken the block yet.
    Offered { time: Nanos },
    /// The sink has it; so many bytes are written to the tee.
    Told { done: usize },
    /// At the end, everything told, and the sink knows.
    Ended,
}

impl Pump {
    pub(crate) fn new(
        sources: Vec<Source>,
        sink: Box<dyn FrameSink>,
        tempo: Tempo,
        now: Instant,
    ) -> Self {
        let streams: Vec<Stream> = sources
            .into_iter()
            .map(|source| Stream {
                iostream: source.iostream,
                source: Some(source.descriptor),
                tee: source.tee,
                mask: source.mask,
                // Zeroed by the system when touched: a step that prints little costs little.
                buffer: vec![0; tempo.read_bytes].into_boxed_slice(),
                clean: Vec::new(),
                block: Block::Clean,
                stage: Stage::Clear,
                line: Unfinished::new(now),
                last_read: now,
                burst: 0,
                collect_until: None,
                flushed: false,
            })
            .collect();
        let shared_tee = matches!(
            streams.as_slice(),
            [first, second] if first.tee.is_same_as(&second.tee)
        );
        Self { streams, sink, tempo, captured: 0, shared_tee }
    }

    /// Adds what to wait for. While own output shared by both streams is stuck, neither is read.
    pub(crate) fn watch<T: Copy + From<Ready>>(&self, set: &mut PollSet<T>) {
        let held = self.is_tee_occupied();
        for stream in &self.streams {
            match (&stream.stage, &stream.source) {
                (Stage::Clear, Some(source)) if !held => {
                    let interest = match stream.collect_until {
                        Some(_) => Interest::Hangup,
                        None => Interest::Read,
                    };
                    set.add(Ready::Source(stream.iostream).into(), source.as_fd(), interest);
                }
                (Stage::Told { .. }, _) => {
                    if let Some(tee) = stream.tee.descriptor() {
                        set.add(Ready::Tee(stream.iostream).into(), tee, Interest::Write);
                    }
                }
                _ => {}
            }
        }
    }

    /// Something that [`watch`](Self::watch) asked for is ready. True if it brought bytes.
    pub(crate) fn handle(&mut self, ready: Ready, now: Instant) -> bool {
        match ready {
            Ready::Source(iostream) => self.read(iostream, now),
            Ready::Tee(iostream) => {
                if let Some(stream) = stream(&mut self.streams, iostream) {
                    stream.advance(self.sink.as_mut());
                }
                false
            }
        }
    }

    fn read(&mut self, iostream: IoStream, now: Instant) -> bool {
        if self.is_tee_occupied() {
            return false;
        }
        let alone = self.tempo.collect
            && self.streams.iter().all(|other| {
                other.iostream == iostream || now.duration_since(other.last_read) > BURST_GAP
            });
        let Some(stream) = stream(&mut self.streams, iostream) else { return false };
        if !matches!(stream.stage, Stage::Clear) {
            return false;
        }
        let Some(source) = &stream.source else { return false };
        match nix::unistd::read(source, &mut stream.buffer) {
            Ok(count) if count > 0 => {
                self.captured += count as u64;
                stream.pace(count, alone, now);
                stream.take(count);
                stream.advance(self.sink.as_mut());
                return true;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // The end; EIO is that of a terminal. Any other error would come again and again.
            Ok(_) | Err(_) => self.end(iostream),
        }
        false
    }

    /// No byte will come from this stream any more.
    fn end(&mut self, iostream: IoStream) {
        if let Some(stream) = stream(&mut self.streams, iostream) {
            stream.source = None;
            if matches!(stream.stage, Stage::Clear) {
                stream.conclude(self.sink.as_mut());
            }
        }
    }

    /// Own output is stuck in the middle of one stream's block, and the other's bytes would get
    /// in between.
    fn is_tee_occupied(&self) -> bool {
        self.shared_tee && self.is_stuck()
    }

    /// When something is due though nothing comes.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        // A sink that is always due must not keep us from waiting.
        let mut due = self.sink.tick(now).map(|due| due.max(now + ROOM_RETRY));
        for stream in &self.streams {
            let own = match stream.stage {
                Stage::Offered { .. } => Some(now + ROOM_RETRY),
                Stage::Clear if stream.collect_until.is_some() => stream.collect_until,
                Stage::Clear if stream.source.is_some() => {
                    let long = stream.patience(self.tempo.partial_idle);
                    let still = long.map(|long| stream.last_read + long);
                    earlier(still, stream.line.due(self.tempo.partial_age))
                }
                _ => None,
            };
            due = earlier(due, own);
        }
        due
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant) {
        for stream in &mut self.streams {
            match stream.stage {
                Stage::Offered { .. } if self.sink.has_room() => stream.advance(self.sink.as_mut()),
                Stage::Clear => {
                    if stream.collect_until.is_some_and(|until| now >= until) {
                        stream.collect_until = None;
                    }
                    let quiet = now.saturating_duration_since(stream.last_read);
                    if stream.source.is_some()
                        && stream
                            .patience(self.tempo.partial_idle)
                            .is_some_and(|long| quiet >= long)
                    {
                        stream.idle(self.sink.as_mut(), self.tempo.partial_idle, quiet);
                    } else if stream.line.due(self.tempo.partial_age).is_some_and(|at| now >= at) {
                        self.sink.note(Nanos::now(), Note::Idle(stream.iostream));
                        stream.line.shown_going_on(now);
                    }
                }
                _ => {}
            }
        }
    }

    /// Reads what is there, without waiting for anything, least of all for own output.
    pub(crate) fn read_rest(&mut self, now: Instant) {
        for iostream in IoStream::ALL {
            self.silence();
            while self.has_bytes(iostream) && self.read(iostream, now) {
                self.silence();
            }
        }
    }

    /// Whether reading would not wait: standard input may be one that does.
    fn has_bytes(&self, iostream: IoStream) -> bool {
        let stream = self.streams.iter().find(|stream| stream.iostream == iostream);
        stream.and_then(|stream| stream.source.as_ref()).is_some_and(|source| {
            let mut poll = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
            nix::poll::poll(&mut poll, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        })
    }

    /// Waits no longer for whoever reads own output.
    pub(crate) fn silence(&mut self) {
        for stream in &mut self.streams {
            while matches!(stream.stage, Stage::Told { .. }) {
                stream.tee = Tee::nowhere();
                stream.advance(self.sink.as_mut());
            }
        }
    }

    /// Ends every stream, whether or not somebody still holds it. [`is_done`](Self::is_done) once
    /// own output has taken everything.
    pub(crate) fn close(&mut self) {
        for iostream in IoStream::ALL {
            self.end(iostream);
        }
    }

    /// Every stream is at its end and everything is told.
    pub(crate) fn is_done(&self) -> bool {
        self.streams.iter().all(|stream| matches!(stream.stage, Stage::Ended))
    }

    /// Something waits for own output or for room in the sink.
    pub(crate) fn is_stuck(&self) -> bool {
        self.streams
            .iter()
            .any(|stream| matches!(stream.stage, Stage::Told { .. } | Stage::Offered { .. }))
    }

    /// The sources that are still open.
    pub(crate) fn open_sources(&self) -> impl Iterator<Item = &OwnedFd> {
        self.streams.iter().filter_map(|stream| stream.source.as_ref())
    }

    /// Why a tee has ended, once.
    pub(crate) fn take_tee_error(&mut self) -> Option<std::io::Error> {
        self.streams.iter_mut().find_map(|stream| stream.tee.take_error())
    }

    /// The first thing that went wrong with the sink.
    pub(crate) fn fault(&self) -> Option<String> {
        self.sink.fault()
    }

    /// Time in which everything stood still does not count.
    pub(crate) fn shift(&mut self, pause: Duration) {
        for stream in &mut self.streams {
            stream.last_read += pause;
            stream.line.shift(pause);
        }
    }

    /// Completes the exit record with what was counted here and hands it to the sink.
    pub(crate) fn finish(self, exit: &mut Exit) -> Result<(), FinishError> {
        exit.bytes_captured = self.captured;
        exit.bytes_spooled = self.sink.offset();
        exit.masked = self.streams.iter().map(|stream| stream.mask.masked()).sum();
        // Blocks are large, and the end takes other memory.
        drop(self.streams);
        self.sink.finish(exit)
    }
}

impl Stream {
    /// Makes the bytes just read the block under way.
    fn take(&mut self, count: usize) {
        let read = self.buffer.get(..count).unwrap_or_default();
        self.stage = Stage::Offered { time: Nanos::now() };
        self.block = match self.mask.push(read, &mut self.clean) {
            Masked::Beginning(len) => Block::Read { len },
            Masked::Other => Block::Clean,
        };
    }

    /// Takes the block as far as it goes now.
    fn advance(&mut self, sink: &mut dyn FrameSink) {
        let bytes = match self.block {
            Block::Read { len } => self.buffer.get(..len).unwrap_or_default(),
            Block::Clean => self.clean.as_slice(),
        };
        if let Stage::Offered { time } = self.stage {
            if !bytes.is_empty() && !sink.append(self.iostream, time, bytes) {
                return;
            }
            self.line.saw(bytes, self.last_read);
            self.stage = Stage::Told { done: 0 };
        }
        if let Stage::Told { done } = self.stage {
            let done = done + self.tee.write(bytes.get(done..).unwrap_or_default());
            if done < bytes.len() {
                self.stage = Stage::Told { done };
            } else {
                self.stage = Stage::Clear;
                if self.source.is_none() {
                    self.conclude(sink);
                }
            }
        }
    }

    /// Nothing more comes and nothing is under way: what the mask still holds, then the end.
    fn conclude(&mut self, sink: &mut dyn FrameSink) {
        if self.flushed {
            sink.note(Nanos::now(), Note::Eof(self.iostream));
            self.stage = Stage::Ended;
            return;
        }
        self.flushed = true;
        self.clean.clear();
        self.mask.flush(&mut self.clean);
        self.block = Block::Clean;
        self.stage = Stage::Offered { time: Nanos::now() };
        self.advance(sink);
    }

    /// After how long a quiet there is something to do: an open line's, or the mask's.
    fn patience(&self, partial_idle: Duration) -> Option<Duration> {
        let line = self.line.is_open().then_some(partial_idle);
        match (line, self.mask.patience(partial_idle)) {
            (Some(line), Some(mask)) => Some(line.min(mask)),
            (line, mask) => line.or(mask),
        }
    }

    /// Quiet in the middle of a line: shows what there is of it.
    fn idle(&mut self, sink: &mut dyn FrameSink, partial_idle: Duration, quiet: Duration) {
        self.clean.clear();
        if self.mask.patience(partial_idle).is_some_and(|long| quiet >= long) {
            self.mask.flush(&mut self.clean);
        }
        self.block = Block::Clean;
        self.stage = Stage::Offered { time: Nanos::now() };
        self.advance(sink);
        if self.line.is_open() && !matches!(self.stage, Stage::Offered { .. }) {
            sink.note(Nanos::now(), Note::Idle(self.iostream));
            self.line.shown_still();
        }
    }

    /// Programs that write each line by itself would cost a read, a frame and a wake-up a line;
    /// in a burst of such lines a pause of a moment lets many of them be one.
    fn pace(&mut self, count: usize, alone: bool, now: Instant) {
        let quick = now.saturating_duration_since(self.last_read) < BURST_GAP;
        self.last_read = now;
        self.burst = if quick && alone && count < SMALL_READ { self.burst + 1 } else { 0 };
        self.collect_until = (self.burst >= BURST).then(|| now + PACE);
    }
}

fn stream(streams: &mut [Stream], iostream: IoStream) -> Option<&mut Stream> {
    streams.iter_mut().find(|stream| stream.iostream == iostream)
}

/// The earlier of two times, either of which may not be.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
