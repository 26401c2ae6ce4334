//! What may be said to `logs`, and what it means: arguments as typed to a query.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use jiff::tz::TimeZone;

use super::super::reading::Failure;
use super::super::wrap;
use crate::read::cursor::Cursor;
use crate::read::filter::Filter;
use crate::read::format::clock::Style;
use crate::read::pattern::{Patterns, Syntax};
use crate::read::session::{From, Limit, Query};
use crate::read::target::{Attempts, Selection, Target};
use crate::read::when;
use crate::record::{IoStream, Level, Nanos};

/// Show the logs of a run or a step
///
/// RUN is a pipeline run id, @latest (the run started last) or @failed (the last run with a failed
/// step, and of it the steps that failed). STEP may be @latest or @failed too. A slash in an id is
/// written %2F.
///
/// Exit codes: 0 lines were shown, or there are none; 1 nothing matched; 2 usage; 3 no such run,
/// step or attempt; 4 the log store does not allow it; 5 incomplete (lines are missing or damaged,
/// or the step has no end and nothing comes any more); 7 the log store failed. With --follow, the
/// exit code is that of the step once it has ended, 5 if nobody knows it.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Args {
    /// RUN[/STEP[/ATTEMPT]]
    #[arg(value_name = "RUN[/STEP[/ATTEMPT]]", default_value = "@latest")]
    pub(super) target: Target,
    /// Wait for more, through later attempts and steps, until all has ended
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only the last N lines (that match)
    #[arg(short = 'n', long, visible_alias = "lines", value_name = "N", conflicts_with = "head")]
    tail: Option<u64>,
    /// Only the first N lines (that match)
    #[arg(long, value_name = "N")]
    head: Option<u64>,
    /// Not before: 10m, today, yesterday, 07:30, 2026-11-23, RFC 3339
    #[arg(short = 'S', long, value_name = "TIME")]
    since: Option<String>,
    /// Not at or after; as --since
    #[arg(short = 'U', long, value_name = "TIME")]
    until: Option<String>,
    /// This level and more serious ones
    #[arg(short, long, value_name = "LEVEL", value_parser = level)]
    level: Option<Level>,
    /// The same as --level=error
    #[arg(long, conflicts_with = "level")]
    errors: bool,
    /// Lines that match; given more than once, any of them
    #[arg(short, long, value_name = "REGEX", allow_hyphen_values = true)]
    grep: Vec<String>,
    /// No lines that match this
    #[arg(short, long, value_name = "REGEX", allow_hyphen_values = true)]
    exclude: Vec<String>,
    /// Any case
    #[arg(short, long)]
    ignore_case: bool,
    /// --grep and --exclude are plain text
    #[arg(short = 'F', long)]
    fixed_strings: bool,
    /// Lines to show after each match
    #[arg(short = 'A', long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
    after_context: Option<u32>,
    /// Lines to show before each match
    #[arg(short = 'B', long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
    before_context: Option<u32>,
    /// Lines to show around each match
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
    context: Option<u32>,
    /// Only this step; may be given more than once
    #[arg(long, value_name = "NAME")]
    step: Vec<String>,
    /// Which try: a number, last, or all
    #[arg(long, value_name = "N", value_parser = attempts)]
    attempt: Option<Attempts>,
    /// The try before the last
    #[arg(short, long, conflicts_with = "attempt")]
    previous: bool,
    /// Only what comes from here: step, orchestrator, client, …
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only what was written to this
    #[arg(long, value_name = "WHICH", value_parser = iostream)]
    stream: Option<IoStream>,
    /// Only steps that failed
    #[arg(long)]
    failed: bool,
    /// Times in front: utc, local, relative (to the start), delta (to the line before)
    #[arg(short, long, value_name = "STYLE", value_enum, num_args = 0..=1, require_equals = true,
          default_missing_value = "utc")]
    timestamps: Option<Timestamps>,
    /// Names in front: by default where several streams are shown
    #[arg(long, value_name = "WHEN", value_enum, num_args = 0..=1, require_equals = true,
          default_value = "auto", default_missing_value = "always")]
    pub(super) prefix: When,
    /// Colours: by default on a terminal
    #[arg(long, value_name = "WHEN", value_enum, num_args = 0..=1, require_equals = true,
          default_value = "auto", default_missing_value = "always")]
    pub(super) color: When,
    /// Newest first
    #[arg(short, long, conflicts_with = "follow")]
    reverse: bool,
    /// Lines that redraw themselves: as they ended, each state, or not at all
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(super) progress: Progress,
    /// What to print: text for people, raw for the very bytes of the step, json for the records
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    pub(super) output: Output,
    /// Begin with the line of this cursor
    #[arg(long, value_name = "CURSOR", conflicts_with = "after_cursor")]
    cursor: Option<Cursor>,
    /// Begin behind the line of this cursor
    #[arg(long, value_name = "CURSOR")]
    after_cursor: Option<Cursor>,
    /// Say at the end (on stderr) where to go on
    #[arg(long)]
    pub(super) show_cursor: bool,
    /// With --follow: how long to wait for what is asked for to appear
    #[arg(long, value_name = "TIME", value_parser = wrap::duration, requires = "follow",
          default_value = "0s", hide_default_value = true)]
    pub(super) wait: Duration,
    /// With --follow: how long to wait for another step or attempt when all have ended [default: 5s
    /// for a run and after a failure, else 0s]
    #[arg(long, value_name = "TIME", value_parser = wrap::duration, requires = "follow")]
    pub(super) linger: Option<Duration>,
    /// Say at the end (on stderr) how much was read from the store
    #[arg(long)]
    pub(super) stats: bool,
    /// No pager, even on a terminal
    #[arg(long)]
    pub(super) no_pager: bool,
    /// The log store to read from: by default the first of the stack that can be read
    #[arg(long, value_name = "NAME")]
    pub(super) log_store: Option<String>,
    /// The stack file
    #[arg(long, value_name = "FILE")]
    pub(super) stack: Option<PathBuf>,
}

/// Whether to do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum When {
    /// Where it helps
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Timestamps {
    Utc,
    Local,
    Relative,
    Delta,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Progress {
    /// As they ended
    #[default]
    Collapse,
    /// Each state
    All,
    /// Not at all
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    #[default]
    Text,
    /// The very bytes of the step
    Raw,
    /// The records, one a line
    Json,
}

impl Args {
    /// Which streams are meant, as far as options say.
    pub(super) fn selection(&self) -> Result<Selection, Failure> {
        let attempts = match (self.target.attempt, self.attempt, self.previous) {
            (None, None, false) => Attempts::Last,
            (None, None, true) => Attempts::Previous,
            (None, Some(attempts), _) => attempts,
            (Some(number), None, false) => Attempts::Number(number),
            (Some(_), ..) => return Err(Failure::usage("the attempt is named twice")),
        };
        if !self.step.is_empty() && self.target.step.is_some() {
            return Err(Failure::usage("the step is named twice"));
        }
        Ok(Selection {
            steps: self.step.clone(),
            latest_step: false,
            attempts,
            source: self.source.clone(),
            failed: self.failed,
        })
    }

    /// What is asked of them. `now` is where lengths of time count from.
    pub(super) fn query(&self, now: Nanos, zone: &TimeZone) -> Result<Query, Failure> {
        let time = |text: &Option<String>| {
            let time = text.as_deref().map(|text| when::parse(text, now, zone));
            time.transpose().map_err(Failure::usage)
        };
        let syntax = Syntax { literal: self.fixed_strings, ignore_case: self.ignore_case };
        let patterns = |patterns: &[String]| {
            let patterns = (!patterns.is_empty())
                .then(|| Patterns::new(patterns.iter().map(String::as_str), syntax));
            patterns.transpose().map_err(|error| Failure::usage(wrap::chain(&error)))
        };
        let around = self.context.unwrap_or(0);
        let filter = Filter {
            iostream: self.stream,
            since: time(&self.since)?,
            until: time(&self.until)?,
            no_progress: self.progress == Progress::None,
            level: self.level.or(self.errors.then_some(Level::Error)),
            text: patterns(&self.grep)?,
            exclude: patterns(&self.exclude)?,
            context: (self.before_context.unwrap_or(around), self.after_context.unwrap_or(around)),
            ..Filter::default()
        };
        if filter.context != (0, 0) && !filter.has_conditions() {
            return Err(Failure::usage("-A, -B and -C need --grep, --exclude or --level"));
        }
        let from = match (&self.cursor, &self.after_cursor) {
            (Some(cursor), _) => Some(From { cursor: cursor.clone(), inclusive: true }),
            (None, Some(cursor)) => Some(From { cursor: cursor.clone(), inclusive: false }),
            (None, None) => None,
        };
        Ok(Query {
            filter,
            limit: match (self.head, self.tail) {
                (Some(count), _) => Limit::Head(count),
                (None, Some(count)) => Limit::Tail(count),
                (None, None) => Limit::All,
            },
            reverse: self.reverse,
            from,
            exact: self.output != Output::Text,
            follow: None,
        })
    }

    /// How times are shown.
    pub(super) fn clock(&self) -> Option<Style> {
        self.timestamps.map(|style| match style {
            Timestamps::Utc => Style::Utc,
            Timestamps::Local => Style::Local,
            Timestamps::Relative => Style::Relative,
            Timestamps::Delta => Style::Delta,
        })
    }

    /// Something narrows down which lines are shown.
    pub(super) fn narrows(&self) -> bool {
        self.since.is_some()
            || self.until.is_some()
            || self.level.is_some()
            || self.errors
            || !self.grep.is_empty()
            || !self.exclude.is_empty()
            || self.stream.is_some()
    }
}

fn level(text: &str) -> Result<Level, String> {
    Level::from_name(text.as_bytes())
        .ok_or_else(|| "expected trace, debug, info, warning, error or critical".to_owned())
}

fn iostream(text: &str) -> Result<IoStream, String> {
    IoStream::ALL
        .into_iter()
        .find(|stream| stream.as_str() == text)
        .ok_or_else(|| "expected stdout or stderr".to_owned())
}

fn attempts(text: &str) -> Result<Attempts, String> {
    match text {
        "all" => Ok(Attempts::All),
        "last" => Ok(Attempts::Last),
        _ => {
            let number = text.parse().map_err(|_| "expected a number, last or all".to_owned());
            number.map(Attempts::Number)
        }
    }
}
