//! Finding values and tokens: one vectorised pass for the first bytes of all of them, then a look
//! at each place it names.
//!
//! Apart because it is what clean output pays for. The pass stops at the first few bytes of each
//! form (its anchor), which keeps the tables small enough for SIMD; clean text has next to no such
//! places.

use aho_corasick::packed;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind, StartKind};

use super::{Mask, Then, tokens};

/// Bytes of a form that the first pass looks for.
const ANCHOR: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Search {
    finder: Finder,
    /// Sorted.
    forms: Vec<Box<[u8]>>,
    /// For each first byte, the forms that begin with it: from, to.
    by_first: Vec<(u32, u32)>,
    longest: usize,
    tokens: bool,
}

#[derive(Debug, Default)]
enum Finder {
    #[default]
    None,
    Packed(packed::Searcher),
    /// For more anchors than the packed search takes, and processors without SIMD.
    Automaton(AhoCorasick),
}

impl Search {
    /// `forms` are sorted and none is empty.
    pub(super) fn new(forms: &[Box<[u8]>], tokens: bool) -> Self {
        let mut by_first = vec![(0, 0); 256];
        for (index, form) in forms.iter().enumerate() {
            if let Some(first) = form.first()
                && let Some((from, to)) = by_first.get_mut(usize::from(*first))
            {
                if *to == 0 {
                    *from = index as u32;
                }
                *to = index as u32 + 1;
            }
        }
        let mut anchors: Vec<&[u8]> =
            forms.iter().map(|form| form.get(..ANCHOR).unwrap_or(form)).collect();
        anchors.dedup();
        if tokens {
            for prefix in tokens::prefixes() {
                anchors.push(prefix);
            }
        }
        Self {
            finder: Finder::new(&anchors),
            forms: forms.to_vec(),
            by_first,
            longest: forms.iter().map(|form| form.len()).max().unwrap_or(0),
            tokens,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.finder, Finder::None)
    }

    /// Adds the places of all secrets in `buffer` that are there to the end, and returns where
    /// one begins that may not be: bytes from there on are not settled. `before` is the byte
    /// before the buffer.
    pub(super) fn find(
        &self,
        buffer: &[u8],
        before: Option<u8>,
        then: Then,
        masks: &mut Vec<Mask>,
    ) -> usize {
        let mut open = buffer.len();
        let mut at = 0;
        while let Some(start) = self.finder.find(buffer, at) {
            at = start + 1;
            let rest = buffer.get(start..).unwrap_or_default();
            if let Some(length) = self.longest_form(rest) {
                masks.push(Mask { start, end: start + length });
            }
            if !self.tokens {
                continue;
            }
            let before = start.checked_sub(1).and_then(|at| buffer.get(at)).copied().or(before);
            match tokens::at(rest, before, then) {
                tokens::Verdict::Match(length) => masks.push(Mask { start, end: start + length }),
                tokens::Verdict::More => open = open.min(start),
                tokens::Verdict::No => {}
            }
        }
        match then {
            Then::End => buffer.len(),
            Then::Idle => open.min(self.live(buffer)),
            Then::More => {
                let open = open.min(self.live(buffer));
                if self.tokens { open.min(tokens::live(buffer, before)) } else { open }
            }
        }
    }

    fn starting_with(&self, text: &[u8]) -> &[Box<[u8]>] {
        let range = text.first().and_then(|first| self.by_first.get(usize::from(*first)));
        range
            .and_then(|(from, to)| self.forms.get(*from as usize..*to as usize))
            .unwrap_or_default()
    }

    fn longest_form(&self, text: &[u8]) -> Option<usize> {
        let found = self.starting_with(text).iter().filter(|form| text.starts_with(form));
        found.map(|form| form.len()).max()
    }

    /// Where the longest end of `buffer` starts that a form begins with and goes on from.
    fn live(&self, buffer: &[u8]) -> usize {
        let from = buffer.len().saturating_sub(self.longest.saturating_sub(1));
        let tail = buffer.get(from..).unwrap_or_default();
        let live = (0..tail.len()).find(|at| {
            let end = tail.get(*at..).unwrap_or_default();
            self.starting_with(end)
                .iter()
                .any(|form| form.len() > end.len() && form.starts_with(end))
        });
        live.map_or(buffer.len(), |at| from + at)
    }
}

impl Finder {
    fn new(anchors: &[&[u8]]) -> Self {
        if anchors.is_empty() {
            return Self::None;
        }
        let packed =
            packed::Config::new().heuristic_pattern_limits(false).builder().extend(anchors).build();
        if let Some(searcher) = packed {
            return Self::Packed(searcher);
        }
        let automaton = |kind| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .start_kind(StartKind::Unanchored)
                .kind(kind)
                .build(anchors)
        };
        // Building fails only where the tables outgrow their indexes; the second kind's are the
        // smallest. Then there are gigabytes of secrets.
        automaton(Some(AhoCorasickKind::DFA))
            .or_else(|_| automaton(Some(AhoCorasickKind::ContiguousNFA)))
            .or_else(|_| automaton(Some(AhoCorasickKind::NoncontiguousNFA)))
            .map_or(Self::None, Self::Automaton)
    }

    fn find(&self, buffer: &[u8], at: usize) -> Option<usize> {
        let span = at..buffer.len();
        if span.start > span.end {
            return None;
        }
        match self {
            Self::None => None,
            Self::Packed(searcher) => {
                searcher.find_in(buffer, span.into()).map(|found| found.start())
            }
            Self::Automaton(automaton) => {
                automaton.find(Input::new(buffer).span(span)).map(|found| found.start())
            }
        }
    }
}
