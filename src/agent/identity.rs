//! Whose lines a stream has: what is known of it from several sides, and which side wins.
//!
//! ```text
//! the input's table ► path, or a connection's header ► env file ► environment of who writes ► the agent's own
//! ```
//!
//! What a table fixes no step can change. Values from elsewhere are checked before they become
//! anybody's metadata. Apart because who wins is a promise; reads no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::capture::file::Captures;
use crate::capture::identity::{Named, identify};
use crate::enrich::Table;
use crate::record::Writer;

use super::Metadata;

/// The longest value that a header or an attach may give, bytes.
pub(super) const MAX_VALUE: usize = 256;
/// The most attributes of a header.
pub(super) const MAX_ATTRIBUTES: usize = 64;

/// What is known of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The input's table.
    pub(super) table: Metadata,
    /// What its path, or a connection's first line, says.
    pub(super) own: Metadata,
    /// Variables: of the env file, or of the process that writes.
    pub(super) said: BTreeMap<String, String>,
    /// Those of the agent, one copy for all streams.
    pub(super) environment: Arc<BTreeMap<String, String>>,
    /// The name of a step that nobody has named.
    pub(super) what: String,
    /// What the agent itself knows.
    pub(super) attributes: BTreeMap<String, String>,
}

impl Known {
    /// A new writer for this stream.
    pub(super) fn writer(&self, table: &Table) -> Writer {
        let (fixed, own) = (&self.table, &self.own);
        let mut attributes = self.attributes.clone();
        attributes.extend(own.attributes.clone());
        attributes.extend(fixed.attributes.clone());
        let named = Named {
            pipeline_run_id: fixed.pipeline_run_id.clone().or(own.pipeline_run_id.clone()),
            step_id: fixed.step_id.clone().or(own.step_id.clone()),
            attempt: fixed.attempt.or(own.attempt),
            source: fixed.source.clone().or(own.source.clone()),
            attributes: attributes.into_iter().collect(),
        };
        let mut environment = BTreeMap::clone(&self.environment);
        environment.extend(self.said.clone());
        // What the agent was started in is not around its streams.
        environment.remove(crate::capture::identity::PARENT_WRITER);
        identify(named, table, &environment, &self.what).writer
    }

    /// The same, as something that whoever goes on with the stream may say of it.
    pub(super) fn metadata(&self, table: &Table) -> Metadata {
        let Writer { origin, attributes, .. } = self.writer(table);
        Metadata {
            pipeline_run_id: Some(origin.pipeline_run_id),
            step_id: Some(origin.step_id),
            attempt: Some(origin.attempt),
            source: Some(origin.source),
            attributes: attributes.into_iter().collect(),
        }
    }
}

impl From<Captures> for Metadata {
    fn from(captures: Captures) -> Self {
        let Captures { pipeline_run_id, step_id, attempt, source, attributes } = captures;
        Self { pipeline_run_id, step_id, attempt, source, attributes }
    }
}

impl Metadata {
    /// Whether it may be anybody's metadata: says what is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        let ids = [
            ("pipeline_run_id", &self.pipeline_run_id),
            ("step_id", &self.step_id),
            ("source", &self.source),
        ];
        for (name, value) in ids {
            let Some(value) = value else { continue };
            check(name, value)?;
            if value.is_empty() || value == "." || value == ".." {
                return Err(format!("{name} has no letter or digit"));
            }
        }
        if self.attempt == Some(0) {
            return Err("attempt is not a number from 1".to_owned());
        }
        if self.attributes.len() > MAX_ATTRIBUTES {
            return Err(format!("there are more than {MAX_ATTRIBUTES} attributes"));
        }
        self.attributes.iter().try_for_each(|(name, value)| {
            check("the name of an attribute", name)?;
            check(name, value)
        })
    }
}

fn check(name: &str, value: &str) -> Result<(), String> {
    if value.len() > MAX_VALUE {
        return Err(format!("{name} is longer than {MAX_VALUE} bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("{name} has characters that cannot be shown"));
    }
    Ok(())
}

/// Variables as a file has them: `NAME=value` a line, with or without `export` and quotes; `#` begins a
/// comment line.
pub(super) fn variables(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| {
            value.strip_prefix(*quote).and_then(|value| value.strip_suffix(*quote))
        });
        Some((name.trim().to_owned(), quoted.unwrap_or(value).to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The variables of a process as `/proc/PID/environ` has them; those that are not UTF-8 are left out.
pub(super) fn environ(bytes: &[u8]) -> BTreeMap<String, String> {
    let one = |pair: &[u8]| {
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    bytes.split(|byte| *byte == 0).filter_map(one).collect()
}

/// An env file's path for these captures: each `{name}` of it replaced.
pub(super) fn filled(template: &str, own: &Metadata) -> String {
    let mut path = template.to_owned();
    let attempt = own.attempt.map(|attempt| attempt.to_string());
    let values = [
        ("pipeline_run_id", own.pipeline_run_id.as_ref()),
        ("step_id", own.step_id.as_ref()),
        ("attempt", attempt.as_ref()),
        ("source", own.source.as_ref()),
    ];
    for (name, value) in values.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    for (name, value) in &own.attributes {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(run: Option<&str>, step: Option<&str>) -> Metadata {
        let text = |text: &str| text.to_owned();
        Metadata { pipeline_run_id: run.map(text), step_id: step.map(text), ..Metadata::default() }
    }

    #[test]
    fn what_the_table_fixes_wins_and_variables_come_last() {
        let environment = [
            ("STEPLOG_PIPELINE_RUN_ID", "forged"),
            ("STEPLOG_STEP_ID", "of the environment"),
            ("STEPLOG_ATTEMPT", "3"),
        ];
        let said = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut known = Known {
            table: metadata(Some("fixed"), None),
            own: metadata(Some("of the path"), Some("train")),
            said,
            what: "what".into(),
            ..Known::default()
        };
        let origin = known.writer(&Table::default()).origin;
        let ids = (origin.pipeline_run_id.as_str(), origin.step_id.as_str(), origin.attempt);
        assert_eq!(ids, ("fixed", "train", 3));
        known.table.pipeline_run_id = None;
        known.own.step_id = None;
        let origin = known.writer(&Table::default()).origin;
        let ids = (origin.pipeline_run_id.as_str(), origin.step_id.as_str(), origin.attempt);
        assert_eq!(ids, ("of the path", "of the environment", 3));
        known.said.clear();
        assert_eq!(known.writer(&Table::default()).origin.step_id, "what");
    }

    #[test]
    fn variables_of_files_and_processes() {
        let text = "A=1\nexport B=\"two words\"\n# C=3\n D = 'x=y' \nnothing\n";
        let expected = [("A", "1"), ("B", "two words"), ("D", "x=y")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables(text), expected.into());
        let environ = environ(b"A=1\0B=\xff\0C=\0nothing\0");
        assert_eq!(environ.into_keys().collect::<Vec<_>>(), ["A", "C"]);
    }

    #[test]
    fn what_cannot_be_metadata_is_refused() {
        assert!(metadata(Some("run 7"), Some("a/b")).check().is_ok());
        for bad in ["", "..", "a\nb", &"x".repeat(300)] {
            assert!(metadata(Some(bad), None).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_env_file_stands_beside_its_file() {
        let own = metadata(Some("r1"), Some("train"));
        assert_eq!(filled("/s/{pipeline_run_id}/{step_id}.env", &own), "/s/r1/train.env");
    }
}
