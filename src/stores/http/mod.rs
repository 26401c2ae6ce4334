//! The `http` flavor: records as NDJSON or as a JSON array, to any URL.
//!
//! The record is that of the artifact store with the writer's id in addition, so that `writer` and
//! `seq` name it: a server that keeps one of each has every record exactly once. A status of 2xx
//! takes the request as a whole; `Idempotency-Key` is the same for every try at it. Cannot be read back.

pub(crate) mod config;
mod encode;
mod send;

use std::sync::Arc;

use reqwest::{Client, Url};

pub use self::config::Config;
use super::records::http::ConnectionError;
use super::records::{Format, Limits, Reply, Request, SendError, Service};
use crate::record::Writer;

/// A URL that takes records.
pub(crate) struct Http {
    config: Config,
    endpoint: Url,
    client: Client,
}

impl Http {
    /// Makes no request.
    pub(crate) fn open(config: Config) -> Result<Arc<dyn Service>, ConnectionError> {
        let client = config.connection.client()?;
        let endpoint = config.endpoint.clone();
        Ok(Arc::new(Self { config, endpoint, client }))
    }
}

impl Service for Http {
    fn limits(&self) -> Limits {
        self.config.batching.limits(usize::MAX)
    }

    fn format(&self, writer: &Writer) -> Box<dyn Format> {
        Box::new(encode::Encode::new(writer, self.config.format))
    }

    fn send(
        &self,
        request: Request,
    ) -> futures_util::future::BoxFuture<'_, Result<Reply, SendError>> {
        Box::pin(self.try_once(request))
    }
}
