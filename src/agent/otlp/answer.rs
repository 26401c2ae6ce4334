//! What is answered: `ExportLogsServiceResponse` and `google.rpc.Status`, in the encoding of the request.
//!
//! Source: the OTLP specification, "OTLP/HTTP Response" and "OTLP/gRPC Throttling". Apart from
//! [`server`](super::server), which knows status lines and trailers.

use std::time::Duration;

use serde_json::json;

use super::Encoding;
use crate::protobuf;

/// gRPC's codes, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unavailable = 14,
    Unauthenticated = 16,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// All is taken, but for so many records.
pub(super) fn success(encoding: Encoding, rejected: u64, reason: Option<&str>) -> Vec<u8> {
    let reason = reason.unwrap_or_default();
    match encoding {
        _ if rejected == 0 && encoding == Encoding::Json => b"{}".to_vec(),
        _ if rejected == 0 => Vec::new(),
        Encoding::Json => {
            let partial = json!({ "rejectedLogRecords": rejected.to_string(), "errorMessage": reason });
            json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
        Encoding::Protobuf => {
            let mut out = Vec::new();
            protobuf::message(&mut out, 1, |out| {
                protobuf::number(out, 1, rejected);
                protobuf::bytes(out, 2, reason.as_bytes());
            });
            out
        }
    }
}

/// Nothing is taken; it may be sent again after that time, if there is one.
pub(super) fn status(
    encoding: Encoding,
    code: Code,
    message: &str,
    retry: Option<Duration>,
) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            let details: Vec<_> = retry
                .iter()
                .map(|retry| json!({ "@type": RETRY_INFO, "retryDelay": format!("{}s", retry.as_secs()) }))
                .collect();
            json!({ "code": code as i32, "message": message, "details": details })
                .to_string()
                .into_bytes()
        }
        Encoding::Protobuf => {
            let mut out = Vec::new();
            protobuf::number(&mut out, 1, code as u64);
            protobuf::bytes(&mut out, 2, message.as_bytes());
            if let Some(retry) = retry {
                protobuf::message(&mut out, 3, |any| {
                    protobuf::bytes(any, 1, RETRY_INFO.as_bytes());
                    protobuf::message(any, 2, |info| {
                        protobuf::message(info, 1, |delay| {
                            protobuf::number(delay, 1, retry.as_secs());
                        });
                    });
                });
            }
            out
        }
    }
}
