//! What statuses, codes and bodies come to.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::super::answer::Encoding;
use super::super::{grpc, send};
use crate::stores::records::http::Answer;
use crate::protobuf as wire;
use crate::stores::records::{Reply, SendError};

/// What is left of an outcome when its words are looked at apart.
#[derive(Debug, PartialEq)]
enum Kind {
    Taken,
    Rejected(u64),
    Retry(Option<Duration>),
    TooLarge,
    Invalid,
    Fatal,
    NotAllowed,
}

fn kind(result: Result<Reply, SendError>) -> (Kind, String) {
    match result {
        Ok(Reply::Taken) => (Kind::Taken, String::new()),
        Ok(Reply::SomeRejected { count, reason }) => (Kind::Rejected(count), reason),
        Ok(reply) => panic!("{reply:?}"),
        Err(SendError::Retry { message, after }) => (Kind::Retry(after), message),
        Err(SendError::TooLarge { message }) => (Kind::TooLarge, message),
        Err(SendError::Invalid { message }) => (Kind::Invalid, message),
        Err(SendError::Fatal { message, not_allowed: true, .. }) => (Kind::NotAllowed, message),
        Err(SendError::Fatal { message, .. }) => (Kind::Fatal, message),
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn answer(status: u16, pairs: &[(&'static str, &str)], body: &[u8]) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer { status, headers: headers(pairs), body: bytes::Bytes::copy_from_slice(body) }
}

/// A `google.rpc.Status`, with a `RetryInfo` of so many seconds.
fn status(message: &str, retry: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    wire::bytes(&mut out, 2, message.as_bytes());
    if let Some(seconds) = retry {
        wire::message(&mut out, 3, |detail| {
            wire::bytes(detail, 1, b"type.googleapis.com/google.rpc.RetryInfo");
            wire::message(detail, 2, |info| {
                wire::message(info, 1, |delay| wire::number(delay, 1, seconds));
            });
        });
    }
    out
}

#[test]
fn over_http() {
    let protobuf = ("content-type", "application/x-protobuf");
    let json = ("content-type", "application/json; charset=utf-8");
    let seconds = Duration::from_secs;
    let plain = status("no \n good", None);
    let pause = status("slow", Some(7));
    let rejected = b"\x0a\x09\x08\x03\x12\x05no-no".as_slice();
    let said = br#"{"code":3,"message":"bad"}"#.as_slice();
    for (code, headers, body, expected, words) in [
        (200, &[][..], &b""[..], Kind::Taken, ""),
        (200, &[protobuf], b"\x0a\x00", Kind::Taken, ""),
        // A warning: everything was taken.
        (200, &[protobuf], b"\x0a\x07\x12\x05no-no", Kind::Taken, ""),
        (200, &[protobuf], rejected, Kind::Rejected(3), "no-no"),
        (200, &[protobuf], b"\x0a\x02\x08\x63", Kind::Rejected(10), "no reason given"),
        (
            200,
            &[json],
            br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"x"}}"#,
            Kind::Rejected(2),
            "x",
        ),
        (202, &[("content-type", "text/plain")], b"ok", Kind::Taken, ""),
        (200, &[("content-type", "text/html")], b"<html>", Kind::Fatal, "web page"),
        (400, &[protobuf], &plain, Kind::Invalid, "400 Bad Request: no good"),
        (400, &[json], said, Kind::Invalid, "400 Bad Request: bad"),
        (401, &[], b"who?", Kind::NotAllowed, "401 Unauthorized: who?"),
        (403, &[], b"", Kind::NotAllowed, "403"),
        (404, &[], b"", Kind::Fatal, "404"),
        (413, &[], b"", Kind::TooLarge, "413"),
        (429, &[("retry-after", "3")], b"", Kind::Retry(Some(seconds(3))), "429"),
        (429, &[protobuf], &pause, Kind::Retry(Some(seconds(7))), ": slow"),
        (503, &[protobuf, ("retry-after", "9")], &pause, Kind::Retry(Some(seconds(9))), "503"),
        (502, &[], b"", Kind::Retry(None), "502"),
        (504, &[], b"", Kind::Retry(None), "504"),
        (500, &[protobuf], b"\xff\xff", Kind::Retry(None), "500 Internal Server Error"),
    ] {
        let judged = send::judge(answer(code, headers, body), Encoding::Protobuf, 10, "send");
        let (kind, said) = kind(judged);
        assert_eq!(kind, expected, "{code} {headers:?} {body:?}: {said}");
        assert!(said.contains(words), "{code}: {said}");
        assert!(!said.contains('\u{fffd}'), "{code}: {said}");
    }
}

#[track_caller]
fn check(code: &str, message: &str, retry: Option<u64>, expected: Kind, words: &str) {
    let details = STANDARD_NO_PAD.encode(status("of the details", retry));
    let mut fields = vec![("grpc-status", code)];
    if !message.is_empty() {
        fields.push(("grpc-message", message));
    }
    fields.push(("grpc-status-details-bin", &details));
    // In trailers, or in headers where there is nothing else.
    let behind = grpc::judge(&answer(200, &[], b""), &headers(&fields), 10, "send");
    let before = grpc::judge(&answer(200, &fields, b""), &HeaderMap::new(), 10, "send");
    assert_eq!(before, behind);
    let (kind, said) = kind(behind);
    assert_eq!(kind, expected, "{code} {message}: {said}");
    assert!(said.contains(words), "{code}: {said}");
}

#[test]
fn over_grpc() {
    let (seconds, none) = (|it| Kind::Retry(Some(Duration::from_secs(it))), || Kind::Retry(None));
    check("1", "x%20y", None, none(), "failed to send: CANCELLED: x y");
    check("2", "", None, none(), "UNKNOWN: of the details");
    check("3", "bad", None, Kind::Invalid, "INVALID_ARGUMENT: bad");
    check("4", "", None, none(), "DEADLINE_EXCEEDED");
    check("5", "", None, Kind::Fatal, "NOT_FOUND");
    check("6", "", None, Kind::Invalid, "ALREADY_EXISTS");
    check("7", "", None, Kind::NotAllowed, "PERMISSION_DENIED");
    check("8", "", None, Kind::Fatal, "RESOURCE_EXHAUSTED");
    check("8", "", Some(4), seconds(4), "RESOURCE_EXHAUSTED");
    let c = "Received message larger than max (5000000 vs. 4194304)";
    check("8", c, None, Kind::TooLarge, c);
    check("8", "gRPC message exceeds maximum size 4194304: 5", None, Kind::TooLarge, "size");
    check("9", "", None, Kind::Fatal, "FAILED_PRECONDITION");
    check("10", "", None, none(), "ABORTED");
    check("11", "", None, none(), "OUT_OF_RANGE");
    let rust = "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes";
    check("11", rust, None, Kind::TooLarge, rust);
    check("12", "", None, Kind::Fatal, "UNIMPLEMENTED");
    check("13", "", None, none(), "INTERNAL");
    check("14", "", None, none(), "UNAVAILABLE");
    check("14", "", Some(2), seconds(2), "UNAVAILABLE");
    check("14", "", Some(0), seconds(0), "UNAVAILABLE");
    check("15", "", None, none(), "DATA_LOSS");
    check("16", "", None, Kind::NotAllowed, "UNAUTHENTICATED");
    check("99", "", None, none(), "UNKNOWN");
    check("x", "", None, none(), "UNKNOWN");
    check("0", "", None, Kind::Taken, "");
}

#[test]
fn partial_success_over_grpc() {
    let ok = headers(&[("grpc-status", "0")]);
    for (body, expected) in [
        (&b""[..], Kind::Taken),
        (b"\0\0\0\0\0", Kind::Taken),
        (b"\0\0\0\0\x0b\x0a\x09\x08\x03\x12\x05no-no", Kind::Rejected(3)),
        // Compressed, which nobody asked for.
        (b"\x01\0\0\0\x0b\x0a\x09\x08\x03\x12\x05no-no", Kind::Taken),
    ] {
        let (kind, _) = kind(grpc::judge(&answer(200, &[], body), &ok, 10, "send"));
        assert_eq!(kind, expected, "{body:?}");
    }
}

#[test]
fn what_is_before_a_grpc_server_answers_in_http() {
    for (status, expected) in [
        (200, Kind::Retry(None)),
        (401, Kind::NotAllowed),
        (404, Kind::Fatal),
        (413, Kind::TooLarge),
        (429, Kind::Retry(Some(Duration::from_secs(3)))),
        (503, Kind::Retry(Some(Duration::from_secs(3)))),
    ] {
        let answer = answer(status, &[("retry-after", "3")], b"proxy says");
        let (kind, words) = kind(grpc::judge(&answer, &HeaderMap::new(), 10, "send"));
        assert_eq!(kind, expected, "{status}");
        assert!(words.starts_with("failed to send: "), "{words}");
    }
}
