//! Reading documents back.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Elasticsearch;
use crate::read::filter::Filter;
use crate::read::store::{Cost, Direction, ReadError};
use crate::record::{Level, Nanos, Record};
use crate::stores::records::event::{self, StreamEvent};
use crate::stores::records::fetch::ask::{Refused, store};
use crate::stores::records::fetch::{Conditions, Events, Page, Question, Search, Take};

/// Documents in a page at the most (`index.max_result_window`).
const MAX_PAGE: usize = 10_000;

#[derive(Deserialize)]
struct Found<T> {
    hits: Hits<T>,
}

#[derive(Deserialize)]
struct Hits<T> {
    hits: Vec<Hit<T>>,
}

#[derive(Deserialize)]
struct Hit<T> {
    #[serde(rename = "_source")]
    source: T,
    #[serde(default)]
    sort: Vec<Value>,
}

/// The part of a start or end document that matters.
#[derive(Deserialize)]
struct EventDocument {
    steplog_stream: String,
}

impl Elasticsearch {
    async fn search<T: for<'de> Deserialize<'de>>(
        &self,
        body: Value,
    ) -> Result<Vec<Hit<T>>, ReadError> {
        let purpose = "search the index";
        let mut url = self.url(&[&self.config.index, "_search"]);
        // An index that nothing was ever written to has no documents.
        url.query_pairs_mut()
            .append_pair("ignore_unavailable", "true")
            .append_pair("allow_no_indices", "true");
        let request = super::json(self.client.post(url), &body);
        let answer = self.asker.ask(request, purpose).await?;
        let found: Found<T> = serde_json::from_slice(&answer.body).map_err(|error| {
            store(Refused(format!("failed to {purpose}: understand the answer: {error}")))
        })?;
        Ok(found.hits.hits)
    }

    /// Newest first, page by page.
    async fn find_events(&self, wanted: Events<'_>, mut take: Take<'_>) -> Result<(), ReadError> {
        let filters = match wanted {
            Events::NewestRuns(_) => vec![is("steplog_event", event::START)],
            Events::OfRun { run, step } => {
                let kinds = json!({"exists": {"field": "steplog_event"}});
                let run = [kinds, is("pipeline_run_id", run)];
                run.into_iter().chain(step.map(|step| is("step_id", step))).collect()
            }
        };
        let mut after: Option<Vec<Value>> = None;
        loop {
            let size = 1_000;
            let mut body = json!({
                "size": size,
                "query": {"bool": {"filter": filters}},
                "sort": [{"@timestamp": "desc"}, {"seq": "desc"}],
                "_source": ["steplog_stream"],
                "track_total_hits": false,
            });
            if let (Some(after), Some(body)) = (after.take(), body.as_object_mut()) {
                body.insert("search_after".to_owned(), after.into());
            }
            let hits = self.search::<EventDocument>(body).await?;
            let last = hits.len() < size;
            for hit in hits {
                after = Some(hit.sort);
                let event: Result<StreamEvent, _> =
                    serde_json::from_str(&hit.source.steplog_stream);
                if event.is_ok_and(&mut take) {
                    return Ok(());
                }
            }
            if last {
                return Ok(());
            }
        }
    }
}

/// Finds a value whether the field is mapped as text or as keyword.
fn is(field: &str, value: &str) -> Value {
    json!({"match_phrase": {(field): value}})
}

/// The scope of a query, as far as the server can tell.
fn scope(filter: &Filter) -> Vec<Value> {
    let mut filters = vec![
        json!({"range": {"seq": {"gte": filter.from_seq}}}),
        json!({"bool": {"must_not": {"exists": {"field": "steplog_event"}}}}),
    ];
    if let Some(to) = filter.to_seq {
        filters.push(json!({"range": {"seq": {"lt": to}}}));
    }
    // A dynamic mapping has milliseconds: the border belongs to both sides, and is looked at again.
    let millis = |time: Nanos| {
        let text = Nanos(time.0 - time.0.rem_euclid(1_000_000)).to_rfc3339();
        text.get(..23).map_or(text.clone(), |text| format!("{text}Z"))
    };
    if let Some(since) = filter.since {
        filters.push(json!({"range": {"@timestamp": {"gte": millis(since)}}}));
    }
    if let Some(until) = filter.until {
        filters.push(json!({"range": {"@timestamp": {"lte": millis(Nanos(until.0 + 999_999))}}}));
    }
    filters
}

fn at_least(level: Level) -> Value {
    let levels = Level::ALL.into_iter().filter(|it| *it >= level);
    let mut any: Vec<Value> = levels.map(|level| is("level", level.as_str())).collect();
    // A part of a line, and a line of a traceback, are as serious as the first.
    any.extend(["part", "group"].map(|field| json!({"exists": {"field": field}})));
    json!({"bool": {"should": any, "minimum_should_match": 1}})
}

impl Search for Elasticsearch {
    fn events<'a>(
        &'a self,
        wanted: Events<'a>,
        take: Take<'a>,
    ) -> BoxFuture<'a, Result<(), ReadError>> {
        self.find_events(wanted, take).boxed()
    }

    fn page<'a>(&'a self, question: &'a Question<'a>) -> BoxFuture<'a, Result<Page, ReadError>> {
        async move {
            let mut filters = scope(question.filter);
            filters.push(is("writer", &question.stream.writer.to_string()));
            if let Some(iostream) = question.filter.iostream {
                filters.push(is("iostream", iostream.as_str()));
            }
            if let Some(level) = question.filter.level {
                filters.push(at_least(level));
            }
            let order = match question.direction {
                Direction::Forward => "asc",
                Direction::Backward => "desc",
            };
            let size = question.limit.clamp(1, MAX_PAGE);
            let mut body = json!({
                "size": size,
                "query": {"bool": {"filter": filters}},
                "sort": [{"seq": order}],
                "track_total_hits": false,
            });
            if let (Some(cursor), Some(body)) = (question.cursor, body.as_object_mut()) {
                let seq = cursor.parse::<u64>().unwrap_or_default();
                body.insert("search_after".to_owned(), json!([seq]));
            }
            let hits = self.search::<Record>(body).await?;
            let full = hits.len() == size;
            let records: Vec<Record> = hits.into_iter().map(|hit| hit.source).collect();
            let next = records.last().filter(|_| full).map(|last| last.seq.to_string());
            Ok(Page { records, next })
        }
        .boxed()
    }

    fn resolution(&self) -> Duration {
        // Sorted by seq, not by time.
        Duration::ZERO
    }

    fn conditions(&self) -> Conditions {
        Conditions { level: true, iostream: true, text: false }
    }

    fn cost(&self) -> Cost {
        self.asker.cost()
    }

    fn poll(&self) -> Duration {
        // `index.refresh_interval` is 1 s unless somebody has changed it.
        Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::IoStream;

    #[test]
    fn the_scope_is_never_too_narrow() {
        let filter = Filter {
            since: Some(Nanos(1_700_000_000_123_456_789)),
            until: Some(Nanos(1_700_000_001_000_000_001)),
            from_seq: 3,
            to_seq: Some(9),
            iostream: Some(IoStream::Stderr),
            ..Filter::default()
        };
        let text = Value::from(scope(&filter)).to_string();
        assert!(text.contains(r#"{"gte":"2023-11-14T22:13:20.123Z"}"#), "{text}");
        assert!(text.contains(r#"{"lte":"2023-11-14T22:13:21.001Z"}"#), "{text}");
        assert!(text.contains(r#"{"gte":3}"#) && text.contains(r#"{"lt":9}"#), "{text}");
    }
}
