//! What it costs to turn lines into the requests of each flavor that sends records: one thread,
//! everything in memory, the least time of several tries.
//!
//! Through the same door as `ship`: a stack file, a session, its encoder, blocks. So a figure has
//! all of it: finding valid text, the records, putting requests together, compression.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use steplog::line::{Block, Splitter, State};
use steplog::record::{Nanos, Origin, Writer, WriterId};
use steplog::spool::{Frame, Kind};
use steplog::stack::{self, Env};
use steplog::stores::records::dead_letter;

use crate::measure::Input;
use crate::stores::{FLAVORS, Flavor};
use crate::table::Table;
use crate::{Group, Sizes};

/// What one read of a pipe gives.
const READ: usize = 256 << 10;

/// In the keys: where the service is.
const ENDPOINT: &str = "{endpoint}";

/// Each flavor, on the same lines.
pub(crate) fn flavors(input: &Input, sizes: Sizes) -> Group {
    let mut table = Table::new(
        "Records of each flavor, one thread",
        &["", "ns a record", "raw MB/s", "encoded MB/s", "bytes a record, sent"],
    );
    for Flavor { name, keys, .. } in FLAVORS.iter().filter(|flavor| flavor.keys.contains(ENDPOINT))
    {
        let store = store(&keys.replace(ENDPOINT, "http://localhost"));
        let session = store.session(&writer(), &serde_json::Value::Null).unwrap();
        let mut encoder = session.encoder();
        let blocks = blocks(&input.bytes, store.limits().block_lines, store.limits().block_bytes);
        let (mut text, mut sent) = (0, 0);
        // The least: what else the machine does only adds to it.
        let time = (0..=sizes.repetitions).map(|_| {
            let started = Instant::now();
            (text, sent) = (0, 0);
            for block in &blocks {
                let encoded = black_box(encoder.encode(block).unwrap());
                text += encoded.text_bytes;
                sent += encoded.body.len();
            }
            started.elapsed()
        });
        let seconds = time.min().unwrap().as_secs_f64();
        let lines = input.lines as f64;
        table.row([
            (*name).to_owned(),
            format!("{:.1}", seconds * 1e9 / lines),
            format!("{:.0}", input.bytes.len() as f64 / seconds / 1e6),
            format!("{:.0}", text as f64 / seconds / 1e6),
            format!("{:.1}", sent as f64 / lines),
        ]);
    }
    table
}

/// The log store with these keys.
fn store(keys: &str) -> std::sync::Arc<dyn steplog::stores::LogStore> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stack.toml");
    let text = format!(
        "[stacks.s]\nartifact_store = 'local'\nlog_stores = ['it']\n\
         [artifact_stores.local]\nflavor = 'local'\npath = '/nowhere'\n[log_stores.it]\n{keys}\n"
    );
    std::fs::write(&file, text).unwrap();
    let stack = stack::load_in(&Env::given(1000, []), Some(&file)).unwrap();
    let dead_letter = dead_letter::Settings { dir: Path::new("/nowhere").to_owned(), max_bytes: 0 };
    stack.log_stores[0].config.store("it", stack.ship.patience(), &dead_letter).unwrap()
}

/// As a run has it: ids of usual length, a trace, some attributes.
fn writer() -> Writer {
    let attributes = [
        ("host.name", "runner-7f9c"),
        ("process.pid", "4711"),
        ("cicd.pipeline.name", "nightly-training"),
        ("k8s.pod.name", "nightly-training-7f9c-train-0"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("span_id", "00f067aa0ba902b7"),
        ("trace_flags", "01"),
    ];
    Writer {
        id: WriterId::new(),
        origin: Origin {
            pipeline_run_id: "20261123-100000-0123abcd".to_owned(),
            step_id: "train".to_owned(),
            attempt: 1,
            source: "step".to_owned(),
        },
        started: Nanos(1_764_000_000_000_000_000),
        attributes: attributes.map(|(name, value)| (name.into(), value.into())).into(),
    }
}

/// As ship cuts them.
fn blocks(bytes: &[u8], block_lines: usize, block_bytes: usize) -> Vec<Block> {
    let default = steplog::line::Settings::default();
    let settings = steplog::line::Settings {
        block_lines: default.block_lines.min(block_lines),
        block_bytes: default.block_bytes.min(block_bytes),
        ..default
    };
    let mut splitter = Splitter::new(settings, State::default());
    let (mut blocks, mut block, mut offset) = (Vec::new(), Block::default(), 0);
    for (number, read) in (0_i64..).zip(bytes.chunks(READ)) {
        let time = Nanos(1_764_000_000_000_000_000 + number * 150_000);
        let frame = Frame { kind: Kind::Stdout, time, offset, len: read.len() as u32 };
        let mut rest = read;
        while !rest.is_empty() {
            let taken = splitter.push(&frame, rest, &mut block, None);
            rest = &rest[taken..];
            if !rest.is_empty() {
                blocks.push(std::mem::take(&mut block));
            }
        }
        offset += read.len() as u64;
    }
    splitter.end(&mut block);
    blocks.push(block);
    blocks
}
