//! Lines by number, for whoever shows a log of millions of lines and holds a few of them:
//! `/runs/{run}/lines`.

use axum::body::Body;
use axum::http::Response;

use super::call::Call;
use super::model::Extent;
use super::problem::Problem;
use super::query::{CONDITIONS, SELECTION};
use super::window::{Limits, Place, render};
use super::{answer, model};
use crate::read::store::Direction;
use crate::record::WriterId;

/// Lines in one answer, unless asked.
const LINES: i64 = 200;
/// At the most, either way.
const MAX_LINES: u64 = 2000;

/// Lines from a number on
///
/// All records count, parts of lines and states of progress bars too. In one stream a line's number is its
/// `seq`; in several, the lines of all of them that stand before it in time.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/lines", tag = "lines",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        super::openapi::Selected, super::openapi::Asked,
        ("start" = Option<i64>, Query, description = "Number of the first line; negative: from the end [default: 0]"),
        ("progress" = Option<String>, Query, description = "`last` or `all` states of progress bars [default: last]"),
        ("count" = Option<i64>, Query, description = "How many; negative: before the place [default: 200, at most 2000]"),
        ("around" = Option<String>, Query, description = "From this line on: `WRITER:SEQ`"),
        ("at" = Option<String>, Query, description = "From this time on"),
        ("cursor" = Option<String>, Query, description = "From this place on: `before` or `after` of an answer"),
    ),
    responses((status = 200, body = model::Window), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(call: Call) -> Result<Response<Body>, Problem> {
    let known = [SELECTION, CONDITIONS, &["progress", "start", "count", "around", "at", "cursor"]];
    let params = call.params(&known)?;
    let start = params.parsed("start", "a number of a line; negative: from the end", |text| {
        text.parse::<i64>().ok()
    })?;
    let range = |count: &i64| *count != 0 && count.unsigned_abs() <= MAX_LINES;
    let count = params
        .parsed("count", "a number from -2000 to 2000, but not 0", |text| {
            text.parse().ok().filter(range)
        })?
        .unwrap_or(LINES);
    let around = params.parsed("around", "WRITER:SEQ", |text| {
        let (writer, seq) = text.split_once(':')?;
        Some((writer.parse::<WriterId>().ok()?, seq.parse::<u64>().ok()?))
    })?;
    let at = params.time("at")?;
    let cursor = params.cursor("cursor")?;
    let given = [start.is_some(), around.is_some(), at.is_some(), cursor.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        return Err(Problem::parameter("start, around, at and cursor exclude each other"));
    }
    let filter = call.filter(&params).await?;
    let streams = call.view(&params).await?.streams();
    let end = streams.end().await?;
    let place = match (around, at, cursor) {
        (Some((writer, seq)), ..) => streams.around(writer, seq, &end).await?.ok_or_else(|| {
            Problem::not_found(format!("there is no line {seq} of writer {writer}"))
                .next("it may be of an attempt or a source that is not selected")
        })?,
        (None, Some(time), _) => streams.at(time, &end).await?,
        (None, None, Some(cursor)) => Place::of(&cursor, &streams.all),
        (None, None, None) => {
            let start = start.unwrap_or(0);
            let number = if start < 0 {
                end.number().saturating_sub(start.unsigned_abs())
            } else {
                start.unsigned_abs()
            };
            streams.near(number, &end).await?
        }
    };
    let direction = if count < 0 { Direction::Backward } else { Direction::Forward };
    let limits = Limits {
        lines: None,
        records: count.unsigned_abs() as usize,
        bytes: call.app.limits.answer_bytes,
    };
    let extent = Extent { chars: call.app.limits.message_chars, bars: params.bars()? };
    let render = render(extent);
    let mut got = streams.gather(&place, &filter, direction, limits, &render).await?;
    let exact = got.rank(&streams).await?;
    let (before, after) = got.ways_on(direction, &streams);
    Ok(answer::json(&model::Window {
        start: got.before.number(),
        total: end.number().max(got.behind.number()),
        complete: streams.are_final(),
        before,
        after,
        items: got.items,
        exact,
        troubles: got.troubles,
    }))
}
