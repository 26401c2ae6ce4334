//! Regular expressions over the lines of a stream.
//!
//! Apart from the literals because what a pattern matches is bounded by lines and by a window,
//! where a literal is bounded by nothing. It does not decide which patterns there are.

use std::sync::OnceLock;

use memchr::{memchr, memrchr};
use regex::bytes::{Match, Regex};
use regex_syntax::{ParserBuilder, hir::Hir};
use thiserror::Error;

use super::defaults::{DEFAULT_PATTERNS, DEFAULT_STARTS};
use super::starts::Starts;
use super::{End, MASK, Output, Place, live, wipe};

/// The most bytes of an unfinished line that are held back, and so the longest match that is
/// found whole for certain when it comes in several reads.
pub const PATTERN_WINDOW: usize = 16 << 10;

/// Bytes kept of what was given out, so that `^` and `\b` are right behind them: one character.
const CONTEXT: usize = 4;

/// Why patterns cannot be used.
#[derive(Debug, Error)]
pub enum PatternError {
    /// Not a regular expression.
    #[error("pattern {pattern:?} is not usable: {reason}")]
    Invalid {
        /// As written.
        pattern: String,
        /// What the parser says.
        reason: String,
    },
    /// It would mask what is between any two characters.
    #[error("pattern {pattern:?} can match empty text")]
    Empty {
        /// As written.
        pattern: String,
    },
    /// Each is a regular expression, all of them as one are not: too large, or a name comes twice.
    #[error("patterns are not usable together: {reason}")]
    Together {
        /// What the parser says.
        reason: String,
    },
}

/// All patterns of a stream as one.
pub(super) struct Patterns {
    /// What every match begins with, where that is known.
    starts: Option<Starts>,
    expressions: OnceLock<Expressions>,
}

/// The search itself: large, and slow to build.
struct Expressions {
    any: Regex,
    /// Matches, at the end of a text, what may still become a match.
    beginning: Option<Regex>,
}

impl Patterns {
    /// `None` when there are none.
    pub(super) fn new(patterns: &[String]) -> Result<Option<Self>, PatternError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        if patterns == DEFAULT_PATTERNS {
            // They are known to be right, so they are built when something looks like a match.
            let starts = Starts::new(DEFAULT_STARTS);
            return Ok(Some(Self { starts, expressions: OnceLock::new() }));
        }
        let expressions = Expressions::new(patterns)?.into();
        Ok(Some(Self { starts: None, expressions }))
    }

    fn expressions(&self) -> &Expressions {
        self.expressions.get_or_init(|| {
            Expressions::new(DEFAULT_PATTERNS).expect("built-in patterns are tested")
        })
    }

    /// Masks whole lines, `writer.text[from..to]`.
    fn mask_lines(&self, writer: &mut Writer<'_>, mut from: usize, to: usize) {
        let text = writer.text.get(..to).unwrap_or(writer.text);
        // All lines in one search, as long as no match leaves its line.
        loop {
            let Some(found) = self.find(text, from) else { return };
            if memchr(b'\n', found.as_bytes()).is_some() {
                // From there on each by itself, else each line might search all that follow.
                from = found.start();
                break;
            }
            writer.mask(found.start(), found.end());
            from = found.end();
        }
        while from < to {
            let rest = text.get(from..).unwrap_or_default();
            let end = memchr(b'\n', rest).map_or(to, |length| from + length);
            let line = text.get(..end).unwrap_or_default();
            while let Some(found) = self.find(line, from) {
                writer.mask(found.start(), found.end());
                from = found.end();
            }
            from = end + 1;
        }
    }

    /// Masks the beginning of a line, `writer.text[from..]`, as far as it is certain; returns from
    /// where on it is not.
    fn mask_beginning(&self, writer: &mut Writer<'_>, mut from: usize, end: End) -> usize {
        let text = writer.text;
        let mut hold = self.hold(text, from, end);
        // A match that begins before the held part would not change by what comes: if it could,
        // its beginning would be held.
        while let Some(found) = self.find(text, from).filter(|found| found.start() < hold) {
            writer.mask(found.start(), found.end());
            from = found.end();
            if from > hold {
                hold = self.hold(text, from, end);
            }
        }
        hold
    }

    fn hold(&self, text: &[u8], from: usize, end: End) -> usize {
        if end == End::Flush {
            return text.len();
        }
        if let Some(starts) = &self.starts
            && starts.find(text, from).is_none()
        {
            return starts.begun(text, from);
        }
        let Some(beginning) = &self.expressions().beginning else {
            return from.max(text.len().saturating_sub(PATTERN_WINDOW));
        };
        let leftmost = |from| beginning.find_at(text, from).map_or(text.len(), |m| m.start());
        let oldest = text.len().saturating_sub(PATTERN_WINDOW);
        let hold = leftmost(from);
        if hold < oldest { leftmost(oldest) } else { hold }
    }

    fn find<'t>(&self, text: &'t [u8], from: usize) -> Option<Match<'t>> {
        if from >= text.len() {
            return None;
        }
        let from = match &self.starts {
            Some(starts) => starts.find(text, from)?,
            None => from,
        };
        self.expressions().any.find_at(text, from)
    }
}

impl Expressions {
    fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, PatternError> {
        let mut parser =
            ParserBuilder::new().utf8(false).unicode(false).multi_line(true).crlf(true).build();
        let mut parsed = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let hir = parser.parse(pattern).map_err(|error| PatternError::Invalid {
                pattern: pattern.to_owned(),
                reason: error.to_string(),
            })?;
            if hir.properties().minimum_len().unwrap_or(0) == 0 {
                return Err(PatternError::Empty { pattern: pattern.to_owned() });
            }
            parsed.push(hir);
        }
        let beginning = live::beginnings(&parsed);
        // As parsed, each pattern's flags are its own.
        let any = Regex::new(&Hir::alternation(parsed).to_string())
            .map_err(|error| PatternError::Together { reason: error.to_string() })?;
        Ok(Self { any, beginning })
    }
}

/// Where output gathers once it differs from the input.
struct Writer<'a> {
    text: &'a [u8],
    /// Up to where the text is in the output.
    done: usize,
    output: &'a mut Vec<u8>,
    masked: u64,
}

impl Writer<'_> {
    fn copy(&mut self, to: usize) {
        self.output.extend_from_slice(self.text.get(self.done..to).unwrap_or_default());
        self.done = to;
    }

    fn mask(&mut self, start: usize, end: usize) {
        self.copy(start);
        self.output.extend_from_slice(MASK);
        self.done = end;
        self.masked += 1;
    }
}

/// What one stream knows of its unfinished line.
#[derive(Default)]
pub(super) struct PatternStage {
    /// The line's last bytes that were given out, then those held back.
    line: Vec<u8>,
    /// How many of `line` were given out.
    context: usize,
}

impl PatternStage {
    pub(super) fn pending(&self) -> usize {
        self.line.len() - self.context
    }

    pub(super) fn step<'a>(
        &mut self,
        patterns: &Patterns,
        input: &'a [u8],
        buffer: &'a mut Vec<u8>,
        end: End,
    ) -> Output<'a> {
        buffer.clear();
        // First the line that an earlier read began, up to its end.
        let first = if self.line.is_empty() {
            0
        } else {
            memchr(b'\n', input).map_or(input.len(), |at| at + 1)
        };
        let mut unchanged = true;
        let mut masked = 0;
        let mut given = 0;
        if !self.line.is_empty() {
            let had = self.pending();
            self.line.extend_from_slice(input.get(..first).unwrap_or_default());
            let line = std::mem::take(&mut self.line);
            let mut writer =
                Writer { text: &line, done: self.context, output: &mut *buffer, masked: 0 };
            let hold = if line.last() == Some(&b'\n') {
                patterns.mask_lines(&mut writer, self.context, line.len());
                line.len()
            } else {
                patterns.mask_beginning(&mut writer, self.context, end)
            };
            masked = writer.masked;
            unchanged = had == 0 && masked == 0;
            if unchanged {
                given = hold - self.context;
            } else {
                writer.copy(hold.max(writer.done));
            }
            self.line = line;
            self.keep_from(hold);
        }
        let rest = input.get(first..).unwrap_or_default();
        if !rest.is_empty() {
            let whole = memrchr(b'\n', rest).map_or(first, |at| first + at + 1);
            let done = if unchanged { 0 } else { first };
            let mut writer = Writer { text: input, done, output: &mut *buffer, masked: 0 };
            if whole > first {
                patterns.mask_lines(&mut writer, first, whole);
            }
            given = input.len();
            if whole < input.len() {
                given = patterns.mask_beginning(&mut writer, whole, end);
                self.keep(input.get(whole..).unwrap_or_default(), given - whole);
            }
            masked += writer.masked;
            unchanged &= writer.masked == 0;
            if !unchanged {
                writer.copy(given.max(writer.done));
            }
        }
        if unchanged {
            let bytes = input.get(..given).unwrap_or_default();
            return Output { bytes, place: Place::Input, masked };
        }
        Output { bytes: buffer, place: Place::Patterns, masked }
    }

    /// Remembers a line of which the first `hold` bytes are given out.
    fn keep(&mut self, line: &[u8], hold: usize) {
        let from = hold.saturating_sub(CONTEXT);
        self.line.clear();
        self.line.extend_from_slice(line.get(from..).unwrap_or_default());
        self.context = hold - from;
    }

    /// The same with the line that is remembered.
    fn keep_from(&mut self, hold: usize) {
        if self.line.last() == Some(&b'\n') {
            self.line.clear();
            self.context = 0;
        } else {
            let from = hold.saturating_sub(CONTEXT);
            self.line.drain(..from);
            self.context = hold - from;
        }
    }
}

impl Drop for PatternStage {
    fn drop(&mut self) {
        wipe(&mut self.line);
    }
}
