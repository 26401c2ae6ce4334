//! One stream: bytes from one place, masked, into a spool that exists only once there are bytes.
//!
//! Apart from [`intake`](super::intake), which knows descriptors and waits: a stream is told what
//! was read and what time it is.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Metadata;
use super::courier::Hint;
use super::earlier::{Earlier, INPUT};
use super::identity::Known;
use super::position::{Last, Written};
use crate::capture::file::{self, Block, Ledger};
use crate::capture::mask::{Mask, Masked};
use crate::record::{CONTINUES, Exit, IoStream, Nanos, Writer, WriterId};
use crate::redact::Redactor;
use crate::spool::{self, Append, CreateError, Note, SpoolWriter};
use crate::stack::Stack;

/// What all streams have in common, until the stack file changes.
pub(super) struct Common {
    /// The settings.
    pub(super) stack: Arc<Stack>,
    /// What must not be seen.
    pub(super) redactor: Redactor,
    /// The machine's name.
    pub(super) host: Option<String>,
    /// Hears of bytes to deliver.
    pub(super) hint: Hint,
    /// Writers that were interrupted before.
    pub(super) earlier: Earlier,
}

/// See the module.
pub(super) struct Stream {
    /// The input's name.
    pub(super) input: String,
    /// The path or peer, for people.
    pub(super) label: String,
    known: Known,
    open: Option<Open>,
    /// What must not be seen of it, where that is more than of all.
    redactor: Option<Redactor>,
    masks: [Option<Mask>; 2],
    /// The last byte of each was no line end, and no note has said so.
    open_line: [bool; 2],
    /// When something came last.
    pub(super) last: Instant,
    /// Bytes read.
    pub(super) captured: u64,
    started: Instant,
    /// In order. More than one only where masks gave up what they held.
    waiting: VecDeque<Waiting>,
    /// The writer before, of the same file or of what was quiet for too long.
    continues: Option<WriterId>,
    /// Bytes that were lost before there was a writer.
    lost: Option<u64>,
    /// Where in a file the bytes come from.
    from: Option<Box<From>>,
    /// What went wrong last, and has not been said.
    pub(super) trouble: Option<String>,
    fault_told: bool,
    /// A spool could not be made; it is tried again then.
    retry: Option<Instant>,
}

struct Open {
    writer: SpoolWriter,
    identity: Writer,
}

/// A block that the spool had no room for, whose policy is to wait.
struct Waiting {
    iostream: IoStream,
    time: Nanos,
    place: Option<Place>,
    bytes: Vec<u8>,
}

/// Where in a file a block comes from, also as it goes to the spool.
struct Place {
    written: Written,
    payload: Vec<u8>,
}

struct From {
    path: String,
    ledger: Ledger,
    /// The last position that is in a spool, and what came after it.
    last: Option<(Written, u64)>,
}

/// Between tries to make a spool.
const RETRY: Duration = Duration::from_secs(1);
/// Between tries where a spool is full.
const ROOM_RETRY: Duration = Duration::from_millis(50);

impl Stream {
    pub(super) fn new(input: &str, label: String, known: Known, now: Instant) -> Self {
        Self {
            input: input.to_owned(),
            label,
            known,
            open: None,
            redactor: None,
            masks: [None, None],
            open_line: [false; 2],
            last: now,
            captured: 0,
            started: now,
            waiting: VecDeque::new(),
            continues: None,
            lost: None,
            from: None,
            trouble: None,
            fault_told: false,
            retry: None,
        }
    }

    /// Says that bytes are those of a file, and how much of it another writer has already.
    pub(super) fn comes_from(&mut self, path: &Path, last: Option<Last>) {
        self.continues = last.as_ref().map(|last| last.writer);
        let path = path.to_string_lossy().into_owned();
        let ledger = last.as_ref().map_or_else(Ledger::default, |last| {
            Ledger::resume(&last.written.position, last.following)
        });
        let last = last.map(|last| (last.written, last.following));
        self.from = Some(Box::new(From { path, ledger, last }));
    }

    /// Who writes has these secrets, which it may print. Nobody else's lines are touched by that.
    pub(super) fn has_secrets(&mut self, common: &Common, secrets: Vec<Vec<u8>>) {
        self.redactor = (!secrets.is_empty()).then(|| common.redactor.with(secrets));
    }

    /// A connection's first line has said whose lines these are.
    pub(super) fn is_said(&mut self, metadata: Metadata) {
        self.known.own = metadata;
    }

    /// Whose lines they are, as far as it is known before there are any.
    pub(super) fn whose(&self, common: &Common) -> Metadata {
        self.known.metadata(&common.stack.metadata)
    }

    /// Whether bytes may be given to it: a block waits for room otherwise.
    pub(super) fn is_ready(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The writer's directory, and how much of its stream there is.
    pub(super) fn spool(&self) -> Option<(&Path, u64)> {
        self.open.as_ref().map(|open| (open.writer.dir(), open.writer.offset()))
    }

    /// Whose lines they are, once there are some.
    pub(super) fn writer(&self) -> Option<&Writer> {
        self.open.as_ref().map(|open| &open.identity)
    }

    /// Bytes that were read from a pipe or a connection.
    pub(super) fn take(
        &mut self,
        common: &Common,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        now: Instant,
    ) {
        self.read(common, IoStream::Stdout, Nanos::now(), bytes, scratch, now);
    }

    /// A block of a file.
    pub(super) fn take_block(
        &mut self,
        common: &Common,
        block: &Block,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        now: Instant,
    ) {
        if let Some(from) = &mut self.from {
            from.ledger.read(block);
        }
        self.read(
            common,
            block.iostream,
            block.time.unwrap_or_else(Nanos::now),
            bytes,
            scratch,
            now,
        );
    }

    /// Whole lines that somebody brings and would bring again. False: there is no room, and nothing
    /// has been taken.
    pub(super) fn bring(
        &mut self,
        common: &Common,
        iostream: IoStream,
        lines: &[u8],
        scratch: &mut Vec<u8>,
        now: Instant,
    ) -> bool {
        let Some(slot) = self.masks.get_mut(iostream as usize) else { return false };
        let redactor = self.redactor.as_ref().unwrap_or(&common.redactor);
        let mask = slot.get_or_insert_with(|| Mask::new(redactor));
        let mut masked = match mask.push(lines, scratch) {
            Masked::Beginning(len) => lines.get(..len).unwrap_or_default().to_vec(),
            Masked::Other => std::mem::take(scratch),
        };
        // No secret begins in one record and ends in the next.
        mask.flush(&mut masked);
        if !self.append(common, iostream, Nanos::now(), &[], &masked, now) {
            return false;
        }
        self.last = now;
        self.captured += lines.len() as u64;
        true
    }

    fn read(
        &mut self,
        common: &Common,
        iostream: IoStream,
        time: Nanos,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        now: Instant,
    ) {
        self.last = now;
        self.captured += bytes.len() as u64;
        let Some(slot) = self.masks.get_mut(iostream as usize) else { return };
        let redactor = self.redactor.as_ref().unwrap_or(&common.redactor);
        let mask = slot.get_or_insert_with(|| Mask::new(redactor));
        let masked = match mask.push(bytes, scratch) {
            Masked::Beginning(len) => bytes.get(..len).unwrap_or_default(),
            Masked::Other => scratch.as_slice(),
        };
        self.give(common, iostream, time, masked, now);
    }

    /// Puts masked bytes into the spool.
    fn give(
        &mut self,
        common: &Common,
        iostream: IoStream,
        time: Nanos,
        bytes: &[u8],
        now: Instant,
    ) {
        let doubled =
            self.from.as_mut().map_or(0, |from| from.ledger.doubled(iostream, bytes.len()));
        let bytes = bytes.get(doubled..).unwrap_or_default();
        let Some(last) = bytes.last() else { return };
        self.set_open_line(iostream, *last != b'\n');
        let place = self.position(iostream, bytes.len() as u64);
        if self.is_ready() && self.append_at(common, iostream, time, place.as_ref(), bytes, now) {
            self.passed(place, bytes.len());
            return;
        }
        self.waiting.push_back(Waiting { iostream, time, place, bytes: bytes.to_vec() });
    }

    fn append_at(
        &mut self,
        common: &Common,
        iostream: IoStream,
        time: Nanos,
        place: Option<&Place>,
        bytes: &[u8],
        now: Instant,
    ) -> bool {
        let payload = place.map_or(&[][..], |place| &place.payload);
        self.append(common, iostream, time, payload, bytes, now)
    }

    /// A block is in the spool.
    fn passed(&mut self, place: Option<Place>, bytes: usize) {
        if let (Some(from), Some(place)) = (&mut self.from, place) {
            from.last = Some((place.written, bytes as u64));
        }
    }

    fn set_open_line(&mut self, iostream: IoStream, open: bool) {
        if let Some(line) = self.open_line.get_mut(iostream as usize) {
            *line = open;
        }
    }

    fn position(&mut self, iostream: IoStream, bytes: u64) -> Option<Place> {
        let held = [0, 1].map(|index: usize| {
            self.masks.get(index).and_then(Option::as_ref).map_or(0, |mask| mask.held() as u64)
        });
        let from = self.from.as_mut()?;
        let position = from.ledger.give(iostream, bytes, held)?;
        let (input, path) = (self.input.clone(), from.path.clone());
        let written = Written { input, path, position };
        // Numbers and two texts always have a JSON form.
        let payload = serde_json::to_vec(&written).unwrap_or_default();
        Some(Place { written, payload })
    }

    /// Whether what is brought next has a segment to go to, if the policy is to wait for room.
    pub(super) fn has_room(&mut self, common: &Common) -> bool {
        let Some(Open { writer, .. }) = &mut self.open else { return true };
        common.stack.spool.when_full != spool::WhenFull::Block || writer.has_room()
    }

    /// False: there is no room, and the policy is to wait.
    fn append(
        &mut self,
        common: &Common,
        iostream: IoStream,
        time: Nanos,
        position: &[u8],
        bytes: &[u8],
        now: Instant,
    ) -> bool {
        if self.open.is_none() {
            match self.create(common) {
                Ok(open) => self.open = Some(open),
                Err(error) => {
                    self.retry = Some(now + RETRY);
                    self.trouble = Some(crate::delivery::chain(&error));
                    return false;
                }
            }
        }
        let Some(Open { writer, .. }) = &mut self.open else { return false };
        let outcome = if position.is_empty() || position.len() > spool::MAX_POSITION {
            writer.append(iostream, time, bytes)
        } else {
            writer.append_at(iostream, time, position, bytes)
        };
        if !self.fault_told
            && let Some(fault) = writer.fault()
        {
            self.fault_told = true;
            self.trouble = Some(fault.to_string());
        }
        if outcome == Append::Full {
            self.retry = Some(now + ROOM_RETRY);
            // What is delivered may have to be deleted.
            common.hint.bytes(writer.dir());
            return false;
        }
        common.hint.bytes(writer.dir());
        true
    }

    fn create(&mut self, common: &Common) -> Result<Open, CreateError> {
        let stack = &common.stack;
        let mut known = self.known.clone();
        if let Some(host) = &common.host {
            known.attributes.entry("host.name".to_owned()).or_insert_with(|| host.clone());
        }
        known.attributes.insert(INPUT.to_owned(), self.input.clone());
        let mut identity = known.writer(&stack.metadata);
        let earlier = common.earlier.take(&self.input, &identity.origin);
        if let Some(before) = self.continues.max(earlier) {
            identity.attributes.insert(CONTINUES.to_owned(), before.to_string());
        }
        let meta = spool::Meta {
            version: spool::VERSION,
            writer: identity.clone(),
            lines: stack.lines.clone(),
            stack: Some(stack.name.clone()),
            stack_file: stack.file.clone(),
            stranger: None,
        };
        let mut writer = SpoolWriter::create(&stack.spool, &meta)?;
        if let Some(bytes) = self.lost.take() {
            writer.lost(bytes);
        }
        Ok(Open { writer, identity })
    }

    /// When something is due though nothing comes.
    pub(super) fn due(
        &mut self,
        common: &Common,
        ends_after: Option<Duration>,
        now: Instant,
    ) -> Option<Instant> {
        if !self.is_ready() {
            return self.retry;
        }
        let tick = self.open.as_mut().and_then(|open| open.writer.tick(now));
        // A spool that is always due must not keep us from waiting.
        let tick = tick.map(|due| due.max(now + ROOM_RETRY));
        let idle = self.patience(common).map(|patience| self.last + patience);
        let end = ends_after.filter(|_| self.open.is_some()).map(|after| self.last + after);
        [tick, idle, end].into_iter().flatten().min()
    }

    fn patience(&self, common: &Common) -> Option<Duration> {
        let idle = common.stack.capture.partial_idle;
        let line = self.open_line.contains(&true).then_some(idle);
        let masks = self.masks.iter().flatten().filter_map(|mask| mask.patience(idle));
        masks.chain(line).min()
    }

    /// Does what is due. True: nothing came for so long that the stream is to end.
    pub(super) fn on_time(
        &mut self,
        common: &Common,
        ends_after: Option<Duration>,
        scratch: &mut Vec<u8>,
        now: Instant,
    ) -> bool {
        self.offer(common, now);
        if !self.is_ready() {
            return false;
        }
        let quiet = now.saturating_duration_since(self.last);
        if self.patience(common).is_some_and(|patience| quiet >= patience) {
            self.idle(common, quiet, scratch, now);
        }
        ends_after.is_some_and(|after| self.open.is_some() && quiet >= after)
    }

    /// Offers blocks again that there was no room for.
    pub(super) fn offer(&mut self, common: &Common, now: Instant) {
        if self.retry.is_some_and(|retry| now < retry) {
            return;
        }
        while let Some(waiting) = self.waiting.pop_front() {
            let Waiting { iostream, time, place, bytes } = &waiting;
            if !self.append_at(common, *iostream, *time, place.as_ref(), bytes, now) {
                self.waiting.push_front(waiting);
                return;
            }
            self.passed(waiting.place, waiting.bytes.len());
        }
    }

    /// Quiet in the middle of a line: shows what there is of it.
    fn idle(&mut self, common: &Common, quiet: Duration, scratch: &mut Vec<u8>, now: Instant) {
        let patience = common.stack.capture.partial_idle;
        for iostream in IoStream::ALL {
            let Some(mask) = self.masks.get_mut(iostream as usize).and_then(Option::as_mut) else {
                continue;
            };
            if mask.patience(patience).is_some_and(|long| quiet >= long) {
                scratch.clear();
                mask.flush(scratch);
                self.give(common, iostream, Nanos::now(), scratch, now);
            }
            let open = self.open_line.get(iostream as usize).copied().unwrap_or_default();
            if open && self.is_ready() {
                if let Some(Open { writer, .. }) = &mut self.open {
                    writer.note(Nanos::now(), Note::Idle(iostream));
                    common.hint.bytes(writer.dir());
                }
                self.set_open_line(iostream, false);
            }
        }
    }

    /// Bytes of its file cannot be read any more.
    pub(super) fn gap(
        &mut self,
        common: &Common,
        gap: &file::Gap,
        scratch: &mut Vec<u8>,
        now: Instant,
    ) {
        self.flush(common, scratch, now);
        let missing = self.from.as_mut().map_or(gap.bytes, |from| from.ledger.gap(gap));
        match &mut self.open {
            Some(Open { writer, .. }) => writer.lost(missing),
            None => *self.lost.get_or_insert_default() += missing,
        }
    }

    /// What the masks hold back goes on: another file begins, or the end has come.
    pub(super) fn flush(&mut self, common: &Common, scratch: &mut Vec<u8>, now: Instant) {
        for iostream in IoStream::ALL {
            if let Some(mask) = self.masks.get_mut(iostream as usize).and_then(Option::as_mut)
                && mask.held() > 0
            {
                scratch.clear();
                mask.flush(scratch);
                self.give(common, iostream, Nanos::now(), scratch, now);
            }
        }
    }

    /// Where its file was left.
    pub(super) fn place(&self) -> Option<Last> {
        let (written, following) = self.from.as_ref()?.last.clone()?;
        let writer = self.open.as_ref().map(|open| open.identity.id).or(self.continues)?;
        Some(Last { written, following, writer })
    }

    /// Its writer ends; what comes later is another's. Says what is left to finish, if there ever was
    /// something.
    pub(super) fn end(
        &mut self,
        common: &Common,
        exit: Exit,
        scratch: &mut Vec<u8>,
        now: Instant,
    ) -> Option<Ended> {
        self.retry = None;
        self.offer(common, now);
        self.flush(common, scratch, now);
        let Open { mut writer, identity } = self.open.take()?;
        self.continues = Some(identity.id);
        // There is no room and nobody to wait for any more. A file is read again by whoever follows it next.
        let waiting = std::mem::take(&mut self.waiting);
        let lost: usize =
            waiting.iter().filter(|it| it.place.is_none()).map(|it| it.bytes.len()).sum();
        if lost > 0 {
            writer.lost(lost as u64);
        }
        for iostream in IoStream::ALL {
            if self.masks.get(iostream as usize).is_some_and(Option::is_some) {
                writer.note(Nanos::now(), Note::Eof(iostream));
            }
        }
        let exit = Exit {
            bytes_captured: self.captured,
            masked: self.masks.iter().flatten().map(Mask::masked).sum(),
            ended: if exit.ended == Nanos::default() { Nanos::now() } else { exit.ended },
            wall_ns: match exit.wall_ns {
                0 => now.saturating_duration_since(self.started).as_nanos() as u64,
                known => known,
            },
            ..exit
        };
        self.masks = [None, None];
        self.open_line = [false; 2];
        self.captured = 0;
        self.started = now;
        self.fault_told = false;
        Some(Ended { dir: writer.dir().to_owned(), writer, exit })
    }
}

/// A writer that only has to be finished, which waits for the disk.
pub(super) struct Ended {
    dir: PathBuf,
    writer: SpoolWriter,
    exit: Exit,
}

impl Ended {
    /// Writes the exit record. Says what went wrong.
    pub(super) fn finish(self, hint: &Hint) -> Result<(), String> {
        let finished = self.writer.finish(&self.exit);
        hint.end(&self.dir);
        finished.map_err(|error| crate::delivery::chain(&error))
    }
}
