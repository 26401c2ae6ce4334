//! A property test: whatever happens to the files, and whenever the process is killed, what comes out is what was
//! written, once, in order. Only what was truncated before anybody read it may be missing.
//!
//! The model is a list of segments, what one file got after another. The files are real; the caller
//! of the follower is played here too, with masks that hold bytes back, and a spool of which any part of the
//! last frame may be missing after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

const LINGER: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
enum Op {
    /// So many bytes of endless lines.
    Append(u16),
    /// To the file that was renamed last, if nobody has looked since.
    AppendLate(u8),
    /// So many blocks, or until there is nothing.
    Read(Take, u8),
    /// Time goes by.
    Wait,
    Rename,
    /// With so many bytes written between the two.
    CopyAndTruncate(u8),
    Truncate,
    /// One of the rotated files.
    Compress(u8),
    DeleteOldest,
    /// Killed, with a share (in 256ths) of the last frame in the spool.
    Restart(u8),
}

/// What one file got.
struct Segment {
    bytes: Vec<u8>,
    /// Its end may be missing.
    lossy: bool,
}

/// How a renamed file is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// The newest is number 1.
    Down,
    /// The newest has the highest number.
    Up,
    Date,
}

impl Names {
    /// Of a file that is older than all of the model's.
    fn oldest(self) -> &'static str {
        match self {
            Self::Down => "x.log.900",
            Self::Up => "x.log.0",
            Self::Date => "x.log-19700101",
        }
    }
}

struct Rotated {
    name: String,
    inode: u64,
    copy: bool,
    gzip: bool,
}

struct Model {
    dir: tempfile::TempDir,
    names: Names,
    cri: bool,
    /// The writer does not append but goes on at its old offset.
    sparse: bool,
    segments: Vec<Segment>,
    /// Newest first.
    rotated: Vec<Rotated>,
    source: Vec<u8>,
    writer_offset: u64,
    /// Where in the file the last segment begins.
    base: u64,
    /// Something of the last segment was read.
    touched: bool,
    looked: bool,
    clock: u64,

    follower: Follower,
    settings: Settings,
    buffer: Buffer,
    now: Instant,
    caller: Caller,
}

/// What is between the follower and the spool.
#[derive(Default)]
struct Caller {
    ledger: Ledger,
    generation: Option<u64>,
    held: [Vec<u8>; 2],
    /// How much the masks hold back, again and again.
    patience: Vec<u8>,
    blocks: usize,
    spool: [Vec<u8>; 2],
    last: Option<Last>,
    gaps: u64,
}

/// The last frame in the spool.
#[derive(Clone, Copy)]
struct Last {
    position: Position,
    /// Where it begins in the spool, and how much of it is there.
    start: usize,
    arrived: u64,
}

impl Caller {
    fn block(&mut self, block: &Block, bytes: &[u8]) {
        if self
            .generation
            .replace(block.generation)
            .is_some_and(|before| before != block.generation)
        {
            self.flush();
        }
        self.ledger.read(block);
        let iostream = block.iostream as usize;
        self.held[iostream].extend_from_slice(bytes);
        let patience = self.patience[self.blocks % self.patience.len()];
        self.blocks += 1;
        self.give(iostream, usize::from(patience));
    }

    fn give(&mut self, iostream: usize, hold: usize) {
        let held = &mut self.held[iostream];
        let rest = held.split_off(held.len().saturating_sub(hold));
        let given = std::mem::replace(held, rest);
        let name = IoStream::ALL[iostream];
        let given = &given[self.ledger.doubled(name, given.len())..];
        if given.is_empty() {
            return;
        }
        let held = [0, 1].map(|iostream| self.held[iostream].len() as u64);
        let position = self.ledger.give(name, given.len() as u64, held).unwrap();
        self.last =
            Some(Last { position, start: self.spool[iostream].len(), arrived: position.bytes });
        self.spool[iostream].extend_from_slice(given);
    }

    fn flush(&mut self) {
        self.give(0, 0);
        self.give(1, 0);
    }
}

impl Model {
    /// Nothing is known of the files that were written to before `since`, if it is given.
    fn new(names: Names, since: bool, cri: bool, sparse: bool, patience: Vec<u8>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let start = if since { Start::Since(Nanos(1_000_000_000)) } else { Start::Oldest };
        let settings = Settings {
            format: if cri { Format::CRI } else { Format::Plain(IoStream::Stdout) },
            start,
            linger: LINGER,
            root: None,
        };
        let path = dir.path().join("x.log");
        let mut model = Self {
            dir,
            names,
            cri,
            sparse,
            segments: vec![Segment { bytes: Vec::new(), lossy: false }],
            rotated: Vec::new(),
            source: Vec::new(),
            writer_offset: 0,
            base: 0,
            touched: false,
            looked: true,
            clock: 1,
            follower: Follower::new(path, settings.clone()).unwrap(),
            settings,
            buffer: Buffer::new(4096),
            now: Instant::now(),
            caller: Caller { patience, ..Caller::default() },
        };
        let older = model.path(names.oldest());
        let mut file = File::create(&older).unwrap();
        file.write_all(b"older\n").unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        model.create(&older);
        if !since {
            fs::remove_file(older).unwrap();
        }
        model
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Lines of which no two have eight bytes in common, so that no file can be taken for another.
    fn text(&mut self, bytes: usize) -> Vec<u8> {
        while self.source.len() < bytes {
            self.clock += 1;
            let (number, pad) = (self.clock, self.clock as usize * 37 % 90);
            let text = &format!("{number:08}").repeat(13)[..8 + pad];
            let line = if self.cri {
                let (stream, tag) =
                    (["stdout", "stderr"][number as usize / 3 % 2], ["P", "F"][pad % 2]);
                let nanos = number * 3_000_000 % 1_000_000_000;
                format!("2026-11-25T10:11:12.{nanos:09}Z {stream} {tag} {text}\n")
            } else {
                format!("{text}\n")
            };
            self.source.extend_from_slice(line.as_bytes());
        }
        self.source.drain(..bytes).collect()
    }

    /// The last line of a node's file is whole when the file is left.
    fn finish_line(&mut self) {
        if self.cri {
            let rest = self.source.len();
            self.append(rest);
        }
    }

    fn append(&mut self, bytes: usize) {
        let text = self.text(bytes);
        let file = OpenOptions::new().write(true).open(self.path("x.log")).unwrap();
        if !self.sparse {
            self.writer_offset = file.metadata().unwrap().len();
        }
        file.write_all_at(&text, self.writer_offset).unwrap();
        self.writer_offset += text.len() as u64;
        self.segments.last_mut().unwrap().bytes.extend(text);
        self.touch(&file);
    }

    /// Each change has a time of its own.
    fn touch(&mut self, file: &File) {
        self.clock += 1;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(self.clock)).unwrap();
    }

    /// What the file is called that is renamed or copied next.
    fn shift(&mut self, copy: bool, inode: u64) -> PathBuf {
        self.clock += 1;
        let name = match self.names {
            Names::Down => "x.log.1".to_owned(),
            Names::Up => format!("x.log.{}", self.clock),
            Names::Date => format!("x.log-20261125-{:06}", self.clock),
        };
        for (index, one) in self.rotated.iter_mut().enumerate().rev() {
            if self.names == Names::Down {
                let suffix = if one.gzip { ".gz" } else { "" };
                let name = format!("x.log.{}{suffix}", index + 2);
                fs::rename(self.dir.path().join(&one.name), self.dir.path().join(&name)).unwrap();
                one.name = name;
            }
        }
        self.rotated.insert(0, Rotated { name: name.clone(), inode, copy, gzip: false });
        self.path(&name)
    }

    /// A new file; where only times tell the order, at a moment of its own.
    fn create(&mut self, than: &Path) {
        let born = |path: &Path| fs::metadata(path).unwrap().created().unwrap();
        loop {
            let file = File::create(self.path("x.log")).unwrap();
            if self.names != Names::Up || born(&self.path("x.log")) > born(than) {
                return self.touch(&file);
            }
            fs::remove_file(self.path("x.log")).unwrap();
        }
    }

    fn begin_segment(&mut self) {
        // Of two files that begin alike and of which only a few bytes were read, nobody knows which is which.
        self.source.clear();
        self.segments.push(Segment { bytes: Vec::new(), lossy: false });
        self.touched = false;
    }

    fn truncate(&mut self) {
        let file = OpenOptions::new().write(true).open(self.path("x.log")).unwrap();
        file.set_len(0).unwrap();
        self.touch(&file);
        self.base = if self.sparse { self.writer_offset } else { 0 };
        self.begin_segment();
        // The segment before the last is not the renamed file's any more.
        self.looked = true;
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Append(bytes) => self.append(usize::from(*bytes)),
            // Then the times do not agree any more, and numbers are taken to count down.
            // And a copy is younger than the file, which the times say too.
            Op::AppendLate(_) | Op::Compress(_) | Op::CopyAndTruncate(_)
                if self.names == Names::Up => {}
            Op::AppendLate(bytes) => {
                let late = self.rotated.first().filter(|one| !one.copy && !one.gzip);
                if let Some(late) = late.filter(|_| !self.looked && !self.cri) {
                    let mut file =
                        OpenOptions::new().append(true).open(self.path(&late.name)).unwrap();
                    let text = self.text(usize::from(*bytes));
                    file.write_all(&text).unwrap();
                    self.touch(&file);
                    let index = self.segments.len() - 2;
                    self.segments[index].bytes.extend(text);
                }
            }
            Op::Read(take, blocks) => {
                self.looked = true;
                for _ in 0..*blocks {
                    if !self.read(*take) {
                        break;
                    }
                }
            }
            Op::Wait => self.now += LINGER,
            Op::Rename => {
                self.finish_line();
                let inode = fs::metadata(self.path("x.log")).unwrap().ino();
                let rotated = self.shift(false, inode);
                fs::rename(self.path("x.log"), &rotated).unwrap();
                self.create(&rotated);
                (self.writer_offset, self.base) = (0, 0);
                self.begin_segment();
                self.looked = false;
            }
            Op::CopyAndTruncate(between) => {
                self.finish_line();
                let copy = self.shift(true, 0);
                fs::copy(self.path("x.log"), &copy).unwrap();
                let file = OpenOptions::new().write(true).open(&copy).unwrap();
                self.touch(&file);
                self.rotated[0].inode = file.metadata().unwrap().ino();
                self.segments.last_mut().unwrap().lossy |= !self.touched;
                if *between > 0 && !self.cri {
                    self.segments.push(Segment { bytes: Vec::new(), lossy: true });
                    self.append(usize::from(*between));
                }
                self.truncate();
            }
            Op::Truncate if !self.cri => {
                self.segments.last_mut().unwrap().lossy = true;
                self.truncate();
            }
            Op::Truncate => {}
            Op::Compress(which) => {
                let count = self.rotated.len().max(1);
                if let Some(one) = self.rotated.get_mut(usize::from(*which) % count)
                    && !one.gzip
                {
                    let name = format!("{}.gz", one.name);
                    one.inode =
                        gzip(&self.dir.path().join(&one.name), &self.dir.path().join(&name));
                    one.name = name;
                    one.gzip = true;
                }
            }
            Op::DeleteOldest => {
                // The inode alone may be one that was used again.
                let file = self.caller.last.map(|last| last.position.file);
                let reading = file.and_then(|file| {
                    self.rotated.iter().position(|one| {
                        let opened = succession::open(&self.path(&one.name), None).unwrap();
                        one.inode == file.inode && opened.unwrap().content.is(&file).unwrap()
                    })
                });
                // A copy may hold what the file that has the inode held before.
                if let Some(index) = reading
                    && index + 1 < self.rotated.len()
                    && self.rotated.last().is_some_and(|oldest| !oldest.copy)
                {
                    let oldest = self.rotated.pop().unwrap();
                    fs::remove_file(self.path(&oldest.name)).unwrap();
                }
            }
            Op::Restart(share) => self.restart(*share),
        }
    }

    /// False: there was nothing.
    fn read(&mut self, take: Take) -> bool {
        match self.follower.read(&mut self.buffer, take, self.now).unwrap() {
            Read::Block(block) => {
                let bytes = self.buffer.bytes(&block);
                let live = fs::metadata(self.dir.path().join("x.log")).unwrap().ino();
                let from = block.from.offset.checked_sub(self.base).map(|from| from as usize);
                let segment = &self.segments.last().unwrap().bytes;
                if block.file.inode == live
                    && from
                        .and_then(|from| segment.get(from..))
                        .is_some_and(|rest| self.cri || rest.starts_with(bytes))
                {
                    self.touched = true;
                }
                self.caller.block(&block, bytes);
                true
            }
            Read::Gap(gap) => {
                self.caller.flush();
                self.caller.gaps += self.caller.ledger.gap(&gap);
                true
            }
            Read::Idle(_) => false,
            Read::Ended => panic!("a plain file never ends"),
        }
    }

    fn restart(&mut self, share: u8) {
        self.caller.held = [Vec::new(), Vec::new()];
        self.caller.ledger = Ledger::default();
        self.caller.generation = None;
        let path = self.path("x.log");
        self.follower = match &mut self.caller.last {
            None => {
                // Of what nothing is known, nothing is missing.
                self.caller.gaps = 0;
                Follower::new(path, self.settings.clone()).unwrap()
            }
            Some(last) => {
                let position =
                    serde_json::from_slice(&serde_json::to_vec(&last.position).unwrap()).unwrap();
                // A later crash does not bring back what an earlier one took.
                last.arrived = last.arrived * (u64::from(share) + 1) / 256;
                let end = last.start + last.arrived as usize;
                self.caller.spool[last.position.iostream as usize].truncate(end);
                self.caller.ledger = Ledger::resume(&position, last.arrived);
                Follower::resume(path, self.settings.clone(), &position, last.arrived).unwrap()
            }
        };
    }

    /// Reads all that is left, and compares.
    fn check(mut self) -> Result<(), TestCaseError> {
        for _ in 0..2 * self.rotated.len() + 3 {
            while self.read(Take::Lines) {}
            self.now += LINGER;
        }
        if self.cri {
            self.finish_line();
        }
        while self.read(Take::Everything) {}
        self.caller.flush();

        let mut total = 0;
        for iostream in [0, 1] {
            let spool = &self.caller.spool[iostream];
            let mut places = vec![0];
            for segment in &self.segments {
                let expected = if self.cri {
                    text_of(&segment.bytes, iostream)
                } else {
                    segment.bytes.clone()
                };
                let expected = if self.cri || iostream == 0 { expected } else { Vec::new() };
                total += expected.len();
                let mut next = Vec::new();
                for place in places {
                    let same = expected
                        .iter()
                        .zip(&spool[place..])
                        .take_while(|(one, other)| one == other)
                        .count();
                    if segment.lossy {
                        next.extend((0..=same).map(|same| place + same));
                    } else if same == expected.len() {
                        next.push(place + same);
                    }
                }
                next.sort_unstable();
                next.dedup();
                places = next;
            }
            prop_assert!(
                places.contains(&spool.len()),
                "written: {}\nread: {}",
                self.segments
                    .iter()
                    .map(|one| format!(
                        "\n{}{}",
                        String::from_utf8_lossy(&one.bytes),
                        if one.lossy { "(lossy)" } else { "" }
                    ))
                    .collect::<String>(),
                String::from_utf8_lossy(spool)
            );
        }
        let missing = total - self.caller.spool.iter().map(Vec::len).sum::<usize>();
        prop_assert!(self.caller.gaps <= missing as u64, "{} > {missing}", self.caller.gaps);
        Ok(())
    }
}

/// What the lines of a node's file say to one iostream.
fn text_of(raw: &[u8], iostream: usize) -> Vec<u8> {
    let name = IoStream::ALL[iostream].as_str();
    let mut text = Vec::new();
    for line in std::str::from_utf8(raw).unwrap().lines() {
        let mut words = line.splitn(4, ' ').skip(1);
        let (stream, tag, rest) =
            (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        if stream == name {
            text.extend_from_slice(rest.as_bytes());
            text.extend((tag == "F").then_some(b'\n'));
        }
    }
    text
}

/// As gzip(1): with the old time. The new inode.
fn gzip(from: &Path, to: &Path) -> u64 {
    let modified = fs::metadata(from).unwrap().modified().unwrap();
    let mut encoder = GzEncoder::new(File::create(to).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(from).unwrap()).unwrap();
    let file = encoder.finish().unwrap();
    file.set_modified(modified).unwrap();
    fs::remove_file(from).unwrap();
    file.metadata().unwrap().ino()
}

fn op() -> impl Strategy<Value = Op> {
    let take = prop_oneof![3 => Just(Take::Lines), 1 => Just(Take::Everything)];
    prop_oneof![
        8 => (8_u16..3000).prop_map(Op::Append),
        4 => (8_u16..60).prop_map(Op::Append),
        2 => any::<u8>().prop_map(Op::AppendLate),
        8 => (take, 1_u8..6).prop_map(|(take, blocks)| Op::Read(take, blocks)),
        2 => Just(Op::Wait),
        3 => Just(Op::Rename),
        2 => prop_oneof![2 => Just(0), 1 => any::<u8>()].prop_map(Op::CopyAndTruncate),
        1 => Just(Op::Truncate),
        2 => any::<u8>().prop_map(Op::Compress),
        1 => Just(Op::DeleteOldest),
        4 => any::<u8>().prop_map(Op::Restart),
    ]
}

/// An old copy, of whose loss nobody knew, was once read after what is younger.
#[test]
fn what_was_read_and_truncated_is_gone_and_nothing_older_comes_after_it() {
    let mut model = Model::new(Names::Down, false, false, false, vec![0]);
    for op in [
        Op::Read(Take::Lines, 1),
        Op::Append(8),
        Op::CopyAndTruncate(0),
        Op::Append(8),
        Op::Read(Take::Everything, 1),
        Op::Truncate,
        Op::Rename,
        Op::Compress(20),
    ] {
        model.run(&op);
    }
    model.check().unwrap();
}

proptest! {
    #[test]
    fn what_is_written_is_read_once(
        names in prop_oneof![2 => Just(Names::Down), 1 => Just(Names::Up), 1 => Just(Names::Date)],
        since in any::<bool>(),
        cri in prop_oneof![2 => Just(false), 1 => Just(true)],
        sparse in prop_oneof![2 => Just(false), 1 => Just(true)],
        patience in prop::collection::vec(prop_oneof![2 => Just(0_u8), 1 => any::<u8>()], 1..5),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let mut model = Model::new(names, since, cri, sparse && !cri, patience);
        for op in &ops {
            model.run(op);
        }
        model.check()?;
    }
}
