//! Who writes: the writer's origin and attributes, from options, environment and what the machine
//! says; and what a step is told about it, so that a steplog inside it joins the same run.
//!
//! Pure given the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::enrich::{self, Table};
use crate::record::{Nanos, Origin, Writer, WriterId};

/// Set for a step: the writer that captures it.
pub const PARENT_WRITER: &str = "STEPLOG_PARENT_WRITER";

/// Set for a step: the spool directories of all writers around it, innermost first, as PATH has it.
pub const WRITER_DIR: &str = "STEPLOG_WRITER_DIR";

/// Set for a step: how many writers there are around it.
const DEPTH: &str = "STEPLOG_DEPTH";

/// What the user says on the command line; wins over the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// `--run`
    pub pipeline_run_id: Option<String>,
    /// `--step`
    pub step_id: Option<String>,
    /// `--attempt`
    pub attempt: Option<u32>,
    /// `--source`
    pub source: Option<String>,
    /// `--attribute`
    pub attributes: Vec<(String, String)>,
}

/// A writer, and whether its run has a name that the user knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The writer.
    pub writer: Writer,
    /// Nobody named the run, so this one was made up.
    pub made_up: bool,
}

/// Works out who writes. `what` stands in for a step that nobody has named.
pub fn identify(
    named: Named,
    table: &Table,
    environment: &BTreeMap<String, String>,
    what: &str,
) -> Identity {
    let resolved = enrich::resolve(table, environment);
    let id = WriterId::new();
    let started = Nanos::now();
    let run = named.pipeline_run_id.or(resolved.pipeline_run_id);
    let made_up = run.is_none();
    let nested = depth(environment) > 0;
    let own_place = named.step_id.is_some() || named.attempt.is_some() || named.source.is_some();
    let mut attributes = resolved.attributes;
    if let Some(parent) = environment.get(PARENT_WRITER) {
        attributes.insert("steplog.parent_writer".to_owned(), parent.clone());
    }
    attributes.extend(named.attributes);
    // What this captures is also in what the writer around it captures: another source keeps the
    // two apart where nothing else does.
    let nested_source = || match depth(environment) {
        1 => "nested".to_owned(),
        depth => format!("nested:{depth}"),
    };
    let source = match named.source.or(resolved.source) {
        Some(source) => source,
        None if nested && !own_place => nested_source(),
        None => "step".to_owned(),
    };
    let origin = Origin {
        pipeline_run_id: run.unwrap_or_else(|| make_up(id, started)),
        step_id: named.step_id.or(resolved.step_id).unwrap_or_else(|| what.to_owned()),
        attempt: named.attempt.or(resolved.attempt).unwrap_or(1),
        source,
    };
    Identity { writer: Writer { id, origin, started, attributes }, made_up }
}

/// What the step is told: variables for its environment.
pub fn tell(
    writer: &Writer,
    spool: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Vec<(String, OsString)> {
    let origin = &writer.origin;
    let mut told: Vec<(String, OsString)> = vec![
        ("STEPLOG_PIPELINE_RUN_ID".to_owned(), origin.pipeline_run_id.clone().into()),
        ("STEPLOG_STEP_ID".to_owned(), origin.step_id.clone().into()),
        ("STEPLOG_ATTEMPT".to_owned(), origin.attempt.to_string().into()),
        // Not inherited, as the same words in two writers around each other would be in one source.
        ("STEPLOG_SOURCE".to_owned(), OsString::new()),
        (PARENT_WRITER.to_owned(), writer.id.to_string().into()),
        (DEPTH.to_owned(), (depth(environment) + 1).to_string().into()),
    ];
    if let Some(spool) = spool {
        let outer = environment.get(WRITER_DIR).map(String::as_str).unwrap_or_default();
        let all = std::iter::once(spool.to_owned())
            .chain(std::env::split_paths(outer).filter(|path| path.is_absolute()));
        // A colon in a path cannot be written there; then at least the innermost is told.
        let joined = std::env::join_paths(all).unwrap_or_else(|_| spool.into());
        told.push((WRITER_DIR.to_owned(), joined));
    }
    told
}

/// The spool directories that the environment tells of, innermost first.
pub fn writer_dirs(told: &OsString) -> Vec<PathBuf> {
    std::env::split_paths(told).filter(|path| path.is_absolute()).collect()
}

fn depth(environment: &BTreeMap<String, String>) -> u32 {
    environment
        .get(PARENT_WRITER)
        .map_or(0, |_| environment.get(DEPTH).and_then(|depth| depth.parse().ok()).unwrap_or(1))
}

/// A name for a run that has none: when it started, and enough of the writer's id to be unique.
/// `20261123-064401-7f3a9c5d`
fn make_up(id: WriterId, started: Nanos) -> String {
    let digits: String = started.to_rfc3339().chars().filter(char::is_ascii_digit).collect();
    let (date, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    let time = time.get(..6).unwrap_or(time);
    let [.., a, b, c, d] = *id.0.as_bytes();
    format!("{date}-{time}-{a:02x}{b:02x}{c:02x}{d:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn origin(named: Named, pairs: &[(&str, &str)]) -> (String, bool) {
        let identity = identify(named, &Table::default(), &environment(pairs), "train.sh");
        let Origin { pipeline_run_id, step_id, attempt, source } = identity.writer.origin;
        let run = if identity.made_up { "?".to_owned() } else { pipeline_run_id };
        (format!("{run}/{step_id}/{attempt}/{source}"), identity.made_up)
    }

    #[test]
    fn options_win_over_the_environment_and_that_over_nothing() {
        let named = Named { step_id: Some("s".into()), attempt: Some(2), ..Named::default() };
        let variables = [("STEPLOG_PIPELINE_RUN_ID", "r"), ("STEPLOG_STEP_ID", "other")];
        assert_eq!(origin(named, &variables), ("r/s/2/step".into(), false));
        assert_eq!(origin(Named::default(), &variables), ("r/other/1/step".into(), false));
        assert_eq!(origin(Named::default(), &[]), ("?/train.sh/1/step".into(), true));
    }

    #[test]
    fn a_nested_writer_joins_the_run_as_another_source() {
        let outer = identify(Named::default(), &Table::default(), &environment(&[]), "outer");
        let told = tell(&outer.writer, Some(Path::new("/s/a")), &environment(&[]));
        let inside: BTreeMap<String, String> =
            told.into_iter().map(|(name, value)| (name, value.into_string().unwrap())).collect();
        let inner = identify(Named::default(), &Table::default(), &inside, "inner");
        assert!(!inner.made_up);
        assert_eq!(inner.writer.origin.pipeline_run_id, outer.writer.origin.pipeline_run_id);
        assert_eq!(inner.writer.origin.step_id, "outer");
        assert_eq!(inner.writer.origin.source, "nested");
        assert_eq!(inner.writer.attributes["steplog.parent_writer"], outer.writer.id.to_string());
        let told = tell(&inner.writer, Some(Path::new("/s/b")), &inside);
        let deeper: BTreeMap<String, String> =
            told.into_iter().map(|(name, value)| (name, value.into_string().unwrap())).collect();
        assert_eq!(deeper[WRITER_DIR], "/s/b:/s/a");
        let innermost = identify(Named::default(), &Table::default(), &deeper, "x");
        assert_eq!(innermost.writer.origin.source, "nested:2");
        let named = Named { step_id: Some("own".into()), ..Named::default() };
        let named = identify(named, &Table::default(), &deeper, "x");
        assert_eq!(named.writer.origin.source, "step");
    }

    #[test]
    fn made_up_names_can_be_read() {
        let id: WriterId = "019356d1-0000-7000-8000-0000deadbeef".parse().unwrap();
        let started = Nanos::from_rfc3339("2026-11-23T06:44:01.5Z").unwrap();
        assert_eq!(make_up(id, started), "20261123-064401-deadbeef");
    }
}
