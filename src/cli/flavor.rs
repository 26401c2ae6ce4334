//! `steplog … flavor`: which kinds of stores there are and what their keys take; and flavors of the
//! user's own.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::edit::{self, File, INVALID, Named};
use super::ls::{aligned, row};
use super::stack::Output;
use super::store::{self, Shown};
use super::wrap::{chain, say};
use crate::stack::edit::Change;
use crate::stack::keys::{self, KeyInfo};
use crate::stack::kind::{ANY, Kind};
use crate::stack::{self, View, manual};
use crate::stores::custom::{Custom, DeclaredKey, Registered};
use crate::stores::{Component, DeliverError, FLAVORS, Flavor};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Show {
    /// List them, and which can be read back
    List(Shown),
    /// Show one: its keys with their defaults and bounds, and an example
    Describe {
        /// Its name
        name: String,
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Own {
    /// Register a program of your own as a flavor
    ///
    /// The program is started without a shell, with the arguments that follow it, and asked what it is:
    /// `register sqlite --command python3 /opt/steplog/sqlite.py`. Words that name a file that is there
    /// become its whole path. What it answers is kept in the stack file: register it again when it
    /// changes.
    Register {
        /// Its name
        name: String,
        #[command(flatten)]
        file: File,
        /// The program and its arguments
        #[arg(
            long,
            required = true,
            num_args = 1..,
            allow_hyphen_values = true,
            value_name = "COMMAND"
        )]
        command: Vec<String>,
    },
    /// Take a flavor of your own out of the stack file
    Delete(Named),
}

pub(super) fn own(command: Own) -> ExitCode {
    match command {
        Own::Register { name, file, command } => match ask(&name, command) {
            Ok(registered) => {
                let done = format!("registered the flavor {name:?}");
                edit::make(&file, &Change::RegisterFlavor(registered), &done)
            }
            Err(what) => {
                say(what);
                ExitCode::from(INVALID)
            }
        },
        Own::Delete(Named { name, file }) => {
            let done = format!("deleted the flavor {name:?}");
            edit::make(&file, &Change::DeleteFlavor { name }, &done)
        }
    }
}

/// Starts the program to hear what it is.
fn ask(name: &str, mut command: Vec<String>) -> Result<Registered, String> {
    if FLAVORS.iter().any(|flavor| flavor.name == name) {
        return Err(format!("the flavor {name:?} is built in\n    help: choose another name"));
    }
    // It will be started from anywhere.
    for word in command.iter_mut().filter(|word| word.contains('/') || word.contains('.')) {
        if let Ok(path) = std::fs::canonicalize(&*word)
            && let Some(path) = path.to_str()
        {
            path.clone_into(word);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("failed to start a thread: {error}"))?;
    let asked = runtime.block_on(Custom::describe(command.clone(), name));
    let description = asked.map_err(|error| {
        let error = DeliverError::from(error);
        format!("the flavor {name:?} was not registered: {}", chain(&error))
    })?;
    let keys = DeclaredKey::of(&description)
        .map_err(|error| format!("the flavor {name:?} was not registered: {error}"))?;
    Ok(Registered { name: name.to_owned(), command, can_fetch: description.can_fetch, keys })
}

pub(super) fn show(component: Component, command: Show) -> ExitCode {
    match command {
        Show::List(shown) => store::show(&shown, |view| Ok(list(view, component, shown.output))),
        Show::Describe { name, shown } => {
            store::show(&shown, |view| describe(view, component, &name, shown.output))
        }
    }
}

/// What is known of a log store's flavor without its keys.
fn line(component: Component, flavor: &Flavor) -> (String, String) {
    match component {
        Component::ArtifactStore => (String::new(), "yes".to_owned()),
        Component::LogStore => {
            let line = manual::flavor_line(flavor.name);
            line.map(|line| (plain(line.writes_to), plain(line.reads_back))).unwrap_or_default()
        }
    }
}

fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn custom(view: &View, component: Component) -> &[Registered] {
    if component == Component::LogStore { view.flavors() } else { &[] }
}

fn list(view: &View, component: Component, output: Output) -> String {
    let own = custom(view, component);
    if output == Output::Json {
        let built_in = Flavor::of(component).map(|flavor| {
            let (writes_to, reads_back) = line(component, flavor);
            json!({
                "name": flavor.name,
                "writes_to": writes_to,
                "reads_back": reads_back.starts_with("yes"),
                "built_in": true,
            })
        });
        let own = own.iter().map(|flavor| {
            json!({
                "name": flavor.name,
                "writes_to": format!("the program {}", flavor.command.join(" ")),
                "reads_back": flavor.can_fetch,
                "built_in": false,
                "command": flavor.command,
            })
        });
        return format!("{:#}\n", built_in.chain(own).collect::<Value>());
    }
    if component == Component::ArtifactStore {
        return Flavor::of(component).map(|flavor| format!("{}\n", flavor.name)).collect();
    }
    let mut table = vec![row(["FLAVOR", "READS BACK", "WRITES TO"])];
    for flavor in Flavor::of(component) {
        let (writes_to, reads_back) = line(component, flavor);
        table.push(row([flavor.name, &reads_back, &writes_to]));
    }
    for flavor in own {
        let command = format!("the program {}", flavor.command.join(" "));
        let reads_back = if flavor.can_fetch { "yes" } else { "no" };
        table.push(row([&flavor.name, reads_back, &command]));
    }
    aligned(&table, &[])
}

fn describe(
    view: &View,
    component: Component,
    name: &str,
    output: Output,
) -> Result<String, String> {
    if let Some(own) = custom(view, component).iter().find(|flavor| flavor.name == name) {
        let writes_to = format!("the program {}", own.command.join(" "));
        let reads_back = if own.can_fetch { "yes" } else { "no" };
        let described = Described {
            name,
            command: Some(&own.command),
            writes_to,
            reads_back: reads_back.to_owned(),
            keys: keys::of_registered(own),
            example: None,
        };
        return Ok(described.show(output));
    }
    let Some(flavor) = Flavor::of(component).find(|flavor| flavor.name == name) else {
        let built_in = Flavor::of(component).map(|flavor| flavor.name);
        let own = custom(view, component).iter().map(|flavor| flavor.name.as_str());
        let known: Vec<_> = built_in.chain(own).collect();
        let noun = component.noun();
        let help = stack::suggest(name, &format!("{noun} flavors"), &known);
        return Err(format!("there is no {noun} flavor {name:?}\n    help: {help}"));
    };
    let (writes_to, reads_back) = line(component, flavor);
    let described = Described {
        name,
        command: None,
        writes_to,
        reads_back,
        keys: keys::of_flavor(flavor),
        example: manual::example(name),
    };
    Ok(described.show(output))
}

/// A flavor, all of it.
struct Described<'a> {
    name: &'a str,
    /// Of one of the user's own.
    command: Option<&'a [String]>,
    /// Empty for an artifact store.
    writes_to: String,
    reads_back: String,
    keys: Vec<KeyInfo>,
    example: Option<&'static str>,
}

impl Described<'_> {
    fn show(&self, output: Output) -> String {
        let Self { name, writes_to, reads_back, .. } = self;
        if output == Output::Json {
            let json = json!({
                "name": name,
                "writes_to": writes_to,
                "reads_back": reads_back.starts_with("yes"),
                "built_in": self.command.is_none(),
                "command": self.command,
                "keys": self.keys.iter().map(key_json).collect::<Vec<_>>(),
                "example": self.example,
            });
            return format!("{json:#}\n");
        }
        let mut text = if writes_to.is_empty() {
            format!("{name}\n\n")
        } else {
            format!("{name}: writes to {writes_to}; reads back: {reads_back}\n\n")
        };
        let mut table = vec![row(["KEY", "DEFAULT", "TAKES", ""])];
        for key in &self.keys {
            table.push(row([&key.name, &default(key), &takes(key), &key.about]));
        }
        text.push_str(&aligned(&table, &[]));
        if let Some(example) = self.example {
            text.push_str("\nExample:\n\n");
            for line in example.trim_end().lines() {
                text.push_str(format!("  {line}").trim_end());
                text.push('\n');
            }
        }
        text
    }
}

fn default(key: &KeyInfo) -> String {
    match &key.default {
        _ if key.required => "(required)".to_owned(),
        Some(value) => stack::spelled(value),
        None => "-".to_owned(),
    }
}

/// What a key takes, in few words.
fn takes(key: &KeyInfo) -> String {
    let mut text = String::new();
    for variant in &key.kinds {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&short(&variant.kind));
        if let Some((other, word)) = &variant.with {
            text.push_str(&format!(" with {other} = {word:?}"));
        }
    }
    if key.below.iter().any(|below| below.name == ANY) {
        text.push_str(" of names and texts");
    }
    if key.secret { text + ", secret" } else { text }
}

fn short(kind: &Kind) -> String {
    match kind {
        Kind::Count { least, most } => format!("{least} to {most}"),
        Kind::Bytes { least, most } => {
            format!("{} to {}", stack::size(*least), stack::size(*most))
        }
        Kind::Duration { least, most, inf } => {
            let inf = if *inf { " or \"inf\"" } else { "" };
            format!("{} to {}{inf}", stack::span(*least), stack::span(*most))
        }
        Kind::Integer => "an integer".to_owned(),
        Kind::Number => "a number".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Choice(words) => words.join(", "),
        Kind::Path => "a path".to_owned(),
        Kind::Text { .. } | Kind::Scalar => "text".to_owned(),
        Kind::Texts { .. } => "a list of texts".to_owned(),
        Kind::Table => "a table".to_owned(),
    }
}

fn key_json(key: &KeyInfo) -> Value {
    json!({
        "key": key.name,
        "required": key.required,
        "secret": key.secret,
        "default": key.default.as_ref().map(stack::to_json),
        "takes": takes(key),
        "about": key.about,
    })
}
