//! `steplog verify`: proves that logs are whole.

use std::path::PathBuf;
use std::process::ExitCode;

use super::reading::{self, Access, DAMAGED, Failure, INCOMPLETE, NOT_FOUND, bar};
use crate::read::target::{Selection, Target};
use crate::record::{Origin, Writer};
use crate::stores::artifact::verify::{self, Kind, Report};
use crate::words::counted;

/// Prove that the logs of a run are whole: nothing missing, doubled or altered
///
/// Reads everything and computes every checksum, the chain over all chunks, all counts and all
/// numbers anew.
///
/// Exit codes: 0 whole (an interrupted step too, if all that was captured is here); 2 usage; 3 no
/// such run; 4 the store does not allow it; 5 incomplete: not finished, something is missing, or
/// lines could not be kept when they were captured; 6 altered, doubled or in disorder; 7 the store
/// failed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// RUN[/STEP[/ATTEMPT]]
    #[arg(value_name = "RUN[/STEP[/ATTEMPT]]", default_value = "@latest")]
    target: Target,
    /// Print a JSON object a writer
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Form,
    /// The stack file
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

pub(super) fn run(args: &Args) -> ExitCode {
    reading::end(prove(args))
}

fn prove(args: &Args) -> Result<u8, Failure> {
    let (access, _) = Access::artifact(args.stack.as_deref())?;
    // Every attempt, unless one is named; only writers count here, not how they stand.
    let mut selection = Selection {
        attempts: args
            .target
            .attempt
            .map_or(crate::read::target::Attempts::All, crate::read::target::Attempts::Number),
        ..Selection::default()
    };
    let found = access.find(&args.target, &mut selection)?;
    if found.selected.is_empty() {
        return Err(access.nothing(&found, &selection));
    }
    let writers = verify::writers(&access.reader, &found.run, found.step.as_deref());
    let mut writers = access.runtime.block_on(writers)?;
    writers.retain(|writer| found.selected.iter().any(|stream| stream.writer == writer.id));
    if writers.is_empty() {
        let message = format!("run {} has gone", found.run);
        return Err(Failure { code: NOT_FOUND, message });
    }
    let bar = bar(writers.len() as u64, "verifying");
    let mut worst = 0;
    for writer in &writers {
        let report = access.runtime.block_on(verify::verify(&access.reader, writer))?;
        bar.inc(1);
        bar.suspend(|| print(args.output, &report));
        worst = worst.max(code(&report));
    }
    bar.finish_and_clear();
    Ok(worst)
}

fn code(report: &Report) -> u8 {
    match report.worst() {
        None | Some(Kind::Leftover) => 0,
        Some(Kind::Missing) => INCOMPLETE,
        Some(Kind::Damaged) => DAMAGED,
    }
}

fn verdict(report: &Report) -> &'static str {
    match report.worst() {
        None | Some(Kind::Leftover) => "whole",
        Some(Kind::Missing) => "incomplete",
        Some(Kind::Damaged) => "damaged",
    }
}

fn print(form: Form, report: &Report) {
    if form == Form::Json {
        let findings: Vec<&str> = report.findings.iter().map(|it| it.what.as_str()).collect();
        let json = serde_json::json!({
            "writer": report.writer.id,
            "pipeline_run_id": report.writer.origin.pipeline_run_id,
            "step_id": report.writer.origin.step_id,
            "attempt": report.writer.origin.attempt,
            "source": report.writer.origin.source,
            "verdict": verdict(report),
            "finished": report.finished,
            "lines": report.lines,
            "bytes": report.bytes,
            "chunks": report.chunks,
            "objects": report.objects,
            "findings": findings,
        });
        println!("{json}");
        return;
    }
    println!(
        "{}: {}: {}, {}, {} in {}",
        name(&report.writer),
        verdict(report),
        counted(report.lines, "line"),
        counted(report.bytes, "byte"),
        counted(report.chunks, "chunk"),
        counted(report.objects, "object")
    );
    for finding in &report.findings {
        println!("  {}", finding.what);
    }
}

fn name(writer: &Writer) -> String {
    let Origin { pipeline_run_id, step_id, attempt, source } = &writer.origin;
    format!("{pipeline_run_id}/{step_id}/{attempt} {source}")
}
