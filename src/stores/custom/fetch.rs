//! Reading back through the program.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::Custom;
use super::protocol::{Answer, Fetch};
use crate::read::store::{Direction, ReadError};
use crate::record::{Nanos, Record};
use crate::stores::records::event::StreamEvent;
use crate::stores::records::fetch::{Conditions, Events, Page, Question, Search, Take};

/// Start and end records asked for at a time.
const EVENTS: usize = 1_000;
/// How often to ask while following.
const POLL: Duration = Duration::from_secs(1);

/// The part of a start or end record that matters.
#[derive(Deserialize)]
struct EventRecord {
    steplog_stream: String,
}

impl Custom {
    /// One page: its lines, and where the next begins.
    async fn ask(&self, fetch: Fetch<'_>) -> Result<(Vec<u8>, Option<String>), ReadError> {
        match self.program.fetch(fetch).await? {
            Answer::Page { lines, next, .. } => Ok((lines, next)),
            other => Err(self.program.unexpected("fetch", &other).into()),
        }
    }

    async fn find_events(&self, wanted: Events<'_>, mut take: Take<'_>) -> Result<(), ReadError> {
        let (run, step) = match wanted {
            Events::NewestRuns(_) => (None, None),
            Events::OfRun { run, step } => (Some(run), step),
        };
        let mut cursor: Option<String> = None;
        loop {
            let fetch = Fetch {
                events: true,
                pipeline_run_id: run,
                step_id: step,
                reverse: true,
                limit: EVENTS,
                cursor: cursor.as_deref(),
                ..Fetch::default()
            };
            let (lines, next) = self.ask(fetch).await?;
            for record in records::<EventRecord>(&lines)? {
                let event: Result<StreamEvent, _> = serde_json::from_str(&record.steplog_stream);
                if event.is_ok_and(&mut take) {
                    return Ok(());
                }
            }
            // A program that gives the same cursor again would be asked for ever.
            if next.is_none() || next == cursor {
                return Ok(());
            }
            cursor = next;
        }
    }
}

fn records<T: for<'de> Deserialize<'de>>(lines: &[u8]) -> Result<Vec<T>, ReadError> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_slice(line).map_err(|error| {
                ReadError::Store(format!("the program gave back no record: {error}").into())
            })
        })
        .collect()
}

impl Search for Custom {
    fn events<'a>(
        &'a self,
        wanted: Events<'a>,
        take: Take<'a>,
    ) -> BoxFuture<'a, Result<(), ReadError>> {
        self.find_events(wanted, take).boxed()
    }

    fn page<'a>(&'a self, question: &'a Question<'a>) -> BoxFuture<'a, Result<Page, ReadError>> {
        async move {
            let (stream, filter) = (question.stream, question.filter);
            let time = |time: Option<Nanos>| time.map(Nanos::to_rfc3339);
            let fetch = Fetch {
                events: false,
                pipeline_run_id: Some(&stream.origin.pipeline_run_id),
                step_id: Some(&stream.origin.step_id),
                writer: Some(stream.writer.to_string()),
                from_seq: (filter.from_seq > 0).then_some(filter.from_seq),
                to_seq: filter.to_seq,
                since: time(filter.since),
                until: time(filter.until),
                reverse: question.direction == Direction::Backward,
                limit: question.limit,
                cursor: question.cursor,
                ..Fetch::default()
            };
            let (lines, next) = self.ask(fetch).await?;
            let records: Vec<Record> = records(&lines)?;
            let next = next.filter(|next| Some(next.as_str()) != question.cursor);
            Ok(Page { records, next })
        }
        .boxed()
    }

    fn resolution(&self) -> Duration {
        // The protocol asks for order by seq.
        Duration::ZERO
    }

    fn conditions(&self) -> Conditions {
        Conditions::default()
    }

    fn poll(&self) -> Duration {
        POLL
    }
}
