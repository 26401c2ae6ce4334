//! The frame codec: bytes to frames and back, with the checksum. Pure.
//!
//! Apart so that the format stands in one place. It knows nothing of files, and it does not
//! decide what a bad frame means: [`cursor`](super::cursor) looks for the next good one and the
//! reader says what was lost.

use crc_fast::{CrcAlgorithm, Digest, checksum};

use super::{Frame, Kind, Note};
use crate::record::{Gap, IoStream, Nanos};

/// Bytes of a frame before its payload.
pub(super) const HEADER_LEN: usize = 28;

/// The largest payload of one frame. A longer length in a header is damage.
pub const MAX_PAYLOAD: usize = 4 << 20;

/// The largest payload of a gap frame: JSON with two numbers and a word.
pub(super) const MAX_GAP_PAYLOAD: usize = 128;

/// The largest payload of a position frame.
pub const MAX_POSITION: usize = 8192;

/// What the checksum covers starts here: everything but the length and the checksum itself.
/// A wrong length makes the checksum cover other bytes, so it is found out too.
const CHECKED_FROM: usize = 8;

/// The header of a frame with this payload, which must not be longer than [`MAX_PAYLOAD`].
pub(super) fn encode(kind: Kind, time: Nanos, offset: u64, payload: &[u8]) -> [u8; HEADER_LEN] {
    let mut checked = [0; HEADER_LEN - CHECKED_FROM];
    let (kind_byte, rest) = checked.split_at_mut(1);
    kind_byte.copy_from_slice(&[kind as u8]);
    let (_flags_and_reserved, rest) = rest.split_at_mut(3);
    let (time_bytes, offset_bytes) = rest.split_at_mut(8);
    time_bytes.copy_from_slice(&time.0.to_le_bytes());
    offset_bytes.copy_from_slice(&offset.to_le_bytes());

    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&checked);
    digest.update(payload);
    let crc = digest.finalize() as u32;

    let mut header = [0; HEADER_LEN];
    let (length_bytes, rest) = header.split_at_mut(4);
    length_bytes.copy_from_slice(&(payload.len() as u32).to_le_bytes());
    let (crc_bytes, rest) = rest.split_at_mut(4);
    crc_bytes.copy_from_slice(&crc.to_le_bytes());
    rest.copy_from_slice(&checked);
    header
}

/// Reads a header; `None` if no writer would have written it.
pub(super) fn decode(header: &[u8]) -> Option<Frame> {
    let header = header.get(..HEADER_LEN)?;
    let len = u32::from_le_bytes(header.get(..4)?.try_into().ok()?);
    let [kind, 0, 0, 0] = *header.get(8..12)? else { return None };
    let kind = Kind::from_byte(kind)?;
    let longest = match kind {
        Kind::Stdout | Kind::Stderr => MAX_PAYLOAD,
        Kind::Gap => MAX_GAP_PAYLOAD,
        Kind::Note => 2,
        Kind::Position => MAX_POSITION,
    };
    if len as usize > longest {
        return None;
    }
    let time = Nanos(i64::from_le_bytes(header.get(12..20)?.try_into().ok()?));
    let offset = u64::from_le_bytes(header.get(20..28)?.try_into().ok()?);
    // A stream has no more bytes than a number can count.
    offset.checked_add(u64::from(len))?;
    Some(Frame { kind, time, offset, len })
}

/// Whether a whole frame, header and payload, is as it was written.
pub(super) fn is_intact(frame: &[u8]) -> bool {
    let (Some(stored), Some(checked)) = (frame.get(4..8), frame.get(CHECKED_FROM..)) else {
        return false;
    };
    stored == (checksum(CrcAlgorithm::Crc32Iscsi, checked) as u32).to_le_bytes()
}

/// The payload of a gap frame.
pub(super) fn encode_gap(gap: &Gap) -> Vec<u8> {
    // A struct of two numbers and a word always has a JSON form.
    serde_json::to_vec(gap).unwrap_or_default()
}

/// Reads the payload of a gap frame.
pub(super) fn decode_gap(payload: &[u8]) -> Option<Gap> {
    serde_json::from_slice(payload).ok()
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::Gap, Self::Note, Self::Position]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// Whether the payload is what the step wrote.
    pub fn is_data(self) -> bool {
        matches!(self, Self::Stdout | Self::Stderr)
    }

    /// Which descriptor the payload was written to; `None` for all else.
    pub fn iostream(self) -> Option<IoStream> {
        match self {
            Self::Stdout => Some(IoStream::Stdout),
            Self::Stderr => Some(IoStream::Stderr),
            Self::Gap | Self::Note | Self::Position => None,
        }
    }
}

impl From<IoStream> for Kind {
    fn from(iostream: IoStream) -> Self {
        match iostream {
            IoStream::Stdout => Self::Stdout,
            IoStream::Stderr => Self::Stderr,
        }
    }
}

impl Note {
    /// The payload of a note frame.
    pub(super) fn to_payload(self) -> [u8; 2] {
        match self {
            Self::Idle(iostream) => [0, iostream as u8],
            Self::Eof(iostream) => [1, iostream as u8],
        }
    }

    /// Reads the payload of a note frame; `None` if a later version wrote it.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let [note, iostream] = *payload else { return None };
        let iostream = *IoStream::ALL.get(usize::from(iostream))?;
        match note {
            0 => Some(Self::Idle(iostream)),
            1 => Some(Self::Eof(iostream)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::GapReason;

    fn whole(kind: Kind, time: i64, offset: u64, payload: &[u8]) -> Vec<u8> {
        let mut frame = encode(kind, Nanos(time), offset, payload).to_vec();
        frame.extend_from_slice(payload);
        frame
    }

    /// The format is a promise to spools on disk: these bytes may only change with the version.
    #[test]
    fn a_frame_has_exactly_these_bytes() {
        let frame = whole(Kind::Stderr, 0x0102_0304_0506_0708, 0x1112, b"hi\n");
        assert_eq!(frame[..4], [3, 0, 0, 0]);
        assert_eq!(frame[8..12], [1, 0, 0, 0]);
        assert_eq!(frame[12..20], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(frame[20..28], [0x12, 0x11, 0, 0, 0, 0, 0, 0]);
        assert_eq!(frame[28..], *b"hi\n");
        assert_eq!(checksum(CrcAlgorithm::Crc32Iscsi, b"123456789"), 0xe306_9283);
        assert_eq!(
            u32::from_le_bytes(frame[4..8].try_into().unwrap()),
            checksum(CrcAlgorithm::Crc32Iscsi, &frame[8..]) as u32
        );
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for (kind, payload) in [
            (Kind::Stdout, b"".as_slice()),
            (Kind::Stderr, &[0xff; 1000]),
            (Kind::Gap, b"{}"),
            (Kind::Note, &[0, 1]),
            (Kind::Position, &[b'x'; MAX_POSITION]),
        ] {
            // The last bytes that an offset can tell of.
            let offset = u64::MAX - payload.len() as u64;
            let frame = whole(kind, -5, offset, payload);
            let expected = Frame { kind, time: Nanos(-5), offset, len: payload.len() as u32 };
            assert_eq!(decode(&frame), Some(expected));
            assert!(is_intact(&frame));
            let beyond = whole(kind, -5, u64::MAX, b"x");
            assert_eq!(decode(&beyond), None, "more than an offset can tell of");
        }
    }

    #[test]
    fn every_flipped_bit_is_found_out() {
        let frame = whole(Kind::Stdout, 7, 9, b"some payload\n");
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = decode(&damaged).is_some_and(|header| {
                damaged.get(..HEADER_LEN + header.len as usize).is_some_and(is_intact)
            });
            assert!(!found, "bit {bit}");
        }
    }

    #[test]
    fn headers_that_nobody_writes_are_refused() {
        let good = whole(Kind::Note, 0, 0, &[0, 0]);
        for (position, value) in [(8, 5), (9, 1), (10, 1), (11, 1), (0, 3), (3, 1)] {
            let mut bad = good.clone();
            bad[position] = value;
            assert_eq!(decode(&bad), None, "byte {position} = {value}");
        }
        assert_eq!(decode(&good[..HEADER_LEN - 1]), None);
    }

    #[test]
    fn notes_and_gaps_survive_the_way_there_and_back() {
        for note in [
            Note::Idle(IoStream::Stdout),
            Note::Idle(IoStream::Stderr),
            Note::Eof(IoStream::Stdout),
            Note::Eof(IoStream::Stderr),
        ] {
            assert_eq!(Note::from_payload(&note.to_payload()), Some(note));
        }
        assert_eq!(Note::from_payload(&[2, 0]), None);
        assert_eq!(Note::from_payload(&[0, 2]), None);
        let gap = Gap { bytes: u64::MAX, lines: u64::MAX, reason: GapReason::DroppedOldest };
        let payload = encode_gap(&gap);
        assert!(payload.len() <= MAX_GAP_PAYLOAD);
        assert_eq!(decode_gap(&payload), Some(gap));
    }
}
