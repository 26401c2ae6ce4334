//! The integration tests: one binary, the real program, real servers.
//!
//! `tests/run` installs what they need. A test whose server or tool is missing fails and names
//! that command; nothing is skipped.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a failing helper is a failing test, and the message is for whoever reads it"
)]

mod process;
mod servers;
mod support;

mod agent;
mod browser;
mod completions;
mod configuration;
mod documents;
mod faults;
mod main_job;
mod outputs;
mod packaging;
mod reading;
mod registry;
mod schema;
mod server;
mod stores;
