//! Lines of a group whose first line stands in another page: as serious as that one.
//!
//! A page alone cannot say whether the traceback it starts in the middle of belongs to an error.
//! Who reads a stream sees its pages in order and decides here, before anyone else sees them. Pure.

use std::collections::VecDeque;

use super::page::Page;
use super::store::Direction;

/// Pages that wait for an earlier one, at the most.
const MAX_HELD: usize = 64;
/// Lines behind the first of a group, those of others between them included, that are still looked
/// up. A group has 1000 lines at the most.
const WINDOW: u64 = 64 << 10;

/// Pages of one stream, those held back that wait for an earlier one.
#[derive(Debug)]
pub struct Groups {
    direction: Direction,
    /// Forward: per first line of a group before the next page, whether it reaches the level.
    before: VecDeque<(u64, bool)>,
    /// Backward: pages of which some lines are undecided, newest first.
    held: VecDeque<Page>,
    ready: VecDeque<Page>,
}

impl Groups {
    /// Has seen none yet.
    pub fn new(direction: Direction) -> Self {
        Self { direction, before: VecDeque::new(), held: VecDeque::new(), ready: VecDeque::new() }
    }

    /// Takes the next page in reading order; [`Groups::pop`] gives back those decided.
    pub fn push(&mut self, mut page: Page, keep_context: bool) {
        match self.direction {
            Direction::Forward => {
                let before = &self.before;
                page.decide_groups(keep_context, |group| {
                    let found = before.binary_search_by_key(&group, |(seq, _)| *seq);
                    Some(found.ok().and_then(|at| before.get(at)).is_some_and(|head| head.1))
                });
                self.before.extend(page.take_heads());
                let old = page.next_seq().saturating_sub(WINDOW);
                while self.before.front().is_some_and(|(seq, _)| *seq < old) {
                    self.before.pop_front();
                }
                self.ready.push_back(page);
            }
            Direction::Backward => {
                let (first, full) = (page.first_seq(), self.held.len() >= MAX_HELD);
                for held in &mut self.held {
                    held.decide_groups(keep_context, |group| match page.reaches(group) {
                        // Pages in between need not be read; before the group's first line
                        // nothing tells any more.
                        None if group >= first || full => Some(false),
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
    pub fn finish(&mut self, keep_context: bool) {
        for mut page in self.held.drain(..) {
            page.decide_groups(keep_context, |_| Some(false));
            self.ready.push_back(page);
        }
    }

    /// The next page whose lines are all decided.
    pub fn pop(&mut self) -> Option<Page> {
        self.ready.pop_front()
    }
}
