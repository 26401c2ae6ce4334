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
use crate::read::find::{self, FindError, listed};
use crate::read::standing;
use crate::read::store::{LogReader, ReadError, Status, Stream};
use crate::read::target::{self, Selection, Target};
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

pub(super) use crate::read::find::Found;

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
    /// [`find::find`], waited for.
    pub(super) fn find(
        &self,
        target: &Target,
        selection: &mut Selection,
    ) -> Result<Found, Failure> {
        let found = find::find(&*self.reader, &self.name, target, selection, &|_| true);
        self.runtime.block_on(found).map_err(|error| match error {
            FindError::Read(error) => error.into(),
            FindError::Nothing(message) => Failure::not_found(message),
        })
    }

    /// Why nothing was selected.
    pub(super) fn nothing(&self, found: &Found, selection: &Selection) -> Failure {
        let nothing = find::nothing(&*self.reader, &self.name, found, selection);
        Failure::not_found(self.runtime.block_on(nothing))
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
    (stream.status == Status::Failed).then(|| match standing::why(stream) {
        Some(why) => format!("{} failed: {why}", name_of(stream)),
        None => format!("{} failed", name_of(stream)),
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
