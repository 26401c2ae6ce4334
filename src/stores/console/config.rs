//! The key of the `console` flavor.

use crate::stack::Secret;
use crate::stores::{self, Flavor, Key, Read};

/// How records are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// As what.
    pub format: Show,
}

/// As what records are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The flavor.
pub(crate) const FLAVOR: Flavor = Flavor {
    name: "console",
    keys: &[&[Key { name: "format", default: "\"text\"", secret: Secret::No }]],
    read: Read::LogStore(|reader, _| {
        let mut config = Config::default();
        reader.choice("format", &[("text", Show::Text), ("json", Show::Json)], &mut config.format);
        stores::Config::Console(config)
    }),
};
