//! The ship side: follows a spool from any offset, and says what is missing where something is.
//!
//! Apart from [`cursor`](super::cursor), which finds frames in one file: here the files become
//! one stream again. It writes nothing; it deletes only what it is told is acknowledged.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::cursor::{Cursor, Here};
use super::dir::{EXIT, SpoolState, WRITER_LOCK, segments, state};
use super::disk::{Disk, DiskFile as _, RealDisk, read_all, remove_if_there};
use super::segment::{self, HEADER_LEN, Header, HeaderError};
use super::{Frame, Kind, frame};
use crate::record::{Exit, Gap, GapReason, Nanos};

/// What one read asks for.
const PIECE: usize = 1 << 20;

/// Reads the spool of one writer, while that writes or later.
pub struct SpoolReader<D: Disk = RealDisk> {
    /// The writer's lock as it was at the start, whatever has become of its name.
    lock: Option<D::File>,
    disk: D,
    dir: PathBuf,
    /// Offset of the next byte to hand out.
    expected: u64,
    /// Offset that the next frame in the file should have: behind `expected` while frames are
    /// passed that were handed out before. `None` if the segment's header was unreadable.
    at: Option<u64>,
    /// Of the last frame, for gaps that nobody has stamped.
    time: Nanos,
    current: Option<Current<D>>,
    /// Segments that were opened and not released: number and base.
    passed: VecDeque<(u32, u64)>,
    /// Set when the writer is gone, before the last look at its last segment.
    ended: Option<End>,
}

/// The segment that is being read.
struct Current<D: Disk> {
    number: u32,
    cursor: Cursor<D::File>,
    /// The header has been passed.
    begun: bool,
    /// A later segment exists: nothing more will be written to this one.
    sealed: bool,
    /// Something in it was unreadable and is not accounted for yet.
    damaged: bool,
}

/// How a writer ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With this many bytes taken.
    Finished(u64),
    Interrupted,
}

/// What [`SpoolReader::next`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A frame; its payload was appended.
    Frame(Frame),
    /// Nothing now; the writer lives.
    Pending,
    /// Nothing any more: all that the writer has taken was handed out or accounted for.
    Finished,
    /// Nothing any more: the writer died, and what it had taken last may be missing.
    Interrupted,
}

/// Why [`SpoolReader::open`] failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to open the spool {}", dir.display())]
pub struct OpenError {
    /// The writer's directory.
    pub dir: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Why [`SpoolReader::next`] failed. The reader stands where it stood and can be asked again.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed. That is never taken for damage of what is on it.
    #[error("failed to read the spool {}", dir.display())]
    Io {
        /// The writer's directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A later version of steplog wrote it.
    #[error(
        "segment {number} of the spool {} has version {found}, this steplog reads version {}",
        dir.display(),
        segment::VERSION
    )]
    Version {
        /// The writer's directory.
        dir: PathBuf,
        /// The segment.
        number: u32,
        /// The version it has.
        found: u32,
    },
    /// The directory is gone. A writer that lives makes it again.
    #[error("the spool {} is gone", dir.display())]
    Gone {
        /// The writer's directory.
        dir: PathBuf,
    },
}

/// Why a step of reading failed, before it is known where.
enum Trouble {
    Io(io::Error),
    Version { number: u32, found: u32 },
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl SpoolReader {
    /// Starts at a stream offset. The first frame may begin before it, as the frame that holds
    /// it; a gap never does.
    pub fn open(dir: &Path, from: u64) -> Result<Self, OpenError> {
        Self::open_on(RealDisk, dir, from)
    }
}

impl<D: Disk> SpoolReader<D> {
    pub(super) fn open_on(disk: D, dir: &Path, from: u64) -> Result<Self, OpenError> {
        let dir = dir.to_owned();
        if let Err(source) = disk.names(&dir) {
            return Err(OpenError { dir, source });
        }
        Ok(Self {
            lock: disk.open(&dir.join(WRITER_LOCK)).ok(),
            disk,
            dir,
            expected: from,
            at: None,
            time: Nanos(0),
            current: None,
            passed: VecDeque::new(),
            ended: None,
        })
    }

    /// Lets go of memory; what was read and not handed out is read again.
    pub fn forget(&mut self) {
        if let Some(current) = &mut self.current {
            current.cursor.shrink();
        }
    }

    /// Offset of the next byte that [`next`](Self::next) will hand out.
    pub fn offset(&self) -> u64 {
        self.expected
    }

    /// Hands out the next frame and appends its payload to `into`.
    ///
    /// Offsets are continuous: a frame begins where the one before it ended, where a gap counts
    /// as the bytes it stands for. What is damaged or missing comes as a gap frame that is in no
    /// file. A torn frame at the end of a living writer's spool is one that is being written.
    pub fn next(&mut self, into: &mut Vec<u8>) -> Result<Next, ReadError> {
        self.try_next(into).map_err(|trouble| {
            let dir = self.dir.clone();
            match trouble {
                Trouble::Io(source) if source.kind() == ErrorKind::NotFound => {
                    ReadError::Gone { dir }
                }
                Trouble::Io(source) => ReadError::Io { dir, source },
                Trouble::Version { number, found } => ReadError::Version { dir, number, found },
            }
        })
    }

    /// Deletes the segments of which every byte is before `up_to`: what every log store has
    /// acknowledged. The segment that is being written stays.
    pub fn release(&mut self, up_to: u64) -> io::Result<()> {
        let releasable =
            |passed: &VecDeque<(u32, u64)>| passed.get(1).is_some_and(|(_, base)| *base <= up_to);
        if !releasable(&self.passed) {
            return Ok(());
        }
        let mut before = 0;
        while releasable(&self.passed) {
            self.passed.pop_front();
            before = self.passed.front().map_or(0, |(number, _)| *number);
        }
        for number in segments(&self.disk, &self.dir)? {
            if number < before {
                remove_if_there(&self.disk, &self.dir.join(segment::file_name(number)))?;
            }
        }
        Ok(())
    }

    fn try_next(&mut self, into: &mut Vec<u8>) -> Result<Next, Trouble> {
        loop {
            if let Some(frame) = self.step(into)? {
                return Ok(Next::Frame(frame));
            }
            // Nothing more in this segment, for now.
            if self.current.as_ref().is_none_or(|current| current.sealed) {
                if self.advance()? {
                    continue;
                }
            } else if self.seal()? {
                continue;
            }
            match self.ended {
                Some(end) => return Ok(self.conclude(end, into)?),
                None => self.ended = self.end()?,
            }
            let Some(_) = self.ended else {
                return Ok(Next::Pending);
            };
            // It may have written between our last look and its end: look once more.
            if let Some(current) = &mut self.current {
                current.cursor.forget();
            }
        }
    }

    /// Whether a later segment exists. The current one is then complete, but may have grown
    /// since we looked: it is looked at again before it is left.
    fn seal(&mut self) -> io::Result<bool> {
        let numbers = segments(&self.disk, &self.dir)?;
        let Some(current) = &mut self.current else { return Ok(false) };
        // What is behind the last whole frame may be something else by the next look.
        current.cursor.forget();
        current.sealed = numbers.last().is_some_and(|last| *last > current.number);
        Ok(current.sealed)
    }

    /// Goes to the next segment; false if there is none.
    fn advance(&mut self) -> Result<bool, Trouble> {
        loop {
            let number = match &self.current {
                Some(current) => {
                    let numbers = segments(&self.disk, &self.dir)?;
                    numbers.into_iter().find(|number| *number > current.number)
                }
                None => self.first()?,
            };
            let Some(number) = number else { return Ok(false) };
            let file = match self.disk.open(&self.dir.join(segment::file_name(number))) {
                // Merged with a later one since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file?,
            };
            let left = match &mut self.current {
                Some(current) => !current.cursor.peek(1)?.is_empty(),
                None => false,
            };
            let (cursor, damaged) = match self.current.take() {
                Some(mut current) => {
                    current.cursor.open(file);
                    (current.cursor, current.damaged || left)
                }
                None => (Cursor::new(file, 0, PIECE), false),
            };
            self.current = Some(Current { number, cursor, begun: false, sealed: false, damaged });
            return Ok(true);
        }
    }

    /// The segment to begin with: the last that begins at or before our offset.
    fn first(&self) -> Result<Option<u32>, Trouble> {
        let numbers = segments(&self.disk, &self.dir)?;
        for number in numbers.iter().rev() {
            let file = match self.disk.open(&self.dir.join(segment::file_name(*number))) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file?,
            };
            let header = Header::decode(Cursor::new(file, 0, HEADER_LEN).peek(HEADER_LEN)?);
            if header.is_ok_and(|header| header.base <= self.expected) {
                return Ok(Some(*number));
            }
        }
        Ok(numbers.first().copied())
    }

    /// The next frame of the current segment, or a gap before it; `None` if there is none, for
    /// now or, once the segment is sealed, at all.
    fn step(&mut self, into: &mut Vec<u8>) -> Result<Option<Frame>, Trouble> {
        let Some(current) = &mut self.current else { return Ok(None) };
        if !current.begun {
            let bytes = current.cursor.peek(HEADER_LEN)?;
            if bytes.len() < HEADER_LEN {
                return Ok(None);
            }
            match Header::decode(bytes) {
                Ok(header) => {
                    let number = current.number;
                    self.passed.push_back((number, header.base));
                    current.cursor.pass(HEADER_LEN);
                    current.begun = true;
                    self.at = Some(header.base);
                    self.time = self.time.max(header.time);
                    if header.base > self.expected {
                        return Ok(Some(self.gap_up_to(header.base, 0, into)));
                    }
                }
                Err(HeaderError::Version(found)) => {
                    return Err(Trouble::Version { number: current.number, found });
                }
                // The frames say where they belong as well.
                Err(HeaderError::Damaged) => {
                    current.cursor.pass(HEADER_LEN);
                    current.begun = true;
                    current.damaged = true;
                    self.at = None;
                }
            }
        }
        self.step_frames(into)
    }

    fn step_frames(&mut self, into: &mut Vec<u8>) -> Result<Option<Frame>, Trouble> {
        loop {
            let Some(current) = &mut self.current else { return Ok(None) };
            let complete = current.sealed || self.ended.is_some();
            let origin = current.cursor.position();
            let (found, lines) = match current.cursor.look()? {
                Here::Frame(found) => (found, 0),
                Here::Nothing => return Ok(None),
                Here::Part(None) if !complete => return Ok(None),
                Here::Part(Some(part)) if !complete && Some(part.offset) == self.at => {
                    return Ok(None);
                }
                here @ (Here::Part(_) | Here::Damage(_)) => {
                    let Some(found) = current.cursor.resync(here, self.at)? else {
                        return Ok(None);
                    };
                    current.damaged = true;
                    let until = current.cursor.position();
                    current.cursor.seek(origin);
                    (found, current.cursor.count_lines(until)?)
                }
            };
            if found.offset > self.expected {
                return Ok(Some(self.gap_up_to(found.offset, lines, into)));
            }
            current.damaged = false;
            self.time = found.time;
            if let Some(frame) = self.take(found, into)? {
                return Ok(Some(frame));
            }
        }
    }

    /// Passes the intact frame at the cursor and hands it out, unless it was handed out before.
    fn take(&mut self, found: Frame, into: &mut Vec<u8>) -> io::Result<Option<Frame>> {
        let Some(current) = &mut self.current else { return Ok(None) };
        if found.kind == Kind::Gap {
            return self.take_gap(found, into);
        }
        let end = found.offset + if found.kind.is_data() { u64::from(found.len) } else { 0 };
        let fresh = match found.kind {
            Kind::Stdout | Kind::Stderr => end > self.expected,
            Kind::Note | Kind::Gap => end == self.expected,
            // Says nothing of lines.
            Kind::Position => false,
        };
        if fresh {
            into.extend_from_slice(current.cursor.payload(found)?);
            self.expected = end;
        }
        current.cursor.pass(found.whole_len());
        self.at = Some(end);
        Ok(fresh.then_some(found))
    }

    /// The same for a gap: together with those that follow it in a tombstone, and without what
    /// was handed out before it was dropped.
    fn take_gap(&mut self, found: Frame, into: &mut Vec<u8>) -> io::Result<Option<Frame>> {
        let Some(current) = &mut self.current else { return Ok(None) };
        let offset = self.expected;
        let mut total: Option<Gap> = None;
        let mut next = found;
        loop {
            let gap = frame::decode_gap(current.cursor.payload(next)?);
            let gap = gap.filter(|gap| next.offset.checked_add(gap.bytes).is_some());
            let Some(mut gap) = gap else {
                // Written by a later version, or by nobody; the next offset will say how much it stands for.
                current.cursor.pass(next.whole_len());
                break;
            };
            let known = self.expected - next.offset;
            if total.as_ref().is_some_and(|total| total.reason != gap.reason) {
                break;
            }
            current.cursor.pass(next.whole_len());
            self.at = Some(next.offset + gap.bytes);
            if gap.bytes > known {
                gap.bytes -= known;
                gap.lines = gap.lines.min(gap.bytes);
                self.expected += gap.bytes;
                match &mut total {
                    Some(total) => {
                        total.bytes += gap.bytes;
                        total.lines += gap.lines;
                    }
                    None => total = Some(gap),
                }
            }
            // An error will be met again by the next look.
            match current.cursor.look() {
                Ok(Here::Frame(frame))
                    if frame.kind == Kind::Gap
                        && frame.offset <= self.expected
                        && total
                            .as_ref()
                            .is_none_or(|total| total.reason == GapReason::DroppedOldest) =>
                {
                    next = frame;
                }
                _ => break,
            }
        }
        Ok(total.map(|gap| put_gap(&gap, offset, self.time, into)))
    }

    /// A gap that no file holds, from here to `offset`.
    fn gap_up_to(&mut self, offset: u64, lines: u64, into: &mut Vec<u8>) -> Frame {
        let damaged =
            self.current.as_mut().is_some_and(|current| std::mem::take(&mut current.damaged));
        let reason = if damaged { GapReason::Corrupt } else { GapReason::Missing };
        let bytes = offset - self.expected;
        let gap = Gap { bytes, lines: lines.min(bytes), reason };
        let frame = put_gap(&gap, self.expected, self.time, into);
        self.expected = offset;
        frame
    }

    /// How the writer ended, if it has.
    fn end(&self) -> io::Result<Option<End>> {
        Ok(match state(&self.disk, &self.dir)? {
            SpoolState::Live => None,
            SpoolState::Interrupted => match &self.lock {
                // Somebody is removing the directory file by file, and the lock's name went first:
                // the writer lives, and makes the directory again.
                Some(lock) if lock.is_locked()? => None,
                _ => Some(End::Interrupted),
            },
            SpoolState::Finished => {
                let exit = read_all(&self.disk, &self.dir.join(EXIT))?;
                // A record that is damaged still says that the writer has finished.
                let exit = serde_json::from_slice(&exit).unwrap_or_else(|_| Exit::default());
                Some(End::Finished(exit.bytes_spooled))
            }
        })
    }

    /// After the last frame: accounts for what is missing at the end.
    fn conclude(&mut self, end: End, into: &mut Vec<u8>) -> io::Result<Next> {
        let mut until = self.expected;
        if let Some(current) = &mut self.current {
            let here = if current.begun { current.cursor.look()? } else { Here::Nothing };
            current.damaged |= here != Here::Nothing;
            if let Here::Damage(Some(damaged)) = here
                && damaged.kind.is_data()
                && Some(damaged.offset) == self.at
                // After a loss of power the end may read as zeros, which look like an empty frame.
                && damaged.time != Nanos(0)
            {
                until = until.max(damaged.offset + u64::from(damaged.len));
            }
        }
        let (until, next) = match end {
            End::Finished(bytes) => (bytes, Next::Finished),
            End::Interrupted => (until, Next::Interrupted),
        };
        if until > self.expected {
            return Ok(Next::Frame(self.gap_up_to(until, 0, into)));
        }
        Ok(next)
    }
}

/// Appends the payload of a gap frame, and makes its header.
fn put_gap(gap: &Gap, offset: u64, time: Nanos, into: &mut Vec<u8>) -> Frame {
    let payload = frame::encode_gap(gap);
    into.extend_from_slice(&payload);
    Frame { kind: Kind::Gap, time, offset, len: payload.len() as u32 }
}
