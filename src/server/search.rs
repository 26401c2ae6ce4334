//! Search over a whole log: how many lines match, and where: `/runs/{run}/search`.
//!
//! A log is searched in pieces (of `seq` in one stream, of time in several), so that there is something to say
//! between them, and a place to go on from when it takes too long.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream;
use serde::Serialize;

use super::call::Call;
use super::model::{self, Fault, Position, Time};
use super::problem::Problem;
use super::query::{CONDITIONS, SELECTION};
use super::rank::Ranks;
use super::window::{Place, Streams};
use super::{App, answer, sse};
use crate::read::cursor::Cursor;
use crate::read::filter::Filter;
use crate::read::join::Joining;
use crate::read::page::Line;
use crate::read::pipeline::{Item, Pipeline};
use crate::read::session;
use crate::read::store::{ReadError, Request};
use crate::record::Nanos;

/// Positions in one answer, unless asked.
const POSITIONS: usize = 1000;
/// At the most.
const MAX_POSITIONS: usize = 100_000;
/// Bytes of a position in JSON, about.
const POSITION_BYTES: usize = 128;
/// Lines of a piece, about.
const PIECE: u64 = 500_000;
/// What a line is taken to have where the store does not tell.
const LINE_BYTES: u64 = 120;

/// A search under way.
struct Search {
    app: Arc<App>,
    streams: Streams,
    filter: Filter,
    end: Place,
    pieces: std::vec::IntoIter<Piece>,
    limit: usize,
    max_bytes: u64,
    deadline: Instant,
    /// What is behind this was not looked at (yet).
    resume: Resume,
    found: model::Found,
    /// Lines in parts that were counted and go on: by stream, their first part.
    counted: HashSet<(u32, u64)>,
    troubles: usize,
}

/// A piece of the log.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    seqs: (u64, Option<u64>),
    times: (Option<Nanos>, Option<Nanos>),
}

/// Where a search goes on: lines of this time on, and of them those behind the cursor.
#[derive(Clone, Debug, Default)]
struct Resume {
    since: Option<Nanos>,
    cursor: Cursor,
}

/// How far a search has come.
#[derive(Debug, Serialize)]
struct Progress {
    matches: u64,
    scanned_lines: u64,
    lines: u64,
}

impl Resume {
    fn read(text: &str) -> Option<Self> {
        let (since, cursor) = text.split_once('.')?;
        let since = if since.is_empty() { None } else { Some(Nanos(since.parse().ok()?)) };
        Some(Self { since, cursor: cursor.parse().ok()? })
    }

    fn word(&self) -> String {
        let since = self.since.map(|since| since.0.to_string()).unwrap_or_default();
        format!("{since}.{}", self.cursor)
    }
}

/// Count and places of the lines that match
///
/// Stops at `max_scan_bytes` or `request_deadline` with `complete: false`; `after` goes on there. With `Accept:
/// text/event-stream`: events `progress` with `matches`, `scanned_lines` and `lines`, then `result`.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/search", tag = "lines",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        super::openapi::Selected, super::openapi::Asked,
        ("limit" = Option<usize>, Query, description = "Positions [default: 1000, at most 100000]"),
        ("after" = Option<String>, Query, description = "On from here: `after` of an answer"),
    ),
    responses(
        (status = 200, content((model::Found = "application/json"), (String = "text/event-stream"))),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn get(call: Call) -> Result<Response<Body>, Problem> {
    let params = call.params(&[SELECTION, CONDITIONS, &["limit", "after"]])?;
    let limit = params.number("limit", MAX_POSITIONS)?.unwrap_or(POSITIONS);
    let resume = params.parsed("after", "a cursor that a search has given", Resume::read)?;
    let filter = call.filter(&params).await?;
    if !filter.has_conditions() {
        return Err(Problem::parameter("a search needs grep, level or exclude"));
    }
    let streams = call.view(&params).await?.streams();
    let end = streams.end().await?;
    let mut search = Search::new(call.app, streams, filter, end, limit, resume.unwrap_or_default());
    if answer::wants(&call.headers, "text/event-stream") {
        let parts = stream::unfold(Some(search), |search| async move {
            let mut search = search?;
            let event = match search.step().await {
                Ok(true) => (sse::event("progress", &search.progress()), Some(search)),
                Ok(false) => match search.rank().await {
                    Ok(()) => (sse::event("result", &search.finish()), None),
                    Err(error) => (sse::event("problem", &Problem::from(error)), None),
                },
                Err(error) => (sse::event("problem", &Problem::from(error)), None),
            };
            Some((Ok::<Bytes, std::convert::Infallible>(event.0), event.1))
        });
        return Ok(answer::of("text/event-stream", Body::from_stream(parts)));
    }
    while search.step().await? {}
    search.rank().await?;
    Ok(answer::json(&search.finish()))
}

impl Search {
    fn new(
        app: Arc<App>,
        streams: Streams,
        filter: Filter,
        end: Place,
        limit: usize,
        resume: Resume,
    ) -> Self {
        let before = Place::of(&resume.cursor, &streams.all).number();
        let before = resume.since.map_or(before, |since| before.max(streams.before(since, &end)));
        let most = app.limits.scan_bytes / bytes_per_line(&streams);
        let pieces = pieces(&streams, &filter, &end, &resume, most.clamp(1000, PIECE));
        Self {
            max_bytes: app.limits.scan_bytes,
            deadline: Instant::now() + app.limits.deadline,
            limit: limit.min(app.limits.answer_bytes / POSITION_BYTES),
            app,
            streams,
            filter,
            end,
            pieces: pieces.into_iter(),
            resume,
            found: model::Found {
                matches: 0,
                complete: false,
                scanned_lines: before,
                scanned_bytes: 0,
                positions: Vec::new(),
                exact: true,
                after: None,
                troubles: Vec::new(),
            },
            counted: HashSet::new(),
            troubles: 0,
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            matches: self.found.matches,
            scanned_lines: self.found.scanned_lines,
            lines: self.end.number(),
        }
    }

    /// Looks at one more piece. `false`: that was all, or enough.
    async fn step(&mut self) -> Result<bool, ReadError> {
        let late = Instant::now() >= self.deadline || self.found.scanned_bytes >= self.max_bytes;
        if late && self.pieces.len() > 0 {
            return Ok(false);
        }
        let Some(piece) = self.pieces.next() else {
            self.found.complete = true;
            return Ok(false);
        };
        self.look(piece).await?;
        Ok(true)
    }

    async fn look(&mut self, piece: Piece) -> Result<(), ReadError> {
        if !self.is_full() {
            self.resume.since = piece.times.0.or(self.resume.since);
        }
        let Self { app, streams, filter, end, resume, found, limit, counted, .. } = self;
        let filter = Filter {
            from_seq: filter.from_seq.max(piece.seqs.0),
            to_seq: piece.seqs.1,
            since: filter.since.max(piece.times.0),
            until: match (filter.until, piece.times.1) {
                (Some(asked), Some(cut)) => Some(asked.min(cut)),
                (asked, cut) => asked.or(cut),
            },
            context: (0, 0),
            ..filter.clone()
        };
        // Positions are places in the whole log; where a line in parts matches, its first part counts.
        let from = Place::of(&resume.cursor, &streams.all).0.into_iter().map(Some).collect();
        let request = Request { filter: filter.clone(), from, ..Request::default() };
        let direction = request.direction;
        let turn = app.scanning.acquire().await;
        let mut lines = streams.reader.open(&streams.all, request);
        let mut pipeline = Pipeline::new(Arc::new(filter), direction, Joining::Late, None);
        let mut troubles = Vec::new();
        let mut keep = |item: Item<'_>| {
            let Some(line) = item.line() else { return ControlFlow::Continue(()) };
            let last = item.more.last().and_then(|(page, at)| page.lines().get(*at));
            let last = last.unwrap_or(line);
            let number = line.stream as usize;
            let Some(stream) = streams.all.get(number) else { return ControlFlow::Continue(()) };
            if !is_new(counted, line, last) {
                // What goes on is behind the match that it belongs to.
                if found.positions.len() as u64 == found.matches {
                    resume.cursor.see(stream.writer, last.seq);
                }
                return ControlFlow::Continue(());
            }
            found.matches += 1;
            if found.positions.len() < *limit {
                resume.cursor.see(stream.writer, last.seq);
                found.positions.push(Position {
                    number: streams.about(number, line.seq, line.time, end),
                    writer: stream.writer,
                    seq: line.seq,
                    time: Time(line.time),
                });
            }
            ControlFlow::Continue(())
        };
        session::read(&mut *lines, &mut pipeline, &mut keep, &mut troubles).await?;
        drop(lines);
        drop(turn);
        self.troubles += troubles.len();
        let most = 100_usize.saturating_sub(self.found.troubles.len());
        let shown = troubles.iter().take(most);
        self.found.troubles.extend(shown.map(|it| Fault::new(it, &self.streams.all)));
        self.behind(piece);
        Ok(())
    }

    /// Numbers that are exact, where that can be had.
    async fn rank(&mut self) -> Result<(), ReadError> {
        let Self { streams, end, found, .. } = self;
        if streams.all.len() < 2 {
            return Ok(());
        }
        let mut ranks = Ranks::new(streams, end).await?;
        for position in &mut found.positions {
            let stream = streams.all.iter().position(|it| it.writer == position.writer);
            let (seq, Time(time)) = (position.seq, position.time);
            position.number = ranks.number(stream.unwrap_or_default(), seq, time).await?;
        }
        found.exact = ranks.is_exact();
        Ok(())
    }

    /// Matches have come up that there was no room for: whoever goes on, goes on with them. Who wants no places only
    /// counts.
    fn is_full(&self) -> bool {
        self.limit > 0 && self.found.matches > self.found.positions.len() as u64
    }

    /// A piece was looked at.
    fn behind(&mut self, piece: Piece) {
        let total = self.end.number();
        let before = self.found.scanned_lines;
        self.found.scanned_lines = match (piece.seqs.1, piece.times.1) {
            (Some(to), _) => to.min(total),
            (None, Some(time)) => self.streams.before(time, &self.end),
            (None, None) => total,
        }
        .max(before);
        let per_line = bytes_per_line(&self.streams);
        self.found.scanned_bytes += (self.found.scanned_lines - before) * per_line;
        if !self.is_full() {
            // All of it is behind us.
            if let (Some(to), [stream]) = (piece.seqs.1, self.streams.all.as_slice())
                && let Some(last) = to.checked_sub(1)
            {
                self.resume.cursor.see(stream.writer, last);
            }
            self.resume.since = piece.times.1.or(self.resume.since);
        }
    }

    fn finish(&mut self) -> model::Found {
        let more = self.is_full() || !self.found.complete;
        self.found.after = more.then(|| self.resume.word());
        if self.troubles > self.found.troubles.len() {
            let more = self.troubles - self.found.troubles.len();
            let what = format!("{more} more places are missing or damaged");
            self.found.troubles.push(Fault { writer: None, what });
        }
        model::Found {
            positions: std::mem::take(&mut self.found.positions),
            troubles: std::mem::take(&mut self.found.troubles),
            after: self.found.after.take(),
            ..self.found
        }
    }
}

/// What is to be looked at, one after the other.
fn pieces(
    streams: &Streams,
    filter: &Filter,
    end: &Place,
    resume: &Resume,
    lines: u64,
) -> Vec<Piece> {
    if let ([_], Place(ends)) = (streams.all.as_slice(), end) {
        let last = ends.first().copied().unwrap_or(0);
        let mut from = Place::of(&resume.cursor, &streams.all).number();
        let mut pieces = Vec::new();
        while from + lines < last {
            pieces.push(Piece { seqs: (from, Some(from + lines)), ..Piece::default() });
            from += lines;
        }
        pieces.push(Piece { seqs: (from, None), ..Piece::default() });
        return pieces;
    }
    let mut since = resume.since;
    let from = since.max(filter.since);
    let mut pieces = Vec::new();
    for cut in streams.cuts(end, from, lines) {
        pieces.push(Piece { times: (since, Some(cut)), ..Piece::default() });
        since = Some(cut);
    }
    pieces.push(Piece { times: (since, None), ..Piece::default() });
    pieces
}

/// A line that is longer than what is looked at together comes in pieces: only the first that matches is a match.
fn is_new(counted: &mut HashSet<(u32, u64)>, first: &Line, last: &Line) -> bool {
    let Some(part) = first.part() else { return true };
    let key = (first.stream, part.line);
    if last.part().is_some_and(|it| it.last) {
        return !counted.remove(&key);
    }
    counted.insert(key)
}

fn bytes_per_line(streams: &Streams) -> u64 {
    let (mut lines, mut bytes) = (0, 0);
    for stream in &streams.all {
        if let (Some(some), Some(size)) = (stream.lines, stream.bytes) {
            lines += some;
            bytes += size;
        }
    }
    bytes.checked_div(lines).unwrap_or(LINE_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::testing::{self, Spec};

    #[test]
    fn a_line_in_many_pieces_is_one_match() {
        let mut specs: Vec<Spec> = (0..6).map(|n| Spec::text(&n.to_string())).collect();
        specs[1].part = Some((1, 1, false));
        specs[2].part = Some((1, 2, false));
        specs[4].part = Some((1, 3, true));
        specs[5].part = Some((5, 1, true));
        let page = Filter::default().select(testing::ndjson(&specs), 0);
        let mut counted = HashSet::new();
        let mut new = |first: usize, last: usize| {
            let lines = page.lines();
            is_new(&mut counted, &lines[first], &lines[last])
        };
        // Its first two parts, a line that came in between, the third.
        assert_eq!([new(1, 2), new(3, 3), new(4, 4)], [true, true, false]);
        assert!(new(5, 5) && new(1, 4));
        assert!(new(1, 1) && !new(2, 2) && !new(4, 4));
        assert!(counted.is_empty());
    }
}
