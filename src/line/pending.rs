//! The unfinished end of one iostream, and where in the writer's stream its bytes come from.
//!
//! Apart because of what it must remember: a line's time and the offset to resume from are those
//! of its first byte, and after a cut that byte may lie in any of the last few frames.

use std::collections::VecDeque;

use super::cut;
use crate::record::Nanos;

/// The unfinished end of an iostream and where its bytes come from.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    /// Of the first byte.
    pub(super) first: Mark,
    /// Of the last few; a cut is never further back than these reach.
    recent: VecDeque<Mark>,
}

/// From byte `at` on, the pending bytes came from `offset`, read at `time`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    at: usize,
    pub(super) offset: u64,
    pub(super) time: Nanos,
}

impl Pending {
    pub(super) fn extend(&mut self, offset: u64, time: Nanos, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let at = self.bytes.len();
        let mark = Mark { at, offset, time };
        if at == 0 {
            self.first = mark;
            self.recent.clear();
        }
        self.bytes.extend_from_slice(bytes);
        self.recent.push_back(mark);
        let reach = self.bytes.len().saturating_sub(cut::REACH + 4);
        while self.recent.get(1).is_some_and(|next| next.at <= reach) {
            self.recent.pop_front();
        }
    }

    pub(super) fn drop_front(&mut self, count: usize) {
        if count >= self.bytes.len() {
            self.bytes.clear();
            self.recent.clear();
            return;
        }
        while self.recent.get(1).is_some_and(|next| next.at <= count) {
            self.recent.pop_front();
        }
        for mark in &mut self.recent {
            let passed = count.saturating_sub(mark.at);
            mark.offset += passed as u64;
            mark.at = mark.at.saturating_sub(count);
        }
        self.first = self.recent.front().copied().unwrap_or(self.first);
        self.bytes.drain(..count);
    }
}
