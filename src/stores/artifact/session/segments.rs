//! A writer's segments as its session and its checkpoint hold them: one text, a line for each.
//!
//! A stream that runs for days has thousands of segments, which are only asked for at its end. As values they
//! would take many times the room, in the session and again in each copy of its checkpoint.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use crate::record::{LevelCounts, Nanos};
use crate::stores::artifact::Codec;
use crate::stores::artifact::object::{SegmentInfo, Sha256};

/// In order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Segments {
    /// JSON of a [`Fields`] each, ended by a newline.
    lines: String,
}

/// A [`SegmentInfo`] without the names of its fields, in their order.
#[derive(Deserialize)]
struct Fields(u64, u64, Codec, u64, u64, Sha256, u64, u64, Nanos, Nanos, LevelCounts, Option<u64>);

impl Segments {
    /// One more.
    pub(super) fn push(&mut self, segment: &SegmentInfo) {
        let SegmentInfo { first, last, codec, size, index_len, sha256, .. } = segment;
        let SegmentInfo { first_seq, lines, first_time, last_time, levels, group_from, .. } =
            segment;
        let fields = json!([
            first, last, codec, size, index_len, sha256, first_seq, lines, first_time, last_time,
            levels, group_from
        ]);
        let line = fields.to_string();
        self.lines.reserve_exact(line.len() + 1);
        self.lines.push_str(&line);
        self.lines.push('\n');
    }

    /// All of them.
    pub(super) fn list(&self) -> serde_json::Result<Vec<SegmentInfo>> {
        let parsed = self.lines.lines().map(|line| {
            let Fields(
                first,
                last,
                codec,
                size,
                index_len,
                sha256,
                first_seq,
                lines,
                first_time,
                last_time,
                levels,
                group_from,
            ) = serde_json::from_str(line)?;
            Ok(SegmentInfo {
                first,
                last,
                codec,
                size,
                index_len,
                sha256,
                first_seq,
                lines,
                first_time,
                last_time,
                levels,
                group_from,
            })
        });
        parsed.collect()
    }
}

impl Serialize for Segments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.lines)
    }
}

impl<'de> Deserialize<'de> for Segments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        /// Checkpoints of earlier versions have a list.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Kept {
            Lines(String),
            List(Vec<SegmentInfo>),
        }
        let mut segments = Self::default();
        match Kept::deserialize(deserializer)? {
            Kept::Lines(lines) => {
                segments.lines = lines;
                // What cannot be read is said at the start, not at the end.
                segments.list().map_err(D::Error::custom)?;
            }
            Kept::List(list) => {
                for segment in &list {
                    segments.push(segment);
                }
            }
        }
        Ok(segments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(first: u64) -> SegmentInfo {
        SegmentInfo {
            first,
            last: first + 255,
            codec: Codec::Zstd,
            size: 9,
            index_len: 3,
            sha256: Sha256::of(&first.to_le_bytes()),
            first_seq: 4,
            lines: 7,
            first_time: Nanos(1),
            last_time: Nanos(2),
            levels: [1, 2, 3, 4, 5, 6],
            group_from: (first > 0).then_some(8),
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_small() {
        let infos: Vec<_> = (0..100).map(|at| info(at * 256)).collect();
        let mut segments = Segments::default();
        for info in &infos {
            segments.push(info);
        }
        let kept = serde_json::to_value(&segments).unwrap();
        assert!(kept.as_str().unwrap().len() < 200 * infos.len(), "{kept}");
        let again: Segments = serde_json::from_value(kept).unwrap();
        assert_eq!(again.list().unwrap(), infos);
    }

    #[test]
    fn a_list_of_an_earlier_version_is_read_too() {
        let segments: Segments = serde_json::from_value(json!([info(0)])).unwrap();
        assert_eq!(segments.list().unwrap(), [info(0)]);
    }

    #[test]
    fn what_is_no_segment_is_an_error() {
        assert!(serde_json::from_value::<Segments>(json!("[1,2]\n")).is_err());
    }
}
