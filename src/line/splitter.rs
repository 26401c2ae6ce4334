//! Frames in, lines out.
//!
//! Whole regions of complete lines are copied once, from the frame into the block. Only the
//! unfinished end of each iostream is kept here, until its line goes on, is too long, its iostream
//! is idle or has ended. How the payload is divided into frames and calls never shows in the
//! lines, except in their times.

use super::pending::Pending;
use super::state::{OpenGroup, OpenLine, State, StreamState};
use super::{Block, Eol, Line, Part, Settings, cut, gap, group, level, rows};
use crate::record::{Gap, IoStream, Level, Nanos};
use crate::spool::{Frame, Kind};

/// The smallest `max_line_bytes` that is honoured: room for a character and a short escape sequence.
const LEAST_LINE_BYTES: usize = 16;

/// Cuts one writer's frames into lines.
#[derive(Debug)]
pub struct Splitter {
    settings: Settings,
    seq: u64,
    last_time: Nanos,
    /// End of what was fed.
    position: u64,
    /// Where the splitter before this one had come to.
    resumed_at: u64,
    stdout: Stream,
    stderr: Stream,
    errors: u64,
}

#[derive(Debug)]
struct Stream {
    /// Its bytes before this position are in lines.
    skip: u64,
    /// Of its bytes behind that and before `resumed_at`, how many have not been fed again yet.
    owed: u64,
    pending: Pending,
    /// How far up the cursor is at the end of what was looked at of `pending`, and where that ends.
    above: u32,
    looked_at: usize,
    /// `pending` ends in a line end that ends the line, unless what follows draws on.
    held: bool,
    open: Option<OpenLine>,
    group: Option<OpenGroup>,
}

/// A line as it is cut, before it has its labels.
#[derive(Clone, Copy)]
struct Piece {
    time: Nanos,
    eol: Eol,
    /// The line goes on in another part.
    more: bool,
}

impl Splitter {
    /// A splitter that goes on after `state`. Feed it the frames from [`State::resume_offset`] on;
    /// what is in lines already is passed over.
    #[expect(clippy::needless_pass_by_value, reason = "a caller's settings are its own copy")]
    pub fn new(settings: Settings, state: State) -> Self {
        let settings = Settings {
            max_line_bytes: settings.max_line_bytes.clamp(LEAST_LINE_BYTES, 1 << 30),
            block_bytes: settings.block_bytes.clamp(1, 1 << 30),
            block_lines: settings.block_lines.max(1),
            ..settings
        };
        Self {
            settings,
            seq: state.seq,
            last_time: state.last_time,
            position: state.resume_offset(),
            resumed_at: state.position,
            stdout: Stream::new(state.stdout),
            stderr: Stream::new(state.stderr),
            errors: 0,
        }
    }

    /// Feeds a frame, or the rest of one: `payload` is its last bytes that were not taken yet.
    ///
    /// Returns how many of them were taken. It is fewer than all when the block is full (by its
    /// bytes, its lines, or because the next line's `seq` is `limit`): hand the block on, then
    /// call again with the rest.
    pub fn push(
        &mut self,
        frame: &Frame,
        payload: &[u8],
        block: &mut Block,
        limit: Option<u64>,
    ) -> usize {
        if block.lines.is_empty() {
            block.first_seq = self.seq;
        }
        if payload.is_empty() || self.is_full(block, limit) {
            return 0;
        }
        match frame.kind {
            Kind::Stdout => self.text(IoStream::Stdout, frame, payload, block, limit),
            Kind::Stderr => self.text(IoStream::Stderr, frame, payload, block, limit),
            Kind::Gap => self.gap(frame, payload, block, limit),
            Kind::Note => {
                self.note(frame, payload, block);
                payload.len()
            }
            // Readers of spools pass these; they are not about lines.
            Kind::Position => payload.len(),
        }
    }

    /// The writer has ended: what is pending becomes lines, at most one for each iostream, even if
    /// the block is full.
    pub fn end(&mut self, block: &mut Block) {
        if block.lines.is_empty() {
            block.first_seq = self.seq;
        }
        for iostream in IoStream::ALL {
            self.close(iostream, block);
        }
    }

    /// Where another splitter has to go on: after the last line that is in a block.
    pub fn state(&self) -> State {
        State {
            seq: self.seq,
            last_time: self.last_time,
            position: self.position.max(self.resumed_at),
            stdout: self.stdout.state(self.position),
            stderr: self.stderr.state(self.position),
        }
    }

    /// How many lines of level ERROR or worse there were since this was last asked: many at once
    /// are a reason not to wait.
    pub fn urgent(&mut self) -> u64 {
        std::mem::take(&mut self.errors)
    }

    fn is_full(&self, block: &Block, limit: Option<u64>) -> bool {
        block.lines.len() >= self.settings.block_lines
            || block.bytes.len() >= self.settings.block_bytes
            || limit.is_some_and(|limit| self.seq >= limit)
    }

    fn stream(&mut self, iostream: IoStream) -> &mut Stream {
        match iostream {
            IoStream::Stdout => &mut self.stdout,
            IoStream::Stderr => &mut self.stderr,
        }
    }

    fn text(
        &mut self,
        iostream: IoStream,
        frame: &Frame,
        payload: &[u8],
        block: &mut Block,
        limit: Option<u64>,
    ) -> usize {
        let base = (frame.offset + u64::from(frame.len)).saturating_sub(payload.len() as u64);
        let stream = self.stream(iostream);
        let mut at = payload.len().min(stream.skip.saturating_sub(base) as usize);
        let fresh = base + at as u64;
        while let Some(rest) = payload.get(at..)
            && !rest.is_empty()
            && !self.is_full(block, limit)
        {
            let stream = self.stream(iostream);
            if stream.pending.bytes.is_empty() && stream.above == 0 {
                let taken = self.whole_lines(iostream, frame.time, rest, block, limit);
                if taken > 0 {
                    at += taken;
                    continue;
                }
            }
            at += self.unfinished(iostream, base + at as u64, frame.time, rest, block);
        }
        let end = base + at as u64;
        self.position = self.position.max(end);
        let fed_again = end.min(self.resumed_at).saturating_sub(fresh);
        let stream = self.stream(iostream);
        stream.owed = stream.owed.saturating_sub(fed_again);
        at
    }

    /// Takes the lines that begin and end in `bytes`, as many as the block has room for.
    fn whole_lines(
        &mut self,
        iostream: IoStream,
        time: Nanos,
        bytes: &[u8],
        block: &mut Block,
        limit: Option<u64>,
    ) -> usize {
        let origin = block.bytes.len();
        let longest = self.settings.max_line_bytes;
        let most_bytes = self.settings.block_bytes;
        let most_lines = limit.map_or(usize::MAX, |limit| {
            block.lines.len() + limit.saturating_sub(self.seq) as usize
        });
        let most_lines = most_lines.min(self.settings.block_lines);
        let may_move = memchr::memchr(b'\x1b', bytes).is_some();
        let mut start = 0;
        'lines: for newline in memchr::memchr_iter(b'\n', bytes) {
            let mut text = bytes.get(start..newline).unwrap_or_default();
            if may_move && rows::above(text, 0) > 0 {
                break;
            }
            let mut piece = Piece { time, eol: Eol::Lf, more: false };
            if let Some(without) = text.strip_suffix(b"\r") {
                text = without;
                piece.eol = Eol::CrLf;
            }
            while text.len() > longest {
                let (part, rest) =
                    text.split_at(cut::long_line(text.get(..longest).unwrap_or(text)));
                let piece = Piece { time, eol: Eol::None, more: true };
                self.line(iostream, origin + start, part, piece, block);
                start += part.len();
                text = rest;
                if block.lines.len() >= most_lines || origin + start >= most_bytes {
                    break 'lines;
                }
            }
            self.line(iostream, origin + start, text, piece, block);
            start = newline + 1;
            if block.lines.len() >= most_lines || origin + start >= most_bytes {
                break;
            }
        }
        block.bytes.extend_from_slice(bytes.get(..start).unwrap_or_default());
        block.raw_bytes += start as u64;
        start
    }

    /// Takes bytes of a line that did not begin in them or does not end in them: to its end, or as
    /// many as make a part, or all. Adds one line at the most.
    fn unfinished(
        &mut self,
        iostream: IoStream,
        offset: u64,
        time: Nanos,
        bytes: &[u8],
        block: &mut Block,
    ) -> usize {
        let longest = self.settings.max_line_bytes;
        let stream = self.stream(iostream);
        if stream.held {
            if !bytes.first().is_some_and(|byte| rows::draws_on(*byte)) {
                self.take_held(iostream, block);
                return 0;
            }
            stream.held = false;
            stream.above = stream.above.saturating_sub(1);
            stream.looked_at = stream.pending.bytes.len();
        }
        let pending = &mut stream.pending;
        // One more than fits tells that it does not; and a CR may belong to the line's end.
        let room = (longest + 2).saturating_sub(pending.bytes.len());
        let window = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        let newline = memchr::memchr(b'\n', window);
        pending.extend(
            offset,
            time,
            window.get(..newline.unwrap_or(window.len())).unwrap_or_default(),
        );
        let has_return = pending.bytes.last() == Some(&b'\r');
        let text = pending.bytes.len() - usize::from(has_return);
        if text > longest {
            let cut = cut::long_line(pending.bytes.get(..longest).unwrap_or_default());
            self.take_pending(iostream, cut, 0, Eol::None, true, block);
            return newline.unwrap_or(window.len());
        }
        let Some(newline) = newline else { return window.len() };
        let stream = self.stream(iostream);
        stream.look();
        if stream.above > 0 {
            stream.pending.extend(offset + newline as u64, time, b"\n");
            stream.held = true;
            return newline + 1;
        }
        let eol = if has_return { Eol::CrLf } else { Eol::Lf };
        self.take_pending(iostream, text, usize::from(has_return), eol, false, block);
        block.bytes.push(b'\n');
        block.raw_bytes += 1;
        newline + 1
    }

    /// The line ended at the line end that `pending` ends in.
    fn take_held(&mut self, iostream: IoStream, block: &mut Block) {
        let text = self.stream(iostream).pending.bytes.as_slice();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let has_return = text.ends_with(b"\r");
        let eol = if has_return { Eol::CrLf } else { Eol::Lf };
        let length = text.len() - usize::from(has_return);
        self.take_pending(iostream, length, usize::from(has_return) + 1, eol, false, block);
    }

    /// Makes a line of the first `text` pending bytes; `rest` more belong to its end.
    fn take_pending(
        &mut self,
        iostream: IoStream,
        text: usize,
        rest: usize,
        eol: Eol,
        more: bool,
        block: &mut Block,
    ) {
        let start = block.bytes.len();
        let stream = self.stream(iostream);
        let before = stream.open.as_ref().map_or(0, |open| open.above);
        // Moved out so that the labels can be found while it is looked at; its buffer is kept.
        let mut pending = std::mem::take(&mut stream.pending);
        let above = if more {
            rows::above(pending.bytes.get(..text).unwrap_or_default(), before)
        } else {
            0
        };
        let piece = Piece { time: pending.first.time, eol, more };
        self.line(iostream, start, pending.bytes.get(..text).unwrap_or_default(), piece, block);
        let taken = text + rest;
        block.bytes.extend_from_slice(pending.bytes.get(..taken).unwrap_or_default());
        block.raw_bytes += taken as u64;
        pending.drop_front(taken);
        let stream = self.stream(iostream);
        stream.pending = pending;
        (stream.above, stream.looked_at, stream.held) = (above, 0, false);
        if let Some(open) = &mut stream.open {
            open.above = above;
        }
    }

    fn note(&mut self, frame: &Frame, payload: &[u8], block: &mut Block) {
        let (idle, iostream) = match payload {
            [kind, 0, ..] => (*kind == 0, IoStream::Stdout),
            [kind, 1, ..] => (*kind == 0, IoStream::Stderr),
            _ => return,
        };
        self.position = self.position.max(frame.offset);
        // Applying a note twice changes nothing, so one that stands right at the start is welcome.
        if frame.offset < self.stream(iostream).skip {
            return;
        }
        if !idle {
            self.close(iostream, block);
            return;
        }
        if self.stream(iostream).held {
            self.take_held(iostream, block);
            return;
        }
        let whole = cut::boundary(&self.stream(iostream).pending.bytes);
        if whole > 0 {
            self.take_pending(iostream, whole, 0, Eol::None, true, block);
        }
    }

    /// Ends an iostream's line where it stands.
    fn close(&mut self, iostream: IoStream, block: &mut Block) {
        let pending = self.stream(iostream).pending.bytes.len();
        if self.stream(iostream).held {
            self.take_held(iostream, block);
        } else if pending > 0 {
            self.take_pending(iostream, pending, 0, Eol::None, false, block);
        }
        let stream = self.stream(iostream);
        stream.open = None;
        stream.above = 0;
        stream.group = None;
    }

    /// A gap ends the lines before it and is a line itself. It is not told which iostream lost
    /// bytes; its line is on stdout.
    fn gap(
        &mut self,
        frame: &Frame,
        payload: &[u8],
        block: &mut Block,
        limit: Option<u64>,
    ) -> usize {
        let Ok(mut gap) = serde_json::from_slice::<Gap>(payload) else { return payload.len() };
        let end = frame.offset.saturating_add(gap.bytes);
        if gap.bytes == 0 || (end <= self.stdout.skip && end <= self.stderr.skip) {
            self.position = self.position.max(end);
            return payload.len();
        }
        for iostream in IoStream::ALL {
            if !self.stream(iostream).pending.bytes.is_empty() && self.is_full(block, limit) {
                return 0;
            }
            self.close(iostream, block);
        }
        if self.is_full(block, limit) {
            return 0;
        }
        // After a restart the gap may have swallowed bytes that are in lines already (the oldest
        // were dropped meanwhile), and others that were pending.
        gap.bytes = end.saturating_sub(frame.offset.max(self.resumed_at));
        for iostream in IoStream::ALL {
            let stream = self.stream(iostream);
            let lost = stream.owed.min(end.saturating_sub(stream.skip.max(frame.offset)));
            stream.owed -= lost;
            stream.skip = stream.skip.max(end);
            gap.bytes += lost;
        }
        self.position = self.position.max(end);
        let text = gap::text(&gap);
        let start = block.bytes.len();
        let time = self.last_time.max(frame.time);
        self.last_time = time;
        self.seq += 1;
        block.lines.push(Line {
            start: start as u32,
            len: text.len() as u32,
            time,
            iostream: IoStream::Stdout,
            eol: Eol::None,
            level: Some(Level::Warning),
            group: None,
            headline: false,
            part: None,
            gap: Some(block.gaps.len() as u32),
        });
        block.bytes.extend_from_slice(text.as_bytes());
        block.gaps.push(gap);
        payload.len()
    }

    /// Adds a line to the block; its bytes are put there by the caller, from `start` on.
    #[inline]
    fn line(
        &mut self,
        iostream: IoStream,
        start: usize,
        text: &[u8],
        piece: Piece,
        block: &mut Block,
    ) {
        let seq = self.seq;
        let time = self.last_time.max(piece.time);
        self.last_time = time;
        self.seq += 1;
        let stream = match iostream {
            IoStream::Stdout => &mut self.stdout,
            IoStream::Stderr => &mut self.stderr,
        };
        let (level, group, part);
        let mut headline = false;
        if let Some(open) = &mut stream.open {
            open.parts += 1;
            (level, group) = (open.level, open.group);
            part = Some(Part { line: open.line, number: open.parts, last: !piece.more });
            if !piece.more {
                stream.open = None;
            }
        } else {
            level = level::detect(text);
            self.errors += u64::from(level >= Some(Level::Error));
            let member = if self.settings.multiline {
                group::step(&mut stream.group, &self.settings, seq, time, text)
            } else {
                None
            };
            group = member.map(|member| member.group);
            headline = member.is_some_and(|member| member.headline);
            part = piece.more.then_some(Part { line: seq, number: 1, last: false });
            if piece.more {
                stream.open = Some(OpenLine { line: seq, parts: 1, level, group, above: 0 });
            }
        }
        block.lines.push(Line {
            start: start as u32,
            len: text.len() as u32,
            time,
            iostream,
            eol: piece.eol,
            level,
            group,
            headline,
            part,
            gap: None,
        });
    }
}

impl Stream {
    fn new(state: StreamState) -> Self {
        Self {
            skip: state.offset,
            owed: state.pending,
            pending: Pending::default(),
            above: state.open.as_ref().map_or(0, |open| open.above),
            looked_at: 0,
            held: false,
            open: state.open,
            group: state.group,
        }
    }

    /// Follows the cursor through what is pending and was not looked at; it ends at a line end, so that
    /// no escape sequence is cut there.
    fn look(&mut self) {
        let fresh = self.pending.bytes.get(self.looked_at..).unwrap_or_default();
        self.above = rows::above(fresh, self.above);
        self.looked_at = self.pending.bytes.len();
    }

    fn state(&self, position: u64) -> StreamState {
        let pending = self.pending.bytes.len() as u64;
        let offset = if pending > 0 { self.pending.first.offset } else { self.skip.max(position) };
        StreamState {
            offset,
            pending: pending + self.owed,
            open: self.open.clone(),
            group: self.group.clone(),
        }
    }
}
