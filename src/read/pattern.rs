//! Text that lines are asked for: literals and regular expressions, and where in a block of
//! NDJSON lines that match may be at all.
//!
//! Reading a million records to find three takes most of its time parsing them. A literal has a
//! run of characters that JSON writes as they are; where that run is not, no line matches, so only
//! lines that hold it are taken apart.

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

/// Any of these texts.
#[derive(Debug, Clone)]
pub struct Patterns {
    any: Vec<Pattern>,
    finds: Option<Candidates>,
}

/// How a pattern is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syntax {
    /// Not as a regular expression.
    pub literal: bool,
    /// `A` and `a` are the same.
    pub ignore_case: bool,
}

#[derive(Debug, Clone)]
enum Pattern {
    Literal(Box<Finder<'static>>),
    /// Only ASCII, any case.
    AnyCase(AhoCorasick),
    Regex(Regex),
}

/// What a line that matches must have in its JSON.
#[derive(Debug, Clone)]
enum Candidates {
    One(Box<Finder<'static>>),
    Several(AhoCorasick),
}

/// Bytes of memory that an expression may take, unless less is said.
const MAX_COMPILED: usize = 10 << 20;
/// The same of what it makes of itself while it looks through text, on each thread that does.
const MAX_CACHE: usize = 2 << 20;
/// Characters of an expression that an error repeats.
const SHOWN: usize = 200;

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It says nothing.
    #[error("not a regular expression: {pattern}")]
    Syntax {
        /// The text, or how it begins.
        pattern: String,
        /// Where it is wrong.
        source: Box<regex::Error>,
    },
    /// A short text can stand for much: `\w{1000}` is a thousand times all letters there are.
    #[error(
        "a regular expression that takes more than {} KiB of memory, as long repetitions do: {pattern}",
        most >> 10
    )]
    Large {
        /// The text, or how it begins.
        pattern: String,
        /// Bytes that it may take.
        most: usize,
    },
}

impl Patterns {
    /// Lines that match any of `patterns`.
    pub fn new<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
        syntax: Syntax,
    ) -> Result<Self, PatternError> {
        Self::within(patterns, syntax, MAX_COMPILED)
    }

    /// The same, where each of them may take so many bytes of memory: for whoever asks from elsewhere.
    pub fn within<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
        syntax: Syntax,
        most: usize,
    ) -> Result<Self, PatternError> {
        let mut any = Vec::new();
        let mut runs = Vec::new();
        for pattern in patterns {
            let literal = syntax.literal || regex::escape(pattern) == pattern;
            // A literal of ASCII has one meaning of "any case" that is quick to look for.
            let made = if literal && !syntax.ignore_case {
                runs.push(longest_plain_run(pattern));
                Some(Pattern::Literal(Box::new(Finder::new(pattern).into_owned())))
            } else if literal && pattern.is_ascii() {
                runs.push(longest_plain_run(pattern));
                any_case([pattern]).map(Pattern::AnyCase)
            } else {
                runs.push("");
                None
            };
            let made = if let Some(made) = made {
                made
            } else {
                let text = if literal { regex::escape(pattern) } else { pattern.to_owned() };
                let regex = RegexBuilder::new(&text)
                    .case_insensitive(syntax.ignore_case)
                    .size_limit(most)
                    .dfa_size_limit(most.min(MAX_CACHE))
                    .build()
                    .map_err(|source| PatternError::new(pattern, most, source))?;
                Pattern::Regex(regex)
            };
            any.push(made);
        }
        let finds = if runs.iter().any(|run| run.is_empty()) {
            None
        } else if let ([run], false) = (runs.as_slice(), syntax.ignore_case) {
            Some(Candidates::One(Box::new(Finder::new(run).into_owned())))
        } else if syntax.ignore_case {
            any_case(runs).map(Candidates::Several)
        } else {
            AhoCorasick::new(runs).ok().map(Candidates::Several)
        };
        Ok(Self { any, finds })
    }

    /// Whether `text` matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.any.iter().any(|pattern| match pattern {
            Pattern::Literal(finder) => finder.find(text).is_some(),
            Pattern::AnyCase(finder) => finder.is_match(text),
            Pattern::Regex(regex) => regex.is_match(text),
        })
    }

    /// Whether [`Patterns::next_candidate`] can tell lines from others.
    pub(super) fn has_candidates(&self) -> bool {
        self.finds.is_some()
    }

    /// A position in a line of NDJSON that may match: the first one at `from` or behind it.
    pub(super) fn next_candidate(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        let found = match self.finds.as_ref() {
            Some(Candidates::One(finder)) => finder.find(rest)?,
            Some(Candidates::Several(finder)) => finder.find(rest)?.start(),
            None => 0,
        };
        Some(from + found)
    }
}

impl PatternError {
    fn new(pattern: &str, most: usize, source: regex::Error) -> Self {
        let mut shown: String = pattern.chars().take(SHOWN).collect();
        if shown.len() < pattern.len() {
            shown.push('…');
        }
        match source {
            regex::Error::CompiledTooBig(_) => Self::Large { pattern: shown, most },
            source => Self::Syntax { pattern: shown, source: Box::new(source) },
        }
    }
}

fn any_case<'a>(literals: impl IntoIterator<Item = &'a str>) -> Option<AhoCorasick> {
    AhoCorasick::builder().ascii_case_insensitive(true).build(literals).ok()
}

/// The longest run of characters that stand in JSON as they are.
fn longest_plain_run(literal: &str) -> &str {
    literal
        .split(|character: char| character.is_control() || matches!(character, '"' | '\\' | '/'))
        .max_by_key(|run| run.len())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, literal: bool, ignore_case: bool, text: &str, expected: bool) {
        let patterns = Patterns::new([pattern], Syntax { literal, ignore_case }).unwrap();
        assert_eq!(patterns.matches(text.as_bytes()), expected, "{pattern} in {text}");
        let json = serde_json::to_string(text).unwrap();
        if expected {
            assert!(patterns.next_candidate(json.as_bytes(), 0).is_some(), "{pattern} in {json}");
        }
    }

    #[test]
    fn literals_and_expressions() {
        check("loss", false, false, "the loss is 3", true);
        check("Loss", false, false, "the loss is 3", false);
        check("Loss", false, true, "the loss is 3", true);
        check("a.c", false, false, "abc", true);
        check("a.c", true, false, "abc", false);
        check("a.c", true, false, "xa.cy", true);
        check("say \"no\"", true, false, "say \"no\" now", true);
        check("C:\\tmp", true, false, "C:\\tmp", true);
        check("\t", true, false, "a\tb", true);
        check("\"", true, true, "a\"b", true);
        check("ÄRGER", true, true, "ärger", true);
        check("^err", false, false, "error", true);
        check("^err", false, false, " error", false);
        check("", true, false, "anything", true);
    }

    #[test]
    fn any_of_several() {
        for ignore_case in [false, true] {
            let syntax = Syntax { literal: true, ignore_case };
            let patterns = Patterns::new(["one", "two"], syntax).unwrap();
            assert!(patterns.matches(b"has two") && patterns.matches(b"one"));
            assert!(!patterns.matches(b"three"));
            assert_eq!(patterns.next_candidate(b"xx two one", 0), Some(3));
            assert_eq!(patterns.next_candidate(b"xx two one", 4), Some(7));
            assert_eq!(patterns.next_candidate(b"xx", 0), None);
        }
    }

    #[test]
    fn what_is_no_expression_is_named() {
        let error = Patterns::new(["a("], Syntax::default()).unwrap_err();
        assert_eq!(error.to_string(), "not a regular expression: a(");
    }

    #[test]
    fn what_takes_too_much_is_refused() {
        let most = 4 << 20;
        let within = |pattern| Patterns::within([pattern], Syntax::default(), most);
        assert!(within(r"\w{50}").unwrap().matches("é".repeat(50).as_bytes()));
        for large in [r"\w{200}", r"((\w{100}){100}){100}"] {
            let error = within(large).unwrap_err().to_string();
            let expected = "a regular expression that takes more than 4096 KiB of memory";
            assert!(error.starts_with(expected) && error.ends_with(large), "{error}");
        }
        // What usual expressions take, many at a time.
        for pattern in [
            r"\b\w+@\w+\.\w+\b",
            r"^\d{4}-\d\d-\d\dT[\d:.]+Z\s+(WARN|ERROR)\s",
            "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        ] {
            let syntax = Syntax { literal: false, ignore_case: true };
            assert!(Patterns::within([pattern], syntax, most / 16).is_ok(), "{pattern}");
        }
    }
}
