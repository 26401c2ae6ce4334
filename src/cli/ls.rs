//! `steplog ls`: lists runs and steps.

use std::process::ExitCode;

/// List runs, or the steps of a run
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
