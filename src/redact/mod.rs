//! Secret masking on a stream of bytes: before disk, tee and network. Pure.
//!
//! Three things are secret:
//!
//! * *values*: of environment variables, lines of files, and what is added while the step runs. A
//!   value is masked as it is and in the forms that programs print it in ([`forms`]);
//! * *tokens*: a few kinds that anyone can tell by their look (`ghp_…`, private key blocks);
//! * *patterns*: the user's regular expressions.
//!
//! Each becomes `***`; what overlaps becomes one. The result does not depend on how the stream is
//! divided into reads. For that, the end of what was fed may have to be held back:
//!
//! | | held back | until |
//! |---|---|---|
//! | values | the longest end that begins a value | it goes on differently, or the stream ends |
//! | tokens | a token that has not ended (at most 16 KiB) | it ends, or the stream is idle |
//! | patterns | the line that has not ended (at most 4 KiB) | it ends (`\n` or `\r`), or the stream is idle |
//!
//! so prompts and progress stay live, at the latest when capture calls [`Redactor::idle`]. A value
//! is never let go for being idle: a step that prints half a secret and then waits must not win.
//! A pattern's match is found across reads if it lies within one line and is no longer than 4 KiB.
//!
//! It does not read the environment or files, and does not decide what is secret beyond
//! [`secrets_from_env`].

mod forms;
mod patterns;
mod search;
mod secrets;
mod tokens;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use patterns::PatternError;
pub use secrets::{DEFAULT_ENV, secrets_from_env};

use crate::record::IoStream;

/// A value, or a line of one, that is shorter is not masked: it would hide what is not secret.
pub const MINIMUM_LENGTH: usize = 6;

/// What stands in place of a secret.
pub const MASK: &[u8] = b"***";

/// What is masked: the `[redact]` table, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names of environment variables whose values are secret; `*` matches any run of characters.
    pub env: Vec<String>,
    /// Regular expressions; what they match is secret.
    pub patterns: Vec<String>,
    /// Files whose lines are secret values.
    pub files: Vec<PathBuf>,
    /// Mask tokens of well-known looks.
    pub tokens: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            env: DEFAULT_ENV.iter().map(|glob| (*glob).to_owned()).collect(),
            patterns: Vec::new(),
            files: Vec::new(),
            tokens: true,
        }
    }
}

/// Masks the secrets in a step's two output streams.
#[derive(Debug)]
pub struct Redactor {
    /// Sorted, without doubles; kept to build the search anew when values are added.
    forms: Vec<Box<[u8]>>,
    tokens: bool,
    search: search::Search,
    patterns: patterns::Patterns,
    stdout: Lane,
    stderr: Lane,
    masked: u64,
    /// Reused by each call.
    masks: Vec<Mask>,
    out: Vec<u8>,
}

/// One stream's state.
#[derive(Debug, Default)]
struct Lane {
    /// The end of what was fed that is not out yet, as it was fed.
    held: Vec<u8>,
    /// How many bytes at its beginning are part of a secret whose mask is out.
    covered: usize,
    /// The byte before `held`.
    before: Option<u8>,
}

/// A secret's place in the buffer that is looked at: from its first byte to the one after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mask {
    start: usize,
    end: usize,
}

/// What may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// More, soon.
    More,
    /// More, perhaps.
    Idle,
    /// Nothing.
    End,
}

impl Redactor {
    /// Masks `values` in all their forms, and what `patterns` match.
    pub fn new(
        values: impl IntoIterator<Item = Vec<u8>>,
        patterns: &[String],
    ) -> Result<Self, PatternError> {
        let mut redactor = Self {
            forms: Vec::new(),
            tokens: false,
            search: search::Search::default(),
            patterns: patterns::Patterns::new(patterns)?,
            stdout: Lane::default(),
            stderr: Lane::default(),
            masked: 0,
            masks: Vec::new(),
            out: Vec::new(),
        };
        redactor.add(values);
        Ok(redactor)
    }

    /// Also masks tokens of well-known looks.
    #[must_use]
    pub fn with_tokens(mut self) -> Self {
        self.tokens = true;
        self.search = search::Search::new(&self.forms, self.tokens);
        self
    }

    /// Masks more values from now on; also in what is held back, not in what is out.
    pub fn add(&mut self, values: impl IntoIterator<Item = Vec<u8>>) {
        let known = self.forms.len();
        for value in values {
            forms::all(&value, &mut self.forms);
        }
        if self.forms.len() == known {
            return;
        }
        self.forms.sort_unstable();
        self.forms.dedup();
        self.search = search::Search::new(&self.forms, self.tokens);
    }

    /// Feeds bytes of one stream; returns what may go out. That is `bytes` itself, not a copy,
    /// where nothing in them is secret or held back.
    pub fn feed<'a>(&'a mut self, iostream: IoStream, bytes: &'a [u8]) -> &'a [u8] {
        if self.is_transparent() && self.lane(iostream).held.is_empty() {
            return bytes;
        }
        self.run(iostream, bytes, Then::More)
    }

    /// The stream has been quiet for a while: returns what is held back and no beginning of a value.
    pub fn idle(&mut self, iostream: IoStream) -> &[u8] {
        self.run(iostream, &[], Then::Idle)
    }

    /// The stream has ended: returns what was held back.
    pub fn finish(&mut self, iostream: IoStream) -> &[u8] {
        self.run(iostream, &[], Then::End)
    }

    /// How many masks are out.
    pub fn masked(&self) -> u64 {
        self.masked
    }

    /// Whether there is nothing to mask, so that bytes pass untouched.
    pub fn is_transparent(&self) -> bool {
        self.search.is_empty() && self.patterns.is_empty()
    }

    fn lane(&mut self, iostream: IoStream) -> &mut Lane {
        match iostream {
            IoStream::Stdout => &mut self.stdout,
            IoStream::Stderr => &mut self.stderr,
        }
    }

    fn run<'a>(&'a mut self, iostream: IoStream, bytes: &'a [u8], then: Then) -> &'a [u8] {
        let lane = match iostream {
            IoStream::Stdout => &mut self.stdout,
            IoStream::Stderr => &mut self.stderr,
        };
        self.masks.clear();
        self.out.clear();
        let from_held = !lane.held.is_empty();
        let mut joined = std::mem::take(&mut lane.held);
        if from_held {
            joined.extend_from_slice(bytes);
        }
        let buffer = if from_held { joined.as_slice() } else { bytes };

        let settled = self.search.find(buffer, lane.before, then, &mut self.masks);
        let settled = self.patterns.find(buffer, settled, then, &mut self.masks);
        let ready = buffer.get(..settled).unwrap_or(buffer);
        let settled = ready.len();

        let clean = self.masks.is_empty() && lane.covered == 0;
        if !clean {
            self.masks.sort_unstable();
            self.masked += lane.mask(ready, &self.masks, &mut self.out);
        }
        lane.before = ready.last().copied().or(lane.before);
        if !from_held {
            // Its buffer is kept.
            joined.extend_from_slice(bytes.get(settled..).unwrap_or_default());
            lane.held = joined;
            return if clean { bytes.get(..settled).unwrap_or(bytes) } else { &self.out };
        }
        if clean {
            self.out.extend_from_slice(ready);
        }
        joined.drain(..settled);
        lane.held = joined;
        &self.out
    }
}

impl Lane {
    /// Writes `ready` with `masks` applied; returns how many it wrote. Masks that begin behind
    /// `ready` are left for later: they will be found again.
    fn mask(&mut self, ready: &[u8], masks: &[Mask], out: &mut Vec<u8>) -> u64 {
        let mut count = 0;
        let mut end = self.covered;
        for mask in masks.iter().take_while(|mask| mask.start < ready.len()) {
            if mask.start >= end {
                out.extend_from_slice(ready.get(end..mask.start).unwrap_or_default());
                out.extend_from_slice(MASK);
                count += 1;
            }
            end = end.max(mask.end);
        }
        out.extend_from_slice(ready.get(end..).unwrap_or_default());
        self.covered = end.saturating_sub(ready.len());
        count
    }
}
