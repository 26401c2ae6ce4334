//! Reading back from a service that can be searched, the same way for all of them.
//!
//! A flavor answers two questions ([`Search`]): which start and end records there are, of all or of a
//! run, and one page of one writer's records. The rest is here: runs, streams and how they stand,
//! order, doubles, holes, merging, following.
//!
//! ```text
//! RecordReader (LogReader) ──► Sources (read::sources) ──► one Source a stream
//!   events   runs, and a run's starts and ends               pager    page after page, one ahead
//!   shared   streams, who has ended
//!                                                            order    by seq; doubles, holes
//!                                                            missing  what is told of holes
//! ask        one question over HTTP: 401, 429, 5xx, Retry-After   (for flavors)
//! ```
//!
//! What holds for every service and is mended here:
//!
//! * Pages come in order of time as the service sorts it, which may be coarser than ours
//!   ([`Search::resolution`]). Records of the same time are put into order by `seq`; beyond 64 MiB of
//!   one time that is told instead.
//! * A record may be there twice: it is handed on once.
//! * A record may be searchable only a while after it was taken. Without conditions `seq` is dense, so a
//!   hole shows: it is waited for while its stream is followed or has only just ended, for a bounded
//!   time, and then told. The end record says how many lines there are, so what is missing behind
//!   the last one shows too.
//! * Conditions that were left to the service are checked again; so it may give too much, not too
//!   little. While following none are, but for what was there before: a hole could not be seen.
//! * A service that fails in the middle (cursors do not last) is asked anew from where reading stands.
//!
//! What is held in memory of a stream: two pages of about 4 MiB, and what waits for others of its time.

pub(crate) mod ask;
mod events;
mod missing;
mod order;
mod pager;
mod shared;
mod source;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

pub(crate) use self::events::{Events, Take};
#[cfg(test)]
pub(crate) use self::events::{events_of, newest_runs};
use self::shared::Shared;
use self::source::Source;
use crate::read::filter::Filter;
use crate::read::sources::{Open, Plan, Sources};
use crate::read::store::{
    Cost, Direction, Lines, LogReader, Pushdown, ReadError, Request, Run, Stream, mark_continued,
};
use crate::record::{Nanos, Record, WriterId};

/// Streams that are looked at at a time.
const AT_A_TIME: usize = 8;

/// A service whose records can be searched.
pub(crate) trait Search: Send + Sync {
    /// Finds start and end records and hands them on one by one until that is enough. Others than are
    /// wanted, and doubles, do no harm.
    fn events<'a>(
        &'a self,
        wanted: Events<'a>,
        take: Take<'a>,
    ) -> BoxFuture<'a, Result<(), ReadError>>;

    /// One page of a stream's lines (no events), in order of time; [`Page::next`] goes on. Since,
    /// until, from_seq and to_seq of the filter may be applied too generously, not too strictly.
    fn page<'a>(&'a self, question: &'a Question<'a>) -> BoxFuture<'a, Result<Page, ReadError>>;

    /// Times that differ by less than this may come in any order.
    fn resolution(&self) -> Duration;

    /// What of [`Question::filter`] it does itself beside the scope in time.
    fn conditions(&self) -> Conditions;

    /// How often to ask while following.
    fn poll(&self) -> Duration;

    /// What was asked so far: [`ask::Asker::cost`].
    fn cost(&self) -> Cost {
        Cost::default()
    }
}

/// Conditions that a service applies by itself. It may be too generous with any of them (they are
/// checked again), never too strict: what has a `part` or a `group` comes whatever its level and text
/// are, since these are asked of the whole line, and of the first line of a traceback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// The least level.
    pub(crate) level: bool,
    /// The iostream.
    pub(crate) iostream: bool,
    /// Text.
    pub(crate) text: bool,
}

/// What is asked of a service.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Whose records.
    pub(crate) stream: &'a Stream,
    /// Since, until, from_seq, to_seq, and of the rest only what [`Search::conditions`] says.
    pub(crate) filter: &'a Filter,
    /// Oldest first or newest first.
    pub(crate) direction: Direction,
    /// Where the page before ended.
    pub(crate) cursor: Option<&'a str>,
    /// Records at the most; the service may have a lower limit.
    pub(crate) limit: usize,
}

/// Some records of one stream.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// In the order asked for, as far as the service can tell.
    pub(crate) records: Vec<Record>,
    /// Where the next page begins; none if this was the last one for now.
    pub(crate) next: Option<String>,
}

/// How long is waited for records that are not there yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// While following.
    pub(crate) following: Duration,
    /// While reading what ended or came no longer ago than `recent`.
    pub(crate) reading: Duration,
    /// See `reading`.
    pub(crate) recent: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            following: Duration::from_secs(30),
            reading: Duration::from_secs(10),
            recent: Duration::from_secs(120),
        }
    }
}

/// A service that can be searched, as [`LogReader`].
#[derive(Clone)]
pub(crate) struct RecordReader(Arc<Shared>);

impl RecordReader {
    /// Makes no request.
    pub(crate) fn new(search: Arc<dyn Search>) -> Self {
        Self::with_patience(search, Patience::default())
    }

    pub(crate) fn with_patience(search: Arc<dyn Search>, patience: Patience) -> Self {
        Self(Arc::new(Shared::new(search, patience)))
    }
}

impl LogReader for RecordReader {
    fn pushdown(&self) -> Pushdown {
        Pushdown { filter: true, backward: true, follow: true }
    }

    fn runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Run>, ReadError>> {
        self.0.runs(limit).boxed()
    }

    fn streams<'a>(
        &'a self,
        run: &'a str,
        step: Option<&'a str>,
        except: &'a [WriterId],
    ) -> BoxFuture<'a, Result<Vec<Stream>, ReadError>> {
        async move {
            let mut writers = self.0.writers(run, step).await?;
            writers.retain(|event| !except.contains(&event.writer.id));
            let mut streams: Vec<Stream> = stream::iter(writers)
                .map(|event| self.0.stream(event))
                .buffered(AT_A_TIME)
                .try_collect()
                .await?;
            mark_continued(&mut streams);
            Ok(streams)
        }
        .boxed()
    }

    fn open(&self, streams: &[Stream], request: Request) -> Box<dyn Lines> {
        Box::new(Sources::new(Streams(Arc::clone(&self.0)), streams, request))
    }

    fn discovery(&self) -> Duration {
        self.0.search.poll()
    }

    fn cost(&self) -> Cost {
        self.0.search.cost()
    }
}

/// What opens one stream of several.
struct Streams(Arc<Shared>);

impl Open for Streams {
    type Source = Source;

    fn source(&self, stream: &Stream, plan: Plan) -> Source {
        Source::new(Arc::clone(&self.0), stream, plan)
    }

    fn bound(&self, stream: &Stream, direction: Direction) -> Option<Nanos> {
        match direction {
            Direction::Forward => Some(stream.started),
            Direction::Backward => {
                self.0.known_end(stream.writer)?.end.as_ref().map(|end| end.ended)
            }
        }
    }

    fn cadence(&self, _age: Duration) -> Duration {
        self.0.search.poll()
    }
}

#[cfg(test)]
mod tests;
