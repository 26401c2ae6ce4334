//! From the text of a stack file to a [`Stack`]: components looked up by flavor, names followed,
//! settings read, problems gathered.
//!
//! Secrets are followed only for what the chosen stack uses: a machine that runs steps against
//! one store need not hold the keys of the others. All else is still checked for its form.

use std::path::{Path, PathBuf};

use super::document::{self, Entry, Layer, Place, Table};
use super::env::Env;
use super::problem::{Errors, Found};
use super::reader::{Context, Reader, Secret, Secrets};
use super::sections;
use super::view::{StackLine, View};
use super::{ArtifactStore, DEFAULT, LogStore, Stack};
use crate::pages;
use crate::stores::artifact::{self, Location};
use crate::stores::{self, Component, Flavor, Read, Siblings};

/// A stack file's text and where it came from.
pub(super) struct Source {
    /// `None`: there is no file, only the built-in default.
    pub(super) file: Option<PathBuf>,
    pub(super) text: String,
}

/// Which stack of the file.
#[derive(Clone, Copy)]
pub(super) enum Choose<'a> {
    Active,
    Named(&'a str),
}

/// `[stacks.NAME]` as far as it could be read.
struct Written {
    name: String,
    artifact_store: Option<String>,
    log_stores: Vec<String>,
}

/// Resolves one stack of `source`, or says everything that is wrong with it.
pub(super) fn resolve(
    env: &Env,
    source: &Source,
    choose: Choose<'_>,
    secrets: Secrets,
) -> Result<(Stack, View), Errors> {
    let file = source.file.as_deref();
    let fail = |found| Errors::from_found(found, file, &source.text);
    let syntax = |errors: Vec<document::SyntaxError>| {
        let found = errors.into_iter().map(|error| Found {
            place: Some(error.place),
            key: String::new(),
            what: error.message,
            help: None,
        });
        fail(found.collect())
    };
    let mut document = document::parse(DEFAULT, Layer::Default).map_err(syntax)?;
    let written = document::parse(&source.text, Layer::File).map_err(syntax)?;
    pages::give_back();
    let only_stack = only_stack(&written);
    document::merge(&mut document, written);

    let mut context = Context {
        env,
        folder: file.and_then(Path::parent).unwrap_or(Path::new("/")),
        found: Vec::new(),
        secrets: Vec::new(),
        literals: Vec::new(),
    };
    let active = read_top(&mut context, &document, only_stack);
    let name = match choose {
        Choose::Active => active.as_deref(),
        Choose::Named(name) => Some(name),
    };
    let stacks = read_stacks(&mut context, &document, name, secrets);
    if let Some(name) = name {
        let names = stacks.iter().map(|stack| stack.name.as_str());
        let mut top = Reader::new(&mut context, &document, "", None, secrets);
        if document.table("stacks").is_some_and(|stacks| stacks.get(name).is_none()) {
            match choose {
                Choose::Active => top.not_there("active", "stack", name, names),
                Choose::Named(_) => top.not_there("", "stack", name, names),
            }
        }
    }
    pages::give_back();
    let chosen = stacks.iter().find(|stack| Some(stack.name.as_str()) == name);
    let used = Used::by(chosen, &document);

    let artifact_stores = read_artifact_stores(&mut context, &document, &used, secrets);
    let own = chosen
        .and_then(|stack| stack.artifact_store.as_ref())
        .and_then(|name| artifact_stores.iter().find(|(known, _)| known == name))
        .cloned();
    let log_stores = read_log_stores(&mut context, &document, &used, secrets, &artifact_stores);
    pages::give_back();
    let sections = sections::read(&mut context, &document, secrets);

    let (Some(chosen), Some(own), true) = (chosen, own, context.found.is_empty()) else {
        return Err(fail(context.found));
    };
    let mut kept = Vec::new();
    for name in &chosen.log_stores {
        kept.extend(log_stores.iter().find(|(known, _)| known == name).cloned());
    }
    if kept.is_empty() {
        kept.push((own.0.clone(), stores::Config::Artifact(own.1.clone())));
    }
    let stack = Stack {
        name: chosen.name.clone(),
        file: source.file.clone(),
        artifact_store: ArtifactStore { name: own.0, config: own.1 },
        log_stores: kept.into_iter().map(|(name, config)| LogStore { name, config }).collect(),
        metadata: sections.metadata,
        capture: sections.capture,
        lines: sections.lines,
        redact: sections.redact,
        spool: sections.spool,
        ship: sections.ship,
    };
    let view = View {
        name: stack.name.clone(),
        active,
        file: source.file.clone(),
        artifact_stores: used.artifact_stores,
        log_stores: used.log_stores,
        spool_dir: stack.spool.dir.clone(),
        data: env.data(),
        stacks: stacks.into_iter().map(StackLine::from).collect(),
        literals: context.literals,
        secrets: context.secrets,
        document,
    };
    Ok((stack, view))
}

/// What the chosen stack leads to, by name.
struct Used {
    artifact_stores: Vec<String>,
    log_stores: Vec<String>,
}

impl Used {
    fn by(stack: Option<&Written>, document: &Table) -> Self {
        let log_stores = stack.map(|stack| stack.log_stores.clone()).unwrap_or_default();
        let mut artifact_stores: Vec<_> =
            stack.and_then(|stack| stack.artifact_store.clone()).into_iter().collect();
        for name in &log_stores {
            let table = document.table("log_stores").and_then(|stores| stores.table(name));
            let named = table.and_then(|table| table.text("artifact_store")).map(str::to_owned);
            artifact_stores.extend(named.filter(|name| !artifact_stores.contains(name)));
        }
        Self { artifact_stores, log_stores }
    }
}

/// The name of the file's stack if it has but one; its place in the file if it has several and
/// none of them is named as the built-in one.
enum OnlyStack {
    /// The file says nothing of stacks, or has a `default`, or says which is active.
    Settled,
    One(String),
    Several(Vec<String>, Place),
}

/// A file with stacks of its own and no `active` must not fall back to the built-in stack: its
/// logs would go where nobody looks.
fn only_stack(written: &Table) -> OnlyStack {
    let (None, Some(stacks)) = (written.get("active"), written.table("stacks")) else {
        return OnlyStack::Settled;
    };
    match stacks.entries.as_slice() {
        [] => OnlyStack::Settled,
        [only] => OnlyStack::One(only.key.clone()),
        entries if entries.iter().any(|entry| entry.key == "default") => OnlyStack::Settled,
        [first, ..] => {
            let names = stacks.entries.iter().map(|entry| entry.key.clone()).collect();
            OnlyStack::Several(names, first.place)
        }
    }
}

/// Which stack is active; notes keys that no part of steplog knows.
fn read_top(context: &mut Context<'_>, document: &Table, only: OnlyStack) -> Option<String> {
    let mut top = Reader::new(context, document, "", None, Secrets::Followed);
    let mut active = top.optional_text("active", "default");
    match only {
        OnlyStack::Settled => {}
        OnlyStack::One(name) => active = Some(name),
        OnlyStack::Several(names, place) => {
            active = None;
            let what = "missing: the file has several stacks".to_owned();
            let help = format!("add active = … at the top; the stacks are: {}", names.join(", "));
            top.note(Some(place), "active", what, Some(help));
        }
    }
    for section in ["stacks", "artifact_stores", "log_stores"] {
        drop(top.table(section));
    }
    top.ask(&["metadata", "capture", "redact", "spool", "ship"]);
    top.finish();
    active
}

fn read_stacks(
    context: &mut Context<'_>,
    document: &Table,
    chosen: Option<&str>,
    secrets: Secrets,
) -> Vec<Written> {
    let known = |section: &str| -> Vec<&str> {
        let table = document.table(section);
        table
            .map(|table| table.entries.iter().map(|it| it.key.as_str()).collect())
            .unwrap_or_default()
    };
    let (artifact_stores, log_stores) = (known("artifact_stores"), known("log_stores"));
    let mut stacks = Vec::new();
    each(context, document, "stacks", "a table: [stacks.NAME]", |reader, entry| {
        let followed = chosen == Some(entry.key.as_str());
        reader.follow(if followed { secrets } else { Secrets::Unread });
        let mut written =
            Written { name: entry.key.clone(), artifact_store: None, log_stores: Vec::new() };
        written.artifact_store = reader.required_text("artifact_store", "local");
        if let Some(name) = &written.artifact_store
            && !artifact_stores.contains(&name.as_str())
        {
            let names = artifact_stores.iter().copied();
            reader.not_there("artifact_store", "artifact store", name, names);
        }
        if let Some((names, place)) = reader.list("log_stores", "[\"archive\"]") {
            if names.is_empty() {
                let what = "expected at least one log store".to_owned();
                let help = "leave the key out to keep the logs in the artifact store".to_owned();
                reader.note(Some(place), "log_stores", what, Some(help));
            }
            for (name, place) in names {
                if written.log_stores.contains(&name) {
                    let what = format!("{name:?} is named twice");
                    reader.note(Some(place), "log_stores", what, None);
                } else if log_stores.contains(&name.as_str()) {
                    written.log_stores.push(name);
                } else {
                    let known = log_stores.iter().copied();
                    reader.not_there_at(Some(place), "log_stores", "log store", &name, known);
                }
            }
        }
        stacks.push(written);
    });
    stacks
}

fn read_artifact_stores(
    context: &mut Context<'_>,
    document: &Table,
    used: &Used,
    secrets: Secrets,
) -> Vec<(String, artifact::Config)> {
    let mut stores = Vec::new();
    let component = Component::ArtifactStore;
    each(context, document, component.section(), shape(component), |reader, entry| {
        let followed = used.artifact_stores.contains(&entry.key);
        reader.follow(if followed { secrets } else { Secrets::Unread });
        let mut config = artifact::Config::new(Location::Local { path: PathBuf::new() });
        if let Some(Flavor { read: Read::ArtifactStore(read), .. }) = flavor(reader, component) {
            config = read(reader);
        }
        stores.push((entry.key.clone(), config));
    });
    stores
}

fn read_log_stores(
    context: &mut Context<'_>,
    document: &Table,
    used: &Used,
    secrets: Secrets,
    artifact_stores: &[(String, artifact::Config)],
) -> Vec<(String, stores::Config)> {
    let placeholder = artifact::Config::new(Location::Local { path: PathBuf::new() });
    let own = artifact_stores.iter().find(|(name, _)| used.artifact_stores.first() == Some(name));
    let own = own.map_or(&placeholder, |(_, config)| config);
    let mut stores = Vec::new();
    let component = Component::LogStore;
    each(context, document, component.section(), shape(component), |reader, entry| {
        let followed = used.log_stores.contains(&entry.key);
        reader.follow(if followed { secrets } else { Secrets::Unread });
        if let Some(Flavor { read: Read::LogStore(read), .. }) = flavor(reader, component) {
            let config = read(reader, &Siblings { own, all: artifact_stores });
            stores.push((entry.key.clone(), config));
        }
    });
    stores
}

fn shape(component: Component) -> &'static str {
    match component {
        Component::ArtifactStore => "a table: [artifact_stores.NAME]",
        Component::LogStore => "a table: [log_stores.NAME]",
    }
}

/// Reads every table of a section whose keys are the user's names.
fn each(
    context: &mut Context<'_>,
    document: &Table,
    section: &str,
    shape: &str,
    mut read: impl FnMut(&mut Reader<'_, '_, '_>, &Entry),
) {
    let Some(entry) = document.get(section) else { return };
    let Some(table) = document.table(section) else { return };
    let mut reader = Reader::new(context, table, section, Some(entry.place), Secrets::Unread);
    for entry in reader.all() {
        if !is_name(&entry.key) {
            let what = "not a name".to_owned();
            let help = "a name is 1 to 64 letters, digits, \"_\", \"-\" or \".\"".to_owned();
            reader.note(Some(entry.place), &entry.key, what, Some(help));
        }
        if let Some(mut below) = reader.below(entry, shape) {
            read(&mut below, entry);
            below.finish();
        }
    }
}

/// Names stand in file names and on command lines.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '-'])
}

/// The flavor that a component's table names. Without one, no key of the table can be judged.
fn flavor(reader: &mut Reader<'_, '_, '_>, component: Component) -> Option<&'static Flavor> {
    let names: Vec<_> = Flavor::of(component).map(|flavor| flavor.name).collect();
    let example = names.first().copied().unwrap_or_default();
    let written = reader.required_text("flavor", example);
    let flavor =
        written.as_ref().and_then(|name| Flavor::of(component).find(|it| it.name == *name));
    if let Some(flavor) = flavor {
        let secret = flavor.keys().filter(|key| key.secret == Secret::Yes);
        reader.keep_secret(secret.map(|key| key.name));
    } else {
        if let Some(name) = written {
            let noun = format!("{} flavor", component.noun());
            reader.not_there("flavor", &noun, &name, names.into_iter());
        }
        reader.all().for_each(drop);
    }
    flavor
}

impl From<Written> for StackLine {
    fn from(written: Written) -> Self {
        Self {
            name: written.name,
            artifact_store: written.artifact_store.unwrap_or_default(),
            log_stores: written.log_stores,
        }
    }
}
