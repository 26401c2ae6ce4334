//! The numbers of single lines among those of several streams, where the lines between them are not read: of each other
//! stream, how many lines stand before a time.
//!
//! What a store knows of its lines without reading them ([`Piece`]s of some thousand) tells that, but for the one piece
//! that the time falls into. Some of these are read; of the rest it is told that the number is about right. And what can
//! be said without asking the store at all.

use std::collections::HashMap;

use super::window::{Place, Streams};
use crate::read::filter::Filter;
use crate::read::store::{Event, Piece, ReadError, Request, Stream};
use crate::record::Nanos;

/// Streams of which more is asked than when they began and ended.
const STREAMS: usize = 64;
/// Pieces that are read for one answer.
const PIECES: usize = 32;
/// Pieces at the most that a log is cut into.
const MAX_CUTS: usize = 10_000;

/// What is known of the lines of several streams.
pub(super) struct Ranks<'a> {
    streams: &'a Streams,
    end: &'a Place,
    /// Per stream; none: nothing is known.
    outlines: Vec<Option<Vec<Piece>>>,
    /// Of pieces that were read, by stream and first line: time and `seq` of each line.
    read: HashMap<(usize, u64), Vec<(Nanos, u64)>>,
    /// No number was only about right.
    exact: bool,
}

/// How many lines of a stream stand before a time.
enum Before {
    Exactly(u64),
    Within(Piece),
    About(u64),
}

impl<'a> Ranks<'a> {
    /// Of these streams, that have so many lines.
    pub(super) async fn new(streams: &'a Streams, end: &'a Place) -> Result<Self, ReadError> {
        let mut outlines = Vec::new();
        if streams.all.len() <= STREAMS {
            for stream in &streams.all {
                // Of what still comes, a store has many small objects and keeps none in mind.
                let is_final = stream.status.is_final();
                let outline = if is_final { streams.reader.outline(stream).await? } else { None };
                outlines.push(outline);
            }
        }
        Ok(Self { streams, end, outlines, read: HashMap::new(), exact: true })
    }

    /// All numbers so far are exact.
    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    /// The number of a line.
    pub(super) async fn number(
        &mut self,
        stream: usize,
        seq: u64,
        time: Nanos,
    ) -> Result<u64, ReadError> {
        let mut sum = seq;
        for other in (0..self.streams.all.len()).filter(|other| *other != stream) {
            // Of lines of the same time, those of earlier streams come first.
            let time = if other < stream { Nanos(time.0.saturating_add(1)) } else { time };
            sum += match self.before(other, time) {
                Before::Exactly(lines) => lines,
                Before::About(lines) => {
                    self.exact = false;
                    lines
                }
                Before::Within(piece) => self.within(other, &piece, time).await?,
            };
        }
        Ok(sum)
    }

    fn before(&self, stream: usize, time: Nanos) -> Before {
        if let Some(Some(pieces)) = self.outlines.get(stream) {
            let at = pieces.partition_point(|piece| piece.last_time < time);
            return match pieces.get(at) {
                Some(piece) if piece.first_time < time => Before::Within(*piece),
                Some(piece) => Before::Exactly(piece.first_seq),
                None => Before::Exactly(pieces.last().map_or(0, |it| it.first_seq + it.lines)),
            };
        }
        let (Some(known), Some(lines)) = (self.streams.all.get(stream), self.end.0.get(stream))
        else {
            return Before::Exactly(0);
        };
        let lines = before(known, *lines, time);
        let is_over = known.status.is_final() && known.ended.is_some_and(|ended| ended < time);
        if is_over || time <= known.started { Before::Exactly(lines) } else { Before::About(lines) }
    }

    async fn within(
        &mut self,
        stream: usize,
        piece: &Piece,
        time: Nanos,
    ) -> Result<u64, ReadError> {
        let key = (stream, piece.first_seq);
        if !self.read.contains_key(&key) {
            if self.read.len() >= PIECES {
                self.exact = false;
                let span = (piece.last_time.0 - piece.first_time.0).max(1) as f64;
                let share = (time.0 - piece.first_time.0) as f64 / span;
                return Ok(piece.first_seq + (piece.lines as f64 * share.clamp(0.0, 1.0)) as u64);
            }
            let lines = self.lines(stream, piece).await?;
            self.read.insert(key, lines);
        }
        let lines = self.read.get(&key).map_or(&[][..], Vec::as_slice);
        let at = lines.partition_point(|(other, _)| *other < time);
        let next = lines.get(at).map(|(_, seq)| *seq);
        Ok(next.unwrap_or(piece.first_seq + piece.lines))
    }

    /// Time and `seq` of the lines of a piece.
    async fn lines(&self, stream: usize, piece: &Piece) -> Result<Vec<(Nanos, u64)>, ReadError> {
        let Some(stream) = self.streams.all.get(stream) else { return Ok(Vec::new()) };
        let to = piece.first_seq + piece.lines;
        let filter = Filter { from_seq: piece.first_seq, to_seq: Some(to), ..Filter::default() };
        let request = Request { filter, about: Some(piece.lines), ..Request::default() };
        let _turn = self.streams.reading.acquire().await;
        let mut lines = self.streams.reader.open(std::slice::from_ref(stream), request);
        let mut all = Vec::new();
        loop {
            match lines.next().await? {
                Event::Lines(slice) => {
                    all.extend(slice.lines().iter().map(|line| (line.time, line.seq)));
                }
                // What cannot be read is told to whoever reads it.
                Event::Trouble(_) | Event::Idle | Event::Ended(..) => {}
                Event::End => return Ok(all),
            }
        }
    }
}

impl Streams {
    /// About how many lines were written before a time, without asking the store.
    pub(super) fn before(&self, time: Nanos, end: &Place) -> u64 {
        self.all.iter().zip(&end.0).map(|(stream, lines)| before(stream, *lines, time)).sum()
    }

    /// About the number of a line, without asking the store: exact in one stream, and where streams follow
    /// each other.
    pub(super) fn about(&self, number: usize, seq: u64, time: Nanos, end: &Place) -> u64 {
        let others = self.all.iter().zip(&end.0).enumerate().filter(|(other, _)| *other != number);
        let before = others.map(|(_, (stream, lines))| before(stream, *lines, time));
        seq + before.sum::<u64>()
    }

    /// Times that cut all lines into pieces of about so many, without asking the store.
    pub(super) fn cuts(&self, end: &Place, from: Option<Nanos>, lines: u64) -> Vec<Nanos> {
        let first = self.earliest().0.max(from.map_or(i64::MIN, |from| from.0));
        let ends = self.all.iter().filter_map(|stream| stream.ended.or(stream.last_seen));
        let last = ends.max().unwrap_or_else(Nanos::now).0.max(first);
        let at = |time: i64| self.before(Nanos(time), end);
        let mut cuts = Vec::new();
        let (mut low, total) = (first, at(last));
        let mut wanted = at(first) + lines;
        while wanted < total && cuts.len() < MAX_CUTS {
            let mut high = last;
            // By halves: it only grows.
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if at(middle) < wanted { low = middle } else { high = middle }
            }
            cuts.push(Nanos(high));
            low = high;
            wanted = at(high).max(wanted) + lines;
        }
        cuts
    }
}

/// About how many lines of a stream were written before a time, as if they came evenly.
fn before(stream: &Stream, lines: u64, time: Nanos) -> u64 {
    let from = stream.started.0;
    let to = stream.ended.or(stream.last_seen).unwrap_or_else(Nanos::now).0.max(from + 1);
    if time.0 <= from {
        return 0;
    }
    if time.0 > to {
        return lines;
    }
    (lines as f64 * ((time.0 - from) as f64 / (to - from) as f64)) as u64
}
