//! Where the objects go and how they are made.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The artifact store, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which store.
    pub location: Location,
    /// How chunks are compressed.
    pub codec: Codec,
    /// Compression level of the codec.
    pub level: i32,
    /// A chunk is sealed at this many raw bytes.
    pub chunk_bytes: u64,
    /// A chunk of a local store is sealed at this age, milliseconds; remote stores follow the
    /// schedule of `ship::cadence`.
    pub local_seal_ms: u64,
    /// Joined into a segment at this many live chunks.
    pub segment_chunks: u64,
    /// Joined into a segment at this many stored bytes.
    pub segment_bytes: u64,
    /// The agent removes runs in which nothing has come for this long; none: it removes none.
    pub retention: Option<Duration>,
}

impl Config {
    /// A store at `location` with the defaults for all else.
    pub fn new(location: Location) -> Self {
        Self {
            location,
            codec: Codec::Zstd,
            level: 1,
            chunk_bytes: 4 << 20,
            local_seal_ms: 200,
            segment_chunks: 256,
            segment_bytes: 64 << 20,
            retention: None,
        }
    }
}

/// Which store.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Local {
        /// The root.
        path: PathBuf,
    },
    /// S3, GCS or Azure, by the scheme of the URI.
    Remote {
        /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
        uri: String,
        /// Options as `object_store` names them (`region`, `endpoint`, `allow_http`, …). May hold secrets.
        options: BTreeMap<String, String>,
    },
}

/// Shows no value of an option: any of them may be a secret.
impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { path } => formatter.debug_struct("Local").field("path", path).finish(),
            Self::Remote { uri, options } => formatter
                .debug_struct("Remote")
                .field("uri", uri)
                .field("options", &options.keys().collect::<Vec<_>>())
                .finish(),
        }
    }
}

/// How chunks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Zstandard (RFC 8878), frames.
    #[default]
    Zstd,
    /// gzip (RFC 1952), members.
    Gzip,
}
