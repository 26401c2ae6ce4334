//! Compressed frames to pages: the work that runs on all cores.

use std::io::Read;

use super::super::Codec;
use super::super::object::FrameInfo;
use crate::read::filter::Filter;
use crate::read::page::Page;

/// A frame says how much it becomes; more than this is not believed.
const MAX_TEXT: u64 = 256 << 20;

/// Why a frame gives no text.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum DecodeError {
    #[error("it is cut off")]
    Short,
    #[error("it says it holds {0} bytes")]
    Length(u64),
    #[error("it holds {actual} bytes of text, the index says {expected}")]
    OtherLength { expected: u64, actual: u64 },
    #[error("{0}")]
    Codec(#[from] std::io::Error),
}

/// The text of a frame.
pub(in super::super) fn text(
    codec: Codec,
    bytes: &[u8],
    info: &FrameInfo,
) -> Result<Vec<u8>, DecodeError> {
    if info.text_len > MAX_TEXT {
        return Err(DecodeError::Length(info.text_len));
    }
    let capacity = info.text_len as usize;
    let text = match codec {
        Codec::Zstd => zstd::bulk::decompress(bytes, capacity)?,
        Codec::Gzip => {
            let mut text = Vec::with_capacity(capacity);
            flate2::read::MultiGzDecoder::new(bytes)
                .take(info.text_len + 1)
                .read_to_end(&mut text)?;
            text
        }
    };
    if text.len() as u64 != info.text_len {
        let (expected, actual) = (info.text_len, text.len() as u64);
        return Err(DecodeError::OtherLength { expected, actual });
    }
    Ok(text)
}

/// What was read of a batch: pages, and what is wrong with frames that gave none.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) pages: Vec<Page>,
    pub(super) troubles: Vec<String>,
}

/// Decodes the frames that lie in `bytes`, which start at `offset` of the object `name`.
pub(super) fn batch(
    name: &str,
    codec: Codec,
    bytes: &[u8],
    offset: u64,
    frames: &[FrameInfo],
    filter: &Filter,
    stream: u32,
) -> Decoded {
    let mut decoded = Decoded::default();
    for info in frames {
        let start = info.offset.saturating_sub(offset) as usize;
        let frame = bytes.get(start..start.saturating_add(info.len as usize));
        match frame.ok_or(DecodeError::Short).and_then(|frame| text(codec, frame, info)) {
            Ok(text) => {
                let mut page = filter.select(text, stream);
                page.set_seqs(info.first_seq, info.first_seq + info.lines);
                if page.unreadable() > 0 {
                    decoded.troubles.push(format!(
                        "{name}: {} of the lines {} to {} cannot be read",
                        page.unreadable(),
                        info.first_seq,
                        info.first_seq + info.lines - 1,
                    ));
                }
                decoded.pages.push(page);
            }
            Err(error) => decoded.troubles.push(format!(
                "{name}: lines {} to {} are lost, the frame at byte {} is damaged: {error}",
                info.first_seq,
                (info.first_seq + info.lines).saturating_sub(1),
                info.offset,
            )),
        }
    }
    decoded
}
