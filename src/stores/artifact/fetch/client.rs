//! Requests to the artifact store, counted, and what their answers mean to a reader.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::de::DeserializeOwned;

use super::super::object::{Footer, FooterError, Index, parse_footer};
use super::super::{Codec, layout};
use super::indexes::Indexes;
use crate::read::store::{Meter, ReadError};
use crate::stores::artifact::failure::read_error;

/// Read from the end of an object whose index may have any length.
const TAIL: u64 = 64 << 10;

/// A store, and what it has cost.
#[derive(Clone, Debug)]
pub(in super::super) struct Client {
    store: Arc<dyn ObjectStore>,
    pub(super) meter: Meter,
    pub(super) local: bool,
    indexes: Indexes,
}

/// An object that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum IndexError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0} is missing")]
    Missing(Path),
    #[error("{path}: {source}")]
    Damaged { path: Path, source: FooterError },
}

impl Client {
    pub(in super::super) fn new(store: Arc<dyn ObjectStore>, local: bool) -> Self {
        Self { store, meter: Meter::default(), local, indexes: Indexes::default() }
    }

    pub(in super::super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// A whole object; `None` if there is none of that name.
    pub(in super::super) async fn get(&self, path: &Path) -> Result<Option<Bytes>, ReadError> {
        let store = &self.store;
        let got = patiently(move || async move { store.get(path).await?.bytes().await }).await;
        self.answer(got)
    }

    /// A piece of an object.
    pub(in super::super) async fn range(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, ReadError> {
        if range.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        let got = patiently(|| self.get_range(path, range.clone())).await;
        self.answer(got)
    }

    /// What there is of it: of an object that was cut off less than its index says, which is damage and no failure
    /// of the store.
    async fn get_range(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<Bytes, object_store::Error> {
        let error = match self.store.get_range(path, range.clone()).await {
            Err(error @ object_store::Error::Generic { .. }) => error,
            got => return got,
        };
        match self.store.head(path).await {
            Ok(meta) if meta.size <= range.start => Ok(Bytes::new()),
            Ok(meta) if meta.size < range.end => {
                self.store.get_range(path, range.start..meta.size).await
            }
            _ => Err(error),
        }
    }

    /// A JSON object; one that cannot be read counts as damaged.
    pub(in super::super) async fn json<T: DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<Option<Result<T, serde_json::Error>>, ReadError> {
        Ok(self.get(path).await?.map(|bytes| serde_json::from_slice(&bytes)))
    }

    /// All objects below a folder, by name.
    pub(in super::super) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, ReadError> {
        self.meter.add(0);
        let list = || self.store.list(Some(folder)).try_collect();
        let mut all: Vec<ObjectMeta> = patiently(list).await.map_err(read_error)?;
        all.sort_by(|one, other| one.location.cmp(&other.location));
        Ok(all)
    }

    /// The folders in a folder, by name.
    pub(in super::super) async fn folders(&self, folder: &Path) -> Result<Vec<Path>, ReadError> {
        self.meter.add(0);
        let list = || self.store.list_with_delimiter(Some(folder));
        let mut listed = patiently(list).await.map_err(read_error)?.common_prefixes;
        listed.sort();
        Ok(listed)
    }

    /// The index of a log object of `size` bytes; `guess`: how long its footer is, if known.
    pub(in super::super) async fn index(
        &self,
        path: &Path,
        size: u64,
        guess: Option<u64>,
        codec: Codec,
    ) -> Result<Index, IndexError> {
        let mut tail = guess.unwrap_or(TAIL).min(size);
        loop {
            let bytes = self
                .range(path, size.saturating_sub(tail)..size)
                .await?
                .ok_or_else(|| IndexError::Missing(path.clone()))?;
            match parse_footer(&bytes, size, codec) {
                Ok(Footer::Index(index)) => return Ok(index),
                Ok(Footer::Need(more)) if more > tail => tail = more.min(size),
                Ok(Footer::Need(_)) => {
                    let source = FooterError::NotALogObject;
                    return Err(IndexError::Damaged { path: path.clone(), source });
                }
                Err(source) => return Err(IndexError::Damaged { path: path.clone(), source }),
            }
        }
    }

    /// The same of a segment, which may have been read lately.
    pub(super) async fn segment_index(
        &self,
        path: &Path,
        size: u64,
        guess: Option<u64>,
        codec: Codec,
    ) -> Result<Arc<Index>, IndexError> {
        if let Some(index) = self.indexes.get(path) {
            return Ok(index);
        }
        let index = Arc::new(self.index(path, size, guess, codec).await?);
        self.indexes.put(path, &index);
        Ok(index)
    }

    /// How long to wait for more of a writer that started so long ago.
    pub(super) fn cadence(&self, age: Duration) -> Duration {
        // A look costs next to nothing on this machine, and a fraction of a cent an hour elsewhere.
        match age.as_secs() {
            _ if self.local => Duration::from_millis(50),
            0..60 => Duration::from_secs(1),
            60..600 => Duration::from_secs(2),
            _ => Duration::from_secs(5),
        }
    }

    fn answer(&self, got: Result<Bytes, object_store::Error>) -> Result<Option<Bytes>, ReadError> {
        match got {
            Ok(bytes) => {
                self.meter.add(bytes.len() as u64);
                Ok(Some(bytes))
            }
            Err(object_store::Error::NotFound { .. }) => {
                self.meter.add(0);
                Ok(None)
            }
            Err(error) => Err(read_error(error)),
        }
    }
}

/// Asks again after a failure that may pass. The client does so too, but not where an answer was
/// cut off in its middle.
async fn patiently<T, F>(request: impl Fn() -> F) -> Result<T, object_store::Error>
where
    F: Future<Output = Result<T, object_store::Error>>,
{
    for pause in [100, 400] {
        match request().await {
            Err(
                error @ (object_store::Error::Generic { .. }
                | object_store::Error::JoinError { .. }),
            ) => {
                if matches!(read_error(error), ReadError::Denied(_)) {
                    break;
                }
            }
            answer => return answer,
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    request().await
}

/// Name of an object as a person may need it: without the long way to the writer's folder.
pub(in super::super) fn short<'a>(prefix: &Path, path: &'a Path) -> &'a str {
    match layout::member(prefix, path) {
        Some(_) => path.as_ref().get(prefix.as_ref().len() + 1..).unwrap_or(path.as_ref()),
        None => path.as_ref(),
    }
}
