//! How delivery works: the `[ship]` table, resolved. Does nothing.

use std::path::PathBuf;
use std::time::Duration;

use crate::stores::Patience;
use crate::stores::records::dead_letter;

/// How delivery works: the `[ship]` table, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Raw bytes between the reader and delivery at the most, over all threads of one store.
    pub channel_bytes: usize,
    /// Chunks under way to an artifact store at the same time; other stores have a limit of their own.
    pub concurrency: usize,
    /// Encoder threads a store.
    pub encoders: usize,
    /// How long `run` waits for delivery after the step has ended.
    pub deadline: Duration,
    /// One try at one request …
    pub timeout: Duration,
    /// … and so much more as what it sends takes at this rate, in bytes a second.
    pub lowest_rate: u64,
    /// First pause between tries; grows with full jitter.
    pub retry_initial: Duration,
    /// Longest pause between tries.
    pub retry_max: Duration,
    /// Where records go that a log store refuses for good.
    pub dead_letter: dead_letter::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            channel_bytes: 8 << 20,
            concurrency: 4,
            encoders: 2,
            deadline: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            lowest_rate: 16 << 10,
            retry_initial: Duration::from_millis(200),
            retry_max: Duration::from_secs(30),
            dead_letter: dead_letter::Settings {
                dir: PathBuf::from("dead-letter"),
                max_bytes: 64 << 20,
            },
        }
    }
}

impl Settings {
    /// The limit on each request.
    pub fn patience(&self) -> Patience {
        Patience { timeout: self.timeout, lowest_rate: self.lowest_rate }
    }
}
