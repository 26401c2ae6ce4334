//! `steplog stack`: the stack file.

use std::process::ExitCode;

/// Make and look at the stack file
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
