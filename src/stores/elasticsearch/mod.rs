//! The `elasticsearch` flavor: documents in an index or a data stream, of Elasticsearch or OpenSearch.
//!
//! ```text
//! template   once a process: how the fields are mapped, if we may
//! encode     record ─► {"create":{"_id":"<writer>-<seq>"}} and the document
//! send       POST /<index>/_bulk; each record has an answer of its own
//! fetch      POST /<index>/_search, sorted by seq, on from the last one (search_after)
//! ```
//!
//! A document's id is its record's name and the operation is `create`, so a record that is sent again is
//! answered by 409 and is there once. A data stream keeps ids unique within one backing index only: what is
//! sent again after a rollover may be there twice, and reading back drops it.
//!
//! The template makes ids keywords, times `date_nanos`, and leaves lifted JSON unindexed, so that two steps with
//! fields of different kinds cannot get into each other's way. Where it may not be set, the server's dynamic
//! mapping works too: queries use `match_phrase`, which finds an id whether it is mapped as text or as keyword.
//! No point in time is opened to read: records never change and `seq` is unique and dense, so a page
//! that begins behind a `seq` is always the same.

pub(crate) mod config;
mod encode;
mod fetch;
mod send;
mod template;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::Value;
use tokio::sync::OnceCell;

pub use self::config::Config;
use super::records::fetch::ask::Asker;
use super::records::http::ConnectionError;
use super::records::{Format, Limits, Reply, Request, SendError, Service};
use crate::record::Writer;

/// Elasticsearch limits a document to `http.max_content_length` (100 MB) and a term to 32 KiB; a
/// message is text, so the first is what counts.
const MAX_RECORD: usize = 90 << 20;

/// An index.
pub(crate) struct Elasticsearch {
    config: Config,
    client: Client,
    /// Asks on behalf of readers.
    asker: Asker,
    /// The template was set, or may not be.
    template: OnceCell<()>,
}

impl Elasticsearch {
    /// Makes no request.
    pub(crate) fn open(config: Config) -> Result<Arc<Self>, ConnectionError> {
        let client = config.connection.client()?;
        let template = if config.template { OnceCell::new() } else { OnceCell::from(()) };
        Ok(Arc::new(Self { config, client, asker: Asker::default(), template }))
    }

    /// A URL below the endpoint.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.config.endpoint.clone();
        // A URL with a host can have segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// With a JSON body.
fn json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.to_string())
}

impl Service for Elasticsearch {
    fn limits(&self) -> Limits {
        self.config.batching.limits(MAX_RECORD)
    }

    fn format(&self, writer: &Writer) -> Box<dyn Format> {
        Box::new(encode::Encode::new(writer))
    }

    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, SendError>> {
        self.bulk(request).boxed()
    }
}
