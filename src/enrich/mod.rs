//! Environment to metadata, pure given a map.

use std::collections::BTreeMap;

/// Where metadata comes from: the `[metadata]` table, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Environment variables to look at, in order; the first that is set and not empty wins.
    pub pipeline_run_id: Vec<String>,
    /// As above.
    pub step_id: Vec<String>,
    /// As above; a number from 1.
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
