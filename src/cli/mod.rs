//! The command line: argv to a command; the only place that prints or exits.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "only the command line speaks to the person who called"
)]

mod agent;
mod artifact_store;
mod attach;
mod attribute;
mod check;
mod complete;
mod download;
mod edit;
mod flavor;
mod gc;
mod in_memory;
mod install;
mod log_store;
mod logs;
mod ls;
mod man;
mod pipe;
mod reading;
mod redact;
mod run;
mod serve;
mod ship;
mod stack;
mod status;
mod store;
mod try_store;
mod verify;
mod wrap;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::pages;

/// Captures what pipeline steps print, keeps it safe, ships it to a log store and reads it back.
#[derive(Debug, Parser)]
#[command(name = "steplog", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Pipe(pipe::Args),
    Logs(logs::Args),
    Ls(ls::Args),
    Serve(serve::Args),
    Download(download::Args),
    Verify(verify::Args),
    Ship(ship::Args),
    Agent(agent::Args),
    Attach(attach::Args),
    Detach(attach::Detach),
    Status(status::Args),
    Gc(gc::Args),
    Redact(redact::Args),
    LogStore(log_store::Args),
    ArtifactStore(artifact_store::Args),
    Stack(stack::Args),
    Check(check::Args),
    Completions(complete::Args),
    Man(man::Args),
    Install(install::Args),
}

/// [`Cli::try_parse`], in its two halves.
fn parse() -> Result<Cli, clap::Error> {
    let arguments = attribute::adapt(Cli::command, std::env::args_os().collect());
    let command = Cli::command();
    pages::give_back();
    let mut matches = command.try_get_matches_from(arguments)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut Cli::command()))
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    if let Some(answered) = complete::answer() {
        return answered;
    }
    let is = |name: &str| std::env::args_os().nth(1).is_some_and(|it| it == name);
    if is("run") || is("pipe") {
        pages::stay_small();
    }
    let parsed = parse();
    pages::give_back();
    let cli = match parsed {
        Ok(cli) => cli,
        // To whoever called `run`, a code below 125 is the step's own.
        Err(error) if error.use_stderr() && is("run") => {
            error.print().ok();
            return ExitCode::from(wrap::FAILED);
        }
        Err(error) => error.exit(),
    };
    match cli.command {
        Command::Run(args) => run::run(args),
        Command::Pipe(args) => pipe::run(args),
        Command::Logs(args) => logs::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Download(args) => download::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Ship(args) => ship::run(args),
        Command::Agent(args) => agent::run(&args),
        Command::Attach(args) => attach::run(args),
        Command::Detach(args) => attach::detach(args),
        Command::Status(args) => status::run(&args),
        Command::Gc(args) => gc::run(&args),
        Command::Redact(args) => redact::run(args),
        Command::LogStore(args) => log_store::run(args),
        Command::ArtifactStore(args) => artifact_store::run(args),
        Command::Stack(args) => stack::run(args),
        Command::Check(args) => check::run(args),
        Command::Completions(args) => complete::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Install(args) => install::run(&args),
    }
}
