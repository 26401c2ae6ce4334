//! Log entries in the shape that ZenML's server gives them, so that its clients fit: `/zenml/logs/{run}/entries` and
//! `/zenml/logs/{run}/{step}/entries`.
//!
//! What is different there: `until` is itself meant, `search` is plain text in any case, levels are the numbers of
//! Python's logging, and an entry has an id that is a UUID, which parts of a line share.

use axum::body::Body;
use axum::http::Response;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer;
use super::call::Call;
use super::model::Time;
use super::problem::Problem;
use super::query::{self, Params};
use super::window::Limits;
use crate::read::filter::Filter;
use crate::read::page::{Line, Page};
use crate::read::store::Stream;
use crate::record::{Level, Nanos, WriterId};

/// Entries in one answer, unless asked.
const ENTRIES: u64 = 1000;
/// At the most.
const MAX_ENTRIES: u64 = 10_000;
/// Records, with parts.
const RECORDS: usize = 20_000;
/// What is known here.
const KNOWN: &[&str] =
    &["start", "limit", "before", "after", "search", "level", "since", "until", "log_store"];

/// ZenML's `LogEntry`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    message: String,
    name: Option<String>,
    /// 10, 20, 30, 40, 50: as in Python's logging.
    level: Option<u8>,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Time,
    module: Option<String>,
    filename: Option<String>,
    lineno: Option<u64>,
    chunk_index: u32,
    total_chunks: u32,
    #[schema(value_type = String)]
    id: uuid::Uuid,
}

/// ZenML's `LogsEntriesResponse`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entries {
    #[schema(value_type = Vec<Entry>)]
    items: Vec<Box<RawValue>>,
    before: Option<String>,
    after: Option<String>,
}

/// The entries of a run, in ZenML's shape
#[utoipa::path(
    get, path = "/api/v1/zenml/logs/{run}/entries", tag = "zenml",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        super::openapi::Zenml,
    ),
    responses((status = 200, body = Entries), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn of_run(call: Call) -> Result<Response<Body>, Problem> {
    entries(call).await
}

/// The entries of a step, in ZenML's shape
#[utoipa::path(
    get, path = "/api/v1/zenml/logs/{run}/{step}/entries", tag = "zenml",
    params(
        ("run" = String, Path, description = "Its id, `@latest` or `@failed`"),
        ("step" = String, Path, description = "The step's id"),
        super::openapi::Zenml,
    ),
    responses((status = 200, body = Entries), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn of_step(call: Call) -> Result<Response<Body>, Problem> {
    entries(call).await
}

async fn entries(call: Call) -> Result<Response<Body>, Problem> {
    let mut params = call.params(&[KNOWN])?;
    let limit = params.count("limit", MAX_ENTRIES)?.unwrap_or(ENTRIES);
    let start = params.start()?;
    let filter = filter(&params)?;
    if let Some(step) = &call.step {
        params.add("step", step.clone());
    }
    let streams = call.view(&params).await?.streams();
    let (place, direction) = streams.begin(&start).await?;
    let bytes = call.app.limits.answer_bytes;
    let limits = Limits { lines: Some(limit), records: RECORDS, bytes };
    let got = streams.gather(&place, &filter, direction, limits, &render).await?;
    let (before, after) = got.ways_on(direction, &streams);
    Ok(answer::json(&Entries { before, after, items: got.items }))
}

fn filter(params: &Params) -> Result<Filter, Problem> {
    let levels = "NOTSET, DEBUG, INFO, WARN, WARNING, ERROR, CRITICAL or their number";
    let level = params.parsed("level", levels, |text| {
        let number = match text.parse::<u32>() {
            Ok(number) => number,
            Err(_) => match Level::from_name(text.as_bytes()) {
                Some(level) => u32::from(number_of(level)),
                None if text.eq_ignore_ascii_case("notset") => 0,
                None => return None,
            },
        };
        Some(Level::ALL.into_iter().find(|it| u32::from(number_of(*it)) >= number))
            .filter(|_| number <= 50)
    })?;
    let (since, until) = (params.time("since")?, params.time("until")?);
    if since > until && until.is_some() {
        return Err(Problem::parameter("since must be earlier than until"));
    }
    let text = params.one("search")?.map(|text| query::plain("search", text));
    Ok(Filter {
        // NOTSET is everything, lines without a level too.
        level: level.flatten().filter(|level| *level > Level::Trace),
        since,
        until: until.map(|until| Nanos(until.0.saturating_add(1))),
        text: text.transpose()?.flatten(),
        ..Filter::default()
    })
}

/// Python's number; it knows nothing finer than DEBUG.
fn number_of(level: Level) -> u8 {
    match level {
        Level::Trace => 0,
        Level::Debug => 10,
        Level::Info => 20,
        Level::Warning => 30,
        Level::Error => 40,
        Level::Critical => 50,
    }
}

fn render(
    page: &Page,
    line: &Line,
    stream: &Stream,
    _number: u64,
    _matched: bool,
) -> Option<Box<RawValue>> {
    let part = line.part();
    let attributes = attributes(page, line);
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| Some(attributes.get(*key)?.as_str()?.to_owned()))
    };
    let number =
        |keys: &[&str]| keys.iter().find_map(|key| attributes.get(*key).and_then(Value::as_u64));
    let message = String::from_utf8_lossy(page.message(line)).into_owned();
    to_raw_value(&Entry {
        message,
        name: text(&["logger", "logger_name", "logger.name", "name"]),
        level: line.level.map(|level| number_of(level.max(Level::Debug))),
        timestamp: Time(line.time),
        module: text(&["module", "code.namespace"]),
        filename: text(&["filename", "file", "code.file.path", "code.filepath"]),
        lineno: number(&["lineno", "line", "code.line.number", "code.lineno"]),
        chunk_index: part.map_or(0, |part| part.number.saturating_sub(1)),
        // How many there will be is known with the last of them.
        total_chunks: part.map_or(1, |part| if part.last { part.number } else { part.number + 1 }),
        id: id(stream.writer, part.map_or(line.seq, |part| part.line)),
    })
    .ok()
}

/// What a JSON line had beside its message.
fn attributes(page: &Page, line: &Line) -> Map<String, Value> {
    // Most have nothing, and are not worth reading once more.
    if memchr::memmem::find(page.json(line), b"\"attributes\":").is_none() {
        return Map::new();
    }
    page.record(line).map(|record| record.attributes).unwrap_or_default()
}

/// The same for the same line for ever, and no other: its number in place of the random bits that its writer's id
/// ends with would not be, so both together.
fn id(writer: WriterId, seq: u64) -> uuid::Uuid {
    const RANDOM: u128 = (1 << 62) - 1;
    let writer = writer.0.as_u128();
    let mixed = (writer & RANDOM) ^ (u128::from(seq) & RANDOM);
    uuid::Uuid::from_u128((writer & !RANDOM) | mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_python() {
        let level = |text: &str| {
            let query = format!("level={text}");
            let params = Params::new(Some(&query), &[KNOWN]).unwrap();
            filter(&params).map(|filter| filter.level).map_err(|it| it.to_json())
        };
        assert_eq!(level("WARN"), Ok(Some(Level::Warning)));
        assert_eq!(level("30"), Ok(Some(Level::Warning)));
        assert_eq!(level("35"), Ok(Some(Level::Error)));
        assert_eq!(level("NOTSET"), Ok(None));
        assert!(level("loud").is_err() && level("51").is_err());
    }

    #[test]
    fn ids_are_unique_and_those_of_uuids() {
        let writer = WriterId::new();
        let ids: std::collections::HashSet<_> = (0..1000).map(|seq| id(writer, seq)).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
