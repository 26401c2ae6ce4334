//! `steplog stack`: makes the stack file and looks at the stacks in it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use crate::stack::{self, Env, Errors, Existing, View, WriteError};

/// The file is wrong, or there is no such stack.
const INVALID: u8 = 2;

/// Make and look at the stack file
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
    /// List the stacks of the file
    List(Shown),
    /// Show a stack with every default filled in, without its secrets
    Describe {
        /// Its name [default: the active one]
        name: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, clap::Args)]
struct Shown {
    /// The stack file [default: the one that `steplog run` would use]
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For a person: a table, or TOML
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
        Command::List(shown) => show(
            stack::describe(&env, shown.stack.as_deref(), None),
            shown.output,
            table,
            list_as_json,
        ),
        Command::Describe { name, shown } => show(
            stack::describe(&env, shown.stack.as_deref(), name.as_deref()),
            shown.output,
            View::to_toml,
            View::to_json,
        ),
    }
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
            let help = match &error {
                WriteError::Exists(_) => "--force replaces it",
                WriteError::Io { .. } => "name another place: steplog stack init PATH",
            };
            let mut text = format!("steplog: {error}");
            if let Some(source) = std::error::Error::source(&error) {
                text = format!("{text}: {source}");
            }
            eprintln!("{text}\n    help: {help}");
            ExitCode::FAILURE
        }
    }
}

fn show(
    view: Result<View, Errors>,
    output: Output,
    text: impl Fn(&View) -> String,
    json: impl Fn(&View) -> serde_json::Value,
) -> ExitCode {
    match view {
        Ok(view) => {
            match output {
                Output::Text => print(&text(&view)),
                Output::Json => print(&format!("{:#}\n", json(&view))),
            }
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(INVALID)
        }
    }
}

/// One row a stack; the active one has a star.
fn table(view: &View) -> String {
    let mut rows = vec![["", "STACK", "ARTIFACT STORE", "LOG STORES"].map(str::to_owned)];
    for stack in &view.stacks {
        let star = if view.active.as_ref() == Some(&stack.name) { "*" } else { "" };
        let log_stores = match stack.log_stores.as_slice() {
            [] => "(the artifact store)".to_owned(),
            names => names.join(", "),
        };
        rows.push([star.to_owned(), stack.name.clone(), stack.artifact_store.clone(), log_stores]);
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default()
    };
    let (name, artifact_store) = (width(1), width(2));
    let lines = rows.iter().map(|[star, stack, store, log_stores]| {
        format!("{star:1} {stack:name$}  {store:artifact_store$}  {log_stores}")
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn list_as_json(view: &View) -> serde_json::Value {
    let rows = view.stacks.iter().map(|stack| {
        serde_json::json!({
            "name": stack.name,
            "active": view.active.as_ref() == Some(&stack.name),
            "artifact_store": stack.artifact_store,
            "log_stores": stack.log_stores,
        })
    });
    rows.collect()
}
