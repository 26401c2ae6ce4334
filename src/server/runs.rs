//! Runs, and what is in one: `/runs`, `/runs/{run}`.

use axum::body::Body;
use axum::http::Response;

use super::call::Call;
use super::problem::Problem;
use super::{answer, model};

/// Runs in one answer, unless asked.
const RUNS: usize = 50;
/// At the most, those before it counted.
const MAX_RUNS: usize = 1000;

/// The newest runs, newest first
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "runs",
    params(
        ("limit" = Option<usize>, Query, description = "How many [default: 50, at most 1000]"),
        ("before" = Option<String>, Query, description = "Older than this: `before` of an answer"),
        ("log_store" = Option<String>, Query, description = "Which log store of the stack"),
    ),
    responses((status = 200, body = model::Runs), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(call: Call) -> Result<Response<Body>, Problem> {
    let params = call.params(&[&["limit", "before", "log_store"]])?;
    let limit = params.count("limit", MAX_RUNS)?.unwrap_or(RUNS);
    let before = params.parsed("before", "a cursor that an answer has given", |text| {
        let (place, run) = text.split_once(':')?;
        Some((place.parse::<usize>().ok().filter(|place| *place < MAX_RUNS)?, run.to_owned()))
    })?;
    let reader = &call.app.store(&params)?.reader;
    let place = before.as_ref().map_or(0, |(place, _)| place + 1);
    // One more tells whether there are more; new ones may have come up before the place.
    let most = if call.who.sees_all() { place + limit + 1 } else { MAX_RUNS };
    let mut runs = reader.runs(most.min(MAX_RUNS + 1)).await?;
    runs.retain(|run| call.who.sees(&run.pipeline_run_id));
    let from = before.map_or(0, |(place, run)| {
        let at = runs.iter().position(|it| it.pipeline_run_id == run);
        at.unwrap_or(place) + 1
    });
    runs.drain(..from.min(runs.len()));
    let more = runs.len() > limit;
    runs.truncate(limit);
    let last = runs.last().map(|run| format!("{}:{}", from + runs.len() - 1, run.pipeline_run_id));
    let items = runs
        .into_iter()
        .map(|run| model::RunSummary {
            pipeline_run_id: run.pipeline_run_id,
            started: model::Time(run.started),
        })
        .collect();
    Ok(answer::json(&model::Runs { items, before: last.filter(|_| more) }))
}

/// A run: how it stands, its steps, their tries, and what was captured of them
#[utoipa::path(
    get, path = "/api/v1/runs/{run}", tag = "runs",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        ("log_store" = Option<String>, Query, description = "Which log store of the stack"),
    ),
    responses((status = 200, body = model::Run), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn one(call: Call) -> Result<Response<Body>, Problem> {
    let params = call.params(&[&["log_store"]])?;
    let view = call.run(&params).await?;
    if view.found.all.is_empty() {
        return Err(view.nothing().await);
    }
    Ok(answer::json(&model::Run::new(view.found.run, &view.found.all)))
}
