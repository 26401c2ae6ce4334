//! Streaming secret masking: bytes in, the same bytes with every secret replaced by `***` out.
//!
//! Apart from [`crate::capture`] because it is pure: it reads no file, no environment and no
//! clock, and the caller says when a stream is idle. It does not know lines as records; that is
//! [`crate::line`]'s work, behind the spool, where no secret may arrive any more.
//!
//! Two stages, one after the other:
//!
//! ```text
//! input ──► literals ─────────────► patterns ──────────────► output
//!           known values and their  regular expressions,
//!           encoded forms, across   within one line
//!           reads and lines
//! ```
//!
//! **Literals** are exact. Whatever the reads, the output is that of a leftmost-longest replace
//! over the whole stream. At a read's end only the longest suffix that may still become a literal
//! is held back; when the last byte begins no literal, that is nothing. Values shorter than
//! [`MIN_SECRET`] bytes are not masked, since they would mask ordinary text.
//!
//! **Patterns** see the text behind the literals. They match within one line: `^` and `$` are its
//! borders (`\r\n` and a lone `\r` count), no match crosses a `\n`, `\A` and `\z` have no use.
//! Classes such as `\w` are ASCII unless a pattern says `(?u)`. At a read's end, only the part of
//! the unfinished line that may still become a match is held back. A match that crosses reads is
//! found whole up to [`PATTERN_WINDOW`] bytes; of a longer one, only the pieces that match by
//! themselves are masked.
//!
//! **Idle and end**: [`Stream::flush`] gives out what is held back. A secret whose halves arrive
//! with an idle flush between them is not recognised: the price of prompts that show.
//!
//! **Cost**: one pass over the bytes for each stage in use, no allocation once the buffers have
//! grown, no copy when nothing matches and nothing was held back: the output is then a slice of
//! the input. The built-in patterns are not even built before a stream holds what one of them
//! begins with.

mod defaults;
mod encode;
mod literals;
mod live;
mod patterns;
mod sources;
mod starts;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub use self::{
    defaults::{DEFAULT_ENV, DEFAULT_PATTERNS},
    literals::MIN_SECRET,
    patterns::{PATTERN_WINDOW, PatternError},
    sources::{secrets_from_env, secrets_from_text},
};
use self::{
    literals::{LiteralStage, Literals},
    patterns::{PatternStage, Patterns},
};

/// What stands in the place of a secret.
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
}

impl Default for Settings {
    fn default() -> Self {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Self { env: owned(DEFAULT_ENV), patterns: owned(DEFAULT_PATTERNS), files: Vec::new() }
    }
}

/// The rules of one writer, shared by its streams. A clone is the same set of rules.
#[derive(Clone)]
pub struct Redactor {
    shared: Arc<Shared>,
}

impl Redactor {
    /// Rules from secret values, each masked in all its encoded forms, and from patterns.
    pub fn new(
        values: impl IntoIterator<Item = Vec<u8>>,
        patterns: &[String],
    ) -> Result<Self, PatternError> {
        let patterns = Patterns::new(patterns)?.map(Arc::new);
        let (literals, _) = Literals::default().with(values);
        let rules = Arc::new(Rules { literals, patterns });
        Ok(Self { shared: Arc::new(Shared { generation: 0.into(), rules: rules.into() }) })
    }

    /// Adds secret values while streams are open; they apply from each stream's next push on, also
    /// to the bytes it holds back. Returns how many of them can be masked (are long enough).
    pub fn add(&self, values: impl IntoIterator<Item = Vec<u8>>) -> usize {
        let mut rules = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let (literals, taken) = rules.literals.with(values);
        *rules = Arc::new(Rules { literals, patterns: rules.patterns.clone() });
        // Behind the lock's release a stream that sees the new number finds the new rules.
        self.shared.generation.fetch_add(1, Ordering::Release);
        taken
    }

    /// The same rules and these values besides, for streams of somebody whose word is not to change what others'
    /// lines show. What is [added](Redactor::add) to either later is not in the other.
    #[must_use]
    pub fn with(&self, values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let rules = self.shared.current();
        let (literals, _) = rules.literals.with(values);
        let rules = Arc::new(Rules { literals, patterns: rules.patterns.clone() });
        Self { shared: Arc::new(Shared { generation: 0.into(), rules: rules.into() }) }
    }

    /// Whether there is nothing to mask (for now: see [`Redactor::add`]).
    pub fn is_empty(&self) -> bool {
        self.shared.current().is_empty()
    }

    /// The state of one iostream.
    pub fn stream(&self) -> Stream {
        // The number is read first: at worst, the first push takes the same rules again.
        let generation = self.shared.generation.load(Ordering::Acquire);
        Stream {
            shared: Arc::clone(&self.shared),
            generation,
            rules: self.shared.current(),
            literals: LiteralStage::default(),
            patterns: PatternStage::default(),
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.shared.current();
        formatter
            .debug_struct("Redactor")
            .field("literals", &rules.literals.len())
            .field("patterns", &rules.patterns.is_some())
            .finish()
    }
}

/// Masks one iostream.
pub struct Stream {
    shared: Arc<Shared>,
    generation: u64,
    rules: Arc<Rules>,
    literals: LiteralStage,
    patterns: PatternStage,
}

impl Stream {
    /// Takes what was read, gives what may go on. The output borrows the input where nothing had
    /// to be changed, else the scratch buffers.
    pub fn push<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> Output<'a> {
        self.step(input, scratch, End::Open)
    }

    /// Gives out what is held back, at idle or at the end. The stream may go on afterwards.
    pub fn flush<'a>(&mut self, scratch: &'a mut Scratch) -> Output<'a> {
        self.step(&[], scratch, End::Flush)
    }

    /// How many bytes are held back.
    pub fn pending(&self) -> usize {
        self.literals.pending() + self.patterns.pending()
    }

    fn step<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch, end: End) -> Output<'a> {
        let generation = self.shared.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.rules = self.shared.current();
        }
        let Scratch { literals, patterns, .. } = scratch;
        let first = self.literals.step(&self.rules.literals, input, literals, end);
        let Some(rules) = &self.rules.patterns else { return first };
        let second = self.patterns.step(rules, first.bytes, patterns, end);
        let place = if second.place == Place::Input { first.place } else { second.place };
        Output { bytes: second.bytes, place, masked: first.masked + second.masked }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stream").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

/// Buffers for output that differs from the input. One serves all streams of a thread.
#[derive(Default)]
pub struct Scratch {
    literals: Vec<u8>,
    patterns: Vec<u8>,
    /// Which of them somebody else has.
    given: Option<Place>,
}

impl Scratch {
    /// Puts the first `len` bytes of a buffer in place of `out`, without a copy. `out` is as it was
    /// where the bytes are the input's.
    pub fn hand_over(&mut self, place: Place, len: usize, out: &mut Vec<u8>) {
        if place != Place::Input {
            self.swap(place, out);
            out.truncate(len);
            self.given = Some(place);
        }
    }

    /// Takes the buffer back that was handed over last, so that there is no need of another.
    pub fn take_back(&mut self, out: &mut Vec<u8>) {
        if let Some(place) = self.given.take() {
            self.swap(place, out);
            out.clear();
        }
    }

    fn swap(&mut self, place: Place, out: &mut Vec<u8>) {
        match place {
            Place::Input => {}
            Place::Literals => std::mem::swap(&mut self.literals, out),
            Place::Patterns => std::mem::swap(&mut self.patterns, out),
        }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// What the bytes of an output are the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The input: nothing had to be changed.
    Input,
    /// The buffer in which known values were replaced.
    Literals,
    /// The buffer in which matches of patterns were replaced.
    Patterns,
}

/// What one push gives.
#[derive(Clone, Copy)]
pub struct Output<'a> {
    /// Bytes that may go on; empty when all is held back.
    pub bytes: &'a [u8],
    /// What they are the beginning of.
    pub place: Place,
    /// How many secrets were replaced.
    pub masked: u64,
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Output")
            .field("bytes", &self.bytes.len())
            .field("masked", &self.masked)
            .finish()
    }
}

struct Shared {
    /// Counts the changes of `rules`, so that a push costs no lock.
    generation: AtomicU64,
    rules: Mutex<Arc<Rules>>,
}

impl Shared {
    fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Rules {
    literals: Literals,
    patterns: Option<Arc<Patterns>>,
}

impl Rules {
    fn is_empty(&self) -> bool {
        self.literals.len() == 0 && self.patterns.is_none()
    }
}

/// Whether more bytes may follow the text at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may follow: what may become a secret is held back.
    Open,
    /// Nothing is held back.
    Flush,
}

/// Overwrites bytes that were secret before their memory goes back.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Without a reader the compiler would leave the writes to dying memory out.
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests;
