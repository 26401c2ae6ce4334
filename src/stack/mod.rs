//! The stack file: as written and as resolved.

mod env;

pub use env::Env;

use std::path::{Path, PathBuf};

use crate::stores::{self, artifact};
use crate::{capture, enrich, line, redact, ship, spool};

/// A stack, resolved: everything that capture, ship and read have to know.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Everything that is wrong with a stack file.
#[derive(Debug, thiserror::Error)]
#[error("use the stack file")]
pub struct Errors {}

/// The active stack of the file that `explicit`, the environment or the usual places name.
pub fn load(explicit: Option<&Path>) -> Result<Stack, Errors> {
    let _ = explicit;
    let env = Env::process();
    let config = artifact::Config::new(artifact::Location::Local { path: env.data() });
    let name = "local".to_owned();
    Ok(Stack {
        name: "default".to_owned(),
        file: None,
        log_stores: vec![LogStore {
            name: name.clone(),
            config: stores::Config::Artifact(config.clone()),
        }],
        artifact_store: ArtifactStore { name, config },
        metadata: enrich::Table {
            pipeline_run_id: vec!["STEPLOG_PIPELINE_RUN_ID".to_owned()],
            step_id: vec!["STEPLOG_STEP_ID".to_owned()],
            attempt: vec!["STEPLOG_ATTEMPT".to_owned()],
            source: vec!["STEPLOG_SOURCE".to_owned()],
            attributes: Default::default(),
        },
        capture: Default::default(),
        lines: Default::default(),
        redact: Default::default(),
        spool: spool::Settings { dir: env.spool(), ..Default::default() },
        ship: Default::default(),
    })
}

/// The stack `name` of that file, active or not.
pub fn load_named(explicit: Option<&Path>, name: &str) -> Result<Stack, Errors> {
    load(explicit).map(|stack| Stack { name: name.to_owned(), ..stack })
}
