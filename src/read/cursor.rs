//! Where a reader stands in several streams, as a word that can be handed back later.
//!
//! A cursor has one position a stream, so that going on after it neither loses nor repeats a line,
//! even if streams deliver late and out of order. It is base64 of `version, (writer id, seq)*`,
//! the stream of the last line last.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::record::WriterId;

const VERSION: u8 = 1;
const ENTRY: usize = 16 + 8;
/// No writer has as many lines.
const MOST: u64 = 1 << 48;

/// Positions: per writer, the `seq` of the last line seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    entries: Vec<(WriterId, u64)>,
}

/// Not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that --show-cursor has printed")]
pub struct CursorError;

impl Cursor {
    /// A line of this writer was seen.
    pub fn see(&mut self, writer: WriterId, seq: u64) {
        if self.entries.last() == Some(&(writer, seq)) {
            return;
        }
        self.entries.retain(|(other, _)| *other != writer);
        self.entries.push((writer, seq));
    }

    /// The last line seen of a writer.
    pub fn last(&self, writer: WriterId) -> Option<u64> {
        self.entries.iter().find(|(other, _)| *other == writer).map(|(_, seq)| *seq)
    }

    /// Whether the last line of all is of this writer.
    pub fn is_newest(&self, writer: WriterId) -> bool {
        self.entries.last().is_some_and(|(last, _)| *last == writer)
    }

    /// No line was seen.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        for (writer, seq) in &self.entries {
            bytes.extend(writer.0.as_bytes());
            bytes.extend(seq.to_be_bytes());
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
            let (id, seq) = entry.split_first_chunk::<16>()?;
            let seq = u64::from_be_bytes(*seq.first_chunk::<8>()?);
            // Sums of them are numbers of lines.
            (seq < MOST).then_some(())?;
            Some((WriterId(uuid::Uuid::from_bytes(*id)), seq))
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
        for text in ["", "x", "AAAA", "AQ=="] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
        let mut beyond = Cursor::default();
        beyond.see(one, MOST);
        assert_eq!(beyond.to_string().parse::<Cursor>(), Err(CursorError));
        assert_eq!("AQ".parse::<Cursor>(), Ok(Cursor::default()));
    }
}
