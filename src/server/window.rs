//! Places in the merged order of several streams, and lines read from there: what every endpoint that shows
//! lines stands on. Knows no parameters and no HTTP.
//!
//! A *place* says of each stream how many of its lines stand before it, so that going on from it neither
//! loses nor repeats a line, even if streams deliver late. Its *number* is the sum. A place near a number
//! is found by time: how many lines of a stream come before a time is what stores are quick at.

use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Semaphore;

use super::model::{Extent, Fault, Line};
use super::query::Start;
use super::rank::Ranks;
use crate::read::cursor::Cursor;
use crate::read::filter::Filter;
use crate::read::join::Joining;
use crate::read::page::{Line as Read, Page};
use crate::read::pipeline::{Item, Pipeline};
use crate::read::session;
use crate::read::store::{Direction, Event, LogReader, ReadError, Request, Stream};
use crate::record::{Nanos, WriterId};

/// Streams that are asked at a time.
const AT_A_TIME: usize = 8;
/// A place this near is near enough to read on from to the line itself.
const NEAR: u64 = 5000;
/// Times that are tried for a place near a number.
const TRIES: usize = 24;
/// Lines at the most that are read on to reach a number: beyond, the place before them has to do.
const FAR: u64 = 20 * NEAR;

/// What is selected: streams of a store, in the order in which lines of the same time stand.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) reader: Arc<dyn LogReader>,
    /// What a reading takes is held by a few at a time.
    pub(super) reading: Arc<Semaphore>,
    pub(super) all: Vec<Stream>,
}

/// Per stream, how many of its lines stand before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(pub(super) Vec<u64>);

/// How much to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Lines that match.
    pub(super) lines: Option<u64>,
    /// Records, context and parts of lines among them.
    pub(super) records: usize,
    /// Bytes of the answer, about.
    pub(super) bytes: usize,
}

/// A line of a stream, its number, and whether it was asked for, to JSON.
pub(super) type Render<'a> =
    &'a (dyn Fn(&Page, &Read, &Stream, u64, bool) -> Option<Box<RawValue>> + Sync);

/// As [`Line`].
pub(super) fn render(
    extent: Extent,
) -> impl Fn(&Page, &Read, &Stream, u64, bool) -> Option<Box<RawValue>> + Sync {
    move |page, line, stream, number, matched| {
        to_raw_value(&Line::new(page, line, stream, number, matched, extent)).ok()
    }
}

/// Lines that were read.
#[derive(Debug)]
pub(super) struct Gathered {
    /// Oldest first, as JSON.
    pub(super) items: Vec<Box<RawValue>>,
    /// Before them.
    pub(super) before: Place,
    /// Behind them.
    pub(super) behind: Place,
    /// Per item, its stream, `seq` and time.
    marks: Vec<(usize, u64, Nanos)>,
    /// Lines between them were left out, so that numbers are too small.
    gappy: bool,
    pub(super) troubles: Vec<Fault>,
    /// There was nothing more to read in this direction.
    pub(super) ended: bool,
}

impl Place {
    /// Before the first line.
    pub(super) fn start(streams: usize) -> Self {
        Self(vec![0; streams])
    }

    /// Lines before it.
    pub(super) fn number(&self) -> u64 {
        self.0.iter().sum()
    }

    fn of_stream(&self, number: usize) -> u64 {
        self.0.get(number).copied().unwrap_or(0)
    }

    pub(super) fn is_start(&self) -> bool {
        self.number() == 0
    }

    /// As the word that a client hands back: behind which line of each stream it is.
    pub(super) fn cursor(&self, streams: &[Stream]) -> String {
        let mut cursor = Cursor::default();
        for (stream, before) in streams.iter().zip(&self.0) {
            if let Some(last) = before.checked_sub(1) {
                cursor.see(stream.writer, last);
            }
        }
        cursor.to_string()
    }

    /// The other way round. Streams that the cursor does not know have come up since: behind it.
    pub(super) fn of(cursor: &Cursor, streams: &[Stream]) -> Self {
        let before = |stream: &Stream| cursor.last(stream.writer).map_or(0, |last| last + 1);
        Self(streams.iter().map(before).collect())
    }

    fn from(&self) -> Vec<Option<u64>> {
        self.0.iter().copied().map(Some).collect()
    }
}

impl Gathered {
    /// Gives lines of several streams their numbers where others between them were left out. `false`: some are only
    /// about right.
    pub(super) async fn rank(&mut self, streams: &Streams) -> Result<bool, ReadError> {
        if !self.gappy {
            return Ok(true);
        }
        let end = streams.end().await?;
        let mut ranks = Ranks::new(streams, &end).await?;
        for (item, (stream, seq, time)) in self.items.iter_mut().zip(&self.marks) {
            let number = ranks.number(*stream, *seq, *time).await?;
            // It stands first in a line.
            if let Some((_, rest)) = item.get().split_once(',') {
                let text = format!("{{\"number\":{number},{rest}");
                *item = RawValue::from_string(text).unwrap_or_default();
            }
        }
        Ok(ranks.is_exact())
    }

    /// What goes on before and behind them, as words; none where there is nothing and nothing will come.
    pub(super) fn ways_on(
        &self,
        direction: Direction,
        streams: &Streams,
    ) -> (Option<String>, Option<String>) {
        let first = self.before.is_start() || (direction == Direction::Backward && self.ended);
        let last = direction == Direction::Forward && self.ended && streams.are_final();
        let before = (!first).then(|| self.before.cursor(&streams.all));
        (before, (!last).then(|| self.behind.cursor(&streams.all)))
    }
}

impl Streams {
    /// Where to begin, and which way.
    pub(super) async fn begin(&self, start: &Start) -> Result<(Place, Direction), ReadError> {
        Ok(match start {
            Start::Oldest => (Place::start(self.all.len()), Direction::Forward),
            Start::Newest => (self.end().await?, Direction::Backward),
            Start::Before(cursor) => (Place::of(cursor, &self.all), Direction::Backward),
            Start::After(cursor) => (Place::of(cursor, &self.all), Direction::Forward),
        })
    }

    /// Nothing more will come.
    pub(super) fn are_final(&self) -> bool {
        self.all.iter().all(|stream| stream.status.is_final())
    }

    /// Behind the last line there is.
    pub(super) async fn end(&self) -> Result<Place, ReadError> {
        let count = |stream: &Stream| {
            let stream = stream.clone();
            async move {
                match stream.lines {
                    Some(lines) => Ok(lines),
                    None => self.count(&stream).await,
                }
            }
        };
        let all = stream::iter(&self.all).map(count).buffered(AT_A_TIME).try_collect();
        all.await.map(Place)
    }

    /// Lines of a stream of which the store does not tell that.
    async fn count(&self, stream: &Stream) -> Result<u64, ReadError> {
        let direction = Direction::Backward;
        let last = self.first(stream, Request { direction, ..Request::default() }).await?;
        Ok(last.map_or(0, |(seq, _)| seq + 1))
    }

    /// `seq` and time of the first line that a request comes upon.
    async fn first(
        &self,
        stream: &Stream,
        request: Request,
    ) -> Result<Option<(u64, Nanos)>, ReadError> {
        let direction = request.direction;
        let request = Request { about: Some(1), ..request };
        let mut lines = self.reader.open(std::slice::from_ref(stream), request);
        loop {
            match lines.next().await? {
                Event::Lines(slice) => {
                    let line = match direction {
                        Direction::Forward => slice.lines().first(),
                        Direction::Backward => slice.lines().last(),
                    };
                    if let Some(line) = line {
                        return Ok(Some((line.seq, line.time)));
                    }
                }
                Event::End => return Ok(None),
                Event::Trouble(_) | Event::Idle | Event::Ended(..) => {}
            }
        }
    }

    /// Before the first line that was not written before this time.
    pub(super) async fn at(&self, time: Nanos, end: &Place) -> Result<Place, ReadError> {
        self.at_times(|_| time, end).await
    }

    /// The same with a time for each stream, by its number.
    async fn at_times(
        &self,
        time: impl Fn(usize) -> Nanos,
        end: &Place,
    ) -> Result<Place, ReadError> {
        let before = |(number, (stream, lines)): (usize, (&Stream, u64))| {
            let (stream, time) = (stream.clone(), time(number));
            async move {
                if lines == 0 || time <= stream.started {
                    return Ok(0);
                }
                if stream.status.is_final() && stream.ended.is_some_and(|ended| ended < time) {
                    return Ok(lines);
                }
                let filter = Filter { since: Some(time), ..Filter::default() };
                let first = self.first(&stream, Request { filter, ..Request::default() }).await?;
                Ok(first.map_or(lines, |(seq, _)| seq.min(lines)))
            }
        };
        let pairs: Vec<_> = self.all.iter().zip(end.0.iter().copied()).enumerate().collect();
        stream::iter(pairs).map(before).buffered(AT_A_TIME).try_collect().await.map(Place)
    }

    /// Before this line.
    pub(super) async fn around(
        &self,
        writer: WriterId,
        seq: u64,
        end: &Place,
    ) -> Result<Option<Place>, ReadError> {
        let Some(number) = self.all.iter().position(|stream| stream.writer == writer) else {
            return Ok(None);
        };
        let Some(stream) = self.all.get(number) else { return Ok(None) };
        if let [_] = self.all.as_slice() {
            return Ok((seq < end.of_stream(number)).then_some(Place(vec![seq])));
        }
        let filter = Filter { from_seq: seq, ..Filter::default() };
        let found = self.first(stream, Request { filter, ..Request::default() }).await?;
        let Some((_, time)) = found.filter(|(found, _)| *found == seq) else { return Ok(None) };
        // Of lines of the same time, those of earlier streams come first.
        let behind = Nanos(time.0.saturating_add(1));
        let times = |other| if other < number { behind } else { time };
        let Place(mut before) = self.at_times(times, end).await?;
        if let Some(before) = before.get_mut(number) {
            *before = seq;
        }
        Ok(Some(Place(before)))
    }

    /// Before line `number`, or near it where lines have all the same time.
    pub(super) async fn near(&self, number: u64, end: &Place) -> Result<Place, ReadError> {
        let number = number.min(end.number());
        if let [_] = self.all.as_slice() {
            return Ok(Place(vec![number]));
        }
        if number == end.number() {
            return Ok(end.clone());
        }
        let mut low = (self.earliest(), Place::start(self.all.len()));
        let mut high = (self.latest(end).await?, end.clone());
        for attempt in 0..TRIES {
            let (low_number, high_number) = (low.1.number(), high.1.number());
            if number - low_number <= NEAR || high_number <= low_number || high.0.0 - low.0.0 <= 1 {
                break;
            }
            let time = guess(number, &low, &high, attempt);
            let place = self.at(time, end).await?;
            if place.number() <= number {
                low = (time, place);
            } else {
                high = (time, place);
            }
        }
        self.forward_to(low.1, number).await
    }

    pub(super) fn earliest(&self) -> Nanos {
        self.all.iter().map(|stream| stream.started).min().unwrap_or_default()
    }

    /// Behind the last line.
    async fn latest(&self, end: &Place) -> Result<Nanos, ReadError> {
        let last = |(stream, lines): (&Stream, u64)| {
            let stream = stream.clone();
            async move {
                match stream.ended {
                    Some(ended) => Ok::<Nanos, ReadError>(ended),
                    None if lines == 0 => Ok(stream.started),
                    None => {
                        let direction = Direction::Backward;
                        let last = Request { direction, ..Request::default() };
                        Ok(self.first(&stream, last).await?.map_or(stream.started, |last| last.1))
                    }
                }
            }
        };
        let pairs: Vec<_> = self.all.iter().zip(end.0.iter().copied()).collect();
        let all: Vec<Nanos> =
            stream::iter(pairs).map(last).buffered(AT_A_TIME).try_collect().await?;
        Ok(Nanos(all.into_iter().max().unwrap_or_default().0.saturating_add(1)))
    }

    /// On from a place to line `number`, if it is not too far.
    async fn forward_to(&self, place: Place, number: u64) -> Result<Place, ReadError> {
        let mut away = number.saturating_sub(place.number());
        // Lines of many streams at the very same time: no way but to read them.
        if away == 0 || away > FAR {
            return Ok(place);
        }
        let mut at = place.clone();
        let request = Request { from: place.from(), about: Some(away), ..Request::default() };
        let mut lines = self.reader.open(&self.all, request);
        while away > 0 {
            match lines.next().await? {
                Event::Lines(slice) => {
                    for line in slice.lines().iter().take(away as usize) {
                        if let Some(before) = at.0.get_mut(line.stream as usize) {
                            *before = line.seq + 1;
                        }
                    }
                    away = number.saturating_sub(at.number());
                }
                Event::End => break,
                Event::Trouble(_) | Event::Idle | Event::Ended(..) => {}
            }
        }
        Ok(at)
    }

    /// Reads lines from a place on, or those before it.
    pub(super) async fn gather(
        &self,
        place: &Place,
        filter: &Filter,
        direction: Direction,
        limits: Limits,
        render: Render<'_>,
    ) -> Result<Gathered, ReadError> {
        let request = Request {
            filter: filter.clone(),
            direction,
            from: place.from(),
            about: limits.lines.or(Some(limits.records as u64)),
            ..Request::default()
        };
        let _turn = self.reading.acquire().await;
        let mut lines = self.reader.open(&self.all, request);
        let gappy = self.all.len() > 1 && filter.leaves_out();
        let filter = Arc::new(filter.clone());
        let mut pipeline = Pipeline::new(filter, direction, Joining::Off, limits.lines);
        let mut at = place.clone();
        let mut items: Vec<Box<RawValue>> = Vec::new();
        let mut marks = Vec::new();
        let (mut bytes, mut full) = (0, false);
        let mut troubles = Vec::new();
        let mut keep = |item: Item<'_>| {
            let more = item.more.iter().map(|(page, position)| (page, *position));
            let mut parts: Vec<_> =
                std::iter::once((item.page, item.position)).chain(more).collect();
            if direction == Direction::Backward {
                parts.reverse();
            }
            for (page, position) in parts {
                let Some(line) = page.lines().get(position) else { continue };
                let number = line.stream as usize;
                let (Some(stream), Some(before)) = (self.all.get(number), at.0.get_mut(number))
                else {
                    continue;
                };
                *before = line.seq;
                let rank = at.number();
                if let (Direction::Forward, Some(before)) = (direction, at.0.get_mut(number)) {
                    *before = line.seq + 1;
                }
                if let Some(json) = render(page, line, stream, rank, item.matched) {
                    bytes += json.get().len();
                    items.push(json);
                    marks.push((number, line.seq, line.time));
                }
            }
            full = items.len() >= limits.records || bytes >= limits.bytes;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        session::read(&mut *lines, &mut pipeline, &mut keep, &mut troubles).await?;
        let ended = !full && limits.lines.is_none_or(|limit| pipeline.matched() < limit);
        let (before, behind) = match direction {
            Direction::Forward => (place.clone(), at),
            Direction::Backward => (at, place.clone()),
        };
        if direction == Direction::Backward {
            items.reverse();
            marks.reverse();
        }
        let troubles = troubles.iter().map(|trouble| Fault::new(trouble, &self.all)).collect();
        Ok(Gathered { items, before, behind, marks, gappy, troubles, ended })
    }
}

/// By how lines are spread between two times; every third try in the middle, since they may be spread in
/// any way.
fn guess(number: u64, low: &(Nanos, Place), high: &(Nanos, Place), attempt: usize) -> Nanos {
    let (from, to) = (low.0.0, high.0.0);
    let middle = from + (to - from) / 2;
    if attempt % 3 == 2 {
        return Nanos(middle);
    }
    // A little before, so that little has to be read on.
    let wanted = number.saturating_sub(NEAR / 2).max(low.1.number());
    let lines = (high.1.number() - low.1.number()) as f64;
    let share = (wanted - low.1.number()) as f64 / lines.max(1.0);
    let time = from + ((to - from) as f64 * share) as i64;
    Nanos(time.clamp(from + 1, to.max(from + 2) - 1))
}
