//! What `run` and `pipe` share: whose output it is, the spool, ship, and what is said to the user.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::in_memory;
use crate::agent;
use crate::capture::additions::Additions;
use crate::capture::identity::{self, Identity, Named};
use crate::capture::memory::FanOut;
use crate::capture::process::{Courier, Delivery, Holder, Notice, Outcome, Surroundings};
use crate::capture::shipper::Shipper;
use crate::capture::sink::FrameSink;
pub(super) use crate::delivery::chain;
use crate::pages;
use crate::record::{Exit, Writer};
use crate::redact::{self, Redactor};
use crate::ship::Mark;
use crate::spool::{self, SpoolWriter};
use crate::stack::{self, Stack};

/// steplog's own failure before the step has started, or with `--on-undelivered=fail` after it.
pub(super) const FAILED: u8 = 125;

/// Whose output it is, and where it goes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The pipeline run; otherwise from the environment, otherwise a new one
    #[arg(long = "run", visible_alias = "pipeline-run-id", value_name = "ID")]
    run: Option<String>,
    /// The step of that run; otherwise from the environment, otherwise the name of the command, or
    /// of the script that it runs
    #[arg(long = "step", visible_alias = "step-id", value_name = "ID")]
    step: Option<String>,
    /// The try at that step, from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Where the lines come from
    #[arg(long, value_name = "NAME", help = "Where the lines come from [default: step]")]
    source: Option<String>,
    /// Something to keep with the logs; may be given more than once
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = pair)]
    attributes: Vec<(String, String)>,
    /// The stack file
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// Keep the logs but do not show them
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait for delivery at the end, for example 30s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// What to do when not everything was delivered in time, or a log store refused records
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    on_undelivered: OnUndelivered,
    /// Who delivers the logs
    #[arg(long, value_name = "WHO", value_enum, default_value_t)]
    via: Via,
    /// Write how it ended to this file, as JSON
    #[arg(long, value_name = "FILE")]
    exit_record: Option<PathBuf>,
}

/// Who delivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Via {
    /// The agent if one is running on the same spools, else steplog itself
    #[default]
    Auto,
    /// The agent, now or when it runs: what this leaves in the spool is its to deliver
    Agent,
    /// Steplog itself
    #[value(name = "self")]
    Own,
}

/// What to do when not everything was delivered in time, in which case it is in the spool whatever is done, or
/// a log store has refused records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OnUndelivered {
    /// Say so
    #[default]
    Warn,
    /// Say so, and exit with 125 if the step has succeeded
    Fail,
    /// Nothing
    Ignore,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, for example team=vision".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected a time, for example 30s or 5m"))
}

/// Everything that is known before the step starts.
pub(super) struct Plan {
    pub(super) stack: Stack,
    options: Options,
    identity: Identity,
    environment: BTreeMap<String, String>,
    redactor: Redactor,
    /// There is neither a spool nor a log store; that has been said.
    kept_nowhere: bool,
}

/// Why the step is not started: better not at all than with its secrets in the logs, or with its
/// logs nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    /// The stack file.
    #[error(transparent)]
    Stack(#[from] stack::Errors),
    /// A file of the user's, with values to be masked.
    #[error("failed to read the secrets in {}", file.display())]
    Secrets {
        /// As in the stack file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pattern of the user's.
    #[error("failed to use [redact] patterns")]
    Pattern(#[from] redact::PatternError),
}

/// What must not be seen.
pub(super) fn redactor(
    settings: &redact::Settings,
    environment: &BTreeMap<String, String>,
) -> Result<Redactor, PlanError> {
    let mut values = redact::secrets_from_env(&settings.env, environment.clone().into_iter());
    for file in &settings.files {
        let text = std::fs::read(file)
            .map_err(|source| PlanError::Secrets { file: file.clone(), source })?;
        values.extend(redact::secrets_from_text(&text));
    }
    Ok(Redactor::new(values, &settings.patterns)?)
}

impl Plan {
    /// Loads the stack and works out who writes. `what` stands in for a step without a name.
    pub(super) fn make(mut options: Options, what: &str) -> Result<Self, PlanError> {
        let world = stack::Env::process();
        pages::give_back();
        let stack = stack::load_in(&world, options.stack.as_deref())?;
        pages::give_back();
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = Named {
            pipeline_run_id: options.run.take(),
            step_id: options.step.take(),
            attempt: options.attempt,
            source: options.source.take(),
            attributes: std::mem::take(&mut options.attributes),
        };
        let identity = identity::identify(named, &stack.metadata, &environment, what);
        pages::give_back();
        let redactor = redactor(&stack.redact, &environment)?;
        pages::give_back();
        Ok(Self { stack, options, identity, environment, redactor, kept_nowhere: false })
    }

    /// Variables for the step's environment.
    pub(super) fn told(&self) -> Vec<(String, OsString)> {
        let writer = &self.identity.writer;
        let spool = self.stack.spool.dir.join(writer.id.to_string());
        identity::tell(writer, Some(&spool), &self.environment)
    }

    /// Something to keep with the logs, unless the user has said otherwise.
    pub(super) fn attribute(&mut self, name: &str, value: String) {
        self.identity.writer.attributes.entry(name.to_owned()).or_insert(value);
    }

    /// Makes the spool and starts ship: everything that takes time.
    pub(super) fn surround(&mut self) -> Surroundings {
        pages::give_back();
        if let Ok(host) = nix::unistd::gethostname()
            && let Ok(host) = host.into_string()
        {
            self.attribute("host.name", host);
        }
        let meta = spool::Meta {
            version: spool::VERSION,
            writer: self.identity.writer.clone(),
            lines: self.stack.lines.clone(),
            stack: Some(self.stack.name.clone()),
            stack_file: self.stack.file.clone(),
            stranger: None,
        };
        let deadline = self.options.deadline.unwrap_or(self.stack.ship.deadline);
        let quiet = self.options.quiet;
        let redactor = self.redactor.clone();
        match SpoolWriter::create(&self.stack.spool, &meta) {
            Ok(writer) => {
                pages::give_back();
                let dir = writer.dir().to_owned();
                let stack = self.options.stack.as_deref();
                let courier = if self.is_for_agent() {
                    Courier::Agent
                } else {
                    let settings = &self.stack.ship;
                    Courier::Process(Shipper::start(&dir, stack, settings, Instant::now()))
                };
                Surroundings {
                    sink: Box::new(writer),
                    redactor,
                    quiet,
                    additions: Additions::listen(&dir).ok(),
                    courier,
                    deadline,
                }
            }
            Err(error) => {
                say(format_args!(
                    "{}; logs are held in memory only and are lost if steplog is killed. \
                     Name a directory that can be written as [spool] dir in the stack file",
                    chain(&error)
                ));
                let (sink, courier) = self.in_memory(meta);
                Surroundings { sink, redactor, quiet, additions: None, courier, deadline }
            }
        }
    }

    /// Whether an agent delivers what is spooled here.
    fn is_for_agent(&self) -> bool {
        match self.options.via {
            Via::Agent => true,
            Via::Own => false,
            Via::Auto => agent::is_there(&self.stack.agent.control),
        }
    }

    /// Where no spool can be made.
    fn in_memory(&mut self, meta: spool::Meta) -> (Box<dyn FrameSink>, Courier) {
        match in_memory::deliver(&self.stack, meta) {
            Ok((sink, courier)) => (Box::new(sink), Courier::Thread(courier)),
            Err(error) => {
                say(format_args!("{error}; the logs of this step are not kept"));
                self.kept_nowhere = true;
                (Box::new(FanOut(Vec::new())), Courier::Nobody)
            }
        }
    }

    /// Tells the user what they may have to know.
    pub(super) fn notice(&self, notice: &Notice<'_>) {
        match notice {
            Notice::Ended(exit) => self.record(exit),
            Notice::SpoolFault(fault) => say(fault),
            Notice::TeeFailed(error) => {
                say(format_args!(
                    "cannot write to own output any more ({error}); logs are still kept"
                ));
            }
            Notice::Held(holders) => say(format_args!(
                "the step has ended, but its output is still held open by {}; what they write from \
                 now on is not kept",
                list(holders)
            )),
            Notice::StillWriting(holders) => say(format_args!(
                "the step has ended, but its output is still being written to by {}; what they \
                 write from now on is not kept ([capture] drain_max)",
                list(holders)
            )),
            Notice::ShipDied(death) if death.words.is_empty() => {
                say("steplog ship stopped before its time; it will be started again");
            }
            Notice::ShipDied(death) => by_ship(&death.words).for_each(say),
            Notice::Delivering if io::stderr().is_terminal() => say(format_args!(
                "waiting for the logs to reach {}; Ctrl-C to leave the rest in the spool",
                self.stores()
            )),
            Notice::Delivering => {}
            Notice::ExitNotKept(error) => say(error),
        }
    }

    fn stores(&self) -> String {
        let names: Vec<&str> =
            self.stack.log_stores.iter().map(|store| store.name.as_str()).collect();
        names.join(", ")
    }

    /// Says what is left to say; returns the code to exit with.
    pub(super) fn conclude(&self, mut outcome: Outcome) -> u8 {
        pages::give_back();
        let Writer { id, origin, .. } = &self.identity.writer;
        let spool = self.stack.spool.dir.join(id.to_string());
        if outcome.exit.bytes_delivered.is_none() {
            outcome.exit.bytes_delivered = Some(delivered_bytes(&spool));
        }
        self.record(&outcome.exit);
        let delivered = outcome.delivery == Delivery::Delivered;
        let handed_over = outcome.delivery == Delivery::Agent;
        // Who has delivered has words only about records that were refused.
        let complete = delivered && outcome.words.is_empty();
        let said = !delivered && self.kept_nowhere;
        if self.options.on_undelivered == OnUndelivered::Ignore || said || handed_over {
            // Not a word.
        } else if delivered {
            by_ship(&outcome.words).for_each(say);
        } else {
            let why = match outcome.delivery {
                Delivery::Interrupted => "the wait for delivery was ended",
                Delivery::Failed => "delivery is not possible",
                Delivery::Deadline | Delivery::Delivered | Delivery::Agent => {
                    "delivery took too long"
                }
            };
            if outcome.words.is_empty() {
                self.behind(&spool).for_each(say);
            } else {
                by_ship(&outcome.words).for_each(say);
            }
            if spool.exists() {
                say(format_args!(
                    "{why}; the logs are safe in {0}. To deliver them: steplog ship {0}",
                    spool.display()
                ));
            } else {
                say(format_args!("{why}; the logs that were not delivered are lost"));
            }
        }
        if self.identity.made_up && !self.kept_nowhere {
            let stack = match &self.options.stack {
                Some(file) => format!(" --stack {}", file.display()),
                None => String::new(),
            };
            let (run, step) = (&origin.pipeline_run_id, &origin.step_id);
            say(format_args!(
                "logs kept as run {run}; to read them: steplog logs{stack} {run}/{step}"
            ));
        }
        // The libraries' own ends are behind this.
        pages::give_back();
        match self.options.on_undelivered {
            OnUndelivered::Fail if !complete && !handed_over && outcome.code == 0 => FAILED,
            _ => outcome.code,
        }
    }

    /// Which log stores do not have everything, and why: by the checkpoint, where ship had no time to say
    /// it.
    fn behind(&self, spool: &Path) -> impl Iterator<Item = String> {
        let mut checkpoint = spool::Checkpoint::<Mark>::load(spool).unwrap_or_default();
        let stores = if spool.exists() { self.stack.log_stores.as_slice() } else { &[] };
        stores.iter().filter_map(move |store| {
            let kept = checkpoint.stores.remove(&store.name);
            if kept.as_ref().is_some_and(|kept| kept.finished) {
                return None;
            }
            let why = kept.and_then(|kept| kept.last_error);
            let why = why.unwrap_or_else(|| "not everything is delivered yet".to_owned());
            Some(format!("log store {}: {why}", store.name))
        })
    }

    fn record(&self, exit: &Exit) {
        if let Some(file) = &self.options.exit_record
            && let Err(error) = write_record(file, exit)
        {
            say(format_args!("failed to write the exit record to {}: {error}", file.display()));
        }
    }
}

/// What ship has said, line by line, without its name: it has the same as this program.
fn by_ship(words: &str) -> impl Iterator<Item = &str> {
    words.lines().map(|line| line.strip_prefix("steplog: ").unwrap_or(line))
}

/// Bytes that every log store has acknowledged.
fn delivered_bytes(spool: &Path) -> u64 {
    let checkpoint = spool::Checkpoint::<Mark>::load(spool).unwrap_or_default();
    let stores = checkpoint.stores.values();
    stores.map(|store| store.acked.lines.resume_offset()).min().unwrap_or(0)
}

/// Whoever waits for the file sees all of it or none.
fn write_record(file: &Path, exit: &Exit) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = file.with_file_name(name);
    let mut json = serde_json::to_vec(exit)?;
    json.push(b'\n');
    let written = std::fs::File::create(&temporary).and_then(|mut new| {
        new.write_all(&json)?;
        new.sync_data()?;
        std::fs::rename(&temporary, file)
    });
    if written.is_err() {
        drop(std::fs::remove_file(&temporary));
    }
    written
}

fn list(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "a process of another user".to_owned();
    }
    let names: Vec<String> =
        holders.iter().map(|holder| format!("{} ({})", holder.pid, holder.name)).collect();
    names.join(", ")
}

/// To standard error, which may be gone: that is no reason to fail.
pub(super) fn say(what: impl Display) {
    drop(writeln!(io::stderr(), "steplog: {what}"));
}
