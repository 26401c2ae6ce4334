//! `steplog log-store`: the log stores of the stack file, and their flavors.

use std::process::ExitCode;

use super::{flavor, store};
use crate::stores::Component;

/// Log stores and their flavors: where logs go
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Store(store::Command),
    /// The kinds of log stores, and your own
    Flavor {
        #[command(subcommand)]
        command: Flavor,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Flavor {
    #[command(flatten)]
    Show(flavor::Show),
    #[command(flatten)]
    Own(flavor::Own),
}

pub(super) fn run(args: Args) -> ExitCode {
    let component = Component::LogStore;
    match args.command {
        Command::Store(command) => store::run(component, command),
        Command::Flavor { command: Flavor::Show(command) } => flavor::show(component, command),
        Command::Flavor { command: Flavor::Own(command) } => flavor::own(command),
    }
}
