//! One session against stores that are not quite what they should be.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::super::object::End;
use super::*;
use crate::line::{Block, Eol, Line};
use crate::record::{IoStream, Nanos, Origin, WriterId};
use crate::stores::artifact::ArtifactLogStore;
use crate::stores::artifact::object::{Footer, parse_footer};
use crate::stores::{LogStore, Summary, Totals};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

struct Bench {
    memory: Arc<InMemory>,
    config: Config,
    writer: Writer,
}

impl Bench {
    fn new() -> Self {
        let id = WriterId::new();
        let origin = Origin {
            pipeline_run_id: "r".into(),
            step_id: "s".into(),
            attempt: 1,
            source: "step".into(),
        };
        Self {
            memory: Arc::new(InMemory::new()),
            config: Config::new(Location::Local { path: "unused".into() }),
            writer: Writer {
                id,
                origin,
                started: id.started(),
                attributes: std::collections::BTreeMap::default(),
            },
        }
    }

    fn session(&self, state: &serde_json::Value) -> ArtifactSession {
        let store = Arc::clone(&self.memory) as Arc<dyn ObjectStore>;
        ArtifactSession::new(
            store,
            self.config.clone(),
            Arc::default(),
            self.writer.clone(),
            state,
            true,
        )
        .unwrap()
    }

    /// Chunk `number` of ten lines each, which do not compress well.
    fn chunk(session: &ArtifactSession, number: u64, last: bool) -> Chunk {
        let mut block = Block { first_seq: number * 10, ..Block::default() };
        for line in 0..10 {
            let noise = Sha256::of(format!("{number} {line}").as_bytes()).to_string().repeat(2);
            block.lines.push(Line {
                start: block.bytes.len() as u32,
                len: noise.len() as u32,
                time: Nanos(number as i64),
                iostream: IoStream::Stdout,
                eol: Eol::Lf,
                level: None,
                group: None,
                headline: false,
                part: None,
                gap: None,
            });
            block.bytes.extend_from_slice(noise.as_bytes());
            block.bytes.push(b'\n');
        }
        block.raw_bytes = block.bytes.len() as u64;
        Chunk::new(number, last, vec![session.encoder().encode(&block).unwrap()])
    }

    fn deliver(session: &ArtifactSession, number: u64, last: bool) {
        let chunk = Self::chunk(session, number, last);
        let receipt = block_on(session.deliver(&chunk)).unwrap();
        session.acknowledged(&receipt);
    }

    fn finish(&self, session: &ArtifactSession, chunks: u64) -> End {
        let totals = Summary { lines: chunks * 10, ..Summary::default() };
        block_on(session.finish(&Ending { exit: None, totals, chunks })).unwrap();
        let end = self.get(&layout::end(&session.prefix));
        serde_json::from_slice(&end).unwrap()
    }

    fn get(&self, path: &Path) -> Bytes {
        block_on(async { self.memory.get(path).await.unwrap().bytes().await.unwrap() })
    }

    fn put(&self, path: &Path, bytes: &[u8]) {
        block_on(self.memory.put(path, bytes.to_vec().into())).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let prefix = layout::writer_prefix(&self.writer);
        let mut names: Vec<_> = block_on(self.memory.list(Some(&prefix)).collect::<Vec<_>>())
            .into_iter()
            .map(|object| object.unwrap().location.to_string())
            .map(|name| name.strip_prefix(&format!("{prefix}/")).unwrap().to_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_large_segment_goes_up_in_parts_and_holds_the_chunks_as_they_were() {
    for codec in [Codec::Zstd, Codec::Gzip] {
        let mut bench = Bench::new();
        bench.config.codec = codec;
        let session = bench.session(&serde_json::Value::Null);
        let mut stored = Vec::new();
        for number in 0..12 {
            Bench::deliver(&session, number, false);
            let live = bench.get(&layout::live(&session.prefix, number, codec));
            let Footer::Index(index) = parse_footer(&live, live.len() as u64, codec).unwrap()
            else {
                panic!("the whole object was given")
            };
            stored.extend_from_slice(&live[..index.data_len() as usize]);
        }
        let end = bench.finish(&session, 12);
        assert_eq!(end.segments.len(), 1);
        let segment = bench.get(&layout::seg(&session.prefix, 0, 11, codec));
        assert!(segment.len() > 2 * 4096, "two parts at least: {}", segment.len());
        assert!(segment.starts_with(&stored));
        assert_eq!(end.segments[0].sha256, Sha256::of(&segment));
        assert_eq!(end.segments[0].size, segment.len() as u64);
        assert_eq!(bench.names().len(), 2);
    }
}

#[test]
fn chunks_that_somebody_took_away_or_damaged_do_not_keep_the_others_from_being_joined() {
    let bench = Bench::new();
    let session = bench.session(&serde_json::Value::Null);
    for number in 0..8 {
        Bench::deliver(&session, number, false);
    }
    let live = |number| layout::live(&session.prefix, number, Codec::Zstd);
    block_on(bench.memory.delete(&live(0))).unwrap();
    bench.put(&live(4), b"what is this");
    bench.put(&live(5), &bench.get(&live(6)));
    let end = bench.finish(&session, 8);
    let ranges: Vec<_> = end.segments.iter().map(|info| (info.first, info.last)).collect();
    assert_eq!(ranges, [(1, 3), (6, 7)]);
    assert_eq!(end.chunks, 8, "so that whoever reads it knows that some are missing");
    assert_eq!(session.inner().state.damaged, [0, 4, 5]);
}

#[test]
fn half_an_object_under_a_chunks_name_is_replaced() {
    let bench = Bench::new();
    let session = bench.session(&serde_json::Value::Null);
    let live = layout::live(&session.prefix, 0, Codec::Zstd);
    bench.put(&live, b"(\xb5/\xfd");
    Bench::deliver(&session, 0, false);
    assert_eq!(bench.finish(&session, 1).segments[0].lines, 10);
}

#[test]
fn the_same_lines_compressed_by_another_version_are_accepted_and_other_lines_are_not() {
    let mut bench = Bench::new();
    bench.config.level = 9;
    let before = bench.session(&serde_json::Value::Null);
    Bench::deliver(&before, 0, false);
    bench.config.level = 1;
    let session = bench.session(&serde_json::Value::Null);
    let chunk = Bench::chunk(&session, 0, false);
    block_on(session.deliver(&chunk)).unwrap();
    session.acknowledged(&chunk.receipt());
    assert_eq!(session.inner().state.chain, before.inner().state.chain);

    let session = bench.session(&serde_json::Value::Null);
    let mut other = chunk.clone();
    other.summary.lines = 9;
    let error = block_on(session.deliver(&other)).unwrap_err();
    assert!(matches!(error, DeliverError::Conflict { chunk: 0 }), "{error}");
    // Power was lost before the spool's end was on its disk: the store's chunk is the longer one.
    other.last = true;
    block_on(session.resume(0)).unwrap();
    let receipt = block_on(session.deliver(&other)).unwrap();
    assert_eq!(receipt.summary.lines, 10);
}

#[test]
fn the_codec_of_a_writer_does_not_change_with_the_stack_file() {
    for keeps_state in [true, false] {
        let mut bench = Bench::new();
        let session = bench.session(&serde_json::Value::Null);
        Bench::deliver(&session, 0, false);
        let state = if keeps_state { session.state() } else { serde_json::Value::Null };
        bench.config.codec = Codec::Gzip;
        let session = bench.session(&state);
        let found = block_on(session.resume(u64::from(keeps_state))).unwrap();
        assert_eq!(found.chunks.len(), usize::from(!keeps_state));
        if !keeps_state {
            Bench::deliver(&session, 0, false);
        }
        Bench::deliver(&session, 1, false);
        let end = bench.finish(&session, 2);
        assert_eq!((end.segments[0].codec, end.segments[0].lines), (Codec::Zstd, 20));
        assert_eq!(bench.names(), ["end.json", "seg/000000000000-000000000001.ndjson.zst"]);
    }
}

#[test]
fn a_segment_is_joined_when_there_are_enough_chunks_or_bytes() {
    let mut bench = Bench::new();
    bench.config.segment_chunks = 3;
    let session = bench.session(&serde_json::Value::Null);
    assert!(session.upkeep_due(), "the runs index");
    block_on(session.upkeep()).unwrap();
    for number in 0..3 {
        assert!(!session.upkeep_due());
        Bench::deliver(&session, number, false);
    }
    assert!(session.upkeep_due());
    block_on(session.upkeep()).unwrap();
    assert!(!session.upkeep_due());
    assert_eq!(bench.names(), ["seg/000000000000-000000000002.ndjson.zst"]);
    assert_eq!(session.inner().state.live_bytes, 0);
    bench.config.segment_bytes = 1;
    let session = bench.session(&session.state());
    Bench::deliver(&session, 3, false);
    assert!(session.upkeep_due());
}

#[test]
fn a_run_is_found_by_its_id_and_by_its_day() {
    let bench = Bench::new();
    let session = bench.session(&serde_json::Value::Null);
    bench.finish(&session, 0);
    let writer: Writer =
        serde_json::from_slice(&bench.get(&layout::run_by_id(&bench.writer))).unwrap();
    assert_eq!(writer, bench.writer);
    let day: serde_json::Value =
        serde_json::from_slice(&bench.get(&layout::run_by_day(&bench.writer))).unwrap();
    assert_eq!(day, serde_json::json!({ "pipeline_run_id": "r" }));
}

#[test]
fn an_end_that_was_written_is_the_end() {
    let bench = Bench::new();
    let session = bench.session(&serde_json::Value::Null);
    Bench::deliver(&session, 0, true);
    let end = bench.finish(&session, 1);
    assert_eq!(bench.finish(&session, 1), end, "the answer was lost");
    let again = bench.session(&serde_json::Value::Null);
    let found = block_on(again.resume(0)).unwrap();
    assert_eq!(found.complete, Some(Totals { lines: 10, bytes: 0 }));
    bench.put(&layout::end(&session.prefix), b"{}");
    let error = block_on(again.resume(0)).unwrap_err();
    assert!(matches!(error, DeliverError::Fatal { .. }), "{error}");
    let error =
        block_on(session.finish(&Ending { exit: None, totals: Summary::default(), chunks: 7 }))
            .unwrap_err();
    assert!(matches!(error, DeliverError::Fatal { .. }), "{error}");
}

#[test]
fn a_last_chunk_that_was_put_among_the_live_ones_is_not_put_again_as_a_segment() {
    let bench = Bench::new();
    let session = bench.session(&serde_json::Value::Null);
    let (first, last) = (Bench::chunk(&session, 0, false), Bench::chunk(&session, 1, true));
    // Both are sent; of the last one the answer is lost.
    block_on(session.deliver(&last)).unwrap();
    session.inner().proofs.clear();
    let receipt = block_on(session.deliver(&first)).unwrap();
    session.acknowledged(&receipt);
    block_on(session.announce()).unwrap();
    block_on(session.join_next()).unwrap();
    // Now nothing else is live.
    let receipt = block_on(session.deliver(&last)).unwrap();
    session.acknowledged(&receipt);
    assert_eq!(bench.finish(&session, 2).segments.len(), 2);
    assert_eq!(bench.names().len(), 3, "{:?}", bench.names());
}

#[test]
fn files_that_a_killed_ship_left_are_removed_once_and_only_of_this_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new();
    bench.config = Config::new(Location::Local { path: dir.path().to_owned() });
    let store = ArtifactLogStore::on(bench.config.open().unwrap(), bench.config.clone());
    let folder = dir.path().join(layout::writer_prefix(&bench.writer).as_ref());
    let write = |name: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "half").unwrap();
        path
    };
    let names = [
        "live/000000000000.ndjson.zst#1",
        "seg/000000000000-000000000001.ndjson.zst#12",
        "end.json#1",
    ];
    let left = names.map(write);
    let others = write("../writer=other/end.json#1");
    let session = store.session(&bench.writer, &serde_json::Value::Null).unwrap();
    block_on(session.resume(0)).unwrap();
    assert!(left.iter().all(|path| !path.exists()) && others.exists());
    let ours = write("live/000000000000.ndjson.zst#1");
    let session = store.session(&bench.writer, &serde_json::Value::Null).unwrap();
    block_on(session.resume(0)).unwrap();
    assert!(ours.exists(), "this process may be writing it");
}
