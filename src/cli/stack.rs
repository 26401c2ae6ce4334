//! `steplog stack`: makes the stack file, composes stacks, and looks at them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::edit::{self, File, INVALID, Named, Renamed};
use super::ls::{aligned, row};
use super::store::{self, Shown};
use crate::stack::edit::Change;
use crate::stack::{self, Env, Existing, View, WriteError};

/// Stacks: which stores logs go to
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the default stack file, every limit with a comment
    Init {
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
        /// Where [default: stack.toml in $XDG_CONFIG_HOME/steplog, or ~/.config/steplog]
        path: Option<PathBuf>,
    },
    /// Put a stack together
    Register {
        /// Its name
        name: String,
        /// Its artifact store
        #[arg(short, long, value_name = "ARTIFACT_STORE")]
        artifact_store: String,
        /// Its log stores; each gets everything. None: the artifact store keeps the logs
        #[arg(short, long = "log-store", value_name = "LOG_STORE")]
        log_stores: Vec<String>,
        /// Activate it
        #[arg(long)]
        set: bool,
        #[command(flatten)]
        file: File,
    },
    /// Change what a stack is made of
    ///
    /// With -l, its log stores are these and no others.
    Update {
        /// Its name [default: the active one]
        name: Option<String>,
        /// Its artifact store
        #[arg(short, long, value_name = "ARTIFACT_STORE", required_unless_present = "log_stores")]
        artifact_store: Option<String>,
        /// Its log stores
        #[arg(short, long = "log-store", value_name = "LOG_STORE")]
        log_stores: Vec<String>,
        #[command(flatten)]
        file: File,
    },
    /// Take log stores out of a stack
    ///
    /// The last one leaves the logs to the artifact store.
    #[command(name = "remove-component")]
    RemoveComponent {
        /// Its name [default: the active one]
        name: Option<String>,
        /// The log stores
        #[arg(short, long = "log-store", value_name = "LOG_STORE", required = true)]
        log_stores: Vec<String>,
        #[command(flatten)]
        file: File,
    },
    /// Activate a stack
    Set(Named),
    /// Name the active stack
    Get(Shown),
    /// List the stacks of the file
    List(Shown),
    /// Show a stack with every default filled in, without its secrets
    Describe {
        /// Its name [default: the active one]
        name: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Give a stack another name
    Rename(Renamed),
    /// Write a stack once more, under another name
    Copy(Renamed),
    /// Take a stack out of the file; its stores stay
    Delete(Named),
    /// Print the JSON Schema of the stack file, for editors
    Schema,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For a person: a table, or TOML
    #[default]
    Text,
    /// For a program
    Json,
}

pub(super) fn run(args: Args) -> ExitCode {
    let env = Env::process();
    match args.command {
        Command::Init { force, path } => {
            init(&env, path.as_deref(), if force { Existing::Replace } else { Existing::Keep })
        }
        Command::Register { name, artifact_store, log_stores, set, file } => {
            let active = if set { ", which is active now," } else { "" };
            let done = format!("registered the stack {name:?}{active}");
            edit::make(
                &file,
                &Change::RegisterStack { name, artifact_store, log_stores, set },
                &done,
            )
        }
        Command::Update { name, artifact_store, log_stores, file } => {
            let done = format!("updated {}", shown(name.as_deref()));
            edit::make(&file, &Change::UpdateStack { name, artifact_store, log_stores }, &done)
        }
        Command::RemoveComponent { name, log_stores, file } => {
            let done = format!("updated {}", shown(name.as_deref()));
            edit::make(&file, &Change::RemoveLogStores { name, log_stores }, &done)
        }
        Command::Set(Named { name, file }) => {
            let done = format!("activated the stack {name:?}");
            edit::make(&file, &Change::SetStack { name }, &done)
        }
        Command::Get(shown) => store::show(&shown, |view| match (&view.active, shown.output) {
            (None, _) => Err("no stack is active".to_owned()),
            (Some(name), Output::Text) => Ok(format!("{name}\n")),
            (Some(name), Output::Json) => Ok(format!("{}\n", json!(name))),
        }),
        Command::List(shown) => store::show(&shown, |view| Ok(list(view, shown.output))),
        Command::Describe { name, shown } => describe(&env, name.as_deref(), &shown),
        Command::Rename(Renamed { name: from, new_name: to, file }) => {
            let done = format!("renamed the stack {from:?} to {to:?}");
            edit::make(&file, &Change::RenameStack { from, to }, &done)
        }
        Command::Copy(Renamed { name: from, new_name: to, file }) => {
            let done = format!("copied the stack {from:?} to {to:?}");
            edit::make(&file, &Change::CopyStack { from, to }, &done)
        }
        Command::Delete(Named { name, file }) => {
            let done = format!("deleted the stack {name:?}");
            edit::make(&file, &Change::DeleteStack { name }, &done)
        }
        Command::Schema => {
            print(&format!("{:#}\n", stack::schema()));
            ExitCode::SUCCESS
        }
    }
}

/// A stack in a sentence.
fn shown(name: Option<&str>) -> String {
    name.map_or_else(|| "the active stack".to_owned(), |name| format!("the stack {name:?}"))
}

/// Writes to stdout. A reader that went away has seen what it wanted.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

fn init(env: &Env, path: Option<&Path>, existing: Existing) -> ExitCode {
    match stack::init(env, path, existing) {
        Ok(path) => {
            print(&format!("{}\n", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let (failed, help) = match &error {
                WriteError::Exists(_) => ("", "--force replaces it"),
                WriteError::Io { .. } => {
                    ("failed to ", "name another place: steplog stack init PATH")
                }
            };
            let mut text = format!("steplog: {failed}{error}");
            if let Some(source) = std::error::Error::source(&error) {
                text = format!("{text}: {source}");
            }
            eprintln!("{text}\n    help: {help}");
            ExitCode::FAILURE
        }
    }
}

fn describe(env: &Env, name: Option<&str>, shown: &Shown) -> ExitCode {
    match stack::describe(env, shown.file.as_deref(), name) {
        Ok(view) => {
            print(&match shown.output {
                Output::Text => view.to_toml(),
                Output::Json => format!("{:#}\n", view.to_json()),
            });
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(INVALID)
        }
    }
}

/// One row a stack; the active one has a star.
fn list(view: &View, output: Output) -> String {
    let is_active = |name: &String| view.active.as_ref() == Some(name);
    if output == Output::Json {
        let rows = view.stacks.iter().map(|stack| {
            json!({
                "name": stack.name,
                "active": is_active(&stack.name),
                "artifact_store": stack.artifact_store,
                "log_stores": stack.log_stores,
            })
        });
        return format!("{:#}\n", rows.collect::<serde_json::Value>());
    }
    let mut table = vec![row(["", "STACK", "ARTIFACT STORE", "LOG STORES"])];
    for stack in &view.stacks {
        let star = if is_active(&stack.name) { "*" } else { "" };
        let log_stores = match stack.log_stores.as_slice() {
            [] => "(the artifact store)".to_owned(),
            names => names.join(", "),
        };
        table.push(row([star, &stack.name, &stack.artifact_store, &log_stores]));
    }
    aligned(&table, &[])
}
