//! `steplog … flavor`: which kinds of stores there are and what their keys take; and flavors of the
//! user's own.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::edit::{self, File};
use super::ls::{aligned, row};
use super::stack::Output;
use super::store::{self, Shown};
use crate::stack::edit::Change;
use crate::stack::keys::{self, KeyInfo};
use crate::stack::kind::{ANY, Kind};
use crate::stack::{self, View, manual};
use crate::stores::{Component, Flavor};

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
    /// The program is started without a shell, with the arguments that follow it:
    /// `register sqlite --command python3 /opt/steplog/sqlite_store.py`.
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
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        file: File,
    },
}

pub(super) fn own(command: Own) -> ExitCode {
    match command {
        Own::Register { name, file, command } => {
            let done = format!("registered the flavor {name:?}");
            edit::make(&file, &Change::RegisterFlavor { name, command }, &done)
        }
        Own::Delete { name, file } => {
            let done = format!("deleted the flavor {name:?}");
            edit::make(&file, &Change::DeleteFlavor { name }, &done)
        }
    }
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

fn custom(view: &View, component: Component) -> &[crate::stores::custom::Registered] {
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
        let own = own.iter().map(
            |flavor| json!({ "name": flavor.name, "built_in": false, "command": flavor.command }),
        );
        return format!("{:#}\n", Value::from_iter(built_in.chain(own)));
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
        table.push(row([&flavor.name, "as it says", &command]));
    }
    aligned(&table, &[])
}

fn describe(
    view: &View,
    component: Component,
    name: &str,
    output: Output,
) -> Result<String, String> {
    if let Some(flavor) = custom(view, component).iter().find(|flavor| flavor.name == name) {
        let json = json!({ "name": name, "built_in": false, "command": flavor.command });
        return Ok(match output {
            Output::Json => format!("{json:#}\n"),
            Output::Text => format!("{name}: the program {}\n", flavor.command.join(" ")),
        });
    }
    let Some(flavor) = Flavor::of(component).find(|flavor| flavor.name == name) else {
        let built_in = Flavor::of(component).map(|flavor| flavor.name);
        let own = custom(view, component).iter().map(|flavor| flavor.name.as_str());
        let known: Vec<_> = built_in.chain(own).collect();
        let noun = component.noun();
        let help = stack::suggest(name, &format!("{noun} flavors"), &known);
        return Err(format!("there is no {noun} flavor {name:?}\n    help: {help}"));
    };
    let keys = keys::of_flavor(flavor);
    let (writes_to, reads_back) = line(component, flavor);
    if output == Output::Json {
        let json = json!({
            "name": name,
            "writes_to": writes_to,
            "reads_back": reads_back.starts_with("yes"),
            "built_in": true,
            "keys": keys.iter().map(key_json).collect::<Vec<_>>(),
            "example": manual::example(name),
        });
        return Ok(format!("{json:#}\n"));
    }
    let mut text = match component {
        Component::ArtifactStore => format!("{name}\n\n"),
        Component::LogStore => {
            format!("{name}: writes to {writes_to}; reads back: {reads_back}\n\n")
        }
    };
    let mut table = vec![row(["KEY", "DEFAULT", "TAKES", ""])];
    for key in &keys {
        table.push(row([&key.name, &default(key), &takes(key), &key.about]));
    }
    text.push_str(&aligned(&table, &[]));
    if let Some(example) = manual::example(name) {
        text.push_str("\nExample:\n\n");
        text.extend(
            example.trim_end().lines().map(|line| format!("  {line}").trim_end().to_owned() + "\n"),
        );
    }
    Ok(text)
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
