//! `steplog man FOLDER`: writes the manual pages, one a command. For packages; hidden from the help.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::wrap::say;

/// Write the manual pages, one a command
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// Where; made if it is not there
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut command = super::Cli::command().disable_help_subcommand(true);
    command.build();
    let written =
        std::fs::create_dir_all(&args.folder).and_then(|()| write(&command, &args.folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("failed to write {}: {error}", args.folder.display()));
            ExitCode::FAILURE
        }
    }
}

/// The page of a command, and those of the commands below it.
fn write(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write(below, folder)?;
    }
    // Its own idea of the source is the last word of the command's name. An empty date would not be
    // written at all, and the source be taken for it.
    let source = concat!("steplog ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).date(" ").source(source).generate_to(folder).map(drop)
}
