//! What a log store that can be read offers: runs, the streams of a run, and their lines.
//!
//! One trait for all flavors. A store does of a [`Request`] what it does well (the artifact store
//! skips frames by its index and looks for text in parallel; others send the query on) and says
//! so in [`Pushdown`]; the pipeline does the rest, so that a user sees no difference.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::filter::Filter;
use super::page::Slice;
use crate::record::{Exit, LevelCounts, Nanos, Origin, Writer, WriterId};

/// A log store, seen by a reader.
pub trait LogReader: Send + Sync {
    /// What of a request it does by itself.
    fn pushdown(&self) -> Pushdown;

    /// The newest runs, newest first.
    fn runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Run>, ReadError>>;

    /// All streams of a run (or of one of its steps), oldest first, without those of `except`.
    /// None is an empty list.
    fn streams<'a>(
        &'a self,
        run: &'a str,
        step: Option<&'a str>,
        except: &'a [WriterId],
    ) -> BoxFuture<'a, Result<Vec<Stream>, ReadError>>;

    /// What is known of the lines of a stream without reading them, in order; `None`: nothing.
    fn outline<'a>(
        &'a self,
        _: &'a Stream,
    ) -> BoxFuture<'a, Result<Option<Vec<Piece>>, ReadError>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// The lines of these streams, merged by time. A line names its stream by the position here.
    fn open(&self, streams: &[Stream], request: Request) -> Box<dyn Lines>;

    /// Whether what is counted of a stream that has ended is what will be read of it: the store has all or nothing.
    fn is_exact(&self) -> bool {
        false
    }

    /// How often to look for new streams while following.
    fn discovery(&self) -> Duration;

    /// What reading has cost so far.
    fn cost(&self) -> Cost;
}

/// Lines of several streams, merged.
pub trait Lines: Send {
    /// What comes next. Never [`Event::Idle`] unless the request is to follow.
    fn next(&mut self) -> BoxFuture<'_, Result<Event, ReadError>>;

    /// One stream more, while following. Its lines will name it by `number`.
    fn add(&mut self, number: u32, stream: &Stream);

    /// Per stream, where its lines ended when reading began: for [`Request::marks`], to go on there
    /// later without losing or repeating a line. What it counts is the store's own affair.
    fn marks(&self) -> Vec<Option<u64>>;
}

/// What of a request a store does by itself. What it does not, the pipeline does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushdown {
    /// Every condition and the scope of [`Filter`]: lines come with their verdicts.
    pub filter: bool,
    /// Newest first.
    pub backward: bool,
    /// Following.
    pub follow: bool,
}

/// What is asked of a store.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Scope and conditions; the scope's position is for all streams alike.
    pub filter: Filter,
    /// Which way.
    pub direction: Direction,
    /// Per stream (by position), the first `seq` to be read (forward), or the first not to be
    /// (backward).
    pub from: Vec<Option<u64>>,
    /// Per stream (by position), where an earlier reading ended: [`Lines::marks`].
    pub marks: Vec<Option<u64>>,
    /// About how many lines are wanted at the most: how far to read ahead.
    pub about: Option<u64>,
    /// Go on when everything there is has been read.
    pub follow: bool,
}

/// Which way lines come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first. The lines of one slice stand oldest first nevertheless.
    Backward,
}

/// What reading comes upon.
#[derive(Debug)]
pub enum Event {
    /// Lines.
    Lines(Slice),
    /// The stream has ended and all of its lines were handed over.
    Ended(u32, Box<Stream>),
    /// Something is missing or damaged; reading goes on behind it.
    Trouble(Trouble),
    /// Nothing new right now.
    Idle,
    /// There is nothing more.
    End,
}

/// Some lines of a stream, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// `seq` of the first of them.
    pub first_seq: u64,
    /// How many.
    pub lines: u64,
    /// Bytes of the stream before it, where that is known.
    pub offset: Option<u64>,
    /// When the first of them was written.
    pub first_time: Nanos,
    /// The same of the last.
    pub last_time: Nanos,
    /// Lines per level.
    pub levels: LevelCounts,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The stream.
    pub stream: u32,
    /// What, where, in words.
    pub what: String,
}

/// A run, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its id.
    pub pipeline_run_id: String,
    /// When its newest writer started, as far as the list tells.
    pub started: Nanos,
}

/// One stream of a run: what one writer captured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stream {
    /// Whose lines.
    #[serde(flatten)]
    pub origin: Origin,
    /// Who captured them.
    pub writer: WriterId,
    /// The writer that it goes on from: the agent was restarted in the middle of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<WriterId>,
    /// How it stands.
    pub status: Status,
    /// When capture started.
    pub started: Nanos,
    /// When the step ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Nanos>,
    /// When the store last got something of it, where it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Nanos>,
    /// Records, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Bytes that they stand for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Records per level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<LevelCounts>,
    /// Times that lines could not be kept.
    pub gaps: u64,
    /// How the step ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Text of the first line of level ERROR or above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
}

impl Stream {
    /// The stream of a writer of which nothing more is known than that it has started.
    pub fn started(writer: &Writer) -> Self {
        Self {
            origin: writer.origin.clone(),
            writer: writer.id,
            continues: writer.continues(),
            status: Status::Running,
            started: writer.started,
            ended: None,
            last_seen: None,
            lines: None,
            bytes: None,
            levels: None,
            gaps: 0,
            exit: None,
            first_error: None,
        }
    }

    /// The exit status a shell would show for the step: 0, its code, or 128 + the signal.
    pub fn exit_status(&self) -> Option<u8> {
        let exit = self.exit.as_ref()?;
        if let Some(code) = exit.code {
            return Some(code as u8);
        }
        let signal = exit.signal.as_deref()?;
        let number = signal.parse::<nix::sys::signal::Signal>().map_or(0, |it| it as i32);
        Some((128 + number) as u8)
    }
}

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No end yet, and something came lately.
    Running,
    /// No end, and nothing came for a while: the step is quiet, or its logs are still on its
    /// machine, or both are gone. The store cannot tell.
    Unfinished,
    /// Exit code 0, everything is there.
    Succeeded,
    /// Another exit, everything is there.
    Failed,
    /// Capture was ended before the step; what it had captured is there.
    Interrupted,
    /// The same, and another writer has gone on from there: how that one stands is what counts.
    Continued,
}

/// Marks those that others go on from.
pub fn mark_continued(streams: &mut [Stream]) {
    let from: Vec<WriterId> = streams.iter().filter_map(|stream| stream.continues).collect();
    let interrupted = streams.iter_mut().filter(|stream| stream.status == Status::Interrupted);
    for stream in interrupted.filter(|stream| from.contains(&stream.writer)) {
        stream.status = Status::Continued;
    }
}

impl Status {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unfinished => "unfinished",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Continued => "continued",
        }
    }

    /// Nothing will come any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Interrupted | Self::Continued)
    }

    /// All that the step wrote is known to be there, or on its way.
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Running | Self::Continued)
    }
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store says no. Never to be taken for "no logs".
    #[error("the log store does not allow it")]
    Denied(#[source] Box<dyn Error + Send + Sync>),
    /// The store cannot be reached or failed.
    #[error("read from the log store")]
    Store(#[source] Box<dyn Error + Send + Sync>),
}

/// What reading has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests to the store.
    pub requests: u64,
    /// Bytes that came back.
    pub bytes: u64,
}

/// Counts [`Cost`] from many tasks.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<(AtomicU64, AtomicU64)>);

impl Meter {
    /// One request, so many bytes.
    pub fn add(&self, bytes: u64) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The sum.
    pub fn cost(&self) -> Cost {
        Cost { requests: self.0.0.load(Ordering::Relaxed), bytes: self.0.1.load(Ordering::Relaxed) }
    }
}
