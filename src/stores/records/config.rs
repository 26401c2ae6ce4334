//! How records become requests: keys that all flavors share which send them so.
//!
//! The names are those that OpenTelemetry's batch processor and ZenML's log stores use.

use std::time::Duration;

use super::Limits;
use super::compress::Compression;
use crate::stack::{Reader, Secret};
use crate::stores::Key;

/// How records become requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Records in a request at the most.
    pub records: usize,
    /// Bytes of a request before compression at the most.
    pub bytes: usize,
    /// A line waits this long for others at the most.
    pub delay: Duration,
    /// One try at one request; none: as `[ship] timeout` says.
    pub timeout: Option<Duration>,
    /// Requests under way at the same time at the most.
    pub concurrency: usize,
    /// What is done to their bodies.
    pub(crate) compression: Compression,
}

/// What a service allows, and a flavor's choice within it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Records in a request: the usual, the most.
    pub(crate) records: (usize, usize),
    /// Bytes before compression: the usual, the most.
    pub(crate) bytes: (usize, usize),
    /// Content codings that it takes, the usual one first.
    pub(crate) compressions: &'static [Compression],
}

const DELAY: Duration = Duration::from_secs(1);
/// Enough for 200,000 records a second in requests of 1,000 that take 200 ms each.
const CONCURRENCY: usize = 64;

const fn key(name: &'static str, default: &'static str) -> Key {
    Key { name, default, secret: Secret::No }
}

/// The keys, for flavors whose usual values are the flavor's own.
pub(crate) const KEYS: &[Key] = &[
    key("max_export_batch_size", ""),
    key("max_export_batch_bytes", ""),
    key("schedule_delay_millis", "1000"),
    key("export_timeout_millis", ""),
    key("max_concurrent_exports", "64"),
    key("compression", ""),
];

impl Batching {
    /// The flavor's own choice.
    pub(crate) fn usual(bounds: Bounds) -> Self {
        Self {
            records: bounds.records.0,
            bytes: bounds.bytes.0,
            delay: DELAY,
            timeout: None,
            concurrency: CONCURRENCY,
            compression: bounds.compressions.first().copied().unwrap_or(Compression::None),
        }
    }

    /// … and what the stack file says of it.
    pub(crate) fn read(reader: &mut Reader<'_, '_, '_>, bounds: Bounds) -> Self {
        let mut batching = Self::usual(bounds);
        reader.count("max_export_batch_size", 1..=bounds.records.1 as u64, &mut batching.records);
        reader.bytes(
            "max_export_batch_bytes",
            (16 << 10)..=bounds.bytes.1 as u64,
            &mut batching.bytes,
        );
        let mut delay = batching.delay.as_millis() as u64;
        reader.count("schedule_delay_millis", 10..=3_600_000, &mut delay);
        batching.delay = Duration::from_millis(delay);
        let mut timeout = 0_u64;
        reader.count("export_timeout_millis", 100..=3_600_000, &mut timeout);
        batching.timeout = (timeout > 0).then(|| Duration::from_millis(timeout));
        reader.count("max_concurrent_exports", 1..=256, &mut batching.concurrency);
        let choices: Vec<(&str, Compression)> = Compression::CHOICES
            .into_iter()
            .filter(|(_, compression)| bounds.compressions.contains(compression))
            .collect();
        reader.choice("compression", &choices, &mut batching.compression);
        batching
    }

    /// As limits of a service that takes records of up to `record_bytes`.
    pub(crate) fn limits(&self, record_bytes: usize) -> Limits {
        Limits {
            records: self.records,
            bytes: self.bytes,
            record_bytes,
            age: self.delay,
            timeout: self.timeout,
            concurrency: self.concurrency,
            compression: self.compression,
        }
    }
}
