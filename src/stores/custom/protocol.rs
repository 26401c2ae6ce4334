//! What is said between steplog and the program of a custom flavor; see `docs/custom-flavor.md`.
//!
//! Each message is one line of JSON with a `type`. Two are followed by lines of records, as many as
//! they say: a `write`, and the answer to a `fetch`. Does no I/O.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the protocol.
pub(crate) const VERSION: u32 = 1;

/// What steplog says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Say<'a> {
    /// Who are you?
    Describe {
        id: &'a str,
        protocol: u32,
    },
    /// You are this log store.
    Configure {
        id: &'a str,
        log_store: &'a str,
        config: &'a Map<String, Value>,
    },
    /// Keep these: so many lines of records follow.
    Write {
        id: &'a str,
        /// The same for every try at these records.
        batch: &'a str,
        records: usize,
    },
    /// Keep what you have for good, then answer.
    Flush {
        id: &'a str,
    },
    Fetch(Fetch<'a>),
    /// No more will come.
    Shutdown {
        id: &'a str,
    },
}

/// Give some records back.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Fetch<'a> {
    pub(crate) id: &'a str,
    /// Start and end records instead of lines.
    pub(crate) events: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pipeline_run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) writer: Option<String>,
    /// Not below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from_seq: Option<u64>,
    /// Not at or above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to_seq: Option<u64>,
    /// Not before, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    /// Not at or after, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
    /// Newest first.
    pub(crate) reverse: bool,
    pub(crate) limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<&'a str>,
}

/// What the program answers, always with the id of what it answers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Answer {
    Description(Description),
    /// Done: `configure`, `write`, `flush`, `shutdown`.
    Ack {
        id: String,
        /// Of a `write`: refused for good.
        #[serde(default)]
        rejected: Vec<Refused>,
        /// Of a `write`: to be sent again, by position.
        #[serde(default)]
        again: Vec<usize>,
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// So many lines of records follow.
    Page {
        id: String,
        records: usize,
        /// Where the next page begins; none if this was the last one.
        #[serde(default)]
        next: Option<String>,
        /// The lines, put in by whoever reads them.
        #[serde(skip)]
        lines: Vec<u8>,
    },
    Error(Failure),
}

/// Who the program is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Description {
    pub(crate) id: String,
    /// The version of the protocol that it speaks.
    pub(crate) protocol: u32,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    /// It can give records back.
    #[serde(default)]
    pub(crate) can_fetch: bool,
    /// A JSON Schema of its keys.
    #[serde(default)]
    pub(crate) config: Value,
}

/// It cannot.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Failure {
    pub(crate) id: String,
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) retry_after_ms: Option<u64>,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    /// Try again later.
    Retry,
    /// The records of this request are too many; halves may work.
    TooLarge,
    /// A record of this request is wrong; halves may work.
    Invalid,
    /// Somebody has to change something first.
    Fatal,
    /// … namely credentials or permissions.
    NotAllowed,
}

/// A record that is refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Refused {
    pub(crate) position: usize,
    pub(crate) reason: String,
}

impl Answer {
    /// Of what it answers.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Description(Description { id, .. })
            | Self::Ack { id, .. }
            | Self::Page { id, .. }
            | Self::Error(Failure { id, .. }) => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_documented_ones() {
        let text = |say: &Say<'_>| serde_json::to_string(say).unwrap();
        assert_eq!(
            text(&Say::Describe { id: "1", protocol: VERSION }),
            r#"{"type":"describe","id":"1","protocol":1}"#
        );
        assert_eq!(
            text(&Say::Write { id: "2", batch: "w-0-0", records: 3 }),
            r#"{"type":"write","id":"2","batch":"w-0-0","records":3}"#
        );
        let fetch = Fetch { id: "3", from_seq: Some(5), limit: 10, ..Fetch::default() };
        assert_eq!(
            text(&Say::Fetch(fetch)),
            r#"{"type":"fetch","id":"3","events":false,"from_seq":5,"reverse":false,"limit":10}"#
        );
    }

    #[test]
    fn answers_may_leave_out_what_is_usual() {
        let answer = |text: &str| serde_json::from_str::<Answer>(text);
        let ack =
            Answer::Ack { id: "2".into(), rejected: vec![], again: vec![], retry_after_ms: None };
        assert_eq!(answer(r#"{"type":"ack","id":"2"}"#).unwrap(), ack);
        let page = answer(r#"{"type":"page","id":"2","records":0}"#).unwrap();
        assert!(matches!(page, Answer::Page { next: None, records: 0, .. }), "{page:?}");
        let error = answer(r#"{"type":"error","id":"2","kind":"not_allowed","message":"no"}"#);
        assert!(matches!(
            error.unwrap(),
            Answer::Error(Failure { kind: FailureKind::NotAllowed, .. })
        ));
        for bad in ["", "ack", "{}", r#"{"type":"ack"}"#, r#"{"type":"error","id":"1","kind":"x"}"#]
        {
            assert!(answer(bad).is_err(), "{bad}");
        }
    }
}
