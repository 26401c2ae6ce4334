//! `steplog check`: validates the stack file, shows what it comes to, and tries its stores.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use super::try_store::{self, Tried};
use crate::stack::{self, Env, Stack, View};

/// The file is wrong.
const INVALID: u8 = 2;
/// The file is right, but a store did not do what was asked of it.
const FAILED: u8 = 1;

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
    /// Also try each store: an object is written, read and deleted, a test record is sent
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
    let targets = try_store::all(&stack);
    let mut valid = secrets_are_readable(&stack, &view);
    for target in &targets {
        valid &= target.is_valid(&stack, &view);
    }
    if !valid {
        return ExitCode::from(INVALID);
    }
    super::stack::print(&format!("{}\n{}", heading(&view), view.to_toml()));
    let mut reached = true;
    if args.connect {
        for target in &targets {
            reached &= target.connect(&stack, &view) == Tried::Works;
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
