//! Reading back by searches whose rows are exported as they are found.
//!
//! A search goes back in time; whoever wants the oldest lines first must have all of them sorted. So a stream is
//! searched in windows of time ([`Window`]), which get wider where there is little and narrower where there
//! is much: no line is looked at much more often than once. Within a writer time and `seq` rise together.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::{Config, Credentials, SearchConfig};
use super::window::{Range, Window};
use crate::read::filter::Filter;
use crate::read::store::{Cost, Direction, ReadError, Stream};
use crate::record::{Level, Nanos, Record};
use crate::stores::records::event::{END, START, StreamEvent};
use crate::stores::records::fetch::ask::{Asker, Refused, store};
use crate::stores::records::fetch::{Conditions, Events, Page, Question, Search, Take};
use crate::stores::records::http::ConnectionError;

/// Rows of a search at the most.
const PAGE: usize = 10_000;
/// Clocks of machines may differ from Splunk's by this much.
const CLOCKS: i64 = 3600 * 1000;

/// Searches the events of the collector.
pub(crate) struct Reader {
    config: Config,
    search: SearchConfig,
    client: Client,
    asker: Asker,
}

/// One line of an answer.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    preview: bool,
    result: Option<Row>,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "_raw")]
    raw: String,
    #[serde(default)]
    steplog_seq: Option<String>,
    #[serde(default)]
    steplog_time: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    text: String,
}

impl Reader {
    /// Makes no request.
    pub(crate) fn open(
        config: &Config,
        search: &SearchConfig,
    ) -> Result<Arc<Self>, ConnectionError> {
        let (config, search) = (config.clone(), search.clone());
        let client = config.connection.client()?;
        Ok(Arc::new(Self { config, search, client, asker: Asker::default() }))
    }

    /// The rows of a search within `range`, in the order in which it leaves them.
    async fn export(&self, search: &str, range: &Range) -> Result<Vec<Row>, ReadError> {
        let purpose = "search the events";
        let mut form = self.search.endpoint.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("search", search)
            .append_pair("earliest_time", &seconds(range.from))
            .append_pair("latest_time", &seconds(range.to))
            .append_pair("output_mode", "json")
            .append_pair("preview", "false");
        let form = form.query().unwrap_or_default().to_owned();
        let request = self.client.post(self.search.endpoint.clone());
        let request = match &self.search.credentials {
            Credentials::Token(token) => request.bearer_auth(&token.0),
            Credentials::User(user, password) => request.basic_auth(user, Some(&password.0)),
        };
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer = self.asker.ask(request, purpose).await?;
        let mut rows = Vec::new();
        for line in answer.body.split(|byte| *byte == b'\n') {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line: Line = serde_json::from_slice(line).map_err(|error| {
                store(Refused(format!("failed to {purpose}: understand the answer: {error}")))
            })?;
            let bad = |message: &&Message| matches!(message.kind.as_str(), "FATAL" | "ERROR");
            if let Some(message) = line.messages.iter().find(bad) {
                return Err(store(Refused(format!("failed to {purpose}: {}", message.text))));
            }
            rows.extend(line.result.filter(|_| !line.preview));
        }
        Ok(rows)
    }

    async fn find_events(&self, wanted: Events<'_>, take: Take<'_>) -> Result<(), ReadError> {
        let terms = match wanted {
            Events::NewestRuns(limit) => {
                format!("steplog_event::{START} | dedup pipeline_run_id | head {limit}")
            }
            // Splunk's index does not know upper case from lower case: there may be others.
            Events::OfRun { run, step } => {
                let run = quoted(run);
                let mut terms = format!(
                    "(steplog_event::{START} OR steplog_event::{END}) pipeline_run_id::{run}"
                );
                if let Some(step) = step {
                    terms += &format!(" step_id::{}", quoted(step));
                }
                terms
            }
        };
        let search = format!("{} {terms} | fields _raw", self.index());
        let always = Range { from: 0, to: soon() };
        let rows = self.export(&search, &always).await?;
        rows.iter().filter_map(|row| event(&row.raw)).any(take);
        Ok(())
    }

    async fn lines(&self, question: &Question<'_>) -> Result<Page, ReadError> {
        let Question { stream, filter, direction, .. } = *question;
        let limit = question.limit.clamp(1, PAGE);
        let bounds = bounds(stream, filter);
        let known = question.cursor.and_then(Window::read);
        let mut window = known.unwrap_or_else(|| Window::first(stream, &bounds, direction, limit));
        loop {
            let range = window.range(&bounds, direction);
            let search = self.lines_search(question, window.seq, limit);
            let rows = self.export(&search, &range).await?;
            let last = (rows.len() == limit).then(|| rows.last().and_then(Row::place)).flatten();
            let next = match last {
                Some(last) => Some(window.behind(last, direction)),
                None => window.next(&range, &bounds, direction, rows.len() < limit / 4),
            };
            let records: Vec<Record> =
                rows.iter().filter_map(|row| record(&row.raw, stream)).collect();
            match next {
                Some(next) if records.is_empty() => window = next,
                next => return Ok(Page { records, next: next.map(|next| next.to_string()) }),
            }
        }
    }

    fn lines_search(&self, question: &Question<'_>, seq: Option<u64>, limit: usize) -> String {
        let Question { stream, filter, direction, .. } = question;
        let mut search = format!(
            "{} writer::{} NOT (steplog_event::{START} OR steplog_event::{END})",
            self.index(),
            quoted(&stream.writer.to_string())
        );
        if let Some(least) = filter.level {
            let levels = Level::ALL.iter().filter(|level| **level >= least);
            let levels: String =
                levels.map(|level| format!("steplog_level::{} OR ", level.as_str())).collect();
            // Lines that belong together are wanted if one of them is.
            search += &format!(" ({levels}steplog_joined::true)");
        }
        let (from, to, order) = match direction {
            Direction::Forward => (seq.max(Some(filter.from_seq)), filter.to_seq, '+'),
            Direction::Backward => {
                let to = [seq, filter.to_seq].into_iter().flatten().min();
                (Some(filter.from_seq), to, '-')
            }
        };
        search += r#" | rex field=_raw "\"seq\":(?<steplog_seq>\d+)""#;
        search += &format!(" | where tonumber(steplog_seq)>={}", from.unwrap_or(0));
        if let Some(to) = to {
            search += &format!(" AND tonumber(steplog_seq)<{to}");
        }
        search += &format!(" | sort {limit} {order}_time {order}num(steplog_seq)");
        search += " | eval steplog_time=_time | fields _raw steplog_seq steplog_time";
        search
    }

    fn index(&self) -> String {
        format!("search index={}", quoted(self.config.index.as_deref().unwrap_or("*")))
    }
}

impl Search for Reader {
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
        // Sorted by time, then by seq: they rise together.
        Duration::ZERO
    }

    fn conditions(&self) -> Conditions {
        Conditions { level: true, iostream: false, text: false }
    }

    fn poll(&self) -> Duration {
        // A search costs Splunk more than a look-up does others.
        Duration::from_secs(5)
    }

    fn cost(&self) -> Cost {
        self.asker.cost()
    }
}

impl Row {
    /// Milliseconds and `seq` of the event, also of one whose text is cut.
    fn place(&self) -> Option<(i64, u64)> {
        let time: f64 = self.steplog_time.as_ref()?.parse().ok()?;
        Some(((time * 1000.0).round() as i64, self.steplog_seq.as_ref()?.parse().ok()?))
    }
}

/// Where lines may be: milliseconds, the end exclusive.
fn bounds(stream: &Stream, filter: &Filter) -> Range {
    let first = millis(stream.started) - CLOCKS;
    let last = stream.ended.map_or_else(soon, |ended| millis(ended) + CLOCKS);
    Range {
        from: filter.since.map_or(first, |since| first.max(millis(since))).max(0),
        to: filter.until.map_or(last, |until| last.min(millis(until) + 1)),
    }
}

/// A value as a search has it: nothing in it means anything else, but for `*`.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(super) fn millis(time: Nanos) -> i64 {
    time.0.div_euclid(1_000_000)
}

/// Behind the newest event, whatever our clock says.
fn soon() -> i64 {
    millis(Nanos::now()) + CLOCKS
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

fn event(raw: &str) -> Option<StreamEvent> {
    let event: Map<String, Value> = serde_json::from_str(raw).ok()?;
    serde_json::from_str(event.get("steplog_stream")?.as_str()?).ok()
}

/// A line of the stream; none if its text was cut (`TRUNCATE` in props.conf): then its `seq` is missing,
/// which is told.
fn record(raw: &str, stream: &Stream) -> Option<Record> {
    let mut fields: Map<String, Value> = serde_json::from_str(raw).ok()?;
    let Ok(Value::Object(origin)) = serde_json::to_value(&stream.origin) else { return None };
    fields.extend(origin);
    serde_json::from_value(Value::Object(fields)).ok()
}
