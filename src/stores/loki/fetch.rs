//! Reading back by range queries.
//!
//! A writer's lines are streams of their own and no two have the same time, so a page begins where the
//! one before ended. A query spans 30 days at the most; what is longer is asked for piece by piece.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::encode::{STREAM, labels, quoted};
use super::{EVENT, Loki, WRITER, decode};
use crate::read::filter::Filter;
use crate::read::store::{Cost, Direction, ReadError, Stream};
use crate::record::{Level, Nanos};
use crate::stores::records::event::{END, START};
use crate::stores::records::fetch::ask::{Refused, store};
use crate::stores::records::fetch::{Conditions, Events, Page, Question, Search, Take};

/// Entries of an answer at the most, unless Loki is told otherwise (`max_entries_limit_per_query`).
pub(super) const PAGE: usize = 5000;
/// Nanoseconds of a query at the most (`max_query_length` is 30 days and an hour).
const WINDOW: i64 = 30 * 24 * HOUR;
const HOUR: i64 = 3600 * 1_000_000_000;
/// What an entry's time differs from the line's, at the most.
const CELL: i64 = 1_000_000;

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    stream: HashMap<String, String>,
    values: Vec<Value>,
}

/// Time and line, and what is attached where Loki was asked to tell that from labels.
#[derive(Deserialize)]
struct Value(String, String, #[serde(default)] Attached);

#[derive(Default, Deserialize)]
struct Attached {
    #[serde(default, rename = "structuredMetadata")]
    pairs: HashMap<String, String>,
}

/// An entry with all labels and what is attached.
struct Entry {
    time: i64,
    line: String,
    attached: HashMap<String, String>,
}

/// Nanoseconds, the end exclusive.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: i64,
    to: i64,
}

impl Range {
    /// The first piece that one query may ask for.
    fn piece(self, direction: Direction) -> Self {
        match direction {
            Direction::Forward => {
                Self { to: self.to.min(self.from.saturating_add(WINDOW)), ..self }
            }
            Direction::Backward => {
                Self { from: self.from.max(self.to.saturating_sub(WINDOW)), ..self }
            }
        }
    }

    /// What is left behind this piece.
    fn behind(self, piece: Self, direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self { from: piece.to, ..self },
            Direction::Backward => Self { to: piece.from, ..self },
        }
    }

    /// What is left behind an entry of this time.
    fn behind_entry(self, time: i64, direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self { from: time.saturating_add(1), ..self },
            Direction::Backward => Self { to: time, ..self },
        }
    }

    fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

impl Loki {
    /// Entries of one query, in order, and whether there may be more.
    async fn query(
        &self,
        query: &str,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> Result<(Vec<Entry>, bool), ReadError> {
        let purpose = "query the logs";
        let bad = |what: String| store(Refused(format!("failed to {purpose}: {what}")));
        let mut limit = limit.clamp(1, self.page.load(Ordering::Relaxed));
        let body = loop {
            let mut url = self.url("/loki/api/v1/query_range");
            url.query_pairs_mut()
                .append_pair("query", query)
                .append_pair("start", &range.from.to_string())
                .append_pair("end", &range.to.to_string())
                .append_pair("limit", &limit.to_string())
                .append_pair(
                    "direction",
                    match direction {
                        Direction::Forward => "forward",
                        Direction::Backward => "backward",
                    },
                );
            let request = self
                .signed(self.client.get(url))
                .header("x-loki-response-encoding-flags", "categorize-labels");
            match self.asker.ask(request, purpose).await {
                Ok(answer) => break answer.body,
                Err(error) => match most_entries(&error).filter(|most| *most < limit) {
                    Some(most) => {
                        self.page.store(most, Ordering::Relaxed);
                        limit = most;
                    }
                    None => return Err(error),
                },
            }
        };
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| bad(format!("understand the answer: {error}")))?;
        if answer.data.kind != "streams" {
            return Err(bad(format!("the answer has {}, not streams", answer.data.kind)));
        }
        let mut entries = Vec::new();
        for Found { stream, values } in answer.data.result {
            for Value(time, line, attached) in values {
                let time = time.parse().map_err(|_| bad(format!("{time:?} is no time")))?;
                let mut all = stream.clone();
                all.extend(attached.pairs);
                entries.push(Entry { time, line, attached: all });
            }
        }
        entries.sort_by_key(|entry| entry.time);
        if direction == Direction::Backward {
            entries.reverse();
        }
        let full = entries.len() >= limit;
        Ok((entries, full))
    }

    /// Newest first.
    async fn find_events(&self, wanted: Events<'_>, mut take: Take<'_>) -> Result<(), ReadError> {
        let (kinds, conditions) = match wanted {
            Events::NewestRuns(_) => (START.to_owned(), String::new()),
            Events::OfRun { run, step } => {
                let mut conditions = format!(" | pipeline_run_id = {}", quoted(run));
                if let Some(step) = step {
                    conditions += &format!(" | step_id = {}", quoted(step));
                }
                (format!("{START}|{END}"), conditions)
            }
        };
        let fixed = self.config.labels.iter().filter_map(|it| Some((&*it.name, it.fixed()?)));
        let fixed = labels(fixed);
        let inside = fixed.trim_start_matches('{').trim_end_matches('}');
        let comma = if inside.is_empty() { "" } else { ", " };
        let query = format!("{{{inside}{comma}{EVENT}=~{}}}{conditions}", quoted(&kinds));
        let now = Nanos::now().0;
        let lookback = i64::try_from(self.config.lookback.as_nanos()).unwrap_or(i64::MAX);
        let mut rest = Range { from: now.saturating_sub(lookback), to: now.saturating_add(HOUR) };
        while !rest.is_empty() {
            let piece = rest.piece(Direction::Backward);
            let (entries, full) = self.query(&query, piece, Direction::Backward, PAGE).await?;
            let last = entries.last().map(|entry| entry.time);
            rest = match last.filter(|_| full) {
                // Others may have the same time.
                Some(last) if last + 1 < piece.to => Range { to: last + 1, ..rest },
                Some(last) => rest.behind_entry(last, Direction::Backward),
                None => rest.behind(piece, Direction::Backward),
            };
            for entry in entries {
                let stream = entry.attached.get(STREAM);
                let event = stream.and_then(|stream| serde_json::from_str(stream).ok());
                if event.is_some_and(&mut take) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn lines(&self, question: &Question<'_>) -> Result<Page, ReadError> {
        let Question { stream, filter, direction, .. } = *question;
        let mut rest = bounds(stream, filter);
        if let Some(border) = question.cursor.and_then(|cursor| cursor.parse::<i64>().ok()) {
            match direction {
                Direction::Forward => rest.from = border,
                Direction::Backward => rest.to = border,
            }
        }
        let query = lines_query(stream, filter);
        while !rest.is_empty() {
            let piece = rest.piece(direction);
            let (entries, full) = self.query(&query, piece, direction, question.limit).await?;
            rest = match entries.last().filter(|_| full) {
                Some(last) => rest.behind_entry(last.time, direction),
                None => rest.behind(piece, direction),
            };
            if entries.is_empty() {
                continue;
            }
            let next = match direction {
                Direction::Forward => rest.from,
                Direction::Backward => rest.to,
            };
            let record = |entry: Entry| decode::record(entry.line, &entry.attached, &stream.origin);
            let records = entries.into_iter().filter_map(record).collect();
            return Ok(Page { records, next: (!rest.is_empty()).then(|| next.to_string()) });
        }
        Ok(Page::default())
    }
}

/// How many entries Loki gives at the most, where it refused a query for that.
fn most_entries(error: &ReadError) -> Option<usize> {
    let ReadError::Store(error) = error else { return None };
    let text = error.to_string();
    let (_, behind) = text.split_once("max entries limit per query exceeded")?;
    let (_, most) = behind.rsplit_once("> ")?;
    most.trim_end().trim_end_matches(')').parse().ok().filter(|most| *most > 0)
}

/// Where a writer's lines may be. Clocks of machines differ a little.
fn bounds(stream: &Stream, filter: &Filter) -> Range {
    let first = stream.started.0.saturating_sub(HOUR);
    let last = stream.ended.unwrap_or_else(Nanos::now).0.saturating_add(HOUR);
    let floor = |time: Nanos| time.0 - time.0.rem_euclid(CELL);
    Range {
        from: filter.since.map_or(first, |since| first.max(floor(since))),
        to: filter.until.map_or(last, |until| last.min(floor(until).saturating_add(CELL))),
    }
}

fn lines_query(stream: &Stream, filter: &Filter) -> String {
    let mut query = labels([(WRITER, stream.writer.to_string().as_str())]);
    if filter.from_seq > 0 {
        query += &format!(" | seq >= {}", filter.from_seq);
    }
    if let Some(to) = filter.to_seq {
        query += &format!(" | seq < {to}");
    }
    if let Some(iostream) = filter.iostream {
        query += &format!(" | iostream = \"{}\"", iostream.as_str());
    }
    if let Some(least) = filter.level {
        let levels = Level::ALL.iter().filter(|level| **level >= least);
        let levels: Vec<&str> = levels.map(|level| level.as_str()).collect();
        // Lines of which other lines decide whether they are wanted.
        query += &format!(" | level =~ \"{}\" or part != \"\" or group != \"\"", levels.join("|"));
    }
    query
}

impl Search for Loki {
    fn events<'a>(
        &'a self,
        wanted: Events<'a>,
        take: Take<'a>,
    ) -> BoxFuture<'a, Result<(), ReadError>> {
        self.find_events(wanted, take).boxed()
    }

    fn page<'a>(&'a self, question: &'a Question<'a>) -> BoxFuture<'a, Result<Page, ReadError>> {
        self.lines(question).boxed()
    }

    fn resolution(&self) -> Duration {
        // Within a millisecond lines are in order of their numbers, which begin anew every million.
        Duration::from_nanos(CELL as u64)
    }

    fn conditions(&self) -> Conditions {
        // A line is looked at as it was printed, a filter at what was lifted from it too.
        Conditions { level: true, iostream: true, text: false }
    }

    fn poll(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn cost(&self) -> Cost {
        self.asker.cost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_entries_it_gives_is_in_its_refusal() {
        let check = |text: &str| most_entries(&store(Refused(text.to_owned())));
        let said = "failed to query the logs: 400 Bad Request: max entries limit per query \
                    exceeded, limit > max_entries_limit_per_query (5000 > 1000)";
        assert_eq!(check(said), Some(1000));
        assert_eq!(check("400 Bad Request: parse error at line 1 (5 > 3)"), None);
        assert_eq!(most_entries(&ReadError::Denied(said.into())), None);
    }
}
