//! What start and end records tell: which runs there are, and which records of that kind a run has.
//!
//! Apart from the flavors, which only find such records: doubles, and records that a service has found
//! but nobody asked for, are left out here.

use std::collections::HashSet;

use super::Search;
use crate::read::store::{ReadError, Run};
use crate::stores::records::event::StreamEvent;

/// Which start and end records are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Events<'a> {
    /// Starts, newest first, until there are so many runs. A service that can give each run once may
    /// end there by itself.
    NewestRuns(usize),
    /// Starts and ends of a run, or of one of its steps, in any order.
    OfRun { run: &'a str, step: Option<&'a str> },
}

/// Takes a record; says whether that is enough.
pub(crate) type Take<'a> = Box<dyn FnMut(StreamEvent) -> bool + Send + 'a>;

/// The newest runs, each once, in the order in which the service has found them.
pub(crate) async fn newest_runs(search: &dyn Search, limit: usize) -> Result<Vec<Run>, ReadError> {
    let (mut runs, mut seen) = (Vec::new(), HashSet::new());
    if limit == 0 {
        return Ok(runs);
    }
    let take = |StreamEvent { writer, end }: StreamEvent| {
        let run = writer.origin.pipeline_run_id;
        if end.is_none() && seen.insert(run.clone()) {
            runs.push(Run { pipeline_run_id: run, started: writer.started });
        }
        runs.len() >= limit
    };
    search.events(Events::NewestRuns(limit), Box::new(take)).await?;
    Ok(runs)
}

/// All start and end records of a run, or of one of its steps, in any order.
pub(crate) async fn events_of(
    search: &dyn Search,
    run: &str,
    step: Option<&str>,
) -> Result<Vec<StreamEvent>, ReadError> {
    let mut events = Vec::new();
    let take = |event: StreamEvent| {
        let origin = &event.writer.origin;
        if origin.pipeline_run_id == run && step.is_none_or(|step| origin.step_id == step) {
            events.push(event);
        }
        false
    };
    search.events(Events::OfRun { run, step }, Box::new(take)).await?;
    Ok(events)
}
