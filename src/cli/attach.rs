//! `steplog attach` and `steplog detach`: inputs of an agent that is running.
//!
//! | code | |
//! |---|---|
//! | 0 | done |
//! | 1 | there is no agent, or it refuses |
//! | 2 | usage, or the stack file is wrong |

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::agent::{ask, done};
use super::reading::{self, Failure};
use super::wrap;
use crate::agent::{Input, Kind, Metadata, Process, Request, max_connections};
use crate::capture::file::{Template, cri};
use crate::stack;

/// Have a running agent read something more
///
/// It is read until `steplog detach`, also after a restart of the agent.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A name for it, unique among the agent's inputs
    name: String,
    #[command(flatten)]
    what: What,
    /// The pipeline run
    #[arg(long = "run", visible_alias = "pipeline-run-id", value_name = "ID")]
    run: Option<String>,
    /// The step of that run
    #[arg(long = "step", visible_alias = "step-id", value_name = "ID")]
    step: Option<String>,
    /// The try at that step, from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Where the lines come from
    #[arg(long, value_name = "NAME", help = "Where the lines come from [default: step]")]
    source: Option<String>,
    /// Something to keep with the logs; may be given more than once
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = wrap::pair)]
    attributes: Vec<(String, String)>,
    /// Of --file and --cri: files or folders to leave out, with wildcards; may be given more than once
    #[arg(long, value_name = "PATH")]
    exclude: Vec<PathBuf>,
    /// The process that writes: its variables say what is not said here, and its end is the input's. Without
    /// --fifo or --file: what its standard output goes to
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// A file with variables beside each file; captures of the path may stand in it
    #[arg(long, value_name = "PATH")]
    env_file: Option<String>,
    /// A stream ends when nothing came for so long, for example 10m
    #[arg(long, value_name = "TIME", value_parser = wrap::duration)]
    ends_after_idle: Option<Duration>,
    /// Who may write to a FIFO or socket that is made, in octal
    #[arg(long, value_name = "MODE", default_value = "0622", value_parser = mode)]
    mode: u32,
    /// The stack file of the agent
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct What {
    /// A named pipe; made if it is missing
    #[arg(long, value_name = "PATH")]
    fifo: Option<PathBuf>,
    /// Files: a path, also with wildcards and captures
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// Container logs of this Kubernetes node
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = cri::PATH)]
    cri: Option<String>,
    /// A folder in which a FIFO or file appears for each step
    #[arg(long, value_name = "DIR")]
    steps: Option<PathBuf>,
    /// A Unix stream socket, which is made
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Have a running agent read something no longer
#[derive(Debug, clap::Args)]
pub(super) struct Detach {
    /// The input's name: see `steplog status`
    name: String,
    /// The stack file of the agent
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected octal digits, for example 0622".to_owned()),
    }
}

pub(super) fn run(args: Args) -> ExitCode {
    reading::end(attach(args))
}

fn attach(args: Args) -> Result<u8, Failure> {
    if !stack::is_name(&args.name) {
        let what = "a name is 1 to 64 letters, digits, \"_\", \"-\" or \".\"";
        return Err(Failure::usage(format!("{:?} is not a name: {what}", args.name)));
    }
    let process = args.pid.map(process).transpose()?;
    let What { mut fifo, mut file, cri, steps, socket } = args.what;
    let other = cri.is_some() || steps.is_some() || socket.is_some();
    match args.pid {
        Some(pid) if !other && fifo.is_none() && file.is_none() => match output(pid)? {
            (Kind::Fifo, path) => fifo = Some(path),
            (_, path) => file = path.to_str().map(str::to_owned),
        },
        None if !other && fifo.is_none() && file.is_none() => {
            let what =
                "one of --fifo, --file, --cri, --steps, --socket and --pid says what to read";
            return Err(Failure::usage(what));
        }
        _ => {}
    }
    if process.is_some() && (other || file.as_deref().is_some_and(is_template)) {
        return Err(Failure::usage("--pid is for --fifo, and for --file with a single path"));
    }
    let plain = [(Kind::Fifo, fifo), (Kind::Steps, steps), (Kind::Socket, socket)];
    let plain = plain.into_iter().find_map(|(kind, path)| Some((kind, path?)));
    let (kind, path) = match (plain, file, cri) {
        (Some((kind, path)), _, _) => (kind, absolute(&path)?),
        (None, Some(path), _) => (Kind::File, absolute(&PathBuf::from(path))?),
        (None, None, path) => (Kind::Cri, path.unwrap_or_default()),
    };
    if matches!(kind, Kind::File | Kind::Cri) {
        Template::new(&path).map_err(Failure::usage)?;
    } else if !args.exclude.is_empty() {
        return Err(Failure::usage("--exclude is for --file and --cri"));
    }
    let exclude = args.exclude.iter().map(|path| absolute(path)).collect::<Result<Vec<_>, _>>()?;
    for path in &exclude {
        Template::new(path).map_err(Failure::usage)?;
    }
    let input = Input {
        otlp: None,
        max_connections: max_connections(),
        name: args.name,
        kind,
        path,
        exclude,
        process,
        env_file: args.env_file,
        ends_after_idle: args.ends_after_idle,
        mode: args.mode,
        metadata: Metadata {
            pipeline_run_id: args.run,
            step_id: args.step,
            attempt: args.attempt,
            source: args.source,
            attributes: args.attributes.into_iter().collect(),
        },
    };
    done(ask(args.stack.as_deref(), &Request::Attach { input: Box::new(input) })?)
}

fn process(pid: i32) -> Result<Process, Failure> {
    Process::find(pid)
        .map_err(|error| Failure::usage(format!("there is no process {pid}: {error}")))
}

/// What a process's standard output goes to, where others can read it too.
fn output(pid: i32) -> Result<(Kind, PathBuf), Failure> {
    let wrong = |why: String| {
        Failure::usage(format!(
            "cannot read the standard output of process {pid}: {why}; have it write to a FIFO or file, or start \
             it with `steplog run`"
        ))
    };
    let link = format!("/proc/{pid}/fd/1");
    let read = fs::read_link(&link).and_then(|path| Ok((path, fs::metadata(&link)?.file_type())));
    let (path, kind) = read.map_err(|error| wrong(error.to_string()))?;
    // Pipes without a name, sockets and deleted files have no path.
    let kind = Some(Kind::Fifo).filter(|_| kind.is_fifo()).or(kind.is_file().then_some(Kind::File));
    let found = kind.filter(|_| path.is_absolute() && path.exists());
    found.map(|kind| (kind, path.clone())).ok_or_else(|| wrong(format!("it is {}", path.display())))
}

/// Whether a path names many.
fn is_template(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// The agent has another folder.
fn absolute(path: &std::path::Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).map_err(Failure::usage)?;
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::usage(format!("{} is not UTF-8", path.display())))
}

pub(super) fn detach(args: Detach) -> ExitCode {
    let request = Request::Detach { name: args.name };
    reading::end(ask(args.stack.as_deref(), &request).and_then(done))
}
