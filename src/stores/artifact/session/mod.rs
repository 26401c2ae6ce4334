//! One writer's delivery to the artifact store: chunks, segments, the end, the runs index.
//!
//! ```text
//! deliver       PutMode::Create of live/<n>           (or of seg/<n>-<n>: the rest of a short step)
//! acknowledged  the chain grows by the chunk; it counts as live until a segment holds it
//! upkeep        the runs index, at first; live chunks joined to a segment, then deleted
//! finish        the rest joined, the live ones deleted, end.json last
//! ```
//!
//! Crashes: every request may have happened without its answer. A chunk that is there already is
//! told by its index, and accepted when it holds the same lines. A segment that is there counts as
//! soon as the chunks in it are acknowledged; live chunks that a segment holds are deleted again. An
//! `end.json` that is there means that nothing is left to do.

mod end;
mod join;
mod leftovers;
mod put;
mod resume;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, PutPayload};
use serde::{Deserialize, Serialize};

use self::join::{Joined, Place, Range, join};
use self::put::{Existing, Put, contradiction, create, read_index, replace};
use self::resume::{Proof, look, proof};
use self::segments::Segments;
use super::encode::Spares;
use super::failure::{classify, retry};
use super::object::{
    FrameInfo, Index, SegmentInfo, Sha256, Sha256Builder, chain, chain_start, footer,
};
use super::{BlockEncoder, Codec, Config, Location, layout};
use crate::record::Writer;
use crate::stores::{
    Answer, Chunk, DeliverError, Encoder, Ending, Found, FoundChunk, Receipt, Session, StateError,
    Summary,
};

/// One writer's delivery.
pub(super) struct ArtifactSession {
    store: Arc<dyn ObjectStore>,
    config: Config,
    spares: Arc<Spares>,
    writer: Writer,
    prefix: Path,
    inner: Mutex<Inner>,
    /// Nobody else in this process has delivered this writer.
    first_of_process: AtomicBool,
}

/// What changes; locked only for moments.
struct Inner {
    state: State,
    /// Of chunks that are in the store and not acknowledged yet.
    proofs: BTreeMap<u64, Proof>,
    /// Whether a chunk that was sent went into a segment of its own, until it is acknowledged.
    direct: BTreeMap<u64, bool>,
    /// Segments that hold chunks which are not all acknowledged yet, by their first chunk.
    segments: BTreeMap<u64, SegmentInfo>,
}

/// What the checkpoint keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    /// The codec that the writer started with.
    codec: Codec,
    /// The runs index has this writer.
    announced: bool,
    /// Acknowledged.
    chunks: u64,
    /// Over these.
    chain: Sha256,
    /// The first chunk that is in no segment.
    live_from: u64,
    /// Stored bytes of the acknowledged chunks from there on.
    live_bytes: u64,
    /// In order.
    segments: Segments,
    /// Live chunks that are to be deleted, as ranges.
    doubled: Vec<(u64, u64)>,
    /// Acknowledged chunks that somebody has taken away or damaged since: they are in no segment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<u64>,
}

impl ArtifactSession {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        config: Config,
        spares: Arc<Spares>,
        writer: Writer,
        state: &serde_json::Value,
        first_of_process: bool,
    ) -> Result<Self, StateError> {
        let state = if state.is_null() {
            State {
                codec: config.codec,
                announced: false,
                chunks: 0,
                chain: chain_start(writer.id),
                live_from: 0,
                live_bytes: 0,
                segments: Segments::default(),
                doubled: Vec::new(),
                damaged: Vec::new(),
            }
        } else {
            State::deserialize(state)?
        };
        let inner = Inner {
            state,
            proofs: BTreeMap::new(),
            direct: BTreeMap::new(),
            segments: BTreeMap::new(),
        };
        Ok(Self {
            store,
            config,
            spares,
            prefix: layout::writer_prefix(&writer),
            writer,
            inner: Mutex::new(inner),
            first_of_process: AtomicBool::new(first_of_process),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn codec(&self) -> Codec {
        self.inner().state.codec
    }

    fn place(&self) -> Place<'_> {
        Place {
            store: self.store.as_ref(),
            prefix: &self.prefix,
            writer: self.writer.id,
            codec: self.codec(),
            local: matches!(self.config.location, Location::Local { .. }),
        }
    }

    async fn look_for(&self, next_chunk: u64) -> Result<Found, DeliverError> {
        self.remove_leftovers().await;
        let live_from = self.inner().state.live_from;
        let seen = look(self.place(), next_chunk, live_from).await?;
        let mut inner = self.inner();
        inner.state.codec = seen.codec;
        let doubled = seen.doubled.into_iter().map(|number| (number, number));
        inner.state.doubled.extend(doubled);
        inner.state.doubled.sort_unstable();
        inner.state.doubled.dedup();
        inner.segments = seen.segments;
        inner.proofs = seen.chunks;
        inner.adopt_segments();
        let chunks = inner
            .proofs
            .iter()
            .map(|(number, proof)| FoundChunk { chunk: *number, summary: proof.summary.clone() });
        Ok(Found { complete: seen.complete, chunks: chunks.collect() })
    }

    async fn put_chunk(&self, chunk: &Chunk) -> Result<Receipt, DeliverError> {
        let number = chunk.number;
        let (known, codec, direct) = {
            let mut inner = self.inner();
            let state = &inner.state;
            let now = chunk.last && state.live_from == number && state.chunks == number;
            let codec = state.codec;
            // Once decided, that stays: the first try may have been done without an answer.
            let direct = *inner.direct.entry(number).or_insert(now);
            (inner.proofs.get(&number).cloned(), codec, direct)
        };
        if let Some(known) = known {
            return accept(&known, chunk);
        }
        let mut index = Index::new(self.writer.id, codec);
        let frames = chunk.blocks.iter().map(|block| (block.body.as_ref(), frame_info(block)));
        index.push_chunk(number, chunk.summary.raw_bytes, frames);
        let footer = Bytes::from(footer(&index));
        let path = if direct {
            layout::seg(&self.prefix, number, number, codec)
        } else {
            layout::live(&self.prefix, number, codec)
        };
        let bodies = || chunk.blocks.iter().map(|block| block.body.clone());
        let payload = || bodies().chain([footer.clone()]).collect::<PutPayload>();
        let purpose = format!("put chunk {number}");
        if let Put::Exists = create(self.store.as_ref(), &path, payload(), &purpose).await? {
            match read_index(self.store.as_ref(), &path, codec).await? {
                Existing::Is(there) => {
                    let info = there.chunks.first().filter(|info| info.n == number);
                    let Some(info) = info.filter(|_| there.writer == self.writer.id) else {
                        return Err(DeliverError::Conflict { chunk: number });
                    };
                    let proof = proof(&there, info);
                    let receipt = accept(&proof, chunk)?;
                    let segment =
                        if direct { Some(self.direct_segment(&path, codec).await?) } else { None };
                    self.keep(number, proof, segment);
                    return Ok(receipt);
                }
                // Half an object can only be what a crash left on a store that promises less
                // than it should. There is no line in it that this chunk has not.
                Existing::Unreadable(_) => {
                    replace(self.store.as_ref(), &path, payload(), &purpose).await?;
                }
                // A 409 of S3 may only mean that two requests have met.
                Existing::Missing => return Err(contradiction(&purpose)),
            }
        }
        let segment = direct.then(|| {
            let mut digest = Sha256Builder::new();
            bodies().chain([footer.clone()]).for_each(|bytes| digest.update(&bytes));
            let footer_len = footer.len() as u64;
            index.segment(digest.finish(), index.data_len() + footer_len, footer_len)
        });
        if let Some(info) = index.chunks.first() {
            self.keep(number, proof(&index, info), segment);
        }
        Ok(chunk.receipt())
    }

    async fn direct_segment(&self, path: &Path, codec: Codec) -> Result<SegmentInfo, DeliverError> {
        match join::describe(Place { codec, ..self.place() }, path).await? {
            Existing::Is((_, info)) => Ok(info),
            Existing::Unreadable(_) | Existing::Missing => Err(contradiction("put a segment")),
        }
    }

    fn keep(&self, number: u64, proof: Proof, segment: Option<SegmentInfo>) {
        let mut inner = self.inner();
        inner.proofs.insert(number, proof);
        if let Some(segment) = segment {
            inner.segments.insert(number, segment);
        }
    }

    /// Puts the writer into the runs index.
    async fn announce(&self) -> Result<(), DeliverError> {
        if self.inner().state.announced {
            return Ok(());
        }
        let store = self.store.as_ref();
        let json = |value: serde_json::Result<Vec<u8>>| {
            value.map_err(|error| retry(format!("failed to write the runs index: {error}")))
        };
        let body = json(serde_json::to_vec(&self.writer))?;
        let run = &self.writer.origin.pipeline_run_id;
        let day = json(serde_json::to_vec(&serde_json::json!({ "pipeline_run_id": run })))?;
        let purpose = "put the writer into the runs index";
        let by_id = layout::run_by_id(&self.writer);
        let by_day = layout::run_by_day(&self.writer);
        futures_util::try_join!(
            create(store, &by_id, body.into(), purpose),
            // Its time of change is the newest start: it is written anew each time.
            replace(store, &by_day, day.into(), purpose),
        )?;
        self.inner().state.announced = true;
        Ok(())
    }

    /// What would be joined now: of many chunks the oldest.
    fn next_range(&self) -> Option<Range> {
        let inner = self.inner();
        let State { chunks, live_from, live_bytes, .. } = inner.state;
        let live = chunks.saturating_sub(live_from);
        (live > 0).then(|| {
            let take = live.min(self.config.segment_chunks.max(1));
            Range {
                first: live_from,
                last: live_from + take - 1,
                bytes: live_bytes.saturating_mul(take) / live,
            }
        })
    }

    async fn join_next(&self) -> Result<(), DeliverError> {
        let Some(range) = self.next_range() else { return Ok(()) };
        match join(self.place(), range).await? {
            Joined::Segment(info) => self.joined(info),
            // Others have taken it away after the store had taken it: `verify` will say so. What
            // is not damaged is joined all the same.
            Joined::Damaged(number) if number == range.first => {
                let mut inner = self.inner();
                inner.state.damaged.push(number);
                inner.state.live_from = number + 1;
            }
            Joined::Damaged(number) => {
                let bytes = range.bytes;
                let before = Range { last: number - 1, bytes, ..range };
                if let Joined::Segment(info) = join(self.place(), before).await? {
                    self.joined(info);
                }
            }
        }
        Ok(())
    }

    fn joined(&self, segment: SegmentInfo) {
        let mut inner = self.inner();
        inner.state.doubled.push((segment.first, segment.last));
        inner.segments.insert(segment.first, segment);
        inner.adopt_segments();
    }

    /// Deletes live chunks that a segment holds.
    async fn delete_doubled(&self) -> Result<(), DeliverError> {
        let (doubled, codec) = {
            let inner = self.inner();
            (inner.state.doubled.clone(), inner.state.codec)
        };
        if doubled.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = doubled
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .map(|number| Ok(layout::live(&self.prefix, number, codec)))
            .collect();
        let mut deleted = self.store.delete_stream(futures_util::stream::iter(names).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(classify("delete chunks that are joined", &error)),
            }
        }
        self.inner().state.doubled.retain(|range| !doubled.contains(range));
        Ok(())
    }

    fn join_due(&self) -> bool {
        let inner = self.inner();
        let state = &inner.state;
        let live = state.chunks.saturating_sub(state.live_from);
        live > 0
            && (live >= self.config.segment_chunks || state.live_bytes >= self.config.segment_bytes)
    }
}

impl Inner {
    /// Counts segments of which all chunks are acknowledged.
    fn adopt_segments(&mut self) {
        let state = &mut self.state;
        while let Some(segment) = self.segments.get(&state.live_from) {
            if segment.last >= state.chunks {
                return;
            }
            state.live_from = segment.last + 1;
            state.segments.push(segment);
            // What is behind it is counted anew; an estimate is enough to know when to join.
            let left = state.chunks - state.live_from;
            state.live_bytes =
                if left == 0 { 0 } else { state.live_bytes.saturating_sub(segment.size) };
            let first = segment.first;
            self.segments.remove(&first);
        }
    }
}

impl Session for ArtifactSession {
    fn encoder(&self) -> Box<dyn Encoder> {
        let (origin, level) = (&self.writer.origin, self.config.level);
        Box::new(BlockEncoder::sparing(origin, self.codec(), level, &self.spares))
    }

    fn resume(&self, next_chunk: u64) -> Answer<'_, Found> {
        self.look_for(next_chunk).boxed()
    }

    fn deliver<'a>(&'a self, chunk: &'a Chunk) -> Answer<'a, Receipt> {
        self.put_chunk(chunk).boxed()
    }

    fn acknowledged(&self, receipt: &Receipt) {
        let mut inner = self.inner();
        inner.direct.remove(&receipt.chunk);
        let Some(proof) = inner.proofs.remove(&receipt.chunk) else { return };
        let state = &mut inner.state;
        state.chain = chain(state.chain, proof.info.sha256);
        state.chunks = receipt.chunk + 1;
        state.live_bytes += proof.info.stored_bytes;
        inner.adopt_segments();
    }

    fn state(&self) -> serde_json::Value {
        serde_json::to_value(&self.inner().state).unwrap_or_default()
    }

    fn upkeep_due(&self) -> bool {
        let (announced, doubled) = {
            let state = &self.inner().state;
            (state.announced, !state.doubled.is_empty())
        };
        !announced || doubled || self.join_due()
    }

    fn upkeep(&self) -> Answer<'_, ()> {
        async {
            self.announce().await?;
            self.delete_doubled().await?;
            if self.join_due() {
                self.join_next().await?;
                self.delete_doubled().await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn finish<'a>(&'a self, ending: &'a Ending) -> Answer<'a, ()> {
        async {
            self.announce().await?;
            while self.next_range().is_some() {
                self.join_next().await?;
            }
            self.delete_doubled().await?;
            self.put_end(ending).await
        }
        .boxed()
    }
}

/// The receipt for a chunk that the store has already, if it is the same one.
fn accept(there: &Proof, chunk: &Chunk) -> Result<Receipt, DeliverError> {
    let (info, mine) = (&there.info, &chunk.summary);
    let mut receipt = chunk.receipt();
    let same_start = info.first_seq == mine.first_seq;
    if same_start && info.lines == mine.lines && info.raw_bytes == mine.raw_bytes {
        return Ok(receipt);
    }
    // The store has more than the spool: power was lost before the spool's end was on its disk.
    if same_start && chunk.last && info.lines > mine.lines {
        let first_error = receipt.summary.first_error.take();
        receipt.summary = Summary { first_error, gaps: mine.gaps, ..there.summary.clone() };
        return Ok(receipt);
    }
    Err(DeliverError::Conflict { chunk: chunk.number })
}

fn frame_info(block: &crate::stores::Encoded) -> FrameInfo {
    let summary = &block.summary;
    FrameInfo {
        offset: 0,
        len: 0,
        text_len: block.text_bytes,
        first_seq: summary.first_seq,
        lines: summary.lines,
        first_time: summary.first_time,
        last_time: summary.last_time,
        levels: summary.levels,
        first_error: summary.first_error.as_ref().map(|error| error.seq),
        progress: summary.progress,
        group_from: summary.group_from,
    }
}
