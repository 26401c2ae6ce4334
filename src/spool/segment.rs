//! The segment: its file name and its header. Pure.
//!
//! Apart from frames because a version is a property of a file. What a segment without a
//! readable header means is the reader's business.

use crc_fast::{CrcAlgorithm, checksum};

use crate::record::Nanos;

/// Bytes before the first frame.
pub(super) const HEADER_LEN: usize = 36;

/// The version this code writes. See the changelog in [`spool`](super).
pub(super) const VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"STPLSEG\0";
const EXTENSION: &str = ".seg";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Its number, which is also its file name.
    pub(super) number: u32,
    /// Offset of its first frame.
    pub(super) base: u64,
    /// When it was begun.
    pub(super) time: Nanos,
}

/// Why a header tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Not what any writer has written.
    Damaged,
    /// Written by a later version of steplog.
    Version(u32),
}

impl Header {
    /// The first bytes of the file.
    pub(super) fn encode(self) -> [u8; HEADER_LEN] {
        let mut checked = Vec::with_capacity(HEADER_LEN);
        checked.extend_from_slice(&MAGIC);
        checked.extend_from_slice(&VERSION.to_le_bytes());
        checked.extend_from_slice(&self.number.to_le_bytes());
        checked.extend_from_slice(&self.base.to_le_bytes());
        checked.extend_from_slice(&self.time.0.to_le_bytes());
        checked.extend_from_slice(&crc(&checked).to_le_bytes());
        let mut header = [0; HEADER_LEN];
        header.copy_from_slice(&checked);
        header
    }

    /// Reads the first bytes of a file.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let field = |from: usize, to: usize| bytes.get(from..to).ok_or(HeaderError::Damaged);
        let u32_at = |from| field(from, from + 4).map(|bytes| number(bytes) as u32);
        let u64_at = |from| field(from, from + 8).map(number);
        if field(0, 8)? != MAGIC || u32_at(32)? != crc(field(0, 32)?) {
            return Err(HeaderError::Damaged);
        }
        match u32_at(8)? {
            1..=VERSION => {
                let time = Nanos(u64_at(24)? as i64);
                Ok(Self { number: u32_at(12)?, base: u64_at(16)?, time })
            }
            other => Err(HeaderError::Version(other)),
        }
    }
}

/// `00000000.seg`, …
pub(super) fn file_name(number: u32) -> String {
    format!("{number:08}{EXTENSION}")
}

/// The number of a segment's file; `None` for any other file.
pub(super) fn number_of(file_name: &str) -> Option<u32> {
    let digits = file_name.strip_suffix(EXTENSION)?;
    (digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

fn number(little_endian: &[u8]) -> u64 {
    little_endian.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn crc(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { number: 7, base: 0x0102_0304, time: Nanos(-9) };

    #[test]
    fn what_is_encoded_is_decoded_and_damage_is_found() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes), Ok(HEADER));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), Err(HeaderError::Damaged), "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..HEADER_LEN - 1]), Err(HeaderError::Damaged));
    }

    /// The format is a promise to spools on disk.
    #[test]
    fn a_header_has_exactly_these_bytes() {
        let bytes = HEADER.encode();
        assert_eq!(bytes[..8], *b"STPLSEG\0");
        assert_eq!(bytes[8..16], [2, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(bytes[16..24], [4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(bytes[24..32], (-9i64).to_le_bytes());
    }

    #[test]
    fn the_first_version_is_still_read() {
        let mut bytes = HEADER.encode();
        bytes[8] = 1;
        let sum = crc(&bytes[..32]).to_le_bytes();
        bytes[32..].copy_from_slice(&sum);
        assert_eq!(Header::decode(&bytes), Ok(HEADER));
    }

    #[test]
    fn a_later_version_is_not_taken_for_damage() {
        let mut bytes = HEADER.encode();
        bytes[8] = 3;
        let sum = crc(&bytes[..32]).to_le_bytes();
        bytes[32..].copy_from_slice(&sum);
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Version(3)));
    }

    #[test]
    fn file_names() {
        assert_eq!(file_name(12), "00000012.seg");
        assert_eq!(number_of("00000012.seg"), Some(12));
        assert_eq!(number_of(&file_name(u32::MAX)), Some(u32::MAX));
        for other in ["12.seg", "0000001x.seg", "00000012.seg.tmp", "meta.json", "+0000012.seg"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
