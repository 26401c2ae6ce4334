//! Server-Sent Events as text. Pure.

use axum::body::Bytes;
use serde::Serialize;

/// An event with data in JSON, which has no line ends.
pub(super) fn event(name: &str, data: &impl Serialize) -> Bytes {
    let mut text = format!("event: {name}\ndata: ").into_bytes();
    // It can only fail where a value cannot be JSON, and all are made for it.
    drop(serde_json::to_writer(&mut text, data));
    text.extend_from_slice(b"\n\n");
    // It may wait for its client.
    text.shrink_to_fit();
    text.into()
}

/// Where the next event leaves whoever reads it.
pub(super) fn id(id: &str) -> Bytes {
    format!("id: {id}\n").into()
}

/// Nothing: it keeps the connection open.
pub(super) const COMMENT: &[u8] = b":\n\n";
