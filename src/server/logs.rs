//! Lines of a run, some at a time: `/runs/{run}/logs`, with every option of `steplog logs` and cursors both
//! ways.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Response};

use super::access::Who;
use super::model::Extent;
use super::problem::Problem;
use super::query::{CONDITIONS, Params, SELECTION};
use super::window::{Limits, Place, render};
use super::{App, answer, model, raw};
use crate::read::store::Direction;

/// Lines in one answer, unless asked.
const LINES: u64 = 500;
/// At the most.
const MAX_LINES: u64 = 10_000;
/// Records, with context and parts.
const RECORDS: usize = 20_000;

/// Lines that match, oldest first
///
/// With `Accept: application/x-ndjson`: the records, one a line, streamed, without a limit unless asked.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/logs", tag = "lines",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        super::openapi::Selected, super::openapi::Asked,
        ("limit" = Option<u64>, Query, description = "Lines that match [default: 500, at most 10000]"),
        ("progress" = Option<String>, Query, description = "`last` or `all` states of progress bars [default: last]"),
        ("start" = Option<String>, Query, description = "`oldest` or `newest` lines first [default: oldest]"),
        ("before" = Option<String>, Query, description = "The last lines before this place: `before` of an answer"),
        ("after" = Option<String>, Query, description = "The first lines behind this place: `after` of an answer"),
    ),
    responses(
        (status = 200, content(
            (model::Logs = "application/json"),
            (String = "application/x-ndjson"),
        )),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    Extension(who): Extension<Who>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let known = [SELECTION, CONDITIONS, &["progress", "limit", "start", "before", "after"]];
    let params = Params::new(query.as_deref(), &known)?;
    if answer::wants(&headers, "application/x-ndjson") {
        return raw::ndjson(&app, &who, &run, &params, &headers).await;
    }
    let (before, after) = (params.cursor("before")?, params.cursor("after")?);
    let newest = params.parsed("start", "oldest or newest", |text| match text {
        "oldest" => Some(false),
        "newest" => Some(true),
        _ => None,
    })?;
    let limit = params.number("limit", MAX_LINES)?.unwrap_or(LINES).max(1);
    let filter = params.filter()?;
    let view = app.view(&who, &run, &params).await?;
    let streams = view.streams();
    let (place, direction) = match (before, after) {
        (Some(_), Some(_)) => {
            return Err(Problem::parameter("before and after exclude each other"));
        }
        (Some(cursor), None) => (Place::of(&cursor, &streams.all), Direction::Backward),
        (None, Some(cursor)) => (Place::of(&cursor, &streams.all), Direction::Forward),
        (None, None) if newest == Some(true) => (streams.end().await?, Direction::Backward),
        (None, None) => (Place::start(streams.all.len()), Direction::Forward),
    };
    let limits = Limits { lines: Some(limit), records: RECORDS, bytes: app.limits.answer_bytes };
    let extent = Extent { chars: app.limits.message_chars, bars: params.bars()? };
    let render = render(extent);
    let got = streams.gather(&place, &filter, direction, limits, &render).await?;
    let first = got.before.is_start() || (direction == Direction::Backward && got.ended);
    let last = direction == Direction::Forward && got.ended && streams.are_final();
    Ok(answer::json(&model::Logs {
        before: (!first).then(|| got.before.cursor(&streams.all)),
        after: (!last).then(|| got.behind.cursor(&streams.all)),
        items: got.items,
        streams: model::streams(&streams.all),
        troubles: got.troubles,
    }))
}
