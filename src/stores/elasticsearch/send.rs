//! One try at one bulk request, and what its answer says of each record.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::Value;

use super::Elasticsearch;
use crate::stores::records::http::Answer;
use crate::stores::records::{Rejected, Reply, Request, SendError, http};

/// Only what decides; the rest of an answer is longer than the request.
const FILTER: &str = "errors,items.*.status,items.*.error.type,items.*.error.reason,error,status";

const INDEX: &str =
    "check the log store's index, and that the credentials may create documents in it";

impl Elasticsearch {
    pub(super) async fn bulk(&self, request: Request) -> Result<Reply, SendError> {
        self.ensure_template().await?;
        let purpose = format!("create {} documents", request.records);
        let mut url = self.url(&[&self.config.index, "_bulk"]);
        url.query_pairs_mut().append_pair("filter_path", FILTER);
        let mut builder = self.client.post(url).header(CONTENT_TYPE, "application/x-ndjson");
        if let Some(coding) = self.config.batching.compression.header() {
            builder = builder.header(CONTENT_ENCODING, coding);
        }
        let answer = http::send(builder.body(request.body), &purpose).await?;
        answer.judge(&purpose)?;
        read(&answer, request.records, &purpose)
    }
}

#[derive(Deserialize)]
struct Bulk {
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    #[serde(default)]
    error: Value,
}

/// What an answer of 200 says.
fn read(answer: &Answer, records: usize, purpose: &str) -> Result<Reply, SendError> {
    let strange = |what: &str| SendError::Retry {
        message: format!("failed to {purpose}: {what}{}", answer.shown()),
        after: None,
    };
    let bulk: Bulk = serde_json::from_slice(&answer.body)
        .map_err(|_| strange("the answer is not one to _bulk"))?;
    if !bulk.errors {
        return Ok(Reply::Taken);
    }
    if bulk.items.len() != records {
        return Err(strange("the answer is about other documents"));
    }
    let (mut rejected, mut again) = (Vec::new(), Vec::new());
    let mut refused = None;
    for (position, Item { create }) in bulk.items.into_iter().enumerate() {
        match create.status {
            // 409: it is there already.
            200..=299 | 409 => {}
            401 | 403 if !is_block(&create.error) => refused = Some(reason(&create)),
            404 => refused = Some(reason(&create)),
            403 | 429 | 500.. => again.push(position),
            _ => rejected.push(Rejected { position, reason: reason(&create) }),
        }
    }
    if let Some(message) = refused {
        let message = format!("failed to {purpose}: {message}");
        return Err(SendError::Fatal { message, advice: INDEX, not_allowed: true });
    }
    if rejected.is_empty() && again.is_empty() {
        return Ok(Reply::Taken);
    }
    Ok(Reply::Partly { rejected, again, after: answer.retry_after().or(Some(Duration::ZERO)) })
}

/// An index that takes nothing now, such as for want of disk: that passes.
fn is_block(error: &Value) -> bool {
    error.get("type").and_then(Value::as_str) == Some("cluster_block_exception")
}

fn reason(created: &Created) -> String {
    let text = |field| created.error.get(field).and_then(Value::as_str);
    match (text("type"), text("reason")) {
        (Some(kind), Some(reason)) => format!("{} {kind}: {reason}", created.status),
        (kind, reason) => {
            format!("{} {}", created.status, kind.or(reason).unwrap_or("without a reason"))
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    #[track_caller]
    fn check(items: &str, expected: Result<(&[usize], &[usize]), bool>) {
        let body = format!("{{\"errors\":true,\"items\":[{items}]}}");
        let count = items.matches("create").count();
        match (read(&answer(&body), count, "create"), expected) {
            (Ok(Reply::Taken), Ok(([], []))) => {}
            (Ok(Reply::Partly { rejected, again, .. }), Ok((bad, later))) => {
                assert_eq!(rejected.iter().map(|it| it.position).collect::<Vec<_>>(), bad);
                assert_eq!(again, later);
            }
            (Err(SendError::Fatal { not_allowed, .. }), Err(expected)) => {
                assert_eq!(not_allowed, expected);
            }
            (actual, _) => panic!("{items}: {actual:?}"),
        }
    }

    #[test]
    fn each_document_has_its_answer() {
        let item = |status: u16, kind: &str| {
            format!(
                "{{\"create\":{{\"status\":{status},\"error\":{{\"type\":\"{kind}\",\"reason\":\"x\"}}}}}}"
            )
        };
        let join = |items: &[(u16, &str)]| {
            items.iter().map(|(status, kind)| item(*status, kind)).collect::<Vec<_>>().join(",")
        };
        check(&join(&[(201, ""), (409, "version_conflict_engine_exception")]), Ok((&[], &[])));
        check(
            &join(&[
                (400, "document_parsing_exception"),
                (429, "es_rejected_execution_exception"),
                (201, ""),
            ]),
            Ok((&[0], &[1])),
        );
        check(&join(&[(403, "cluster_block_exception"), (503, "unavailable")]), Ok((&[], &[0, 1])));
        check(&join(&[(201, ""), (403, "security_exception")]), Err(true));
    }

    #[test]
    fn an_answer_about_something_else_is_tried_again() {
        for body in ["", "{}", "<html>", "{\"errors\":true,\"items\":[]}"] {
            let result = read(&answer(body), 1, "create 1 documents");
            assert!(matches!(result, Err(SendError::Retry { .. })), "{body}: {result:?}");
        }
        assert_eq!(read(&answer("{\"errors\":false}"), 1, ""), Ok(Reply::Taken));
    }
}
