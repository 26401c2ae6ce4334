//! The user's regular expressions, line by line.
//!
//! A line is what stands between line feeds and carriage returns; a match never spans two. A line
//! that has not ended is held back, so that an expression always sees all of it; of one longer
//! than [`WINDOW`], the last `WINDOW` bytes.

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use super::{Mask, Then};

/// The longest match that is found for certain however the stream is divided.
pub(super) const WINDOW: usize = 4 << 10;

/// A pattern that cannot be used.
#[derive(Debug, Error)]
#[error("read the pattern {pattern:?}")]
pub struct PatternError {
    /// As it was given.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: regex::Error,
}

#[derive(Debug, Default)]
pub(super) struct Patterns {
    all: Vec<Regex>,
}

impl Patterns {
    pub(super) fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let compile = |pattern: &String| {
            RegexBuilder::new(pattern)
                .multi_line(true)
                .crlf(true)
                .build()
                .map_err(|source| PatternError { pattern: pattern.clone(), source })
        };
        Ok(Self { all: patterns.iter().map(compile).collect::<Result<_, _>>()? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds the places of all matches; returns where the bytes begin that are not settled, given
    /// that those before `settled` are otherwise.
    pub(super) fn find(
        &self,
        buffer: &[u8],
        settled: usize,
        then: Then,
        masks: &mut Vec<Mask>,
    ) -> usize {
        if self.all.is_empty() {
            return settled;
        }
        // Always a line's beginning, so that the rest of the line is seen with what stands before it.
        let settled = match then {
            Then::More => {
                settled.min(line_start(buffer, settled).max(settled.saturating_sub(WINDOW)))
            }
            Then::Idle | Then::End => settled,
        };
        for pattern in &self.all {
            // The whole buffer is searched at once, as it is mostly clean; where there is
            // something, the lines decide.
            let mut at = 0;
            while let Some(found) = pattern.find_at(buffer, at) {
                let start = line_start(buffer, found.start());
                let rest = buffer.get(found.start()..).unwrap_or_default();
                let end = memchr::memchr2(b'\n', b'\r', rest)
                    .map_or(buffer.len(), |length| found.start() + length);
                let line = buffer.get(start..end).unwrap_or_default();
                masks.extend(
                    pattern.find_iter(line).filter(|found| !found.is_empty()).map(|found| Mask {
                        start: start + found.start(),
                        end: start + found.end(),
                    }),
                );
                at = end + 1;
                if at > buffer.len() {
                    break;
                }
            }
        }
        settled
    }
}

/// Where the line begins that `at` is in.
fn line_start(buffer: &[u8], at: usize) -> usize {
    let before = buffer.get(..at).unwrap_or(buffer);
    memchr::memrchr2(b'\n', b'\r', before).map_or(0, |end| end + 1)
}
