//! `[server]` of the stack file, resolved. Apart from what is done with it, so that the stack file knows the
//! shape and nothing else.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::http::HeaderName;

use crate::listen::{Address, Endpoint};

/// The `[server]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where, and who may come in.
    pub endpoint: Endpoint,
    /// In which header a proxy on a Unix socket says who asks.
    pub identity_header: Option<String>,
    /// Users of the system that are believed that.
    pub trusted_users: Vec<String>,
    /// Names by which browsers reach it.
    pub hosts: Vec<String>,
    /// What it takes at the most.
    pub limits: Limits,
}

/// What a server takes at the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients that are connected.
    pub connections: usize,
    /// Requests that are answered at a time.
    pub requests: usize,
    /// Whole logs that are on their way to a client.
    pub downloads: usize,
    /// Clients that follow.
    pub streams: usize,
    /// Different selections that are followed.
    pub followed: usize,
    /// Bytes that a search looks at.
    pub scan_bytes: u64,
    /// Bytes of an answer that is built whole.
    pub answer_bytes: usize,
    /// Characters of a message in one.
    pub message_chars: usize,
    /// How long an answer may take.
    pub deadline: Duration,
    /// How long a client may take nothing of it.
    pub write_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::local(Address::Tcp((Ipv4Addr::LOCALHOST, 7300).into())),
            identity_header: None,
            trusted_users: Vec::new(),
            hosts: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 16,
            downloads: 6,
            streams: 2000,
            followed: 64,
            scan_bytes: 64 << 30,
            answer_bytes: 2 << 20,
            message_chars: 64 << 10,
            deadline: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
        }
    }
}

/// Whether a header can be called so.
pub(crate) fn is_header(name: &str) -> bool {
    HeaderName::try_from(name).is_ok()
}
