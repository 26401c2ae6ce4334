//! What every match of the built-in patterns begins with.
//!
//! Apart because it is what most streams ever need of the patterns: where none of these few letters
//! is, no pattern matches, and the regular expressions are not even built. That keeps their memory
//! and the time to build them away from every step that prints no secret. It decides only where a
//! match may begin, never whether there is one.

use aho_corasick::{AhoCorasick, MatchKind};

/// A search for the beginnings.
pub(super) struct Starts {
    literals: &'static [&'static str],
    search: AhoCorasick,
}

impl Starts {
    /// `None` when such a search cannot be built.
    pub(super) fn new(literals: &'static [&'static str]) -> Option<Self> {
        let mut builder = AhoCorasick::builder();
        let search = builder.match_kind(MatchKind::LeftmostFirst).build(literals).ok()?;
        Some(Self { literals, search })
    }

    /// Where in `text`, from `from` on, the first match may begin.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let found = self.search.find(text.get(from..)?)?;
        Some(from + found.start())
    }

    /// From where on the end of `text` may become a beginning; its length if it may not.
    pub(super) fn begun(&self, text: &[u8], from: usize) -> usize {
        let longest = self.literals.iter().map(|literal| literal.len()).max().unwrap_or(0);
        let first = from.max((text.len() + 1).saturating_sub(longest));
        let may_be = |&start: &usize| {
            let tail = text.get(start..).unwrap_or_default();
            self.literals.iter().any(|literal| literal.as_bytes().starts_with(tail))
        };
        (first..text.len()).find(may_be).unwrap_or(text.len())
    }
}
