//! The table of flavors: what a stack file may name, and how its table is read.
//!
//! Apart from the traits beside it so that they need not know the stack file.

use super::{Config, artifact, console, datadog, elasticsearch, http, loki, otel, splunk};
use crate::stack::{Reader, Secret};

/// Every flavor there is. A new one is a folder and a line here.
pub(crate) static FLAVORS: &[Flavor] = &[
    artifact::flavor::LOCAL,
    artifact::flavor::S3,
    artifact::flavor::GCS,
    artifact::flavor::AZURE,
    artifact::flavor::LOG_STORE,
    console::config::FLAVOR,
    datadog::config::FLAVOR,
    elasticsearch::config::FLAVOR,
    http::config::FLAVOR,
    loki::config::FLAVOR,
    otel::config::FLAVOR,
    splunk::config::FLAVOR,
];

/// A kind of artifact store or log store: its keys, and how they become a configuration.
pub(crate) struct Flavor {
    /// As in `flavor = "…"`.
    pub(crate) name: &'static str,
    /// The keys that stand beside `flavor`.
    pub(crate) keys: &'static [&'static [Key]],
    /// Which component it is, and how its table is read.
    pub(crate) read: Read,
}

/// Reads a component's table; notes what is wrong and returns what it made of the rest.
pub(crate) enum Read {
    /// `[artifact_stores.*]`
    ArtifactStore(fn(&mut Reader<'_, '_, '_>) -> artifact::Config),
    /// `[log_stores.*]`
    LogStore(fn(&mut Reader<'_, '_, '_>, &Siblings<'_>) -> Config),
}

/// One key of a component.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// As TOML; empty if it has none.
    pub(crate) default: &'static str,
    pub(crate) secret: Secret,
}

/// The artifact stores of the same file, for the log stores that use one.
pub(crate) struct Siblings<'a> {
    /// The stack's own.
    pub(crate) own: &'a artifact::Config,
    pub(crate) all: &'a [(String, artifact::Config)],
}

impl Flavor {
    /// The flavors of artifact stores, or else those of log stores.
    pub(crate) fn of(component: Component) -> impl Iterator<Item = &'static Self> {
        FLAVORS.iter().filter(move |flavor| flavor.is(component))
    }

    /// Its keys, one by one.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().copied().flatten()
    }

    /// Other names that its client knows its options by: what they may begin with, and all others.
    pub(crate) fn other_options(&self) -> Option<(&'static str, Vec<&'static str>)> {
        artifact::flavor::other_options(self.name)
    }

    /// Whether it is one of this component.
    pub(crate) fn is(&self, component: Component) -> bool {
        match self.read {
            Read::ArtifactStore(_) => component == Component::ArtifactStore,
            Read::LogStore(_) => component == Component::LogStore,
        }
    }
}

/// What a stack is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    ArtifactStore,
    LogStore,
}

impl Component {
    /// The table of the stack file.
    pub(crate) fn section(self) -> &'static str {
        match self {
            Self::ArtifactStore => "artifact_stores",
            Self::LogStore => "log_stores",
        }
    }

    /// In a sentence.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::ArtifactStore => "artifact store",
            Self::LogStore => "log store",
        }
    }
}
