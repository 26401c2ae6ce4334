//! The capture thread: waits for everything, reads what is ready into one block, gives it to its stream.
//!
//! ```text
//! epoll ─► FIFOs, connections, standard input ─┐
//! hints, looks ─► files ───────────────────────┴─► one shared block ─► Stream: mask ─► spool
//! ```
//!
//! Level-triggered, so that nothing has to be remembered of a descriptor that still has bytes; files
//! that have more than their share are. Timers are kept in order and moved only when they fire. An
//! idle stream costs its descriptor and a few hundred bytes. Apart from [`inputs`](super::inputs), which
//! says which streams there are.

mod read;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::finisher::Finisher;
use super::log::Log;
use super::otlp::Batch;
use super::source::{Followed, Source};
use super::stream::{Common, Stream};
use crate::capture::file::{Buffer, Take};
use crate::record::Exit;

/// Events of one wait.
const EVENTS: usize = 256;
/// Blocks that one stream may read before the others have their turn.
const BLOCKS: usize = 4;
/// Reads smaller than this are worth collecting …
const SMALL_READ: usize = 8 << 10;
/// … for so long: who writes line by line would cost a read and a frame a line.
const PACE: Duration = Duration::from_millis(5);
/// Bytes that are read at most of one stream that is to end.
const REST: usize = 64 << 20;

/// Who a descriptor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Signals,
    Control,
    Watch,
    Web,
    Client(usize),
    Listener(usize),
    /// A process, by its number.
    Process(i32),
    Stream(usize),
}

/// One open stream with what it is read from.
pub(super) struct Slot {
    pub(super) stream: Stream,
    pub(super) source: Source,
    /// The FIFO or file; none for connections and standard input.
    pub(super) path: Option<PathBuf>,
    pub(super) ends_after_idle: Option<Duration>,
    /// In the epoll set.
    watched: bool,
    timer: Option<Instant>,
}

/// Something that the owner of the inputs has to know.
#[derive(Debug)]
pub(super) enum Event {
    /// A descriptor that is not a stream's is ready.
    Ready(Token),
    /// Nothing more will come from this stream, which has been ended. What it was read from is open still.
    Ended { input: String, path: Option<PathBuf>, descriptor: Option<OwnedFd> },
    /// A connection has said whose lines these are.
    Header { slot: usize },
}

/// See the module.
pub(super) struct Intake {
    epoll: Epoll,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    timers: BTreeSet<(Instant, usize)>,
    /// Files that have more to read.
    busy: HashSet<usize>,
    /// How many streams of each input are open.
    open: HashMap<String, usize>,
    /// Bytes that were read by streams that have ended, by input.
    ended_bytes: HashMap<String, u64>,
    /// Files by the path that hints name.
    files: HashMap<PathBuf, usize>,
    block: Box<[u8]>,
    buffer: Buffer,
    scratch: Vec<u8>,
    pub(super) common: Common,
    pub(super) finisher: Finisher,
    log: Log,
    paced: Instant,
    small: bool,
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Control => (1, 0),
            Self::Watch => (2, 0),
            Self::Client(number) => (3, number),
            Self::Listener(number) => (4, number),
            Self::Stream(number) => (5, number),
            Self::Web => (6, 0),
            Self::Process(pid) => (7, pid.unsigned_abs() as usize),
        };
        kind << 48 | number as u64
    }

    fn decode(data: u64) -> Self {
        let number = (data & ((1 << 48) - 1)) as usize;
        match data >> 48 {
            0 => Self::Signals,
            1 => Self::Control,
            2 => Self::Watch,
            3 => Self::Client(number),
            4 => Self::Listener(number),
            6 => Self::Web,
            7 => Self::Process(number as i32),
            _ => Self::Stream(number),
        }
    }
}

impl Intake {
    pub(super) fn new(common: Common, finisher: Finisher, log: Log) -> io::Result<Self> {
        let bytes = common.stack.capture.read_bytes;
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            slots: Vec::new(),
            free: Vec::new(),
            timers: BTreeSet::new(),
            busy: HashSet::new(),
            open: HashMap::new(),
            ended_bytes: HashMap::new(),
            files: HashMap::new(),
            block: vec![0; bytes].into_boxed_slice(),
            buffer: Buffer::new(bytes),
            scratch: Vec::new(),
            common,
            finisher,
            log,
            paced: Instant::now(),
            small: false,
        })
    }

    /// Waits for this descriptor too.
    pub(super) fn watch(&self, token: Token, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token.encode());
        Ok(self.epoll.add(descriptor, event)?)
    }

    /// Waits for it no longer.
    pub(super) fn unwatch(&self, descriptor: BorrowedFd<'_>) {
        // One that is closed is gone from the set by itself.
        self.epoll.delete(descriptor).ok();
    }

    /// How many streams are open.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many of them are of this input.
    pub(super) fn len_of(&self, input: &str) -> usize {
        self.open.get(input).copied().unwrap_or_default()
    }

    /// The input that has most of them.
    pub(super) fn largest(&self) -> Option<(&str, usize)> {
        let largest = self.open.iter().max_by_key(|(name, count)| (**count, *name));
        largest.map(|(name, count)| (name.as_str(), *count))
    }

    fn free(&mut self, index: usize, input: &str) {
        self.free.push(index);
        if let Some(count) = self.open.get_mut(input) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(input);
            }
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    pub(super) fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)?.as_ref()
    }

    pub(super) fn slot_mut(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index)?.as_mut()
    }

    /// The slot that follows this file.
    pub(super) fn file(&self, path: &Path) -> Option<usize> {
        self.files.get(path).copied()
    }

    /// Adds a stream.
    pub(super) fn add(
        &mut self,
        stream: Stream,
        source: Source,
        path: Option<PathBuf>,
        ends_after_idle: Option<Duration>,
    ) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let (Source::File(_), Some(path)) = (&source, &path) {
            self.files.insert(path.clone(), index);
        }
        *self.open.entry(stream.input.clone()).or_default() += 1;
        let mut slot = Slot { stream, source, path, ends_after_idle, watched: false, timer: None };
        self.set_watched(index, &mut slot, true);
        if matches!(slot.source, Source::File(_)) {
            self.busy.insert(index);
        }
        if let Some(place) = self.slots.get_mut(index) {
            *place = Some(slot);
        }
        index
    }

    fn set_watched(&mut self, index: usize, slot: &mut Slot, wanted: bool) {
        if slot.watched == wanted {
            return;
        }
        let Some(descriptor) = slot.source.descriptor() else { return };
        if wanted {
            match self.watch(Token::Stream(index), descriptor) {
                Ok(()) => slot.watched = true,
                // A regular file as standard input: always ready.
                Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => {
                    self.busy.insert(index);
                }
                Err(error) => self.log.warn(&format!("wait for {}: {error}", slot.stream.label)),
            }
        } else {
            self.unwatch(descriptor);
            slot.watched = false;
        }
    }

    /// Who writes a stream has these secrets.
    pub(super) fn has_secrets(&mut self, index: usize, secrets: Vec<Vec<u8>>) {
        if let Some(Some(slot)) = self.slots.get_mut(index) {
            slot.stream.has_secrets(&self.common, secrets);
        }
    }

    /// Takes a stream away that has no spool.
    pub(super) fn forget(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index).and_then(Option::take) {
            if let Some(timer) = slot.timer {
                self.timers.remove(&(timer, index));
            }
            self.free(index, &slot.stream.input);
        }
    }

    /// Whether lines that are brought would be put into a stream's spool.
    pub(super) fn has_room(&mut self, index: usize) -> bool {
        let Self { slots, common, .. } = self;
        let slot = slots.get_mut(index).and_then(Option::as_mut);
        slot.is_some_and(|slot| slot.stream.has_room(common))
    }

    /// Puts lines that are brought into a stream's spool. False: there is no room.
    pub(super) fn deliver(&mut self, index: usize, batch: &Batch) -> bool {
        let Some(mut slot) = self.slots.get_mut(index).and_then(Option::take) else { return false };
        let now = Instant::now();
        let mut from = 0;
        let taken = batch.pieces.iter().all(|(iostream, until)| {
            let lines = batch.lines.get(from..*until).unwrap_or_default();
            from = *until;
            slot.stream.bring(&self.common, *iostream, lines, &mut self.scratch, now)
        });
        self.settle(index, slot, now);
        taken
    }

    /// Waits, reads, does what is due. Returns what is for others to do.
    pub(super) fn turn(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        self.pace();
        let now = Instant::now();
        let due = self.timers.first().map(|(at, _)| *at);
        let until = [until, due].into_iter().flatten().min();
        let timeout = match until {
            _ if !self.busy.is_empty() => EpollTimeout::ZERO,
            None => EpollTimeout::NONE,
            Some(until) => {
                // Rounded up: a wait that ends before its time would be spent turning around.
                let left = until.saturating_duration_since(now) + Duration::from_micros(999);
                EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
            }
        };
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut told = Vec::new();
        for event in events.get(..count).unwrap_or_default() {
            match Token::decode(event.data()) {
                Token::Stream(index) => self.read(index, &mut told),
                token => told.push(Event::Ready(token)),
            }
        }
        for index in std::mem::take(&mut self.busy) {
            self.read(index, &mut told);
        }
        self.on_time(&mut told);
        Ok(told)
    }

    /// Where the last turn had small reads only, lets more of them come together.
    fn pace(&mut self) {
        if std::mem::take(&mut self.small) {
            std::thread::sleep(PACE.saturating_sub(self.paced.elapsed()));
            self.paced = Instant::now();
        }
    }

    /// There may be something to read.
    pub(super) fn read(&mut self, index: usize, told: &mut Vec<Event>) {
        let Some(mut slot) = self.slots.get_mut(index).and_then(Option::take) else { return };
        let now = Instant::now();
        let outcome = match &mut slot.source {
            Source::File(_) => self.read_file(&mut slot, Take::Lines, now),
            _ => self.read_descriptor(&mut slot, BLOCKS, now),
        };
        match outcome {
            Outcome::Waits => {}
            Outcome::More => {
                self.busy.insert(index);
            }
            Outcome::Header => told.push(Event::Header { slot: index }),
            Outcome::End(exit) => {
                self.conclude(index, slot, *exit, now, told);
                return;
            }
        }
        self.settle(index, slot, now);
    }

    /// Puts a slot back, with what it waits for.
    fn settle(&mut self, index: usize, mut slot: Slot, now: Instant) {
        let ready = slot.stream.is_ready();
        if !ready {
            self.busy.remove(&index);
        }
        self.set_watched(index, &mut slot, ready);
        if let Some(trouble) = slot.stream.trouble.take() {
            self.log.limited(&format!("{}: {trouble}", slot.stream.label));
        }
        let mut due = slot.stream.due(&self.common, slot.ends_after_idle, now);
        if let Source::File(followed) = &slot.source
            && let Some(since) = followed.partial_since
        {
            let partial = since + self.common.stack.capture.partial_idle;
            due = Some(due.map_or(partial, |due| due.min(partial)));
        }
        // A timer that fires early costs one look; one that is moved with each read costs more.
        if let Some(due) = due
            && slot.timer.is_none_or(|timer| due < timer)
        {
            if let Some(timer) = slot.timer.replace(due) {
                self.timers.remove(&(timer, index));
            }
            self.timers.insert((due, index));
        }
        if let Some(place) = self.slots.get_mut(index) {
            *place = Some(slot);
        }
    }

    fn on_time(&mut self, told: &mut Vec<Event>) {
        let now = Instant::now();
        while let Some((at, index)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            let Some(mut slot) = self.slots.get_mut(index).and_then(Option::take) else { continue };
            slot.timer = None;
            if slot.stream.on_time(&self.common, slot.ends_after_idle, &mut self.scratch, now) {
                let exit = all_was_read("nothing came");
                let writer = slot.stream.writer().map(|writer| writer.id);
                self.count(&slot.stream);
                let ended = slot.stream.end(&self.common, exit, &mut self.scratch, now);
                self.finisher.finish(ended, before(&mut slot));
                if let Source::File(followed) = &mut slot.source {
                    followed.before = writer;
                }
                let input = slot.stream.input.clone();
                told.push(Event::Ended { input, path: None, descriptor: None });
            }
            let partial = match &slot.source {
                Source::File(followed) => followed.partial_since,
                _ => None,
            };
            let patience = self.common.stack.capture.partial_idle;
            if partial.is_some_and(|since| now >= since + patience) && slot.stream.is_ready() {
                if let Outcome::End(exit) = self.read_file(&mut slot, Take::Everything, now) {
                    self.conclude(index, slot, *exit, now, told);
                    continue;
                }
            } else if slot.source.descriptor().is_none() && slot.stream.is_ready() {
                self.busy.insert(index);
            }
            self.settle(index, slot, now);
        }
    }

    /// Its writer ends.
    fn count(&mut self, stream: &Stream) {
        if stream.captured > 0 {
            *self.ended_bytes.entry(stream.input.clone()).or_default() += stream.captured;
        }
    }

    /// All that an input's streams have read.
    pub(super) fn read_bytes(&self, input: &str) -> u64 {
        let open = self.slots().filter(|(_, slot)| slot.stream.input == input);
        let open: u64 = open.map(|(_, slot)| slot.stream.captured).sum();
        open + self.ended_bytes.get(input).copied().unwrap_or_default()
    }

    fn conclude(
        &mut self,
        index: usize,
        mut slot: Slot,
        exit: Exit,
        now: Instant,
        told: &mut Vec<Event>,
    ) {
        self.set_watched(index, &mut slot, false);
        if let Some(timer) = slot.timer.take() {
            self.timers.remove(&(timer, index));
        }
        self.busy.remove(&index);
        self.count(&slot.stream);
        let ended = slot.stream.end(&self.common, exit, &mut self.scratch, now);
        self.finisher.finish(ended, before(&mut slot));
        if let (Source::File(_), Some(path)) = (&slot.source, &slot.path) {
            self.files.remove(path);
        }
        let Slot { stream, source, path, .. } = slot;
        self.free(index, &stream.input);
        let descriptor = source.into_descriptor();
        told.push(Event::Ended { input: stream.input, path, descriptor });
    }

    /// Reads what is there and ends the stream; returns where its file was left.
    pub(super) fn end(
        &mut self,
        index: usize,
        exit: Exit,
        take: Take,
        told: &mut Vec<Event>,
    ) -> Option<super::position::Last> {
        let mut slot = self.slots.get_mut(index).and_then(Option::take)?;
        let now = Instant::now();
        let blocks = REST.div_ceil(self.block.len().max(1));
        if matches!(slot.source, Source::File(_)) {
            for _ in 0..blocks.div_ceil(BLOCKS) {
                if !matches!(self.read_file(&mut slot, take, now), Outcome::More) {
                    break;
                }
            }
        } else {
            for _ in 0..blocks {
                if !is_readable(&slot.source)
                    || matches!(self.read_descriptor(&mut slot, 1, now), Outcome::End(_))
                {
                    break;
                }
                self.end_of_head(&mut slot, now);
            }
            self.end_of_head(&mut slot, now);
        }
        slot.stream.flush(&self.common, &mut self.scratch, now);
        let place = slot.stream.place();
        self.conclude(index, slot, exit, now, told);
        place
    }
}

/// What reading came to.
enum Outcome {
    Waits,
    More,
    /// The first bytes of a connection.
    Header,
    End(Box<Exit>),
}

fn before(slot: &mut Slot) -> Option<crate::record::WriterId> {
    match &mut slot.source {
        Source::File(followed) => {
            let Followed { before, .. } = followed.as_mut();
            before.take()
        }
        _ => None,
    }
}

fn is_readable(source: &Source) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    source.descriptor().is_some_and(|descriptor| {
        let mut set = [PollFd::new(descriptor, PollFlags::POLLIN)];
        poll(&mut set, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    })
}

/// Nothing is known of the step, but all that it wrote was read.
pub(super) fn all_was_read(how: &str) -> Exit {
    Exit { code: Some(0), drain: Some(how.to_owned()), ..Exit::default() }
}
