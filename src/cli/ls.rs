//! `steplog ls`: lists runs and steps.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::reading::{self, Access, Failure, short_duration};
use crate::read::standing;
use crate::read::store::{ReadError, Status, Stream};
use crate::read::target::{self, Attempts, Selection, Target};
use crate::record::Nanos;
use crate::words::{counted, grouped};

/// Runs looked at at the same time.
const RUNS_AT_A_TIME: usize = 8;

/// List runs, or the steps of a run
///
/// Without RUN: the newest runs, newest first. With it: its steps, attempts and sources, in the order
/// in which they started. How lines, bytes and time are counted of a step that has not ended: as far
/// as the store knows.
///
/// Exit codes: 0 done; 2 usage; 3 no such run; 4 the log store does not allow it; 7 it failed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// RUN[/STEP], or @latest
    #[arg(value_name = "RUN[/STEP]")]
    target: Option<Target>,
    /// How many runs
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// What to print: text for people, json with one object a line
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: super::verify::Form,
    /// The log store to read from: by default the first of the stack that can be read
    #[arg(long, value_name = "NAME")]
    log_store: Option<String>,
    /// The stack file
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    reading::end(list(args))
}

fn list(args: &Args) -> Result<u8, Failure> {
    let access = Access::open(args.stack.as_deref(), args.log_store.as_deref())?;
    let json = args.output == super::verify::Form::Json;
    let Some(target) = &args.target else {
        let runs = runs(&access, args.limit)?;
        if json {
            print_json(&runs);
        } else if runs.is_empty() {
            super::wrap::say(format!("there are no runs in the log store {}", access.name));
        } else {
            print!("{}", run_table(&runs, Nanos::now()));
        }
        return Ok(0);
    };
    let attempts = target.attempt.map_or(Attempts::All, Attempts::Number);
    let mut selection = Selection { attempts, ..Selection::default() };
    let found = access.find(target, &mut selection)?;
    if found.selected.is_empty() {
        return Err(access.nothing(&found, &selection));
    }
    if json {
        print_json(&found.selected);
    } else {
        print!("{}", step_table(&found.selected, Nanos::now()));
    }
    Ok(0)
}

/// A run and how it stands.
#[derive(Debug, Serialize)]
struct RunRow {
    pipeline_run_id: String,
    status: Status,
    started: Nanos,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Nanos>,
    steps: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
}

fn runs(access: &Access, limit: usize) -> Result<Vec<RunRow>, Failure> {
    let rows = async {
        let runs = access.reader.runs(limit).await?;
        // Each run takes several requests, one after the other.
        stream::iter(runs)
            .map(async |run| {
                let id = run.pipeline_run_id;
                let streams = access.reader.streams(&id, None, &[]).await?;
                Ok(RunRow::new(id, run.started, &streams))
            })
            .buffered(RUNS_AT_A_TIME)
            .try_collect()
            .await
    };
    access.runtime.block_on(rows).map_err(|error: ReadError| error.into())
}

impl RunRow {
    fn new(pipeline_run_id: String, listed: Nanos, streams: &[Stream]) -> Self {
        // Of several tries at a step, the last counts.
        let last = Selection::default().of(streams);
        let mut steps: Vec<&str> = last.iter().map(|it| it.origin.step_id.as_str()).collect();
        steps.dedup();
        steps.sort_unstable();
        steps.dedup();
        Self {
            pipeline_run_id,
            status: standing::of(&last),
            started: streams.iter().map(|it| it.started).min().unwrap_or(listed),
            ended: last
                .iter()
                .map(|it| it.ended)
                .collect::<Option<Vec<_>>>()
                .and_then(|all| all.into_iter().max()),
            steps: steps.len(),
            failed: last.iter().filter(|it| target::is_failed(it.status)).count(),
            lines: streams.iter().map(|it| it.lines).sum(),
        }
    }
}

fn run_table(runs: &[RunRow], now: Nanos) -> String {
    let mut table = vec![row(["RUN", "STATUS", "STARTED", "TOOK", "STEPS", "LINES"])];
    for run in runs {
        let steps = match run.failed {
            0 => run.steps.to_string(),
            failed => format!("{} ({failed} failed)", run.steps),
        };
        table.push(row([
            &safe(&target::escape(&run.pipeline_run_id)),
            run.status.as_str(),
            &date(run.started),
            &took(run.started, run.ended, run.status, now),
            &steps,
            &run.lines.map_or_else(|| "-".to_owned(), grouped),
        ]));
    }
    aligned(&table, &[4, 5])
}

fn step_table(streams: &[Stream], now: Nanos) -> String {
    let mut table = vec![row([
        "STEP", "ATTEMPT", "SOURCE", "STATUS", "STARTED", "TOOK", "LINES", "BYTES", "ERRORS",
    ])];
    for stream in streams {
        let errors = stream.levels.map(|[.., error, critical]| error + critical);
        let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
        table.push(row([
            &safe(&target::escape(&stream.origin.step_id)),
            &stream.origin.attempt.to_string(),
            &safe(&stream.origin.source),
            &safe(&standing(stream)),
            &date(stream.started),
            &took(stream.started, stream.ended, stream.status, now),
            &or_dash(stream.lines),
            &or_dash(stream.bytes),
            &or_dash(errors),
        ]));
    }
    let mut text = aligned(&table, &[1, 6, 7, 8]);
    for stream in streams.iter().filter(|stream| target::is_failed(stream.status)) {
        if let Some(error) = &stream.first_error {
            let line = error.lines().next().unwrap_or_default();
            let shown: String = safe(line).chars().take(200).collect();
            text.extend(["\n", &reading::name_of(stream), ": first error: ", &shown]);
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// `failed (SIGKILL, OOMKilled), 2 gaps`: how a step stands, and what is known of why.
fn standing(stream: &Stream) -> String {
    let mut text = stream.status.as_str().to_owned();
    if let Some(exit) = &stream.exit {
        let code = exit.code.filter(|code| *code != 0).map(|code| code.to_string());
        let how = exit.signal.clone().or(code);
        let why = exit.reason.clone().filter(|why| how.as_ref() != Some(why));
        let known: Vec<String> = how.into_iter().chain(why).collect();
        if !known.is_empty() {
            text.extend([" (", &known.join(", "), ")"]);
        }
    }
    if stream.gaps > 0 {
        text.extend([", ", &counted(stream.gaps, "gap")]);
    }
    text
}

fn print_json<T: Serialize>(rows: &[T]) {
    for row in rows {
        if let Ok(json) = serde_json::to_string(row) {
            println!("{json}");
        }
    }
}

pub(super) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Columns, those of `numbers` to the right.
pub(super) fn aligned(table: &[Vec<String>], numbers: &[usize]) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = table.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in table {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            if numbers.contains(&column) {
                line.extend([padding.as_str(), cell]);
            } else {
                line.extend([cell.as_str(), &padding]);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn date(time: Nanos) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or_default();
    timestamp.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn took(started: Nanos, ended: Option<Nanos>, status: Status, now: Nanos) -> String {
    let end = match (ended, status) {
        (Some(ended), _) => ended,
        (None, Status::Running) => now,
        (None, _) => return "-".to_owned(),
    };
    short_duration(Duration::from_nanos(end.0.saturating_sub(started.0).max(0) as u64))
}

/// Names come from outside; a terminal must not obey them.
fn safe(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::testing::stream;
    use crate::record::Exit;

    #[test]
    fn tables() {
        let start = Nanos(1_795_416_240_000_000_000);
        let mut ok = stream("load", 1, Status::Succeeded);
        (ok.started, ok.ended) = (start, Some(Nanos(start.0 + 61_000_000_000)));
        (ok.lines, ok.bytes, ok.levels) = (Some(1_234_567), Some(9_876_543), Some([0; 6]));
        let mut bad = stream("train/eu", 2, Status::Failed);
        (bad.started, bad.ended) = (start, Some(Nanos(start.0 + 1_500_000_000)));
        let (signal, reason) = (Some("SIGKILL".into()), Some("OOMKilled".into()));
        bad.exit = Some(Exit { signal, reason, ..Exit::default() });
        bad.first_error = Some("CUDA out of memory\nmore".into());
        bad.gaps = 1;
        let mut live = stream("eval", 1, Status::Running);
        (live.started, live.lines) = (start, Some(7));
        let now = Nanos(start.0 + 3_600_000_000_000);
        let streams = [ok, bad, live];
        let started = date(start);
        let text = step_table(&streams, now).replace(&started, "<started>          ");
        insta::assert_snapshot!(text, @"
        STEP        ATTEMPT  SOURCE  STATUS                              STARTED              TOOK       LINES      BYTES  ERRORS
        load              1  step    succeeded                           <started>            1m 1s  1,234,567  9,876,543       0
        train%2Feu        2  step    failed (SIGKILL, OOMKilled), 1 gap  <started>            1.5s           -          -       -
        eval              1  step    running                             <started>            1h 0m          7          -       -

        train%2Feu, attempt 2: first error: CUDA out of memory
        ");
        let runs = [RunRow::new("run-1".into(), start, &streams)];
        let text = run_table(&runs, now).replace(&started, "<started>          ");
        insta::assert_snapshot!(text, @"
        RUN    STATUS   STARTED              TOOK          STEPS  LINES
        run-1  running  <started>            1h 0m  3 (1 failed)      -
        ");
    }
}
