//! `steplog redact`: adds secrets to mask at run time.

use std::process::ExitCode;

/// Add values to mask in a running capture
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
