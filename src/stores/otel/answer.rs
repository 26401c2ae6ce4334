//! What a server's answer says: an `ExportLogsServiceResponse`, or a `google.rpc.Status`, each in
//! protobuf or JSON.
//!
//! Apart from sending so that it can be tested without a server. An answer that cannot be read says
//! nothing: the status, which is outside of it, decides. Does no I/O.

use std::time::Duration;

use serde_json::Value;

use crate::protobuf::Fields;

/// What an answer is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

/// `partial_success`: zero and no words if everything was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    pub(super) message: String,
}

/// Why a request failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) message: String,
    /// `RetryInfo`: it may be tried again, after this pause.
    pub(super) retry: Option<Duration>,
}

/// The type that a detail must have.
const RETRY_INFO: &str = "google.rpc.RetryInfo";

impl Partial {
    /// Of an `ExportLogsServiceResponse`.
    pub(super) fn read(body: &[u8], encoding: Encoding) -> Self {
        match encoding {
            Encoding::Protobuf => Self::from_protobuf(body),
            Encoding::Json => Self::from_json(body),
        }
    }

    fn from_protobuf(body: &[u8]) -> Self {
        let mut partial = Self::default();
        let partials = Fields(body).filter(|(number, _)| *number == 1);
        for (number, value) in partials.flat_map(|(_, value)| Fields(value.bytes())) {
            match number {
                1 => partial.rejected = u64::try_from(value.number() as i64).unwrap_or(0),
                2 => partial.message = value.text(),
                _ => {}
            }
        }
        partial
    }

    fn from_json(body: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(partial) = answer.get("partialSuccess") else { return Self::default() };
        // 64-bit integers are text, but numbers are to be taken too.
        let rejected = partial.get("rejectedLogRecords").and_then(|count| match count {
            Value::String(text) => text.parse().ok(),
            count => count.as_u64(),
        });
        Self { rejected: rejected.unwrap_or(0), message: text(partial, "errorMessage") }
    }
}

impl Status {
    /// Of a `google.rpc.Status`.
    pub(super) fn read(body: &[u8], encoding: Encoding) -> Self {
        match encoding {
            Encoding::Protobuf => Self::from_protobuf(body),
            Encoding::Json => Self::from_json(body),
        }
    }

    fn from_protobuf(body: &[u8]) -> Self {
        let mut status = Self::default();
        for (number, value) in Fields(body) {
            match number {
                2 => status.message = value.text(),
                3 => status.retry = status.retry.or(retry_info(value.bytes())),
                _ => {}
            }
        }
        status
    }

    fn from_json(body: &[u8]) -> Self {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let details = status.get("details").and_then(Value::as_array).into_iter().flatten();
        let retry = details.filter(|detail| text(detail, "@type").ends_with(RETRY_INFO)).map(
            // A duration in JSON: seconds with an `s`.
            |detail| {
                let seconds = text(detail, "retryDelay").trim_end_matches('s').parse();
                Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default()
            },
        );
        Self { retry: retry.max(), message: text(&status, "message") }
    }
}

/// The pause of a detail (`google.protobuf.Any`) that is a `RetryInfo`.
fn retry_info(detail: &[u8]) -> Option<Duration> {
    let field = |message, wanted| Fields(message).find(|(number, _)| *number == wanted);
    let (_, name) = field(detail, 1)?;
    if !name.text().ends_with(RETRY_INFO) {
        return None;
    }
    let info = field(detail, 2).map_or(&[][..], |(_, info)| info.bytes());
    let delay = field(info, 1).map_or(&[][..], |(_, delay)| delay.bytes());
    let number = |wanted| field(delay, wanted).map_or(0, |(_, value)| value.number() as i64);
    let seconds = u64::try_from(number(1)).unwrap_or(0);
    let nanos = u32::try_from(number(2)).unwrap_or(0).min(999_999_999);
    Some(Duration::new(seconds, nanos))
}

fn text(object: &Value, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf as wire;

    fn status(details: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        wire::number(&mut out, 1, 8);
        wire::bytes(&mut out, 2, "slow down".as_bytes());
        details(&mut out);
        out
    }

    fn detail(out: &mut Vec<u8>, name: &str, seconds: u64, nanos: u64) {
        wire::message(out, 3, |any| {
            wire::bytes(any, 1, name.as_bytes());
            wire::message(any, 2, |info| {
                wire::message(info, 1, |delay| {
                    wire::number(delay, 1, seconds);
                    wire::number(delay, 2, nanos);
                });
            });
        });
    }

    #[test]
    fn statuses_in_protobuf() {
        let read = |body: Vec<u8>| Status::read(&body, Encoding::Protobuf);
        let message = "slow down".to_owned();
        let plain = read(status(|_| {}));
        assert_eq!(plain, Status { message: message.clone(), retry: None });
        let name = "type.googleapis.com/google.rpc.RetryInfo";
        let told = read(status(|out| {
            detail(out, "type.googleapis.com/google.rpc.ErrorInfo", 9, 0);
            detail(out, name, 2, 500_000_000);
        }));
        assert_eq!(told.retry, Some(Duration::from_millis(2500)));
        let negative = read(status(|out| detail(out, name, -1_i64 as u64, 0)));
        assert_eq!(negative.retry, Some(Duration::ZERO));
        let mut cut = status(|out| detail(out, name, 2, 0));
        cut.truncate(cut.len() - 3);
        assert_eq!(read(cut), Status { message, retry: None });
    }

    #[test]
    fn statuses_in_json() {
        for (body, message, retry) in [
            (r#"{"code":8,"message":"slow down"}"#, "slow down", None),
            (
                r#"{"message":"m","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"}]}"#,
                "m",
                Some(Duration::from_millis(1500)),
            ),
            (r#"{"details":[{"@type":"x/google.rpc.RetryInfo"}]}"#, "", Some(Duration::ZERO)),
            ("<html>", "", None),
            ("", "", None),
        ] {
            let status = Status::read(body.as_bytes(), Encoding::Json);
            assert_eq!(status, Status { message: message.to_owned(), retry }, "{body}");
        }
    }

    #[test]
    fn partial_success() {
        let check = |body: &[u8], encoding, rejected, message: &str| {
            let partial = Partial { rejected, message: message.to_owned() };
            assert_eq!(Partial::read(body, encoding), partial, "{body:?}");
        };
        check(b"", Encoding::Protobuf, 0, "");
        check(b"\x0a\x00", Encoding::Protobuf, 0, "");
        check(b"\x0a\x09\x08\x03\x12\x05no-no", Encoding::Protobuf, 3, "no-no");
        check(b"<html><body>", Encoding::Protobuf, 0, "");
        check(b"{}", Encoding::Json, 0, "");
        check(br#"{"partialSuccess":{}}"#, Encoding::Json, 0, "");
        let body = br#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"no"}}"#;
        check(body, Encoding::Json, 3, "no");
        check(br#"{"partialSuccess":{"rejectedLogRecords":2}}"#, Encoding::Json, 2, "");
        check(br#"{"partialSuccess":{"rejectedLogRecords":-2}}"#, Encoding::Json, 0, "");
    }
}
