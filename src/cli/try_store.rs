//! Tries stores for real, for `check --connect` and `… test`, and says how it went.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reading::{NOT_ALLOWED, STORE_FAILED};
use super::wrap::chain;
use crate::delivery::{problem, setting};
use crate::read::store::ReadError;
use crate::ship;
use crate::stack::{Stack, View};
use crate::stores::{Component, Config, DeliverError, Reading};

/// What one store is given in all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that a stack uses.
pub(super) struct Target {
    /// As the stack file spells it.
    pub(super) key: String,
    name: String,
    config: Config,
}

/// How trying a store went; said already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    Works,
    NotAllowed,
    Failed,
}

/// The one store that this stack was made of.
pub(super) fn test(component: Component, stack: &Stack, view: &View) -> ExitCode {
    let target = match component {
        Component::ArtifactStore => Some(Target::artifact(stack)),
        Component::LogStore => stack.log_stores.first().map(Target::log),
    };
    let tried = target.map_or(Tried::Failed, |target| target.connect(stack, view));
    ExitCode::from(match tried {
        Tried::Works => 0,
        Tried::NotAllowed => NOT_ALLOWED,
        Tried::Failed => STORE_FAILED,
    })
}

/// Each place once, however many components lead to it.
pub(super) fn all(stack: &Stack) -> Vec<Target> {
    let mut targets = vec![Target::artifact(stack)];
    for store in &stack.log_stores {
        let is_there = targets.iter().any(|target| match (&target.config, &store.config) {
            (Config::Artifact(one), Config::Artifact(other)) => one.location == other.location,
            _ => false,
        });
        if !is_there {
            targets.push(Target::log(store));
        }
    }
    targets
}

impl Target {
    fn artifact(stack: &Stack) -> Self {
        let name = stack.artifact_store.name.clone();
        let config = Config::Artifact(stack.artifact_store.config.clone());
        Self { key: format!("artifact_stores.{name}"), name, config }
    }

    fn log(store: &crate::stack::LogStore) -> Self {
        let name = store.name.clone();
        Self { key: format!("log_stores.{name}"), name, config: store.config.clone() }
    }

    /// Whether clients take it: only they know whether the values of their options are right. A local
    /// store is left alone: looking at it must not make its folder.
    pub(super) fn is_valid(&self, stack: &Stack, view: &View) -> bool {
        use crate::stores::artifact::Location;
        if let Config::Artifact(config) = &self.config
            && matches!(config.location, Location::Local { .. })
        {
            return true;
        }
        match self.config.store(&self.name, stack.ship.patience(), &stack.ship.dead_letter) {
            Ok(_) => true,
            Err(error) => {
                match setting(&error) {
                    Some(setting) => eprintln!("{}", problem(stack, &self.name, setting)),
                    None => self.complain(view, &format!("failed to {}", chain(&error))),
                }
                false
            }
        }
    }

    /// Writes to it and, where that can be done, reads from it.
    pub(super) fn connect(&self, stack: &Stack, view: &View) -> Tried {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                self.complain(view, &format!("failed to start a thread: {error}"));
                return Tried::Failed;
            }
        };
        let tried = runtime.block_on(async {
            tokio::time::timeout(PATIENCE, self.try_both(view, &stack.ship)).await
        });
        match tried {
            Ok(Ok(())) => Tried::Works,
            Ok(Err(Problem { what, not_allowed })) => {
                self.complain(view, &what);
                if not_allowed { Tried::NotAllowed } else { Tried::Failed }
            }
            Err(_) => {
                self.complain(view, &format!("no answer within {} s", PATIENCE.as_secs()));
                Tried::Failed
            }
        }
    }

    async fn try_both(&self, view: &View, ship: &ship::Settings) -> Result<(), Problem> {
        let failed = |error: &dyn std::error::Error| Problem {
            what: format!("failed to {}", chain(error)),
            not_allowed: false,
        };
        let begun = Instant::now();
        let store = self.config.store(&self.name, ship.patience(), &ship.dead_letter);
        let store = store.map_err(|error| failed(&error))?;
        let probed = store.probe().await;
        store.close().await;
        let probed = probed?;
        let milliseconds = begun.elapsed().as_millis();
        let key = &self.key;
        eprintln!("{key}: {} in {milliseconds} ms", probed.did);
        if let Some(warning) = probed.warning {
            eprintln!("{key}: warning: {warning}");
        }
        match self.config.reading().map_err(|error| failed(&error))? {
            Reading::Here(reader) => {
                let begun = Instant::now();
                let reader = Arc::clone(&reader);
                reader.runs(1).await?;
                eprintln!("{key}: can be read, in {} ms", begun.elapsed().as_millis());
            }
            Reading::Elsewhere(place) => {
                eprintln!("{key}: cannot be read back by steplog: {}", view.scrub(&place));
            }
        }
        Ok(())
    }

    fn complain(&self, view: &View, what: &str) {
        // Stores answer in XML, over many lines.
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        let file = view.file.as_ref().map(|file| format!("{}: ", file.display()));
        eprintln!("{}{}: {}", file.unwrap_or_default(), self.key, view.scrub(&what));
    }
}

/// What a store did instead.
struct Problem {
    what: String,
    not_allowed: bool,
}

impl From<DeliverError> for Problem {
    fn from(error: DeliverError) -> Self {
        let message = chain(&error);
        match error {
            DeliverError::Fatal { advice, not_allowed, .. } => {
                let denied = if not_allowed { "not allowed: " } else { "" };
                Self { what: format!("{denied}{message}; {advice}"), not_allowed }
            }
            DeliverError::Retry { .. } | DeliverError::Conflict { .. } => {
                Self { what: message, not_allowed: false }
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let not_allowed = matches!(error, ReadError::Denied(_));
        let denied = if not_allowed { "reading is not allowed: " } else { "failed to read: " };
        Self { what: format!("{denied}{}", chain(&error)), not_allowed }
    }
}
