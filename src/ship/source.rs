//! Where frames come from: a spool on disk, or a channel where no directory is writable.
//!
//! Apart so that the pipeline does not know which. A source that cannot be read again (the
//! channel) is good for one pass; a spool is opened anew after a conflict.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, select};

use super::follow::Follower;
use super::stop::Stop;
use crate::record::Exit;
use crate::spool::{self, Frame, Next, ReadError, SpoolReader};

/// Frames of one writer, in order.
pub trait FrameSource: Send {
    /// The next frame; its payload is appended to `into`. Never waits.
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Next, SourceError>;

    /// Waits until there may be more, until `until` or until stopped.
    fn wait(&mut self, until: Option<Instant>, halt: &Stop);

    /// Everything before this offset of the stream may go.
    fn release(&mut self, up_to: u64);

    /// How the step ended, once [`FrameSource::next`] has said that the writer is finished.
    fn exit(&mut self) -> Result<Exit, SourceError>;
}

/// Why frames cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The spool could not be opened.
    #[error(transparent)]
    Open(#[from] spool::OpenError),
    /// The spool could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The exit record could not be read.
    #[error("failed to read the exit record in {}", dir.display())]
    Exit {
        /// The writer's directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Only a spool can be read twice.
    #[error("lines that were handed over in memory cannot be read again")]
    Spent,
}

/// A directory that is gone may be made again by its writer; it is waited for this long.
const GONE_PATIENCE: Duration = Duration::from_secs(30);

/// A spool on disk.
pub struct SpoolSource {
    reader: SpoolReader,
    follower: Follower,
    dir: PathBuf,
    gone: Option<Instant>,
}

impl SpoolSource {
    /// Reads the spool in `dir` from a stream offset on.
    pub fn open(dir: &Path, from: u64) -> Result<Self, SourceError> {
        Ok(Self {
            reader: SpoolReader::open(dir, from)?,
            follower: Follower::new(dir),
            dir: dir.to_owned(),
            gone: None,
        })
    }
}

impl FrameSource for SpoolSource {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Next, SourceError> {
        match self.reader.next(into) {
            Ok(next) => {
                self.gone = None;
                if next != Next::Pending {
                    self.follower.found();
                }
                Ok(next)
            }
            Err(ReadError::Gone { dir }) => {
                let since = *self.gone.get_or_insert_with(Instant::now);
                if since.elapsed() < GONE_PATIENCE {
                    Ok(Next::Pending)
                } else {
                    Err(ReadError::Gone { dir }.into())
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn wait(&mut self, until: Option<Instant>, halt: &Stop) {
        self.follower.wait(until, halt);
    }

    fn release(&mut self, up_to: u64) {
        // What could not be deleted is tried again with the next release, and at the end.
        drop(self.reader.release(up_to));
    }

    fn exit(&mut self) -> Result<Exit, SourceError> {
        match spool::read_exit(&self.dir) {
            // That the record is there is what says that the writer has finished.
            Ok(exit) => Ok(exit.unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(Exit::default()),
            Err(source) => Err(SourceError::Exit { dir: self.dir.clone(), source }),
        }
    }
}

/// What capture hands over where there is no spool.
#[derive(Debug)]
pub enum Handed {
    /// A frame and its payload.
    Frame(Frame, Vec<u8>),
    /// The writer has finished; nothing follows.
    End(Box<Exit>),
}

/// Frames from a channel. Its other end bounds it: capture waits or drops, by its policy.
pub struct ChannelSource {
    frames: Receiver<Handed>,
    waiting: Option<Handed>,
    exit: Option<Exit>,
}

impl ChannelSource {
    /// Reads what comes; the other end going away without an end means that capture died.
    pub fn new(frames: Receiver<Handed>) -> Self {
        Self { frames, waiting: None, exit: None }
    }
}

impl FrameSource for ChannelSource {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Next, SourceError> {
        if self.exit.is_some() {
            return Ok(Next::Finished);
        }
        let handed = match self.waiting.take() {
            Some(handed) => handed,
            None => match self.frames.try_recv() {
                Ok(handed) => handed,
                Err(TryRecvError::Empty) => return Ok(Next::Pending),
                Err(TryRecvError::Disconnected) => return Ok(Next::Interrupted),
            },
        };
        match handed {
            Handed::Frame(frame, payload) => {
                into.extend_from_slice(&payload);
                Ok(Next::Frame(frame))
            }
            Handed::End(exit) => {
                self.exit = Some(*exit);
                Ok(Next::Finished)
            }
        }
    }

    fn wait(&mut self, until: Option<Instant>, halt: &Stop) {
        let timeout = until.map_or(Duration::from_hours(1), |until| {
            until.saturating_duration_since(Instant::now())
        });
        select! {
            recv(self.frames) -> handed => self.waiting = handed.ok(),
            recv(halt.channel()) -> _ => {}
            default(timeout) => {}
        }
    }

    fn release(&mut self, _up_to: u64) {}

    fn exit(&mut self) -> Result<Exit, SourceError> {
        Ok(self.exit.clone().unwrap_or_default())
    }
}
