//! `steplog check`: validates the stack file, shows what it comes to, and tries its stores.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::stack::{self, Env, Stack, View};
use crate::stores;
use crate::stores::artifact::probe::probe;
use crate::stores::artifact::{Config, Location};

/// The file is wrong.
const INVALID: u8 = 2;
/// The file is right, but a store did not do what was asked of it.
const FAILED: u8 = 1;
/// What one store is given in all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Validate the stack file and show what it comes to
///
/// Prints the active stack with every default filled in and without its secrets; or everything that
/// is wrong, at once. Exit code 0: all is well. 2: the file is wrong. 1: a store failed (--connect).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The stack file [default: the one that `steplog run` would use]
    file: Option<PathBuf>,
    /// The same, as the other commands name it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    stack: Option<PathBuf>,
    /// Also write, read and delete an object in each store
    #[arg(long)]
    connect: bool,
}

pub(super) fn run(args: Args) -> ExitCode {
    let file = args.file.or(args.stack);
    let (stack, view) = match stack::inspect(&Env::process(), file.as_deref()) {
        Ok(inspected) => inspected,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(INVALID);
        }
    };
    warn(&view);
    let targets = targets(&stack);
    let mut valid = secrets_are_readable(&stack, &view);
    for target in &targets {
        valid &= target.is_valid(&view);
    }
    if !valid {
        return ExitCode::from(INVALID);
    }
    super::stack::print(&format!("{}\n{}", heading(&view), view.to_toml()));
    let mut reached = true;
    if args.connect {
        for target in &targets {
            reached &= target.connect(&view);
        }
    }
    if reached { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn heading(view: &View) -> String {
    let from = match &view.file {
        Some(file) => format!("from {}", file.display()),
        None => "built-in: there is no stack file".to_owned(),
    };
    format!("# The active stack, {from}")
}

/// Secrets in the file work, but stay behind in backups and repositories.
fn warn(view: &View) {
    let Some(file) = &view.file else { return };
    let mut literal = false;
    for key in view.literal_secrets() {
        literal = true;
        let file = file.display();
        eprintln!("{file}: warning: {key}: the secret itself stands here; ${{env:NAME}} would not");
    }
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if literal && mode & 0o077 != 0 {
        let file = file.display();
        eprintln!("{file}: warning: others may read it\n    help: chmod 600 {file}");
    }
}

/// `run` starts no step without the secrets that it is to mask.
fn secrets_are_readable(stack: &Stack, view: &View) -> bool {
    let mut valid = true;
    for secrets in &stack.redact.files {
        if let Err(error) = std::fs::read(secrets) {
            let file = view.file.as_ref().map(|file| format!("{}: ", file.display()));
            let (file, secrets) = (file.unwrap_or_default(), secrets.display());
            eprintln!("{file}redact.files: cannot read {secrets}: {error}");
            valid = false;
        }
    }
    valid
}

/// A store that the stack uses.
struct Target<'a> {
    key: String,
    config: &'a Config,
}

/// Each place once, however many components lead to it.
fn targets(stack: &Stack) -> Vec<Target<'_>> {
    let own = &stack.artifact_store;
    let key = format!("artifact_stores.{}", own.name);
    let mut targets = vec![Target { key, config: &own.config }];
    for store in &stack.log_stores {
        let stores::Config::Artifact(config) = &store.config else { continue };
        if targets.iter().all(|target| target.config.location != config.location) {
            targets.push(Target { key: format!("log_stores.{}", store.name), config });
        }
    }
    targets
}

impl Target<'_> {
    /// Only the clients know whether the values of their options are right. A local store is left
    /// alone: looking at it must not make its folder.
    fn is_valid(&self, view: &View) -> bool {
        match &self.config.location {
            Location::Local { .. } => true,
            Location::Remote { .. } => match self.config.open() {
                Ok(_) => true,
                Err(error) => {
                    self.complain(view, &error);
                    false
                }
            },
        }
    }

    /// Says how it went.
    fn connect(&self, view: &View) -> bool {
        let store = match self.config.open() {
            Ok(store) => store,
            Err(error) => {
                self.complain(view, &error);
                return false;
            }
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.complain(view, &error);
                return false;
            }
        };
        let begun = Instant::now();
        let tried =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, probe(&*store)).await });
        let key = &self.key;
        match tried {
            Ok(Ok(probe)) => {
                let milliseconds = begun.elapsed().as_millis();
                eprintln!("{key}: wrote, read and deleted an object in {milliseconds} ms");
                if !probe.creates_once {
                    eprintln!(
                        "{key}: warning: the store overwrites objects where it is asked not to"
                    );
                }
                true
            }
            Ok(Err(error)) => {
                self.complain(view, &error);
                false
            }
            Err(_) => {
                eprintln!("{key}: no answer within {} s", PATIENCE.as_secs());
                false
            }
        }
    }

    fn complain(&self, view: &View, error: &dyn Error) {
        let mut text = format!("failed to {error}");
        let mut inner = error.source();
        while let Some(error) = inner {
            // Some errors repeat the text of the one within.
            let said = error.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            inner = error.source();
        }
        // Stores answer in XML, over many lines.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let file = view.file.as_ref().map(|file| format!("{}: ", file.display()));
        eprintln!("{}{}: {}", file.unwrap_or_default(), self.key, view.scrub(&text));
    }
}
