//! The checkpoint: how far each log store has what the spool holds, and which cuts are decided.
//!
//! Apart from the reader because ship alone writes it and decides what is in it; here is only
//! its shape and how it is kept whole. `A` is the state from which line splitting is taken up
//! again (`line::State`), which this module does not look into.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dir::{Durability, write_file};
use super::disk::{RealDisk, read_all};

const FILE: &str = "checkpoint";
const VERSION: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint<A> {
    version: u32,
    /// By the log store's name.
    pub stores: BTreeMap<String, StoreCheckpoint<A>>,
}

/// One log store's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreCheckpoint<A> {
    /// Where to take up reading: after the last acknowledged chunk.
    pub acked: A,
    /// Number of the chunk after the last acknowledged one.
    pub next_chunk: u64,
    /// Cuts that are decided and may have been sent, oldest first. Written before the first
    /// request, so that a later try sends the same bytes under the same name.
    #[serde(default = "Vec::new")]
    pub in_flight: Vec<Cut<A>>,
    /// The store's own state.
    #[serde(default)]
    pub store: serde_json::Value,
    /// Why the last try failed; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// All is delivered and the store has been told that it ends here.
    #[serde(default)]
    pub finished: bool,
}

/// Where a chunk ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut<A> {
    /// The chunk's number.
    pub chunk: u64,
    /// `seq` of the first line that is not in it.
    pub to_seq: u64,
    /// Where reading is taken up if the store turns out to have the chunk. None where the cut was
    /// learnt from the store.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub after: Option<A>,
}

fn none<A>() -> Option<A> {
    None
}

/// Why [`Checkpoint::load`] failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("failed to read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what ship writes.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A later version of steplog wrote it.
    #[error("{} has version {found}, this steplog reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
    },
}

impl<A> Default for Checkpoint<A> {
    fn default() -> Self {
        Self { version: VERSION, stores: BTreeMap::new() }
    }
}

impl<A: Serialize + DeserializeOwned> Checkpoint<A> {
    /// What was stored last; the default if nothing was.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let path = dir.join(FILE);
        let contents = match read_all(&RealDisk, &path) {
            Ok(contents) => contents,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(LoadError::Io { path, source }),
        };
        // The version first: a later one may have other fields.
        let value: serde_json::Value = match serde_json::from_slice(&contents) {
            Ok(value) => value,
            Err(source) => return Err(LoadError::Damaged { path, source }),
        };
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(found) if found > u64::from(VERSION) => {
                Err(LoadError::Version { path, found: found as u32 })
            }
            _ => {
                serde_json::from_value(value).map_err(|source| LoadError::Damaged { path, source })
            }
        }
    }

    /// Replaces what was stored, as a whole or not at all.
    pub fn store(&self, dir: &Path, durability: Durability) -> io::Result<()> {
        write_file(&RealDisk, dir, FILE, &serde_json::to_vec(self)?, durability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint<u64> {
        let store = StoreCheckpoint {
            acked: 42,
            next_chunk: 3,
            in_flight: vec![Cut { chunk: 3, to_seq: 99, after: Some(50) }],
            store: serde_json::json!({ "segments": 1 }),
            last_error: Some("refused".into()),
            finished: false,
        };
        Checkpoint { stores: [("s3".to_owned(), store)].into(), ..Checkpoint::default() }
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Checkpoint::<u64>::load(dir.path()).unwrap(), Checkpoint::default());
        for durability in [Durability::Process, Durability::Power] {
            checkpoint().store(dir.path(), durability).unwrap();
            assert_eq!(Checkpoint::load(dir.path()).unwrap(), checkpoint());
        }
    }

    #[test]
    fn a_half_written_temporary_file_is_ignored_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        checkpoint().store(dir.path(), Durability::Process).unwrap();
        std::fs::write(dir.path().join("checkpoint.tmp"), "{").unwrap();
        assert_eq!(Checkpoint::load(dir.path()).unwrap(), checkpoint());
        checkpoint().store(dir.path(), Durability::Process).unwrap();
        assert!(!dir.path().join("checkpoint.tmp").exists());
    }

    #[test]
    fn damage_and_a_later_version_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, "{\"version\":1,\"stores\":{\"s3\":{}}}").unwrap();
        let error = Checkpoint::<u64>::load(dir.path()).unwrap_err();
        assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
        std::fs::write(&path, "{\"version\":2,\"shops\":[]}").unwrap();
        let error = Checkpoint::<u64>::load(dir.path()).unwrap_err();
        assert!(matches!(error, LoadError::Version { found: 2, .. }), "{error}");
    }
}
