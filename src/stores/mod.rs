//! Log stores: where lines end up. One folder a flavor; `ship` knows only the traits here.
//!
//! ```text
//! LogStore          what the stack file names                    one a process
//!  └ Session        one writer's delivery to it                  one a spool
//!     ├ resume      what the store has already (after a restart)
//!     ├ Encoder     block → bytes, processor only                one a thread
//!     ├ deliver     chunk → receipt, network only                several at a time
//!     ├ acknowledged receipts in order; state() goes into the checkpoint
//!     ├ upkeep      what the store wants done beside chunks
//!     └ finish      the end of the writer, once and last
//! ```
//!
//! A session never waits to try again and never decides whether to: it says what kind of failure
//! it was ([`DeliverError`]), and `ship` waits, in one place and the same way for every flavor.
//! It does limit how long each of its requests may take ([`Patience`]), since only it knows them.
//! Each request may be made again after its answer was lost, by this process or by a later one,
//! so each must be harmless when repeated.

pub mod artifact;
pub mod console;
pub mod custom;
pub mod datadog;
pub mod elasticsearch;
pub mod http;
pub mod loki;
pub mod otel;
pub mod splunk;

mod flavor;
mod json;
pub mod records;
#[cfg(test)]
#[path = "../../tests/servers/python.rs"]
mod stand_in;
mod view;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use self::artifact::object::{FirstError, Gaps};
pub(crate) use self::flavor::FLAVORS;
pub(crate) use self::flavor::{Component, Flavor, Key, Read, Siblings};
use self::records::dead_letter::DeadLetter;
use self::records::fetch::{RecordReader, Search};
use self::records::{RecordStore, Service};
use crate::line::Block;
use crate::read::store::LogReader;
use crate::record::{Exit, Level, LevelCounts, Nanos, Writer};

/// A log store as the stack file describes it, resolved; one variant a flavor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// The logs are kept in an artifact store.
    Artifact(artifact::Config),
    /// They are shown on standard error.
    Console(console::Config),
    /// They are given to a program of the user's.
    Custom(custom::Config),
    /// They are sent to Datadog.
    Datadog(datadog::Config),
    /// They become documents of an index.
    Elasticsearch(elasticsearch::Config),
    /// They are sent to a URL.
    Http(http::Config),
    /// They are sent to Loki.
    Loki(loki::Config),
    /// They are sent to what takes OTLP.
    Otel(otel::Config),
    /// They are sent to Splunk.
    Splunk(splunk::Config),
}

impl Config {
    /// The store that this describes, which the stack file calls `name`. Asks nothing of it yet.
    pub fn store(
        &self,
        name: &str,
        patience: Patience,
        dead_letter: &records::dead_letter::Settings,
    ) -> Result<Arc<dyn LogStore>, StoreError> {
        let service: Arc<dyn Service> = match self {
            Self::Artifact(config) => {
                let store = artifact::ArtifactLogStore::open(config.clone(), patience);
                return Ok(Arc::new(store.map_err(StoreError::new)?));
            }
            Self::Console(config) => console::Console::open(config.clone()),
            Self::Custom(config) => custom::Custom::open(config.clone()),
            Self::Datadog(config) => {
                datadog::Datadog::open(config.clone()).map_err(StoreError::new)?
            }
            Self::Elasticsearch(config) => {
                elasticsearch::Elasticsearch::open(config.clone()).map_err(StoreError::new)?
            }
            Self::Http(config) => http::Http::open(config.clone()).map_err(StoreError::new)?,
            Self::Loki(config) => loki::Loki::open(config.clone()).map_err(StoreError::new)?,
            Self::Otel(config) => otel::Otel::open(config.clone()).map_err(StoreError::new)?,
            Self::Splunk(config) => {
                splunk::Splunk::open(config.clone()).map_err(StoreError::new)?
            }
        };
        let dead_letter = DeadLetter::new(dead_letter.clone(), name);
        Ok(Arc::new(RecordStore::new(service, patience, dead_letter)))
    }

    /// The name of its flavor.
    pub fn flavor(&self) -> &str {
        match self {
            Self::Artifact(_) => "artifact",
            Self::Console(_) => "console",
            Self::Custom(config) => &config.flavor.name,
            Self::Datadog(_) => "datadog",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::Http(_) => "http",
            Self::Loki(_) => "loki",
            Self::Otel(_) => "otel",
            Self::Splunk(_) => "splunk",
        }
    }

    /// How to read from it.
    pub fn reading(&self) -> Result<Reading, StoreError> {
        Ok(match self {
            Self::Artifact(config) => {
                let reader = artifact::fetch::Reader::of(config).map_err(StoreError::new)?;
                Reading::Here(Arc::new(reader))
            }
            Self::Console(_) => Reading::Elsewhere(
                "the console flavor only writes: look at where steplog ship's standard error goes"
                    .to_owned(),
            ),
            Self::Custom(config) if config.flavor.can_fetch => {
                Reading::searching(custom::Custom::open(config.clone()))
            }
            Self::Custom(config) => Reading::Elsewhere(format!(
                "the program of flavor {} only writes",
                config.flavor.name
            )),
            Self::Datadog(config) => match &config.application_key {
                Some(key) => Reading::searching(
                    datadog::fetch::Reader::open(config, key).map_err(StoreError::new)?,
                ),
                None => Reading::Elsewhere(format!(
                    "reading from Datadog needs application_key; or look at {}",
                    config.explorer()
                )),
            },
            Self::Elasticsearch(config) => Reading::searching(
                elasticsearch::Elasticsearch::open(config.clone()).map_err(StoreError::new)?,
            ),
            Self::Http(config) => Reading::Elsewhere(format!(
                "the http flavor only writes: look at what receives {}",
                records::http::shown(&config.endpoint)
            )),
            Self::Loki(config) => {
                Reading::searching(loki::Loki::open(config.clone()).map_err(StoreError::new)?)
            }
            Self::Otel(config) => Reading::Elsewhere(format!(
                "the otel flavor only writes: look where what receives {} keeps its logs",
                records::http::shown(&config.endpoint)
            )),
            Self::Splunk(config) => match &config.search {
                Some(search) => Reading::searching(
                    splunk::fetch::Reader::open(config, search).map_err(StoreError::new)?,
                ),
                None => Reading::Elsewhere(format!(
                    "reading from Splunk needs search_endpoint; or search there for {}",
                    config.search_text()
                )),
            },
        })
    }
}

/// How a log store can be read.
pub enum Reading {
    /// By us.
    Here(Arc<dyn LogReader>),
    /// Not by us; the text says where its logs can be seen.
    Elsewhere(String),
}

impl Reading {
    fn searching(search: Arc<dyn Search>) -> Self {
        Self::Here(Arc::new(RecordReader::new(search)))
    }
}

/// Why a log store cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("set up the log store")]
pub struct StoreError(#[source] pub Box<dyn Error + Send + Sync>);

impl StoreError {
    fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

/// How long one request may take. A delivery may be several; each has this limit, none has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// What every request has.
    pub timeout: Duration,
    /// It has as much more as what it sends takes at this rate, in bytes a second.
    pub lowest_rate: u64,
}

impl Patience {
    /// With a request that sends so many bytes.
    pub fn with(&self, bytes: usize) -> Duration {
        let millis = (bytes as u64).saturating_mul(1000) / self.lowest_rate.max(1);
        self.timeout.saturating_add(Duration::from_millis(millis))
    }
}

/// A log store that can be written to.
pub trait LogStore: Send + Sync {
    /// How much goes into a chunk, and how long it may wait.
    fn limits(&self) -> Limits;

    /// Starts, or takes up again, the delivery of one writer. `state` is what
    /// [`Session::state`] returned last, null at first. Makes no request.
    fn session(
        &self,
        writer: &Writer,
        state: &serde_json::Value,
    ) -> Result<Arc<dyn Session>, StateError>;

    /// No more will be delivered; whatever the store holds open it may close.
    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    /// Tries the store for real, once, with something harmless that no reader takes for a log.
    fn probe(&self) -> Answer<'_, Probed>;
}

/// What a store did when it was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// In a sentence: "took a test record".
    pub did: &'static str,
    /// What should be better.
    pub warning: Option<&'static str>,
}

/// When a chunk is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At this many raw bytes.
    pub chunk_bytes: u64,
    /// At this many blocks.
    pub chunk_blocks: usize,
    /// A block has no more lines than this; they are cut at the stack file's `block_lines` in any case.
    pub block_lines: usize,
    /// A block has about this many raw bytes at the most; likewise.
    pub block_bytes: usize,
    /// At this age of its first line.
    pub age: SealAge,
    /// Chunks under way at the same time, at the most; none: as `[ship] concurrency` says.
    pub concurrency: Option<usize>,
    /// [`Session::resume`] finds every chunk that was delivered: an acknowledgement need not be written down soon.
    pub remembers: bool,
}

/// How long a line waits for others at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealAge {
    /// Always this long: requests cost nothing.
    Fixed(Duration),
    /// The longer the step runs, the longer: requests cost money (`ship::cadence`).
    Growing,
}

/// What a request becomes.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, DeliverError>>;

/// The delivery of one writer to one store. Shared by the requests under way.
pub trait Session: Send + Sync {
    /// An encoder for one thread.
    fn encoder(&self) -> Box<dyn Encoder>;

    /// Finds out what the store has of this writer from chunk `next_chunk` on, acknowledged or
    /// not. Called before anything is sent, since the answers to earlier requests may be lost
    /// and, after a loss of power, the checkpoint with them.
    fn resume(&self, next_chunk: u64) -> Answer<'_, Found>;

    /// Delivers a chunk as a whole, once. Several are under way at the same time.
    fn deliver<'a>(&'a self, chunk: &'a Chunk) -> Answer<'a, Receipt>;

    /// Takes note that all chunks up to this one are delivered. In order of chunks.
    fn acknowledged(&self, receipt: &Receipt);

    /// What another session needs to go on after the last acknowledged chunk.
    fn state(&self) -> serde_json::Value;

    /// Whether [`Session::upkeep`] has something to do.
    fn upkeep_due(&self) -> bool;

    /// Does what the store wants done beside chunks. One at a time, beside deliveries.
    fn upkeep(&self) -> Answer<'_, ()>;

    /// What was refused for good and is kept elsewhere. Makes no request.
    fn refused(&self) -> Option<Refused> {
        None
    }

    /// Marks the writer as complete. Called when all chunks are acknowledged and no upkeep runs.
    fn finish<'a>(&'a self, ending: &'a Ending) -> Answer<'a, ()>;
}

/// Turns blocks into what the store takes. Deterministic: the same block, the same bytes.
pub trait Encoder: Send {
    /// Encodes one block.
    fn encode(&mut self, block: &Block) -> Result<Encoded, EncodeError>;
}

/// A block could not be encoded: compression failed.
#[derive(Debug, thiserror::Error)]
#[error("encode lines")]
pub struct EncodeError(#[source] pub io::Error);

/// The state in the checkpoint is not one that this store wrote.
#[derive(Debug, thiserror::Error)]
#[error("read the log store's state in the checkpoint")]
pub struct StateError(#[from] pub serde_json::Error);

/// Records of a writer that its store has refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub records: u64,
    /// Where they are.
    pub file: PathBuf,
}

/// A block as the store takes it.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// As it is sent.
    pub body: Bytes,
    /// Bytes before compression.
    pub text_bytes: u64,
    /// What is in it.
    pub summary: Summary,
    /// Where in the body each request is, for stores that take records in requests; else empty.
    pub batches: Vec<Batch>,
}

impl Encoded {
    /// Bytes of memory that it takes, about.
    pub fn held(&self) -> usize {
        let ends = self.batches.iter().map(|batch| size_of_val(batch.ends.as_slice()));
        self.body.len() + ends.sum::<usize>()
    }
}

/// One request's worth of records in [`Encoded::body`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The request's body, compressed as the store takes it, as a range of [`Encoded::body`].
    pub body: std::ops::Range<usize>,
    /// Bytes before the first record in the body before compression.
    pub head: usize,
    /// Where each record ends, counted from the first one's start.
    pub ends: Vec<u32>,
    /// It holds one record, which is larger than the service takes.
    pub oversize: bool,
}

/// A cut of the writer's lines that is delivered as a whole.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Dense per writer, from 0.
    pub number: u64,
    /// The writer has ended with this chunk, as far as is known when it is cut.
    pub last: bool,
    /// In order; at least one.
    pub blocks: Vec<Encoded>,
    /// What is in all of them.
    pub summary: Summary,
}

/// A chunk has been delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The chunk's number.
    pub chunk: u64,
    /// What was in it.
    pub summary: Summary,
}

/// What a store has of a writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The writer was finished with so much: nothing is left to do unless the spool holds more.
    pub complete: Option<Totals>,
    /// Chunks that are there, from the one that was asked for, in order; some between may be missing.
    pub chunks: Vec<FoundChunk>,
}

/// How much there is of a writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lines.
    pub lines: u64,
    /// Bytes of the writer's stream, also those that could not be kept.
    pub bytes: u64,
}

/// A chunk that a store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundChunk {
    /// Its number.
    pub chunk: u64,
    /// What is in it, as far as the store knows.
    pub summary: Summary,
}

/// How a writer ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// None if capture died before the step ended.
    pub exit: Option<Exit>,
    /// All lines.
    pub totals: Summary,
    /// How many chunks they are in.
    pub chunks: u64,
}

/// Why a request failed, as far as it decides what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// It may work later.
    #[error("{message}")]
    Retry {
        /// What happened, for people.
        message: String,
        /// The store asked for at least this pause.
        after: Option<Duration>,
    },
    /// It will not work before somebody does something.
    #[error("{message}")]
    Fatal {
        /// What happened, for people.
        message: String,
        /// What they can do.
        advice: &'static str,
        /// Credentials are wrong or lack a permission.
        not_allowed: bool,
    },
    /// The store has another chunk of this number: cuts were lost and made anew elsewhere.
    #[error("the store has other lines as chunk {chunk} of this writer")]
    Conflict {
        /// The number.
        chunk: u64,
    },
}

/// What is in a block, in a chunk, or in all that is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// `seq` of the first line.
    pub first_seq: u64,
    /// Lines.
    pub lines: u64,
    /// Bytes of the writer's stream that they stand for; gaps not counted.
    pub raw_bytes: u64,
    /// Time of the first line.
    pub first_time: Nanos,
    /// Time of the last line.
    pub last_time: Nanos,
    /// Lines per level.
    pub levels: LevelCounts,
    /// The first line of level ERROR or above.
    pub first_error: Option<FirstError>,
    /// What a group that began in the lines before is about, with that group's first `seq`: the end of a
    /// traceback of which they have the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued: Option<FirstError>,
    /// Lines that redraw themselves.
    pub progress: u64,
    /// The first line of the oldest group that began before these lines and goes on in them.
    pub group_from: Option<u64>,
    /// What could not be kept.
    pub gaps: Gaps,
}

/// A first error's message is cut to this many bytes.
pub const MAX_ERROR_MESSAGE: usize = 1024;

impl Summary {
    /// All that a block tells without a look at its text: levels, first error, progress and groups
    /// are counted while it is encoded.
    pub fn of(block: &Block) -> Self {
        let mut gaps = Gaps::default();
        for gap in &block.gaps {
            gaps.count += 1;
            gaps.bytes += gap.bytes;
            gaps.lines += gap.lines;
        }
        Self {
            first_seq: block.first_seq,
            lines: block.lines.len() as u64,
            raw_bytes: block.raw_bytes,
            first_time: block.lines.first().map_or(Nanos(0), |line| line.time),
            last_time: block.lines.last().map_or(Nanos(0), |line| line.time),
            gaps,
            ..Self::default()
        }
    }

    /// Counts a line of this level.
    #[inline]
    pub fn count_level(&mut self, level: Option<Level>) {
        if let Some(count) = level.and_then(|level| self.levels.get_mut(level as usize)) {
            *count += 1;
        }
    }

    /// Counts a line that belongs to the group whose first line has this `seq`.
    #[inline]
    pub fn count_group(&mut self, group: Option<u64>) {
        if let Some(group) = group.filter(|group| *group < self.first_seq) {
            self.group_from = Some(self.group_from.map_or(group, |from| from.min(group)));
        }
    }

    /// A line says what its group is about: it is named by the first `seq` of that.
    pub fn count_headline(&mut self, headline: FirstError) {
        match &mut self.first_error {
            Some(error) if error.seq == headline.seq => *error = headline,
            _ if headline.seq < self.first_seq => self.continued = Some(headline),
            _ => {}
        }
    }

    /// Adds what follows.
    pub fn add(&mut self, next: &Self) {
        if self.lines == 0 {
            self.first_seq = next.first_seq;
            self.first_time = next.first_time;
        }
        if next.lines > 0 {
            self.last_time = next.last_time;
        }
        self.lines += next.lines;
        self.raw_bytes += next.raw_bytes;
        for (sum, count) in self.levels.iter_mut().zip(next.levels) {
            *sum += count;
        }
        if let Some(continued) = &next.continued {
            self.count_headline(continued.clone());
        }
        if self.first_error.is_none() {
            self.first_error.clone_from(&next.first_error);
        }
        self.progress += next.progress;
        self.count_group(next.group_from);
        self.gaps.count += next.gaps.count;
        self.gaps.bytes += next.gaps.bytes;
        self.gaps.lines += next.gaps.lines;
    }

    /// How much it is.
    pub fn so_much(&self) -> Totals {
        Totals { lines: self.lines, bytes: self.raw_bytes + self.gaps.bytes }
    }

    /// `seq` of the line after the last.
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.lines
    }
}

impl Chunk {
    /// Puts blocks together.
    pub fn new(number: u64, last: bool, blocks: Vec<Encoded>) -> Self {
        let mut summary = Summary::default();
        for block in &blocks {
            summary.add(&block.summary);
        }
        Self { number, last, blocks, summary }
    }

    /// The receipt for it.
    pub fn receipt(&self) -> Receipt {
        Receipt { chunk: self.number, summary: self.summary.clone() }
    }
}
