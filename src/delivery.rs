//! Stacks whose log stores are open: what whoever delivers spools has in common, `steplog ship` and the
//! agent.
//!
//! Apart from [`ship`](crate::ship), which knows no stack file, and from its two users, neither of which
//! is the other's part. Opens each stack once, as connections are worth keeping. Delivers nothing.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Handle, Runtime};

use crate::ship::{self, Target};
use crate::spool::Meta;
use crate::stack::{self, Stack};
use crate::stores::artifact::{self, Setting};

/// The stacks that spools ask for, each opened once.
pub struct OpenStacks {
    /// Stands over the file that a writer has used.
    file: Option<PathBuf>,
    opened: Mutex<HashMap<Key, Arc<OpenStack>>>,
}

/// The file and the name of a stack.
type Key = (Option<PathBuf>, Option<String>);

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
        Self { file, opened: Mutex::default() }
    }

    /// The stack that the writer of a spool has used.
    pub fn of(&self, meta: &Meta) -> Result<Arc<OpenStack>, OpenError> {
        let written = meta.stack_file.as_deref().filter(|file| file.exists());
        let file = self.file.as_deref().or(written);
        let key = (file.map(Path::to_owned), meta.stack.clone());
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(&key) {
            return Ok(Arc::clone(known));
        }
        let stack = match &meta.stack {
            Some(name) => stack::load_named(file, name),
            None => stack::load(file),
        }?;
        let stores = targets(&stack)?;
        let runtime = ship::runtime(&stack.ship).map_err(OpenError::Threads)?;
        let new = Arc::new(OpenStack { stack, stores, runtime: Some(runtime) });
        opened.insert(key, Arc::clone(&new));
        Ok(new)
    }

    /// The next who asks gets a stack that is opened anew: the file has changed.
    pub fn forget(&self) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
