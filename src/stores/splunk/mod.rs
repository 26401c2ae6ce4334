//! The `splunk` flavor: the HTTP Event Collector (HEC), and the search export to read back.
//!
//! ```text
//! POST ENDPOINT/services/collector/event        events, one JSON object after the other
//! POST ENDPOINT/services/collector/ack          which requests are indexed, where the token wants that
//! POST SEARCH/services/search/v2/jobs/export    rows of a search, one JSON object a line
//! ```
//!
//! * The event itself (`_raw`, what Splunk counts and shows) is the record of the artifact store without what is
//!   the same in all of them: that is in indexed fields, which are not counted. So reading back has the exact
//!   text, whatever Splunk extracts from it.
//! * Questions use indexed fields only: they are there whatever the search head is configured to
//!   extract. Their values are compared without regard to case and with wildcards, so answers are looked at again.
//! * A request is taken when it is acknowledged, if the token has indexer acknowledgement; that is known
//!   from the answer to the first request ([`acks`]).
//! * Of a request with a bad event Splunk names that event and leaves open what becomes of the others: they are sent
//!   again. An event that is sent twice is there twice: reading drops doubles.

mod acks;
pub(crate) mod config;
mod encode;
pub(crate) mod fetch;
mod send;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::Client;
use uuid::Uuid;

use self::acks::Acks;
pub use self::config::Config;
use super::records::http::ConnectionError;
use super::records::{Format, Limits, Reply, Request, SendError, Service};
use crate::record::Writer;

/// An HTTP Event Collector.
pub(crate) struct Splunk {
    config: Config,
    client: Client,
    /// Acknowledgements are numbered within a channel; nobody else uses this one.
    channel: String,
    acks: Acks,
}

impl Splunk {
    /// Makes no request.
    pub(crate) fn open(config: Config) -> Result<Arc<Self>, ConnectionError> {
        let client = config.connection.client()?;
        let channel = Uuid::now_v7().to_string();
        Ok(Arc::new(Self { config, client, channel, acks: Acks::default() }))
    }
}

impl Service for Splunk {
    fn limits(&self) -> Limits {
        self.config.batching.limits(usize::MAX)
    }

    fn format(&self, writer: &Writer) -> Box<dyn Format> {
        Box::new(encode::Encode::new(writer, &self.config))
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, SendError>> {
        Box::pin(self.try_once(request))
    }
}
