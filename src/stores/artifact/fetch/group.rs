//! Lines of a group whose first line stands in another page: as serious as that one.
//!
//! A frame alone cannot say whether the traceback it starts in the middle of belongs to an error.
//! The source sees a writer's pages in order and decides here, before anyone else sees them.

use std::collections::VecDeque;

use crate::read::page::Page;
use crate::read::store::Direction;

/// Pages that wait for an earlier one, at the most.
const MAX_HELD: usize = 64;
/// Lines behind the first of a group, those of others between them included, that are still looked
/// up. A group has 1000 lines at the most.
const WINDOW: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Groups {
    direction: Direction,
    /// Forward: `seq` of the first line in `before`.
    first: u64,
    /// Forward: per line before the next page, whether it reaches the level.
    before: VecDeque<bool>,
    /// Backward: pages of which some lines are undecided, newest first.
    held: VecDeque<Page>,
    ready: VecDeque<Page>,
}

impl Groups {
    pub(super) fn new(direction: Direction) -> Self {
        Self {
            direction,
            first: 0,
            before: VecDeque::new(),
            held: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes the next page in reading order; [`Groups::pop`] gives back those decided.
    pub(super) fn push(&mut self, mut page: Page, keep_context: bool) {
        match self.direction {
            Direction::Forward => {
                let (first, before) = (self.first, &self.before);
                page.decide_groups(keep_context, |group| {
                    let position = group.checked_sub(first).map(|it| it as usize);
                    Some(position.and_then(|it| before.get(it).copied()).unwrap_or(false))
                });
                if page.first_seq() != self.first + self.before.len() as u64 {
                    self.before.clear();
                    self.first = page.first_seq();
                }
                self.before.extend(page.take_reaches());
                let old = self.before.len().saturating_sub(WINDOW);
                self.before.drain(..old);
                self.first += old as u64;
                self.ready.push_back(page);
            }
            Direction::Backward => {
                let next_to =
                    self.held.back().is_none_or(|held| held.first_seq() == page.next_seq());
                let full = self.held.len() >= MAX_HELD;
                for held in &mut self.held {
                    held.decide_groups(keep_context, |group| match page.reaches(group) {
                        None if !next_to || full => Some(false),
                        known => known,
                    });
                }
                self.held.push_back(page);
                if self.held.iter().rev().skip(1).all(|held| !held.has_undecided()) {
                    let last = self.held.pop_back();
                    self.ready.append(&mut self.held);
                    match last {
                        Some(page) if page.has_undecided() => self.held.push_back(page),
                        Some(page) => self.ready.push_back(page),
                        None => {}
                    }
                }
            }
        }
    }

    /// No page will come before those held.
    pub(super) fn finish(&mut self, keep_context: bool) {
        for mut page in self.held.drain(..) {
            page.decide_groups(keep_context, |_| Some(false));
            self.ready.push_back(page);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Page> {
        self.ready.pop_front()
    }
}
