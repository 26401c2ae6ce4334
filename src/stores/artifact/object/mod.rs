//! The log object: the one format of a chunk and of a segment, written and read.
//!
//! ```text
//! zstd:  frame, frame, …             one a block, each readable alone
//!        skippable 0x184D2A5D        the index, JSON
//!        skippable 0x184D2A5C        where the index starts and how long it is: 2 × u64, fixed size
//!        skippable 0x184D2A5E        the seek table of the zstd seekable format, which ends the file
//!
//! gzip:  member, member, …           one a block
//!        empty members               the index, JSON, in pieces in their extra fields ("SI")
//!        an empty member             where the index starts and how long it is, fixed size ("SX")
//! ```
//!
//! A plain decoder (`zstdcat`, `zcat`) sees only the lines. Whoever knows the format reads the end
//! of the object first and then only the frames that it needs. Joining chunks to a segment copies
//! frames as they are; the checksum of a chunk is that of its frames, so it holds in both.
//!
//! What a segment holds and how the step ended stands in [`End`]. The checksums of all chunks are
//! chained ([`chain`]); the last one stands in `end.json`, so that nothing can be left out,
//! doubled, exchanged or altered without showing.
//!
//! Version 1 is the first. Does no I/O.

mod digest;
mod end;
mod footer;

pub use digest::{BadDigest, Sha256, Sha256Builder, chain, chain_start};
pub use end::{End, FirstError, Gaps, SegmentInfo, Status};
pub use footer::{Footer, FooterError, footer, parse_footer};

use serde::{Deserialize, Serialize};

use super::Codec;
use crate::record::{LevelCounts, Nanos, WriterId};

/// The version that this build writes.
pub const VERSION: u32 = 1;

/// What an object holds, in the order in which it holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Of the format.
    pub version: u32,
    /// Whose lines these are.
    pub writer: WriterId,
    /// How the frames are compressed.
    pub codec: Codec,
    /// One in a chunk, several in a segment; numbered without holes.
    pub chunks: Vec<ChunkInfo>,
    /// All frames of all chunks.
    pub frames: Vec<FrameInfo>,
}

/// A cut of the writer's lines that was delivered as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkInfo {
    /// Dense per writer, from 0.
    pub n: u64,
    /// `seq` of its first record.
    pub first_seq: u64,
    /// Records.
    pub lines: u64,
    /// Bytes of the writer's stream that the records stand for; gaps not counted.
    pub raw_bytes: u64,
    /// Bytes of its frames.
    pub stored_bytes: u64,
    /// Of its frames.
    pub sha256: Sha256,
}

/// One compressed frame (zstd) or member (gzip).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameInfo {
    /// In the object.
    pub offset: u64,
    /// Compressed bytes.
    pub len: u64,
    /// Bytes of NDJSON that it becomes.
    pub text_len: u64,
    /// `seq` of its first record.
    pub first_seq: u64,
    /// Records.
    pub lines: u64,
    /// Time of its first record.
    pub first_time: Nanos,
    /// Time of its last record; times never go back within a writer.
    pub last_time: Nanos,
    /// Records per level.
    pub levels: LevelCounts,
    /// `seq` of the first record of level ERROR or above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<u64>,
    /// Records that redraw themselves.
    #[serde(default)]
    pub progress: u64,
    /// `seq` of the first record of the oldest group that began before this frame and goes on in
    /// it: who asks for a level needs this frame too if that record has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_from: Option<u64>,
}

impl Index {
    /// An index of nothing yet.
    pub fn new(writer: WriterId, codec: Codec) -> Self {
        Self { version: VERSION, writer, codec, chunks: Vec::new(), frames: Vec::new() }
    }

    /// Adds chunk `n`, made of `frames` (bytes and what is in them, in order), and returns the
    /// digest of its bytes. Offsets are set here, whatever the caller left in them.
    ///
    /// The chunk's `first_seq` and `lines` are those of its frames.
    pub fn push_chunk<'a>(
        &mut self,
        n: u64,
        raw_bytes: u64,
        frames: impl IntoIterator<Item = (&'a [u8], FrameInfo)>,
    ) -> Sha256 {
        let mut digest = Sha256Builder::new();
        let start = self.data_len();
        let (mut offset, mut lines, mut first_seq) = (start, 0, None);
        for (bytes, mut frame) in frames {
            digest.update(bytes);
            frame.offset = offset;
            frame.len = bytes.len() as u64;
            offset += frame.len;
            lines += frame.lines;
            first_seq.get_or_insert(frame.first_seq);
            self.frames.push(frame);
        }
        let first_seq = first_seq.unwrap_or_else(|| self.next_seq());
        let sha256 = digest.finish();
        self.chunks.push(ChunkInfo {
            n,
            first_seq,
            lines,
            raw_bytes,
            stored_bytes: offset - start,
            sha256,
        });
        sha256
    }

    /// Adds what another object of the same writer holds: its first [`Index::data_len`] bytes are
    /// to follow this one's.
    pub fn append(&mut self, other: &Self) {
        let shift = self.data_len();
        self.chunks.extend_from_slice(&other.chunks);
        self.frames.extend(other.frames.iter().cloned().map(|mut frame| {
            frame.offset += shift;
            frame
        }));
    }

    /// Bytes of all frames: where the index starts.
    pub fn data_len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.stored_bytes).sum()
    }

    /// Records in all chunks.
    pub fn lines(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.lines).sum()
    }

    /// `seq` of the first record; 0 if there is none.
    pub fn first_seq(&self) -> u64 {
        self.chunks.first().map_or(0, |chunk| chunk.first_seq)
    }

    /// `seq` of the record after the last.
    pub fn next_seq(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.first_seq + chunk.lines)
    }

    /// Records per level.
    pub fn levels(&self) -> LevelCounts {
        let mut sum = LevelCounts::default();
        for frame in &self.frames {
            for (total, count) in sum.iter_mut().zip(frame.levels) {
                *total += count;
            }
        }
        sum
    }

    /// Times of the first and the last record.
    pub fn times(&self) -> Option<(Nanos, Nanos)> {
        Some((self.frames.first()?.first_time, self.frames.last()?.last_time))
    }

    /// The oldest group that began before all this, see [`FrameInfo::group_from`].
    fn group_from(&self) -> Option<u64> {
        let first = self.first_seq();
        self.frames.iter().filter_map(|frame| frame.group_from).filter(|seq| *seq < first).min()
    }

    /// What `end.json` says of the segment that this index is of. `object` is the digest of the
    /// whole object, `size` its length, `footer` the length of what [`footer()`] made.
    pub fn segment(&self, object: Sha256, size: u64, footer: u64) -> SegmentInfo {
        let (first_time, last_time) = self.times().unwrap_or_default();
        SegmentInfo {
            first: self.chunks.first().map_or(0, |chunk| chunk.n),
            last: self.chunks.last().map_or(0, |chunk| chunk.n),
            codec: self.codec,
            size,
            index_len: footer,
            sha256: object,
            first_seq: self.first_seq(),
            lines: self.lines(),
            first_time,
            last_time,
            levels: self.levels(),
            group_from: self.group_from(),
        }
    }
}
