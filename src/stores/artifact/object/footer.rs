//! What stands behind the frames of a log object: written by [`footer`], read by [`parse_footer`].
//!
//! The zstd form is three skippable frames, of which the last is the seek table of the seekable
//! format (`contrib/seekable_format` in the zstd repository): one entry for each frame before it,
//! the two skippable ones of ours among them with nothing in them. The gzip form is empty members
//! whose extra fields carry the same.

use super::super::Codec;
use super::{Index, VERSION};

const INDEX_MAGIC: u32 = 0x184D_2A5D;
const LOCATOR_MAGIC: u32 = 0x184D_2A5C;
const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// Magic and length of a skippable frame.
const SKIPPABLE_HEADER: usize = 8;
/// Where the index starts and its length.
const LOCATOR_PAYLOAD: usize = 16;
/// The whole skippable frame.
const LOCATOR: usize = SKIPPABLE_HEADER + LOCATOR_PAYLOAD;
/// Compressed and uncompressed size.
const SEEK_ENTRY: usize = 8;
/// Number of frames, descriptor, magic.
const SEEK_FOOTER: usize = 9;

/// gzip: magic, deflate, FEXTRA, no time, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255];
/// gzip: an empty deflate block, CRC and length of nothing.
const GZIP_TRAILER: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const GZIP_INDEX: [u8; 2] = *b"SI";
const GZIP_LOCATOR: [u8; 2] = *b"SX";
/// All of a member of ours but the data: header, length of the extra field, id and length, trailer.
const GZIP_AROUND: usize = 10 + 2 + 4 + 10;
/// The extra field's length is 16 bits, four bytes of it are ours.
const GZIP_PIECE: usize = 65_000;
const GZIP_LOCATOR_MEMBER: usize = GZIP_AROUND + LOCATOR_PAYLOAD;

/// What the end of an object told.
#[derive(Debug, PartialEq)]
pub enum Footer {
    /// The index.
    Index(Index),
    /// The index is longer than what was given: at least this many bytes of the end are needed.
    Need(u64),
}

/// Why the end of an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    /// It does not end as such an object ends.
    #[error("not a log object, or cut off at its end")]
    NotALogObject,
    /// A length or position in it cannot be true.
    #[error("the object's index does not fit the object: {0}")]
    Inconsistent(&'static str),
    /// The index is not the JSON it must be.
    #[error("the object's index cannot be read")]
    Json(#[from] serde_json::Error),
    /// Written by a later steplog.
    #[error("the object has format version {0}, this steplog reads up to {VERSION}")]
    Version(u32),
}

/// All that follows the frames of the object that `index` is of.
pub fn footer(index: &Index) -> Vec<u8> {
    let json = serde_json::to_vec(index).unwrap_or_default();
    match index.codec {
        Codec::Zstd => zstd_footer(index, &json),
        Codec::Gzip => gzip_footer(index.data_len(), &json),
    }
}

/// Reads the index from the last bytes of an object of `size` bytes.
pub fn parse_footer(tail: &[u8], size: u64, codec: Codec) -> Result<Footer, FooterError> {
    let located = match codec {
        Codec::Zstd => locate_zstd(tail, size)?,
        Codec::Gzip => locate_gzip(tail, size)?,
    };
    let (index_at, index_len) = match located {
        Located::At(index_at, index_len) => (index_at, index_len),
        Located::Need(bytes) => return Ok(Footer::Need(bytes)),
    };
    let needed = size.checked_sub(index_at).ok_or(FooterError::Inconsistent("index position"))?;
    let Some(start) = (tail.len() as u64).checked_sub(needed) else {
        return Ok(Footer::Need(needed));
    };
    let region = usize::try_from(index_len)
        .ok()
        .and_then(|len| tail.get(start as usize..)?.get(..len))
        .ok_or(FooterError::Inconsistent("index length"))?;
    let index: Index = match codec {
        Codec::Zstd => serde_json::from_slice(skippable(region)?)?,
        Codec::Gzip => serde_json::from_slice(&gzip_pieces(region)?)?,
    };
    if index.version > VERSION {
        return Err(FooterError::Version(index.version));
    }
    check(&index, index_at)?;
    Ok(Footer::Index(index))
}

/// The frames lie without holes from the start to the index and are as many as the chunks say.
fn check(index: &Index, index_at: u64) -> Result<(), FooterError> {
    if index.data_len() != index_at {
        return Err(FooterError::Inconsistent("bytes of the chunks"));
    }
    let mut offset = 0;
    for frame in &index.frames {
        if frame.offset != offset {
            return Err(FooterError::Inconsistent("position of a frame"));
        }
        offset += frame.len;
    }
    if offset != index_at {
        return Err(FooterError::Inconsistent("bytes of the frames"));
    }
    Ok(())
}

fn zstd_footer(index: &Index, json: &[u8]) -> Vec<u8> {
    let frames = index.frames.len() + 2;
    let table = frames * SEEK_ENTRY + SEEK_FOOTER;
    let mut out =
        Vec::with_capacity(SKIPPABLE_HEADER + json.len() + LOCATOR + SKIPPABLE_HEADER + table);
    let word = |out: &mut Vec<u8>, word: usize| out.extend((word as u32).to_le_bytes());
    word(&mut out, INDEX_MAGIC as usize);
    word(&mut out, json.len());
    out.extend_from_slice(json);
    let index_len = out.len();
    word(&mut out, LOCATOR_MAGIC as usize);
    word(&mut out, LOCATOR_PAYLOAD);
    out.extend(index.data_len().to_le_bytes());
    out.extend((index_len as u64).to_le_bytes());

    word(&mut out, SEEK_TABLE_MAGIC as usize);
    word(&mut out, table);
    for frame in &index.frames {
        word(&mut out, frame.len as usize);
        word(&mut out, frame.text_len as usize);
    }
    for empty in [index_len, LOCATOR] {
        word(&mut out, empty);
        word(&mut out, 0);
    }
    word(&mut out, frames);
    // No checksums: the frames carry their own.
    out.push(0);
    word(&mut out, SEEKABLE_MAGIC as usize);
    out
}

fn gzip_footer(index_at: u64, json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + (json.len() / GZIP_PIECE + 2) * GZIP_AROUND);
    let member = |out: &mut Vec<u8>, id: [u8; 2], data: &[u8]| {
        out.extend(GZIP_HEADER);
        out.extend((data.len() as u16 + 4).to_le_bytes());
        out.extend(id);
        out.extend((data.len() as u16).to_le_bytes());
        out.extend_from_slice(data);
        out.extend(GZIP_TRAILER);
    };
    for piece in json.chunks(GZIP_PIECE) {
        member(&mut out, GZIP_INDEX, piece);
    }
    let mut locator = Vec::with_capacity(LOCATOR_PAYLOAD);
    locator.extend(index_at.to_le_bytes());
    locator.extend((out.len() as u64).to_le_bytes());
    member(&mut out, GZIP_LOCATOR, &locator);
    out
}

enum Located {
    /// Position in the object and length of the index.
    At(u64, u64),
    Need(u64),
}

fn locate_zstd(tail: &[u8], size: u64) -> Result<Located, FooterError> {
    let Some((rest, foot)) = tail.split_last_chunk::<SEEK_FOOTER>() else {
        return need(SEEK_FOOTER, tail, size);
    };
    let [frames @ .., _, _, _, _, _] = foot;
    let frames = u32::from_le_bytes(*frames) as usize;
    if !foot.ends_with(&SEEKABLE_MAGIC.to_le_bytes()) {
        return Err(FooterError::NotALogObject);
    }
    let before = SKIPPABLE_HEADER + frames * SEEK_ENTRY;
    let Some(locator) =
        rest.len().checked_sub(before + LOCATOR).and_then(|start| rest.get(start..start + LOCATOR))
    else {
        return need(before + LOCATOR + SEEK_FOOTER, tail, size);
    };
    let (magic, payload) = locator.split_at(SKIPPABLE_HEADER);
    if !magic.starts_with(&LOCATOR_MAGIC.to_le_bytes()) {
        return Err(FooterError::NotALogObject);
    }
    pair(payload)
}

fn locate_gzip(tail: &[u8], size: u64) -> Result<Located, FooterError> {
    let Some((_, member)) = tail.split_last_chunk::<GZIP_LOCATOR_MEMBER>() else {
        return need(GZIP_LOCATOR_MEMBER, tail, size);
    };
    let (id, data) = gzip_member(member)?;
    if id != GZIP_LOCATOR {
        return Err(FooterError::NotALogObject);
    }
    pair(data)
}

fn pair(payload: &[u8]) -> Result<Located, FooterError> {
    let (at, len) = payload.split_first_chunk::<8>().ok_or(FooterError::NotALogObject)?;
    let len = len.first_chunk::<8>().ok_or(FooterError::NotALogObject)?;
    Ok(Located::At(u64::from_le_bytes(*at), u64::from_le_bytes(*len)))
}

/// More of the end is needed, unless the tail is already the whole object.
fn need(bytes: usize, tail: &[u8], size: u64) -> Result<Located, FooterError> {
    if bytes as u64 > size || tail.len() as u64 >= size {
        return Err(FooterError::NotALogObject);
    }
    Ok(Located::Need(bytes as u64))
}

/// The payload of the skippable frame that `region` is.
fn skippable(region: &[u8]) -> Result<&[u8], FooterError> {
    let (header, payload) =
        region.split_at_checked(SKIPPABLE_HEADER).ok_or(FooterError::NotALogObject)?;
    if !header.starts_with(&INDEX_MAGIC.to_le_bytes()) {
        return Err(FooterError::NotALogObject);
    }
    Ok(payload)
}

/// The data of all our members in `region`, joined.
fn gzip_pieces(mut region: &[u8]) -> Result<Vec<u8>, FooterError> {
    let mut joined = Vec::with_capacity(region.len());
    while !region.is_empty() {
        let (id, data) = gzip_member(region)?;
        if id != GZIP_INDEX {
            return Err(FooterError::NotALogObject);
        }
        joined.extend_from_slice(data);
        region = region.get(data.len() + GZIP_AROUND..).unwrap_or_default();
    }
    Ok(joined)
}

/// Id and data of the member of ours that `bytes` start with.
fn gzip_member(bytes: &[u8]) -> Result<([u8; 2], &[u8]), FooterError> {
    let parse = || {
        let rest = bytes.strip_prefix(&GZIP_HEADER)?;
        let (_extra_len, rest) = rest.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_first_chunk::<2>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        rest.starts_with(&GZIP_TRAILER).then_some((*id, data))
    };
    parse().ok_or(FooterError::NotALogObject)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::FrameInfo;
    use super::*;
    use crate::record::WriterId;

    fn object(codec: Codec, frames: u64) -> (Vec<u8>, Index) {
        let mut index = Index::new(WriterId::new(), codec);
        let mut bytes = Vec::new();
        for n in 0..frames {
            let text = format!("{{\"line\":{n}}}\n").repeat(3);
            let frame = match codec {
                Codec::Zstd => zstd::bulk::compress(text.as_bytes(), 1).unwrap(),
                Codec::Gzip => {
                    let mut out = Vec::new();
                    flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::fast())
                        .read_to_end(&mut out)
                        .unwrap();
                    out
                }
            };
            let info = FrameInfo {
                text_len: text.len() as u64,
                first_seq: n * 3,
                lines: 3,
                ..FrameInfo::default()
            };
            index.push_chunk(n, text.len() as u64, [(frame.as_slice(), info)]);
            bytes.extend_from_slice(&frame);
        }
        bytes.extend(footer(&index));
        (bytes, index)
    }

    #[test]
    fn what_is_written_is_read_from_any_tail_that_is_long_enough() {
        for codec in [Codec::Zstd, Codec::Gzip] {
            for frames in [0, 1, 5, 700] {
                let (bytes, index) = object(codec, frames);
                let size = bytes.len() as u64;
                let mut tail = 1;
                loop {
                    let end = &bytes[bytes.len() - tail as usize..];
                    match parse_footer(end, size, codec).unwrap() {
                        Footer::Index(read) => break assert_eq!(read, index),
                        Footer::Need(more) => {
                            assert!(more > tail && more <= size, "{more} of {size}");
                            tail = more;
                        }
                    }
                }
                assert!(tail <= size - index.data_len());
            }
        }
    }

    #[test]
    fn plain_decoders_see_only_the_lines() {
        let (bytes, index) = object(Codec::Zstd, 5);
        let plain = zstd::stream::decode_all(bytes.as_slice()).unwrap();
        assert_eq!(
            plain.len() as u64,
            index.frames.iter().map(|frame| frame.text_len).sum::<u64>()
        );
        let (bytes, _) = object(Codec::Gzip, 700);
        let mut unzipped = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unzipped).unwrap();
        assert!(unzipped.ends_with(b"{\"line\":699}\n"));
    }

    #[test]
    fn the_seek_table_accounts_for_every_byte_before_it() {
        let (bytes, index) = object(Codec::Zstd, 4);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let end = bytes.len();
        assert_eq!(word(end - 4), 0x8F92_EAB1);
        assert_eq!(bytes[end - 5], 0);
        let frames = word(end - 9) as usize;
        assert_eq!(frames, index.frames.len() + 2);
        let table = end - 9 - frames * 8;
        assert_eq!(word(table - 8), 0x184D_2A5E);
        assert_eq!(word(table - 4) as usize, frames * 8 + 9);
        let stored: usize = (0..frames).map(|n| word(table + n * 8) as usize).sum();
        assert_eq!(stored, table - 8);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        for codec in [Codec::Zstd, Codec::Gzip] {
            let (bytes, index) = object(codec, 3);
            let size = bytes.len() as u64;
            for cut in 0..bytes.len() {
                assert!(
                    !matches!(parse_footer(&bytes[..cut], cut as u64, codec), Ok(Footer::Index(_))),
                    "cut at {cut}"
                );
            }
            for at in index.data_len() as usize..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 0x55;
                drop(parse_footer(&bad, size, codec));
            }
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let mut index = Index::new(WriterId::new(), Codec::Zstd);
        index.version = 9;
        let bytes = footer(&index);
        assert!(matches!(
            parse_footer(&bytes, bytes.len() as u64, Codec::Zstd),
            Err(FooterError::Version(9))
        ));
    }
}
