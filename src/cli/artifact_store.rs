//! `steplog artifact-store`: the artifact stores of the stack file, and their flavors.

use std::process::ExitCode;

use super::{flavor, store};
use crate::stores::Component;

/// Artifact stores and their flavors: where objects go
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Store(store::Command),
    /// The kinds of artifact stores
    Flavor {
        #[command(subcommand)]
        command: flavor::Show,
    },
}

pub(super) fn run(args: Args) -> ExitCode {
    let component = Component::ArtifactStore;
    match args.command {
        Command::Store(command) => store::run(component, command),
        Command::Flavor { command } => flavor::show(component, command),
    }
}
