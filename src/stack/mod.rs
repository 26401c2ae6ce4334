//! The stack file: as written and as resolved.
//!
//! ```text
//! default.toml (compiled in) ─┐
//!                             ├─► document ──► reader ──► sections, flavors ──► Stack
//! the file that was found ────┘   (tree with    (typed, notes                  View (masked)
//!   --stack, $STEPLOG_STACK,       places)       every problem)                Errors (all)
//!   user's, system's
//! ```
//!
//! What holds here:
//!
//! * All problems of a file are reported at once, each with its line; only text that is not TOML
//!   hides what else may be wrong.
//! * A key is known because something reads it; one that nothing reads is an error.
//! * Nothing that came from a reference, and nothing that stands in a secret key, is shown: not
//!   by `Debug`, not by [`View`], not in [`Errors`]. What is shown is what was written.
//! * The built-in default is a stack file like any other, read in the same way.
//!
//! Loading is on the way of a step's start: it parses two small files and asks nothing else of the
//! machine, no network and no store.

mod document;
pub(crate) mod edit;
mod env;
mod inputs;
pub(crate) mod keys;
pub(crate) mod kind;
mod kinds;
pub(crate) mod manual;
mod problem;
mod reader;
mod reference;
mod resolve;
mod schema;
mod sections;
mod view;
mod write;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

pub use env::Env;
pub(crate) use kind::{Type, size, span};
pub(crate) use problem::suggest;
pub use problem::{Errors, Problem};
pub(crate) use reader::{Reader, Secret};
pub(crate) use resolve::is_name;
pub(crate) use schema::schema;
pub use view::{MASK, StackLine, View};
pub(crate) use view::{StoreLine, json as to_json, spelled};
pub use write::{Existing, WriteError};

use std::path::{Path, PathBuf};
use std::{fmt, io};

use reader::Secrets;
use resolve::{Choose, Source};

use crate::stores::{self, Component, artifact};
use crate::{agent, capture, enrich, line, redact, server, ship, spool};

/// The built-in default: the layer below every stack file, and what `stack init` writes.
pub const DEFAULT: &str = include_str!("default.toml");

/// A stack, resolved: everything that capture, ship and read have to know.
#[derive(Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its name in the file.
    pub name: String,
    /// The file it was read from, absolute. `None`: the built-in default.
    pub file: Option<PathBuf>,
    /// Where objects go.
    pub artifact_store: ArtifactStore,
    /// Where logs go; never empty: with none named in the file, the artifact store keeps them.
    pub log_stores: Vec<LogStore>,
    /// Where run metadata comes from.
    pub metadata: enrich::Table,
    /// How steps are captured.
    pub capture: capture::Settings,
    /// How lines are cut.
    pub lines: line::Settings,
    /// What is masked.
    pub redact: redact::Settings,
    /// Where and how the spool is kept.
    pub spool: spool::Settings,
    /// How delivery works.
    pub ship: ship::Settings,
    /// How the agent works.
    pub agent: agent::Settings,
    /// How `steplog serve` works.
    pub server: server::Settings,
    /// What the agent reads.
    pub inputs: Vec<agent::Input>,
}

/// An artifact store and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactStore {
    /// Its name in the file.
    pub name: String,
    /// What its flavor made of the file's table.
    pub config: artifact::Config,
}

/// A log store and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStore {
    /// Its name in the file; that of the artifact store where it stands in for one.
    pub name: String,
    /// What its flavor made of the file's table.
    pub config: stores::Config,
}

/// Shows names only: anything else may have come from a reference. What may be shown of it, a
/// [`View`] shows.
impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log_stores: Vec<_> = self.log_stores.iter().map(|store| &store.name).collect();
        formatter
            .debug_struct("Stack")
            .field("name", &self.name)
            .field("file", &self.file)
            .field("artifact_store", &self.artifact_store.name)
            .field("log_stores", &log_stores)
            .finish_non_exhaustive()
    }
}

/// The active stack of the file that `explicit`, `$STEPLOG_STACK`, the user's folder or the
/// system's names, or else of the built-in default.
pub fn load(explicit: Option<&Path>) -> Result<Stack, Errors> {
    load_in(&Env::process(), explicit)
}

/// [`load`] in a world of the caller's.
pub fn load_in(env: &Env, explicit: Option<&Path>) -> Result<Stack, Errors> {
    let source = find(env, explicit)?;
    resolve::resolve(env, &source, Choose::Active, Secrets::Followed).map(|(stack, _)| stack)
}

/// The stack `name` of that file, active or not.
pub fn load_named(explicit: Option<&Path>, name: &str) -> Result<Stack, Errors> {
    let env = Env::process();
    let source = find(&env, explicit)?;
    let choose = Choose::Named(name);
    resolve::resolve(&env, &source, choose, Secrets::Followed).map(|(stack, _)| stack)
}

/// The active stack together with how it may be shown.
pub fn inspect(env: &Env, explicit: Option<&Path>) -> Result<(Stack, View), Errors> {
    resolve::resolve(env, &find(env, explicit)?, Choose::Active, Secrets::Followed)
}

/// How a stack may be shown: the active one, or the one of that name. Needs none of its secrets.
pub fn describe(env: &Env, explicit: Option<&Path>, name: Option<&str>) -> Result<View, Errors> {
    let choose = name.map_or(Choose::Active, Choose::Named);
    resolve::resolve(env, &find(env, explicit)?, choose, Secrets::Unread).map(|(_, view)| view)
}

/// One store of the file, as the active stack would use it: the stack that is returned has nothing
/// else. Needs the secrets of that store only.
pub(crate) fn store(
    env: &Env,
    explicit: Option<&Path>,
    component: Component,
    name: &str,
) -> Result<(Stack, View), Errors> {
    let choose = Choose::Store(component, name);
    resolve::resolve(env, &find(env, explicit)?, choose, Secrets::Followed)
}

/// What is wrong with a key of a store that only its client knows of, at the line where the key
/// stands, or else the store.
pub(crate) fn problem_of_store(
    file: Option<&Path>,
    name: &str,
    key: &str,
    what: String,
    help: String,
) -> Problem {
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let written = document::parse(&text, document::Layer::File).unwrap_or_default();
    let sections = ["artifact_stores", "log_stores"];
    let (section, store) = sections
        .into_iter()
        .find_map(|section| Some((section, written.table(section)?.get(name)?)))
        .map_or(("artifact_stores", None), |(section, store)| (section, Some(store)));
    let place = store.map(|store| match &store.node.value {
        document::Value::Table(table) => table.get(key).map_or(store.place, |entry| entry.place),
        _ => store.place,
    });
    Problem {
        file: file.map(Path::to_owned),
        position: place.map(|place| problem::position(&text, place.offset)),
        key: reader::join(&reader::join(section, name), key),
        what,
        help: Some(help),
    }
}

/// Writes the default file to `path`, or to where the user's stack file is looked for. Returns where.
pub fn init(env: &Env, path: Option<&Path>, existing: Existing) -> Result<PathBuf, WriteError> {
    let usual = || env.stack_files().into_iter().next();
    let path = path.map(|path| env.absolute(path)).or_else(usual).unwrap_or_default();
    // It holds no secret, so everybody may read it.
    write::write(&path, DEFAULT, write::Access { mode: 0o644, owner: None }, existing)?;
    Ok(path)
}

/// The file that is to be used, read.
fn find(env: &Env, explicit: Option<&Path>) -> Result<Source, Errors> {
    if let Some(path) = explicit {
        return read(env.absolute(path), "name a file that exists, or leave --stack out");
    }
    if let Some(path) = env.get("STEPLOG_STACK") {
        let path = env.absolute(Path::new(path));
        return read(path, "STEPLOG_STACK names this file: set it to one that exists, or unset it");
    }
    for path in env.stack_files() {
        match std::fs::read(&path) {
            Err(error) if is_absent(&error) => {}
            result => return text(path, result, "make it readable, or name another with --stack"),
        }
    }
    Ok(Source { file: None, text: String::new() })
}

fn read(path: PathBuf, help: &str) -> Result<Source, Errors> {
    let result = std::fs::read(&path);
    text(path, result, help)
}

fn text(path: PathBuf, result: io::Result<Vec<u8>>, help: &str) -> Result<Source, Errors> {
    match result.map(String::from_utf8) {
        Ok(Ok(text)) => Ok(Source { file: Some(path), text }),
        Ok(Err(_)) => Err(Errors::of_file(&path, "it is not UTF-8".to_owned(), "save it as UTF-8")),
        Err(error) => {
            let what = format!("cannot read the stack file: {}", reference::plain(&error));
            Err(Errors::of_file(&path, what, help))
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
