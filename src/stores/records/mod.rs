//! Log stores that take records in requests: everything they share.
//!
//! A flavor says how one record looks on the wire ([`Format`]) and how a request is made and what
//! its answer means ([`Service`]); if the service can be searched, also how ([`fetch::Search`]). The
//! rest is here:
//!
//! ```text
//!  block ─► encoder ──────────► body ─► session ──────────────────────────────► Service::send
//!           Format::record       │       start, before all else                     │
//!           cut by Limits        │       a try at each request of the chunk    Reply, SendError
//!           Format::around       │       too large, invalid: halved  ◄──────────────┘
//!           compress             │       rejected: dead letter
//!                                └─ one chunk is one block is (nearly always) one request
//! ```
//!
//! * A chunk is one block, cut so that it fits one request of the service. Its cut is in the
//!   checkpoint before it is sent, so a request that is repeated after a crash has the same bytes.
//! * Every record carries its writer and `seq`: together they name it for ever. What a service does with
//!   a record that comes twice is its flavor's to say; reading back drops doubles by them.
//! * The first record of a writer says that it has started, the last one how it ended ([`event`]):
//!   that is how a reader finds runs, and tells complete from unfinished.
//! * A record that the service refuses for good goes into a file beside the spools, with the
//!   service's reason ([`dead_letter`]); when that is full or cannot be written, delivery stops
//!   and the spool keeps the lines. Nothing is given up record by record before the service has taken
//!   anything at all from this process: until then a refusal means that the settings are wrong.
//!
//! Does not wait between tries and does not know the spool: `ship` does.

pub(crate) mod compress;
pub(crate) mod config;
pub mod dead_letter;
mod encoder;
pub(crate) mod event;
pub(crate) mod fetch;
pub mod http;
mod session;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use self::compress::Compression;
use self::dead_letter::DeadLetter;
use self::session::RecordSession;
use super::view::View;
use super::{Answer, DeliverError, LogStore, Patience, Probed, SealAge, Session, StateError};
use crate::read::store::ReadError;
use crate::record::{Origin, Writer, WriterId};

/// A service that takes records in requests.
pub(crate) trait Service: Send + Sync {
    /// How much one request may hold.
    fn limits(&self) -> Limits;

    /// How this writer's records look; one a thread.
    fn format(&self, writer: &Writer) -> Box<dyn Format>;

    /// Makes one try at one request.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, SendError>>;

    /// The writer has ended and all of it is taken: keeps it for good, where that is more than taking.
    fn flush(&self) -> BoxFuture<'_, Result<(), SendError>> {
        async { Ok(()) }.boxed()
    }

    /// No more will be sent.
    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// How records look on the wire. Deterministic: the same record, the same bytes.
pub(crate) trait Format: Send {
    /// Appends one record. One whose [`Rare::event`](super::view::Rare::event) is set is no line
    /// but the start or the end of the writer.
    fn record(&mut self, view: &View<'_>, out: &mut Vec<u8>);

    /// The record that was appended last cannot be in one request with what stands before it.
    fn begins_anew(&self) -> bool {
        false
    }

    /// What stands between two records of a request.
    fn separator(&self) -> &'static [u8] {
        b""
    }

    /// What stands around these records in a request.
    fn around(&self, _records: &[u8]) -> Around {
        Around::default()
    }

    /// One record as people read it, for the dead-letter file: that of `record`, as JSON.
    fn show(&self, record: &[u8]) -> Value {
        serde_json::from_slice(record)
            .unwrap_or_else(|_| String::from_utf8_lossy(record).into_owned().into())
    }
}

/// What stands around the records of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// Before the first.
    pub(crate) head: Vec<u8>,
    /// Behind the last.
    pub(crate) tail: Vec<u8>,
}

/// How much one request may hold, and how it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Records.
    pub(crate) records: usize,
    /// Bytes of its body before compression.
    pub(crate) bytes: usize,
    /// Bytes of one record; a larger one is not sent but goes to the dead letters.
    pub(crate) record_bytes: usize,
    /// A line waits this long for others at the most.
    pub(crate) age: Duration,
    /// One try at one request; none: as `[ship] timeout` says.
    pub(crate) timeout: Option<Duration>,
    /// Requests at the same time at the most.
    pub(crate) concurrency: usize,
    /// What is done to the body.
    pub(crate) compression: Compression,
}

/// One request, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its body, compressed as [`Limits::compression`] says.
    pub(crate) body: Bytes,
    /// Records in it.
    pub(crate) records: usize,
    /// The same for every try at these records, also after a crash; another for any others.
    pub(crate) id: String,
}

/// What a service said to a request that it took, at least in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It has all of them now, or had them already.
    Taken,
    /// It has all but these.
    Partly {
        /// Refused for good.
        rejected: Vec<Rejected>,
        /// To be sent again, by position in the request.
        again: Vec<usize>,
        /// It asked for at least this pause.
        after: Option<Duration>,
    },
    /// It refused some for good and does not say which.
    SomeRejected {
        /// How many.
        count: u64,
        /// Its words.
        reason: String,
    },
}

/// A record that a service refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Position in the request.
    pub(crate) position: usize,
    /// Its words.
    pub(crate) reason: String,
}

/// Why a service did not take a request. No message holds a secret, a header or a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// It may work later.
    Retry {
        /// What happened.
        message: String,
        /// The service asked for at least this pause.
        after: Option<Duration>,
    },
    /// There is too much in it: halves may work.
    TooLarge {
        /// What happened.
        message: String,
    },
    /// Something in it is wrong: halves may work.
    Invalid {
        /// What happened.
        message: String,
    },
    /// It will not work before somebody does something.
    Fatal {
        /// What happened.
        message: String,
        /// What they can do.
        advice: &'static str,
        /// Credentials are wrong or lack a permission.
        not_allowed: bool,
    },
}

impl From<SendError> for ReadError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Fatal { message, not_allowed: true, .. } => Self::Denied(message.into()),
            SendError::Retry { message, .. }
            | SendError::TooLarge { message }
            | SendError::Invalid { message }
            | SendError::Fatal { message, .. } => Self::Store(message.into()),
        }
    }
}

impl From<SendError> for DeliverError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Retry { message, after } => Self::Retry { message, after },
            SendError::TooLarge { message } | SendError::Invalid { message } => {
                Self::Fatal { message, advice: SETTINGS, not_allowed: false }
            }
            SendError::Fatal { message, advice, not_allowed } => {
                Self::Fatal { message, advice, not_allowed }
            }
        }
    }
}

const SETTINGS: &str = "check the log store's settings in the stack file";

/// A log store on such a service.
pub(crate) struct RecordStore {
    service: Arc<dyn Service>,
    patience: Patience,
    dead_letter: Arc<DeadLetter>,
}

impl RecordStore {
    /// Makes no request.
    pub(crate) fn new(
        service: Arc<dyn Service>,
        patience: Patience,
        dead_letter: DeadLetter,
    ) -> Self {
        let timeout = service.limits().timeout.unwrap_or(patience.timeout);
        let patience = Patience { timeout, ..patience };
        Self { service, patience, dead_letter: Arc::new(dead_letter) }
    }
}

impl LogStore for RecordStore {
    fn limits(&self) -> super::Limits {
        let limits = self.service.limits();
        // Records are larger than lines; where one block is too much after all, the encoder makes
        // several requests of it.
        super::Limits {
            chunk_bytes: u64::MAX,
            chunk_blocks: 1,
            block_lines: limits.records,
            block_bytes: (limits.bytes / 2).max(1),
            age: SealAge::Fixed(limits.age),
            concurrency: Some(limits.concurrency),
            remembers: false,
        }
    }

    fn session(
        &self,
        writer: &Writer,
        state: &serde_json::Value,
    ) -> Result<Arc<dyn Session>, StateError> {
        let (service, dead_letter) = (Arc::clone(&self.service), Arc::clone(&self.dead_letter));
        let (patience, writer) = (self.patience, writer.clone());
        Ok(Arc::new(RecordSession::new(service, patience, dead_letter, writer, state)?))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.service.close()
    }

    fn probe(&self) -> Answer<'_, Probed> {
        let origin = Origin {
            pipeline_run_id: "steplog-test".to_owned(),
            step_id: "test".to_owned(),
            attempt: 1,
            source: "test".to_owned(),
        };
        let id = WriterId::new();
        let writer = Writer { id, origin, started: id.started(), attributes: BTreeMap::new() };
        let (service, dead_letter) = (Arc::clone(&self.service), Arc::clone(&self.dead_letter));
        async move {
            let session =
                RecordSession::new(service, self.patience, dead_letter, writer, &Value::Null)
                    .map_err(|error| DeliverError::Retry {
                        message: error.to_string(),
                        after: None,
                    })?;
            session.probe().await?;
            Ok(Probed { did: "took a test record", warning: None })
        }
        .boxed()
    }
}
