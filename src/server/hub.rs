//! Readings that followers share: one for each selection that somebody follows, however many do.
//!
//! It holds only what it has handed out last, so that whoever is a little late still finds it; who is later
//! reads from the store. It begins with the first follower and ends with the last, or with what it follows.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;

use super::follow::Items;
use super::model::{Bars, Extent, Fault, Line};
use super::problem::Problem;
use super::window::Streams;
use super::{model, sse};
use crate::read::filter::Filter;
use crate::read::pattern::Patterns;
use crate::read::pipeline::Item;
use crate::read::session::{Follow, Limit, Output, Query, Session};
use crate::read::standing;
use crate::read::store::{Status, Stream, Trouble};
use crate::record::WriterId;

/// Events that are kept for those who are a little late.
const KEPT: usize = 8;
/// Bytes of lines in one event.
const EVENT: usize = 32 << 10;

/// All of them.
#[derive(Clone, Default)]
pub(super) struct Hub {
    readings: Arc<Mutex<HashMap<String, Reading>>>,
    most: usize,
}

struct Reading {
    events: broadcast::WeakSender<Arc<Event>>,
    known: watch::Receiver<Known>,
    /// Patterns of it, which may take much: all who take part have the same ones.
    patterns: [Option<Patterns>; 2],
    stop: AbortHandle,
}

/// The streams of a reading.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) streams: Arc<Vec<Stream>>,
}

/// What happens.
pub(super) enum Event {
    /// Lines that come to the store from now on are handed out. What came before, perhaps after a follower had
    /// looked for it, is in the store.
    Marked,
    Lines(Batch),
    /// As text.
    Trouble(Bytes),
    /// The same. Nothing comes behind it.
    End(Bytes),
}

/// Lines that came together.
pub(super) struct Batch {
    /// As text, all of them.
    pub(super) event: Bytes,
    pub(super) lines: Vec<Sent>,
    /// Per stream that has lines here, the first of them.
    pub(super) firsts: Vec<(WriterId, u64)>,
    /// The same, the last.
    pub(super) lasts: Vec<(WriterId, u64)>,
}

/// A line as JSON, and which it is.
pub(super) struct Sent {
    pub(super) writer: WriterId,
    pub(super) seq: u64,
    pub(super) json: Box<RawValue>,
}

/// How it ended.
#[derive(Serialize)]
struct End {
    status: Status,
}

impl Hub {
    /// At most so many readings at a time.
    pub(super) fn new(most: usize) -> Self {
        Self { readings: Arc::default(), most }
    }

    /// Ends all readings, and with them all who follow.
    pub(super) fn stop(&self) {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, reading) in readings.drain() {
            reading.stop.abort();
        }
    }

    /// Takes part in the reading of this name, or begins it. The patterns are those of the reading from then on.
    pub(super) fn follow(
        &self,
        key: String,
        streams: &Streams,
        filter: &mut Filter,
        follow: Follow,
        chars: usize,
    ) -> Result<(broadcast::Receiver<Arc<Event>>, watch::Receiver<Known>), Problem> {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = readings.get(&key)
            && let Some(events) = reading.events.upgrade()
        {
            [filter.text, filter.exclude] = reading.patterns.clone();
            return Ok((events.subscribe(), reading.known.clone()));
        }
        if readings.len() >= self.most {
            let most = self.most;
            let detail = format!("{most} different selections are followed already");
            return Err(Problem::busy("max_followed", detail));
        }
        let (events, receiver) = broadcast::channel(KEPT);
        let first = Known { streams: Arc::new(streams.all.clone()) };
        let (tell, known) = watch::channel(first);
        let out = Out {
            hub: self.clone(),
            key: key.clone(),
            events: events.clone(),
            tell,
            streams: Vec::new(),
            before: Vec::new(),
            lines: Vec::new(),
            bytes: 0,
            chars,
        };
        let query = Query {
            filter: filter.clone(),
            limit: Limit::Tail(0),
            follow: Some(follow),
            ..Query::default()
        };
        let stop = tokio::spawn(read(streams.clone(), query, out)).abort_handle();
        let patterns = [filter.text.clone(), filter.exclude.clone()];
        let reading = Reading { events: events.downgrade(), known: known.clone(), patterns, stop };
        readings.insert(key, reading);
        Ok((receiver, known))
    }
}

async fn read(streams: Streams, query: Query, mut out: Out) {
    let session = Session::new(&*streams.reader, streams.all.clone(), query, &mut out);
    let ended = session.run().await;
    out.flush();
    let end = match ended {
        Ok(outcome) => sse::event("end", &End { status: standing::of_run(&outcome.streams) }),
        Err(error) => sse::event("problem", &Problem::from(error)),
    };
    out.send(Event::End(end));
}

/// Where a reading goes. Dropped, it is one that nobody can take part in any more.
struct Out {
    hub: Hub,
    key: String,
    events: broadcast::Sender<Arc<Event>>,
    tell: watch::Sender<Known>,
    streams: Vec<Stream>,
    /// Lines of each stream before what comes next.
    before: Vec<u64>,
    lines: Vec<Sent>,
    bytes: usize,
    chars: usize,
}

impl Out {
    fn send(&self, event: Event) {
        // Nobody may be there any more.
        drop(self.events.send(Arc::new(event)));
    }

    fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        let mut firsts: Vec<(WriterId, u64)> = Vec::new();
        let mut lasts = firsts.clone();
        for line in &lines {
            if let Some((_, last)) = lasts.iter_mut().find(|(writer, _)| *writer == line.writer) {
                *last = line.seq;
            } else {
                firsts.push((line.writer, line.seq));
                lasts.push((line.writer, line.seq));
            }
        }
        let items: Vec<&RawValue> = lines.iter().map(|line| &*line.json).collect();
        let event = sse::event("lines", &Items { items: &items });
        self.send(Event::Lines(Batch { event, lines, firsts, lasts }));
    }

    /// Ends the reading if nobody is there; who comes now begins another.
    fn go_on(&self) -> ControlFlow<()> {
        let mut readings = self.hub.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if self.events.receiver_count() > 0 {
            return ControlFlow::Continue(());
        }
        readings.remove(&self.key);
        ControlFlow::Break(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        let mut readings = self.hub.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.get(&self.key).is_some_and(|it| {
            it.events.upgrade().is_some_and(|events| events.same_channel(&self.events))
        }) {
            readings.remove(&self.key);
        }
    }
}

impl Output for Out {
    fn streams(&mut self, streams: &[Stream]) {
        self.flush();
        self.streams = streams.to_vec();
        for stream in streams.iter().skip(self.before.len()) {
            self.before.push(stream.lines.unwrap_or(0));
        }
        self.tell.send_replace(Known { streams: Arc::new(self.streams.clone()) });
    }

    fn item(&mut self, item: &Item<'_>) -> ControlFlow<()> {
        let more = item.more.iter().map(|(page, position)| (page, *position));
        for (page, position) in std::iter::once((item.page, item.position)).chain(more) {
            let Some(line) = page.lines().get(position) else { continue };
            let number = line.stream as usize;
            let Some(stream) = self.streams.get(number) else { continue };
            if let Some(before) = self.before.get_mut(number) {
                *before = line.seq;
            }
            let rank = self.before.iter().sum();
            if let Some(before) = self.before.get_mut(number) {
                *before = line.seq + 1;
            }
            let extent = Extent { chars: self.chars, bars: Bars::Last };
            let made = model::Line::new(page, line, stream, rank, item.matched, extent);
            let made: &Line<'_> = &made;
            if let Ok(json) = to_raw_value(made) {
                self.bytes += json.get().len();
                self.lines.push(Sent { writer: stream.writer, seq: line.seq, json });
            }
        }
        if self.bytes >= EVENT {
            self.flush();
            return self.go_on();
        }
        ControlFlow::Continue(())
    }

    fn marked(&mut self) {
        self.send(Event::Marked);
    }

    fn trouble(&mut self, trouble: &Trouble) {
        self.flush();
        let fault = Fault::new(trouble, &self.streams);
        self.send(Event::Trouble(sse::event("trouble", &fault)));
    }

    fn idle(&mut self) -> ControlFlow<()> {
        self.flush();
        self.go_on()
    }
}
