//! Reading back by the Logs Search API.
//!
//! What a record was is in the attributes of its log ([`super::encode`]); of what Datadog knows by name
//! only the message is used. A log whose attributes somebody's pipeline has changed beyond
//! recognition is passed over: its `seq` is missing then, which is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::config::Config;
use super::encode::EOLS;
use super::late;
use super::send::{API_KEY, reset, secret};
use crate::line::json::lift;
use crate::read::store::{Cost, Direction, ReadError, Stream};
use crate::record::{IoStream, Level, Nanos, Record};
use crate::stores::records::event::{START, StreamEvent};
use crate::stores::records::fetch::ask::{Asker, Refused, store};
use crate::stores::records::fetch::{Conditions, Events, Page, Question, Search, Take};
use crate::stores::records::http::{Answer, ConnectionError, Hidden};

const APPLICATION_KEY: HeaderName = HeaderName::from_static("dd-application-key");
/// Logs in an answer at the most.
const PAGE: usize = 1000;
/// No log is older than this: the longest retention that Datadog sells, and a month.
const LONGEST_AGO: &str = "now-480d";
/// Clocks of machines may differ from Datadog's by this much.
const CLOCKS: i64 = 3600 * 1000;

/// Searches the logs of a Datadog organisation.
pub(crate) struct Reader {
    config: Config,
    application_key: Hidden,
    client: Client,
    asker: Asker,
}

/// An answer to a search.
#[derive(Debug, Deserialize)]
struct Found {
    #[serde(default)]
    data: Vec<Log>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Debug, Deserialize)]
struct Log {
    #[serde(default)]
    attributes: Known,
}

/// What Datadog knows by name of a log.
#[derive(Debug, Default, Deserialize)]
struct Known {
    #[serde(default)]
    message: String,
    #[serde(default)]
    attributes: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    page: After,
}

#[derive(Debug, Default, Deserialize)]
struct After {
    after: Option<String>,
}

/// A search, all but its cursor.
struct Scope {
    query: String,
    from: String,
    to: String,
    sort: &'static str,
}

impl Reader {
    /// Makes no request.
    pub(crate) fn open(
        config: &Config,
        application_key: &Hidden,
    ) -> Result<Arc<Self>, ConnectionError> {
        let (config, application_key) = (config.clone(), application_key.clone());
        let client = config.connection.client()?;
        Ok(Arc::new(Self { config, application_key, client, asker: Asker::default() }))
    }

    async fn search(
        &self,
        scope: &Scope,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Found, ReadError> {
        let purpose = "search the logs";
        let mut page = Map::new();
        page.insert("limit".to_owned(), limit.clamp(1, PAGE).into());
        page.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor.into())));
        let filter = json!({ "query": scope.query, "from": scope.from, "to": scope.to });
        let body = json!({ "filter": filter, "sort": scope.sort, "page": page });
        let request = self
            .client
            .post(self.config.api_endpoint.clone())
            .header(API_KEY, secret(&self.config.api_key))
            .header(APPLICATION_KEY, secret(&self.application_key))
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let pause = |answer: &Answer| answer.retry_after().or_else(|| reset(answer));
        let answer = self.asker.ask_as(request, purpose, pause).await?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            store(Refused(format!("failed to {purpose}: understand the answer: {error}")))
        })
    }

    /// Newest first.
    async fn find_events(&self, wanted: Events<'_>, mut take: Take<'_>) -> Result<(), ReadError> {
        let query = match wanted {
            Events::NewestRuns(_) => format!("@steplog_event:{START}"),
            Events::OfRun { run, step } => {
                let mut query = format!("@steplog_event:* @pipeline_run_id:{}", quoted(run));
                if let Some(step) = step {
                    query += &format!(" @step_id:{}", quoted(step));
                }
                query
            }
        };
        let scope = Scope {
            query,
            from: LONGEST_AGO.to_owned(),
            to: soon(),
            sort: sort(Direction::Backward),
        };
        let mut cursor: Option<String> = None;
        loop {
            let found = self.search(&scope, cursor.as_deref(), PAGE).await?;
            let mut events = found.data.iter().filter_map(|log| event(&log.attributes.attributes));
            cursor = found.meta.page.after;
            if events.any(&mut take) || cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn lines(&self, question: &Question<'_>) -> Result<Page, ReadError> {
        let place = match question.cursor.map(Place::read) {
            Some(place) => place.ok_or_else(|| store(Refused("no such page".to_owned())))?,
            None if self.has_late(question.stream).await? => {
                let Some(first) = self.first_thousand(question).await? else {
                    return Ok(Page::default());
                };
                Place::Thousand(first)
            }
            None => Place::Start,
        };
        match place {
            Place::Start => self.lines_by_time(question, None).await,
            Place::Cursor(cursor) => self.lines_by_time(question, Some(cursor)).await,
            Place::Thousand(thousand) => self.lines_of_thousand(question, thousand).await,
        }
    }

    async fn lines_by_time(
        &self,
        question: &Question<'_>,
        cursor: Option<&str>,
    ) -> Result<Page, ReadError> {
        let Question { stream, filter, .. } = question;
        let first = millis(stream.started) - CLOCKS;
        let scope = Scope {
            query: lines_query(question),
            from: filter.since.map_or(first, |since| first.max(millis(since))).max(0).to_string(),
            to: filter.until.map_or_else(soon, |until| (millis(until) + 1).to_string()),
            sort: sort(question.direction),
        };
        let found = self.search(&scope, cursor, question.limit).await?;
        let records = found.data.into_iter().filter_map(|log| record(log.attributes, stream));
        let next = found.meta.page.after.map(|after| Place::Cursor(&after).to_string());
        Ok(Page { records: records.collect(), next })
    }

    /// A page of a stream with late lines, which Datadog cannot put into order: the lines of one
    /// `seq_thousand`, and where the next one is.
    async fn lines_of_thousand(
        &self,
        question: &Question<'_>,
        thousand: u64,
    ) -> Result<Page, ReadError> {
        let query = format!("{} @seq_thousand:{thousand}", lines_query(question));
        let scope = whole_time(question.stream, query);
        let (mut records, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let found = self.search(&scope, cursor.as_deref(), question.limit).await?;
            let logs = found.data.into_iter();
            records.extend(logs.filter_map(|log| record(log.attributes, question.stream)));
            cursor = found.meta.page.after;
            if cursor.is_none() {
                break;
            }
        }
        records.sort_by_key(|record| record.seq);
        let next = match question.direction {
            Direction::Forward => {
                let last = self.last_thousand(question, thousand).await?;
                last.filter(|last| thousand < *last).map(|_| thousand + 1)
            }
            Direction::Backward => {
                records.reverse();
                thousand.checked_sub(1).filter(|next| *next >= question.filter.from_seq / 1000)
            }
        };
        Ok(Page { records, next: next.map(|next| Place::Thousand(next).to_string()) })
    }

    /// Which `seq_thousand` to begin with; none if the stream has no lines.
    async fn first_thousand(&self, question: &Question<'_>) -> Result<Option<u64>, ReadError> {
        let first = question.filter.from_seq / 1000;
        match question.direction {
            Direction::Forward => Ok(Some(first)),
            Direction::Backward => self.last_thousand(question, first).await,
        }
    }

    /// The last `seq_thousand` that may have lines that are asked for; `from` and all before it have
    /// some, if any has.
    async fn last_thousand(
        &self,
        question: &Question<'_>,
        from: u64,
    ) -> Result<Option<u64>, ReadError> {
        let Question { stream, filter, .. } = question;
        let wanted = filter.to_seq.map(|to| to.saturating_sub(1) / 1000);
        let lines = stream.lines.filter(|_| stream.status.is_final());
        if let Some(lines) = lines {
            let last = lines.checked_sub(1).map(|last| last / 1000);
            return Ok(last.map(|last| wanted.map_or(last, |wanted| wanted.min(last))));
        }
        // The writer has not said: looks further and further ahead, then half as far each time.
        let (mut there, mut step) = (None, 1);
        while self.has_thousand(stream, from + step - 1).await? {
            there = Some(from + step - 1);
            step *= 2;
        }
        while let Some(known) = there {
            step /= 2;
            if step == 0 {
                break;
            }
            if self.has_thousand(stream, known + step).await? {
                there = Some(known + step);
            }
        }
        Ok(there.map(|last| wanted.map_or(last, |wanted| wanted.min(last))))
    }

    async fn has_thousand(&self, stream: &Stream, thousand: u64) -> Result<bool, ReadError> {
        let query = format!("{} @seq_thousand:{thousand}", lines_of(stream));
        Ok(!self.search(&whole_time(stream, query), None, 1).await?.data.is_empty())
    }

    /// Whether lines of the stream came so late that Datadog has them at another time.
    async fn has_late(&self, stream: &Stream) -> Result<bool, ReadError> {
        if Nanos::now().0 - stream.started.0 < late::OLDEST.0 {
            return Ok(false);
        }
        let query = format!("{} @late:true", lines_of(stream));
        Ok(!self.search(&whole_time(stream, query), None, 1).await?.data.is_empty())
    }
}

/// Where a page begins.
enum Place<'a> {
    Start,
    /// Datadog's cursor: a search by time goes on.
    Cursor(&'a str),
    /// The lines of one `seq_thousand`.
    Thousand(u64),
}

impl<'a> Place<'a> {
    fn read(text: &'a str) -> Option<Self> {
        match text.split_at_checked(1)? {
            ("c", cursor) => Some(Self::Cursor(cursor)),
            ("s", thousand) => Some(Self::Thousand(thousand.parse().ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => Ok(()),
            Self::Cursor(cursor) => write!(formatter, "c{cursor}"),
            Self::Thousand(thousand) => write!(formatter, "s{thousand}"),
        }
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
        Duration::from_millis(1)
    }

    fn conditions(&self) -> Conditions {
        Conditions { level: true, iostream: true, text: false }
    }

    fn poll(&self) -> Duration {
        // Searches are counted: 300 an hour, unless the organisation has more.
        Duration::from_secs(15)
    }

    fn cost(&self) -> Cost {
        self.asker.cost()
    }
}

fn lines_of(stream: &Stream) -> String {
    format!("@writer:{} -@steplog_event:*", quoted(&stream.writer.to_string()))
}

fn lines_query(question: &Question<'_>) -> String {
    let mut query = lines_of(question.stream);
    if let Some(iostream) = question.filter.iostream {
        query += &format!(" @iostream:{}", iostream.as_str());
    }
    if let Some(least) = question.filter.level {
        let levels = Level::ALL.iter().filter(|level| **level >= least);
        let levels = levels.map(|level| level.as_str()).collect::<Vec<_>>().join(" OR ");
        // Lines that belong together are wanted if one of them is.
        query += &format!(" (@level:({levels}) OR @joined:true)");
    }
    query
}

/// A value as a query has it: nothing in it means anything else.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// All that there is of a stream, whenever it came.
fn whole_time(stream: &Stream, query: String) -> Scope {
    let from = (millis(stream.started) - CLOCKS).max(0).to_string();
    Scope { query, from, to: soon(), sort: sort(Direction::Forward) }
}

fn sort(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "timestamp",
        Direction::Backward => "-timestamp",
    }
}

fn millis(time: Nanos) -> i64 {
    time.0.div_euclid(1_000_000)
}

/// Behind the newest log, whatever our clock says.
fn soon() -> String {
    (millis(Nanos::now()) + CLOCKS).to_string()
}

/// A start or end record.
fn event(attributes: &Map<String, Value>) -> Option<StreamEvent> {
    serde_json::from_str(attributes.get("steplog_stream")?.as_str()?).ok()
}

/// A line of the stream.
fn record(log: Known, stream: &Stream) -> Option<Record> {
    let Known { message, mut attributes } = log;
    if attributes.contains_key("steplog_event") {
        return None;
    }
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| attributes.get(name).and_then(whole);
    let small = |name: &str| number(name).and_then(|number| u32::try_from(number).ok());
    let time: i64 = text("time_unix_nano")?.parse().ok()?;
    let mut record = Record {
        timestamp: Nanos(time).to_rfc3339(),
        seq: number("seq")?,
        level: attributes.get("level").and_then(read),
        iostream: attributes.get("iostream").and_then(read::<IoStream>)?,
        message,
        raw: None,
        bytes: text("bytes"),
        eol: text("eol").map(|word| {
            let eol = EOLS.iter().find(|(_, known)| *known == word).map(|(eol, _)| *eol);
            eol.unwrap_or(&word).to_owned()
        }),
        part: small("part"),
        parts: small("parts"),
        line: number("line"),
        group: number("group"),
        progress: attributes.get("progress").is_some_and(|it| *it == true || it == "true"),
        gap: attributes.get("gap").and_then(read),
        event_timestamp: text("event_timestamp"),
        attributes: Map::new(),
        origin: stream.origin.clone(),
    };
    if let Some(exact) = record.bytes.as_ref().and_then(|bytes| STANDARD.decode(bytes).ok()) {
        record.message = String::from_utf8_lossy(&exact).into_owned();
    } else if let Some(Value::String(raw)) = attributes.remove("raw") {
        lift_again(&mut record, raw);
    }
    Some(record)
}

/// Takes a JSON line apart as the encoder did, since Datadog changes what it was sent of it.
fn lift_again(record: &mut Record, raw: String) {
    let lifts = raw.starts_with('{') && record.part.is_none() && record.gap.is_none();
    let lifted = if lifts { lift(raw.as_bytes()) } else { None }.unwrap_or_default();
    record.event_timestamp = lifted.event_timestamp;
    record.attributes = lifted.attributes;
    match lifted.message {
        Some(message) => (record.message, record.raw) = (message, Some(raw)),
        None => record.message = raw,
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

/// A whole number, however it is written.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            number.as_f64().filter(|it| it.fract() == 0.0 && *it >= 0.0).map(|it| it as u64)
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
