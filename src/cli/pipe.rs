//! `steplog pipe`: captures standard input.

use std::process::ExitCode;

use super::wrap::{self, FAILED, Options, Plan, say};
use crate::capture::process::Input;

/// Keep, ship and show what comes from standard input: `step 2>&1 | steplog pipe`
///
/// Ends at the end of input. On TERM or INT it reads what is there and finishes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: Args) -> ExitCode {
    let mut plan = match Plan::make(args.options, "pipe") {
        Ok(plan) => plan,
        Err(errors) => {
            say(wrap::chain(&errors));
            return ExitCode::from(FAILED);
        }
    };
    let input = match Input::open(&plan.stack.capture) {
        Ok(input) => input,
        Err(error) => {
            say(format_args!("cannot read standard input: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let surroundings = plan.surround();
    let outcome = input.run(surroundings, &mut |notice| plan.notice(&notice));
    ExitCode::from(plan.conclude(outcome))
}
