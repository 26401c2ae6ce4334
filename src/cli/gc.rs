//! `steplog gc`: deletes old runs and delivered spools.

use std::process::ExitCode;

/// Delete old runs from the artifact store
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
