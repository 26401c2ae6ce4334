//! The `otel` flavor: OTLP logs over HTTP (protobuf or JSON) or gRPC, to any collector or service
//! that takes them.
//!
//! ```text
//! View ─► model ─► protobuf ─► ExportLogsServiceRequest ─► send   POST …/v1/logs
//!                  json                                    grpc   LogsService/Export
//!                                                           └─► answer   partial_success, Status, RetryInfo
//! ```
//!
//! * What is constant goes out once a request, in the Resource; what a record has in every store is an
//!   attribute of each record ([`model`]). `log.record.uid` names a record for ever: OTLP has no other
//!   means against doubles, so after a crash a record may arrive twice.
//! * The requests are written by hand ([`protobuf`]), each constant piece composed once: an SDK's
//!   exporter takes 571 to 1,284 ns a record for what takes tens here, and hides what steplog acts on:
//!   `partial_success`, the status, Retry-After. So `opentelemetry-otlp` is not used; the types of
//!   `opentelemetry-proto` are the judge in the tests.
//! * A status means what the OTLP specification says, but for one thing: it has clients drop what a
//!   server fails at by its own fault (HTTP 500, gRPC UNKNOWN and INTERNAL). Those are tried again here, like
//!   any other outage: the spool keeps the lines.
//! * Files come first, then the standard variables (`OTEL_EXPORTER_OTLP_LOGS_*`, then
//!   `OTEL_EXPORTER_OTLP_*`; [`environment`]), then the specification's defaults.
//!
//! Cannot be read back: OTLP has no question.

mod answer;
mod channel;
pub(crate) mod config;
mod environment;
mod grpc;
mod json;
mod model;
mod protobuf;
mod send;
mod show;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use self::channel::Channel;
pub use self::config::Config;
use self::config::Protocol;
use super::records::http::ConnectionError;
use super::records::{Format, Limits, Reply, Request, SendError, Service};
use crate::record::Writer;

/// A server that takes OTLP.
pub(crate) struct Otel {
    config: Config,
    channel: Channel,
}

impl Otel {
    /// Makes no request.
    pub(crate) fn open(config: Config) -> Result<Arc<dyn Service>, ConnectionError> {
        let channel = Channel::new(&config)?;
        Ok(Arc::new(Self { config, channel }))
    }
}

impl Service for Otel {
    fn limits(&self) -> Limits {
        // A record that is too large for the server is found out by its answer.
        let mut limits = self.config.batching.limits(usize::MAX);
        let batches = (self.config.max_queue_size / limits.records.max(1)).max(1);
        limits.concurrency = limits.concurrency.min(batches);
        limits
    }

    fn format(&self, writer: &Writer) -> Box<dyn Format> {
        let constant = model::Constant::new(writer, &self.config);
        match self.config.protocol {
            Protocol::HttpJson => Box::new(json::Json::new(&constant)),
            Protocol::HttpProtobuf | Protocol::Grpc => Box::new(protobuf::Protobuf::new(&constant)),
        }
    }

    fn send(
        &self,
        request: Request,
    ) -> futures_util::future::BoxFuture<'_, Result<Reply, SendError>> {
        match self.config.protocol {
            Protocol::Grpc => Box::pin(self.call(request)),
            Protocol::HttpProtobuf => Box::pin(self.post(request, answer::Encoding::Protobuf)),
            Protocol::HttpJson => Box::pin(self.post(request, answer::Encoding::Json)),
        }
    }
}
