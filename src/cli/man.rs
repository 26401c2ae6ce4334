//! `steplog man FOLDER`: writes the manual pages, one a command. For packages; hidden from the help.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

use super::wrap::say;

/// Write the manual pages, one a command
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// Where; made if it is not there
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let command = super::Cli::command();
    let written = std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(command, &args.folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("failed to write {}: {error}", args.folder.display()));
            ExitCode::FAILURE
        }
    }
}
