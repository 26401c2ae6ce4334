//! What the store has of a writer already.
//!
//! Apart because it is only asked at the start of a session. One LIST tells all: the checkpoint may be
//! older than the store (a loss of power), and the answer to the last request may be lost.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore};

use super::join::{Place, describe};
use super::put::{Existing, contradiction, read_index, read_whole};
use crate::stores::artifact::Codec;
use crate::stores::artifact::failure::classify;
use crate::stores::artifact::layout::{self, Member};
use crate::stores::artifact::object::{ChunkInfo, End, Index, SegmentInfo};
use crate::stores::{DeliverError, Summary, Totals};

/// A chunk that the store has.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) info: ChunkInfo,
    /// What its frames tell; not the gaps, nor the text of the first error.
    pub(super) summary: Summary,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// `end.json` is there and says that this is all.
    pub(super) complete: Option<Totals>,
    /// How the objects that are there are compressed, whatever the stack file says by now.
    pub(super) codec: Codec,
    /// Chunks from the one that was asked for.
    pub(super) chunks: BTreeMap<u64, Proof>,
    /// Segments that the checkpoint does not know, by their first chunk.
    pub(super) segments: BTreeMap<u64, SegmentInfo>,
    /// Live chunks that are in a segment already or will be; to be deleted.
    pub(super) doubled: Vec<u64>,
}

/// Looks. `from` is the first chunk that is not acknowledged, `live_from` the first that is in no
/// segment that is known.
pub(super) async fn look(
    place: Place<'_>,
    from: u64,
    live_from: u64,
) -> Result<Seen, DeliverError> {
    let failed = |error: StoreError| classify("list the writer's objects", &error);
    let mut seen = Seen::default();
    let (mut live, mut segments) = (Vec::new(), Vec::new());
    let mut found_codec = None;
    let mut listing = place.store.list(Some(place.prefix));
    loop {
        let object = match listing.try_next().await {
            Ok(Some(object)) => object,
            Ok(None) | Err(StoreError::NotFound { .. }) => break,
            Err(error) => return Err(failed(error)),
        };
        match layout::member(place.prefix, &object.location) {
            Some(Member::End) => {
                seen.complete = Some(read_end(place.store, &object.location).await?);
            }
            Some(Member::Live { number, codec }) => {
                found_codec = Some(codec);
                live.push(number);
            }
            Some(Member::Segment { first, last, codec }) => {
                found_codec = Some(codec);
                if last >= live_from {
                    segments.push((first, last));
                }
            }
            None => {}
        }
    }
    seen.codec = found_codec.unwrap_or(place.codec);
    let place = Place { codec: seen.codec, ..place };
    segments.sort_unstable();
    live.sort_unstable();
    let mut joined_to = live_from;
    for (first, last) in segments {
        let path = layout::seg(place.prefix, first, last, place.codec);
        // What cannot be read is as good as not there: it is made again.
        let Existing::Is((index, info)) = describe(place, &path).await? else { continue };
        if index.writer != place.writer || first != joined_to {
            continue;
        }
        joined_to = last + 1;
        for chunk in index.chunks.iter().filter(|chunk| chunk.n >= from) {
            seen.chunks.insert(chunk.n, proof(&index, chunk));
        }
        seen.segments.insert(first, info);
    }
    for number in live {
        if number < joined_to {
            seen.doubled.push(number);
        } else if number >= from {
            let path = layout::live(place.prefix, number, place.codec);
            let Existing::Is(index) = read_index(place.store, &path, place.codec).await? else {
                continue;
            };
            let chunk = index.chunks.first().filter(|chunk| chunk.n == number);
            if let Some(chunk) = chunk.filter(|_| index.writer == place.writer) {
                seen.chunks.insert(number, proof(&index, chunk));
            }
        }
    }
    Ok(seen)
}

/// What `end.json` says is all.
async fn read_end(store: &dyn ObjectStore, path: &Path) -> Result<Totals, DeliverError> {
    let purpose = "read end.json";
    let Some(there) = read_whole(store, path, purpose).await? else {
        return Err(contradiction(purpose));
    };
    let end: End = serde_json::from_slice(&there).map_err(|error| DeliverError::Fatal {
        message: format!("failed to {purpose}: {path}: {error}"),
        advice: "see what wrote it; the spool is kept",
        not_allowed: false,
    })?;
    Ok(Totals { lines: end.lines, bytes: end.bytes + end.gaps.bytes })
}

/// What an index says of one of its chunks.
pub(super) fn proof(index: &Index, chunk: &ChunkInfo) -> Proof {
    let mut summary = Summary::default();
    let seqs = chunk.first_seq..chunk.first_seq + chunk.lines;
    for frame in index.frames.iter().filter(|frame| seqs.contains(&frame.first_seq)) {
        summary.add(&Summary {
            first_seq: frame.first_seq,
            lines: frame.lines,
            first_time: frame.first_time,
            last_time: frame.last_time,
            levels: frame.levels,
            progress: frame.progress,
            group_from: frame.group_from,
            ..Summary::default()
        });
    }
    summary.first_seq = chunk.first_seq;
    summary.lines = chunk.lines;
    summary.raw_bytes = chunk.raw_bytes;
    Proof { info: chunk.clone(), summary }
}
