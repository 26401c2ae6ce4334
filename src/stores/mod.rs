//! Log stores: one folder a flavor.

pub mod artifact;

/// A log store as the stack file describes it, resolved; one variant a flavor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// The logs are kept in an artifact store.
    Artifact(artifact::Config),
}
