//! Lines of a run, some at a time: `/runs/{run}/logs`, with every option of `steplog logs` and cursors both
//! ways.

use axum::body::Body;
use axum::http::Response;

use super::call::Call;
use super::model::Extent;
use super::problem::Problem;
use super::query::{CONDITIONS, SELECTION};
use super::window::{Limits, render};
use super::{answer, model, raw};

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
pub(super) async fn get(call: Call) -> Result<Response<Body>, Problem> {
    let known = [SELECTION, CONDITIONS, &["progress", "limit", "start", "before", "after"]];
    let params = call.params(&known)?;
    if answer::wants(&call.headers, "application/x-ndjson") {
        return raw::ndjson(&call, &params).await;
    }
    let start = params.start()?;
    let limit = params.count("limit", MAX_LINES)?.unwrap_or(LINES);
    let filter = call.filter(&params).await?;
    let streams = call.view(&params).await?.streams();
    let (place, direction) = streams.begin(&start).await?;
    let limits =
        Limits { lines: Some(limit), records: RECORDS, bytes: call.app.limits.answer_bytes };
    let extent = Extent { chars: call.app.limits.message_chars, bars: params.bars()? };
    let render = render(extent);
    let mut got = streams.gather(&place, &filter, direction, limits, &render).await?;
    let exact = got.rank(&streams).await?;
    let (before, after) = got.ways_on(direction, &streams);
    Ok(answer::json(&model::Logs {
        before,
        after,
        items: got.items,
        exact,
        streams: model::streams(&streams.all),
        troubles: got.troubles,
    }))
}
