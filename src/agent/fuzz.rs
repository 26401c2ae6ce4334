//! What clients and steps tell the agent: requests of OTLP, first lines, records of an end, variables.

use super::control::Request;
use super::identity::{environ, variables};
pub(crate) use super::otlp::fuzz::{otlp_json, otlp_protobuf};
use super::source::{Head, header, parse_exit};

/// Nothing that is said breaks anything, and what is taken may be metadata.
pub(crate) fn said(data: &[u8]) {
    for ended in [false, true] {
        let mut head = data.to_vec();
        match header(&mut head, ended) {
            Head::Header(metadata) => {
                metadata.check().expect("only what may be metadata is taken");
                assert!(data.ends_with(&head), "the rest is as it was");
            }
            Head::Undecided => assert!(!ended),
            Head::Plain(_) => assert_eq!(head, data),
        }
    }
    drop(parse_exit(data));
    for name in environ(data).keys() {
        assert!(!name.contains(['=', '\0']));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        for name in variables(text).keys() {
            assert!(!name.contains(['=', '\n']));
        }
    }
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let again = serde_json::to_vec(&request).expect("JSON");
        serde_json::from_slice::<Request>(&again).expect("a request");
    }
}
