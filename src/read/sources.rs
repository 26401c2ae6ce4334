//! Several streams read side by side, their lines merged by time: [`Lines`] for any store that can
//! read one stream.
//!
//! Streams that cannot come next yet are not opened: the steps of a run mostly follow each other,
//! and each open one holds pages in memory. Apart from `merge`, which is pure: here is waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

use super::filter::Filter;
use super::merge::{self, Head};
use super::page::Page;
use super::store::{Direction, Event, Lines, ReadError, Request, Stream, Trouble};
use crate::record::Nanos;

/// While following, so many failures in a row are taken for a passing trouble of the store.
const PATIENCE: u32 = 10;

/// One stream being read.
pub trait Source: Send {
    /// What comes next; after [`Next::Pending`], each call looks once whether there is more.
    fn next(&mut self) -> impl Future<Output = Result<Next, ReadError>> + Send;

    /// How the stream ended, once that was seen.
    fn ended(&self) -> Option<Stream>;

    /// See [`Lines::marks`].
    fn mark(&self) -> u64;
}

/// What a source has next.
#[derive(Debug)]
pub enum Next {
    /// Lines, in order, with their verdicts.
    Page(Page),
    /// Something is missing or damaged; reading goes on behind it.
    Trouble(String),
    /// Not now: ask again later. Only while following.
    Pending,
    /// Never more.
    Done,
}

/// What is to be read of one stream.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its number; lines name it by that.
    pub number: u32,
    /// Scope and conditions, its position for this stream.
    pub filter: Arc<Filter>,
    /// Which way.
    pub direction: Direction,
    /// Where an earlier reading ended, if one did.
    pub mark: Option<u64>,
    /// About how many lines are wanted at the most.
    pub about: Option<u64>,
    /// Go on when everything there is has been read.
    pub follow: bool,
}

/// A store that can read one stream.
pub trait Open: Send {
    /// What reads it.
    type Source: Source;

    /// Plans to read a stream. Makes no request.
    fn source(&self, stream: &Stream, plan: Plan) -> Self::Source;

    /// No line of the stream comes before this (forward) or after this (backward), as far as is
    /// known without asking.
    fn bound(&self, stream: &Stream, direction: Direction) -> Option<Nanos>;

    /// How long to wait for more of a stream that started so long ago.
    fn cadence(&self, age: Duration) -> Duration;
}

/// Several streams being read.
pub struct Sources<O: Open> {
    store: O,
    request: Request,
    /// By number of the stream.
    readings: Vec<Option<Reading<O::Source>>>,
    heads: Vec<Option<Head>>,
    events: VecDeque<Event>,
    /// The caller knows that there is nothing new.
    idle: bool,
    failures: u32,
}

struct Reading<S> {
    source: S,
    started: Nanos,
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

impl<O: Open> Sources<O> {
    /// Makes no request yet.
    pub fn new(store: O, streams: &[Stream], request: Request) -> Self {
        let mut all = Self {
            store,
            request,
            readings: Vec::new(),
            heads: Vec::new(),
            events: VecDeque::new(),
            idle: false,
            failures: 0,
        };
        for (number, stream) in (0..).zip(streams) {
            all.put(number, stream);
        }
        all
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
            for reading in self.readings.iter_mut().flatten() {
                if reading.state == State::Pending {
                    reading.state = State::Open;
                }
            }
        }
    }

    /// Reads on in every stream that may have the next line.
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
            for (number, reading) in self.readings.iter_mut().enumerate() {
                let Some(reading) = reading else { continue };
                let has_head = self.heads.get(number).is_some_and(Option::is_some);
                match reading.state {
                    State::Open if !has_head => {
                        wanted.push(reading.source.next().map(move |next| (number, next)));
                    }
                    State::Closed if !later(reading.bound) => {
                        closed.push((reading.bound, number));
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
                if let Some(Some(reading)) = self.readings.get_mut(number) {
                    reading.state = State::Open;
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
        let Some(Some(reading)) = self.readings.get_mut(number) else { return Ok(()) };
        match next {
            Ok(Next::Page(page)) => {
                if let Some(head) = self.heads.get_mut(number) {
                    *head = Head::new(Arc::new(page));
                }
            }
            Ok(Next::Trouble(what)) => {
                self.events.push_back(Event::Trouble(Trouble { stream: number as u32, what }));
            }
            Ok(Next::Pending) => reading.state = State::Pending,
            Ok(Next::Done) => {
                reading.state = State::Done;
                if self.request.follow
                    && let Some(stream) = reading.source.ended()
                {
                    self.events.push_back(Event::Ended(number as u32, Box::new(stream)));
                }
            }
            Err(ReadError::Store(error)) if self.request.follow && self.failures < PATIENCE => {
                self.failures += 1;
                reading.state = State::Pending;
                let what = format!("{error}; trying again");
                self.events.push_back(Event::Trouble(Trouble { stream: number as u32, what }));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.failures = 0;
        Ok(())
    }

    /// Beyond this, a stream that is not open yet may have lines.
    fn border(&self) -> Option<Nanos> {
        let closed = self.readings.iter().flatten().filter(|it| it.state == State::Closed);
        let bounds = closed.filter_map(|reading| reading.bound);
        match self.request.direction {
            Direction::Forward => bounds.min(),
            Direction::Backward => bounds.max(),
        }
    }

    fn cadence(&self) -> Duration {
        let now = Nanos::now();
        let live = self.readings.iter().flatten().filter(|it| it.state == State::Pending);
        live.map(|reading| {
            let age = now.0.saturating_sub(reading.started.0).max(0);
            self.store.cadence(Duration::from_nanos(age as u64))
        })
        .min()
        .unwrap_or_else(|| self.store.cadence(Duration::ZERO))
    }

    fn put(&mut self, number: u32, stream: &Stream) {
        let position = number as usize;
        while self.readings.len() <= position {
            self.readings.push(None);
            self.heads.push(None);
        }
        let mut filter = self.request.filter.clone();
        if let Some(Some(from)) = self.request.from.get(position) {
            match self.request.direction {
                Direction::Forward => filter.from_seq = filter.from_seq.max(*from),
                Direction::Backward => filter.to_seq = Some(*from),
            }
        }
        let plan = Plan {
            number,
            filter: Arc::new(filter),
            direction: self.request.direction,
            mark: self.request.marks.get(position).copied().flatten(),
            about: self.request.about,
            follow: self.request.follow,
        };
        let reading = Reading {
            source: self.store.source(stream, plan),
            started: stream.started,
            bound: self.store.bound(stream, self.request.direction),
            state: State::Closed,
        };
        if let Some(slot) = self.readings.get_mut(position) {
            *slot = Some(reading);
        }
    }
}

impl<O: Open> Lines for Sources<O> {
    fn next(&mut self) -> BoxFuture<'_, Result<Event, ReadError>> {
        self.step().boxed()
    }

    fn add(&mut self, number: u32, stream: &Stream) {
        self.put(number, stream);
    }

    fn marks(&self) -> Vec<Option<u64>> {
        let mark = |reading: &Option<Reading<O::Source>>| Some(reading.as_ref()?.source.mark());
        self.readings.iter().map(mark).collect()
    }
}
