//! `steplog agent`: the daemon.
//!
//! | code | |
//! |---|---|
//! | 0 | everything is delivered; or an agent has reloaded its stack file |
//! | 1 | something is left in a spool (0 as a service, whose next start delivers it), or it could not start |
//! | 2 | usage, or the stack file is wrong |

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::reading::{self, Failure};
use super::wrap::{self, chain, say};
use crate::agent::{self, Agent, Answer, AskError, LogFormat, Outcome, Request, Start};
use crate::record::{Level, Nanos};
use crate::redact::Redactor;
use crate::stack::{self, Stack};

/// Something is left, or could not be done.
pub(super) const FAILED: u8 = 1;

/// Read many streams and deliver every spool
///
/// Reads what `[[inputs]]` of the stack file name and what `steplog attach` adds, and delivers all spools
/// of its folder, also those of steps that are wrapped with `steplog run --via agent`. TERM and INT: what
/// is there is read, and delivered within `[agent] deadline`. HUP: the stack file is read again.
///
/// Exit codes: 0 everything is delivered; 1 something is left in a spool (0 as a service of systemd, whose next
/// start delivers it), or it could not start; 2 usage, or the stack file is wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The stack file
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// End when all that there was to read has ended and is delivered: beside a step, as a sidecar
    #[arg(long)]
    until_done: bool,
    /// Ask the agent that is running to read the stack file again
    #[arg(long, conflicts_with = "until_done")]
    reload: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    super::ship::give_memory_back();
    let ended = if args.reload {
        ask(args.stack.as_deref(), &Request::Reload).and_then(done)
    } else {
        serve(args)
    };
    reading::end(ended)
}

fn serve(args: &Args) -> Result<u8, Failure> {
    allow_many_files();
    let stack_file = args.stack.clone();
    let (stack, redactor) = load(stack_file.as_deref()).map_err(Failure::usage)?;
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let again = stack_file.clone();
    let name = stack.name.clone();
    let format = stack.agent.log_format;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let start = Start {
        stack,
        redactor,
        environment: environment(),
        host,
        stack_file,
        load: Box::new(move || load(again.as_deref())),
        log: Box::new(move |level, line| write(format, journal, level, line)),
        until_done: args.until_done,
    };
    let failed = |error: &dyn std::error::Error| Failure { code: FAILED, message: chain(error) };
    let agent = Agent::start(start).map_err(|error| failed(&error))?;
    let ready = format!("agent is ready, delivering by the stack {name}");
    write(format, journal, Level::Info, &ready);
    match agent.run().map_err(|error| failed(&error))? {
        Outcome::Delivered | Outcome::Waiting => Ok(0),
        Outcome::Left => Ok(FAILED),
    }
}

/// A line of the agent's own, to standard error, which may be gone.
fn write(format: LogFormat, journal: bool, level: Level, message: &str) {
    let line = format.line(journal, level, message, Nanos::now());
    drop(io::stderr().write_all(line.as_bytes()));
}

fn load(file: Option<&Path>) -> Result<(Stack, Redactor), String> {
    let stack = stack::load(file).map_err(|errors| errors.to_string())?;
    let redactor = wrap::redactor(&stack.redact, &environment()).map_err(|error| chain(&error))?;
    Ok((stack, redactor))
}

fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Each stream needs a few descriptors.
fn allow_many_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // With fewer it works too, for fewer streams.
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok();
    }
}

/// Asks the agent of this stack file.
pub(super) fn ask(file: Option<&Path>, request: &Request) -> Result<Answer, Failure> {
    let stack = stack::load(file).map_err(Failure::usage)?;
    agent::ask(&stack.agent.control, request)
        .map_err(|error: AskError| Failure { code: FAILED, message: chain(&error) })
}

/// What was asked is done, or why not.
pub(super) fn done(answer: Answer) -> Result<u8, Failure> {
    match answer {
        Answer::Done { note } => {
            say(note);
            Ok(0)
        }
        Answer::Refused { why } => Err(Failure { code: FAILED, message: why }),
        Answer::Status { .. } => {
            Err(Failure { code: FAILED, message: "the agent answers something else".to_owned() })
        }
    }
}
