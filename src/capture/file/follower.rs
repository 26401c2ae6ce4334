//! Reading one path on and on: the state of it, and what each look changes.
//!
//! Apart from `current`, which is the file that is being read, from [`succession`](super::succession), which says what comes after a file, and `content`,
//! which is one. It waits for nothing: time is the caller's.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memchr::memrchr;
use nix::errno::Errno;

use super::content::{Filled, Stamp};
use super::cri::{self, Cut};
use super::current::Current;
use super::position::{Place, Position};
use super::rotation::Sibling;
use super::succession::{self, After, Next, Opened, Previous};
use super::{
    Block, Buffer, Counts, FollowError, Format, Gap, Idle, Loss, Presence, Read, Settings, Start,
    Take,
};
use crate::record::Nanos;

/// A file system may give two writes so close together the same time.
const SAME_TIME: i64 = 100_000_000;

/// Steps of one read that come to nothing: then the caller's other files are to have their turn.
const MAX_STEPS: usize = 1024;

/// Reads what is written to one path, whatever becomes of the file that has it.
#[derive(Debug)]
pub struct Follower {
    /// Tells followers apart in a shared buffer.
    id: u64,
    path: PathBuf,
    settings: Settings,
    current: Option<Current>,
    after: After,
    /// The inode of a file after that one which was empty.
    passed: Option<u64>,
    /// Output to leave out: it was given on before.
    skip: [u64; 2],
    generation: u64,
    gap: Option<Gap>,
    counts: Counts,
    ended: bool,
}

impl Follower {
    /// Follows a path from where the settings say. The file need not be there yet.
    pub fn new(path: impl Into<PathBuf>, settings: Settings) -> Result<Self, FollowError> {
        static ID: AtomicU64 = AtomicU64::new(1);
        let mut follower = Self {
            id: ID.fetch_add(1, Ordering::Relaxed),
            path: path.into(),
            after: match settings.start {
                Start::Oldest => After::None,
                Start::Since(since) => After::Since(since),
                Start::Beginning | Start::End => After::All,
            },
            settings,
            current: None,
            passed: None,
            skip: [0, 0],
            generation: 0,
            gap: None,
            counts: Counts::default(),
            ended: false,
        };
        if follower.settings.start == Start::End {
            follower.begin_at_end()?;
        }
        Ok(follower)
    }

    /// Goes on where a position says, of whose bytes so many have arrived: see [`Position::resume`] and
    /// [`Ledger::resume`](super::Ledger::resume). Finds the file also if it was renamed or compressed meanwhile.
    pub fn resume(
        path: impl Into<PathBuf>,
        settings: Settings,
        position: &Position,
        arrived: u64,
    ) -> Result<Self, FollowError> {
        let mut follower = Self::new(path, Settings { start: Start::Beginning, ..settings })?;
        let file = position.file;
        follower.after = After::File(Previous { file, modified: position.modified });
        let found = succession::find(&follower.path, follower.root(), &file);
        let Some(opened) = found.map_err(|source| follower.unreadable(source))? else {
            follower.lose(Gap { bytes: 0, reason: Loss::Vanished });
            return Ok(follower);
        };
        let Place { offset, skip, .. } = position.resume(arrived);
        follower.skip = skip;
        follower.enter(opened);
        follower.go_to(offset)?;
        if let Some(current) = &mut follower.current {
            current.known = Some(file);
        }
        Ok(follower)
    }

    /// The path that is followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nobody writes any more: no renamed file is waited for.
    pub fn hurry(&mut self) {
        self.settings.linger = Duration::ZERO;
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes that are there and have not been handed out, of the file that is being read.
    pub fn lag(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.stamp.size.saturating_sub(current.offset))
    }

    /// Reads the next block, or says why there is none. Call it until it is [`Read::Idle`] or [`Read::Ended`].
    pub fn read(
        &mut self,
        buffer: &mut Buffer,
        take: Take,
        now: Instant,
    ) -> Result<Read, FollowError> {
        // A step that comes to nothing has left a file, or bytes of one, behind.
        for _ in 0..MAX_STEPS {
            if let Some(read) = self.step(buffer, take, now)? {
                return Ok(read);
            }
        }
        Ok(idle(0, Presence::Live))
    }

    fn step(
        &mut self,
        buffer: &mut Buffer,
        take: Take,
        now: Instant,
    ) -> Result<Option<Read>, FollowError> {
        if let Some(gap) = self.gap.take() {
            return Ok(Some(Read::Gap(gap)));
        }
        if self.ended {
            return Ok(Some(Read::Ended));
        }
        let owner = (self.id, self.generation);
        let Some(current) = &mut self.current else {
            return match self.next()? {
                Next::File(opened) => self.begin(opened).map(|()| None),
                Next::Denied(file) => {
                    self.pass_over(file);
                    Ok(None)
                }
                Next::Missing => Ok(Some(idle(0, Presence::Missing))),
            };
        };
        if buffer.owner == owner && buffer.offset == current.offset && buffer.start < buffer.end {
            let rest = buffer.met_end && current.content.is_gzip();
            if let Some(read) = self.cut(buffer, take, rest) {
                return Ok(read);
            }
        }
        self.look(buffer, take, now)
    }

    /// Looks at the file and reads.
    fn look(
        &mut self,
        buffer: &mut Buffer,
        take: Take,
        now: Instant,
    ) -> Result<Option<Read>, FollowError> {
        let owner = (self.id, self.generation);
        let Some(current) = &mut self.current else { return Ok(None) };
        let at_path = succession::look(&self.path);
        let at_path =
            at_path.map_err(|source| FollowError::Read { path: self.path.clone(), source })?;
        let live = at_path.filter(|stamp| stamp.is_same_file(&current.stamp));
        let gzip = current.content.is_gzip();
        let mut seen = current.stamp;
        if let (false, Some(stamp)) = (gzip, live) {
            let settled = Nanos::now().0.saturating_sub(stamp.modified.0) > SAME_TIME;
            let unchanged = current.settled
                && stamp == current.stamp
                && stamp.size == current.offset + current.partial
                && !(take == Take::Everything && current.partial > 0);
            if unchanged {
                return Ok(Some(idle(current.partial, Presence::Live)));
            }
            current.settled = settled;
            current.end = None;
            seen = stamp;
        } else if !gzip {
            let stamp = current.content.stamp();
            seen =
                stamp.map_err(|source| FollowError::Read { path: current.path.clone(), source })?;
        }
        let least = if current.is_unread() { current.stamp.size } else { current.offset };
        let shorter = !gzip && seen.size < least;
        match current.fill(buffer, owner) {
            Ok(Filled::Bytes(_)) if !shorter && current.is_as_known() => {}
            Ok(_) => return self.truncated(buffer).map(|()| None),
            Err(error) if gzip && is_damage(&error) => {
                let age = Nanos::now().0.saturating_sub(current.stamp.modified.0);
                if age < self.settings.linger.as_nanos() as i64 {
                    // It may not be whole yet.
                    current.content.start_again();
                    return Ok(Some(idle(0, Presence::Live)));
                }
                self.lose(Gap { bytes: 0, reason: Loss::Damaged });
                self.leave(buffer);
                return Ok(None);
            }
            // Replaced on its server: what is at the path now is the same file, or the next one.
            Err(error) if error.raw_os_error() == Some(Errno::ESTALE as i32) => {
                self.leave(buffer);
                return Ok(None);
            }
            Err(source) => return Err(FollowError::Read { path: current.path.clone(), source }),
        }
        let cut_off = current.stamp.size.saturating_sub(seen.size);
        // Only now it is known to be of the contents that were read before.
        current.stamp = seen;
        if cut_off > 0 {
            // What was read is still there, but not all that could have been.
            buffer.forget();
            self.lose_some(cut_off, Loss::Truncated);
            return Ok(None);
        }
        if current.blank && current.skip_blank(buffer, &mut self.counts) {
            return Ok(None);
        }
        let end = current.offset + (buffer.end - buffer.start) as u64;
        let rest =
            buffer.met_end && (gzip || (live.is_none() && self.is_over(end, at_path, now)?));
        if let Some(read) = self.cut(buffer, take, rest) {
            return Ok(read);
        }
        let Some(current) = &mut self.current else { return Ok(None) };
        current.partial = (buffer.end - buffer.start) as u64;
        if rest {
            self.leave(buffer);
            return Ok(None);
        }
        let presence = if live.is_some() { Presence::Live } else { Presence::Rotated };
        Ok(Some(idle(current.partial, presence)))
    }

    /// Whether a file that is not at its path any more and ends here gets no more bytes.
    fn is_over(
        &mut self,
        end: u64,
        at_path: Option<Stamp>,
        now: Instant,
    ) -> Result<bool, FollowError> {
        let Some(current) = &mut self.current else { return Ok(true) };
        if current.over {
            return Ok(true);
        }
        let beside = at_path.map(|stamp| (stamp.device, stamp.inode));
        let since = match current.end {
            Some((before, since)) if before == end && current.beside == beside => since,
            last => {
                // Another rotation is no sign of life.
                let since = last.filter(|(before, _)| *before == end).map_or(now, |(_, at)| at);
                current.end = Some((end, since));
                current.beside = beside;
                let previous =
                    Previous { file: current.identity(), modified: current.stamp.modified };
                let newer =
                    succession::has_newer(&self.path, self.settings.root.as_deref(), previous);
                // Then its writers have long gone on to another one.
                current.over = newer
                    .map_err(|source| FollowError::Read { path: self.path.clone(), source })?;
                since
            }
        };
        Ok(current.over || now.saturating_duration_since(since) >= self.settings.linger)
    }

    /// Hands out what is in the buffer. `None`: there is no whole line. `Some(None)`: some of it was to be left out.
    #[expect(clippy::option_option, reason = "the inner one is what a step returns")]
    fn cut(&mut self, buffer: &mut Buffer, take: Take, rest: bool) -> Option<Option<Read>> {
        let current = self.current.as_mut()?;
        let full = buffer.is_full();
        let (start, offset) = (buffer.start, current.offset);
        let ahead = buffer.ahead();
        let cut = match self.settings.format {
            Format::Plain(iostream) => {
                let everything = rest || take == Take::Everything;
                let line = if everything {
                    Some(ahead.len())
                } else {
                    memrchr(b'\n', ahead).map(|end| end + 1)
                };
                let len = line.or(full.then_some(ahead.len())).filter(|len| *len > 0);
                len.map(|len| {
                    current.trace.push(ahead.get(..len).unwrap_or_default());
                    Cut { consumed: len, len, iostream, time: None, malformed: 0 }
                })
            }
            // A line as long as the buffer is no line of a container's.
            Format::Cri { span } => match cri::cut(ahead, rest, span, &mut current.trace) {
                None if full => cri::cut(ahead, true, span, &mut current.trace),
                cut => cut,
            },
        };
        let cut = cut?;
        buffer.pass(cut.consumed);
        current.offset += cut.consumed as u64;
        current.partial = 0;
        current.blank = false;
        current.stamp.size = current.stamp.size.max(current.offset);
        self.counts.malformed += cut.malformed;

        let before = self.skip;
        let skip = self.skip.get_mut(cut.iostream as usize)?;
        let left_out = (*skip).min(cut.len as u64);
        *skip -= left_out;
        let block = Block {
            iostream: cut.iostream,
            time: cut.time,
            generation: self.generation,
            file: current.identity(),
            modified: current.stamp.modified,
            from: Place { offset, skip: before, arrived: [0, 0] },
            to: Place { offset: current.offset, skip: self.skip, arrived: [0, 0] },
            start: start + left_out as usize,
            end: start + cut.len,
        };
        // Nothing to hand out, such as a part of a line without text.
        Some((block.len() > 0).then_some(Read::Block(block)))
    }

    /// What was read is not there any more.
    fn truncated(&mut self, buffer: &mut Buffer) -> Result<(), FollowError> {
        buffer.forget();
        let Some(current) = self.current.take() else { return Ok(()) };
        self.counts.truncations += 1;
        let file = current.identity();
        let known = current.stamp.size;
        if current.is_unread() {
            // Nothing says which copy is its own: whatever comes after what was read before.
            let opened = match self.next()? {
                Next::File(opened) => opened,
                Next::Denied(file) => {
                    self.pass_over(file);
                    return Ok(());
                }
                Next::Missing => return Ok(()),
            };
            let unread = if current.offset == 0 { known } else { 0 };
            if opened.stamp.is_same_file(&current.stamp) {
                self.lose_some(unread, Loss::Truncated);
            }
            return self.begin(opened);
        }
        let copy = succession::find_rotated(&self.path, self.root(), &file);
        if let Some(opened) = copy.map_err(|source| self.unreadable(source))? {
            self.enter(opened);
            self.go_to(current.offset)?;
            if let Some(copy) = &mut self.current {
                copy.known = current.known;
                copy.copy_of = Some(known);
                copy.over = true;
            }
            return Ok(());
        }
        self.lose_some(known.saturating_sub(current.offset), Loss::Truncated);
        // Should no more be written to it, what comes next still comes after what was in it.
        self.after = After::File(Previous { file, modified: current.stamp.modified });
        self.passed = None;
        let stamp = current.content.stamp();
        let stamp = stamp.map_err(|source| self.unreadable(source))?;
        self.enter(Opened { content: current.content, stamp, path: current.path });
        Ok(())
    }

    /// The file is read to its end; what comes after it is next.
    fn leave(&mut self, buffer: &mut Buffer) {
        buffer.forget();
        let Some(mut current) = self.current.take() else { return };
        current.known = None;
        self.counts.rotations += 1;
        if let Some(known) = current.copy_of {
            self.lose_some(known.saturating_sub(current.offset), Loss::Truncated);
        }
        if current.is_unread() && !matches!(self.after, After::All) {
            self.passed = Some(current.stamp.inode);
        } else {
            let modified = current.stamp.modified;
            self.after = After::File(Previous { file: current.identity(), modified });
            self.passed = None;
        }
        self.ended = current.content.is_gzip() && current.path == self.path;
    }

    fn next(&self) -> Result<Next, FollowError> {
        let next = succession::next(&self.path, self.root(), self.after, self.passed);
        next.map_err(|source| self.unopened(source))
    }

    /// A file is left out that we may not read.
    fn pass_over(&mut self, file: Sibling) {
        self.passed = Some(file.stamp.inode);
        // How much is in a compressed one is not known.
        let bytes = if file.name.gzip { 0 } else { file.stamp.size };
        self.lose(Gap { bytes, reason: Loss::Denied });
    }

    /// Begins with the next file, or goes on with the last one if that is back at its path.
    fn begin(&mut self, mut opened: Opened) -> Result<(), FollowError> {
        let back = match self.after {
            After::File(Previous { file, .. })
                if opened.path == self.path
                    && file.head.bytes > 0
                    && file.inode == opened.stamp.inode =>
            {
                let same = opened.content.is(&file);
                same.map_err(|source| self.unreadable(source))?.then_some(file.end())
            }
            _ => None,
        };
        self.enter(opened);
        match back {
            Some(end) => self.go_to(end),
            None => Ok(()),
        }
    }

    /// Begins with a file.
    fn enter(&mut self, opened: Opened) {
        self.generation += 1;
        self.current = Some(Current::new(opened));
    }

    /// Goes to a place in a file that was just begun with.
    fn go_to(&mut self, offset: u64) -> Result<(), FollowError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        current.offset = offset;
        current.blank = offset == 0;
        let trace = current.content.trace(offset);
        let path = &current.path;
        current.trace = trace.map_err(|source| FollowError::Read { path: path.clone(), source })?;
        Ok(())
    }

    fn begin_at_end(&mut self) -> Result<(), FollowError> {
        let opened = succession::open(&self.path, self.root());
        let Some(opened) = opened.map_err(|source| self.unopened(source))? else { return Ok(()) };
        let size = opened.stamp.size;
        if opened.content.is_gzip() {
            self.ended = true;
            return Ok(());
        }
        self.enter(opened);
        self.go_to(size)
    }

    fn lose_some(&mut self, bytes: u64, reason: Loss) {
        if bytes > 0 {
            self.lose(Gap { bytes, reason });
        }
    }

    fn lose(&mut self, gap: Gap) {
        // What was to be left out does not come, and was given on before.
        let [stdout, stderr] = std::mem::take(&mut self.skip);
        let bytes = gap.bytes.saturating_sub(stdout + stderr);
        self.counts.lost += bytes;
        self.gap = Some(Gap { bytes, ..gap });
    }

    fn root(&self) -> Option<&Path> {
        self.settings.root.as_deref()
    }

    fn unopened(&self, source: std::io::Error) -> FollowError {
        FollowError::Open { path: self.path.clone(), source }
    }

    fn unreadable(&self, source: std::io::Error) -> FollowError {
        FollowError::Read { path: self.path.clone(), source }
    }
}

fn idle(partial: u64, presence: Presence) -> Read {
    Read::Idle(Idle { partial, presence })
}

/// What decompressing says of bytes that are not gzip, or end too early.
fn is_damage(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::UnexpectedEof
            | ErrorKind::Other
    )
}
