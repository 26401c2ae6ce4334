//! `steplog run`: wraps a step.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::wrap::{self, FAILED, Options, Plan, say};
use crate::capture::naming;
use crate::capture::process::{Output, Started, Stdin, Step};

/// Run a step and keep, ship and show what it prints
///
/// The exit code is the step's own; 128 + s if signal s ended it, 127 if the command was not found,
/// 126 if it cannot be executed, 125 if steplog failed before the step started.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    /// Give the step a terminal of its own
    #[arg(long, conflicts_with = "merge_streams")]
    pty: bool,
    /// Capture stdout and stderr as one stream, in the exact order of writing
    #[arg(long)]
    merge_streams: bool,
    /// What the step reads
    #[arg(long, value_name = "FROM", value_enum, default_value_t)]
    stdin: From,
    /// How long the step may take to end after TERM before it is killed; a fifth of it is kept for
    /// delivery
    #[arg(long, value_name = "TIME", value_parser = wrap::duration)]
    grace: Option<Duration>,
    /// The step: a command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum From {
    /// What steplog would read
    #[default]
    Inherit,
    /// Nothing
    Null,
}

pub(super) fn run(args: Args) -> ExitCode {
    let step_name = naming::step_name(&args.command);
    let mut command = args.command.into_iter();
    let program = command.next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or(&program).to_string_lossy().into_owned();
    let mut plan = match Plan::make(args.options, &step_name) {
        Ok(plan) => plan,
        Err(errors) => {
            say(wrap::chain(&errors));
            return ExitCode::from(FAILED);
        }
    };
    if let Some(grace) = args.grace {
        plan.stack.capture.grace = grace;
    }
    let mut environment = plan.told();
    if plan.stack.capture.python_unbuffered && std::env::var_os("PYTHONUNBUFFERED").is_none() {
        // A Python that is killed loses what is still in its buffer; on a pipe that is a lot.
        environment.push(("PYTHONUNBUFFERED".to_owned(), "1".into()));
    }
    let step = Step {
        program,
        arguments: command.collect(),
        environment,
        stdin: match args.stdin {
            From::Inherit => Stdin::Inherit,
            From::Null => Stdin::Null,
        },
        output: match (args.pty, args.merge_streams) {
            (true, _) => Output::Terminal,
            (_, true) => Output::Merged,
            _ => Output::Pipes,
        },
    };
    // The step first, then whatever takes time.
    let started = match Started::spawn(&step, &plan.stack.capture) {
        Ok(started) => started,
        Err(error) => {
            say(&error);
            return ExitCode::from(error.code());
        }
    };
    plan.attribute("process.pid", started.pid().to_string());
    plan.attribute("process.executable.name", name);
    let surroundings = plan.surround();
    let outcome = started.run(surroundings, &mut |notice| plan.notice(&notice));
    ExitCode::from(plan.conclude(outcome))
}
