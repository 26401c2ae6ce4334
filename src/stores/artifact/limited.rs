//! A store whose every request is answered within a limit, if only by an error.
//!
//! Apart because the clients have one limit for all requests, whatever they move: one that ends a
//! hang soon would also end, for ever, a large object on a slow link. Here a request has a time of its
//! own and more for what it sends; what it receives only has to go on coming. Tries nothing again.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};
use tokio::time::timeout;

use crate::stores::Patience;

/// See the module.
#[derive(Debug)]
pub(super) struct Limited {
    pub(super) inner: Arc<dyn ObjectStore>,
    pub(super) patience: Patience,
}

impl fmt::Display for Limited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

#[async_trait]
impl ObjectStore for Limited {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let limit = self.patience.with(payload.content_length());
        within(limit, self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let patience = self.patience;
        let start = self.inner.put_multipart_opts(location, options);
        let inner = within(patience.with(0), start).await?;
        Ok(Box::new(LimitedUpload { inner, patience, sent: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let limit = self.patience.with(0);
        let mut result = within(limit, self.inner.get_opts(location, options)).await?;
        if let GetResultPayload::Stream(body) = result.payload {
            result.payload = GetResultPayload::Stream(each_within(limit, body));
        }
        Ok(result)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        each_within(self.patience.with(0), self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        each_within(self.patience.with(0), self.inner.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        within(self.patience.with(0), self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        within(self.patience.with(0), self.inner.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct LimitedUpload {
    inner: Box<dyn MultipartUpload>,
    patience: Patience,
    sent: usize,
}

#[async_trait]
impl MultipartUpload for LimitedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let bytes = data.content_length();
        self.sent += bytes;
        within(self.patience.with(bytes), self.inner.put_part(data)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        // The store may only now put the parts together.
        within(self.patience.with(self.sent), self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        within(self.patience.with(0), self.inner.abort()).await
    }
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, request).await.unwrap_or_else(|_| Err(no_answer(limit)))
}

/// The same for each thing that comes.
fn each_within<T: 'static>(
    limit: Duration,
    all: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let next = move |all: Option<BoxStream<'static, Result<T>>>| async move {
        let mut all = all?;
        match timeout(limit, all.next()).await {
            Ok(next) => Some((next?, Some(all))),
            Err(_) => Some((Err(no_answer(limit)), None)),
        }
    };
    stream::unfold(Some(all), next).boxed()
}

fn no_answer(limit: Duration) -> Error {
    let source = io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {limit:?}"));
    Error::Generic { store: "artifact store", source: source.into() }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::TryStreamExt;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn no_request_hangs() {
        let forever = Duration::from_hours(1);
        let config = ThrottleConfig {
            wait_delete_per_call: forever,
            wait_get_per_call: forever,
            wait_list_per_call: forever,
            wait_list_with_delimiter_per_call: forever,
            wait_put_per_call: forever,
            ..ThrottleConfig::default()
        };
        let inner = Arc::new(ThrottledStore::new(InMemory::new(), config));
        let timeout = Duration::from_millis(20);
        let store = Limited { inner, patience: Patience { timeout, lowest_rate: 1 << 20 } };
        let name = Path::from("a");
        let errors = block_on(async {
            [
                store.put(&name, "x".into()).await.unwrap_err(),
                store.get(&name).await.unwrap_err(),
                store.delete(&name).await.unwrap_err(),
                store.list(None).try_next().await.unwrap_err(),
                store.list_with_delimiter(None).await.unwrap_err(),
            ]
        });
        for error in errors {
            assert!(error.to_string().contains("no answer in 20"), "{error}");
        }
    }

    #[test]
    fn what_is_sent_has_its_time() {
        let config = ThrottleConfig {
            wait_put_per_call: Duration::from_millis(200),
            ..ThrottleConfig::default()
        };
        let inner = Arc::new(ThrottledStore::new(InMemory::new(), config));
        let timeout = Duration::from_millis(20);
        let store = Limited { inner, patience: Patience { timeout, lowest_rate: 1 << 10 } };
        let name = Path::from("a");
        let started = Instant::now();
        block_on(store.put(&name, vec![0; 60 << 10].into())).unwrap();
        assert!(started.elapsed() > timeout);
        block_on(store.put(&name, "x".into())).unwrap_err();
    }
}
