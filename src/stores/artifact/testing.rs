//! Writers for tests: what ship would have put into a store, in any state of completeness.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::object::{
    self, End, FirstError, FrameInfo, Gaps, Index, SegmentInfo, Sha256, Status, chain, chain_start,
};
use super::{Codec, layout};
use crate::read::testing::Spec;
use crate::record::{Exit, Level, LevelCounts, Nanos, Origin, Record, Writer, WriterId};

/// How a writer's lines lie in the store.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) codec: Codec,
    pub(crate) frame_lines: usize,
    pub(crate) chunk_frames: usize,
    /// Chunks in segments; the others are live.
    pub(crate) segments: Vec<Range<u64>>,
    /// Live chunks are there although a segment holds them.
    pub(crate) leftovers: bool,
    /// Has an `end.json`; then the last segment reaches to the last chunk.
    pub(crate) status: Option<Status>,
}

impl Shape {
    pub(crate) fn finished() -> Self {
        Self {
            codec: Codec::Zstd,
            frame_lines: 4,
            chunk_frames: 2,
            segments: Vec::new(),
            leftovers: false,
            status: Some(Status::Succeeded),
        }
    }

    pub(crate) fn live() -> Self {
        Self { status: None, ..Self::finished() }
    }
}

pub(crate) fn writer(run: &str, step: &str, attempt: u32) -> Writer {
    let id = WriterId::new();
    Writer {
        id,
        origin: Origin {
            pipeline_run_id: run.into(),
            step_id: step.into(),
            attempt,
            source: "step".into(),
        },
        started: id.started(),
        attributes: BTreeMap::new(),
    }
}

pub(crate) fn compress(codec: Codec, text: &[u8]) -> Vec<u8> {
    match codec {
        Codec::Zstd => zstd::bulk::compress(text, 1).unwrap(),
        Codec::Gzip => {
            let mut out = Vec::new();
            let mut encoder = flate2::read::GzEncoder::new(text, flate2::Compression::fast());
            encoder.read_to_end(&mut out).unwrap();
            out
        }
    }
}

pub(crate) fn records(writer: &Writer, specs: &[Spec]) -> Vec<Record> {
    let record =
        |(spec, seq): (&Spec, u64)| Record { origin: writer.origin.clone(), ..spec.record(seq) };
    specs.iter().zip(0..).map(record).collect()
}

fn raw_bytes(record: &Record) -> u64 {
    record.message.len() as u64 + record.eol.as_ref().map_or(1, |eol| eol.len() as u64)
}

fn frame(records: &[Record], codec: Codec) -> (Vec<u8>, FrameInfo) {
    let mut text = Vec::new();
    let mut info = FrameInfo {
        first_seq: records[0].seq,
        lines: records.len() as u64,
        first_time: Nanos::from_rfc3339(&records[0].timestamp).unwrap(),
        last_time: Nanos::from_rfc3339(&records.last().unwrap().timestamp).unwrap(),
        ..FrameInfo::default()
    };
    for record in records {
        serde_json::to_writer(&mut text, record).unwrap();
        text.push(b'\n');
        if let Some(level) = record.level {
            info.levels[level as usize] += 1;
            if level >= Level::Error {
                info.first_error.get_or_insert(record.seq);
            }
        }
        info.progress += u64::from(record.progress);
        if let Some(group) = record.group.filter(|group| *group < info.first_seq) {
            info.group_from = Some(info.group_from.map_or(group, |from| from.min(group)));
        }
    }
    info.text_len = text.len() as u64;
    (compress(codec, &text), info)
}

/// A chunk: what its object holds, and its index.
pub(crate) fn chunk(
    writer: &Writer,
    n: u64,
    records: &[Record],
    shape: &Shape,
) -> (Vec<u8>, Index) {
    let frames: Vec<_> =
        records.chunks(shape.frame_lines).map(|records| frame(records, shape.codec)).collect();
    let mut index = Index::new(writer.id, shape.codec);
    let raw = records.iter().map(raw_bytes).sum();
    index.push_chunk(n, raw, frames.iter().map(|(bytes, info)| (bytes.as_slice(), info.clone())));
    let mut object = frames.concat_bytes();
    object.extend(object::footer(&index));
    (object, index)
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Vec<(Vec<u8>, FrameInfo)> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect()
    }
}

/// Joins chunks, as ship does.
pub(crate) fn segment(
    writer: &Writer,
    chunks: &[(Vec<u8>, Index)],
    codec: Codec,
) -> (Vec<u8>, SegmentInfo) {
    let mut index = Index::new(writer.id, codec);
    let mut object = Vec::new();
    for (bytes, of) in chunks {
        index.append(of);
        object.extend_from_slice(&bytes[..of.data_len() as usize]);
    }
    let footer = object::footer(&index);
    object.extend_from_slice(&footer);
    let info = index.segment(Sha256::of(&object), object.len() as u64, footer.len() as u64);
    (object, info)
}

pub(crate) fn end(
    writer: &Writer,
    records: &[Record],
    chunks: &[(Vec<u8>, Index)],
    segments: Vec<SegmentInfo>,
    status: Status,
) -> End {
    let mut levels = LevelCounts::default();
    for level in records.iter().filter_map(|record| record.level) {
        levels[level as usize] += 1;
    }
    let first_error = records.iter().find(|record| record.level >= Some(Level::Error));
    let bytes = records.iter().map(raw_bytes).sum();
    let exit = Exit {
        code: Some(i32::from(status == Status::Failed) * 3),
        bytes_captured: bytes,
        bytes_spooled: bytes,
        ..Exit::default()
    };
    End {
        version: object::VERSION,
        writer: writer.clone(),
        status,
        exit: (status != Status::Interrupted).then_some(exit),
        first_error: first_error
            .map(|record| FirstError { seq: record.seq, message: record.message.clone() }),
        lines: records.len() as u64,
        bytes,
        levels,
        gaps: Gaps::default(),
        masked: 0,
        segments,
        chunks: chunks.len() as u64,
        chain: chunks
            .iter()
            .fold(chain_start(writer.id), |link, (_, index)| chain(link, index.chunks[0].sha256)),
        started: writer.started,
        ended: Nanos(writer.started.0 + 5_000_000_000),
        delivered: Nanos(writer.started.0 + 6_000_000_000),
    }
}

/// Puts a writer into the store.
pub(crate) async fn put(store: &dyn ObjectStore, writer: &Writer, specs: &[Spec], shape: &Shape) {
    put_entries(store, writer).await;
    let prefix = layout::writer_prefix(writer);
    let records = records(writer, specs);
    let chunks: Vec<_> = records
        .chunks(shape.frame_lines * shape.chunk_frames)
        .zip(0..)
        .map(|(records, n)| chunk(writer, n, records, shape))
        .collect();
    let count = chunks.len() as u64;
    let mut ranges: Vec<Range<u64>> = shape
        .segments
        .iter()
        .map(|range| range.start.min(count)..range.end.min(count))
        .filter(|range| !range.is_empty())
        .collect();
    if shape.status.is_some() {
        let covered = ranges.last().map_or(0, |range| range.end);
        if covered < count {
            ranges.push(covered..count);
        }
    }
    let mut infos = Vec::new();
    for range in &ranges {
        let of = &chunks[range.start as usize..range.end as usize];
        let (object, info) = segment(writer, of, shape.codec);
        let path = layout::seg(&prefix, range.start, range.end - 1, shape.codec);
        store.put(&path, object.into()).await.unwrap();
        infos.push(info);
    }
    for ((object, _), n) in chunks.iter().zip(0..) {
        if shape.leftovers || !ranges.iter().any(|range| range.contains(&n)) {
            let path = layout::live(&prefix, n, shape.codec);
            store.put(&path, object.clone().into()).await.unwrap();
        }
    }
    if let Some(status) = shape.status {
        let end = end(writer, &records, &chunks, infos, status);
        store.put(&layout::end(&prefix), serde_json::to_vec(&end).unwrap().into()).await.unwrap();
    }
}

pub(crate) async fn put_entries(store: &dyn ObjectStore, writer: &Writer) {
    let body = serde_json::to_vec(writer).unwrap();
    store.put(&layout::run_by_id(writer), body.into()).await.unwrap();
    let run = serde_json::json!({"pipeline_run_id": writer.origin.pipeline_run_id});
    store.put(&layout::run_by_day(writer), run.to_string().into()).await.unwrap();
}

pub(crate) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
