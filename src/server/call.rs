//! A request as every endpoint takes it: who asks, for which run and step of the path, with which parameters and
//! headers. Apart so that each endpoint says only what is its own. What it points at is in `view`.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::App;
use super::access::Who;
use super::problem::Problem;
use super::query::Params;
use crate::read::filter::Filter;

/// A request that was let in.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) who: Who,
    pub(super) headers: HeaderMap,
    /// What stands in the path for them, decoded.
    pub(super) run: String,
    pub(super) step: Option<String>,
    query: Option<String>,
}

impl Call {
    /// Its parameters, of which only these are known.
    pub(super) fn params(&self, known: &[&[&str]]) -> Result<Params, Problem> {
        Params::new(self.query.as_deref(), known)
    }

    /// Which lines. Patterns are made ready beside the threads that serve, a few requests at a time.
    pub(super) async fn filter(&self, params: &Params) -> Result<Filter, Problem> {
        let conditions = params.conditions()?;
        if !conditions.has_patterns() {
            return conditions.filter();
        }
        let turn = Arc::clone(&self.app.compiling).acquire_owned().await;
        let made = tokio::task::spawn_blocking(move || {
            let filter = conditions.filter();
            drop(turn);
            filter
        });
        made.await.unwrap_or_else(|error| Err(Problem::parameter(format!("a pattern: {error}"))))
    }
}

impl FromRequestParts<Arc<App>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = RawPathParams::from_request_parts(parts, app).await.map_err(|_| {
            Problem::parameter("the path is not UTF-8").next("percent-encode it as UTF-8")
        })?;
        let named = |name: &str| path.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        // Whoever was not let in has none.
        let who = parts.extensions.remove::<Who>();
        Ok(Self {
            app: Arc::clone(app),
            who: who.ok_or_else(|| Problem::forbidden("nobody has let this request in"))?,
            run: named("run").unwrap_or_default(),
            step: named("step"),
            query: parts.uri.query().map(str::to_owned),
            headers: std::mem::take(&mut parts.headers),
        })
    }
}
