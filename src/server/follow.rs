//! Lines as they come: `/runs/{run}/logs/stream`, Server-Sent Events. One follower; the reading that many
//! share is in `hub`.
//!
//! A follower is a position (a cursor) and nothing else. It reads from the store what it has not seen, then
//! takes what the hub hands out; if it is too slow for that, or the hub began only after it had looked, it goes back to
//! reading from its position. So a slow client costs no memory, and whatever a client has not seen is never lost.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Instant, timeout_at};

use super::call::Call;
use super::hub::{Batch, Event, Known};
use super::model::{Bars, Extent};
use super::problem::Problem;
use super::query::{CONDITIONS, SELECTION};
use super::view::View;
use super::window::{Limits, Place, Streams, render};
use super::{App, PLACES, answer, model, sse};
use crate::read::cursor::Cursor;
use crate::read::filter::Filter;
use crate::read::find::Found;
use crate::read::session::Follow;
use crate::read::store::{Direction, ReadError, Stream};
use crate::record::WriterId;

/// A connection that says nothing for longer is taken for dead by what stands between.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Lines to begin with, at the most.
const MAX_TAIL: u64 = 10_000;
/// How long a client may have the server wait, seconds.
const MAX_WAIT: u64 = 3600;
/// How long to wait for another step, or another try at one that failed, unless asked.
const LINGER: u64 = 5;
/// Lines of one event while catching up, and their bytes: of the few who may take much at a time …
const MUCH: (usize, usize) = (4000, 1 << 20);
/// … and of all others, who hold this while their client takes it.
const LITTLE: (usize, usize) = (100, 8 << 10);

/// Lines, in an event.
#[derive(Serialize)]
pub(super) struct Items<'a> {
    pub(super) items: &'a [&'a RawValue],
}

/// Streams, in an event.
#[derive(Serialize)]
pub(super) struct All {
    pub(super) streams: Vec<model::Stream>,
}

/// Lines as they come, until all has ended
///
/// Events: `streams` (at first, and whenever one comes up or ends), `lines` (its `id` is where to go on),
/// `trouble` (something is missing or damaged), `problem` (it cannot go on), `end` (all has ended). A comment every 15 s
/// where nothing comes.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/logs/stream", tag = "lines",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        super::openapi::Selected, super::openapi::Asked,
        ("after" = Option<String>, Query, description = "Behind this place: `after` or `id` of an answer"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same, as browsers send it; it comes before `after`"),
        ("tail" = Option<u64>, Query, description = "Begin with the last lines, so many of them"),
        ("wait" = Option<u64>, Query, description = "Seconds to wait for a run that is not there yet [default: 0]"),
        ("linger" = Option<u64>, Query, description = "Seconds to wait for another step or attempt when all have ended [default: 5]"),
    ),
    responses(
        (status = 200, content((String = "text/event-stream"))),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn get(call: Call) -> Result<Response<Body>, Problem> {
    let known = [SELECTION, CONDITIONS, &["after", "tail", "wait", "linger"]];
    let params = call.params(&known)?;
    let last = call.headers.get("last-event-id").and_then(|it| it.to_str().ok());
    let last = last.filter(|it| !it.is_empty());
    let after = match last {
        Some(last) => Some(
            last.parse().map_err(|error| Problem::parameter(format!("Last-Event-ID: {error}")))?,
        ),
        None => params.cursor("after")?,
    };
    let tail = params.number("tail", MAX_TAIL)?;
    if after.is_some() && tail.is_some() && last.is_none() {
        return Err(Problem::parameter("after and tail exclude each other"));
    }
    let wait = Duration::from_secs(params.number("wait", MAX_WAIT)?.unwrap_or(0));
    let linger = Duration::from_secs(params.number("linger", MAX_WAIT)?.unwrap_or(LINGER));
    if params.conditions()?.has_context() {
        return Err(Problem::parameter("lines that come have no context yet"));
    }
    let app = &call.app;
    let permit = app.follower()?;
    let view = if wait.is_zero() { call.view(&params).await? } else { call.run(&params).await? };
    let follow = follow(&view, wait, linger);
    let key = params.key(&view.store.name, &view.found.run);
    let View { store, found, .. } = view;
    let Found { all, selected, .. } = found;
    let reading = Arc::clone(&app.reading);
    let streams = Streams { reader: store.reader, reading, all: selected };
    are_few(&streams.all)?;
    // Not earlier: many may wait for the store, and what followers share is held once.
    let mut filter = call.filter(&params).await?;
    // First the hub, then the store: what the hub handed out before is in the store by then.
    let (events, known) =
        app.hub.follow(key, &streams, &mut filter, follow, app.limits.message_chars)?;
    let chosen: HashSet<WriterId> = streams.all.iter().map(|stream| stream.writer).collect();
    let ignored = all.iter().map(|it| it.writer).filter(|it| !chosen.contains(it)).collect();
    let mut follower = Follower {
        queue: VecDeque::new(),
        cursor: after.clone().unwrap_or_default(),
        chars: app.limits.message_chars,
        behind: true,
        done: false,
        streams,
        filter,
        ignored,
        events,
        known,
        much: None,
        app: call.app,
        _permit: permit,
    };
    follower.tell_streams();
    if let (Some(tail), None) = (tail, after) {
        follower.begin(tail).await?;
    }
    let parts = stream::unfold(follower, |mut follower| async move {
        let part = follower.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(part), follower))
    });
    Ok(answer::of("text/event-stream", Body::from_stream(parts)))
}

fn follow(view: &View, wait: Duration, linger: Duration) -> Follow {
    Follow {
        run: view.found.run.clone(),
        step: view.found.step.clone(),
        selection: view.selection.clone(),
        known: view.found.all.iter().map(|stream| stream.writer).collect(),
        appear: wait,
        linger,
        linger_succeeded: linger,
    }
}

/// Who follows.
struct Follower {
    /// To be sent before anything else.
    queue: VecDeque<Bytes>,
    /// What it has seen.
    cursor: Cursor,
    streams: Streams,
    filter: Filter,
    /// Streams that were there and are not selected.
    ignored: HashSet<WriterId>,
    chars: usize,
    /// Something is in the store that it has not seen.
    behind: bool,
    done: bool,
    events: broadcast::Receiver<Arc<Event>>,
    known: watch::Receiver<Known>,
    /// It may take much at a time.
    much: Option<OwnedSemaphorePermit>,
    app: Arc<App>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// A bar that is followed is seen in each of its states; those that were missed are not made up for.
    fn extent(&self) -> Extent {
        Extent { chars: self.chars, bars: Bars::Last }
    }

    /// What is to be sent next; `None`: that was all.
    async fn next(&mut self) -> Option<Bytes> {
        let quiet = Instant::now() + KEEP_ALIVE;
        loop {
            if let Some(part) = self.queue.pop_front() {
                return Some(part);
            }
            if self.done {
                return None;
            }
            if self.behind {
                if let Err(error) = self.catch_up().await {
                    self.queue.push_back(sse::event("problem", &Problem::from(error)));
                    self.done = true;
                }
                continue;
            }
            if self.known.has_changed().unwrap_or(false) {
                self.tell_streams();
                continue;
            }
            match timeout_at(quiet, self.events.recv()).await {
                Err(_) => return Some(Bytes::from_static(sse::COMMENT)),
                Ok(Ok(event)) => self.take(&event),
                // Too slow: what it has missed is in the store.
                Ok(Err(RecvError::Lagged(_))) => self.behind = true,
                Ok(Err(RecvError::Closed)) => self.done = true,
            }
        }
    }

    /// Begins before the last lines. They are only looked for: what is read ahead would wait for the client.
    async fn begin(&mut self, tail: u64) -> Result<(), ReadError> {
        let mut place = self.streams.end().await?;
        if tail > 0 {
            let limits = Limits {
                lines: Some(tail),
                records: MAX_TAIL as usize,
                bytes: self.app.limits.answer_bytes,
            };
            let backward = Direction::Backward;
            let got = self
                .streams
                .gather(&place, &self.filter, backward, limits, &render(self.extent()))
                .await?;
            place = got.before;
        }
        self.see(&place);
        Ok(())
    }

    /// Some of what it has not seen.
    async fn catch_up(&mut self) -> Result<(), ReadError> {
        let place = Place::of(&self.cursor, &self.streams.all);
        if self.much.is_none() {
            self.much = Arc::clone(&self.app.bursts).try_acquire_owned().ok();
        }
        let (records, bytes) = if self.much.is_some() { MUCH } else { LITTLE };
        let limits = Limits { lines: None, records, bytes };
        let render = render(self.extent());
        let got =
            self.streams.gather(&place, &self.filter, Direction::Forward, limits, &render).await?;
        for trouble in &got.troubles {
            self.queue.push_back(sse::event("trouble", trouble));
        }
        self.see(&got.behind);
        self.send(&got.items.iter().map(|item| &**item).collect::<Vec<_>>(), &got.behind);
        self.behind = !got.ended;
        if !self.behind {
            self.much = None;
        }
        Ok(())
    }

    fn see(&mut self, place: &Place) {
        for (stream, before) in self.streams.all.iter().zip(&place.0) {
            if let Some(last) = before.checked_sub(1) {
                self.cursor.see(stream.writer, last);
            }
        }
    }

    fn send(&mut self, items: &[&RawValue], place: &Place) {
        if !items.is_empty() {
            self.queue.push_back(sse::id(&place.cursor(&self.streams.all)));
            self.queue.push_back(sse::event("lines", &Items { items }));
        }
    }

    fn tell_streams(&mut self) {
        let known = self.known.borrow_and_update().clone();
        for stream in known.streams.iter() {
            if self.ignored.contains(&stream.writer) {
                continue;
            }
            match self.streams.all.iter_mut().find(|it| it.writer == stream.writer) {
                Some(mine) => *mine = stream.clone(),
                None => self.streams.all.push(stream.clone()),
            }
        }
        let streams = model::streams(&self.streams.all);
        self.queue.push_back(sse::event("streams", &All { streams }));
        if let Err(problem) = are_few(&self.streams.all) {
            self.queue.push_back(sse::event("problem", &problem));
            self.done = true;
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Marked => self.behind = true,
            Event::Lines(batch) => self.take_lines(batch),
            Event::Trouble(part) => self.queue.push_back(part.clone()),
            Event::End(part) => {
                if self.known.has_changed().unwrap_or(false) {
                    self.tell_streams();
                }
                self.queue.push_back(part.clone());
                self.done = true;
            }
        }
    }

    fn take_lines(&mut self, batch: &Batch) {
        let unseen = |writer: &WriterId, seq: u64| {
            !self.ignored.contains(writer) && self.cursor.last(*writer).is_none_or(|it| it < seq)
        };
        let whole = batch.firsts.iter().all(|(writer, seq)| unseen(writer, *seq));
        let part = if whole {
            Some(batch.event.clone())
        } else {
            let lines = batch.lines.iter().filter(|line| unseen(&line.writer, line.seq));
            let items: Vec<&RawValue> = lines.map(|line| &*line.json).collect();
            (!items.is_empty()).then(|| sse::event("lines", &Items { items: &items }))
        };
        for (writer, seq) in &batch.lasts {
            if !self.ignored.contains(writer)
                && self.cursor.last(*writer).is_none_or(|it| it < *seq)
            {
                self.cursor.see(*writer, *seq);
            }
        }
        if let Some(part) = part {
            self.queue.push_back(sse::id(&self.cursor.to_string()));
            self.queue.push_back(part);
        }
    }
}

/// Whoever follows has to be able to say where it was.
fn are_few(streams: &[Stream]) -> Result<(), Problem> {
    if streams.len() > PLACES {
        return Err(Problem::many(streams.len(), PLACES));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
