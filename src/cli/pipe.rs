//! `steplog pipe`: captures standard input.

use std::process::ExitCode;

/// Capture standard input: step 2>&1 | steplog pipe
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
