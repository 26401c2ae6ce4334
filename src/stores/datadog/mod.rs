//! The `datadog` flavor: the logs intake (v2), and the Logs Search API to read back.
//!
//! ```text
//! POST https://http-intake.logs.SITE/api/v2/logs          an array of at most 1000 entries, 5 MB
//! POST https://api.SITE/api/v2/logs/events/search         pages of at most 1000, by cursor
//! ```
//!
//! What Datadog does to a log, and what is done about it:
//!
//! * Its time has milliseconds: the exact one is in the attribute `time_unix_nano`.
//! * An entry whose time is more than 18 hours ago is accepted and thrown away: such entries are sent
//!   with a later time and say so ([`late`]). A stream that has some is read by `seq_thousand`, which is `seq` in
//!   pieces that can be asked for, and not by time.
//! * An entry of more than 1 MB is accepted and cut: such entries are not sent (dead letters).
//! * A message that is a JSON object is taken apart: then the line is in the attribute `raw` too.
//! * Empty texts do not survive: `eol` has words instead.
//! * Nothing is said of the order of entries with the same millisecond: `seq` puts them right.
//! * An entry that is sent twice is there twice: `writer` and `seq` name it, reading drops doubles.
//!
//! Lines are found by attributes, not by tags: tags are changed to lower case and cut, and attributes
//! can be searched without a facet. Numbers cannot without one, so no question asks for a range of them.

pub(crate) mod config;
mod encode;
pub(crate) mod fetch;

mod late;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::Client;

pub use self::config::Config;
use super::records::http::ConnectionError;
use super::records::{Format, Limits, Reply, Request, SendError, Service};
use crate::record::Writer;

/// Datadog takes no more than this of one entry, bytes of JSON.
const ENTRY_BYTES: usize = 1_000_000;

/// Datadog's logs intake.
pub(crate) struct Datadog {
    config: Config,
    client: Client,
}

impl Datadog {
    /// Makes no request.
    pub(crate) fn open(config: Config) -> Result<Arc<Self>, ConnectionError> {
        let client = config.connection.client()?;
        Ok(Arc::new(Self { config, client }))
    }
}

impl Service for Datadog {
    fn limits(&self) -> Limits {
        self.config.batching.limits(ENTRY_BYTES - late::MARK_BYTES)
    }

    fn format(&self, writer: &Writer) -> Box<dyn Format> {
        Box::new(encode::Encode::new(writer, &self.config))
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, SendError>> {
        Box::pin(self.try_once(request))
    }
}
