//! Lines as they pass through reading: many of them in one allocation.
//!
//! A [`Page`] keeps the NDJSON as the store sent it and, per line, where in it the parts stand; a
//! million lines go by without a `String` each. Text that had escapes is kept unescaped beside it.
//! A [`Slice`] is some lines of a page in a row, which is what merging several streams yields.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::parse;
use crate::line::Eol;
use crate::record::{Gap, IoStream, Level, Nanos, Record};

/// Lines of one or more streams, oldest first.
#[derive(Debug, Default)]
pub struct Page {
    /// NDJSON.
    pub(super) text: Vec<u8>,
    /// What of it had escapes, without them.
    pub(super) unescaped: Vec<u8>,
    /// The lines that are worth handing on.
    pub(super) lines: Vec<Line>,
    /// How many lines there are in scope, handed on or not.
    pub(super) scope_lines: u32,
    /// Number of the first line in scope, counted over the stream. [`Line::ordinal`] adds to it.
    pub(super) base: u64,
    /// Lines that cannot be read.
    pub(super) unreadable: u32,
    /// Per first line of a group, in order of `seq`: its level reaches the level asked for. Only
    /// where a level is asked for; decides on lines of a group that began in this page.
    pub(super) heads: Vec<(u64, bool)>,
    /// `seq` of the first line of the text.
    pub(super) first_seq: u64,
    /// `seq` of the line after the last.
    pub(super) next_seq: u64,
}

/// A piece of a page's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) unescaped: bool,
}

/// One record, taken apart as far as readers need it.
#[derive(Debug)]
pub struct Line {
    /// When it was written.
    pub time: Nanos,
    /// Dense per writer.
    pub seq: u64,
    /// What it says of itself.
    pub level: Option<Level>,
    /// Which descriptor.
    pub iostream: IoStream,
    /// How it ended.
    pub eol: Eol,
    /// Redraws itself.
    pub progress: bool,
    /// Which stream, by the number the reader gave it.
    pub stream: u32,
    /// What is known of whether it was asked for.
    pub verdict: Verdict,
    /// What most lines do not have.
    pub(super) rare: Option<Box<Rare>>,
    pub(super) json: Span,
    pub(super) message: Span,
    /// The whole line where the message is a part of it.
    pub(super) raw: Option<Span>,
    /// Lines in scope before it in its page.
    pub(super) ordinal: u32,
}

/// What most lines do not have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Base64 of a line that is not UTF-8.
    pub(super) bytes: Option<Span>,
    pub(super) part: Option<u32>,
    pub(super) parts: Option<u32>,
    pub(super) line: Option<u64>,
    pub(super) group: Option<u64>,
    pub(super) gap: Option<Gap>,
}

/// Whether a line was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It was.
    #[default]
    Match,
    /// It was not, but it stands near one that was.
    Context,
    /// It is a part of a longer line: that one decides.
    Part,
    /// It matches if the level of its group's first line does.
    Group,
}

/// Where a part stands in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// `seq` of the first part.
    pub line: u64,
    /// From 1.
    pub number: u32,
    /// None follows.
    pub last: bool,
}

impl Page {
    /// What the filter leaves of records that were not NDJSON in the first place; all of stream
    /// `stream`.
    pub fn of_records<'a>(
        records: impl IntoIterator<Item = &'a Record>,
        filter: &super::filter::Filter,
        stream: u32,
    ) -> Self {
        let mut text = Vec::new();
        for record in records {
            if serde_json::to_writer(&mut text, record).is_ok() {
                text.push(b'\n');
            }
        }
        filter.select(text, stream)
    }

    /// Its lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Lines that were there but could not be read.
    pub fn unreadable(&self) -> u32 {
        self.unreadable
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + self.unescaped.capacity() + self.lines.capacity() * size_of::<Line>()
    }

    /// The text a person reads.
    pub fn message(&self, line: &Line) -> &[u8] {
        self.span(line.message)
    }

    /// The record as JSON, without line end.
    pub fn json(&self, line: &Line) -> &[u8] {
        self.span(line.json)
    }

    /// The whole line where the message is only a part of it.
    pub fn raw(&self, line: &Line) -> Option<&[u8]> {
        line.raw.map(|span| self.span(span))
    }

    /// Appends exactly what the step wrote, line end included; nothing for a gap.
    pub fn append_exact(&self, line: &Line, out: &mut Vec<u8>) {
        if line.gap().is_some() {
            return;
        }
        let start = out.len();
        let bytes = line.rare.as_deref().and_then(|rare| rare.bytes);
        match bytes {
            Some(base64) => {
                if STANDARD.decode_vec(self.span(base64), out).is_err() {
                    out.truncate(start);
                    out.extend_from_slice(self.message(line));
                }
            }
            None => out.extend_from_slice(self.raw(line).unwrap_or_else(|| self.message(line))),
        }
        match line.eol {
            Eol::Lf => out.push(b'\n'),
            Eol::CrLf => out.extend_from_slice(b"\r\n"),
            Eol::None => {}
        }
    }

    /// The record with all that is in it.
    pub fn record(&self, line: &Line) -> Result<Record, serde_json::Error> {
        serde_json::from_slice(self.json(line))
    }

    /// How many lines there are in scope, handed on or not.
    pub fn scope_lines(&self) -> u64 {
        u64::from(self.scope_lines)
    }

    /// Numbers its lines in scope from here.
    pub fn set_base(&mut self, base: u64) {
        self.base = base;
    }

    /// Says what its text holds, which it may not know where only candidates were parsed.
    pub fn set_seqs(&mut self, first: u64, next: u64) {
        self.first_seq = first;
        self.next_seq = next;
    }

    /// `seq` of the first line of the text.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// `seq` of the line after the last.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Whether the group that begins with this line reaches the level asked for; `None` if the
    /// line is not one of this page.
    pub fn reaches(&self, head: u64) -> Option<bool> {
        let found = self.heads.binary_search_by_key(&head, |(seq, _)| *seq);
        match found.ok().and_then(|at| self.heads.get(at)) {
            Some((_, reaches)) => Some(*reaches),
            None => (self.first_seq..self.next_seq).contains(&head).then_some(false),
        }
    }

    /// Takes away what decides on groups that go on in the next page: per first line of a group,
    /// whether it reaches the level asked for.
    pub fn take_heads(&mut self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.heads)
    }

    /// Some lines wait for the first line of their group.
    pub fn has_undecided(&self) -> bool {
        self.lines.iter().any(|line| line.verdict == Verdict::Group)
    }

    /// Decides on lines that wait, by the `seq` of their group's first line. What does not match
    /// goes, unless it may be context.
    pub fn decide_groups(
        &mut self,
        keep_context: bool,
        mut reaches: impl FnMut(u64) -> Option<bool>,
    ) {
        let mut changed = false;
        for line in self.lines.iter_mut().filter(|line| line.verdict == Verdict::Group) {
            let group = line.rare.as_deref().and_then(|rare| rare.group);
            line.verdict = match group.map_or(Some(false), &mut reaches) {
                Some(true) => Verdict::Match,
                Some(false) => Verdict::Context,
                None => continue,
            };
            changed = true;
        }
        if changed && !keep_context {
            self.lines.retain(|line| line.verdict != Verdict::Context);
        }
    }

    /// Number of the line among those in scope of its stream.
    pub(super) fn ordinal(&self, line: &Line) -> u64 {
        self.base + u64::from(line.ordinal)
    }

    pub(super) fn span(&self, span: Span) -> &[u8] {
        let whole = if span.unescaped { &self.unescaped } else { &self.text };
        whole.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Reads the record that stands at `at` of the text.
    pub(super) fn parse(&mut self, at: Range<usize>) -> Option<Line> {
        parse::line(&self.text, at, &mut self.unescaped)
    }
}

impl Line {
    /// Where it stands in a line that did not fit one record.
    pub fn part(&self) -> Option<PartOf> {
        let rare = self.rare.as_deref()?;
        let number = rare.part?;
        Some(PartOf { line: rare.line.unwrap_or(self.seq), number, last: rare.parts.is_some() })
    }

    /// `seq` of the first line of its group.
    pub fn group(&self) -> Option<u64> {
        self.rare.as_deref()?.group
    }

    /// What it stands for where lines are missing.
    pub fn gap(&self) -> Option<&Gap> {
        self.rare.as_deref()?.gap.as_ref()
    }
}

/// Some lines of a page, in a row.
#[derive(Clone, Debug)]
pub struct Slice {
    page: Arc<Page>,
    from: usize,
    to: usize,
}

impl Slice {
    /// All lines of the page.
    pub fn all(page: Arc<Page>) -> Self {
        let to = page.lines.len();
        Self { page, from: 0, to }
    }

    /// Those in the range.
    pub fn range(page: &Arc<Page>, range: Range<usize>) -> Self {
        Self { page: Arc::clone(page), from: range.start, to: range.end }
    }

    /// The page they are of.
    pub fn page(&self) -> &Arc<Page> {
        &self.page
    }

    /// Positions in [`Page::lines`].
    pub fn positions(&self) -> Range<usize> {
        self.from..self.to
    }

    /// The lines.
    pub fn lines(&self) -> &[Line] {
        self.page.lines.get(self.from..self.to).unwrap_or_default()
    }
}
