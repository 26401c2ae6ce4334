//! `steplog redact`: secrets that become known while a step runs.

use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;

use super::wrap::{chain, say};
use crate::capture::additions;
use crate::capture::identity::{WRITER_DIR, writer_dirs};

/// Mask secrets that become known while a step runs
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Mask values from now on; to be called within the step
    ///
    /// Reads them from standard input, one a line, never from the command line, where everybody could
    /// see them. When it returns, they are masked in whatever the step prints from then on.
    Add {},
}

pub(super) fn run(args: Args) -> ExitCode {
    let Args { command: Command::Add {} } = args;
    let Some(told) = std::env::var_os(WRITER_DIR) else {
        say("redact add works within a step: `steplog run -- COMMAND` sets STEPLOG_WRITER_DIR");
        return ExitCode::from(2);
    };
    if io::stdin().is_terminal() {
        say("values to mask, one a line, then Ctrl-D:");
    }
    let mut values = Vec::new();
    if let Err(error) = io::stdin().read_to_end(&mut values) {
        say(format_args!("cannot read standard input: {error}"));
        return ExitCode::FAILURE;
    }
    // A step within a step is captured by both, so both have to know.
    let mut code = ExitCode::SUCCESS;
    for dir in writer_dirs(&told) {
        if let Err(error) = additions::add(&dir, &values) {
            say(format_args!("failed to {}", chain(&error)));
            code = ExitCode::FAILURE;
        }
    }
    code
}
