//! What is missing of a stream, in words. Pure.

use std::ops::Range;

/// So many places are named one by one; the others are counted.
const MAX_NAMED: u64 = 10;

/// What was given up.
#[derive(Debug, Default)]
pub(super) struct Missing {
    places: u64,
    lines: u64,
    unnamed: u64,
}

impl Missing {
    /// Lines that are missing in all.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// These are; says so unless that was said often enough.
    pub(super) fn add(&mut self, seqs: &Range<u64>) -> Option<String> {
        let lines = seqs.end.saturating_sub(seqs.start);
        self.places += 1;
        self.lines += lines;
        if self.places > MAX_NAMED {
            self.unnamed += lines;
            return None;
        }
        Some(match lines {
            1 => format!("line {} is missing", seqs.start),
            _ => format!("lines {} to {} are missing", seqs.start, seqs.end.saturating_sub(1)),
        })
    }

    /// What is left to say in the end; `rejected`: records that the service has refused.
    pub(super) fn conclude(&self, rejected: u64) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(places) = self.places.checked_sub(MAX_NAMED).filter(|places| *places > 0) {
            said.push(format!("{} more lines are missing in {places} more places", self.unnamed));
        }
        if self.lines > 0 && rejected > 0 {
            said.push(format!(
                "the log store had refused {rejected} of its lines: they are in the dead-letter file \
                 on the machine that shipped them"
            ));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_places_are_counted() {
        let mut missing = Missing::default();
        assert_eq!(missing.add(&(3..4)).as_deref(), Some("line 3 is missing"));
        assert_eq!(missing.add(&(5..8)).as_deref(), Some("lines 5 to 7 are missing"));
        assert!(missing.conclude(0).is_empty());
        let said = (10..30).filter_map(|at| missing.add(&(at * 10..at * 10 + 2))).count();
        assert_eq!((said, missing.lines()), (8, 44));
        assert_eq!(
            missing.conclude(4),
            [
                "24 more lines are missing in 12 more places",
                "the log store had refused 4 of its lines: they are in the dead-letter file on the \
                 machine that shipped them"
            ]
        );
    }
}
