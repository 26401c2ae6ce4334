//! The lines of several writers, merged by time.
//!
//! Writers that cannot come next yet are not opened: the steps of a run mostly follow each other,
//! and each open writer holds pages in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

use super::client::Client;
use super::source::{Next, Source};
use super::{Reader, source};
use crate::read::merge::{self, Head};
use crate::read::store::{Direction, Event, Lines, ReadError, Request, Stream, Trouble};
use crate::record::Nanos;

/// While following, so many failures in a row are taken for a passing trouble of the store.
const PATIENCE: u32 = 10;

/// Several writers being read.
pub(super) struct Merged {
    reader: Reader,
    client: Client,
    request: Request,
    /// By number of the stream.
    writers: Vec<Option<Writer>>,
    heads: Vec<Option<Head>>,
    events: VecDeque<Event>,
    /// The caller knows that there is nothing new.
    idle: bool,
    failures: u32,
}

struct Writer {
    source: Source,
    started: Nanos,
    /// No line of it comes before this (forward) or after this (backward).
    bound: Option<Nanos>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not asked yet.
    Closed,
    Open,
    /// It had nothing when it was asked last.
    Pending,
    Done,
}

impl Merged {
    pub(super) fn new(reader: Reader, streams: &[Stream], request: Request) -> Self {
        let mut merged = Self {
            client: reader.client().clone(),
            reader,
            request,
            writers: Vec::new(),
            heads: Vec::new(),
            events: VecDeque::new(),
            idle: false,
            failures: 0,
        };
        for (number, stream) in (0..).zip(streams) {
            merged.add(number, stream);
        }
        merged
    }

    async fn step(&mut self) -> Result<Event, ReadError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.idle = false;
                return Ok(event);
            }
            self.fill().await?;
            if !self.events.is_empty() {
                continue;
            }
            let direction = self.request.direction;
            let border = self.border();
            if let Some(slice) = merge::next_run(&mut self.heads, direction, border) {
                self.idle = false;
                return Ok(Event::Lines(slice));
            }
            if !self.request.follow {
                return Ok(Event::End);
            }
            if !self.idle {
                self.idle = true;
                return Ok(Event::Idle);
            }
            tokio::time::sleep(self.cadence()).await;
            self.idle = false;
            for writer in self.writers.iter_mut().flatten() {
                if writer.state == State::Pending {
                    writer.state = State::Open;
                }
            }
        }
    }

    /// Reads on in every writer that may have the next line.
    async fn fill(&mut self) -> Result<(), ReadError> {
        loop {
            let direction = self.request.direction;
            let best = self.heads.iter().flatten().map(|head| head.time(direction));
            let best = match direction {
                Direction::Forward => best.min(),
                Direction::Backward => best.max(),
            };
            let later = |bound: Option<Nanos>| match (best, bound, direction) {
                (Some(best), Some(bound), Direction::Forward) => bound > best,
                (Some(best), Some(bound), Direction::Backward) => bound < best,
                _ => false,
            };
            let mut wanted = Vec::new();
            let mut closed = Vec::new();
            for (number, writer) in self.writers.iter_mut().enumerate() {
                let Some(writer) = writer else { continue };
                let has_head = self.heads.get(number).is_some_and(Option::is_some);
                match writer.state {
                    State::Open if !has_head => {
                        wanted.push(writer.source.next().map(move |next| (number, next)));
                    }
                    State::Closed if !later(writer.bound) => {
                        closed.push((writer.bound, number));
                    }
                    _ => {}
                }
            }
            if wanted.is_empty() {
                // One after the other: what the first has may come before all of the next.
                let first = match direction {
                    Direction::Forward => closed.into_iter().min(),
                    Direction::Backward => closed
                        .into_iter()
                        .max_by_key(|(bound, _)| bound.map_or(i64::MAX, |it| it.0)),
                };
                drop(wanted);
                let Some((_, number)) = first else { return Ok(()) };
                if let Some(Some(writer)) = self.writers.get_mut(number) {
                    writer.state = State::Open;
                }
                continue;
            }
            for (number, next) in join_all(wanted).await {
                self.take(number, next)?;
            }
            if !self.events.is_empty() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, number: usize, next: Result<Next, ReadError>) -> Result<(), ReadError> {
        let Some(Some(writer)) = self.writers.get_mut(number) else { return Ok(()) };
        match next {
            Ok(Next::Page(page)) => {
                if let Some(head) = self.heads.get_mut(number) {
                    *head = Head::new(Arc::new(page));
                }
            }
            Ok(Next::Trouble(what)) => {
                self.events.push_back(Event::Trouble(Trouble { stream: number as u32, what }));
            }
            Ok(Next::Pending) => writer.state = State::Pending,
            Ok(Next::Done) => {
                writer.state = State::Done;
                if self.request.follow
                    && let Some(end) = writer.source.end()
                {
                    let stream = Box::new(Reader::stream_of_end(end));
                    self.events.push_back(Event::Ended(number as u32, stream));
                }
            }
            Err(ReadError::Store(error)) if self.request.follow && self.failures < PATIENCE => {
                self.failures += 1;
                writer.state = State::Pending;
                let what = format!("{error}; trying again");
                self.events.push_back(Event::Trouble(Trouble { stream: number as u32, what }));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.failures = 0;
        Ok(())
    }

    /// Beyond this, a writer that is not open yet may have lines.
    fn border(&self) -> Option<Nanos> {
        let closed = self.writers.iter().flatten().filter(|it| it.state == State::Closed);
        let bounds = closed.filter_map(|writer| writer.bound);
        match self.request.direction {
            Direction::Forward => bounds.min(),
            Direction::Backward => bounds.max(),
        }
    }

    fn cadence(&self) -> Duration {
        let now = Nanos::now();
        let live = self.writers.iter().flatten().filter(|it| it.state == State::Pending);
        live.map(|writer| {
            let age = now.0.saturating_sub(writer.started.0).max(0);
            self.client.cadence(Duration::from_nanos(age as u64))
        })
        .min()
        .unwrap_or_else(|| self.client.cadence(Duration::ZERO))
    }
}

impl Lines for Merged {
    fn next(&mut self) -> BoxFuture<'_, Result<Event, ReadError>> {
        self.step().boxed()
    }

    fn add(&mut self, number: u32, stream: &Stream) {
        let position = number as usize;
        while self.writers.len() <= position {
            self.writers.push(None);
            self.heads.push(None);
        }
        let mut filter = self.request.filter.clone();
        if let Some(Some(from)) = self.request.from.get(position) {
            match self.request.direction {
                Direction::Forward => filter.from_seq = filter.from_seq.max(*from),
                Direction::Backward => filter.to_seq = Some(*from),
            }
        }
        let end = self.reader.known_end(stream);
        let bound = end.as_ref().and_then(|end| match self.request.direction {
            Direction::Forward => end.segments.first().map(|segment| segment.first_time),
            Direction::Backward => end.segments.last().map(|segment| segment.last_time),
        });
        let plan = source::Plan {
            stream: number,
            prefix: Reader::prefix(stream),
            running: !stream.status.is_final() && stream.status.is_sound(),
            direction: self.request.direction,
            from_chunk: self.request.marks.get(position).copied().flatten().unwrap_or(0),
            follow: self.request.follow,
            ahead: self.reader.ahead(&self.request, &filter),
            filter: Arc::new(filter),
            end,
        };
        let writer = Writer {
            source: Source::new(self.client.clone(), plan),
            started: stream.started,
            bound,
            state: State::Closed,
        };
        if let Some(slot) = self.writers.get_mut(position) {
            *slot = Some(writer);
        }
    }

    fn marks(&self) -> Vec<Option<u64>> {
        let mark = |writer: &Option<Writer>| writer.as_ref().map(|it| it.source.next_chunk());
        self.writers.iter().map(mark).collect()
    }
}
