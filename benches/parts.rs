//! What the parts of the way cost by themselves, in this process: one thread, everything in memory,
//! one block after the other as the program would have them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use steplog::line::{Block, Splitter, State, level};
use steplog::record::{Nanos, Origin};
use steplog::redact::{DEFAULT_PATTERNS, Redactor, Scratch};
use steplog::spool::{Frame, Kind};
use steplog::stores::Encoder as _;
use steplog::stores::artifact::object::Sha256;
use steplog::stores::artifact::{BlockEncoder, Codec};

use crate::measure::{self, Input};
use crate::table::Table;
use crate::{Group, Sizes};

/// What one read of a pipe gives.
const READ: usize = 256 << 10;

/// Each part, on the same lines.
pub(crate) fn each(input: &Input, sizes: Sizes) -> Group {
    let mut table = Table::new("Parts of the way, one thread", &["", "ns a line", "raw MB/s"]);
    let mut row = |name: &str, part: &mut dyn FnMut()| {
        let time = measure::median((0..sizes.repetitions).map(|_| timed(part)));
        let seconds = time.as_secs_f64();
        table.row([
            name.to_owned(),
            format!("{:.1}", seconds * 1e9 / input.lines as f64),
            format!("{:.0}", input.bytes.len() as f64 / seconds / 1e6),
        ]);
    };
    row("capture: mask secrets", &mut || mask(&input.bytes));
    row("capture: checksum of frames (CRC-32C)", &mut || {
        for read in input.bytes.chunks(READ) {
            black_box(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, read));
        }
    });
    row("ship: lines, with levels", &mut || {
        split(&input.bytes, |block| {
            black_box(block);
        });
    });
    row("of that: levels", &mut || {
        for line in input.bytes.split(|byte| *byte == b'\n') {
            black_box(level::detect(line));
        }
    });
    let mut blocks = Vec::new();
    split(&input.bytes, |block| blocks.push(block.clone()));
    let origin = Origin {
        pipeline_run_id: "20261123-100000-0123abcd".to_owned(),
        step_id: "train".to_owned(),
        attempt: 1,
        source: "step".to_owned(),
    };
    let mut encoder = BlockEncoder::new(&origin, Codec::Zstd, 1);
    row("ship: records as NDJSON", &mut || {
        for block in &blocks {
            black_box(encoder.write(block));
            black_box(encoder.text());
        }
    });
    let mut compressed = Vec::new();
    row("ship: that and zstd, level 1", &mut || {
        compressed.clear();
        for block in &blocks {
            compressed.push(encoder.encode(block).unwrap().body);
        }
    });
    row("ship: SHA-256 of what is stored", &mut || {
        for body in &compressed {
            black_box(Sha256::of(body));
        }
    });
    table
}

fn timed(part: &mut dyn FnMut()) -> Duration {
    let started = Instant::now();
    part();
    started.elapsed()
}

fn mask(bytes: &[u8]) {
    let patterns: Vec<String> = DEFAULT_PATTERNS.iter().map(|&it| it.to_owned()).collect();
    let rules = Redactor::new([b"a-secret-of-some-length".to_vec()], &patterns).unwrap();
    let (mut stream, mut scratch) = (rules.stream(), Scratch::default());
    for read in bytes.chunks(READ) {
        black_box(stream.push(read, &mut scratch));
    }
    black_box(stream.flush(&mut scratch));
}

/// Hands over block after block, as the shipping reader cuts them; the block is used again.
fn split(bytes: &[u8], mut take: impl FnMut(&Block)) {
    let mut splitter = Splitter::new(steplog::line::Settings::default(), State::default());
    let mut block = Block::default();
    let mut hand_on = |block: &mut Block| {
        take(block);
        block.clear();
    };
    let mut offset = 0;
    for (number, read) in (0_i64..).zip(bytes.chunks(READ)) {
        let time = Nanos(1_700_000_000_000_000_000 + number * 150_000);
        let frame = Frame { kind: Kind::Stdout, time, offset, len: read.len() as u32 };
        let mut rest = read;
        while !rest.is_empty() {
            let taken = splitter.push(&frame, rest, &mut block, None);
            rest = &rest[taken..];
            if !rest.is_empty() {
                hand_on(&mut block);
            }
        }
        offset += read.len() as u64;
    }
    splitter.end(&mut block);
    hand_on(&mut block);
}
