//! `steplog check`: validates the stack file.

use std::process::ExitCode;

/// Validate the stack file and show what it resolves to
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
