//! Which lines of a block are handed on: the part of a query that needs nothing but the block.
//!
//! Pure, and made to run in parallel, one call a compressed frame. What a block alone cannot
//! decide (a line in parts, a group that began earlier, lines around a match that stand in the
//! next block) is marked for who sees the blocks in order.
//!
//! *Scope* is what the caller looks at at all: iostream, time, position. Lines in scope are
//! numbered. *Conditions* choose among them: level, text, text not wanted. Context consists of
//! lines in scope that miss the conditions.

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memrchr};

use super::page::{Line, Page, Verdict};
use super::pattern::Patterns;
use crate::record::{IoStream, Level, Nanos};

/// Scope and conditions.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this one.
    pub iostream: Option<IoStream>,
    /// Not before.
    pub since: Option<Nanos>,
    /// Not at or after.
    pub until: Option<Nanos>,
    /// Not below.
    pub from_seq: u64,
    /// Not at or above.
    pub to_seq: Option<u64>,
    /// Not those that redraw themselves.
    pub no_progress: bool,
    /// At least this serious.
    pub level: Option<Level>,
    /// Text asked for.
    pub text: Option<Patterns>,
    /// Text not wanted.
    pub exclude: Option<Patterns>,
    /// Lines around a match, before and after.
    pub context: (u32, u32),
}

impl Filter {
    /// Some lines in scope may be left out.
    pub fn has_conditions(&self) -> bool {
        self.level.is_some() || self.text.is_some() || self.exclude.is_some()
    }

    /// Some lines may be left out, in scope or not.
    pub fn leaves_out(&self) -> bool {
        self.has_conditions()
            || self.iostream.is_some()
            || self.since.is_some()
            || self.until.is_some()
            || self.no_progress
            || self.from_seq > 0
            || self.to_seq.is_some()
    }

    /// A frame with these bounds may hold lines in scope.
    pub fn may_hold(&self, seqs: (u64, u64), times: (Nanos, Nanos)) -> bool {
        seqs.1 > self.from_seq
            && self.to_seq.is_none_or(|to| seqs.0 < to)
            && self.since.is_none_or(|since| times.1 >= since)
            && self.until.is_none_or(|until| times.0 < until)
    }

    /// Whether the conditions hold for a line of this level and text; `None` takes the level for
    /// good enough.
    pub fn wants<'a>(
        &self,
        level: Option<Option<Level>>,
        mut texts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> bool {
        level.is_none_or(|level| self.reaches(level))
            && self.text.as_ref().is_none_or(|text| texts.clone().any(|it| text.matches(it)))
            && !self.exclude.as_ref().is_some_and(|exclude| texts.any(|it| exclude.matches(it)))
    }

    /// The lines of `text`, NDJSON of stream `stream`, that are asked for.
    pub fn select(&self, text: Vec<u8>, stream: u32) -> Page {
        let mut page = Page { text, ..Page::default() };
        let quick = self.context == (0, 0)
            && self.level.is_none()
            && self.text.as_ref().is_some_and(Patterns::has_candidates);
        if quick {
            self.select_candidates(&mut page, stream);
        } else {
            self.select_all(&mut page, stream);
        }
        page
    }

    fn select_all(&self, page: &mut Page, stream: u32) {
        let mut all = Vec::new();
        let mut start = 0;
        let ends: Vec<usize> = memchr_iter(b'\n', &page.text).chain([page.text.len()]).collect();
        all.reserve(ends.len());
        for end in ends {
            if end > start {
                match page.parse(start..end) {
                    Some(line) => all.push(Line { stream, ..line }),
                    None => page.unreadable += 1,
                }
            }
            start = end + 1;
        }
        page.first_seq = all.first().map_or(0, |line| line.seq);
        page.next_seq = all.last().map_or(0, |line| line.seq + 1);
        if self.level.is_some() {
            // A group whose first line is out of scope is looked at line by line.
            page.heads = all
                .iter()
                .filter(|line| line.group() == Some(line.seq))
                .map(|line| (line.seq, self.in_scope(line) && self.reaches(line.level)))
                .collect();
        }
        let conditions = self.has_conditions();
        let mut ordinal = 0;
        all.retain_mut(|line| {
            if !self.in_scope(line) {
                return false;
            }
            line.ordinal = ordinal;
            ordinal += 1;
            if conditions {
                line.verdict = self.verdict(page, line);
            }
            true
        });
        page.scope_lines = ordinal;
        if conditions {
            self.keep_near(&mut all, ordinal);
        }
        page.lines = all;
    }

    /// Drops lines that neither match nor can be context of a match, here or in the next page.
    fn keep_near(&self, all: &mut Vec<Line>, count: u32) {
        let (before, after) = self.context;
        // Reading may go either way, so both borders keep the wider of the two.
        let border = before.max(after);
        let mut wanted_after = 0;
        let mut keep: Vec<bool> = all
            .iter()
            .map(|line| {
                let hit = line.verdict != Verdict::Context;
                if hit {
                    wanted_after = line.ordinal + after + 1;
                }
                hit || line.ordinal < wanted_after
                    || line.ordinal < border
                    || line.ordinal + border >= count
            })
            .collect();
        let mut wanted_from = u32::MAX;
        for (line, keep) in all.iter().zip(&mut keep).rev() {
            if line.verdict != Verdict::Context {
                wanted_from = line.ordinal.saturating_sub(before);
            }
            *keep |= line.ordinal >= wanted_from;
        }
        let mut keep = keep.into_iter();
        all.retain(|_| keep.next().unwrap_or(true));
    }

    /// Takes only those lines apart that have what the text needs, and parts of lines.
    fn select_candidates(&self, page: &mut Page, stream: u32) {
        let Some(patterns) = &self.text else { return };
        // A quote inside a string is escaped, so this stands only between fields.
        let parts = Finder::new(b",\"part\":");
        let mut next_part = parts.find(&page.text);
        let mut next_text = patterns.next_candidate(&page.text, 0);
        let mut lines = Vec::new();
        while let Some(at) = [next_part, next_text].into_iter().flatten().min() {
            let start =
                memrchr(b'\n', page.text.get(..at).unwrap_or_default()).map_or(0, |it| it + 1);
            let rest = page.text.get(at..).unwrap_or_default();
            let end = memchr(b'\n', rest).map_or(page.text.len(), |it| at + it);
            match page.parse(start..end) {
                Some(mut line) => {
                    line.stream = stream;
                    if self.in_scope(&line) {
                        line.verdict = self.verdict(page, &line);
                        if line.verdict != Verdict::Context {
                            lines.push(line);
                        }
                    }
                }
                None => page.unreadable += 1,
            }
            next_text = patterns.next_candidate(&page.text, end + 1);
            if next_part.is_some_and(|part| part <= end) {
                let found = page.text.get(end..).and_then(|rest| parts.find(rest));
                next_part = found.map(|it| end + it);
            }
        }
        page.lines = lines;
    }

    fn in_scope(&self, line: &Line) -> bool {
        line.seq >= self.from_seq
            && self.to_seq.is_none_or(|to| line.seq < to)
            && self.iostream.is_none_or(|only| line.iostream == only)
            && !(self.no_progress && line.progress)
            && self.since.is_none_or(|since| line.time >= since)
            && self.until.is_none_or(|until| line.time < until)
    }

    fn verdict(&self, page: &Page, line: &Line) -> Verdict {
        if line.part().is_some() {
            return Verdict::Part;
        }
        let texts = [Some(page.message(line)), page.raw(line)].into_iter().flatten();
        let mut otherwise = Verdict::Context;
        let mut level = Some(line.level);
        if let Some(first) = line.group().filter(|_| self.level.is_some()) {
            // A group is as serious as its most serious known line: its first, or this one.
            match page.reaches(first) {
                Some(true) => level = None,
                Some(false) => {}
                None if self.reaches(line.level) => {}
                None => (level, otherwise) = (None, Verdict::Group),
            }
        }
        match self.wants(level, texts) {
            true if otherwise == Verdict::Group => Verdict::Group,
            true => Verdict::Match,
            false => Verdict::Context,
        }
    }

    fn reaches(&self, level: Option<Level>) -> bool {
        self.level.is_none_or(|least| level.is_some_and(|level| level >= least))
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Syntax;
    use super::super::testing::{self, Spec};
    use super::*;

    #[track_caller]
    fn check(filter: &Filter, specs: &[Spec], expected: &[u64]) {
        let page = filter.select(testing::ndjson(specs), 0);
        let seqs: Vec<u64> = page
            .lines()
            .iter()
            .filter(|line| line.verdict != Verdict::Context)
            .map(|line| line.seq)
            .collect();
        assert_eq!(seqs, expected);
    }

    fn specs() -> Vec<Spec> {
        ["a loss", "b", "c loss", "d \"x\"", "e"].into_iter().map(Spec::text).collect()
    }

    fn text(pattern: &str) -> Patterns {
        Patterns::new([pattern], Syntax { literal: true, ignore_case: false }).unwrap()
    }

    #[test]
    fn scope_and_conditions() {
        let mut lines = specs();
        lines[1].level = Some(Level::Error);
        lines[1].iostream = IoStream::Stderr;
        lines[4].level = Some(Level::Warning);
        check(&Filter::default(), &lines, &[0, 1, 2, 3, 4]);
        check(&Filter { level: Some(Level::Warning), ..Filter::default() }, &lines, &[1, 4]);
        check(&Filter { iostream: Some(IoStream::Stderr), ..Filter::default() }, &lines, &[1]);
        check(&Filter { from_seq: 2, to_seq: Some(4), ..Filter::default() }, &lines, &[2, 3]);
        check(&Filter { text: Some(text("loss")), ..Filter::default() }, &lines, &[0, 2]);
        check(&Filter { text: Some(text("\"x\"")), ..Filter::default() }, &lines, &[3]);
        check(&Filter { exclude: Some(text("loss")), ..Filter::default() }, &lines, &[1, 3, 4]);
        let both =
            Filter { text: Some(text("loss")), exclude: Some(text("a ")), ..Filter::default() };
        check(&both, &lines, &[2]);
        let since = Some(testing::time(2));
        check(
            &Filter { since, until: Some(testing::time(4)), ..Filter::default() },
            &lines,
            &[2, 3],
        );
    }

    #[test]
    fn names_of_fields_and_metadata_are_no_text() {
        for word in ["message", "stdout", "run", "2026"] {
            check(&Filter { text: Some(text(word)), ..Filter::default() }, &specs(), &[]);
        }
    }

    #[test]
    fn parts_are_left_to_the_one_who_joins_them() {
        let mut lines = specs();
        lines[1].part = Some((1, 1, false));
        lines[3].part = Some((1, 2, true));
        check(&Filter { text: Some(text("loss")), ..Filter::default() }, &lines, &[0, 1, 2, 3]);
    }

    #[test]
    fn a_group_is_as_serious_as_its_first_line() {
        let mut lines = specs();
        lines[1].level = Some(Level::Error);
        for line in &mut lines[1..4] {
            line.group = Some(1);
        }
        let filter = Filter { level: Some(Level::Error), ..Filter::default() };
        check(&filter, &lines, &[1, 2, 3]);
        // Without its first line nobody knows here.
        let page = filter.select(testing::ndjson_from(2, &lines[2..]), 0);
        assert!(page.lines().iter().all(|line| line.verdict == Verdict::Group));
        assert_eq!(page.lines().len(), 2);
    }

    #[test]
    fn context_and_borders_are_kept() {
        let lines: Vec<Spec> = (0..100).map(|n| Spec::text(&format!("line {n}."))).collect();
        let filter = Filter { text: Some(text(" 50.")), context: (2, 1), ..Filter::default() };
        let page = filter.select(testing::ndjson(&lines), 0);
        let seqs: Vec<u64> = page.lines().iter().map(|line| line.seq).collect();
        assert_eq!(seqs, [0, 1, 48, 49, 50, 51, 98, 99]);
        assert_eq!(page.scope_lines, 100);
    }

    #[test]
    fn lines_that_are_no_records_are_counted() {
        let mut text = testing::ndjson(&specs());
        text.extend_from_slice(b"not json\n\n{}\n");
        let page = Filter::default().select(text, 0);
        assert_eq!((page.lines().len(), page.unreadable()), (5, 2));
    }
}
