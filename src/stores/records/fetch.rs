//! Reading back from a service that can be searched, the same way for all of them.
//!
//! A flavor answers three questions ([`Search`]): which runs there are, which start and end records a
//! run has, and one page of one writer's records. The rest is here: streams and how they stand,
//! order, doubles, holes, merging, following.
//!
//! What holds for every service and is mended here:
//!
//! * Pages come in order of time as the service sorts it, which may be coarser than ours
//!   ([`Search::resolution`]). Records of the same time are put into order by `seq`.
//! * A record may be there twice: it is handed on once.
//! * A record may be searchable only a while after it was taken. Without conditions `seq` is dense, so a
//!   hole shows; following waits for it, reading says so.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::event::StreamEvent;
use crate::read::filter::Filter;
use crate::read::store::{Direction, ReadError, Run, Stream};
use crate::record::Record;

/// A service whose records can be searched.
pub(crate) trait Search: Send + Sync {
    /// The newest runs, newest first, by their start records.
    fn runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Run>, ReadError>>;

    /// All start and end records of a run, or of one of its steps, in any order.
    fn events<'a>(
        &'a self,
        run: &'a str,
        step: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<StreamEvent>, ReadError>>;

    /// One page of a stream's lines (no events), in order of time; [`Page::next`] goes on.
    fn page<'a>(&'a self, question: &'a Question<'a>) -> BoxFuture<'a, Result<Page, ReadError>>;

    /// Times that differ by less than this may come in any order.
    fn resolution(&self) -> Duration;

    /// What of [`Question::filter`] it does itself beside the scope in time.
    fn conditions(&self) -> Conditions;

    /// How often to ask while following.
    fn poll(&self) -> Duration;
}

/// Conditions that a service applies by itself. It may be too generous with any of them (they are
/// checked again), never too strict.
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
    /// Since, until, from_seq, to_seq and whatever the service can do of the rest.
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
