//! Lines that came in parts, made one again.
//!
//! A line is in parts because it was too long for one record or because it stood unfinished for a
//! while (a prompt). A reader sees one line: the conditions are asked of the whole, and it counts
//! once. Parts are not copied; an item lists where they stand.
//!
//! Read forward, lines that follow wait behind the first part until the last one is there, so that
//! the whole stands where it began. What waits is limited: beyond it, parts go on one by one, and a
//! progress bar, of which only the end matters, stands where it ends.

use std::collections::VecDeque;
use std::sync::Arc;

use super::filter::Filter;
use super::page::{Line, Page, Verdict};
use super::store::Direction;

/// Where a line stands.
pub(super) type At = (Arc<Page>, usize);

/// One line, in one part or more, oldest part first.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) parts: Vec<At>,
    pub(super) verdict: Verdict,
}

/// What is done with lines in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Nothing, unless a condition has to be asked of the whole.
    Off,
    /// They are handed on when they are whole; nothing waits for them.
    Late,
    /// They are handed on where they began.
    InPlace,
}

/// Lines that wait behind an unfinished one.
const MAX_WAITING: usize = 4096;
/// Bytes of one line that are kept together.
const MAX_BYTES: usize = 8 << 20;
/// Bytes of pages that are held for one line.
const MAX_HELD: usize = 32 << 20;

#[derive(Debug)]
pub(super) struct Joiner {
    direction: Direction,
    in_place: bool,
    open: Vec<Open>,
    waiting: VecDeque<Slot>,
}

#[derive(Debug)]
struct Open {
    id: (u32, u64),
    parts: Vec<At>,
    bytes: usize,
    /// The pages that they are on.
    held: usize,
    /// All of them redraw themselves.
    redraws: bool,
    /// It was too long: what was decided on its beginning holds for the rest.
    decided: Option<Verdict>,
}

#[derive(Debug)]
enum Slot {
    Ready(Whole),
    Open((u32, u64)),
}

impl Open {
    fn new(id: (u32, u64)) -> Self {
        Self { id, parts: Vec::new(), bytes: 0, held: 0, redraws: true, decided: None }
    }
}

impl Joiner {
    pub(super) fn new(joining: Joining, direction: Direction) -> Self {
        Self {
            direction,
            in_place: joining == Joining::InPlace && direction == Direction::Forward,
            open: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Lines have to go through here, even those not in parts.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a line; [`Joiner::pop`] gives back what is whole.
    pub(super) fn push(&mut self, page: &Arc<Page>, position: usize, filter: &Filter) {
        let Some(line) = page.lines().get(position) else { return };
        let at = (Arc::clone(page), position);
        let Some(part) = line.part() else {
            let whole = Whole { parts: vec![at], verdict: line.verdict };
            self.waiting.push_back(Slot::Ready(whole));
            self.relieve(filter);
            return;
        };
        let id = (line.stream, part.line);
        let ends = match self.direction {
            Direction::Forward => part.last,
            Direction::Backward => part.number == 1,
        };
        let bytes = page.message(line).len();
        let position = self.open.iter().position(|open| open.id == id).unwrap_or_else(|| {
            self.open.push(Open::new(id));
            if self.in_place {
                self.waiting.push_back(Slot::Open(id));
            }
            self.open.len() - 1
        });
        let Some(open) = self.open.get_mut(position) else { return };
        if open.parts.last().is_none_or(|(last, _)| !Arc::ptr_eq(last, page)) {
            open.held += page.bytes();
        }
        open.parts.push(at);
        open.bytes += bytes;
        open.redraws &= line.progress;
        let too_long = open.bytes > MAX_BYTES || open.held > MAX_HELD;
        if too_long && open.decided.is_none() {
            open.decided = Some(decide(&open.parts, filter));
        }
        if ends || too_long || (open.decided.is_some() && !open.redraws) {
            self.hand_on(position, filter, ends);
        }
        self.relieve(filter);
    }

    /// What is whole and stands at the front.
    pub(super) fn pop(&mut self) -> Option<Whole> {
        match self.waiting.pop_front()? {
            Slot::Ready(whole) => Some(whole),
            open @ Slot::Open(_) => {
                self.waiting.push_front(open);
                None
            }
        }
    }

    /// No more lines will come: what is not whole is taken as it is.
    pub(super) fn finish(&mut self, filter: &Filter) {
        while !self.open.is_empty() {
            self.hand_on(0, filter, true);
        }
    }

    /// Lets the parts of `open` go; it stays open unless it ends.
    fn hand_on(&mut self, position: usize, filter: &Filter, ends: bool) {
        let Some(open) = self.open.get_mut(position) else { return };
        let id = open.id;
        let mut parts = std::mem::take(&mut open.parts);
        (open.bytes, open.held) = (0, 0);
        if self.direction == Direction::Backward {
            parts.reverse();
        }
        let verdict = open.decided.unwrap_or_else(|| decide(&parts, filter));
        if ends {
            self.open.remove(position);
        }
        if parts.is_empty() {
            return;
        }
        let whole = Slot::Ready(Whole { parts, verdict });
        let place =
            self.waiting.iter_mut().find(|slot| matches!(slot, Slot::Open(it) if *it == id));
        match place {
            Some(place) => *place = whole,
            None => self.waiting.push_back(whole),
        }
    }

    /// Too much waits: the line that everything waits for goes in pieces.
    fn relieve(&mut self, filter: &Filter) {
        if self.waiting.len() <= MAX_WAITING {
            return;
        }
        let Some(Slot::Open(id)) = self.waiting.front() else { return };
        let Some(position) = self.open.iter().position(|open| open.id == *id) else { return };
        if self.open.get(position).is_some_and(|open| open.redraws) {
            self.waiting.pop_front();
            return;
        }
        if let Some(open) = self.open.get_mut(position) {
            open.decided = Some(decide(&open.parts, filter));
        }
        self.hand_on(position, filter, false);
    }
}

/// Asks the conditions of the whole line.
fn decide(parts: &[At], filter: &Filter) -> Verdict {
    if !filter.has_conditions() {
        return Verdict::Match;
    }
    let lines = || parts.iter().filter_map(|(page, at)| Some((page, page.lines().get(*at)?)));
    let text: Vec<u8> = lines().flat_map(|(page, line)| page.message(line)).copied().collect();
    let level = lines().find_map(|(_, line): (_, &Line)| line.level);
    if filter.wants(Some(level), std::iter::once(text.as_slice())) {
        Verdict::Match
    } else {
        Verdict::Context
    }
}
