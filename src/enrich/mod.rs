//! Environment to metadata: which run and step this is, and what else is worth knowing.
//!
//! Pure: a map of variables in, [`Resolved`] out. What the machine knows (host name, process id)
//! is added by the caller. Every value is bounded, control characters are taken out, and only
//! variables that a [`preset`] or the user names are looked at, so that a secret in the
//! environment never becomes metadata.

pub mod preset;
mod resource;
mod trace;

use std::collections::BTreeMap;

use preset::{PRESETS, Preset};

/// Longest id that is taken from the environment, bytes.
pub const MAX_ID_BYTES: usize = 512;
/// Longest attribute value, bytes.
pub const MAX_VALUE_BYTES: usize = 1024;
/// Most attributes of one writer.
pub const MAX_ATTRIBUTES: usize = 128;

/// Where metadata comes from: the `[metadata]` table, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Environment variables to look at, in order; the first that is set and not empty wins.
    pub pipeline_run_id: Vec<String>,
    /// As above.
    pub step_id: Vec<String>,
    /// As above; a number. Counters that start at 0 are known by name and shifted.
    pub attempt: Vec<String>,
    /// As above; `step` if none is set.
    pub source: Vec<String>,
    /// The user's attributes.
    pub attributes: BTreeMap<String, Attribute>,
}

/// Where one attribute comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// An environment variable's value, if it is set.
    Env(String),
    /// As it stands.
    Value(String),
}

/// What the environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The pipeline run, if anything names it.
    pub pipeline_run_id: Option<String>,
    /// The step, if anything names it.
    pub step_id: Option<String>,
    /// The try at the step, from 1.
    pub attempt: Option<u32>,
    /// The source.
    pub source: Option<String>,
    /// Constant attributes, by OpenTelemetry name where there is one.
    pub attributes: BTreeMap<String, String>,
}

impl Default for Table {
    /// The variables of steplog itself, then those of every preset, in the presets' order.
    fn default() -> Self {
        let names = |own: &str, field: fn(&Preset) -> &'static [&'static str]| {
            let mut names = vec![own.to_owned()];
            for name in PRESETS.iter().flat_map(field) {
                if !names.iter().any(|known| known == name) {
                    names.push((*name).to_owned());
                }
            }
            names
        };
        Self {
            pipeline_run_id: names("STEPLOG_PIPELINE_RUN_ID", |preset| preset.pipeline_run_id),
            step_id: names("STEPLOG_STEP_ID", |preset| preset.step_id),
            attempt: names("STEPLOG_ATTEMPT", |preset| preset.attempt),
            source: vec!["STEPLOG_SOURCE".to_owned()],
            attributes: BTreeMap::new(),
        }
    }
}

/// Looks up what `table` names in `env`.
///
/// The user's attributes win over `OTEL_RESOURCE_ATTRIBUTES`, which win over presets.
pub fn resolve(table: &Table, env: &BTreeMap<String, String>) -> Resolved {
    let mut resolved = Resolved {
        pipeline_run_id: first(&table.pipeline_run_id, env).map(|(_, value)| value),
        step_id: first(&table.step_id, env).map(|(_, value)| value),
        attempt: attempt(&table.attempt, env),
        source: first(&table.source, env).map(|(_, value)| value),
        attributes: BTreeMap::new(),
    };
    let attributes = &mut resolved.attributes;
    for preset in PRESETS.iter().filter(|preset| preset.present(env)) {
        if let Some(system) = preset.system {
            attributes.entry("cicd.system".to_owned()).or_insert_with(|| system.to_owned());
        }
        for (variable, name) in preset.attributes {
            if let Some(value) = value(env, variable, MAX_VALUE_BYTES) {
                attributes.entry((*name).to_owned()).or_insert(value);
            }
        }
    }
    for (name, value) in resource::attributes(env) {
        attributes.insert(name, value);
    }
    for (name, value) in trace::attributes(env) {
        attributes.insert(name, value);
    }
    while attributes.len() > MAX_ATTRIBUTES {
        attributes.pop_last();
    }
    for (name, attribute) in &table.attributes {
        let value = match attribute {
            Attribute::Env(variable) => value(env, variable, MAX_VALUE_BYTES),
            Attribute::Value(value) => clean(value, MAX_VALUE_BYTES),
        };
        if let Some(value) = value {
            attributes.insert(name.clone(), value);
        }
    }
    resolved
}

/// The first variable that is set, has something in it, and whose preset applies.
fn first<'a>(names: &'a [String], env: &BTreeMap<String, String>) -> Option<(&'a str, String)> {
    names.iter().filter(|name| preset::applies(name, env)).find_map(|name| {
        let value = value(env, name, MAX_ID_BYTES)?;
        let value = preset::part_of(name, &value).map_or(value.clone(), str::to_owned);
        Some((name.as_str(), value))
    })
}

fn attempt(names: &[String], env: &BTreeMap<String, String>) -> Option<u32> {
    names.iter().filter(|name| preset::applies(name, env)).find_map(|name| {
        let number: u32 = env.get(name)?.trim().parse().ok()?;
        let number = if preset::counts_from_zero(name) { number.checked_add(1)? } else { number };
        Some(number.max(1))
    })
}

fn value(env: &BTreeMap<String, String>, name: &str, max_bytes: usize) -> Option<String> {
    clean(env.get(name)?, max_bytes)
}

/// Trims, takes out control characters and credentials in a URL, and cuts to `max_bytes`.
/// `None` if nothing is left.
fn clean(text: &str, max_bytes: usize) -> Option<String> {
    let mut text: String = text.trim().chars().filter(|char| !char.is_control()).collect();
    if let Some(scheme_end) = text.find("://") {
        let authority_start = scheme_end + "://".len();
        let authority_end = text
            .get(authority_start..)
            .and_then(|rest| rest.find(['/', '?', '#']))
            .map_or(text.len(), |length| authority_start + length);
        let at = text.get(authority_start..authority_end).and_then(|part| part.rfind('@'));
        if let Some(at) = at {
            text.replace_range(authority_start..=authority_start + at, "");
        }
    }
    if text.len() > max_bytes {
        let cut = (0..=max_bytes).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
        text.truncate(cut);
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn own_variables_win() {
        let resolved = resolve(
            &Table::default(),
            &env(&[
                ("STEPLOG_PIPELINE_RUN_ID", "mine"),
                ("STEPLOG_STEP_ID", "train"),
                ("STEPLOG_ATTEMPT", "3"),
                ("STEPLOG_SOURCE", "hook:failure"),
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_RUN_ID", "77"),
                ("GITHUB_JOB", "test"),
            ]),
        );
        assert_eq!(resolved.pipeline_run_id.as_deref(), Some("mine"));
        assert_eq!(resolved.step_id.as_deref(), Some("train"));
        assert_eq!(resolved.attempt, Some(3));
        assert_eq!(resolved.source.as_deref(), Some("hook:failure"));
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        assert_eq!(resolve(&Table::default(), &env(&[("HOME", "/h")])), Resolved::default());
    }

    #[test]
    fn empty_values_are_passed_over() {
        let table = Table { pipeline_run_id: vec!["A".into(), "B".into()], ..Table::default() };
        let resolved = resolve(&table, &env(&[("A", "  "), ("B", "b")]));
        assert_eq!(resolved.pipeline_run_id.as_deref(), Some("b"));
    }

    #[test]
    fn user_attributes_win() {
        let mut table = Table::default();
        table.attributes.insert("team".into(), Attribute::Env("TEAM".into()));
        table.attributes.insert("absent".into(), Attribute::Env("ABSENT".into()));
        table.attributes.insert("region".into(), Attribute::Value("eu-1".into()));
        let resolved = resolve(
            &table,
            &env(&[("TEAM", "ml"), ("OTEL_RESOURCE_ATTRIBUTES", "region=other,zone=a")]),
        );
        assert_eq!(resolved.attributes, env(&[("team", "ml"), ("region", "eu-1"), ("zone", "a")]));
    }

    #[test]
    fn values_are_made_safe() {
        for (given, expected) in [
            ("  a\u{7}b\n ", Some("ab")),
            ("https://user:secret@host/path@x", Some("https://host/path@x")),
            ("https://host/path", Some("https://host/path")),
            ("https://token@host", Some("https://host")),
            ("\u{1}", None),
            ("", None),
        ] {
            assert_eq!(clean(given, 100).as_deref(), expected, "{given:?}");
        }
        assert_eq!(clean("ééé", 3).as_deref(), Some("é"));
    }

    #[test]
    fn attributes_are_bounded() {
        let many: Vec<String> = (0..500).map(|number| format!("key{number}=v")).collect();
        let resolved =
            resolve(&Table::default(), &env(&[("OTEL_RESOURCE_ATTRIBUTES", &many.join(","))]));
        assert_eq!(resolved.attributes.len(), MAX_ATTRIBUTES);
    }
}
