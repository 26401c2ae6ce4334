//! The pages of one question, one after the other, the next one under way while this one is used.
//!
//! How many records a page has follows from how large they are, so that two pages of each stream
//! are all that memory holds.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::ask::{AnswerTooLarge, Refused, store};
use super::{Page, Question, Search};
use crate::read::filter::Filter;
use crate::read::store::{Direction, ReadError, Stream};
use crate::record::Record;

/// Records of a page, at the most.
pub(super) const MAX_RECORDS: usize = 5000;
/// Text of a page that is aimed at.
const PAGE_BYTES: usize = 4 << 20;

/// What is asked, page after page.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) search: Arc<dyn Search>,
    pub(super) stream: Arc<Stream>,
    pub(super) filter: Arc<Filter>,
    pub(super) direction: Direction,
}

pub(super) struct Pager {
    asked: Asked,
    limit: usize,
    /// The next page is asked for before it is wanted.
    ahead: bool,
    cursor: Option<String>,
    flight: Option<Flight>,
    done: bool,
}

/// A page under way; dropped, it is not wanted any more.
struct Flight(JoinHandle<Result<Page, ReadError>>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pager {
    /// Makes no request yet. `about` so many records are wanted.
    pub(super) fn new(asked: Asked, about: Option<u64>) -> Self {
        // A few more: what is wanted may stand among others of the same time.
        let about = about.map(|records| records.saturating_add(records / 8 + 10));
        let few = about.filter(|records| *records < MAX_RECORDS as u64);
        Self {
            asked,
            limit: few.map_or(MAX_RECORDS, |records| records as usize),
            ahead: few.is_none(),
            cursor: None,
            flight: None,
            done: false,
        }
    }

    /// Reading has come behind the first page: to ask anew is to ask for something else.
    pub(super) fn is_under_way(&self) -> bool {
        self.cursor.is_some()
    }

    /// The next page's records; none if there are no more for now.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        while !self.done {
            let mut flight = match self.flight.take() {
                Some(flight) => flight,
                None => self.take_off(),
            };
            let landed = (&mut flight.0).await;
            let page = match landed {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => {
                    if !is_too_large(&error) || self.limit == 1 {
                        return Err(error);
                    }
                    self.limit = (self.limit / 4).max(1);
                    continue;
                }
                Err(error) => return Err(store(Refused(format!("a request broke off: {error}")))),
            };
            self.measure(&page.records);
            match page.next {
                None => self.done = true,
                Some(next) => {
                    if page.records.is_empty() && self.cursor.as_ref() == Some(&next) {
                        let what = "the service gives the same empty page again and again";
                        return Err(store(Refused(what.to_owned())));
                    }
                    self.cursor = Some(next);
                    if self.ahead {
                        self.flight = Some(self.take_off());
                    }
                    // More than a few are wanted after all.
                    self.ahead = true;
                }
            }
            if !page.records.is_empty() {
                return Ok(Some(page.records));
            }
        }
        Ok(None)
    }

    fn take_off(&self) -> Flight {
        let (asked, cursor, limit) = (self.asked.clone(), self.cursor.clone(), self.limit);
        Flight(tokio::spawn(async move {
            let question = Question {
                stream: &asked.stream,
                filter: &asked.filter,
                direction: asked.direction,
                cursor: cursor.as_deref(),
                limit,
            };
            asked.search.page(&question).await
        }))
    }

    /// As many records the next time as make a page.
    fn measure(&mut self, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        let bytes: usize = records
            .iter()
            .map(|it| it.message.len() + it.raw.as_ref().map_or(0, String::len))
            .sum();
        let fit = PAGE_BYTES / (bytes / records.len()).max(1);
        // Carefully upwards: the next ones may be larger.
        self.limit = fit.min(self.limit.saturating_mul(4)).clamp(1, MAX_RECORDS);
    }
}

pub(super) fn is_too_large(error: &ReadError) -> bool {
    matches!(error, ReadError::Store(error) if error.is::<AnswerTooLarge>())
}
