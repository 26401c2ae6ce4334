//! From what a person points at to streams: asks the store for runs and streams, and says in words why
//! there are none. Apart from `target`, which is pure.

use std::collections::BTreeSet;

use super::store::{LogReader, ReadError, Run, Stream};
use super::target::{Name, Selection, Target};

/// How many runs back `@failed` looks: far enough for whoever asks without naming the run.
const RUNS_BACK: usize = 100;

/// What a target means in a store.
#[derive(Clone, Debug)]
pub struct Found {
    /// The run.
    pub run: String,
    /// The one step that is asked for, if it is one.
    pub step: Option<String>,
    /// All streams of the run, or of that step.
    pub all: Vec<Stream>,
    /// Those that are meant.
    pub selected: Vec<Stream>,
}

/// Why a target means nothing.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The store could not be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No run is like that, in words.
    #[error("{0}")]
    Nothing(String),
}

/// The run that is meant, with all its streams (of the one step that is named, if one is), and those
/// that the selection means. `store`: the name of the log store, for words;
/// `sees`: whether whoever asks may know of a run.
pub async fn find<R: LogReader + ?Sized>(
    reader: &R,
    store: &str,
    target: &Target,
    selection: &mut Selection,
    sees: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Found, FindError> {
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
    let (run, all) = match &target.run {
        Name::Id(run) => (run.clone(), reader.streams(run, step.as_deref(), &[]).await?),
        Name::Latest => {
            let seen = |runs: Vec<Run>| runs.into_iter().find(|run| sees(&run.pipeline_run_id));
            let mut newest = seen(reader.runs(1).await?);
            if newest.is_none() {
                newest = seen(reader.runs(RUNS_BACK).await?);
            }
            let none = || FindError::Nothing(format!("there are no runs in the log store {store}"));
            let run = newest.ok_or_else(none)?.pipeline_run_id;
            let all = reader.streams(&run, step.as_deref(), &[]).await?;
            (run, all)
        }
        Name::Failed => {
            selection.failed = true;
            let mut found = None;
            for run in reader.runs(RUNS_BACK).await? {
                if !sees(&run.pipeline_run_id) {
                    continue;
                }
                let all = reader.streams(&run.pipeline_run_id, step.as_deref(), &[]).await?;
                if !selection.of(&all).is_empty() {
                    found = Some((run.pipeline_run_id, all));
                    break;
                }
            }
            let none = || FindError::Nothing("none of the last runs has a failed step".to_owned());
            found.ok_or_else(none)?
        }
    };
    let selected = selection.of(&all);
    Ok(Found { run, step, all, selected })
}

/// Why nothing was selected, and what there is.
pub async fn nothing<R: LogReader + ?Sized>(
    reader: &R,
    store: &str,
    found: &Found,
    selection: &Selection,
) -> String {
    let run = &found.run;
    if found.all.is_empty() {
        if let Some(step) = &found.step
            && let Ok(all) = reader.streams(run, None, &[]).await
            && !all.is_empty()
        {
            return format!("run {run} has no step {step}; it has {}", listed(&steps(&all)));
        }
        return format!("there is no run {run} in the log store {store}");
    }
    let wanted = selection.steps.iter().find(|step| !steps(&found.all).contains(step));
    if let Some(step) = wanted {
        return format!("run {run} has no step {step}; it has {}", listed(&steps(&found.all)));
    }
    if selection.failed {
        return format!("no step of run {run} has failed");
    }
    let attempts: BTreeSet<u32> = found.all.iter().map(|it| it.origin.attempt).collect();
    let attempts: Vec<String> = attempts.iter().map(u32::to_string).collect();
    let mut sources: Vec<String> =
        found.all.iter().map(|stream| stream.origin.source.clone()).collect();
    sources.sort();
    sources.dedup();
    format!(
        "run {run} has no such attempt or source; attempts: {}; sources: {}",
        listed(&attempts),
        listed(&sources)
    )
}

fn steps(streams: &[Stream]) -> Vec<String> {
    let mut steps: Vec<String> =
        streams.iter().map(|stream| stream.origin.step_id.clone()).collect();
    steps.sort();
    steps.dedup();
    steps
}

/// The first few, in a sentence.
pub fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => text,
        Some(more) => format!("{text} and {more} more"),
    }
}
