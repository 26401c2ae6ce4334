//! Stacks whose log stores are open: what whoever delivers spools has in common, `steplog ship` and the
//! agent.
//!
//! Apart from [`ship`](crate::ship), which knows no stack file, and from its two users, neither of which
//! is the other's part. Opens each stack once, as connections are worth keeping; a stack file that is wrong when
//! it is read again leaves the stack as it was. Delivers nothing.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Runtime};

use crate::ship::{self, Target};
use crate::spool::Meta;
use crate::stack::{self, Stack};
use crate::stores::artifact::{self, Setting};

/// The stacks that spools ask for, each opened once.
pub struct OpenStacks {
    /// Stands over the file that a writer has used.
    file: Option<PathBuf>,
    opened: Mutex<HashMap<StackKey, Opened>>,
    complaints: Mutex<Vec<String>>,
}

/// The file and the name of a stack.
pub type StackKey = (Option<PathBuf>, Option<String>);

struct Opened {
    stack: Arc<OpenStack>,
    /// The file is to be read again, then.
    again: Option<Instant>,
}

/// Between tries to read a file that was wrong.
const AGAIN: Duration = Duration::from_secs(10);

/// A stack whose stores are open. When it is dropped they are closed.
pub struct OpenStack {
    /// The stack.
    pub stack: Stack,
    /// Its log stores.
    pub stores: Vec<Target>,
    runtime: Option<Runtime>,
}

/// A stack could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The stack file.
    #[error(transparent)]
    Stack(#[from] stack::Errors),
    /// A log store.
    #[error("{message}")]
    Store {
        /// Which and why.
        message: String,
        /// It may work later: a disk or a folder, not an option.
        later: bool,
    },
    /// Threads.
    #[error("start the threads for requests: {0}")]
    Threads(io::Error),
}

impl OpenStacks {
    /// With a stack file that stands over those that the writers have used.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, opened: Mutex::default(), complaints: Mutex::default() }
    }

    /// Which stack that is. Opens nothing. A stack file can name programs to run: that of a spool of another user
    /// is not taken.
    pub fn key(&self, meta: &Meta) -> StackKey {
        let written = meta.stack_file.as_deref();
        let written = written.filter(|file| meta.stranger.is_none() && file.exists());
        let file = self.file.as_deref().or(written);
        (file.map(Path::to_owned), meta.stack.clone())
    }

    /// Says that the stack file of a spool is not the one that is used, since it is another user's.
    pub fn not_followed(&self, dir: &Path, meta: &Meta) -> Option<String> {
        let (owner, file) = (meta.stranger?, meta.stack_file.as_deref()?);
        self.file.is_none().then(|| {
            let (dir, file) = (dir.display(), file.display());
            format!(
                "the spool {dir} belongs to user {owner}: its stack file {file} is not used, but that of who delivers"
            )
        })
    }

    /// The stack that the writer of a spool has used.
    pub fn of(&self, meta: &Meta) -> Result<Arc<OpenStack>, OpenError> {
        let key = self.key(meta);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(known) = opened.get(&key)
            && known.again.is_none_or(|again| again > now)
        {
            return Ok(Arc::clone(&known.stack));
        }
        match open(&key) {
            Ok(new) => {
                let stack = Arc::new(new);
                opened.insert(key, Opened { stack: Arc::clone(&stack), again: None });
                Ok(stack)
            }
            Err(error) => {
                let Some(known) = opened.get_mut(&key) else { return Err(error) };
                known.again = Some(now + AGAIN);
                let line = format!("delivery goes on with the stack as it was: {}", chain(&error));
                self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                Ok(Arc::clone(&known.stack))
            }
        }
    }

    /// Why stacks are used as they were, since this was asked last.
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut *self.complaints.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next who asks gets a stack that is opened anew, if it can be: the file has changed.
    pub fn forget(&self) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        opened.values_mut().for_each(|known| known.again = Some(now));
    }
}

impl OpenStack {
    /// Where the stores' requests run; none only while it is dropped.
    pub fn handle(&self) -> Option<&Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }
}

impl Drop for OpenStack {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            ship::close(&self.stores, &runtime);
            // A request that hangs must not keep the process.
            runtime.shutdown_background();
        }
    }
}

fn open((file, name): &StackKey) -> Result<OpenStack, OpenError> {
    let file = file.as_deref();
    let stack = match name {
        Some(name) => stack::load_named(file, name),
        None => stack::load(file),
    }?;
    let stores = targets(&stack)?;
    let runtime = ship::runtime(&stack.ship).map_err(OpenError::Threads)?;
    Ok(OpenStack { stack, stores, runtime: Some(runtime) })
}

/// Opens the log stores of a stack.
pub fn targets(stack: &Stack) -> Result<Vec<Target>, OpenError> {
    let open = |store: &stack::LogStore| {
        let opened =
            store.config.store(&store.name, stack.ship.patience(), &stack.ship.dead_letter);
        let opened = opened.map_err(|error| OpenError::Store {
            message: match setting(&error) {
                Some(setting) => problem(stack, &store.name, setting),
                None => format!("log store {}: {}", store.name, chain(&error)),
            },
            // A folder that cannot be made now may be later; a wrong option stays wrong.
            later: is_io(&error),
        })?;
        Ok(Target::new(store.name.clone(), opened, &stack.ship))
    };
    stack.log_stores.iter().map(open).collect()
}

/// The option of the stack file that an error is about.
pub(crate) fn setting<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Setting> {
    loop {
        if let Some(artifact::OpenError::Setting(setting)) = error.downcast_ref() {
            return Some(setting);
        }
        error = error.source()?;
    }
}

/// What is wrong with that option, and where it stands.
pub(crate) fn problem(stack: &Stack, name: &str, setting: &Setting) -> String {
    let Setting { key, what, help } = setting;
    let (what, help) = ((*what).to_owned(), (*help).to_owned());
    stack::problem_of_store(stack.file.as_deref(), name, key, what, help).to_string()
}

/// Which store does not have everything, and why.
pub fn behind(target: &Target) -> String {
    let why = target.progress.error();
    let why = why.unwrap_or_else(|| "not everything is delivered yet".to_owned());
    format!("log store {}: {why}", target.name)
}

/// How many records a store has refused for good, and where they are.
pub fn refusal(target: &Target) -> Option<String> {
    let refused = target.progress.refused()?;
    Some(format!(
        "log store {}: {} refused, kept with the reason in {}",
        target.name,
        match refused.records {
            1 => "1 record was".to_owned(),
            records => format!("{records} records were"),
        },
        refused.file.display()
    ))
}

/// An error and what is behind it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let message = inner.to_string();
        // Some errors repeat what is behind them.
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = inner.source();
    }
    text
}

fn is_io(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<io::Error>() || error.source().is_some_and(is_io)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::spool;
    use crate::stores::artifact::testing::writer;

    #[test]
    fn a_stack_file_that_has_become_wrong_leaves_its_stack_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stack.toml");
        let store = folder.path().join("store");
        let text = format!(
            "active = \"a\"\n[stacks.a]\nartifact_store = \"here\"\n\
             [artifact_stores.here]\nflavor = \"local\"\npath = {store:?}\n"
        );
        fs::write(&file, "active = 1\n").unwrap();
        let meta = Meta {
            version: spool::VERSION,
            writer: writer("run", "step", 1),
            lines: crate::line::Settings::default(),
            stack: Some("a".to_owned()),
            stack_file: Some(file.clone()),
            stranger: None,
        };
        let stacks = OpenStacks::new(None);
        assert!(stacks.of(&meta).is_err(), "there is none that it could go on with");
        fs::write(&file, &text).unwrap();
        let first = stacks.of(&meta).unwrap();
        fs::write(&file, "active = 1\n").unwrap();
        stacks.forget();
        assert!(Arc::ptr_eq(&first, &stacks.of(&meta).unwrap()));
        let complaints = stacks.complaints();
        assert!(complaints.len() == 1 && complaints[0].contains("as it was"), "{complaints:?}");
        // It is not read again for each spool.
        assert!(Arc::ptr_eq(&first, &stacks.of(&meta).unwrap()));
        assert!(stacks.complaints().is_empty());
        fs::write(&file, &text).unwrap();
        stacks.forget();
        assert!(!Arc::ptr_eq(&first, &stacks.of(&meta).unwrap()));
    }
}
