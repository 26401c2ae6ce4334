//! What the streams of a log store have in common while they are read: the service, and what is
//! known of how writers ended.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pager::{Asked, Pager};
use super::{Patience, Search, events};
use crate::read::filter::Filter;
use crate::read::store::{Direction, ReadError, Run, Status, Stream};
use crate::record::{Exit, Nanos, Record, WriterId};
use crate::stores::records::event::{StreamEnd, StreamEvent};

/// A writer of which nothing came for this long is not called running any more.
const RUNNING: Duration = Duration::from_secs(120);
/// Of the newest records, so many are looked at for the one with the highest `seq`: those of the
/// same time come in any order.
const NEWEST: u64 = 50;

pub(super) struct Shared {
    pub(super) search: Arc<dyn Search>,
    pub(super) patience: Patience,
    /// The ends that were seen; they never change.
    ends: Mutex<HashMap<WriterId, Arc<StreamEvent>>>,
    /// When each run was last asked for its ends.
    looked: tokio::sync::Mutex<HashMap<String, Instant>>,
}

impl Shared {
    pub(super) fn new(search: Arc<dyn Search>, patience: Patience) -> Self {
        Self { search, patience, ends: Mutex::default(), looked: tokio::sync::Mutex::default() }
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<WriterId, Arc<StreamEvent>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the writer ended, if that is known.
    pub(super) fn known_end(&self, writer: WriterId) -> Option<Arc<StreamEvent>> {
        self.ends().get(&writer).map(Arc::clone)
    }

    /// The newest runs, newest first, each once.
    pub(super) async fn runs(&self, limit: usize) -> Result<Vec<Run>, ReadError> {
        let mut runs = events::newest_runs(&*self.search, limit).await?;
        runs.sort_by_key(|run| Reverse(run.started));
        Ok(runs)
    }

    /// The writers of a run by their start and end records, oldest first.
    pub(super) async fn writers(
        &self,
        run: &str,
        step: Option<&str>,
    ) -> Result<Vec<StreamEvent>, ReadError> {
        let mut writers: HashMap<WriterId, StreamEvent> = HashMap::new();
        for event in events::events_of(&*self.search, run, step).await? {
            let id = event.writer.id;
            if event.end.is_some() {
                self.ends().insert(id, Arc::new(event.clone()));
                writers.insert(id, event);
            } else {
                writers.entry(id).or_insert(event);
            }
        }
        let mut writers: Vec<StreamEvent> = writers.into_values().collect();
        writers.sort_by_key(|event| (event.writer.started, event.writer.id));
        Ok(writers)
    }

    /// How the writer ended, if it has; the service is asked no more often than it is polled, all
    /// streams of a run at a time.
    pub(super) async fn end(&self, stream: &Stream) -> Result<Option<Arc<StreamEvent>>, ReadError> {
        if let Some(end) = self.known_end(stream.writer) {
            return Ok(Some(end));
        }
        let run = &stream.origin.pipeline_run_id;
        let mut looked = self.looked.lock().await;
        if looked.get(run).is_none_or(|at| at.elapsed() >= self.search.poll() / 2) {
            self.writers(run, None).await?;
            looked.insert(run.clone(), Instant::now());
        }
        Ok(self.known_end(stream.writer))
    }

    /// The newest record of a stream that is there, or of those before `until`.
    pub(super) async fn newest(
        &self,
        stream: &Arc<Stream>,
        until: Option<Nanos>,
    ) -> Result<Option<Record>, ReadError> {
        let asked = Asked {
            search: Arc::clone(&self.search),
            stream: Arc::clone(stream),
            filter: Arc::new(place(0, None, None, until)),
            direction: Direction::Backward,
        };
        let records = Pager::new(asked, Some(NEWEST)).next().await?;
        Ok(records.into_iter().flatten().max_by_key(|record| record.seq))
    }

    /// How a stream stands by what was recorded of it.
    pub(super) async fn stream(&self, event: StreamEvent) -> Result<Stream, ReadError> {
        if let Some(stream) = ended(&event) {
            return Ok(stream);
        }
        let mut stream = Stream::started(&event.writer);
        let newest = self.newest(&Arc::new(stream.clone()), None).await?;
        let time = newest.as_ref().and_then(|it| Nanos::from_rfc3339(&it.timestamp));
        let last_seen = time.unwrap_or(stream.started).max(stream.started);
        stream.last_seen = Some(last_seen);
        stream.lines = Some(newest.map_or(0, |record| record.seq + 1));
        if !is_recent(last_seen, RUNNING) {
            stream.status = Status::Unfinished;
        }
        Ok(stream)
    }

    /// What is missing of the stream may be there soon.
    pub(super) fn may_come(&self, stream: &Stream, end: Option<&StreamEnd>) -> bool {
        let ended = end.map(|end| end.ended);
        let last = ended.or(stream.last_seen).unwrap_or(stream.started);
        is_recent(last, self.patience.recent)
    }
}

/// The stream of a writer that has ended.
pub(super) fn ended(event: &StreamEvent) -> Option<Stream> {
    let end = event.end.as_ref()?;
    let writer = &event.writer;
    Some(Stream {
        origin: writer.origin.clone(),
        writer: writer.id,
        continues: writer.continues(),
        status: match &end.exit {
            None => Status::Interrupted,
            Some(exit) if exit.is_unknown() => Status::Interrupted,
            Some(exit) if Exit::succeeded(exit) => Status::Succeeded,
            Some(_) => Status::Failed,
        },
        started: writer.started,
        // When the step ended, not the last line that was read of it.
        ended: Some(end.exit.as_ref().map_or(end.ended, |exit| exit.ended)),
        last_seen: None,
        lines: Some(end.lines),
        bytes: Some(end.bytes),
        levels: Some(end.levels),
        gaps: end.gaps.count,
        exit: end.exit.clone(),
        first_error: end.first_error.as_ref().map(|error| error.message.clone()),
    })
}

fn is_recent(time: Nanos, within: Duration) -> bool {
    let quiet = Nanos::now().0.saturating_sub(time.0);
    quiet <= i64::try_from(within.as_nanos()).unwrap_or(i64::MAX)
}

/// A filter that asks for some of a stream's records and leaves nothing to the service that is not
/// a place in the stream.
pub(super) fn place(
    from_seq: u64,
    to_seq: Option<u64>,
    since: Option<Nanos>,
    until: Option<Nanos>,
) -> Filter {
    Filter { since, until, from_seq, to_seq, ..Filter::default() }
}
