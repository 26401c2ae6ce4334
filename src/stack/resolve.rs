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
use crate::stores::custom::{Registered, declared};
use crate::stores::{self, Component, FLAVORS, Flavor, Read, Siblings};

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
    /// None of them, but one store, as the active stack would use it.
    Store(Component, &'a str),
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
        recorder: None,
    };
    let active = read_top(&mut context, &document, only_stack);
    let name = match choose {
        Choose::Active | Choose::Store(..) => active.as_deref(),
        Choose::Named(name) => Some(name),
    };
    let stacks = read_stacks(&mut context, &document, name, secrets);
    if let Some(name) = name {
        let names = stacks.iter().map(|stack| stack.name.as_str());
        let key = if matches!(choose, Choose::Named(_)) { "" } else { "active" };
        if document.table("stacks").is_some_and(|stacks| stacks.get(name).is_none()) {
            let mut top = Reader::new(&mut context, &document, "", None, secrets);
            top.not_there(key, "stack", name, names);
        }
    }
    pages::give_back();
    let chosen = stacks.iter().find(|stack| Some(stack.name.as_str()) == name);
    let alone = match (choose, chosen) {
        (Choose::Store(component, store), Some(stack)) => {
            alone(&mut context, &document, stack, component, store)
        }
        _ => None,
    };
    let used = Used::by(alone.as_ref().or(chosen), &document, alone.is_some());
    let chosen = alone.as_ref().or(chosen);

    let flavors = read_flavors(&mut context, &document, secrets);
    let artifact_stores = read_artifact_stores(&mut context, &document, &used, secrets);
    let own = chosen
        .and_then(|stack| stack.artifact_store.as_ref())
        .and_then(|name| artifact_stores.iter().find(|(known, _)| known == name))
        .cloned();
    let siblings = (artifact_stores.as_slice(), own.as_ref().map(|(_, config)| config));
    let log_stores = read_log_stores(&mut context, &document, &used, secrets, &flavors, siblings);
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
        agent: sections.agent,
        server: sections.server,
        inputs: sections.inputs,
    };
    let view = View {
        name: stack.name.clone(),
        active,
        file: source.file.clone(),
        artifact_stores: used.artifact_stores,
        log_stores: used.log_stores,
        flavors,
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
    /// `alone`: a log store that does not need the stack's artifact store leaves it alone.
    fn by(stack: Option<&Written>, document: &Table, alone: bool) -> Self {
        let log_stores = stack.map(|stack| stack.log_stores.clone()).unwrap_or_default();
        let own = stack.and_then(|stack| stack.artifact_store.clone());
        let mut artifact_stores = Vec::new();
        let needed = |name: &String| {
            let table = document.table("log_stores").and_then(|stores| stores.table(name));
            table.is_some_and(|it| {
                it.text("flavor") == Some("artifact") && it.get("artifact_store").is_none()
            })
        };
        if !alone || log_stores.is_empty() || log_stores.iter().any(needed) {
            artifact_stores.extend(own);
        }
        for name in &log_stores {
            let table = document.table("log_stores").and_then(|stores| stores.table(name));
            let named = table.and_then(|table| table.text("artifact_store")).map(str::to_owned);
            artifact_stores.extend(named.filter(|name| !artifact_stores.contains(name)));
        }
        Self { artifact_stores, log_stores }
    }
}

/// A stack that has nothing but one store, with the artifact store of `active` behind it; notes that
/// there is no such store.
fn alone(
    context: &mut Context<'_>,
    document: &Table,
    active: &Written,
    component: Component,
    store: &str,
) -> Option<Written> {
    let stores = document.table(component.section());
    let names = stores.into_iter().flat_map(|it| &it.entries).map(|entry| entry.key.as_str());
    if !names.clone().any(|name| name == store) {
        let mut top = Reader::new(context, document, "", None, Secrets::Unread);
        top.not_there("", component.noun(), store, names);
        return None;
    }
    Some(match component {
        Component::ArtifactStore => Written {
            name: active.name.clone(),
            artifact_store: Some(store.to_owned()),
            log_stores: Vec::new(),
        },
        Component::LogStore => Written {
            name: active.name.clone(),
            artifact_store: active.artifact_store.clone(),
            log_stores: vec![store.to_owned()],
        },
    })
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

/// Which stack is active, of a file and of it laid over the default.
pub(super) fn active(file: &Table, document: &Table) -> Option<String> {
    match only_stack(file) {
        OnlyStack::Settled => document.text("active").map(str::to_owned),
        OnlyStack::One(name) => Some(name),
        OnlyStack::Several(..) => None,
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
    for section in ["stacks", "artifact_stores", "log_stores", "flavors"] {
        drop(top.table(section));
    }
    top.ask(&["metadata", "capture", "redact", "spool", "ship", "agent", "server", "inputs"]);
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

/// The flavors of the user's own in a file, whatever else may be wrong with it.
pub(super) fn flavors(document: &Table) -> Vec<Registered> {
    let env = Env::given(0, []);
    let mut context = Context {
        env: &env,
        folder: Path::new("/"),
        found: Vec::new(),
        secrets: Vec::new(),
        literals: Vec::new(),
        recorder: None,
    };
    read_flavors(&mut context, document, Secrets::Unread)
}

fn read_flavors(context: &mut Context<'_>, document: &Table, secrets: Secrets) -> Vec<Registered> {
    let mut flavors = Vec::new();
    each(context, document, "flavors", "a table: [flavors.NAME]", |reader, entry| {
        // Its form is looked at in any case; a log store that uses it needs what it refers to.
        reader.follow(secrets);
        if FLAVORS.iter().any(|flavor| flavor.name == entry.key) {
            let what = "a flavor of this name is built in".to_owned();
            reader.note(Some(entry.place), "", what, Some("choose another name".to_owned()));
        }
        flavors.push(declared::read_flavor(&entry.key, reader));
    });
    flavors
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
        if let Some(Named::BuiltIn(Flavor { read: Read::ArtifactStore(read), .. })) =
            flavor(reader, component, &[])
        {
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
    flavors: &[Registered],
    (all, own): (&[(String, artifact::Config)], Option<&artifact::Config>),
) -> Vec<(String, stores::Config)> {
    let placeholder = artifact::Config::new(Location::Local { path: PathBuf::new() });
    let own = own.unwrap_or(&placeholder);
    let mut stores = Vec::new();
    let component = Component::LogStore;
    each(context, document, component.section(), shape(component), |reader, entry| {
        let followed = used.log_stores.contains(&entry.key);
        reader.follow(if followed { secrets } else { Secrets::Unread });
        let config = match flavor(reader, component, flavors) {
            Some(Named::BuiltIn(Flavor { read: Read::LogStore(read), .. })) => {
                Some(read(reader, &Siblings { own, all }))
            }
            Some(Named::Custom(registered)) => {
                let config = declared::read(&entry.key, reader, registered);
                Some(stores::Config::Custom(config))
            }
            _ => None,
        };
        stores.extend(config.map(|config| (entry.key.clone(), config)));
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
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '-'])
}

/// What `flavor = "…"` means.
enum Named<'a> {
    BuiltIn(&'static Flavor),
    Custom(&'a Registered),
}

/// The flavor that a component's table names. Without one, no key of the table can be judged.
fn flavor<'a>(
    reader: &mut Reader<'_, '_, '_>,
    component: Component,
    custom: &'a [Registered],
) -> Option<Named<'a>> {
    let built_in = || Flavor::of(component).map(|flavor| flavor.name);
    let written = reader.required_text("flavor", built_in().next().unwrap_or_default());
    let Some(name) = written else {
        reader.all().for_each(drop);
        return None;
    };
    if let Some(flavor) = Flavor::of(component).find(|flavor| flavor.name == name) {
        let secret = flavor.keys().filter(|key| key.secret == Secret::Yes);
        reader.keep_secret(secret.map(|key| key.name));
        return Some(Named::BuiltIn(flavor));
    }
    if let Some(registered) = custom.iter().find(|registered| registered.name == name) {
        let keys = registered.keys.iter().flatten().filter(|key| key.secret);
        reader.keep_secret(keys.map(|key| key.name.clone()));
        return Some(Named::Custom(registered));
    }
    let noun = format!("{} flavor", component.noun());
    let names = built_in().chain(custom.iter().map(|it| it.name.as_str()));
    reader.not_there("flavor", &noun, &name, names);
    reader.all().for_each(drop);
    None
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
