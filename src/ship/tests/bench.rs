//! A test bench: a scripted writer, a store, and the proof that the store holds what was written.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use super::super::*;
use crate::line::{self, Block, Splitter};
use crate::record::{Exit, Gap, IoStream, Nanos, Origin, Record, Writer, WriterId};
use crate::spool::{Frame, Kind, Next};
use crate::stores::LogStore;
use crate::stores::artifact::object::{
    End, Footer, Index, Sha256, chain, chain_start, parse_footer,
};
use crate::stores::artifact::{ArtifactLogStore, Codec, Config, Location, layout};

/// Frames of a writer that has ended.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) frames: Vec<(Frame, Vec<u8>)>,
    pub(crate) interrupted: bool,
}

impl Script {
    pub(crate) fn push(&mut self, iostream: IoStream, payload: &[u8]) {
        let offset = self.frames.last().map_or(0, |(frame, _)| frame.offset + u64::from(frame.len));
        let kind = match iostream {
            IoStream::Stdout => Kind::Stdout,
            IoStream::Stderr => Kind::Stderr,
        };
        let time = Nanos(1_700_000_000_000_000_000 + self.frames.len() as i64 * 1_000_000);
        let len = payload.len() as u32;
        self.frames.push((Frame { kind, time, offset, len }, payload.to_vec()));
    }

    /// `lines` lines in frames of odd sizes, on both iostreams, with what makes lines hard.
    pub(crate) fn of_lines(lines: usize) -> Self {
        let mut script = Self::default();
        let mut bytes = Vec::new();
        for number in 0..lines {
            let text = match number % 11 {
                3 => format!("ERROR: number {number} went wrong"),
                5 => format!("{{\"level\":\"info\",\"msg\":\"json {number}\"}}"),
                7 => format!("{number}%\r{number}% done"),
                9 => format!("long {number} {}", "x".repeat(number % 300)),
                _ => format!("line {number} é"),
            };
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(b"no end");
        let mut rest = bytes.as_slice();
        let mut size = 1;
        while !rest.is_empty() {
            size = (size * 7 + 3) % 613 + 1;
            let (head, tail) = rest.split_at(size.min(rest.len()));
            let iostream = if size % 3 == 0 { IoStream::Stderr } else { IoStream::Stdout };
            script.push(iostream, head);
            rest = tail;
        }
        script
    }

    /// As a spool would be read from there.
    pub(crate) fn source(&self, from: u64) -> ScriptSource {
        let mut script = self.clone();
        script.frames.retain(|(frame, payload)| frame.offset + stands_for(frame, payload) > from);
        if let Some((frame, payload)) = script.frames.first_mut()
            && frame.kind == Kind::Gap
        {
            let mut gap: Gap = serde_json::from_slice(payload).unwrap();
            gap.bytes -= from - frame.offset;
            frame.offset = from;
            *payload = serde_json::to_vec(&gap).unwrap();
            frame.len = payload.len() as u32;
        }
        ScriptSource { script, at: 0 }
    }

    /// What the lines are, cut in one go.
    pub(crate) fn lines(&self, settings: &line::Settings) -> Vec<Expected> {
        let settings =
            line::Settings { block_bytes: 1 << 30, block_lines: 1 << 30, ..settings.clone() };
        let mut splitter = Splitter::new(settings, line::State::default());
        let mut block = Block::default();
        for (frame, payload) in &self.frames {
            assert_eq!(splitter.push(frame, payload, &mut block, None), payload.len());
        }
        splitter.end(&mut block);
        let expected = |line: &line::Line| Expected {
            time: line.time.to_rfc3339(),
            text: block.text(line).to_vec(),
            iostream: line.iostream,
        };
        block.lines.iter().map(expected).collect()
    }
}

/// Bytes of the stream.
fn stands_for(frame: &Frame, payload: &[u8]) -> u64 {
    match frame.kind {
        Kind::Stdout | Kind::Stderr => u64::from(frame.len),
        Kind::Gap => serde_json::from_slice::<Gap>(payload).unwrap().bytes,
        Kind::Note | Kind::Position => 0,
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Expected {
    time: String,
    text: Vec<u8>,
    iostream: IoStream,
}

pub(crate) struct ScriptSource {
    script: Script,
    at: usize,
}

impl FrameSource for ScriptSource {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Next, SourceError> {
        match self.script.frames.get(self.at) {
            Some((frame, payload)) => {
                self.at += 1;
                into.extend_from_slice(payload);
                Ok(Next::Frame(*frame))
            }
            None if self.script.interrupted => Ok(Next::Interrupted),
            None => Ok(Next::Finished),
        }
    }

    fn wait(&mut self, _until: Option<Instant>, _halt: &Stop) {}

    fn release(&mut self, _up_to: u64) {}

    fn exit(&mut self) -> Result<Exit, SourceError> {
        Ok(Exit { code: Some(0), ended: Nanos(1_800_000_000_000_000_000), ..Exit::default() })
    }
}

/// Everything that a delivery needs.
pub(crate) struct Bench {
    pub(crate) writer: Writer,
    pub(crate) lines: line::Settings,
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) runtime: Runtime,
    pub(crate) memory: Arc<InMemory>,
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let id = WriterId::new();
        let origin = Origin {
            pipeline_run_id: "run".into(),
            step_id: "step".into(),
            attempt: 1,
            source: "step".into(),
        };
        let mut config = Config::new(Location::Local { path: "unused".into() });
        config.chunk_bytes = 800;
        config.segment_chunks = 5;
        let settings = Settings {
            channel_bytes: 4 << 10,
            retry_initial: Duration::from_millis(1),
            retry_max: Duration::from_millis(5),
            ..Settings::default()
        };
        Self {
            writer: Writer { id, origin, started: id.started(), attributes: BTreeMap::default() },
            lines: line::Settings {
                block_bytes: 300,
                block_lines: 20,
                max_line_bytes: 200,
                ..line::Settings::default()
            },
            config,
            runtime: runtime(&settings).unwrap(),
            settings,
            memory: Arc::new(InMemory::new()),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn codec(mut self, codec: Codec) -> Self {
        self.config.codec = codec;
        self
    }

    /// Delivers the script to `store`, as a new process would.
    pub(crate) fn ship(
        &self,
        script: &Script,
        store: Arc<dyn ObjectStore>,
    ) -> Result<Outcome, Error> {
        let (_stopper, stop) = stop();
        self.ship_until(script, store, &stop)
    }

    pub(crate) fn ship_until(
        &self,
        script: &Script,
        store: Arc<dyn ObjectStore>,
        stop: &Stop,
    ) -> Result<Outcome, Error> {
        let mut open = |from| Ok(Box::new(script.source(from)) as Box<dyn FrameSource>);
        self.ship_from(&mut open, store, stop)
    }

    pub(crate) fn ship_from(
        &self,
        open: &mut Open<'_>,
        store: Arc<dyn ObjectStore>,
        stop: &Stop,
    ) -> Result<Outcome, Error> {
        let store = ArtifactLogStore::on(store, self.config.clone());
        let keeper = Keeper::open(self.dir.path(), vec!["store".into()], 1 << 20).unwrap();
        let progress = Progress::default();
        let delivery = Delivery {
            writer: &self.writer,
            lines: &self.lines,
            name: "store",
            store: &store as &dyn LogStore,
            gate: &Gate::new(&self.settings),
            settings: &self.settings,
            keeper: &keeper,
            runtime: self.runtime.handle(),
            progress: &progress,
            until: Until::End,
        };
        deliver(&delivery, &mut Left::default(), open, stop)
    }

    pub(crate) fn memory(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.memory) as Arc<dyn ObjectStore>
    }

    pub(crate) fn checkpoint(&self) -> Option<Vec<u8>> {
        read_checkpoint(self.dir.path())
    }

    pub(crate) fn restore_checkpoint(&self, contents: Option<&[u8]>) {
        remove_checkpoint(self.dir.path());
        if let Some(contents) = contents {
            std::fs::write(self.dir.path().join("checkpoint"), contents).unwrap();
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let list = self.memory.list(None).try_collect::<Vec<_>>();
        let mut names: Vec<_> = self
            .runtime
            .block_on(list)
            .unwrap()
            .into_iter()
            .map(|object| object.location.to_string())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn get(&self, path: &object_store::path::Path) -> Vec<u8> {
        let read = async { self.memory.get(path).await.unwrap().bytes().await.unwrap() };
        self.runtime.block_on(read).to_vec()
    }

    pub(crate) fn end(&self) -> End {
        let path = layout::end(&layout::writer_prefix(&self.writer));
        serde_json::from_slice(&self.get(&path)).unwrap()
    }

    /// Proves that the store holds the script's lines, each once and in order, and nothing else.
    pub(crate) fn verify(&self, script: &Script) -> End {
        let expected = script.lines(&self.lines);
        let prefix = layout::writer_prefix(&self.writer);
        let end = self.end();
        assert_eq!(end.lines, expected.len() as u64);
        let mut objects = vec![layout::end(&prefix).to_string()];
        let (mut link, mut number, mut seq) = (chain_start(self.writer.id), 0, 0);
        let mut levels = [0; 6];
        for segment in &end.segments {
            let path = layout::seg(&prefix, segment.first, segment.last, segment.codec);
            objects.push(path.to_string());
            let bytes = self.get(&path);
            assert_eq!((bytes.len() as u64, Sha256::of(&bytes)), (segment.size, segment.sha256));
            let Footer::Index(index) =
                parse_footer(&bytes, bytes.len() as u64, segment.codec).unwrap()
            else {
                panic!("the whole object was given")
            };
            assert_eq!((segment.first_seq, index.first_seq()), (seq, seq));
            let mut offset = 0;
            for chunk in &index.chunks {
                assert_eq!((chunk.n, chunk.first_seq), (number, seq));
                let frames = &bytes[offset..offset + chunk.stored_bytes as usize];
                assert_eq!(Sha256::of(frames), chunk.sha256);
                link = chain(link, chunk.sha256);
                offset += chunk.stored_bytes as usize;
                number += 1;
                seq += chunk.lines;
            }
            check_frames(&bytes, &index, &expected, &mut levels);
        }
        assert_eq!((number, link, levels), (end.chunks, end.chain, end.levels));
        objects.push(layout::run_by_id(&self.writer).to_string());
        objects.push(layout::run_by_day(&self.writer).to_string());
        objects.sort();
        assert_eq!(self.names(), objects, "nothing else is left in the store");
        end
    }
}

fn check_frames(bytes: &[u8], index: &Index, expected: &[Expected], levels: &mut [u64; 6]) {
    for frame in &index.frames {
        let stored = &bytes[frame.offset as usize..(frame.offset + frame.len) as usize];
        let text = match index.codec {
            Codec::Zstd => zstd::stream::decode_all(stored).unwrap(),
            Codec::Gzip => {
                let mut text = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(stored);
                std::io::Read::read_to_end(&mut decoder, &mut text).unwrap();
                text
            }
        };
        assert_eq!(text.len() as u64, frame.text_len);
        let mut seq = frame.first_seq;
        for json in text.split_inclusive(|byte| *byte == b'\n') {
            let record: Record = serde_json::from_slice(json).unwrap();
            assert_eq!(record.seq, seq);
            let message = record.raw.as_ref().unwrap_or(&record.message);
            let actual = Expected {
                time: record.timestamp.clone(),
                text: message.as_bytes().to_vec(),
                iostream: record.iostream,
            };
            let expected = &expected[seq as usize];
            let lossy = String::from_utf8_lossy(&expected.text);
            assert_eq!((&actual.time, actual.iostream), (&expected.time, expected.iostream));
            assert_eq!(*message, lossy);
            if let Some(level) = record.level {
                levels[level as usize] += 1;
            }
            seq += 1;
        }
        assert_eq!(seq, frame.first_seq + frame.lines);
    }
}

pub(crate) fn read_checkpoint(dir: &FilePath) -> Option<Vec<u8>> {
    let number = |contents: &Vec<u8>| {
        let head = contents.split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(head).ok()?.parse::<u64>().ok()
    };
    let all = CHECKPOINTS.iter().filter_map(|name| std::fs::read(dir.join(name)).ok());
    all.max_by_key(number)
}

/// As if it had never been written.
pub(crate) fn remove_checkpoint(dir: &FilePath) {
    for name in CHECKPOINTS {
        drop(std::fs::remove_file(dir.join(name)));
    }
}

const CHECKPOINTS: [&str; 3] = ["checkpoint", "checkpoint.0", "checkpoint.1"];
