//! What the commands that read have in common: the store, the exit codes, what is said when
//! something is not there.
//!
//! | code | |
//! |---|---|
//! | 0 | done |
//! | 1 | nothing matched |
//! | 2 | usage, or the stack file is wrong |
//! | 3 | no such run, step or attempt |
//! | 4 | the log store does not allow it |
//! | 5 | incomplete: lines are missing or damaged, or there is no end and nothing comes any more |
//! | 6 | `verify` only: altered, doubled or in disorder |
//! | 7 | the log store cannot be reached or failed |

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::wrap::{chain, say};
use crate::read::store::{LogReader, ReadError, Status, Stream};
use crate::read::target::{self, Name, Selection, Target};
use crate::record::Nanos;
use crate::stack::{self, Stack};
use crate::stores::artifact::fetch::Reader;
use crate::stores::artifact::without_queries;
use crate::stores::{self, Reading, artifact};
use crate::words::counted;

pub(super) const NO_MATCH: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const NOT_FOUND: u8 = 3;
pub(super) const NOT_ALLOWED: u8 = 4;
pub(super) const INCOMPLETE: u8 = 5;
pub(super) const DAMAGED: u8 = 6;
pub(super) const STORE_FAILED: u8 = 7;

/// Why a command ends early.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn usage(message: impl Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    pub(super) fn not_found(message: impl Display) -> Self {
        Self { code: NOT_FOUND, message: message.to_string() }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let code = match error {
            ReadError::Denied(_) => NOT_ALLOWED,
            ReadError::Store(_) => STORE_FAILED,
        };
        Self { code, message: without_queries(&chain(&error)) }
    }
}

/// Says what went wrong, if something did.
pub(super) fn end(result: Result<u8, Failure>) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|failure| {
        say(failure.message);
        failure.code
    }))
}

/// The store to read from.
pub(super) struct Access<R: ?Sized = dyn LogReader> {
    pub(super) runtime: Runtime,
    /// Of the log store.
    pub(super) name: String,
    pub(super) reader: Arc<R>,
}

impl Access {
    /// The log store of the stack that is named, or else the first that can be read.
    pub(super) fn open(file: Option<&Path>, log_store: Option<&str>) -> Result<Self, Failure> {
        let Stack { log_stores, .. } = load(file)?;
        let names: Vec<String> = log_stores.iter().map(|store| store.name.clone()).collect();
        let (mut elsewhere, mut others) = (Vec::new(), Vec::new());
        for store in log_stores {
            let wanted = log_store.is_none_or(|wanted| wanted == store.name);
            match store.config.reading().map_err(|error| failed(chain(&error))) {
                Ok(Reading::Here(reader)) if wanted => {
                    return Ok(Self { runtime: runtime()?, name: store.name, reader });
                }
                Ok(Reading::Here(_)) => others.push(store.name),
                Ok(Reading::Elsewhere(place)) if wanted => {
                    elsewhere.push(format!("log store {}: {place}", store.name));
                }
                Err(failure) if wanted => return Err(failure),
                Ok(Reading::Elsewhere(_)) | Err(_) => {}
            }
        }
        if elsewhere.is_empty() {
            return Err(Failure::usage(format!(
                "the stack has no log store {:?}; it has {}",
                log_store.unwrap_or_default(),
                listed(&names)
            )));
        }
        let advice = if others.is_empty() {
            "to read logs with steplog too, add a log store of the flavor artifact to the stack's \
             log_stores"
                .to_owned()
        } else {
            format!("of the stack's log stores, {} can be read", listed(&others))
        };
        Err(Failure::usage(format!("{}; {advice}", elsewhere.join("; "))))
    }
}

impl Access<Reader> {
    /// The first log store of the stack that is an artifact store, or else its artifact store.
    pub(super) fn artifact(file: Option<&Path>) -> Result<(Self, artifact::Config), Failure> {
        let Stack { log_stores, artifact_store, .. } = load(file)?;
        let kept = log_stores.into_iter().find_map(|store| match store.config {
            stores::Config::Artifact(config) => Some((store.name, config)),
            _ => None,
        });
        let (name, config) = kept.unwrap_or((artifact_store.name, artifact_store.config));
        let reader = Reader::of(&config).map_err(|error| failed(chain(&error)))?;
        Ok((Self { runtime: runtime()?, name, reader: Arc::new(reader) }, config))
    }
}

fn load(file: Option<&Path>) -> Result<Stack, Failure> {
    stack::load(file).map_err(|errors| Failure::usage(chain(&errors)))
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed(format!("start threads: {error}")))
}

fn failed(message: String) -> Failure {
    Failure { code: STORE_FAILED, message }
}

impl<R: LogReader + ?Sized> Access<R> {
    /// The run that is meant, with all its streams (of the one step that is named, if one is), and
    /// those that the selection means.
    pub(super) fn find(
        &self,
        target: &Target,
        selection: &mut Selection,
    ) -> Result<Found, Failure> {
        match &target.step {
            None => {}
            Some(Name::Id(step)) => selection.steps.push(step.clone()),
            Some(Name::Latest) => selection.latest_step = true,
            Some(Name::Failed) => selection.failed = true,
        }
        let step = match selection.steps.as_slice() {
            [step] => Some(step.clone()),
            _ => None,
        };
        let streams = |run: &str, step: Option<&str>| {
            self.runtime.block_on(self.reader.streams(run, step, &[]))
        };
        let (run, all) = match &target.run {
            Name::Id(run) => (run.clone(), streams(run, step.as_deref())?),
            Name::Latest => {
                let runs = self.runtime.block_on(self.reader.runs(1))?;
                let run = runs.into_iter().next().ok_or_else(|| self.no_runs())?.pipeline_run_id;
                let all = streams(&run, step.as_deref())?;
                (run, all)
            }
            Name::Failed => {
                selection.failed = true;
                // Far enough back for whoever asks without naming the run.
                let runs = self.runtime.block_on(self.reader.runs(100))?;
                let mut found = None;
                for run in runs {
                    let all = streams(&run.pipeline_run_id, step.as_deref())?;
                    if !selection.of(&all).is_empty() {
                        found = Some((run.pipeline_run_id, all));
                        break;
                    }
                }
                found
                    .ok_or_else(|| Failure::not_found("none of the last runs has a failed step"))?
            }
        };
        let selected = selection.of(&all);
        Ok(Found { run, step, all, selected })
    }

    fn no_runs(&self) -> Failure {
        Failure::not_found(format!("there are no runs in the log store {}", self.name))
    }

    /// Why nothing was selected.
    pub(super) fn nothing(&self, found: &Found, selection: &Selection) -> Failure {
        let run = &found.run;
        if found.all.is_empty() {
            let others = found.step.as_ref().and_then(|step| {
                let all = self.runtime.block_on(self.reader.streams(run, None, &[])).ok()?;
                (!all.is_empty()).then(|| {
                    format!("run {run} has no step {step}; it has {}", listed(&steps(&all)))
                })
            });
            return Failure::not_found(others.unwrap_or_else(|| {
                format!("there is no run {run} in the log store {}", self.name)
            }));
        }
        let wanted = selection.steps.iter().find(|step| !steps(&found.all).contains(step));
        if let Some(step) = wanted {
            let others = listed(&steps(&found.all));
            return Failure::not_found(format!("run {run} has no step {step}; it has {others}"));
        }
        if selection.failed {
            return Failure::not_found(format!("no step of run {run} has failed"));
        }
        let attempts: Vec<String> =
            found.all.iter().map(|stream| stream.origin.attempt.to_string()).collect();
        let mut sources: Vec<String> =
            found.all.iter().map(|stream| stream.origin.source.clone()).collect();
        sources.sort();
        sources.dedup();
        Failure::not_found(format!(
            "run {run} has no such attempt or source; attempts: {}; sources: {}",
            listed(&attempts),
            listed(&sources)
        ))
    }
}

/// What a target means in this store.
pub(super) struct Found {
    pub(super) run: String,
    /// The one step that is asked for, if it is one.
    pub(super) step: Option<String>,
    /// All streams of the run, or of that step.
    pub(super) all: Vec<Stream>,
    pub(super) selected: Vec<Stream>,
}

fn steps(streams: &[Stream]) -> Vec<String> {
    let mut steps: Vec<String> =
        streams.iter().map(|stream| stream.origin.step_id.clone()).collect();
    steps.sort();
    steps.dedup();
    steps
}

/// The first few, in a sentence.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => text,
        Some(more) => format!("{text} and {more} more"),
    }
}

/// A stream in a sentence: `train`, `train, attempt 2`, `train (client)`.
pub(super) fn name_of(stream: &Stream) -> String {
    let name = target::escape(&stream.origin.step_id);
    match (stream.origin.attempt, stream.origin.source.as_str()) {
        (1, "step") => name,
        (1, source) => format!("{name} ({source})"),
        (attempt, "step") => format!("{name}, attempt {attempt}"),
        (attempt, source) => format!("{name}, attempt {attempt} ({source})"),
    }
}

/// What a person has to know of a stream beside its lines.
pub(super) fn caveat(stream: &Stream) -> Option<String> {
    let name = name_of(stream);
    match stream.status {
        Status::Running => Some(format!("{name} is still running")),
        Status::Unfinished => {
            let seen = stream.last_seen.unwrap_or(stream.started);
            let ago = Nanos::now().0.saturating_sub(seen.0).max(0) as u64;
            Some(format!(
                "{name} is unfinished: nothing has come for {}; the step is quiet, or the rest is \
                 still in the spool on its machine (steplog ship --all delivers it there)",
                short_duration(Duration::from_nanos(ago))
            ))
        }
        Status::Interrupted => Some(format!(
            "{name} was interrupted: capture ended before the step did, what it had is here"
        )),
        Status::Succeeded | Status::Failed | Status::Continued if stream.gaps > 0 => {
            let gaps = counted(stream.gaps, "gap");
            Some(format!("{name} has {gaps}: lines that could not be kept"))
        }
        Status::Succeeded | Status::Failed | Status::Continued => None,
    }
}

/// Lines are missing of it, or may be.
pub(super) fn is_incomplete(stream: &Stream) -> bool {
    stream.gaps > 0 || stream.status == Status::Unfinished
}

/// How the step ended, where it did not end well.
pub(super) fn ending(stream: &Stream) -> Option<String> {
    let exit = stream.exit.as_ref().filter(|_| stream.status == Status::Failed)?;
    let name = name_of(stream);
    let text = match (&exit.signal, exit.code) {
        (Some(signal), _) => format!("{name} failed: killed by {signal}"),
        (None, Some(code)) => format!("{name} failed: exit code {code}"),
        (None, None) => format!("{name} failed"),
    };
    Some(match &exit.reason {
        Some(reason) => format!("{text} ({reason})"),
        None => text,
    })
}

/// The two largest units: `2h 5m`, `1.3s`.
pub(super) fn short_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.subsec_millis() < 1 => "0s".to_owned(),
        0 => format!("{}ms", duration.subsec_millis()),
        1..60 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A progress bar, where somebody sees it.
pub(super) fn bar(total: u64, what: &str) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let style = indicatif::ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {elapsed}");
    let bar = indicatif::ProgressBar::new(total).with_message(what.to_owned());
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations() {
        let durations = [0, 20, 1_900, 61_000, 7_265_000, 90_000_000]
            .map(|millis| short_duration(Duration::from_millis(millis)));
        assert_eq!(durations, ["0s", "20ms", "1.9s", "1m 1s", "2h 1m", "1d 1h"]);
    }
}
