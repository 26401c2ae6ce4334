//! The lines of one stream out of a service that can be searched.
//!
//! ```text
//! spans ──► pager ──► order ──► pages of lines, with verdicts
//!                       │ hole
//!                       └─► wait and ask for it, or say that it is missing
//! ```
//!
//! A stream is read in one *span* or in two. Conditions that the service can apply are left to it, unless
//! lines around matches are wanted; but then nobody sees what is missing. So where the stream has not
//! ended, or only just, what is younger than a while is a span of its own, of which all records are asked
//! for. While following, that span is *live*: it ends with the end of the stream, when all its lines are
//! there.
//!
//! A hole is waited for while its stream is followed or has only just ended: services index late, and
//! requests are sent several at a time. The more often that is in vain, the shorter it is waited.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::missing::Missing;
use super::order::Order;
use super::pager::{Asked, Pager};
use super::shared::{Shared, ended, place};
use crate::read::filter::Filter;
use crate::read::group::Groups;
use crate::read::page::Page;
use crate::read::sources::{self, Next, Plan};
use crate::read::store::{Direction, ReadError, Stream};
use crate::record::{Nanos, Record};
use crate::stores::records::event::{StreamEnd, StreamEvent};

/// Records that wait for others of the same time, bytes. Beyond, they go as they are.
const MAX_HELD: usize = 64 << 20;
/// Numbers of lines are counted from here when they are counted down.
const COUNT_DOWN_FROM: u64 = 1 << 62;
/// No service has a `seq` beyond this.
const MAX_SEQ: u64 = i64::MAX as u64;

/// One stream being read.
pub(super) struct Source {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
    plan: Plan,
    /// How it ended, once that was seen.
    end: Option<Arc<StreamEvent>>,
    /// What is left to be read, the span that is being read first; none before the first look.
    spans: Option<VecDeque<Span>>,
    /// What is asked for of this span.
    asked: Filter,
    /// Where this span ends, if all up to there (or down to there) should be there.
    goal: Option<u64>,
    order: Order,
    pager: Option<Pager>,
    /// The service has no more for now.
    exhausted: bool,
    hole: Option<Hole>,
    /// How long the next hole is waited for.
    patience: Duration,
    missing: Missing,
    groups: Groups,
    troubles: VecDeque<String>,
    /// Number of the next line in scope.
    count: u64,
    /// Up to which `seq` pages were made.
    covered: Option<u64>,
    /// Above the highest `seq` that was seen in time to be handed on.
    mark: u64,
    /// A cursor has failed since something new came.
    restarted: bool,
}

/// Some of a stream's records, by their place.
#[derive(Clone, Debug)]
struct Span {
    from: u64,
    to: Option<u64>,
    /// What this is asked with, and whether the record `from` is within it.
    since: Option<Nanos>,
    has_from: bool,
    until: Option<Nanos>,
    /// Conditions may be left to the service.
    conditions: bool,
    live: bool,
}

/// Records that should be there and are not.
struct Hole {
    seqs: Range<u64>,
    /// Given up after this.
    deadline: Instant,
    /// Asks for them; none between two tries.
    pager: Option<Pager>,
}

/// What to do next.
enum Step {
    On,
    Wait,
}

impl Source {
    pub(super) fn new(shared: Arc<Shared>, stream: &Stream, plan: Plan) -> Self {
        let patience = &shared.patience;
        Self {
            end: shared.known_end(stream.writer),
            stream: Arc::new(stream.clone()),
            spans: None,
            asked: Filter::default(),
            goal: None,
            order: Order::new(plan.direction, shared.search.resolution(), true, None),
            pager: None,
            exhausted: false,
            hole: None,
            patience: if plan.follow { patience.following } else { patience.reading },
            missing: Missing::default(),
            groups: Groups::new(plan.direction),
            troubles: VecDeque::new(),
            count: match plan.direction {
                Direction::Forward => 0,
                Direction::Backward => COUNT_DOWN_FROM,
            },
            covered: None,
            mark: plan.mark.unwrap_or(plan.filter.from_seq),
            restarted: false,
            shared,
            plan,
        }
    }

    async fn step(&mut self) -> Result<Next, ReadError> {
        loop {
            let records = self.order.take();
            if !records.is_empty() {
                self.restarted = false;
                self.hand_on(records);
            }
            if let Some(page) = self.next_page() {
                return Ok(Next::Page(page));
            }
            if let Some(trouble) = self.troubles.pop_front() {
                return Ok(Next::Trouble(trouble));
            }
            let step = match &self.spans {
                None => self.start().await?,
                Some(spans) if spans.is_empty() => return Ok(Next::Done),
                Some(_) if self.hole.is_some() => self.look_for_hole().await?,
                Some(_) => self.read_on().await?,
            };
            match step {
                Step::On => {}
                Step::Wait if self.plan.follow => return Ok(Next::Pending),
                Step::Wait => {
                    tokio::time::sleep(self.shared.search.poll().min(self.patience)).await;
                }
            }
        }
    }

    /// What is to be read, in which spans.
    async fn start(&mut self) -> Result<Step, ReadError> {
        let filter = Arc::clone(&self.plan.filter);
        let from = filter.from_seq.max(self.plan.mark.unwrap_or(0));
        let whole = Span {
            from,
            to: filter.to_seq,
            since: filter.since,
            has_from: filter.since.is_none(),
            until: filter.until.filter(|_| !self.plan.follow),
            conditions: true,
            live: self.plan.follow,
        };
        let end = self.end();
        let recent = end.is_none() || self.shared.may_come(&self.stream, end);
        let is_cut = !is_dense(&self.asked(&whole)) || (self.plan.follow && !whole.has_from);
        let spans = if from > MAX_SEQ || end.is_some_and(|end| from >= end.lines) {
            Vec::new()
        } else if !is_cut {
            vec![whole]
        } else if !recent {
            vec![Span { live: false, ..whole }]
        } else {
            let settled = self.settled().await?.filter(|(next, _)| *next > from);
            let Some((next, time)) = settled else {
                // All of it is young: what is too old is left out here.
                let all = Span { conditions: false, since: None, has_from: true, ..whole };
                return Ok(self.begin(vec![all]));
            };
            let old = Span {
                to: Some(whole.to.map_or(next, |to| to.min(next))),
                live: false,
                ..whole.clone()
            };
            let since = self.coarse(Some(time), -1);
            let young = Span { from: next, since, has_from: true, conditions: false, ..whole };
            match self.plan.direction {
                Direction::Forward => vec![old, young],
                Direction::Backward => vec![young, old],
            }
        };
        Ok(self.begin(spans))
    }

    fn begin(&mut self, spans: Vec<Span>) -> Step {
        self.spans = Some(spans.into());
        self.next_span();
        Step::On
    }

    /// Up to which `seq` nothing is under way any more, and the time there.
    async fn settled(&self) -> Result<Option<(u64, Nanos)>, ReadError> {
        let Some(newest) = self.shared.newest(&self.stream, None).await? else { return Ok(None) };
        let Some(time) = Nanos::from_rfc3339(&newest.timestamp) else { return Ok(None) };
        let late = self.shared.patience.following.as_nanos();
        let until = Nanos(time.0.saturating_sub(i64::try_from(late).unwrap_or(i64::MAX)));
        let settled = self.shared.newest(&self.stream, Some(until)).await?;
        Ok(settled.and_then(|it| Some((it.seq + 1, Nanos::from_rfc3339(&it.timestamp)?))))
    }

    /// What the service is asked for: a place, and the conditions that it can apply. Where lines
    /// around matches are wanted, it has to give them all.
    fn asked(&self, span: &Span) -> Filter {
        let (filter, can) = (&self.plan.filter, self.shared.search.conditions());
        let place = place(span.from, span.to, span.since, span.until);
        if !span.conditions || filter.context != (0, 0) {
            return place;
        }
        Filter {
            level: filter.level.filter(|_| can.level),
            iostream: filter.iostream.filter(|_| can.iostream),
            text: filter.text.clone().filter(|_| can.text),
            ..place
        }
    }

    /// Begins with the span that is first now, or ends.
    fn next_span(&mut self) {
        let Some(span) = self.spans.as_ref().and_then(VecDeque::front).cloned() else {
            self.groups.finish(self.keeps_context());
            let rejected = self.end().map_or(0, |end| end.rejected);
            self.troubles.extend(self.missing.conclude(rejected));
            return;
        };
        let asked = self.asked(&span);
        let dense = is_dense(&asked);
        let bottom = span.has_from.then_some(span.from);
        // Of a span that is not the last one, there is a record at its end.
        let cut = span.to.filter(|_| !span.live && self.plan.filter.to_seq != span.to);
        let top = match (self.end().map(|end| end.lines), span.to) {
            (Some(lines), to) => Some(to.map_or(lines, |to| to.min(lines))),
            (None, _) => cut,
        };
        let top = top.filter(|_| span.until.is_none());
        let (first, goal) = match self.plan.direction {
            Direction::Forward => (bottom, top),
            Direction::Backward => (top, bottom),
        };
        let is_empty = [top, span.to].into_iter().flatten().any(|top| top <= span.from);
        let resolution = self.shared.search.resolution();
        self.order = Order::new(self.plan.direction, resolution, dense, first);
        self.asked = asked;
        self.pager = None;
        self.exhausted = is_empty;
        self.goal = goal.filter(|_| dense && !is_empty && !span.live);
    }

    /// A time, by the service's resolution earlier or later, where it may be off by that.
    fn coarse(&self, time: Option<Nanos>, side: i64) -> Option<Nanos> {
        let by = i64::try_from(self.shared.search.resolution().as_nanos()).unwrap_or(i64::MAX);
        // A border is exclusive at its end.
        let by = if side > 0 { by.saturating_add(1) } else { by.saturating_neg() };
        time.map(|time| Nanos(time.0.saturating_add(by)))
    }

    fn pager(&self, filter: Filter, about: Option<u64>) -> Pager {
        let asked = Asked {
            search: Arc::clone(&self.shared.search),
            stream: Arc::clone(&self.stream),
            filter: Arc::new(filter),
            direction: self.plan.direction,
        };
        Pager::new(asked, about)
    }

    /// The rest of what is asked for, where reading stands now.
    fn rest(&self) -> Pager {
        let mut filter = self.asked.clone();
        let Some((last, next)) = self.order.last_time().zip(self.order.next()) else {
            // How many are wanted says nothing of how many must be read where most are left out.
            let few = !self.plan.filter.has_conditions() && !self.plan.follow;
            return self.pager(filter, self.plan.about.filter(|_| few));
        };
        match self.plan.direction {
            Direction::Forward => {
                filter.from_seq = filter.from_seq.max(next);
                filter.since = filter.since.max(self.coarse(Some(last), -1));
            }
            Direction::Backward => {
                filter.to_seq = Some(filter.to_seq.map_or(next, |to| to.min(next)));
                let until = self.coarse(Some(last), 1);
                filter.until = [filter.until, until].into_iter().flatten().min();
            }
        }
        self.pager(filter, None)
    }

    /// The next page, or what follows the last one.
    async fn read_on(&mut self) -> Result<Step, ReadError> {
        if let Some(hole) = self.order.settle(self.exhausted) {
            self.open_hole(hole);
            return Ok(Step::On);
        }
        if self.order.has_ready() {
            return Ok(Step::On);
        }
        if self.exhausted {
            return self.behind_the_last().await;
        }
        let mut pager = self.pager.take().unwrap_or_else(|| self.rest());
        match pager.next().await {
            Ok(Some(records)) => {
                self.pager = Some(pager);
                for record in records {
                    self.saw(record.seq);
                    self.order.push(record);
                }
                if self.order.held_bytes() > MAX_HELD {
                    self.relieve();
                }
            }
            Ok(None) => self.exhausted = true,
            Err(error) if self.is_passing(&error, &pager) => {}
            Err(error) => {
                self.pager = Some(pager);
                return Err(error);
            }
        }
        Ok(Step::On)
    }

    /// Following begins behind what was seen, and not behind what came when reading backward had passed
    /// its place: that was not handed on.
    fn saw(&mut self, seq: u64) {
        let is_late = self.plan.direction == Direction::Backward
            && self.order.next().is_some_and(|next| seq >= next);
        if !is_late {
            self.mark = self.mark.max(seq + 1);
        }
    }

    /// Whether to ask anew from where reading stands: cursors do not last for ever, and a reader may
    /// be slow.
    fn is_passing(&mut self, error: &ReadError, pager: &Pager) -> bool {
        let first = !std::mem::replace(&mut self.restarted, true);
        first && pager.is_under_way() && matches!(error, ReadError::Store(_))
    }

    /// Too much waits for others of the same time.
    fn relieve(&mut self) {
        self.troubles.push_back(format!(
            "more than {} MiB of lines have the same time: what is missing among them is not waited for",
            MAX_HELD >> 20
        ));
        while let Some(hole) = self.order.settle(true) {
            self.give_up(&hole);
        }
    }

    /// All that was asked for has come, and is in order.
    async fn behind_the_last(&mut self) -> Result<Step, ReadError> {
        if self.spans.iter().flatten().next().is_some_and(|span| span.live) {
            let next = self.order.next().unwrap_or_default();
            if self.plan.filter.to_seq.is_none_or(|to| next < to) {
                self.end = self.shared.end(&self.stream).await?;
                self.goal = self.end().map(|end| end.lines);
                if self.goal.is_none() {
                    self.exhausted = false;
                    self.pager = None;
                    return Ok(Step::Wait);
                }
            }
        }
        if let Some(hole) = self.short_of(self.goal) {
            self.open_hole(hole);
        } else {
            if let Some(spans) = &mut self.spans {
                spans.pop_front();
            }
            self.next_span();
        }
        Ok(Step::On)
    }

    /// What lies between here and where all should be.
    fn short_of(&self, goal: Option<u64>) -> Option<Range<u64>> {
        let (goal, next) = (goal?, self.order.next()?);
        let hole = match self.plan.direction {
            Direction::Forward => next..goal,
            Direction::Backward => goal..next,
        };
        (!hole.is_empty()).then_some(hole)
    }

    fn open_hole(&mut self, seqs: Range<u64>) {
        let length = seqs.end - seqs.start;
        let end = self.end();
        let refused = end.is_some_and(|end| self.missing.lines() + length <= end.rejected);
        let live = self.plan.follow && end.is_none();
        let waits = !refused && (live || self.shared.may_come(&self.stream, end));
        let patience = if waits { self.patience } else { Duration::ZERO };
        self.hole = Some(Hole { seqs, deadline: Instant::now() + patience, pager: None });
    }

    /// Asks once more for what is missing, or gives it up.
    async fn look_for_hole(&mut self) -> Result<Step, ReadError> {
        let Some(mut hole) = self.hole.take() else { return Ok(Step::On) };
        let mut pager = match hole.pager.take() {
            Some(pager) => pager,
            None if Instant::now() >= hole.deadline => {
                self.patience /= 2;
                self.give_up(&hole.seqs);
                return Ok(Step::On);
            }
            None => {
                // Not at once: it was not there a moment ago.
                hole.pager = Some(self.pager(self.around(&hole.seqs), None));
                self.hole = Some(hole);
                return Ok(Step::Wait);
            }
        };
        let records = match pager.next().await {
            Ok(Some(records)) => records,
            Ok(None) => {
                self.hole = Some(hole);
                return Ok(Step::On);
            }
            Err(error) => {
                self.hole = Some(hole);
                return self.is_passing(&error, &pager).then_some(Step::On).ok_or(error);
            }
        };
        let before = self.order.next();
        for record in records {
            self.saw(record.seq);
            self.order.add(record);
        }
        let left = self.order.settle(self.exhausted);
        match left.or_else(|| self.short_of(self.goal).filter(|_| self.exhausted)) {
            None => {}
            Some(left) => {
                if self.order.next() != before {
                    self.open_hole(left.clone());
                }
                let deadline = self.hole.take().map_or(hole.deadline, |hole| hole.deadline);
                self.hole = Some(Hole { seqs: left, deadline, pager: Some(pager) });
            }
        }
        Ok(Step::On)
    }

    /// A question for what is missing.
    fn around(&self, seqs: &Range<u64>) -> Filter {
        let (behind, ahead) = (self.order.last_time(), self.order.held_time());
        let (since, until) = match self.plan.direction {
            Direction::Forward => (behind, ahead),
            Direction::Backward => (ahead, behind),
        };
        place(seqs.start, Some(seqs.end), self.coarse(since, -1), self.coarse(until, 1))
    }

    fn give_up(&mut self, seqs: &Range<u64>) {
        self.troubles.extend(self.missing.add(seqs));
        self.order.skip(seqs);
    }

    /// Makes a page of lines.
    fn hand_on(&mut self, mut records: Vec<Record>) {
        if self.plan.direction == Direction::Backward {
            records.reverse();
        }
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let (first, next) = (first.seq, last.seq + 1);
        let seqs = match self.plan.direction {
            Direction::Forward => self.covered.unwrap_or(first).min(first)..next,
            Direction::Backward => first..self.covered.unwrap_or(next).max(next),
        };
        self.covered = Some(match self.plan.direction {
            Direction::Forward => next,
            Direction::Backward => first,
        });
        let mut page = Page::of_records(&records, &self.plan.filter, self.plan.number);
        page.set_seqs(seqs.start, seqs.end);
        if page.unreadable() > 0 {
            self.troubles.push_back(format!(
                "{} of the lines {first} to {} cannot be read",
                page.unreadable(),
                next - 1
            ));
        }
        self.groups.push(page, self.keeps_context());
    }

    fn keeps_context(&self) -> bool {
        self.plan.filter.context != (0, 0)
    }

    fn next_page(&mut self) -> Option<Page> {
        let mut page = self.groups.pop()?;
        let lines = page.scope_lines();
        match self.plan.direction {
            Direction::Forward => {
                page.set_base(self.count);
                self.count += lines;
            }
            Direction::Backward => {
                self.count -= lines;
                page.set_base(self.count);
            }
        }
        Some(page)
    }

    fn end(&self) -> Option<&StreamEnd> {
        self.end.as_deref()?.end.as_ref()
    }
}

/// No condition is left to the service.
fn is_dense(asked: &Filter) -> bool {
    asked.level.is_none() && asked.iostream.is_none() && asked.text.is_none()
}

impl sources::Source for Source {
    fn next(&mut self) -> impl Future<Output = Result<Next, ReadError>> + Send {
        self.step()
    }

    fn ended(&self) -> Option<Stream> {
        ended(self.end.as_deref()?)
    }

    /// The first `seq` that was not there when reading began.
    fn mark(&self) -> u64 {
        self.end().map_or(self.mark, |end| end.lines)
    }
}
