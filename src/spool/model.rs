//! Writer and reader against a model, on a simulated disk with tiny limits, under every accident
//! that the essay in [`spool`](super) names.
//!
//! The model knows every byte that was given to the writer, what the writer said of it, and for
//! each byte which accident could excuse its absence. Whatever the reader hands out is held
//! against that.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::dir::{EXIT, segments};
use super::disk::Disk as _;
use super::segment::{self, Header};
use super::simulated::{Fault, FaultKind, SimulatedDisk, User};
use super::tests::meta;
use super::{
    Append, Frame, Kind, Next, Note, ReadError, Settings, SpoolReader, SpoolWriter, Sync, WhenFull,
    frame, position,
};
use crate::record::{Exit, Gap, GapReason, IoStream, Nanos};

#[derive(Clone, Debug)]
enum Op {
    Append {
        iostream: IoStream,
        len: usize,
    },
    Note(Note),
    Tick,
    Read(usize),
    /// At a share (in 256ths) between what was released and what was read.
    Reopen(u8),
    /// Up to a share of what was read.
    Release(u8),
    Arm(Fault),
    Capacity(u64),
    FailSyncs(u32),
    FailReads(User, u32),
    /// In which file, at which bit, as shares of all.
    Flip(u8, u16),
    Vanish,
    Mend,
}

#[derive(Clone, Debug)]
enum Ending {
    Finish,
    Die,
    /// The last segment is cut at a share (in 256ths) of its length.
    TornTail(u8),
    /// Something that is not a frame follows the last one.
    Garbage(Vec<u8>),
    LosePower {
        finished: bool,
        share: u8,
        zeros: bool,
    },
}

/// What may have happened to a byte of the stream.
const DROPPED: u8 = 1;
const DAMAGED: u8 = 2;
const GONE: u8 = 4;
const HOLE: u8 = 8;
const UNCERTAIN: u8 = 16;

struct Given {
    range: Range<u64>,
    kind: Kind,
    time: Nanos,
    written: bool,
}

struct Model {
    disk: SimulatedDisk,
    settings: Settings,
    /// What is appended can be read again.
    from_file: bool,
    dir: PathBuf,
    writer: Option<SpoolWriter<SimulatedDisk>>,
    reader: Option<SpoolReader<SimulatedDisk>>,
    /// Every byte given to the writer, and what may have happened to it.
    stream: Vec<u8>,
    fate: Vec<u8>,
    given: Vec<Given>,
    /// Offsets of bytes that were offered with a position, whether or not they were taken.
    positions: Vec<u64>,
    clock: i64,
    now: Instant,
    /// Where the reader stands, and whether it has handed out anything since it was opened.
    position: u64,
    fresh: bool,
    read_up_to: u64,
    released: u64,
    /// Where segments have begun.
    bases: Vec<u64>,
    flips: u32,
    /// The last segment was cut, which no crash does where a disk fills up.
    cut: bool,
    /// Something was written behind the last frame.
    garbage: bool,
    /// The directory was removed and the writer has not noticed.
    vanished: bool,
    vanished_ever: bool,
    finished_at: Option<u64>,
    limited: bool,
}

impl Model {
    fn new(settings: Settings, from_file: bool) -> Self {
        let disk = SimulatedDisk::new(1 << 20);
        let writer =
            SpoolWriter::create_on(disk.clone(), &settings, &meta(), Duration::ZERO).unwrap();
        let mut model = Self {
            dir: writer.dir().to_owned(),
            writer: Some(writer),
            reader: None,
            stream: Vec::new(),
            fate: Vec::new(),
            given: Vec::new(),
            positions: Vec::new(),
            clock: 0,
            now: Instant::now(),
            position: 0,
            fresh: true,
            read_up_to: 0,
            released: 0,
            bases: Vec::new(),
            flips: 0,
            garbage: false,
            cut: false,
            vanished: false,
            vanished_ever: false,
            finished_at: None,
            limited: true,
            disk,
            settings,
            from_file,
        };
        model.reopen(0);
        model
    }

    fn run(&mut self, op: &Op) {
        self.clock += 1;
        match op {
            Op::Append { iostream, len } => self.append(*iostream, *len),
            Op::Note(note) => {
                if let Some(writer) = &mut self.writer {
                    writer.note(Nanos(self.clock), *note);
                }
            }
            Op::Tick => {
                self.now += Duration::from_secs(2);
                if let Some(writer) = &mut self.writer {
                    writer.tick(self.now);
                    self.now += Duration::from_secs(2);
                    writer.tick(self.now);
                }
            }
            Op::Read(frames) => {
                for _ in 0..*frames {
                    if self.read_one().is_some() {
                        break;
                    }
                }
            }
            Op::Reopen(share) => {
                let span = self.read_up_to - self.released;
                self.reopen(self.released + span * u64::from(*share) / 256);
            }
            Op::Release(share) => {
                let up_to = self.read_up_to * u64::from(*share) / 256;
                if let Some(reader) = &mut self.reader
                    && reader.release(up_to).is_ok()
                {
                    self.released = self.released.max(up_to);
                }
            }
            Op::Arm(fault) => self.disk.arm(*fault),
            Op::Capacity(capacity) => self.disk.set_capacity(*capacity),
            Op::FailSyncs(times) => self.disk.fail_syncs(*times),
            Op::FailReads(user, times) => {
                // Who cannot look cannot keep the limit.
                self.limited &= *user != User::Writer;
                self.disk.fail_reads(*user, *times);
            }
            Op::Flip(file, bit) => self.flip(*file, *bit),
            Op::Vanish => {
                if self.disk.seen_by(User::Reader).remove_dir(&self.dir).is_ok() {
                    self.mark(0..self.stream.len() as u64, GONE);
                    (self.vanished, self.vanished_ever) = (true, true);
                }
            }
            Op::Mend => self.disk.mend(),
        }
        self.look_around();
    }

    fn append(&mut self, iostream: IoStream, len: usize) {
        let Some(writer) = &mut self.writer else { return };
        let offset = self.stream.len() as u64;
        assert_eq!(writer.offset(), offset);
        let payload: Vec<u8> = (offset..offset + len as u64).map(byte).collect();
        let time = Nanos(self.clock);
        let outcome = if self.from_file {
            self.positions.push(offset);
            writer.append_at(iostream, time, &position_of(offset), &payload)
        } else {
            writer.append(iostream, time, &payload)
        };
        let crashed = self.disk.is_crashed();
        if outcome == Append::Full && !crashed {
            assert_eq!(self.settings.when_full, WhenFull::Block);
            assert_eq!(writer.offset(), offset);
            return;
        }
        self.stream.extend(payload);
        let range = offset..offset + len as u64;
        self.fate.resize(self.stream.len(), 0);
        let fate = match outcome {
            _ if crashed => UNCERTAIN,
            Append::Written => 0,
            Append::Dropped | Append::Full => DROPPED,
        };
        self.mark(range.clone(), fate);
        self.given.push(Given { range, kind: iostream.into(), time, written: fate != DROPPED });
        if crashed {
            self.die();
        }
    }

    fn die(&mut self) {
        self.writer = None;
        self.disk.mend();
    }

    fn reopen(&mut self, at: u64) {
        let reader = SpoolReader::open_on(self.disk.seen_by(User::Reader), &self.dir, at);
        if let Ok(reader) = reader {
            self.reader = Some(reader);
            (self.position, self.fresh) = (at, true);
        }
    }

    /// One frame; or why there is none.
    fn read_one(&mut self) -> Option<Next> {
        let mut payload = b"before".to_vec();
        let reader = self.reader.as_mut()?;
        let next = match reader.next(&mut payload) {
            Ok(next) => next,
            Err(error) => {
                assert_eq!(payload, b"before");
                match error {
                    ReadError::Io { .. } => {}
                    ReadError::Gone { .. } => assert!(self.vanished_ever),
                    ReadError::Version { .. } => panic!("{error}"),
                }
                return Some(Next::Pending);
            }
        };
        let payload = &payload[6..];
        match next {
            Next::Frame(frame) => {
                assert_eq!(frame.len as usize, payload.len());
                self.check(frame, payload);
                assert_eq!(self.reader.as_ref().unwrap().offset(), self.position);
                self.read_up_to = self.read_up_to.max(self.position);
                self.fresh = false;
                None
            }
            Next::Pending => {
                assert!(self.writer.is_some());
                if self.flips == 0 && !self.vanished_ever {
                    assert!(
                        self.position >= self.must_reach(),
                        "nothing to read behind the last frame"
                    );
                }
                Some(next)
            }
            Next::Finished | Next::Interrupted => {
                assert!(self.writer.is_none());
                Some(next)
            }
        }
    }

    fn check(&mut self, frame: Frame, payload: &[u8]) {
        match frame.kind {
            Kind::Note => {
                assert!(Note::from_payload(payload).is_some());
                assert_eq!(frame.offset, self.position);
            }
            Kind::Stdout | Kind::Stderr => {
                let range = frame.offset..frame.offset + u64::from(frame.len);
                let given = self.given.iter().find(|given| given.range == range);
                let given = given.expect("no such frame was appended");
                assert!(given.written, "a dropped frame was read");
                assert_eq!((given.kind, given.time), (frame.kind, frame.time));
                assert_eq!(payload, &self.stream[range.start as usize..range.end as usize]);
                assert!(range.end > self.position);
                if self.fresh {
                    assert!(range.start <= self.position);
                } else {
                    assert_eq!(range.start, self.position);
                }
                self.position = range.end;
            }
            Kind::Position => panic!("a position was handed out"),
            Kind::Gap => {
                let gap: Gap = serde_json::from_slice(payload).unwrap();
                assert_eq!(frame.offset, self.position);
                self.check_gap(&gap);
                self.position += gap.bytes;
            }
        }
    }

    fn check_gap(&self, gap: &Gap) {
        let mut range = self.position as usize..(self.position + gap.bytes) as usize;
        if range.end > self.stream.len() {
            // A torn frame at the very end, of bytes that were given back, which something else
            // has made as long as it should be.
            assert!(self.garbage && gap.reason == GapReason::Corrupt, "a gap beyond the end");
            range.end = self.stream.len();
        }
        assert!(gap.bytes > 0 && gap.lines <= gap.bytes);
        let excuse = match gap.reason {
            GapReason::DroppedNewest | GapReason::WriteFailed => DROPPED,
            GapReason::DroppedOldest => {
                assert_eq!(self.settings.when_full, WhenFull::DropOldest);
                u8::MAX
            }
            GapReason::Corrupt if self.garbage => u8::MAX,
            // Where a gap frame and its neighbour are damaged, a few behind them go as well.
            GapReason::Corrupt
                if self.flips > 1
                    && self.fate[range.clone()].iter().any(|fate| fate & DROPPED != 0) =>
            {
                u8::MAX
            }
            GapReason::Corrupt => DAMAGED | GONE | HOLE | UNCERTAIN,
            // A segment that was dropped and whose beginning nobody could read.
            GapReason::Missing if self.settings.when_full == WhenFull::DropOldest => {
                GONE | HOLE | DROPPED | DAMAGED
            }
            GapReason::Missing => GONE | HOLE | DROPPED,
        };
        for (offset, fate) in range.clone().zip(&self.fate[range.clone()]) {
            assert!(
                excuse == u8::MAX || fate & excuse != 0,
                "{gap:?} at {}: byte {offset} has fate {fate}",
                self.position
            );
        }
        let lines = memchr::memchr_iter(b'\n', &self.stream[range]).count() as u64;
        let countable = !matches!(gap.reason, GapReason::Missing | GapReason::Corrupt);
        if countable && self.flips == 0 {
            assert!(gap.lines >= lines.min(gap.bytes), "{gap:?} at {}", self.position);
        }
        // Of a part the lines are not known, and of a tombstone only a few segments' parts are.
        let whole = !self.fresh
            && (gap.reason != GapReason::DroppedOldest
                || self.bases.contains(&self.position) && self.tombstones_are_exact());
        if countable && self.flips == 0 && whole {
            assert_eq!(gap.lines, lines, "{gap:?} at {}", self.position);
        }
    }

    fn tombstones_are_exact(&self) -> bool {
        self.settings.max_bytes >= 40_000
    }

    fn mark(&mut self, range: Range<u64>, mark: u8) {
        let end = (range.end as usize).min(self.fate.len());
        for fate in &mut self.fate[(range.start as usize).min(end)..end] {
            *fate |= mark;
        }
    }

    /// The end of the last frame that nothing excuses.
    fn must_reach(&self) -> u64 {
        let sure = |given: &&Given| {
            given.written
                && self.fate[given.range.start as usize..given.range.end as usize]
                    .iter()
                    .all(|fate| *fate == 0)
        };
        self.given.iter().rev().find(sure).map_or(0, |given| given.range.end)
    }

    fn flip(&mut self, file: u8, bit: u16) {
        let disk = self.disk.seen_by(User::Reader);
        let numbers = segments(&disk, &self.dir).unwrap_or_default();
        let Some(number) = numbers.get(usize::from(file) * numbers.len() / 256) else { return };
        let path = self.dir.join(segment::file_name(*number));
        let (contents, _) = self.disk.written_and_synced(&path);
        let bit = contents.len() * 8 * usize::from(bit) / (1 << 16);
        if contents.is_empty() {
            return;
        }
        for (place, range) in frames(&contents) {
            if place.contains(&(bit / 8)) {
                self.mark(range, DAMAGED);
            }
        }
        self.disk.tamper(&path, |contents| contents[bit / 8] ^= 1 << (bit % 8));
        self.flips += 1;
    }

    /// What was copied from a damaged segment: where its frames are cannot be told.
    fn doubt_copies(&mut self) {
        if self.flips > 0 && self.vanished_ever {
            self.mark(0..self.stream.len() as u64, DAMAGED | GONE);
        }
    }

    /// After each operation: notes what the model needs, and checks the limit.
    fn look_around(&mut self) {
        self.doubt_copies();
        for removed in self.disk.take_removed() {
            for (_, range) in frames(&removed) {
                if self.settings.when_full == WhenFull::DropOldest {
                    self.mark(range, HOLE);
                }
            }
        }
        let disk = self.disk.seen_by(User::Reader);
        let Ok(numbers) = segments(&disk, &self.dir) else { return };
        self.vanished = false;
        let mut used = 0;
        for number in numbers {
            let path = self.dir.join(segment::file_name(number));
            let (contents, _) = self.disk.written_and_synced(&path);
            used += contents.len() as u64;
            if let Ok(header) = Header::decode(&contents) {
                self.bases.push(header.base);
            }
        }
        // Two segments are always allowed, one frame may be larger than a segment, and a write
        // that failed may have left something.
        let segment = (self.settings.max_bytes / 8).max(LARGEST as u64 + 200);
        let limit = self.settings.max_bytes.max(2 * segment) + 2 * segment;
        assert!(
            !self.limited || self.vanished_ever || used <= limit,
            "{used} bytes, limit {limit}"
        );
    }

    fn end(&mut self, ending: &Ending) {
        let finish = matches!(ending, Ending::Finish | Ending::LosePower { finished: true, .. });
        if let Some(writer) = self.writer.take()
            && finish
        {
            self.disk.mend();
            let offset = writer.offset();
            writer.finish(&Exit::default()).unwrap();
            self.finished_at = Some(offset);
        }
        self.die();
        self.look_around();
        let disk = self.disk.seen_by(User::Reader);
        let numbers = segments(&disk, &self.dir).unwrap_or_default();
        let last = numbers.last().map(|last| self.dir.join(segment::file_name(*last)));
        match (ending, last) {
            (Ending::Finish | Ending::Die, _) | (_, None) => {}
            (Ending::TornTail(share), Some(last)) => {
                let (contents, _) = self.disk.written_and_synced(&last);
                self.cut = true;
                let cut = contents.len() * usize::from(*share) / 256;
                for (place, range) in frames(&contents) {
                    if place.end > cut {
                        self.mark(range, DAMAGED);
                    }
                }
                self.disk.tamper(&last, |contents| contents.truncate(cut));
            }
            (Ending::Garbage(garbage), Some(last)) => {
                self.disk.tamper(&last, |contents| contents.extend_from_slice(garbage));
                self.garbage = true;
            }
            (Ending::LosePower { share, zeros, .. }, Some(_)) => {
                for number in numbers {
                    let path = self.dir.join(segment::file_name(number));
                    let (contents, synced) = self.disk.written_and_synced(&path);
                    for (place, range) in frames(&contents) {
                        if place.end > synced {
                            self.mark(range, DAMAGED | GONE);
                        }
                    }
                }
                let (exit, synced) = self.disk.written_and_synced(&self.dir.join(EXIT));
                if synced < exit.len() {
                    self.finished_at = None;
                }
                self.disk.lose_power(*share, *zeros);
                self.flips += 1;
            }
        }
        self.drain();
        self.reopen(self.released);
        self.drain();
        self.check_position();
    }

    /// Of what was read to the end: the last position is that of the last bytes, and what follows it is
    /// what was handed out or accounted for behind it.
    fn check_position(&self) {
        if self.flips > 0 || self.garbage || self.vanished_ever {
            return;
        }
        let kept = position::kept_on(&self.disk, &self.dir);
        let found = match self.finished_at {
            Some(_) => {
                assert_eq!(kept.is_some(), self.from_file && !self.given.is_empty());
                kept
            }
            None => position::last(&self.disk, &self.dir).unwrap().or(kept),
        };
        let Some(found) = found else {
            assert!(!self.from_file || self.cut || self.must_reach() <= self.released);
            return;
        };
        let start: u64 = std::str::from_utf8(&found.payload).unwrap()[4..].parse().unwrap();
        assert!(self.positions.contains(&start), "nobody gave this position");
        let end = start + found.following;
        if self.position > self.released {
            assert_eq!(end, self.position, "read on from another place");
        } else {
            // What was cut off had been released, and the reader began behind it.
            assert!(end <= self.position, "read on from another place");
        }
        let later = self.given.iter().filter(|given| given.range.start > start);
        for later in later {
            assert!(later.range.start >= end || !later.written, "not the last position");
        }
    }

    fn drain(&mut self) {
        if segments(&self.disk.seen_by(User::Reader), &self.dir).is_err() {
            assert!(self.vanished_ever);
            return;
        }
        for _ in 0..10_000 {
            match self.read_one() {
                None => {}
                Some(Next::Finished) => {
                    if let Some(end) = self.finished_at {
                        assert_eq!(self.position, end);
                    }
                    break;
                }
                Some(end) => {
                    assert_eq!(end, Next::Interrupted);
                    assert_eq!(self.finished_at, None);
                    break;
                }
            }
        }
        assert!(self.position >= self.must_reach(), "the end is missing");
    }
}

/// Longest payload in the test.
const LARGEST: usize = 700;

/// What the position of the bytes at this offset says.
fn position_of(offset: u64) -> Vec<u8> {
    format!("from{offset}").into_bytes()
}

/// What the step writes at this offset.
fn byte(offset: u64) -> u8 {
    if offset.is_multiple_of(11) { b'\n' } else { (offset.wrapping_mul(2_654_435_761) >> 16) as u8 }
}

/// Where the frames of a segment are and which bytes of the stream each stands for.
fn frames(contents: &[u8]) -> Vec<(Range<usize>, Range<u64>)> {
    let mut found = Vec::new();
    let mut at = segment::HEADER_LEN;
    while let Some(header) = contents.get(at..).and_then(frame::decode) {
        let end = at + frame::HEADER_LEN + header.len as usize;
        let payload = contents.get(at + frame::HEADER_LEN..end).unwrap_or_default();
        let stands_for = match header.kind {
            Kind::Stdout | Kind::Stderr => u64::from(header.len),
            Kind::Gap => frame::decode_gap(payload).map_or(0, |gap| gap.bytes),
            Kind::Note | Kind::Position => 0,
        };
        found.push((at..end, header.offset..header.offset + stands_for));
        at = end;
    }
    found
}

fn iostream() -> impl Strategy<Value = IoStream> {
    prop_oneof![Just(IoStream::Stdout), Just(IoStream::Stderr)]
}

fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![Just(FaultKind::Full), Just(FaultKind::Broken), Just(FaultKind::Crash)];
    (0..12u32, 1..4u32, kind, any::<u8>()).prop_map(|(after, times, kind, share)| Fault {
        after,
        times,
        kind,
        share,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let user = prop_oneof![Just(User::Writer), Just(User::Reader)];
    prop_oneof![
        30 => append(LARGEST),
        20 => append(40),
        4 => iostream().prop_map(|iostream| Op::Note(Note::Idle(iostream))),
        4 => Just(Op::Tick),
        15 => (1..20usize).prop_map(Op::Read),
        4 => any::<u8>().prop_map(Op::Reopen),
        6 => any::<u8>().prop_map(Op::Release),
        4 => fault().prop_map(Op::Arm),
        2 => (0..20_000u64).prop_map(Op::Capacity),
        1 => (1..3u32).prop_map(Op::FailSyncs),
        3 => (user, 1..6u32).prop_map(|(user, times)| Op::FailReads(user, times)),
        2 => (any::<u8>(), any::<u16>()).prop_map(|(file, bit)| Op::Flip(file, bit)),
        1 => Just(Op::Vanish),
        4 => Just(Op::Mend),
    ]
}

fn append(largest: usize) -> impl Strategy<Value = Op> {
    (iostream(), 1..=largest).prop_map(|(iostream, len)| Op::Append { iostream, len })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => Just(Ending::Finish),
        2 => Just(Ending::Die),
        2 => any::<u8>().prop_map(Ending::TornTail),
        1 => prop::collection::vec(any::<u8>(), 1..100).prop_map(Ending::Garbage),
        2 => (any::<bool>(), any::<u8>(), any::<bool>())
            .prop_map(|(finished, share, zeros)| Ending::LosePower { finished, share, zeros }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let when_full =
        prop_oneof![Just(WhenFull::Block), Just(WhenFull::DropOldest), Just(WhenFull::DropNewest)];
    let sync = prop_oneof![
        Just(Sync::Never),
        Just(Sync::Interval(Duration::from_secs(1))),
        Just(Sync::Always)
    ];
    let max_bytes = prop_oneof![Just(1000u64), Just(8_000), Just(40_000)];
    (when_full, sync, max_bytes).prop_map(|(when_full, sync, max_bytes)| Settings {
        dir: Path::new("/spool").to_owned(),
        max_bytes,
        when_full,
        sync,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_every_byte_is_read_or_accounted_for(
        settings in settings(),
        from_file in any::<bool>(),
        ops in prop::collection::vec(op(), 1..80),
        ending in ending(),
    ) {
        let mut model = Model::new(settings, from_file);
        for op in &ops {
            model.run(op);
        }
        model.end(&ending);
    }
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(250)
}
