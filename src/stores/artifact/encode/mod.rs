//! A block of lines to one compressed frame of NDJSON, and what the index says of it.
//!
//! This is where most of the processor time of shipping goes, so it is apart from sending and
//! written by hand: per line there is no allocation, no lock, no clock call and no system call;
//! what is the same for all lines is composed once. The JSON is that of
//! [`Record`](crate::record::Record), proved by tests that read it back. The same block always
//! becomes the same bytes, or a retried chunk would not be the chunk it was. Does no I/O.

mod compress;
mod spare;

use std::sync::Arc;

use bytes::Bytes;

use self::spare::Spare;
pub(super) use self::spare::Spares;
use super::{Codec, Config};
use crate::line::Block;
use crate::record::Origin;
use crate::stores::json::RecordJson;
use crate::stores::{EncodeError, Encoded, Encoder, Summary, view};

/// Encodes the blocks of one writer, one after the other; one a thread.
pub struct BlockEncoder {
    json: RecordJson,
    with: Spare,
    spares: Option<Arc<Spares>>,
}

/// A text buffer that has grown beyond this by an unusual block is not kept.
const KEEP_TEXT: usize = 6 << 20;

impl BlockEncoder {
    /// For the writer with this origin.
    pub fn new(origin: &Origin, codec: Codec, level: i32) -> Self {
        let with = Spare::new(codec, level);
        Self { json: RecordJson::new("timestamp", origin), with, spares: None }
    }

    /// With what others have left, and leaving that to others.
    pub(super) fn sparing(origin: &Origin, codec: Codec, level: i32, spares: &Arc<Spares>) -> Self {
        let with = spares.take(codec, level);
        let spares = Some(Arc::clone(spares));
        Self { json: RecordJson::new("timestamp", origin), with, spares }
    }

    /// As the store's configuration says.
    pub fn configured(origin: &Origin, config: &Config) -> Self {
        Self::new(origin, config.codec, config.level)
    }

    /// The records of a block as NDJSON, before they are compressed, in [`text`](Self::text).
    pub fn write(&mut self, block: &Block) -> Summary {
        let Self { json, with: Spare { text, .. }, .. } = self;
        text.clear();
        text.reserve(block.bytes.len() + block.lines.len() * json.overhead());
        view::each(block, |view| {
            json.record(view, text);
            text.push(b'\n');
        })
    }

    /// What was written last.
    pub fn text(&self) -> &[u8] {
        &self.with.text
    }
}

impl Drop for BlockEncoder {
    fn drop(&mut self) {
        if let Some(spares) = &self.spares {
            spares.give(std::mem::take(&mut self.with));
        }
    }
}

impl Encoder for BlockEncoder {
    fn encode(&mut self, block: &Block) -> Result<Encoded, EncodeError> {
        let summary = self.write(block);
        let Spare { compressor, text, compressed, .. } = &mut self.with;
        compressor.compress(text, compressed).map_err(EncodeError)?;
        let body = Bytes::copy_from_slice(compressed);
        let text_bytes = text.len() as u64;
        if text.capacity() > KEEP_TEXT {
            *text = Vec::new();
            *compressed = Vec::new();
        }
        Ok(Encoded { body, text_bytes, summary, batches: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::line::{Eol, Line};
    use crate::record::{IoStream, Nanos};
    use crate::stores::artifact::fetch::decode;
    use crate::stores::artifact::object::FrameInfo;

    fn block() -> Block {
        let mut block = Block::default();
        for number in 0..1000_u32 {
            let text = format!("line {number} of a thousand");
            block.lines.push(Line {
                start: block.bytes.len() as u32,
                len: text.len() as u32,
                time: Nanos(1_700_000_000_000_000_000 + i64::from(number)),
                iostream: IoStream::Stdout,
                eol: Eol::Lf,
                level: None,
                group: None,
                headline: false,
                part: None,
                gap: None,
            });
            block.bytes.extend_from_slice(text.as_bytes());
            block.bytes.push(b'\n');
        }
        block.raw_bytes = block.bytes.len() as u64;
        block
    }

    fn origin() -> Origin {
        Origin {
            pipeline_run_id: "r".into(),
            step_id: "s".into(),
            attempt: 1,
            source: "step".into(),
        }
    }

    #[test]
    fn a_frame_holds_the_text_and_is_the_same_from_every_encoder() {
        let block = block();
        for codec in [Codec::Zstd, Codec::Gzip] {
            let mut encoder = BlockEncoder::new(&origin(), codec, 1);
            let first = encoder.encode(&block).unwrap();
            let again = encoder.encode(&block).unwrap();
            let other = BlockEncoder::new(&origin(), codec, 1).encode(&block).unwrap();
            assert_eq!(first.body, again.body);
            assert_eq!(first.body, other.body);
            let mut text = Vec::new();
            match codec {
                Codec::Zstd => text = zstd::stream::decode_all(first.body.as_ref()).unwrap(),
                Codec::Gzip => {
                    flate2::read::MultiGzDecoder::new(first.body.as_ref())
                        .read_to_end(&mut text)
                        .unwrap();
                }
            }
            assert_eq!(text.len() as u64, first.text_bytes);
            assert_eq!(memchr::memchr_iter(b'\n', &text).count(), 1000);
            assert_eq!(first.summary.lines, 1000);
            assert!(first.body.len() < text.len() / 4);
        }
    }

    #[test]
    fn a_flipped_bit_never_gives_other_text() {
        for codec in [Codec::Zstd, Codec::Gzip] {
            let mut block = block();
            block.lines.truncate(30);
            let Encoded { body, text_bytes, .. } =
                BlockEncoder::new(&origin(), codec, 1).encode(&block).unwrap();
            let info = FrameInfo { text_len: text_bytes, ..FrameInfo::default() };
            let text = decode::text(codec, &body, &info).unwrap();
            let mut found = 0;
            for bit in 0..body.len() * 8 {
                let mut damaged = body.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                // Some bits of the headers mean nothing.
                match decode::text(codec, &damaged, &info) {
                    Ok(other) => assert!(other == text, "{codec:?}: bit {bit} of {}", body.len()),
                    Err(_) => found += 1,
                }
            }
            assert!(found > body.len() * 7, "{found} of {}", body.len() * 8);
        }
    }
}
