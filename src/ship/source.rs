//! Where frames come from: a spool on disk, or capture's memory where no directory is writable
//! ([`MemorySource`](crate::capture::memory::MemorySource)).
//!
//! Apart so that the pipeline does not know which. A source that cannot be read again (memory) is
//! good for one pass; a spool is opened anew after a conflict.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::follow::Follower;
use super::stop::Stop;
use crate::record::Exit;
use crate::spool::{self, Next, ReadError, SpoolReader};

/// Frames of one writer, in order.
pub trait FrameSource: Send {
    /// The next frame; its payload is appended to `into`. Never waits.
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Next, SourceError>;

    /// Waits until there may be more, until `until` or until stopped.
    fn wait(&mut self, until: Option<Instant>, halt: &Stop);

    /// It is not read for a while: what only serves reading may go.
    fn stand(&mut self) {}

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

    fn stand(&mut self) {
        self.reader.forget();
        self.follower = Follower::new(&self.dir);
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
