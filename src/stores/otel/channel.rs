//! The HTTP client, made anew when a request had no answer in time.
//!
//! Apart because of HTTP/2, which has one connection for all requests: one whose other side has gone
//! silent without closing it would be used again and again until the system gives it up, many
//! minutes later. A request that is given up drops its [`Lease`] unanswered; the next one gets a
//! client with connections of its own. Does not know how long an answer may take: `ship` does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Client;

use super::config::{Config, Protocol};
use crate::stores::records::http::ConnectionError;

pub(super) struct Channel {
    config: Config,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    /// Counts clients.
    number: u64,
    /// A request on it was given up.
    silent: bool,
}

/// A client for one request.
pub(super) struct Lease<'a> {
    pub(super) client: Client,
    channel: &'a Channel,
    number: u64,
    answered: bool,
}

impl Channel {
    /// Makes no request.
    pub(super) fn new(config: &Config) -> Result<Self, ConnectionError> {
        let current = Current { client: client(config)?, number: 0, silent: false };
        Ok(Self { config: config.clone(), current: Mutex::new(current) })
    }

    pub(super) fn lease(&self) -> Lease<'_> {
        let mut current = self.current();
        // Where its files have gone meanwhile, the old one is as good as any.
        if current.silent
            && let Ok(client) = client(&self.config)
        {
            *current = Current { client, number: current.number + 1, silent: false };
        }
        let (client, number) = (current.client.clone(), current.number);
        Lease { client, channel: self, number, answered: false }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// The request has come to an end by itself, good or bad.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut current = self.channel.current();
        if !self.answered && current.number == self.number {
            current.silent = true;
        }
    }
}

fn client(config: &Config) -> Result<Client, ConnectionError> {
    config.connection.client_with(|builder| match config.protocol {
        Protocol::Grpc if config.endpoint.scheme() == "http" => {
            // A proxy would have to speak HTTP/2 without TLS.
            builder.http2_prior_knowledge().no_proxy()
        }
        Protocol::Grpc => builder.http2_prior_knowledge(),
        Protocol::HttpProtobuf | Protocol::HttpJson => builder,
    })
}
