//! Where a reader stands in several streams, as a word that can be handed back later.
//!
//! A cursor has one position a stream, so that going on after it neither loses nor repeats a line,
//! even if streams deliver late and out of order. It is base64 of `version, (writer, seq)*`, the
//! stream of the last line last, and short, as that of many streams has to fit into an address: a
//! writer is the two halves of its id in one, some 20 characters with its position.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::record::WriterId;

const VERSION: u8 = 2;
/// Bytes of a `seq`: no writer has more lines, and sums of them are numbers of lines.
const SEQ: usize = 6;
const ENTRY: usize = 8 + SEQ;
/// Characters of a stream in a cursor, rounded up.
pub const ENTRY_CHARS: usize = (ENTRY * 4).div_ceil(3);

/// Positions: per writer, the `seq` of the last line seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    entries: Vec<(Key, u64)>,
}

/// A writer, among those of a run: ids have 74 random bits, of which this keeps 62 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key([u8; 8]);

impl From<WriterId> for Key {
    fn from(writer: WriterId) -> Self {
        let (high, low) = writer.0.as_u64_pair();
        Self((high ^ low).to_be_bytes())
    }
}

/// Not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that --show-cursor has printed")]
pub struct CursorError;

impl Cursor {
    /// A line of this writer was seen.
    pub fn see(&mut self, writer: WriterId, seq: u64) {
        let key = Key::from(writer);
        if self.entries.last() == Some(&(key, seq)) {
            return;
        }
        self.entries.retain(|(other, _)| *other != key);
        self.entries.push((key, seq));
    }

    /// The last line seen of a writer.
    pub fn last(&self, writer: WriterId) -> Option<u64> {
        let key = Key::from(writer);
        self.entries.iter().find(|(other, _)| *other == key).map(|(_, seq)| *seq)
    }

    /// Whether the last line of all is of this writer.
    pub fn is_newest(&self, writer: WriterId) -> bool {
        self.entries.last().is_some_and(|(last, _)| *last == writer.into())
    }

    /// No line was seen.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        for (Key(writer), seq) in &self.entries {
            bytes.extend(writer);
            bytes.extend(seq.to_be_bytes().last_chunk::<SEQ>().copied().unwrap_or_default());
        }
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let entries = bytes.strip_prefix(&[VERSION]).ok_or(CursorError)?;
        let (entries, rest) = entries.as_chunks::<ENTRY>();
        if !rest.is_empty() {
            return Err(CursorError);
        }
        let entry = |entry: &[u8; ENTRY]| {
            let (writer, rest) = entry.split_first_chunk::<8>()?;
            let mut seq = [0; 8];
            seq.last_chunk_mut::<SEQ>()?.copy_from_slice(rest);
            Some((Key(*writer), u64::from_be_bytes(seq)))
        };
        let entries = entries.iter().map(entry).collect::<Option<_>>().ok_or(CursorError)?;
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was() {
        let (one, two) = (WriterId::new(), WriterId::new());
        let mut cursor = Cursor::default();
        for (writer, seq) in [(one, 1), (two, 7), (one, 2), (one, 2)] {
            cursor.see(writer, seq);
        }
        let back: Cursor = cursor.to_string().parse().unwrap();
        assert_eq!(back, cursor);
        assert_eq!((back.last(one), back.last(two)), (Some(2), Some(7)));
        assert!(back.is_newest(one) && !back.is_newest(two));
        for text in ["", "x", "AAAA", "Ag==", "AgAA", "AQ"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
        assert_eq!("Ag".parse::<Cursor>(), Ok(Cursor::default()));
        cursor.see(one, (1 << 48) - 1);
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap().last(one), Some((1 << 48) - 1));
    }
}
