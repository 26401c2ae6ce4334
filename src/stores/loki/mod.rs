//! The `loki` flavor: Grafana Loki's push API, and its range queries to read back.
//!
//! ```text
//! POST ENDPOINT/loki/api/v1/push           protobuf, snappy
//! GET  ENDPOINT/loki/api/v1/query_range    LogQL, answers in JSON
//! ```
//!
//! What Loki does decides on how records look to it:
//!
//! * Loki keeps *streams*: entries of the same labels. Of two entries of a stream that have one time and one
//!   line it keeps one, whatever else is attached to them. That is right only if a stream is one
//!   writer's, or else two steps that print the same are taken for one: so `writer` is a label. It also
//!   makes reading a step a look-up in the index.
//! * It refuses entries that are an hour older than the newest of their stream. But a spool is delivered
//!   whenever it can be, several requests at a time, and some of them again: so each half-hour of a
//!   writer's lines is a stream of its own, which the label [`HALF_HOUR`] names. A step that runs
//!   has one stream, as every pod of a cluster has elsewhere.
//! * Lines of one read have one time, and may be the same. What Loki is told of a time is its
//!   millisecond and, below that, the line's number ([`encode::place`]): no two lines of a writer have the same
//!   unless there are a million in a millisecond. The time itself is attached.
//! * Starts and ends are streams of their own, labelled `steplog_event`, for all writers together, so that
//!   runs are found without a look at their lines. Their time is that of sending: they must not come late.
//! * Everything else is attached to the line (structured metadata), unless `labels` names it. The line is what the
//!   step printed; what was lifted from a JSON line is lifted again by the reader.
//! * A request of which something is refused is taken but for that. Loki says which only for entries that are too
//!   old: those go to the dead letters together; for others halves are tried. What is sent again
//!   soon is not there twice.

pub(crate) mod config;
mod decode;
mod encode;
mod fetch;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::future::BoxFuture;
use reqwest::{Client, RequestBuilder, Url};

pub use self::config::Config;
use self::config::Credentials;
use super::records::fetch::ask::Asker;
use super::records::http::ConnectionError;
use super::records::{Format, Limits, Reply, Request, SendError, Service};
use crate::record::Writer;

/// The label that names a stream's writer.
const WRITER: &str = "writer";
/// The label that says which half-hour of the writer's lines a stream has.
const HALF_HOUR: &str = "steplog_half_hour";
/// The label of starts and ends.
const EVENT: &str = "steplog_event";

/// A Loki.
pub(crate) struct Loki {
    config: Config,
    client: Client,
    asker: Asker,
    /// Entries that it gives at a time, at the most, as far as is known.
    page: AtomicUsize,
}

impl Loki {
    /// Makes no request.
    pub(crate) fn open(config: Config) -> Result<Arc<Self>, ConnectionError> {
        let client = config.connection.client()?;
        let page = AtomicUsize::new(fetch::PAGE);
        Ok(Arc::new(Self { config, client, asker: Asker::default(), page }))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.config.endpoint.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url
    }

    /// With what says who asks.
    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match &self.config.credentials {
            Some(Credentials::Token(token)) => request.bearer_auth(&token.0),
            Some(Credentials::User(user, password)) => request.basic_auth(user, Some(&password.0)),
            None => request,
        };
        match &self.config.tenant {
            Some(tenant) => request.header("x-scope-orgid", tenant),
            None => request,
        }
    }
}

impl Service for Loki {
    fn limits(&self) -> Limits {
        self.config.batching.limits(usize::MAX)
    }

    fn format(&self, writer: &Writer) -> Box<dyn Format> {
        Box::new(encode::Encode::new(writer, &self.config.labels))
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, SendError>> {
        Box::pin(self.try_once(request))
    }
}
