//! A flavor that the stack file registers, and a log store of it.

use std::fmt;

use serde_json::{Map, Value};

use super::declared::DeclaredKey;
use crate::stores::records::compress::Compression;
use crate::stores::records::config::{Batching, Bounds};

/// A flavor as `[flavors.NAME]` registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// As in `flavor = "…"`.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// It said that it can be read back.
    pub can_fetch: bool,
    /// The keys that it declared; none: it takes any.
    pub keys: Option<Vec<DeclaredKey>>,
}

/// A log store of a custom flavor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name in the stack file.
    pub log_store: String,
    /// The flavor.
    pub flavor: Registered,
    /// The other keys of its table, for the program.
    pub values: Values,
    /// How records become requests.
    pub batching: Batching,
}

/// What is for the program only; may hold secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values(pub Map<String, Value>);

/// Shows the names only.
impl fmt::Debug for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a program takes in one request, unless its table says otherwise.
pub(crate) const BOUNDS: Bounds = Bounds {
    records: (1_000, 100_000),
    bytes: (1 << 20, 64 << 20),
    compressions: &[Compression::None],
};
