//! `steplog download`: copies logs to a folder.

use std::process::ExitCode;

/// Copy the logs of a run to a folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
