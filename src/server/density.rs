//! Where in a log there is something to see: `/runs/{run}/density`, for the strip beside a scroll bar.
//!
//! By number of line, so that it fits the scroll bar. What the store knows without reading lines is taken; warnings and
//! errors are looked up one by one where that is not too many.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use super::call::Call;
use super::model::Time;
use super::problem::Problem;
use super::query::{CONDITIONS, SELECTION};
use super::window::{Place, Streams};
use crate::read::filter::Filter;
use crate::read::join::Joining;
use crate::read::pipeline::{Item, Pipeline};
use crate::read::session;
use crate::read::store::{Direction, Piece, ReadError, Request, Stream};
use crate::record::{Level, Nanos};

/// Buckets, unless asked.
const BUCKETS: u64 = 200;
/// At the most.
const MAX_BUCKETS: u64 = 2000;
/// Up to so many lines, each warning is looked up; beyond, a piece of the log is fine enough.
const EXACT: u64 = 500_000;
/// Warnings that are looked up.
const MAX_LOOKED_UP: u64 = 50_000;

/// How lines, warnings and errors are spread.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Density {
    /// When the first line was written, about.
    #[schema(value_type = String, format = DateTime)]
    from: Time,
    /// The same of the last.
    #[schema(value_type = String, format = DateTime)]
    to: Time,
    /// All lines, as far as known.
    lines: u64,
    /// Each warning stands in the right bucket; else about there.
    exact: bool,
    /// In order.
    buckets: Vec<Bucket>,
}

/// Some lines in a row.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Bucket {
    /// Number of the first of them.
    number: u64,
    /// When it was written, about.
    #[schema(value_type = String, format = DateTime)]
    time: Time,
    /// How many.
    lines: u64,
    /// Of level ERROR or above.
    errors: u64,
    /// Of level WARNING.
    warnings: u64,
}

/// Where in a log there is something to see
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/density", tag = "lines",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        super::openapi::Selected,
        ("buckets" = Option<u64>, Query, description = "How many [default: 200, at most 2000]"),
    ),
    responses((status = 200, body = Density), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(call: Call) -> Result<Response<Body>, Problem> {
    let params = call.params(&[SELECTION, CONDITIONS, &["buckets"]])?;
    if let Some(name) = CONDITIONS.iter().find(|name| params.all(name).next().is_some()) {
        return Err(Problem::parameter(format!(
            "{name}: this counts all lines of what is selected"
        ))
        .next("/search says how many match, and gives the numbers of them"));
    }
    let buckets = params.count("buckets", MAX_BUCKETS)?.unwrap_or(BUCKETS);
    let iostream = params.iostream()?;
    let streams = call.view(&params).await?.streams();
    let end = streams.end().await?;
    let mut pieces = Vec::new();
    let mut known = true;
    for (stream, lines) in streams.all.iter().zip(&end.0) {
        if let Some(outline) = streams.reader.outline(stream).await? {
            pieces.extend(outline);
        } else {
            known = false;
            pieces.push(summary(stream, *lines));
        }
    }
    pieces.retain(|piece| piece.lines > 0);
    pieces.sort_by_key(|piece| (piece.first_time, piece.first_seq));
    let total = end.number();
    let mut spread = Spread::new(total, buckets, &pieces);
    let exact = total <= EXACT || !known;
    let turn = call.app.scanning.acquire().await;
    let exact = exact && spread.look_up(&streams, &end, iostream).await?;
    drop(turn);
    if !exact {
        spread.share(&pieces);
    }
    let times = pieces.iter().map(|piece| (piece.first_time, piece.last_time));
    let (from, to) = times
        .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
        .unwrap_or_else(|| (Nanos::now(), Nanos::now()));
    Ok(answer::json(&Density {
        from: Time(from),
        to: Time(to),
        lines: total,
        exact,
        buckets: spread.buckets,
    }))
}

/// A stream as one piece.
fn summary(stream: &Stream, lines: u64) -> Piece {
    Piece {
        first_seq: 0,
        lines,
        offset: None,
        first_time: stream.started,
        last_time: stream.ended.or(stream.last_seen).unwrap_or_else(Nanos::now),
        levels: stream.levels.unwrap_or_default(),
    }
}

struct Spread {
    buckets: Vec<Bucket>,
    /// Lines of each, but the last.
    width: u64,
}

impl Spread {
    /// Of pieces in order of time.
    fn new(total: u64, buckets: u64, pieces: &[Piece]) -> Self {
        let width = total.div_ceil(buckets).max(1);
        let mut made = Vec::new();
        let (mut before, mut rest) = (0, pieces.iter());
        let mut piece = rest.next();
        for number in (0..total).step_by(usize::try_from(width).unwrap_or(usize::MAX)) {
            while let Some(it) = piece
                && before + it.lines <= number
            {
                before += it.lines;
                piece = rest.next();
            }
            let time = piece.or(pieces.last()).map_or_else(Nanos::now, |it| {
                let share = number.saturating_sub(before) as f64 / it.lines.max(1) as f64;
                let span = it.last_time.0.saturating_sub(it.first_time.0).max(0) as f64;
                Nanos(it.first_time.0.saturating_add((span * share.min(1.0)) as i64))
            });
            let lines = width.min(total - number);
            made.push(Bucket { number, time: Time(time), lines, errors: 0, warnings: 0 });
        }
        Self { buckets: made, width }
    }

    fn at(&mut self, number: u64) -> Option<&mut Bucket> {
        let last = self.buckets.len().checked_sub(1)?;
        self.buckets.get_mut(((number / self.width) as usize).min(last))
    }

    /// Looks for each warning and error. `false`: there are too many.
    async fn look_up(
        &mut self,
        streams: &Streams,
        end: &Place,
        iostream: Option<crate::record::IoStream>,
    ) -> Result<bool, ReadError> {
        let filter = Filter { level: Some(Level::Warning), iostream, ..Filter::default() };
        let request = Request { filter: filter.clone(), ..Request::default() };
        let mut lines = streams.reader.open(&streams.all, request);
        let limit = Some(MAX_LOOKED_UP + 1);
        let filter = Arc::new(filter);
        let mut pipeline = Pipeline::new(filter, Direction::Forward, Joining::Late, limit);
        let mut keep = |item: Item<'_>| {
            let Some(line) = item.line() else { return ControlFlow::Continue(()) };
            let number = streams.about(line.stream as usize, line.seq, line.time, end);
            // The further lines of a traceback have no level of their own.
            if let (Some(level), Some(bucket)) = (line.level, self.at(number)) {
                match level {
                    Level::Error | Level::Critical => bucket.errors += 1,
                    Level::Warning => bucket.warnings += 1,
                    Level::Trace | Level::Debug | Level::Info => {}
                }
            }
            ControlFlow::Continue(())
        };
        session::read(&mut *lines, &mut pipeline, &mut keep, &mut Vec::new()).await?;
        let all = pipeline.matched() <= MAX_LOOKED_UP;
        if !all {
            for bucket in &mut self.buckets {
                (bucket.errors, bucket.warnings) = (0, 0);
            }
        }
        Ok(all)
    }

    /// Shares what is known of pieces out among the buckets that they reach into.
    fn share(&mut self, pieces: &[Piece]) {
        let mut from = 0;
        for piece in pieces {
            let [.., warnings, errors, critical] = piece.levels;
            self.spread(from, piece.lines, warnings, |bucket| &mut bucket.warnings);
            self.spread(from, piece.lines, errors + critical, |bucket| &mut bucket.errors);
            from += piece.lines;
        }
    }

    fn spread(&mut self, from: u64, lines: u64, count: u64, field: fn(&mut Bucket) -> &mut u64) {
        // One by one, evenly: a piece has few of them, or reaches into few buckets.
        let mut given = 0;
        let mut number = from;
        while given < count && number < from + lines {
            let border = (number / self.width + 1) * self.width;
            let border = border.min(from + lines);
            let share = u128::from(count) * u128::from(border - from) / u128::from(lines);
            // Some error is better shown a little off than not at all.
            let until = if border == from + lines { count } else { share as u64 };
            if let Some(bucket) = self.at(number) {
                *field(bucket) += until - given;
            }
            given = until;
            number = border;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(first_seq: u64, lines: u64, warnings: u64, errors: u64) -> Piece {
        Piece {
            first_seq,
            lines,
            offset: None,
            first_time: Nanos(first_seq as i64 * 10),
            last_time: Nanos((first_seq + lines) as i64 * 10),
            levels: [0, 0, 0, warnings, errors, 0],
        }
    }

    #[test]
    fn what_is_known_is_shared_out_and_adds_up() {
        let pieces = [piece(0, 100, 0, 1), piece(100, 50, 10, 0), piece(150, 7, 0, 0)];
        let mut spread = Spread::new(157, 10, &pieces);
        spread.share(&pieces);
        assert_eq!(spread.buckets.iter().map(|it| it.lines).sum::<u64>(), 157);
        assert_eq!(spread.buckets.iter().map(|it| it.errors).sum::<u64>(), 1);
        let warnings: Vec<u64> = spread.buckets.iter().map(|it| it.warnings).collect();
        assert_eq!(warnings, [0, 0, 0, 0, 0, 0, 2, 3, 3, 2]);
        assert_eq!(spread.buckets[9].time.0, Nanos(1440));
        assert_eq!(Spread::new(0, 10, &[]).buckets.len(), 0);
    }
}
