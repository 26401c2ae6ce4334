//! A place in one segment file, and the way from there to the next intact frame.
//!
//! Apart from the reader because counting what a segment holds before it is dropped
//! ([`tombstone`](super::tombstone)) walks the same way. It reads in large pieces, knows nothing
//! of other segments, and does not say what is lost: it only finds where an intact frame is.

use std::io;

use memchr::memchr_iter;

use super::disk::DiskFile;
use super::frame::{self, HEADER_LEN, MAX_GAP_PAYLOAD};
use super::{Frame, Kind};

/// See the module.
pub(super) struct Cursor<F> {
    file: F,
    /// Where in the file the next byte to look at is.
    position: u64,
    /// What has been read; what is before `start` has been looked at.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read came short: the file ended at `end`.
    met_end: bool,
    /// What one read asks for, once a smaller one was not short.
    piece: usize,
    /// The last read was not short: there may be much more.
    filled: bool,
}

/// What the first read asks for at the most.
const FIRST: usize = 32 << 10;

/// What is at the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// An intact frame.
    Frame(Frame),
    /// Nothing: the file ends here.
    Nothing,
    /// The beginning of a frame that the rest of the file is too short for.
    Part(Option<Frame>),
    /// Something that is not a frame.
    Damage(Option<Frame>),
}

impl<F: DiskFile> Cursor<F> {
    /// At a position, with a buffer of up to `piece` bytes (more while a frame is larger).
    pub(super) fn new(file: F, position: u64, piece: usize) -> Self {
        Self {
            file,
            position,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            met_end: false,
            piece,
            filled: false,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes on in another file, with the same buffer.
    pub(super) fn open(&mut self, file: F) {
        self.file = file;
        self.position = 0;
        self.forget();
    }

    /// Goes to a position.
    pub(super) fn seek(&mut self, position: u64) {
        match position.checked_sub(self.position).map(|ahead| ahead as usize) {
            Some(ahead) if ahead <= self.end - self.start => self.start += ahead,
            _ => self.forget(),
        }
        self.position = position;
    }

    /// Forgets what has been read and not been passed: it may have changed since.
    pub(super) fn forget(&mut self) {
        (self.start, self.end) = (0, 0);
        self.met_end = false;
    }

    /// The same, and lets go of the memory for it.
    pub(super) fn shrink(&mut self) {
        self.forget();
        self.buffer = Vec::new();
    }

    /// Passes some bytes.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.seek(self.position + bytes as u64);
    }

    /// The bytes from here on: at least `wanted`, unless the file ends before.
    pub(super) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.end - self.start < wanted && self.met_end {
            // The piece of a frame that was at the end may have been cut off and written anew.
            self.forget();
        }
        while self.end - self.start < wanted && !self.met_end {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            // Where there is little to read, little is asked for.
            let size = if self.filled { self.piece } else { FIRST.min(self.piece) };
            if self.buffer.len() < size.max(wanted) {
                self.buffer.resize(size.max(wanted), 0);
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            let count = self.file.read_at(room, self.position + self.end as u64)?;
            self.filled = count == room.len();
            self.met_end = !self.filled;
            self.end += count;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    /// Says what is here, without passing it.
    ///
    /// A position and the frame that it belongs to are written as one: without that it is a part, which
    /// the writer may yet cut off.
    pub(super) fn look(&mut self) -> io::Result<Here> {
        let here = self.look_once()?;
        let whole = match here {
            Here::Frame(frame) if frame.kind == Kind::Position => {
                matches!(self.look_behind(frame.whole_len())?, Here::Frame(_))
            }
            Here::Frame(_) | Here::Nothing => true,
            Here::Part(_) | Here::Damage(_) => false,
        };
        if whole {
            return Ok(here);
        }
        // Perhaps only what we remember: the writer cuts off a frame that it could not finish, and
        // writes another in its place.
        self.forget();
        let here = self.look_once()?;
        if let Here::Frame(frame) = here
            && frame.kind == Kind::Position
            && matches!(self.look_behind(frame.whole_len())?, Here::Nothing | Here::Part(_))
        {
            return Ok(Here::Part(Some(frame)));
        }
        Ok(here)
    }

    fn look_once(&mut self) -> io::Result<Here> {
        self.look_behind(0)
    }

    /// What is so many bytes behind the cursor.
    fn look_behind(&mut self, skip: usize) -> io::Result<Here> {
        let bytes = self.peek(skip + HEADER_LEN)?.get(skip..).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Here::Nothing);
        }
        if bytes.len() < HEADER_LEN {
            return Ok(Here::Part(None));
        }
        let Some(header) = frame::decode(bytes) else { return Ok(Here::Damage(None)) };
        let whole = header.whole_len();
        Ok(match self.peek(skip + whole)?.get(skip..skip + whole) {
            None => Here::Part(Some(header)),
            Some(bytes) if frame::is_intact(bytes) => Here::Frame(header),
            Some(_) => Here::Damage(Some(header)),
        })
    }

    /// Goes to a position further on and counts the line ends on the way. After an error it is
    /// where it was.
    pub(super) fn count_lines(&mut self, until: u64) -> io::Result<u64> {
        let origin = self.position;
        let mut lines = 0;
        while self.position < until {
            let left = (until - self.position) as usize;
            match self.peek(1) {
                Ok([]) => break,
                Ok(bytes) => {
                    let bytes = bytes.get(..left).unwrap_or(bytes);
                    lines += memchr_iter(b'\n', bytes).count() as u64;
                    let passed = bytes.len();
                    self.pass(passed);
                }
                Err(error) => {
                    self.seek(origin);
                    return Err(error);
                }
            }
        }
        Ok(lines)
    }

    /// The payload of the intact frame that is here.
    pub(super) fn payload(&mut self, header: Frame) -> io::Result<&[u8]> {
        Ok(self.peek(header.whole_len())?.get(HEADER_LEN..header.whole_len()).unwrap_or_default())
    }

    /// Goes from damage to the next intact frame that can belong there: one whose offset follows
    /// from `expected`, the offset that the damaged frame should have had, if that is known. Stays
    /// where it is and says `None` if there is none.
    ///
    /// What a step prints may itself look like frames, so the damaged frame's own length is
    /// trusted first, and a frame whose offset is further on than the bytes in between can explain
    /// is only taken if there is no other. The price: where a gap frame and its neighbour are both
    /// damaged, a few frames behind them may be passed too (and counted as lost).
    pub(super) fn resync(
        &mut self,
        here: Here,
        expected: Option<u64>,
    ) -> io::Result<Option<Frame>> {
        // A length that leads out of the file is not to be trusted.
        let damaged = if let Here::Damage(damaged) = here { damaged } else { None };
        let origin = self.position;
        let found = self.find(damaged, expected);
        if !matches!(found, Ok(Some(_))) {
            self.seek(origin);
        }
        found
    }

    fn find(&mut self, damaged: Option<Frame>, expected: Option<u64>) -> io::Result<Option<Frame>> {
        let origin = self.position;
        let (mut next, mut offset, mut at_end) = (damaged, expected, false);
        while let Some(trusted) = next.filter(|next| {
            offset.is_none_or(|offset| next.offset == offset) && next.kind != Kind::Gap
        }) {
            self.pass(trusted.whole_len());
            let advance = if trusted.kind.is_data() { u64::from(trusted.len) } else { 0 };
            offset = trusted.offset.checked_add(advance);
            next = match self.look()? {
                // Else the length was damaged, and this is a later frame by chance.
                Here::Frame(frame) if Some(frame.offset) == offset => return Ok(Some(frame)),
                Here::Damage(next) => next,
                here => {
                    at_end = here == Here::Nothing;
                    None
                }
            };
        }
        self.seek(origin);
        let near = self.scan(|frame, between| follows(frame, expected, between))?;
        match expected {
            // Of several damaged frames one may have been a gap; unless, as it seems, there was one
            // damaged frame and it was the last.
            Some(expected) if near.is_none() && !at_end => {
                self.seek(origin);
                self.scan(|frame, _| frame.offset >= expected)
            }
            _ => Ok(near),
        }
    }

    /// Tries every byte behind this one for an intact frame that is accepted, given how many
    /// bytes are in between.
    fn scan(&mut self, accept: impl Fn(Frame, usize) -> bool) -> io::Result<Option<Frame>> {
        let origin = self.position;
        loop {
            self.pass(1);
            let between = (self.position - origin) as usize;
            let bytes = self.peek(HEADER_LEN)?;
            if bytes.len() < HEADER_LEN {
                return Ok(None);
            }
            let ahead = bytes.windows(HEADER_LEN).enumerate().find_map(|(ahead, header)| {
                accept(frame::decode(header)?, between + ahead).then_some(ahead)
            });
            let Some(ahead) = ahead else {
                let looked_at = bytes.len() - HEADER_LEN;
                self.pass(looked_at);
                continue;
            };
            self.pass(ahead);
            if let Here::Frame(frame) = self.look_once()? {
                return Ok(Some(frame));
            }
        }
    }
}

impl Frame {
    /// Bytes of the frame in the file.
    pub(super) fn whole_len(self) -> usize {
        HEADER_LEN + self.len as usize
    }
}

/// Whether a frame can be the next one after `between` damaged bytes.
fn follows(frame: Frame, expected: Option<u64>, between: usize) -> bool {
    let Some(expected) = expected else { return true };
    let Some(advance) = frame.offset.checked_sub(expected) else { return false };
    advance <= (between.saturating_sub(HEADER_LEN)) as u64
        // A gap frame is small and may stand for any number of bytes.
        || between <= HEADER_LEN + MAX_GAP_PAYLOAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Nanos;
    use crate::spool::disk::{Disk as _, append_all};
    use crate::spool::simulated::SimulatedDisk;

    fn whole(offset: u64, payload: &[u8]) -> Vec<u8> {
        let mut frame = frame::encode(Kind::Stdout, Nanos(1), offset, payload).to_vec();
        frame.extend_from_slice(payload);
        frame
    }

    fn cursor(contents: &[u8], piece: usize) -> Cursor<impl DiskFile> {
        let disk = SimulatedDisk::new(1 << 30);
        disk.create_dir("/".as_ref()).unwrap();
        let file = disk.create("/file".as_ref()).unwrap();
        append_all(&file, contents, &[]).unwrap();
        Cursor::new(file, 0, piece)
    }

    #[test]
    fn frames_are_found_whatever_the_size_of_a_read() {
        let contents: Vec<u8> =
            (0..50u64).flat_map(|frame| whole(frame * 10, &[frame as u8; 10])).collect();
        for piece in [1, 28, 38, 100, 1 << 20] {
            let mut cursor = cursor(&contents, piece);
            for frame in 0..50u64 {
                let Here::Frame(header) = cursor.look().unwrap() else { panic!("{frame}") };
                assert_eq!(header.offset, frame * 10);
                assert_eq!(cursor.payload(header).unwrap(), [frame as u8; 10]);
                cursor.pass(header.whole_len());
            }
            assert_eq!(cursor.look().unwrap(), Here::Nothing);
        }
    }

    /// A step that prints a spool: in its damaged output are frames that look right.
    #[test]
    fn frames_inside_a_damaged_payload_are_not_taken() {
        let inner = [whole(105, b"planted"), whole(112, b"planted")].concat();
        let outer_len = inner.len() as u64;
        let next = whole(100 + outer_len, b"next");
        let mut contents = [whole(100, &inner), next].concat();
        contents[HEADER_LEN + 3] ^= 1;
        let mut cursor = cursor(&contents, 64);
        let here = cursor.look().unwrap();
        assert!(matches!(here, Here::Damage(Some(_))), "{here:?}");
        let found = cursor.resync(here, Some(100)).unwrap().unwrap();
        assert_eq!(found.offset, 100 + outer_len);
        assert_eq!(cursor.position(), (HEADER_LEN as u64) + outer_len);
    }

    #[test]
    fn a_damaged_length_is_survived() {
        for bit in 0..32 {
            let mut contents = [whole(0, &[7; 300]), whole(300, b"next")].concat();
            contents[bit / 8] ^= 1 << (bit % 8);
            let mut cursor = cursor(&contents, 64);
            let here = cursor.look().unwrap();
            assert!(!matches!(here, Here::Frame(_)), "bit {bit}");
            let found = cursor.resync(here, Some(0)).unwrap();
            assert_eq!(found.map(|frame| frame.offset), Some(300), "bit {bit}");
        }
    }

    #[test]
    fn without_another_frame_it_stays_where_it_is() {
        let mut contents = whole(0, b"the only one");
        contents[30] ^= 1;
        contents.extend_from_slice(&[0; 500]);
        let mut cursor = cursor(&contents, 64);
        let here = cursor.look().unwrap();
        assert_eq!(cursor.resync(here, Some(0)).unwrap(), None);
        assert_eq!(cursor.position(), 0);
        assert_eq!(cursor.look().unwrap(), here);
    }

    #[test]
    fn what_was_read_is_not_believed_for_ever() {
        let disk = SimulatedDisk::new(1 << 30);
        disk.create_dir("/".as_ref()).unwrap();
        let file = disk.create("/file".as_ref()).unwrap();
        let torn = whole(0, b"this will not be finished");
        append_all(&file, &torn[..40], &[]).unwrap();
        let mut cursor = Cursor::new(file.clone(), 0, 1 << 20);
        assert!(matches!(cursor.look().unwrap(), Here::Part(Some(_))));
        file.truncate(0).unwrap();
        append_all(&file, &whole(0, b"this is written in its place"), &[]).unwrap();
        let Here::Frame(found) = cursor.look().unwrap() else { panic!() };
        assert_eq!(cursor.payload(found).unwrap(), b"this is written in its place");
    }
}
