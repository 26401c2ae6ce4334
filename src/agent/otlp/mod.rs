//! OTLP in: log records over HTTP and gRPC, as lines of the streams that they name.
//!
//! ```text
//! HTTP/1.1, HTTP/2 ─► server ─► body: gzip, deflate, zstd, bounded ─► decode: protobuf, json ─► streams ─► line
//!                       ▲                                                                        │
//!                       └── answer: partial success, Status, RetryInfo ◄── the capture thread ◄──┘ batches
//! ```
//!
//! * `POST /v1/logs` and `LogsService/Export` on one port, with hyper, which is in the program anyway: axum
//!   would add routing for two paths, tonic a second stack for one call.
//! * A request is answered when its lines are in the spool, so a client that has its answer may forget
//!   them. Where the spool has no room and its policy is to wait, the answer is 429 with a delay, and nothing
//!   is kept. A request whose first streams had room and whose last had none comes again as a whole.
//! * Decoding is pure and makes one record at a time: a request is bounded before and after
//!   decompression, and in what it becomes.
//! * TLS, the token and where it may listen are [`listen`](crate::listen)'s.
//!
//! Writes no spool and knows no stack file: [`inputs`](super::inputs) owns the streams.

mod answer;
mod body;
mod json;
mod line;
mod protobuf;
mod record;
mod server;
mod streams;

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;

pub(super) use server::Receiver;
pub(super) use streams::Batch;

use self::record::DecodeError;
use self::streams::{Decoded, Streams};
use crate::record::Nanos;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

/// The lines of an `ExportLogsServiceRequest` that came at this time, if they are no more than so many bytes.
fn decode(
    encoding: Encoding,
    request: &[u8],
    received: Nanos,
    max_bytes: usize,
) -> Result<Decoded, DecodeError> {
    let mut streams = Streams::new(received, max_bytes);
    match encoding {
        Encoding::Protobuf => protobuf::decode(request, &mut streams)?,
        Encoding::Json => json::decode(request, &mut streams)?,
    }
    Ok(streams.finish())
}
