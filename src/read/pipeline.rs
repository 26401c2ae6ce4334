//! The rest of a query, on lines in order: parts joined, context, limits.
//!
//! What a store did of the filter shows in the lines' verdicts. Everything here goes line by line
//! and says by `ControlFlow` when no more is wanted. Does no I/O.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::filter::Filter;
use super::join::{At, Joiner, Joining};
use super::page::{Line, Page, Slice, Verdict};
use super::store::Direction;

/// A line on its way to the caller.
#[derive(Debug)]
pub struct Item<'a> {
    /// Where the line stands.
    pub page: &'a Arc<Page>,
    /// In [`Page::lines`].
    pub position: usize,
    /// Its further parts, in order.
    pub more: &'a [(Arc<Page>, usize)],
    /// It was asked for; else it is context.
    pub matched: bool,
    /// With context only: something was left out between this and what came before.
    pub apart: bool,
}

impl Item<'_> {
    /// The line, or its first part.
    pub fn line(&self) -> Option<&Line> {
        self.page.lines().get(self.position)
    }
}

/// What takes the lines.
pub type Sink<'a> = &'a mut (dyn FnMut(Item<'_>) -> ControlFlow<()> + Send);

/// The stages, in one.
#[derive(Debug)]
pub struct Pipeline {
    filter: Arc<Filter>,
    direction: Direction,
    joining: Joining,
    joiner: Joiner,
    around: HashMap<u32, Around>,
    /// Stream and number of the line handed on last.
    last: Option<(u32, u64)>,
    limit: Option<u64>,
    matched: u64,
}

/// Where a stream stands between matches.
#[derive(Debug, Default)]
struct Around {
    /// Lines that may yet be wanted.
    before: VecDeque<At>,
    /// Number of the last match.
    hit: Option<u64>,
}

impl Pipeline {
    /// `limit` counts lines that match.
    pub fn new(
        filter: Arc<Filter>,
        direction: Direction,
        joining: Joining,
        limit: Option<u64>,
    ) -> Self {
        let joining = match joining {
            Joining::Off if filter.has_conditions() => Joining::InPlace,
            joining => joining,
        };
        Self {
            joiner: Joiner::new(joining, direction),
            filter,
            direction,
            joining,
            around: HashMap::new(),
            last: None,
            limit,
            matched: 0,
        }
    }

    /// Lines that matched so far.
    pub fn matched(&self) -> u64 {
        self.matched
    }

    /// Takes lines and hands on what is wanted of them.
    pub fn push(&mut self, slice: &Slice, sink: Sink<'_>) -> ControlFlow<()> {
        let page = slice.page();
        let range = slice.positions();
        match self.direction {
            Direction::Forward => {
                for position in range {
                    self.line(page, position, sink)?;
                }
            }
            Direction::Backward => {
                for position in range.rev() {
                    self.line(page, position, sink)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// No more lines will come.
    pub fn finish(&mut self, sink: Sink<'_>) -> ControlFlow<()> {
        self.joiner.finish(&Arc::clone(&self.filter));
        self.drain(sink)
    }

    fn line(&mut self, page: &Arc<Page>, position: usize, sink: Sink<'_>) -> ControlFlow<()> {
        let Some(line) = page.lines().get(position) else { return ControlFlow::Continue(()) };
        let joins = self.joining != Joining::Off && line.part().is_some();
        if joins || self.joiner.is_waiting() {
            self.joiner.push(page, position, &self.filter);
            return self.drain(sink);
        }
        self.whole(page, position, &[], line.verdict, sink)
    }

    fn drain(&mut self, sink: Sink<'_>) -> ControlFlow<()> {
        while let Some(whole) = self.joiner.pop() {
            if let Some(((page, position), more)) = whole.parts.split_first() {
                self.whole(page, *position, more, whole.verdict, sink)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn whole(
        &mut self,
        page: &Arc<Page>,
        position: usize,
        more: &[At],
        verdict: Verdict,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        let Some(line) = page.lines().get(position) else { return ControlFlow::Continue(()) };
        let matched = verdict == Verdict::Match;
        let context = self.filter.context != (0, 0);
        if !matched && !context {
            return ControlFlow::Continue(());
        }
        // A part that is not the first belongs to a line that was counted.
        let counts = matched && line.part().is_none_or(|part| part.number == 1);
        let full = self.limit.is_some_and(|limit| self.matched >= limit);
        if full && (counts || self.limit == Some(0)) {
            return ControlFlow::Break(());
        }
        if counts {
            self.matched += 1;
        }
        if context {
            return self.with_context(page, position, more, matched, full, sink);
        }
        sink(Item { page, position, more, matched: true, apart: false })?;
        let full = self.limit.is_some_and(|limit| self.matched >= limit);
        if full && self.direction == Direction::Backward && counts {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn with_context(
        &mut self,
        page: &Arc<Page>,
        position: usize,
        more: &[At],
        matched: bool,
        full: bool,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        let Some(line) = page.lines().get(position) else { return ControlFlow::Continue(()) };
        let (before, after) = match self.direction {
            Direction::Forward => self.filter.context,
            Direction::Backward => (self.filter.context.1, self.filter.context.0),
        };
        let stream = line.stream;
        let ordinal = page.ordinal(line);
        let around = self.around.entry(stream).or_default();
        let last = &mut self.last;
        let mut emit = |page: &Arc<Page>, position: usize, more: &[At], ordinal, matched| {
            let next_to = last.is_some_and(|(other, at): (u32, u64)| {
                other == stream && at.abs_diff(ordinal) <= 1
            });
            let apart = last.is_some() && !next_to;
            *last = Some((stream, ordinal));
            sink(Item { page, position, more, matched, apart })
        };
        if matched {
            for (page, position) in around.before.drain(..) {
                let Some(line) = page.lines().get(position) else { continue };
                let at = page.ordinal(line);
                if at.abs_diff(ordinal) <= u64::from(before) {
                    emit(&page, position, &[], at, false)?;
                }
            }
            around.hit = Some(ordinal);
            return emit(page, position, more, ordinal, true);
        }
        if around.hit.is_some_and(|hit| hit.abs_diff(ordinal) <= u64::from(after)) {
            return emit(page, position, more, ordinal, false);
        }
        if full {
            return ControlFlow::Break(());
        }
        if before > 0 {
            if around.before.len() >= before as usize {
                around.before.pop_front();
            }
            around.before.push_back((Arc::clone(page), position));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::{Patterns, Syntax};
    use super::super::testing::{self, Spec};
    use super::*;

    /// Runs lines through, in pages of `size`, and shows what comes out: one word a line, `~`
    /// before context, `--` where lines were left out, `+` between parts.
    fn run(
        specs: &[Spec],
        filter: Filter,
        direction: Direction,
        joining: Joining,
        limit: Option<u64>,
        size: usize,
    ) -> String {
        let filter = Arc::new(filter);
        let mut pages = Vec::new();
        let mut base = 0;
        for (number, specs) in specs.chunks(size).enumerate() {
            let text = testing::ndjson_from((number * size) as u64, specs);
            let mut page = filter.select(text, 0);
            page.base = base;
            base += u64::from(page.scope_lines);
            pages.push(Slice::all(Arc::new(page)));
        }
        if direction == Direction::Backward {
            pages.reverse();
        }
        let mut pipeline = Pipeline::new(Arc::clone(&filter), direction, joining, limit);
        let mut out: Vec<String> = Vec::new();
        let mut sink = |item: Item<'_>| {
            if item.apart {
                out.push("--".to_owned());
            }
            let mut texts = vec![(item.page, item.position)];
            texts.extend(item.more.iter().map(|(page, position)| (page, *position)));
            let texts: Vec<_> = texts
                .iter()
                .map(|(page, at)| String::from_utf8_lossy(page.message(&page.lines()[*at])))
                .collect();
            out.push(format!("{}{}", if item.matched { "" } else { "~" }, texts.join("+")));
            ControlFlow::Continue(())
        };
        let flow = pages.iter().try_for_each(|slice| pipeline.push(slice, &mut sink));
        if flow.is_continue() {
            let _unlimited = pipeline.finish(&mut sink);
        }
        out.join(" ")
    }

    fn numbered(count: u64) -> Vec<Spec> {
        (0..count).map(|n| Spec::text(&n.to_string())).collect()
    }

    fn grep(pattern: &str, context: (u32, u32)) -> Filter {
        let text = Some(Patterns::new([pattern], Syntax::default()).unwrap());
        Filter { text, context, ..Filter::default() }
    }

    #[track_caller]
    fn check(specs: &[Spec], filter: &Filter, direction: Direction, limit: Option<u64>, to: &str) {
        for size in [1, 2, 3, 100] {
            let out = run(specs, filter.clone(), direction, Joining::InPlace, limit, size);
            assert_eq!(out, to, "pages of {size}");
        }
    }

    #[test]
    fn limits() {
        let (all, lines) = (Filter::default(), numbered(5));
        check(&lines, &all, Direction::Forward, None, "0 1 2 3 4");
        check(&lines, &all, Direction::Forward, Some(2), "0 1");
        check(&lines, &all, Direction::Backward, Some(2), "4 3");
        check(&lines, &all, Direction::Backward, None, "4 3 2 1 0");
        check(&lines, &all, Direction::Forward, Some(0), "");
        check(&lines, &grep("[13]", (0, 0)), Direction::Backward, Some(1), "3");
    }

    #[test]
    fn context() {
        let lines = numbered(12);
        check(&lines, &grep("^[39]$", (1, 1)), Direction::Forward, None, "~2 3 ~4 -- ~8 9 ~10");
        check(&lines, &grep("^[39]$", (2, 0)), Direction::Forward, None, "~1 ~2 3 -- ~7 ~8 9");
        check(&lines, &grep("^[35]$", (1, 1)), Direction::Forward, None, "~2 3 ~4 5 ~6");
        check(
            &lines,
            &grep("^[39]$", (2, 1)),
            Direction::Backward,
            None,
            "~10 9 ~8 ~7 -- ~4 3 ~2 ~1",
        );
        check(&lines, &grep("^[39]$", (0, 1)), Direction::Forward, Some(1), "3 ~4");
    }

    #[test]
    fn parts_are_one_line() {
        let mut lines = numbered(6);
        lines[1].part = Some((1, 1, false));
        lines[3].part = Some((1, 2, false));
        lines[4].part = Some((1, 3, true));
        let all = Filter::default();
        check(&lines, &all, Direction::Forward, None, "0 1+3+4 2 5");
        check(&lines, &all, Direction::Backward, None, "5 2 1+3+4 0");
        check(&lines, &all, Direction::Forward, Some(2), "0 1+3+4");
        check(&lines, &all, Direction::Backward, Some(3), "5 2 1+3+4");
        check(&lines, &grep("134", (0, 0)), Direction::Forward, None, "1+3+4");
        check(&lines, &grep("134", (0, 0)), Direction::Backward, None, "1+3+4");
        check(&lines, &grep("^2", (0, 0)), Direction::Forward, None, "2");
        let off =
            |limit| run(&lines, Filter::default(), Direction::Backward, Joining::Off, limit, 2);
        assert_eq!(off(None), "5 4 3 2 1 0");
        assert_eq!(off(Some(3)), "5 4 3 2 1");
        let late = run(&lines, Filter::default(), Direction::Forward, Joining::Late, None, 2);
        assert_eq!(late, "0 2 1+3+4 5");
    }

    #[test]
    fn a_line_that_never_ends_does_not_hold_the_others_for_ever() {
        let mut lines = numbered(5000);
        lines[0].part = Some((0, 1, false));
        let out = run(&lines, Filter::default(), Direction::Forward, Joining::InPlace, None, 1000);
        assert!(out.starts_with("0 1 2 ") && out.ends_with(" 4998 4999"), "{}", &out[..20]);
        for (part, at) in [(1, 0), (2, 4900), (3, 4950)] {
            lines[at].part = Some((0, part, part == 3));
            lines[at].progress = true;
        }
        let out = run(&lines, Filter::default(), Direction::Forward, Joining::InPlace, None, 1000);
        assert!(out.starts_with("1 2 ") && out.contains(" 4949 0+4900+4950 4951 "), "a bar");
        lines.truncate(3);
        lines[0].progress = false;
        check(&lines, &Filter::default(), Direction::Forward, None, "0 1 2");
    }
}
