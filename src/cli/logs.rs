//! `steplog logs`: reads logs back.

use std::process::ExitCode;

/// Show the logs of a run or a step
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
