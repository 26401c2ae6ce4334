//! An object store that fails as told.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is answered with 503 and not done.
    Refused,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is answered with 409 and not done.
    Conflict,
    /// It is answered with 403 and not done.
    Forbidden,
    /// It is done, and the answer is 403: whoever asked is as good as dead.
    ForbiddenAfter,
    /// It takes its time.
    Slow,
    /// A list that does not show what was put a moment ago.
    Empty,
}

/// Decides by the number of the request, its kind (`put`, `get`, `list`, `delete`) and name.
pub(crate) type Plan = dyn Fn(usize, &'static str, &Path) -> Fault + Send + Sync;

pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) plan: Box<Plan>,
    pub(crate) requests: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(
        inner: Arc<dyn ObjectStore>,
        plan: impl Fn(usize, &'static str, &Path) -> Fault + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner, plan: Box::new(plan), requests: AtomicUsize::new(0) })
    }

    fn next(&self, kind: &'static str, path: &Path) -> Fault {
        (self.plan)(self.requests.fetch_add(1, Ordering::SeqCst), kind, path)
    }

    async fn around<T>(
        &self,
        kind: &'static str,
        path: &Path,
        request: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let fault = self.next(kind, path);
        let source = || "injected".to_owned().into();
        let path = path.to_string();
        let unavailable = || Error::Generic { store: "faulty", source: "503 injected".into() };
        match fault {
            Fault::None | Fault::Empty => request.await,
            Fault::Refused => Err(unavailable()),
            Fault::AnswerLost => request.await.and(Err(unavailable())),
            Fault::Conflict => Err(Error::AlreadyExists { path, source: source() }),
            Fault::Forbidden => Err(Error::PermissionDenied { path, source: source() }),
            Fault::ForbiddenAfter => {
                request.await.and(Err(Error::PermissionDenied { path, source: source() }))
            }
            Fault::Slow => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                request.await
            }
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let request = self.inner.put_opts(location, payload, options);
        self.around("put", location, request).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let request = self.inner.put_multipart_opts(location, options);
        self.around("multipart", location, request).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.around("get", location, self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.around("get", location, self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let fault = self.next("delete", &Path::default());
        let forbidden =
            || Error::PermissionDenied { path: String::new(), source: "injected".into() };
        match fault {
            Fault::None | Fault::Slow | Fault::Empty => self.inner.delete_stream(locations),
            Fault::Refused | Fault::Conflict | Fault::AnswerLost => {
                let error = Error::Generic { store: "faulty", source: "503 injected".into() };
                async { Err(error) }.into_stream().boxed()
            }
            Fault::Forbidden => async move { Err(forbidden()) }.into_stream().boxed(),
            Fault::ForbiddenAfter => {
                let deleted = self.inner.delete_stream(locations);
                deleted.chain(async move { Err(forbidden()) }.into_stream()).boxed()
            }
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.next("list", &prefix.cloned().unwrap_or_default()) {
            Fault::None | Fault::Slow => self.inner.list(prefix),
            Fault::Empty => futures_util::stream::empty().boxed(),
            Fault::Forbidden | Fault::ForbiddenAfter => {
                let error =
                    Error::PermissionDenied { path: String::new(), source: "injected".into() };
                async { Err(error) }.into_stream().boxed()
            }
            Fault::Refused | Fault::Conflict | Fault::AnswerLost => {
                let error = Error::Generic { store: "faulty", source: "503 injected".into() };
                async { Err(error) }.into_stream().boxed()
            }
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
