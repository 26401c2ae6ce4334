//! Streaming secret masking, pure.

use std::path::PathBuf;

/// What is masked: the `[redact]` table, resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names of environment variables whose values are secret; `*` matches any run of characters.
    pub env: Vec<String>,
    /// Regular expressions; what they match is secret.
    pub patterns: Vec<String>,
    /// Files whose lines are secret values.
    pub files: Vec<PathBuf>,
}
