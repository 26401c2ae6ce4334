//! Tries a store for real: writes, reads back and deletes one small object.
//!
//! What a configuration promises and what a store allows are two things; this asks the store,
//! with the very calls that shipping and reading use. Leaves nothing behind, unless the store
//! does not let it delete.

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::failure::classify;
use crate::record::WriterId;
use crate::stores::DeliverError;

/// What a store can do, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// It refuses to overwrite where asked to. Without that a name can be written twice, and only
    /// checksums tell.
    pub creates_once: bool,
}

/// Which step failed, and what the store said.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No object can be created.
    #[error("write the object {name}")]
    Write {
        /// Of the object.
        name: Path,
        /// What the store said.
        source: object_store::Error,
    },
    /// It cannot be read back.
    #[error("read the object {name}")]
    Read {
        /// Of the object.
        name: Path,
        /// What the store said.
        source: object_store::Error,
    },
    /// What was read is not what was written.
    #[error("read the object {0}: it is not what was written")]
    Differs(Path),
    /// Names cannot be listed.
    #[error("list the objects below {name}")]
    List {
        /// Prefix.
        name: Path,
        /// What the store said.
        source: object_store::Error,
    },
    /// It cannot be deleted.
    #[error("delete the object {name}")]
    Delete {
        /// Of the object.
        name: Path,
        /// What the store said.
        source: object_store::Error,
    },
}

impl ProbeError {
    /// What it means to whoever set the store up.
    pub(super) fn judge(&self) -> DeliverError {
        let purpose = self.to_string();
        match self {
            Self::Write { source, .. }
            | Self::Read { source, .. }
            | Self::List { source, .. }
            | Self::Delete { source, .. } => classify(&purpose, source),
            Self::Differs(_) => DeliverError::Fatal {
                message: format!("failed to {purpose}"),
                advice: "check that nothing between here and the store changes what it carries",
                not_allowed: false,
            },
        }
    }
}

/// Writes, overwrites in vain, reads, lists and deletes an object with a name of its own.
pub async fn probe(store: &dyn ObjectStore) -> Result<Probe, ProbeError> {
    let folder = Path::from("check");
    let name = folder.clone().join(WriterId::new().to_string());
    let tried = try_object(store, &folder, &name).await;
    // Also after a failure: what could be written is not left behind.
    let deleted = store.delete(&name).await;
    let probe = tried?;
    match deleted {
        Ok(()) => Ok(probe),
        Err(source) => Err(ProbeError::Delete { name, source }),
    }
}

async fn try_object(
    store: &dyn ObjectStore,
    folder: &Path,
    name: &Path,
) -> Result<Probe, ProbeError> {
    let text = format!("written by steplog check, to be deleted at once: {name}\n");
    let create = || PutOptions::from(PutMode::Create);
    let write = |source| ProbeError::Write { name: name.clone(), source };
    store.put_opts(name, text.clone().into(), create()).await.map_err(write)?;
    let creates_once = match store.put_opts(name, text.clone().into(), create()).await {
        Err(object_store::Error::AlreadyExists { .. }) => true,
        Ok(_) => false,
        Err(source) => return Err(write(source)),
    };
    let read = |source| ProbeError::Read { name: name.clone(), source };
    let bytes = store.get(name).await.map_err(read)?.bytes().await.map_err(read)?;
    if bytes != text {
        return Err(ProbeError::Differs(name.clone()));
    }
    let listed = store.list_with_delimiter(Some(folder)).await;
    listed.map_err(|source| ProbeError::List { name: folder.clone(), source })?;
    Ok(Probe { creates_once })
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_good_store_passes_and_is_left_clean() {
        let store = InMemory::new();
        let probe = block_on(probe(&store)).unwrap();
        assert!(probe.creates_once);
        assert!(block_on(store.list_with_delimiter(None)).unwrap().common_prefixes.is_empty());
    }

    #[test]
    fn a_store_that_cannot_be_written_says_which_step_failed() {
        let dir = tempfile::tempdir().unwrap();
        let store = object_store::local::LocalFileSystem::new_with_prefix(dir.path()).unwrap();
        std::fs::write(dir.path().join("check"), "in the way").unwrap();
        let error = block_on(probe(&store)).unwrap_err();
        assert!(error.to_string().starts_with("write the object check/"), "{error}");
    }
}
