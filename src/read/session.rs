//! One reading from beginning to end: which passes over the store answer a query, following, and
//! the end of it.
//!
//! | asked for | how |
//! |---|---|
//! | all, the first n | one pass forward |
//! | newest first | one pass backward |
//! | the last n | one pass backward, kept, handed on the other way round |
//! | the last n, more than memory should hold | one pass backward that only counts, one forward |
//! | … and follow | on from the marks of that pass |
//!
//! Does no printing: what is read goes to an [`Output`].

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cursor::Cursor;
use super::filter::Filter;
use super::join::Joining;
use super::page::Page;
use super::pipeline::{Item, Pipeline};
use super::store::{
    Direction, Event, Lines, LogReader, ReadError, Request, Status, Stream, Trouble, mark_continued,
};
use super::target::Selection;
use crate::record::WriterId;

/// Pages that are kept while the last lines are gathered, bytes. Beyond, they are read twice.
const KEEP: usize = 128 << 20;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Scope and conditions.
    pub filter: Filter,
    /// How many.
    pub limit: Limit,
    /// Newest first.
    pub reverse: bool,
    /// On from here, in reading order.
    pub from: Option<From>,
    /// Lines in parts are wanted as they are: bytes are to be exact.
    pub exact: bool,
    /// Wait for more.
    pub follow: Option<Follow>,
}

/// A place to go on from.
#[derive(Clone, Debug)]
pub struct From {
    /// The place.
    pub cursor: Cursor,
    /// With the last line seen.
    pub inclusive: bool,
}

/// How many lines that match are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// Each one.
    #[default]
    All,
    /// The oldest ones.
    Head(u64),
    /// The newest ones.
    Tail(u64),
}

/// How to wait for more.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    /// The run.
    pub run: String,
    /// Only this step is looked at.
    pub step: Option<String>,
    /// Which streams that come up are followed too.
    pub selection: Selection,
    /// These were there before and are not wanted.
    pub known: Vec<WriterId>,
    /// How long to wait for the first stream.
    pub appear: Duration,
    /// How long to wait for another stream when all have ended.
    pub linger: Duration,
    /// The same if all of them succeeded.
    pub linger_succeeded: Duration,
}

/// Where a reading goes. `ControlFlow::Break`: no more is wanted.
pub trait Output: Send {
    /// The streams, by number; again whenever one has come up or ended.
    fn streams(&mut self, streams: &[Stream]);
    /// A line.
    fn item(&mut self, item: &Item<'_>) -> ControlFlow<()>;
    /// Something is missing or damaged.
    fn trouble(&mut self, trouble: &Trouble);
    /// While following: lines that come to the store from now on are handed on, all of them.
    fn marked(&mut self) {}
    /// While following: there is nothing new for now.
    fn idle(&mut self) -> ControlFlow<()>;
}

/// How a reading went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Lines that matched.
    pub matched: u64,
    /// The streams as they stood in the end.
    pub streams: Vec<Stream>,
    /// How often something was missing or damaged.
    pub troubles: u64,
    /// Behind the last line.
    pub cursor: Cursor,
}

/// A reading under way.
pub struct Session<'a> {
    reader: &'a dyn LogReader,
    query: Query,
    output: &'a mut dyn Output,
    outcome: Outcome,
}

impl<'a> Session<'a> {
    /// Of these streams.
    pub fn new(
        reader: &'a dyn LogReader,
        streams: Vec<Stream>,
        query: Query,
        output: &'a mut dyn Output,
    ) -> Self {
        output.streams(&streams);
        // What earlier readings have seen stays seen.
        let cursor = query.from.as_ref().map(|from| from.cursor.clone()).unwrap_or_default();
        let outcome = Outcome { streams, cursor, ..Outcome::default() };
        Self { reader, query, output, outcome }
    }

    /// Reads it all.
    pub async fn run(mut self) -> Result<Outcome, ReadError> {
        let from = self.positions();
        match (self.query.limit, self.query.reverse) {
            (Limit::Tail(count), false) => {
                let marks = self.tail(count, from).await?;
                if let (Some(marks), Some(_)) = (marks, &self.query.follow) {
                    self.output.marked();
                    self.follow(Vec::new(), marks, None).await?;
                }
            }
            (Limit::Head(count), true) => self.head_reversed(count, from).await?,
            (limit, reverse) => {
                let limit = match limit {
                    Limit::All => None,
                    Limit::Head(count) | Limit::Tail(count) => Some(count),
                };
                if self.query.follow.is_some() {
                    self.follow(from, Vec::new(), limit).await?;
                } else {
                    let direction = if reverse { Direction::Backward } else { Direction::Forward };
                    self.pass(direction, from, limit).await?;
                }
            }
        }
        Ok(self.outcome)
    }

    /// Per stream, where the cursor says to go on.
    fn positions(&self) -> Vec<Option<u64>> {
        let Some(From { cursor, inclusive }) = &self.query.from else { return Vec::new() };
        let position = |stream: &Stream| {
            let last = cursor.last(stream.writer)?;
            let again = *inclusive && cursor.is_newest(stream.writer);
            Some(match (self.query.reverse, again) {
                (false, false) | (true, true) => last + 1,
                (false, true) | (true, false) => last,
            })
        };
        self.outcome.streams.iter().map(position).collect()
    }

    fn request(&self, direction: Direction, from: Vec<Option<u64>>, about: Option<u64>) -> Request {
        let filter = self.query.filter.clone();
        Request { filter, direction, from, about, ..Request::default() }
    }

    fn pipeline(&self, direction: Direction, joining: Joining, limit: Option<u64>) -> Pipeline {
        let exact = self.query.exact && !self.query.filter.has_conditions();
        let joining = if exact { Joining::Off } else { joining };
        Pipeline::new(Arc::new(self.query.filter.clone()), direction, joining, limit)
    }

    /// One pass, each line handed on as it comes.
    async fn pass(
        &mut self,
        direction: Direction,
        from: Vec<Option<u64>>,
        limit: Option<u64>,
    ) -> Result<(), ReadError> {
        let mut lines =
            self.reader.open(&self.outcome.streams, self.request(direction, from, limit));
        let mut pipeline = self.pipeline(direction, Joining::InPlace, limit);
        let mut troubles = Vec::new();
        let mut out = Handing { output: &mut *self.output, outcome: &mut self.outcome };
        read(&mut *lines, &mut pipeline, &mut |item| out.line(&item), &mut troubles).await?;
        self.report(troubles);
        self.outcome.matched += pipeline.matched();
        Ok(())
    }

    /// The last lines, oldest of them first. Returns where following goes on; none if no more is
    /// wanted.
    async fn tail(
        &mut self,
        count: u64,
        from: Vec<Option<u64>>,
    ) -> Result<Option<Vec<Option<u64>>>, ReadError> {
        let mut request = self.request(Direction::Backward, from, Some(count));
        if count == 0 {
            // Only the marks are wanted: the first lines will do, whatever they say.
            request.filter = Filter::default();
        }
        let mut lines = self.reader.open(&self.outcome.streams, request);
        let mut pipeline = self.pipeline(Direction::Backward, Joining::InPlace, Some(count));
        let mut kept = Kept::new(self.outcome.streams.len());
        let mut troubles = Vec::new();
        let mut keep = |item: Item<'_>| {
            kept.keep(&item);
            ControlFlow::Continue(())
        };
        read(&mut *lines, &mut pipeline, &mut keep, &mut troubles).await?;
        let marks = lines.marks();
        drop(lines);
        self.report(troubles);
        if kept.overflowed {
            let first = kept.first;
            self.pass(Direction::Forward, first, Some(pipeline.matched())).await?;
            return Ok(Some(marks));
        }
        self.outcome.matched = pipeline.matched();
        let flow = self.hand_on(kept.items.iter().rev());
        Ok(flow.is_continue().then_some(marks))
    }

    /// The first lines, newest of them first.
    async fn head_reversed(&mut self, count: u64, from: Vec<Option<u64>>) -> Result<(), ReadError> {
        let request = self.request(Direction::Forward, from, Some(count));
        let mut lines = self.reader.open(&self.outcome.streams, request);
        let mut pipeline = self.pipeline(Direction::Forward, Joining::InPlace, Some(count));
        let mut items = Vec::new();
        let mut troubles = Vec::new();
        let mut keep = |item: Item<'_>| {
            items.push(Owned::new(&item));
            ControlFlow::Continue(())
        };
        read(&mut *lines, &mut pipeline, &mut keep, &mut troubles).await?;
        self.report(troubles);
        self.outcome.matched = pipeline.matched();
        let _enough = self.hand_on(items.iter().rev());
        Ok(())
    }

    fn hand_on<'b>(&mut self, items: impl Iterator<Item = &'b Owned>) -> ControlFlow<()> {
        let mut apart = false;
        for item in items {
            // What was left out before it in one direction was left out behind it in the other.
            let shown = Item {
                page: &item.page,
                position: item.position,
                more: &item.more,
                matched: item.matched,
                apart,
            };
            let mut out = Handing { output: &mut *self.output, outcome: &mut self.outcome };
            out.line(&shown)?;
            apart = item.apart;
        }
        ControlFlow::Continue(())
    }

    fn report(&mut self, troubles: Vec<Trouble>) {
        for trouble in troubles {
            self.outcome.troubles += 1;
            self.output.trouble(&trouble);
        }
    }

    /// Reads forward and waits for more, until all has ended.
    async fn follow(
        &mut self,
        from: Vec<Option<u64>>,
        marks: Vec<Option<u64>>,
        limit: Option<u64>,
    ) -> Result<(), ReadError> {
        let Some(follow) = self.query.follow.clone() else { return Ok(()) };
        let request =
            Request { follow: true, marks, ..self.request(Direction::Forward, from, limit) };
        let mut lines = self.reader.open(&self.outcome.streams, request);
        // What a step has printed so far is to be seen, whole line or not.
        let joining = if self.query.filter.has_conditions() { Joining::Late } else { Joining::Off };
        let mut pipeline = self.pipeline(Direction::Forward, joining, limit);
        let mut watch = Watch::new(&self.outcome.streams, &follow);
        loop {
            let event = lines.next().await?;
            let mut out = Handing { output: &mut *self.output, outcome: &mut self.outcome };
            let flow = match event {
                Event::Lines(slice) => pipeline.push(&slice, &mut |item| out.line(&item)),
                Event::Trouble(trouble) => {
                    self.outcome.troubles += 1;
                    self.output.trouble(&trouble);
                    ControlFlow::Continue(())
                }
                Event::Ended(number, stream) => {
                    if let Some(slot) = self.outcome.streams.get_mut(number as usize) {
                        *slot = *stream;
                    }
                    mark_continued(&mut self.outcome.streams);
                    watch.ended += 1;
                    watch.quiet_since = Instant::now();
                    self.output.streams(&self.outcome.streams);
                    ControlFlow::Continue(())
                }
                Event::Idle => {
                    let flow = self.output.idle();
                    self.discover(&follow, &mut watch, &mut *lines).await?;
                    if watch.is_over(&self.outcome.streams, &follow) {
                        break;
                    }
                    flow
                }
                Event::End => break,
            };
            if flow.is_break() {
                self.outcome.matched += pipeline.matched();
                return Ok(());
            }
        }
        let mut out = Handing { output: &mut *self.output, outcome: &mut self.outcome };
        let _enough = pipeline.finish(&mut |item| out.line(&item));
        self.outcome.matched += pipeline.matched();
        Ok(())
    }

    /// Looks for streams that have come up.
    async fn discover(
        &mut self,
        follow: &Follow,
        watch: &mut Watch,
        lines: &mut dyn Lines,
    ) -> Result<(), ReadError> {
        if watch.looked.elapsed() < self.reader.discovery() {
            return Ok(());
        }
        watch.looked = Instant::now();
        let step = follow.step.as_deref();
        let found = match self.reader.streams(&follow.run, step, &watch.known).await {
            Ok(found) => found,
            // Passing; what is being read says so if it is not.
            Err(ReadError::Store(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        for stream in found {
            watch.known.push(stream.writer);
            if follow.selection.may_mean(&stream) {
                lines.add(self.outcome.streams.len() as u32, &stream);
                self.outcome.streams.push(stream);
                mark_continued(&mut self.outcome.streams);
                self.output.streams(&self.outcome.streams);
            }
        }
        Ok(())
    }
}

/// What following keeps an eye on.
struct Watch {
    known: Vec<WriterId>,
    ended: usize,
    quiet_since: Instant,
    looked: Instant,
}

impl Watch {
    fn new(streams: &[Stream], follow: &Follow) -> Self {
        let mut known = follow.known.clone();
        known.extend(streams.iter().map(|stream| stream.writer));
        Self { known, ended: 0, quiet_since: Instant::now(), looked: Instant::now() }
    }

    fn is_over(&self, streams: &[Stream], follow: &Follow) -> bool {
        let succeeded = streams.iter().all(|stream| stream.status == Status::Succeeded);
        let linger = match (streams.is_empty(), succeeded) {
            (true, _) => follow.appear,
            (false, true) => follow.linger_succeeded,
            (false, false) => follow.linger,
        };
        self.ended >= streams.len() && self.quiet_since.elapsed() >= linger
    }
}

/// Hands lines on and remembers where it stands.
struct Handing<'a> {
    output: &'a mut dyn Output,
    outcome: &'a mut Outcome,
}

impl Handing<'_> {
    fn line(&mut self, item: &Item<'_>) -> ControlFlow<()> {
        let last = item.more.last().map_or((item.page, item.position), |(page, at)| (page, *at));
        if let Some(line) = last.0.lines().get(last.1)
            && let Some(stream) = self.outcome.streams.get(line.stream as usize)
        {
            self.outcome.cursor.see(stream.writer, line.seq);
        }
        self.output.item(item)
    }
}

/// Pushes all that is read through the pipeline.
pub async fn read(
    lines: &mut dyn Lines,
    pipeline: &mut Pipeline,
    sink: super::pipeline::Sink<'_>,
    troubles: &mut Vec<Trouble>,
) -> Result<(), ReadError> {
    loop {
        match lines.next().await? {
            Event::Lines(slice) => {
                if pipeline.push(&slice, sink).is_break() {
                    return Ok(());
                }
            }
            Event::Trouble(trouble) => troubles.push(trouble),
            Event::Idle | Event::Ended(..) => {}
            Event::End => {
                let _enough = pipeline.finish(sink);
                return Ok(());
            }
        }
    }
}

/// An [`Item`] that can be kept.
struct Owned {
    page: Arc<Page>,
    position: usize,
    more: Vec<(Arc<Page>, usize)>,
    matched: bool,
    apart: bool,
}

impl Owned {
    fn new(item: &Item<'_>) -> Self {
        Self {
            page: Arc::clone(item.page),
            position: item.position,
            more: item.more.to_vec(),
            matched: item.matched,
            apart: item.apart,
        }
    }
}

/// The last lines, as they are gathered.
struct Kept {
    items: Vec<Owned>,
    /// Of pages that are kept.
    bytes: usize,
    last_page: Option<Arc<Page>>,
    /// Too many: only the positions below are kept.
    overflowed: bool,
    /// Per stream, the first line that is wanted; none of those that have none.
    first: Vec<Option<u64>>,
}

impl Kept {
    fn new(streams: usize) -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            last_page: None,
            overflowed: false,
            first: vec![Some(u64::MAX); streams],
        }
    }

    fn keep(&mut self, item: &Item<'_>) {
        if let Some(line) = item.line()
            && let Some(first) = self.first.get_mut(line.stream as usize)
        {
            *first = Some(line.seq.min(first.unwrap_or(u64::MAX)));
        }
        if self.overflowed {
            return;
        }
        let same = self.last_page.as_ref().is_some_and(|page| Arc::ptr_eq(page, item.page));
        if !same {
            self.bytes += item.page.bytes();
            self.last_page = Some(Arc::clone(item.page));
        }
        if self.bytes > KEEP {
            self.overflowed = true;
            self.items = Vec::new();
            self.last_page = None;
            return;
        }
        self.items.push(Owned::new(item));
    }
}

#[cfg(test)]
mod tests;
