//! `steplog gc`: removes runs that are old or too many, and what crashes have left.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::reading::{self, Access, Failure, bar, short_duration};
use super::wrap;
use crate::record::Nanos;
use crate::stores::artifact::Location;
use crate::stores::artifact::fetch::Reader;
use crate::stores::artifact::gc::{self, Garbage, Object, Policy};
use crate::words::counted;

/// Remove old logs from the artifact store
///
/// A run goes if all that is asked for holds of it: nothing has come for --older-than, and it is
/// none of the newest --keep. A run without an end in which something came within a day stays. With
/// neither option, only leftovers of crashes go.
///
/// Exit codes: 0 done; 2 usage; 4 the store does not allow it; 7 the store failed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Runs in which nothing has come for this long: 30d, 12h
    #[arg(long, value_name = "TIME", value_parser = wrap::duration)]
    older_than: Option<Duration>,
    /// Keep the newest N runs, whatever their age
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// The stack file
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    reading::end(collect(args))
}

fn collect(args: &Args) -> Result<u8, Failure> {
    let (access, config) = Access::artifact(args.stack.as_deref())?;
    let policy = Policy { older_than: args.older_than, keep: args.keep };
    let now = Nanos::now();
    let folder = match &config.location {
        Location::Local { path } => Some(path.as_path()),
        Location::Remote { .. } => None,
    };
    let finding = gc::find(&access.reader, policy, now, folder);
    let garbage = access.runtime.block_on(finding)?;
    for run in &garbage.runs {
        let age = now.0.saturating_sub(run.last_seen.0).max(0) as u64;
        println!(
            "run {}: {}, {}, last seen {} ago",
            run.pipeline_run_id,
            counted(run.objects.len() as u64, "object"),
            size(run.bytes()),
            short_duration(Duration::from_nanos(age))
        );
    }
    if !args.dry_run {
        remove(&access, &garbage)?;
    }
    summary(args, &garbage);
    Ok(0)
}

fn remove(access: &Access<Reader>, garbage: &Garbage) -> Result<(), Failure> {
    let bar = bar(garbage.runs.len() as u64 + 1, "removing");
    let stays = |file: &Path, error| {
        bar.suspend(|| wrap::say(format!("remove {}: {error}", file.display())));
    };
    let removing = gc::remove_all(&access.reader, garbage, || bar.inc(1), stays);
    access.runtime.block_on(removing)?;
    bar.finish_and_clear();
    Ok(())
}

fn summary(args: &Args, garbage: &Garbage) {
    for run in &garbage.may_run {
        println!("run {run} stays: it has no end, and something came within a day");
    }
    let bytes = garbage.runs.iter().map(gc::Run::bytes).sum::<u64>()
        + garbage.leftovers.iter().map(|Object { bytes, .. }| bytes).sum::<u64>();
    println!(
        "{} {}, {}, {}: {}; staying: {}",
        if args.dry_run { "would remove" } else { "removed" },
        counted(garbage.runs.len() as u64, "run"),
        counted(garbage.leftovers.len() as u64, "leftover object"),
        counted(garbage.files.len() as u64, "unfinished file"),
        size(bytes),
        counted(garbage.kept as u64, "run")
    );
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}
