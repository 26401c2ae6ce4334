//! The query string to what is asked for: the same words as `steplog logs`, every unknown or doubled
//! parameter an error. Pure, given the current time.

use std::str::FromStr;

use jiff::tz::TimeZone;

use super::model::Bars;
use super::problem::{self, Problem};
use crate::read::cursor::Cursor;
use crate::read::filter::Filter;
use crate::read::pattern::{PatternError, Patterns, Syntax};
use crate::read::target::{Attempts, Selection};
use crate::read::when;
use crate::record::{IoStream, Level, Nanos, WriterId};
use crate::stack::suggest;

/// Parameters that choose streams.
pub(super) const SELECTION: &[&str] =
    &["log_store", "step", "attempt", "source", "writer", "iostream"];
/// Parameters that choose lines of them.
pub(super) const CONDITIONS: &[&str] = &[
    "since",
    "until",
    "level",
    "grep",
    "fixed",
    "ignore_case",
    "exclude",
    "before_context",
    "after_context",
];
/// Lines around a match, at the most.
const MAX_CONTEXT: u32 = 10_000;
/// Patterns of a request, `grep` and `exclude` together.
const MAX_PATTERNS: usize = 16;
/// Bytes of them as they are written.
const MAX_TEXT: usize = 4096;
/// Bytes of memory that they may take together, made ready: a short expression can stand for much.
const MAX_COMPILED: usize = 4 << 20;

/// Where an answer begins, and which way it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Oldest,
    Newest,
    Before(Cursor),
    After(Cursor),
}

/// A query string, taken apart.
#[derive(Debug, Default)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Only parameters of `known` are taken.
    pub(super) fn new(query: Option<&str>, known: &[&[&str]]) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let names: Vec<&str> = known.iter().copied().flatten().copied().collect();
            if !names.contains(&name.as_str()) {
                let shown = problem::shown(&name);
                let next = suggest(&name, "parameters here", &names);
                return Err(
                    Problem::parameter(format!("there is no parameter {shown:?}")).next(next)
                );
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// One more, that stood elsewhere.
    pub(super) fn add(&mut self, name: &str, value: String) {
        self.pairs.push((name.to_owned(), value));
    }

    /// The values of a parameter that may be given more than once.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once; an empty one is none.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name).filter(|value| !value.is_empty());
        let value = values.next();
        if values.next().is_some() {
            return Err(Problem::parameter(format!("{name} is given more than once")));
        }
        Ok(value)
    }

    /// The same, read as something.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.one(name)? else { return Ok(None) };
        let wrong = || {
            let shown = problem::shown(value);
            Problem::parameter(format!("{name}: expected {expected}, not {shown:?}"))
        };
        read(value).map(Some).ok_or_else(wrong)
    }

    /// A number up to `most`.
    pub(super) fn number<T: FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &str,
        most: T,
    ) -> Result<Option<T>, Problem> {
        let expected = format!("a number up to {most}");
        self.parsed(name, &expected, |text| text.parse().ok().filter(|number| *number <= most))
    }

    /// A number from 1 to `most`.
    pub(super) fn count<T: FromStr + PartialOrd + std::fmt::Display + From<u8>>(
        &self,
        name: &str,
        most: T,
    ) -> Result<Option<T>, Problem> {
        let range = T::from(1)..=most;
        let expected = format!("a number from 1 to {}", range.end());
        self.parsed(name, &expected, |text| text.parse().ok().filter(|it| range.contains(it)))
    }

    /// `true` or `false`; without a value it is true.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        if self.all(name).any(str::is_empty) {
            return Ok(true);
        }
        let read = |text: &str| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        Ok(self.parsed(name, "true or false", read)?.unwrap_or(false))
    }

    /// A time.
    pub(super) fn time(&self, name: &str) -> Result<Option<Nanos>, Problem> {
        let expected = "a time such as 2026-11-23T07:30:00Z, or a length of time such as 10m";
        // What has no zone is UTC: a server has no zone that its clients know.
        let read = |text: &str| when::parse(text, Nanos::now(), &TimeZone::UTC).ok();
        self.parsed(name, expected, read)
    }

    /// States of progress bars.
    pub(super) fn bars(&self) -> Result<Bars, Problem> {
        let bars = self.parsed("progress", "last or all", |text| match text {
            "last" => Some(Bars::Last),
            "all" => Some(Bars::All),
            _ => None,
        })?;
        Ok(bars.unwrap_or(Bars::Last))
    }

    /// A place that an earlier answer has named.
    pub(super) fn cursor(&self, name: &str) -> Result<Option<Cursor>, Problem> {
        self.parsed(name, "a cursor that an answer has given", |text| text.parse().ok())
    }

    /// Where to begin: a place comes before `start`.
    pub(super) fn start(&self) -> Result<Start, Problem> {
        let start = self.parsed("start", "oldest or newest", |text| match text {
            "oldest" => Some(Start::Oldest),
            "newest" => Some(Start::Newest),
            _ => None,
        })?;
        match (self.cursor("before")?, self.cursor("after")?) {
            (Some(_), Some(_)) => Err(Problem::parameter("before and after exclude each other")),
            (Some(cursor), None) => Ok(Start::Before(cursor)),
            (None, Some(cursor)) => Ok(Start::After(cursor)),
            (None, None) => Ok(start.unwrap_or(Start::Oldest)),
        }
    }

    /// The same for two requests that ask for the same lines of this run.
    pub(super) fn key(&self, store: &str, run: &str) -> String {
        let places = ["log_store", "after", "tail"];
        let mut pairs: Vec<_> =
            self.pairs.iter().filter(|(name, _)| !places.contains(&name.as_str())).collect();
        pairs.sort();
        format!("{store:?} {run:?} {pairs:?}")
    }

    /// Which streams.
    pub(super) fn selection(&self) -> Result<Selection, Problem> {
        let attempt = |text: &str| match text {
            "all" => Some(Attempts::All),
            "last" => Some(Attempts::Last),
            "previous" => Some(Attempts::Previous),
            number => number.parse().ok().map(Attempts::Number),
        };
        let expected = "a number, last, previous or all";
        let attempts = self.parsed("attempt", expected, attempt)?;
        // A writer is one stream, whichever attempt it is of.
        let default = if self.writer()?.is_some() { Attempts::All } else { Attempts::Last };
        Ok(Selection {
            steps: self.all("step").filter(|step| !step.is_empty()).map(str::to_owned).collect(),
            latest_step: false,
            attempts: attempts.unwrap_or(default),
            source: self.one("source")?.map(str::to_owned),
            failed: false,
        })
    }

    /// The one stream that is asked for.
    pub(super) fn writer(&self) -> Result<Option<WriterId>, Problem> {
        self.parsed("writer", "the id of a writer", |text| text.parse().ok())
    }

    /// Of which of both.
    pub(super) fn iostream(&self) -> Result<Option<IoStream>, Problem> {
        let read = |text: &str| IoStream::ALL.into_iter().find(|it| it.as_str() == text);
        self.parsed("iostream", "stdout or stderr", read)
    }

    /// Patterns of this name, as text.
    fn patterns(&self, name: &str) -> Vec<String> {
        self.all(name).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    }

    /// Which lines.
    pub(super) fn conditions(&self) -> Result<Conditions, Problem> {
        let syntax =
            Syntax { literal: self.flag("fixed")?, ignore_case: self.flag("ignore_case")? };
        let level = |text: &str| Level::from_name(text.as_bytes());
        let levels = "trace, debug, info, warning, error or critical";
        let scope = Filter {
            iostream: self.iostream()?,
            since: self.time("since")?,
            until: self.time("until")?,
            level: self.parsed("level", levels, level)?,
            context: (
                self.number("before_context", MAX_CONTEXT)?.unwrap_or(0),
                self.number("after_context", MAX_CONTEXT)?.unwrap_or(0),
            ),
            ..Filter::default()
        };
        let (grep, exclude) = (self.patterns("grep"), self.patterns("exclude"));
        let conditions = Conditions { scope, grep, exclude, syntax };
        let scope = &conditions.scope;
        if let (Some(since), Some(until)) = (scope.since, scope.until)
            && since >= until
        {
            return Err(Problem::parameter("since must be earlier than until"));
        }
        if conditions.has_context() && scope.level.is_none() && !conditions.has_patterns() {
            return Err(Problem::parameter(
                "before_context and after_context need grep, exclude or level",
            ));
        }
        Ok(conditions)
    }
}

/// Which lines, as they were asked for.
#[derive(Debug)]
pub(super) struct Conditions {
    /// All but the patterns.
    scope: Filter,
    grep: Vec<String>,
    exclude: Vec<String>,
    syntax: Syntax,
}

impl Conditions {
    /// Whether [`Conditions::filter`] may take a while.
    pub(super) fn has_patterns(&self) -> bool {
        !(self.grep.is_empty() && self.exclude.is_empty())
    }

    /// Lines around those that match are asked for too.
    pub(super) fn has_context(&self) -> bool {
        self.scope.context != (0, 0)
    }

    /// Makes the patterns ready.
    pub(super) fn filter(self) -> Result<Filter, Problem> {
        let Self { scope, grep, exclude, syntax } = self;
        let count = grep.len() + exclude.len();
        if count > MAX_PATTERNS {
            let detail = format!("grep and exclude: {count} patterns, and at most {MAX_PATTERNS}");
            return Err(Problem::parameter(detail).next("one pattern can say several: a|b|c"));
        }
        let share = MAX_COMPILED / count.max(1);
        Ok(Filter {
            text: patterns("grep", &grep, syntax, share)?,
            exclude: patterns("exclude", &exclude, syntax, share)?,
            ..scope
        })
    }
}

/// Any of these, each of which may take so much memory.
fn patterns(
    name: &str,
    texts: &[String],
    syntax: Syntax,
    share: usize,
) -> Result<Option<Patterns>, Problem> {
    if texts.is_empty() {
        return Ok(None);
    }
    if texts.iter().map(String::len).sum::<usize>() > MAX_TEXT {
        return Err(Problem::parameter(format!("{name} is longer than {MAX_TEXT} bytes")));
    }
    let made = Patterns::within(texts.iter().map(String::as_str), syntax, share);
    made.map(Some).map_err(|error| {
        let next = match error {
            PatternError::Syntax { .. } => "with fixed=true it is taken as plain text".to_owned(),
            PatternError::Large { .. } => format!(
                "repeat less, such as [a-z]{{50}} for \\w{{50}}, or ask for fewer patterns: all of a \
                 request have {} KiB",
                MAX_COMPILED >> 10
            ),
        };
        let chain = crate::delivery::chain(&error);
        Problem::parameter(format!("{name}: {chain}")).next(next)
    })
}

/// One text, whatever is in it.
pub(super) fn plain(name: &str, text: &str) -> Result<Option<Patterns>, Problem> {
    let syntax = Syntax { literal: true, ignore_case: true };
    patterns(name, &[text.to_owned()], syntax, MAX_COMPILED)
}

fn decode(text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| {
            Problem::parameter("the query is not UTF-8").next("percent-encode it as UTF-8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<Params, String> {
        Params::new(Some(query), &[SELECTION, CONDITIONS, &["limit"]])
            .map_err(|problem| String::from_utf8(problem.to_json()).unwrap())
    }

    #[test]
    fn words_and_repeats() {
        let params = params("step=a%2Fb&step=c+d&level=warn&grep=x%26y&fixed&limit=7").unwrap();
        assert_eq!(params.selection().unwrap().steps, ["a/b", "c d"]);
        let filter = params.conditions().unwrap().filter().unwrap();
        assert_eq!(filter.level, Some(Level::Warning));
        assert!(filter.text.unwrap().matches(b"has x&y"));
        assert_eq!(params.number("limit", 10_u64).unwrap(), Some(7));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(params("stpe=a").unwrap_err().contains("did you mean"));
        let problem = |query: &str, read: fn(&Params) -> Option<Problem>| {
            let problem = read(&params(query).unwrap()).unwrap();
            String::from_utf8(problem.to_json()).unwrap()
        };
        let filter = |params: &Params| params.conditions().and_then(Conditions::filter).err();
        for (query, expected) in [
            ("level=loud", "level: expected trace, debug, info"),
            ("grep=(", "grep: not a regular expression"),
            ("since=soon", "since: expected a time"),
            ("before_context=1", "need grep"),
            ("iostream=stdin", "expected stdout or stderr"),
            ("level=info&level=error", "level is given more than once"),
            ("fixed=maybe", "expected true or false"),
            ("after_context=10001&grep=a", "a number up to 10000"),
        ] {
            assert!(problem(query, filter).contains(expected), "{query}");
        }
        let large = r"grep=\w{200}&grep=a";
        let many = format!("grep={}&exclude=x", ["a"; MAX_PATTERNS].join("&grep="));
        for (query, what, next) in [
            (large, "grep: a regular expression that takes more than 2048 KiB", "have 4096 KiB"),
            (&many, "17 patterns, and at most 16", "a|b|c"),
        ] {
            let problem = problem(query, filter);
            assert!(problem.contains(what) && problem.contains(next), "{problem}");
        }
        let selection = |params: &Params| params.selection().err();
        assert!(problem("attempt=second", selection).contains("a number, last, previous or all"));
        assert!(problem("writer=x", selection).contains("the id of a writer"));
    }
}
