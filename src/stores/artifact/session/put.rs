//! Single objects: put one exactly once, look at one that is there.
//!
//! Apart from the session because these are the only requests it is made of, and because what
//! stores mean by "already exists" is a subject of its own.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

use crate::stores::DeliverError;
use crate::stores::artifact::Codec;
use crate::stores::artifact::failure::{classify, retry};
use crate::stores::artifact::object::{Footer, FooterError, Index, parse_footer};

/// What is asked for of an object's end at first; more than most indexes.
const TAIL: u64 = 64 << 10;

/// What a put that creates has found.
pub(super) enum Put {
    /// The object is ours.
    Created,
    /// One of that name was there.
    Exists,
}

/// Puts an object unless there is one of this name.
pub(super) async fn create(
    store: &dyn ObjectStore,
    path: &Path,
    payload: PutPayload,
    purpose: &str,
) -> Result<Put, DeliverError> {
    let options = PutOptions::from(PutMode::Create);
    match store.put_opts(path, payload.clone(), options).await {
        Ok(_) => Ok(Put::Created),
        Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Put::Exists),
        // A store without conditional puts: the name is only ever given to these bytes, and
        // looking first keeps bytes that another version has compressed differently.
        Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
            match store.head(path).await {
                Ok(_) => Ok(Put::Exists),
                Err(StoreError::NotFound { .. }) => {
                    replace(store, path, payload, purpose).await.map(|()| Put::Created)
                }
                Err(error) => Err(classify(purpose, &error)),
            }
        }
        Err(error) => Err(classify(purpose, &error)),
    }
}

/// Puts an object, whether there is one of this name or not.
pub(super) async fn replace(
    store: &dyn ObjectStore,
    path: &Path,
    payload: PutPayload,
    purpose: &str,
) -> Result<(), DeliverError> {
    match store.put(path, payload).await {
        Ok(_) => Ok(()),
        Err(error) => Err(classify(purpose, &error)),
    }
}

/// What stands under a name.
pub(super) enum Existing<T> {
    /// A log object.
    Is(T),
    /// Something that steplog did not write whole.
    Unreadable(FooterError),
    /// Nothing.
    Missing,
}

/// The index of a log object, from as little of it as needed.
pub(super) async fn read_index(
    store: &dyn ObjectStore,
    path: &Path,
    codec: Codec,
) -> Result<Existing<Index>, DeliverError> {
    let purpose = "read the index of an object";
    let size = match store.head(path).await {
        Ok(meta) => meta.size,
        Err(StoreError::NotFound { .. }) => return Ok(Existing::Missing),
        Err(error) => return Err(classify(purpose, &error)),
    };
    let mut wanted = TAIL.min(size);
    loop {
        let tail = match store.get_range(path, size - wanted..size).await {
            Ok(tail) => tail,
            Err(StoreError::NotFound { .. }) => return Ok(Existing::Missing),
            Err(error) => return Err(classify(purpose, &error)),
        };
        match parse_footer(&tail, size, codec) {
            Ok(Footer::Index(index)) => return Ok(Existing::Is(index)),
            Ok(Footer::Need(more)) if more > wanted && more <= size => wanted = more,
            Ok(Footer::Need(_)) => return Ok(Existing::Unreadable(FooterError::NotALogObject)),
            Err(error @ FooterError::Version(_)) => {
                return Err(DeliverError::Fatal {
                    message: format!("failed to {purpose}: {path}: {error}"),
                    advice: "ship it with the steplog that wrote it, or a later one",
                    not_allowed: false,
                });
            }
            Err(error) => return Ok(Existing::Unreadable(error)),
        }
    }
}

/// A whole object.
pub(super) async fn read_whole(
    store: &dyn ObjectStore,
    path: &Path,
    purpose: &str,
) -> Result<Option<Bytes>, DeliverError> {
    let read = async { store.get(path).await?.bytes().await };
    match read.await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(classify(purpose, &error)),
    }
}

/// A store said that an object exists, and then that it does not.
pub(super) fn contradiction(purpose: &str) -> DeliverError {
    retry(format!("failed to {purpose}: the store says that the object exists, but has none"))
}
