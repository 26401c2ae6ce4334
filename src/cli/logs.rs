//! `steplog logs`: reads logs back.

mod args;
mod pager;
mod print;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

pub(super) use args::{Args, When};
use args::{Output, Progress};
use print::{Labels, Printer, on_terminal};

use super::reading::{
    self, Access, Failure, Found, INCOMPLETE, NO_MATCH, STORE_FAILED, caveat, ending, is_incomplete,
};
use super::wrap::say;
use crate::read::format::clean::Cleaning;
use crate::read::format::clock::Clock;
use crate::read::format::{Form, Formatter, Text};
use crate::read::session::{Follow, Outcome, Query, Session};
use crate::read::store::{Status, Stream};
use crate::read::target::{Attempts, Selection};
use crate::record::Nanos;
use crate::words::counted;

/// How long to wait for another step, or another try at one that failed.
const LINGER: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Args) -> ExitCode {
    reading::end(show(args))
}

fn show(args: &Args) -> Result<u8, Failure> {
    let began = Instant::now();
    let zone = TimeZone::system();
    let mut query = args.query(Nanos::now(), &zone)?;
    let mut selection = args.selection()?;
    let access = Access::open(args.stack.as_deref(), args.log_store.as_deref())?;
    let found = match access.find(&args.target, &mut selection) {
        Err(failure) if args.wait.is_zero() || failure.code != reading::NOT_FOUND => {
            return Err(hinted(failure, args));
        }
        Err(_) => nothing_yet(args),
        Ok(found) => found,
    };
    if found.selected.is_empty() && args.wait.is_zero() {
        return Err(hinted(access.nothing(&found, &selection), args));
    }
    if args.follow {
        query.follow = Some(follow(args, &found, &selection));
    }
    let mut printer = printer(args, &query, &found.selected, zone)?;
    let narrows = args.narrows();
    let hidden = hidden_attempts(&found, &selection);
    let run = found.run.clone();
    let session = Session::new(&*access.reader, found.selected, query, &mut printer);
    let result = access.runtime.block_on(session.run());
    let printed = printer.finish();
    let outcome = result?;
    printed.map_err(|error| Failure {
        code: STORE_FAILED,
        message: format!("write to standard output: {error}"),
    })?;
    if outcome.streams.is_empty() {
        return Err(Failure::not_found(format!("run {run} has not begun while it was waited for")));
    }
    conclude(args, &outcome, hidden.as_deref(), narrows);
    if args.stats {
        let cost = access.reader.cost();
        say(format!(
            "{}; read {} in {}, {} ms",
            counted(outcome.matched, "line"),
            counted(cost.bytes, "byte"),
            counted(cost.requests, "request"),
            began.elapsed().as_millis()
        ));
    }
    Ok(if args.follow { code_of_steps(&outcome) } else { code(&outcome, narrows) })
}

/// Whoever follows may have come too early.
fn hinted(mut failure: Failure, args: &Args) -> Failure {
    if args.follow && failure.code == reading::NOT_FOUND {
        failure.message.push_str("; to wait until it comes: --wait 5m");
    }
    failure
}

/// The run may yet appear.
fn nothing_yet(args: &Args) -> Found {
    let id = |name: &crate::read::target::Name| match name {
        crate::read::target::Name::Id(id) => Some(id.clone()),
        _ => None,
    };
    Found {
        run: id(&args.target.run).unwrap_or_default(),
        step: args.target.step.as_ref().and_then(id),
        all: Vec::new(),
        selected: Vec::new(),
    }
}

fn follow(args: &Args, found: &Found, selection: &Selection) -> Follow {
    let one_attempt = matches!(selection.attempts, Attempts::Number(_));
    let default = |succeeded: bool| match (&found.step, one_attempt) {
        (_, true) => Duration::ZERO,
        (Some(_), false) if succeeded => Duration::ZERO,
        _ => LINGER,
    };
    Follow {
        run: found.run.clone(),
        step: found.step.clone(),
        selection: selection.clone(),
        known: found.all.iter().map(|stream| stream.writer).collect(),
        appear: args.wait,
        linger: args.linger.unwrap_or_else(|| default(false)),
        linger_succeeded: args.linger.unwrap_or_else(|| default(true)),
    }
}

fn printer(
    args: &Args,
    query: &Query,
    streams: &[Stream],
    zone: TimeZone,
) -> Result<Printer, Failure> {
    let terminal = on_terminal();
    let colours = match args.color {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && colours_welcome(),
    };
    let start = streams.iter().map(|stream| stream.started).min().unwrap_or_else(Nanos::now);
    let form = match args.output {
        Output::Raw => Form::Raw,
        Output::Json => Form::Json,
        Output::Text => Form::Text(Text {
            cleaning: Cleaning { colours, terminal },
            colours,
            clock: args.clock().map(|style| Clock::new(style, zone, start)),
            labels: Vec::new(),
            all_progress: args.progress == Progress::All,
        }),
    };
    let labels = match args.prefix {
        When::Auto => Labels::Auto,
        When::Always => Labels::Always,
        When::Never => Labels::Never,
    };
    let pager = terminal && !args.no_pager && query.follow.is_none() && args.output == Output::Text;
    Printer::new(Formatter::new(form), labels, pager).map_err(|error| Failure {
        code: STORE_FAILED,
        message: format!("use standard output: {error}"),
    })
}

fn colours_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Tries at the steps that are shown which are not.
fn hidden_attempts(found: &Found, selection: &Selection) -> Option<String> {
    if selection.attempts != Attempts::Last {
        return None;
    }
    let earlier = found.all.iter().filter(|stream| {
        found.selected.iter().any(|shown| {
            shown.origin.step_id == stream.origin.step_id
                && shown.origin.attempt > stream.origin.attempt
        })
    });
    let count = earlier.count();
    (count > 0).then(|| format!("{count} earlier attempts are not shown (--attempt all)"))
}

/// What has to be said beside the lines.
fn conclude(args: &Args, outcome: &Outcome, hidden: Option<&str>, narrows: bool) {
    let person = std::io::stderr().is_terminal();
    if person && outcome.matched == 0 {
        say(if narrows { "no line matches" } else { "there are no lines" });
    }
    for stream in &outcome.streams {
        let ending = ending(stream).filter(|_| args.follow || person);
        for text in [caveat(stream), ending].into_iter().flatten() {
            say(text);
        }
    }
    if let Some(hidden) = hidden.filter(|_| person) {
        say(hidden);
    }
    if args.show_cursor {
        if outcome.cursor.is_empty() {
            say("no lines, no cursor");
        } else {
            say(format!("cursor: {}", outcome.cursor));
        }
    }
}

/// Without `--follow`: whether what was asked for is there.
fn code(outcome: &Outcome, narrows: bool) -> u8 {
    if outcome.troubles > 0 || outcome.streams.iter().any(is_incomplete) {
        INCOMPLETE
    } else if narrows && outcome.matched == 0 {
        NO_MATCH
    } else {
        0
    }
}

/// With `--follow`: as the steps ended. Of several, the first that did not succeed; of several
/// tries at one, the last.
fn code_of_steps(outcome: &Outcome) -> u8 {
    let last_try = |stream: &&Stream| {
        outcome.streams.iter().all(|other| {
            other.origin.step_id != stream.origin.step_id
                || other.origin.attempt <= stream.origin.attempt
        })
    };
    let codes = outcome.streams.iter().filter(last_try).map(|stream| match stream.status {
        Status::Failed => stream.exit_status().unwrap_or(INCOMPLETE),
        // Not ended only if the reader of our output went away first.
        Status::Succeeded | Status::Running | Status::Unfinished | Status::Continued => 0,
        Status::Interrupted => INCOMPLETE,
    });
    codes.into_iter().find(|code| *code != 0).unwrap_or(0)
}
