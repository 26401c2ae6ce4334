//! A writer's segments in its checkpoint: one text.
//!
//! A delivery's checkpoint is held as a tree of values between its turns, in which the fields of a segment
//! take many times the room of their text; and a stream that runs for days has thousands of segments.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

use crate::stores::artifact::object::SegmentInfo;

pub(super) fn serialize<S: Serializer>(
    segments: &[SegmentInfo],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&serde_json::to_string(segments).map_err(S::Error::custom)?)
}

/// Checkpoints of earlier versions have a list.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<SegmentInfo>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Segments {
        Packed(String),
        Listed(Vec<SegmentInfo>),
    }
    match Segments::deserialize(deserializer)? {
        Segments::Packed(text) => serde_json::from_str(&text).map_err(D::Error::custom),
        Segments::Listed(segments) => Ok(segments),
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::record::{LevelCounts, Nanos};
    use crate::stores::artifact::Codec;
    use crate::stores::artifact::object::Sha256;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        #[serde(with = "super")]
        segments: Vec<SegmentInfo>,
    }

    #[test]
    fn a_list_of_an_earlier_version_is_read_too() {
        let info = SegmentInfo {
            first: 0,
            last: 255,
            codec: Codec::Zstd,
            size: 9,
            index_len: 3,
            sha256: Sha256::of(b""),
            first_seq: 0,
            lines: 7,
            first_time: Nanos(1),
            last_time: Nanos(2),
            levels: LevelCounts::default(),
            group_from: None,
        };
        let earlier = serde_json::json!({ "segments": [info] });
        let state: State = serde_json::from_value(earlier).unwrap();
        assert_eq!(state.segments.len(), 1);
        let written = serde_json::to_value(&state).unwrap();
        assert!(written["segments"].is_string(), "{written}");
        assert_eq!(serde_json::from_value::<State>(written).unwrap(), state);
    }
}
