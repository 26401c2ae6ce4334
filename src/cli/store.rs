//! What `steplog log-store` and `steplog artifact-store` have in common: everything but flavors of
//! the user's own. The words are ZenML's.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::attribute::Attributes;
use super::edit::{self, File, INVALID, Named, Renamed};
use super::ls::{aligned, row};
use super::stack::{Output, print};
use super::try_store;
use super::wrap::say;
use crate::stack::edit::Change;
use crate::stack::{self, Env, View};
use crate::stores::Component;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add one to the stack file
    ///
    /// Attributes are the keys of the flavor: --endpoint=https://… or --endpoint https://…;
    /// --headers.x-team=ml sets x-team in the table headers. `flavor describe` lists them. A secret may
    /// be named instead of given: --api_key='${env:DD_API_KEY}', '${file:/run/secrets/dd}',
    /// '${credential:dd}'. Or it is read from standard input (--api_key=-) or from a file
    /// (--api_key=@FILE), and then stands in the stack file.
    #[command(
        override_usage = "steplog <log-store|artifact-store> register NAME --flavor FLAVOR [--KEY=VALUE]..."
    )]
    Register {
        /// Its name
        name: String,
        /// Its flavor
        #[arg(short, long, value_name = "FLAVOR")]
        flavor: String,
        #[command(flatten)]
        attributes: Attributes,
        #[command(flatten)]
        file: File,
    },
    /// Set attributes
    ///
    /// As in `register`; what is not named stays.
    #[command(override_usage = "steplog <log-store|artifact-store> update NAME --KEY=VALUE...")]
    Update {
        /// Its name
        name: String,
        #[command(flatten)]
        attributes: Attributes,
        #[command(flatten)]
        file: File,
    },
    /// Take attributes out, so that their defaults are used
    #[command(name = "remove-attribute")]
    RemoveAttribute {
        /// Its name
        name: String,
        /// Attributes: KEY, or KEY.NAME for NAME in the table KEY
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        file: File,
    },
    /// List them all; those of the active stack have a star
    List(Shown),
    /// Name those of the active stack, one a line
    Get(Shown),
    /// Show one with its defaults, without its secrets
    Describe {
        /// Its name [default: all of the active stack]
        name: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Give one another name, wherever it is used
    Rename(Renamed),
    /// Write one once more, under another name
    Copy(Renamed),
    /// Take one out of the stack file
    ///
    /// What it keeps stays where it is. One that a stack uses is not deleted.
    Delete(Named),
    /// Try one for real: write something harmless, read where that can be done
    ///
    /// Exit codes: 0 it works; 2 the stack file is wrong; 4 the store does not allow it; 7 it cannot be
    /// reached or failed.
    Test(Named),
}

#[derive(Debug, clap::Args)]
pub(super) struct Shown {
    /// The stack file [default: the one that `steplog run` would use]
    #[arg(long = "stack", value_name = "FILE")]
    pub(super) file: Option<std::path::PathBuf>,
    /// What to print: text for people, json for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
}

pub(super) fn run(component: Component, command: Command) -> ExitCode {
    let noun = component.noun();
    match command {
        Command::Register { name, flavor, attributes, file } => {
            let attributes = match attributes.read() {
                Ok(attributes) => attributes,
                Err(error) => return bad(&error),
            };
            let done = format!("registered the {noun} {name:?}");
            edit::make(&file, &Change::Register { component, name, flavor, attributes }, &done)
        }
        Command::Update { name, attributes, file } => {
            let attributes = match attributes.read() {
                Ok(attributes) => attributes,
                Err(error) => return bad(&error),
            };
            let done = format!("updated the {noun} {name:?}");
            edit::make(&file, &Change::Update { component, name, attributes }, &done)
        }
        Command::RemoveAttribute { name, keys, file } => {
            let done = format!("updated the {noun} {name:?}");
            edit::make(&file, &Change::RemoveAttributes { component, name, keys }, &done)
        }
        Command::Rename(Renamed { name: from, new_name: to, file }) => {
            let done = format!("renamed the {noun} {from:?} to {to:?}");
            edit::make(&file, &Change::Rename { component, from, to }, &done)
        }
        Command::Copy(Renamed { name: from, new_name: to, file }) => {
            let done = format!("copied the {noun} {from:?} to {to:?}");
            edit::make(&file, &Change::Copy { component, from, to }, &done)
        }
        Command::Delete(Named { name, file }) => {
            let done = format!("deleted the {noun} {name:?}");
            edit::make(&file, &Change::Delete { component, name }, &done)
        }
        Command::List(shown) => show(&shown, |view| Ok(list(view, component, shown.output))),
        Command::Get(shown) => show(&shown, |view| get(view, component, shown.output)),
        Command::Describe { name, shown } => {
            show(&shown, |view| describe(view, component, name.as_deref(), shown.output))
        }
        Command::Test(Named { name, file }) => {
            let store = stack::store(&Env::process(), file.file.as_deref(), component, &name);
            match store {
                Ok((stack, view)) => try_store::test(component, &stack, &view),
                Err(errors) => {
                    eprintln!("{errors}");
                    ExitCode::from(INVALID)
                }
            }
        }
    }
}

pub(super) fn bad(error: &dyn std::error::Error) -> ExitCode {
    say(super::wrap::chain(error));
    ExitCode::from(INVALID)
}

/// Loads the file and shows something of it. `show` returns what to print, or why it cannot.
pub(super) fn show(shown: &Shown, show: impl FnOnce(&View) -> Result<String, String>) -> ExitCode {
    match stack::describe(&Env::process(), shown.file.as_deref(), None) {
        Ok(view) => match show(&view) {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(what) => {
                say(what);
                ExitCode::from(INVALID)
            }
        },
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(INVALID)
        }
    }
}

fn list(view: &View, component: Component, output: Output) -> String {
    let stores = view.stores(component);
    if output == Output::Json {
        return format!("{:#}\n", json!(stores));
    }
    if stores.is_empty() {
        say(format_args!("there are no {}s", component.noun()));
        return String::new();
    }
    let mut table = vec![row(["", "NAME", "FLAVOR", "STACKS"])];
    for store in stores {
        let star = if store.active { "*" } else { "" };
        table.push(row([star, &store.name, &store.flavor, &store.stacks.join(", ")]));
    }
    aligned(&table, &[])
}

/// The names of the active stack's; says who keeps the logs where there is none.
fn get(view: &View, component: Component, output: Output) -> Result<String, String> {
    let active = view.active_stack().ok_or("no stack is active")?;
    let names = match component {
        Component::ArtifactStore => vec![active.artifact_store.clone()],
        Component::LogStore => active.log_stores.clone(),
    };
    if output == Output::Json {
        return Ok(format!("{:#}\n", json!(names)));
    }
    if names.is_empty() {
        say(format_args!(
            "the active stack {:?} has no log store: its artifact store {:?} keeps the logs",
            active.name, active.artifact_store
        ));
    }
    Ok(names.iter().map(|name| format!("{name}\n")).collect())
}

fn describe(
    view: &View,
    component: Component,
    name: Option<&str>,
    output: Output,
) -> Result<String, String> {
    let stores = view.stores(component);
    let wanted: Vec<_> = match name {
        Some(name) => stores.iter().filter(|store| store.name == name).collect(),
        None => stores.iter().filter(|store| store.active).collect(),
    };
    if let (Some(name), true) = (name, wanted.is_empty()) {
        let known: Vec<_> = stores.iter().map(|store| store.name.as_str()).collect();
        let noun = component.noun();
        let help = stack::suggest(name, &format!("{noun}s"), &known);
        return Err(format!("there is no {noun} {name:?}\n    help: {help}"));
    }
    if output == Output::Json {
        let described = wanted.iter().map(|store| {
            let configuration = view.store_json(component, &store.name);
            let mut object = json!(store);
            if let Value::Object(fields) = &mut object {
                fields.insert("configuration".to_owned(), configuration.unwrap_or_default());
            }
            object
        });
        let mut described: Vec<Value> = described.collect();
        let one = if name.is_some() { described.pop() } else { None };
        return Ok(format!("{:#}\n", one.unwrap_or_else(|| described.into())));
    }
    if wanted.is_empty() {
        return get(view, component, output);
    }
    let blocks = wanted.iter().map(|store| {
        let used = match store.stacks.as_slice() {
            [] => "# No stack uses it.".to_owned(),
            [stack] => format!("# Used by the stack {stack}."),
            stacks => format!("# Used by the stacks {}.", stacks.join(", ")),
        };
        let toml = view.store_toml(component, &store.name).unwrap_or_default();
        format!("{used}\n{toml}")
    });
    Ok(blocks.collect::<Vec<_>>().join("\n"))
}
