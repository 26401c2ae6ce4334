//! Requests of OTLP of any content.

use serde_json::{Map, Value};

use super::record::DecodeError;
use super::{Encoding, decode};
use crate::record::Nanos;

/// Of lines that may come of a request.
const MOST: usize = 1 << 16;

pub(crate) fn otlp_json(data: &[u8]) {
    holds(Encoding::Json, data);
}

pub(crate) fn otlp_protobuf(data: &[u8]) {
    holds(Encoding::Protobuf, data);
}

/// A request is refused, or becomes whole lines of JSON, no more than may be, of streams that may be.
fn holds(encoding: Encoding, data: &[u8]) {
    let decoded = match decode(encoding, data, Nanos(1), MOST) {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(error.to_string().len() < 1000, "{error}");
            assert!(!matches!(error, DecodeError::TooMuch(most) if most != MOST));
            return;
        }
    };
    let mut total = 0;
    for batch in decoded.batches {
        batch.metadata.check().expect("only what may be metadata is taken");
        let end = batch.pieces.last().map(|(_, end)| *end);
        assert_eq!(end, Some(batch.lines.len()));
        assert!(batch.pieces.is_sorted_by_key(|(_, end)| *end));
        total += batch.lines.len();
        let lines = batch.lines.strip_suffix(b"\n").expect("the last line is whole");
        for line in lines.split(|byte| *byte == b'\n') {
            let line: Result<Map<String, Value>, _> = serde_json::from_slice(line);
            line.expect("each line is an object");
        }
    }
    assert!(total <= MOST, "{total} bytes");
}
