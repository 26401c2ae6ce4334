//! From a change to a changed file: which file, one edit at a time, nothing invalid, all or nothing.
//!
//! The lock is on the file itself, which works wherever files do and leaves nothing behind. Since
//! each edit puts a new file in its place, whoever has waited looks again whether it still holds the
//! file of that name. A file that is not there yet is put there only if it still is not.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::known::Known;
use super::{Change, EditError, plan};
use crate::stack::env::Env;
use crate::stack::problem::{Errors, Found};
use crate::stack::reader::Secrets;
use crate::stack::reference::plain;
use crate::stack::resolve::{self, Choose, Source};
use crate::stack::view::View;
use crate::stack::write::{self, Access, Existing, WriteError};

/// What a file begins with that an edit makes.
const HEADER: &str = "\
# The stack file of steplog. What it leaves out is as in the built-in default: `steplog stack describe`
# shows all that it comes to, `steplog stack init` writes it out with every limit explained.
";

/// Group and others.
const NOT_OWNER: u32 = 0o077;

/// What an edit did.
#[derive(Debug)]
pub(crate) struct Edited {
    /// The file.
    pub(crate) path: PathBuf,
    /// It was not there before.
    pub(crate) created: bool,
    /// Keys of secrets that stand in the file itself since this edit.
    pub(crate) literals: Vec<String>,
    /// Its permissions before, if others could read it and now cannot.
    pub(crate) was_open: Option<u32>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The change cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The file has errors already.
    #[error("{0}")]
    Broken(Errors),
    /// It would have them.
    #[error("{0}")]
    Invalid(Errors),
    /// The file cannot be read or locked.
    #[error("{doing} {path}: {why}", path = path.display())]
    Io { doing: &'static str, path: PathBuf, why: String },
    /// It cannot be written.
    #[error("{error}{}", cause(error))]
    Write { error: WriteError },
}

/// Makes a change to the stack file that `explicit`, `$STEPLOG_STACK` or the usual places name.
pub(crate) fn edit(
    env: &Env,
    explicit: Option<&Path>,
    change: &Change,
) -> Result<Edited, FileError> {
    let path = which(env, explicit);
    loop {
        let target = follow(&path)?;
        let failed = |doing| {
            let path = path.clone();
            move |error: io::Error| FileError::Io { doing, path, why: plain(&error) }
        };
        let opened = OpenOptions::new().read(true).write(true).open(&target);
        let (held, text, access) = match opened {
            Ok(mut file) => {
                file.lock().map_err(failed("lock"))?;
                if !is_still(&file, &target) {
                    continue;
                }
                let mut text = String::new();
                file.rewind().map_err(failed("read"))?;
                file.read_to_string(&mut text).map_err(failed("read"))?;
                let metadata = file.metadata().map_err(failed("read"))?;
                let owner = Some((metadata.uid(), metadata.gid()));
                (Some(file), text, Access { mode: metadata.mode() & 0o7777, owner })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (None, HEADER.to_owned(), Access { mode: 0o644, owner: None })
            }
            Err(error) => return Err(failed("change")(error)),
        };
        let (text, literals) = changed(env, &path, &text, change)?;
        let Literals { all, new } = literals;
        let open = access.mode & NOT_OWNER;
        let close = all && open != 0;
        let mode = if close { access.mode & !NOT_OWNER } else { access.mode };
        let existing = if held.is_some() { Existing::Replace } else { Existing::Keep };
        match write::write(&target, &text, Access { mode, ..access }, existing) {
            Ok(()) => {
                let was_open = (close && held.is_some()).then_some(access.mode);
                return Ok(Edited { path, created: held.is_none(), literals: new, was_open });
            }
            // Somebody else has made it in the meantime.
            Err(WriteError::Exists(_)) if held.is_none() => {}
            Err(error) => return Err(FileError::Write { error }),
        }
    }
}

/// The file that loading would find, or else the user's.
fn which(env: &Env, explicit: Option<&Path>) -> PathBuf {
    if let Some(path) = explicit {
        return env.absolute(path);
    }
    if let Some(path) = env.get("STEPLOG_STACK") {
        return env.absolute(Path::new(path));
    }
    let files = env.stack_files();
    let found = files.iter().find(|path| path.exists());
    found.or(files.first()).cloned().unwrap_or_default()
}

/// Where links lead, whether something is there or not.
fn follow(path: &Path) -> Result<PathBuf, FileError> {
    let mut at = path.to_owned();
    for _ in 0..40 {
        let Ok(target) = std::fs::read_link(&at) else { return Ok(at) };
        at = at.parent().unwrap_or(Path::new("/")).join(target);
    }
    let why = "too many symbolic links".to_owned();
    Err(FileError::Io { doing: "follow", path: path.to_owned(), why })
}

/// Whether `path` names this file.
fn is_still(file: &File, path: &Path) -> bool {
    let name = |metadata: io::Result<std::fs::Metadata>| {
        metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()))
    };
    name(file.metadata()) == name(std::fs::metadata(path))
}

/// Secrets that stand in a file itself.
struct Literals {
    /// There are some.
    all: bool,
    /// The keys of those that were not there before.
    new: Vec<String>,
}

/// The changed text; valid.
fn changed(
    env: &Env,
    path: &Path,
    text: &str,
    change: &Change,
) -> Result<(String, Literals), FileError> {
    let load = |text: &str| -> Result<View, Errors> {
        let source = Source { file: Some(path.to_owned()), text: text.to_owned() };
        resolve::resolve(env, &source, Choose::Active, Secrets::Unread).map(|(_, view)| view)
    };
    let syntax = |errors: Vec<crate::stack::document::SyntaxError>| {
        let found = errors.into_iter().map(|error| Found {
            place: Some(error.place),
            key: String::new(),
            what: error.message,
            help: None,
        });
        FileError::Broken(Errors::from_found(found.collect(), Some(path), text))
    };
    let before = load(text);
    let known = Known::read(text).map_err(syntax)?;
    let changed = plan::apply(text, &known, change)?;
    let after = match (load(&changed), &before) {
        (Ok(view), _) => view,
        (Err(_), Err(errors)) => return Err(FileError::Broken(errors.clone())),
        (Err(errors), Ok(_)) => return Err(FileError::Invalid(without_places(errors))),
    };
    let old: Vec<&str> = before.iter().flat_map(View::literal_secrets).collect();
    let new = after.literal_secrets().filter(|key| !old.contains(key)).map(str::to_owned).collect();
    Ok((changed, Literals { all: after.literal_secrets().next().is_some(), new }))
}

/// The lines of a file that was not written help nobody.
fn without_places(mut errors: Errors) -> Errors {
    for problem in &mut errors.problems {
        problem.file = None;
        problem.position = None;
    }
    errors
}

fn cause(error: &WriteError) -> String {
    std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default()
}
