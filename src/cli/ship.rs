//! `steplog ship`: delivers a spool.

use std::process::ExitCode;

/// Deliver what a spool holds to the log store
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
