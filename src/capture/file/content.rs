//! What is in one open file, plain or compressed, by offset.
//!
//! Apart so that the follower need not know which it is. A plain file is read in place, with the last bytes that
//! were read before it in the same system call: if they have changed, it is not the file any
//! more that was read. It opens nothing and follows nothing.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, IoSliceMut, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use flate2::bufread::MultiGzDecoder;
use nix::errno::Errno;
use nix::sys::uio::preadv;
use nix::unistd::{Whence, lseek};

use super::position::{Identity, Print};
use super::trace::{HEAD, TAIL, Tail, Trace, hash};
use crate::record::Nanos;

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: Nanos,
}

/// An open file.
#[derive(Debug)]
pub(super) enum Content {
    Plain(File),
    Gzip(Box<Gzip>),
}

/// A gzip file, decompressed up to `at`.
#[derive(Debug)]
pub(super) struct Gzip {
    decoder: MultiGzDecoder<BufReader<File>>,
    at: u64,
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// So many bytes; none: the end.
    Bytes(usize),
    /// What was read before is not there any more.
    Changed,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: Nanos(seconds.saturating_add(metadata.mtime_nsec())),
        }
    }

    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Content {
    pub(super) fn new(file: File, gzip: bool) -> Self {
        if gzip {
            let decoder = MultiGzDecoder::new(BufReader::new(file));
            Self::Gzip(Box::new(Gzip { decoder, at: 0 }))
        } else {
            Self::Plain(file)
        }
    }

    pub(super) fn is_gzip(&self) -> bool {
        matches!(self, Self::Gzip(_))
    }

    pub(super) fn stamp(&self) -> io::Result<Stamp> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(gzip) => gzip.decoder.get_ref().get_ref(),
        };
        Ok(Stamp::of(&file.metadata()?))
    }

    /// Reads at `offset`, if what is before it is still `tail`.
    pub(super) fn read(&mut self, offset: u64, tail: &Tail, into: &mut [u8]) -> io::Result<Filled> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(gzip) => return gzip.read(offset, into).map(Filled::Bytes),
        };
        let known = tail.as_bytes();
        let mut before = [0; TAIL];
        let before = before.get_mut(..known.len()).unwrap_or_default();
        let start = offset.saturating_sub(known.len() as u64) as i64;
        let count = loop {
            let mut slices = [IoSliceMut::new(before), IoSliceMut::new(into)];
            match preadv(file.as_fd(), &mut slices, start) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        Ok(match count.checked_sub(known.len()) {
            Some(count) if before == known => Filled::Bytes(count),
            _ => Filled::Changed,
        })
    }

    /// Where the next data is, at or behind `offset`, in a file with holes. `None`: nowhere yet.
    pub(super) fn data(&self, offset: u64) -> Option<u64> {
        match self {
            Self::Plain(file) => match lseek(file.as_fd(), offset as i64, Whence::SeekData) {
                Ok(data) => Some(data as u64),
                Err(Errno::ENXIO) => None,
                // A file system that knows no holes.
                Err(_) => Some(offset),
            },
            Self::Gzip(_) => Some(offset),
        }
    }

    /// The print of these bytes; `None` if the file is shorter.
    pub(super) fn print(&mut self, at: u64, bytes: u32) -> io::Result<Option<Print>> {
        let mut buffer = [0; HEAD as usize];
        let Some(buffer) = buffer.get_mut(..bytes as usize) else { return Ok(None) };
        let count = self.read_whole(at, buffer)?;
        Ok((count == buffer.len()).then(|| Print { at, bytes, hash: hash(buffer) }))
    }

    /// What somebody knows who has read up to `end`.
    pub(super) fn trace(&mut self, end: u64) -> io::Result<Trace> {
        let mut trace = Trace::default();
        // In a file that is shorter by now the next read finds it changed.
        let mut buffer = [0; HEAD as usize];
        let head = buffer.get_mut(..end.min(HEAD) as usize).unwrap_or_default();
        self.read_whole(0, head)?;
        trace.push(head);
        let len = end.min(TAIL as u64);
        let tail = buffer.get_mut(..len as usize).unwrap_or_default();
        self.read_whole(end - len, tail)?;
        trace.tail = Tail::default();
        trace.tail.push(tail);
        Ok(trace)
    }

    /// The next read of a compressed file begins with its first byte.
    pub(super) fn start_again(&mut self) {
        if let Self::Gzip(gzip) = self {
            gzip.at = u64::MAX;
        }
    }

    /// The bytes that a print is of, if they are still there.
    pub(super) fn matching(&mut self, print: &Print) -> io::Result<Option<Tail>> {
        if print.bytes as usize > TAIL {
            return Ok(None);
        }
        let mut buffer = [0; TAIL];
        let buffer = buffer.get_mut(..print.bytes as usize).unwrap_or_default();
        let count = self.read_whole(print.at, buffer)?;
        if count < buffer.len() || hash(buffer) != print.hash {
            return Ok(None);
        }
        let mut tail = Tail::default();
        tail.push(buffer);
        Ok(Some(tail))
    }

    /// Whether this is that file, by what is in it.
    pub(super) fn is(&mut self, identity: &Identity) -> io::Result<bool> {
        Ok(self.print(0, identity.head.bytes)? == Some(identity.head)
            && self.matching(&identity.tail)?.is_some())
    }

    fn read_whole(&mut self, at: u64, mut into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => {
                let mut count = 0;
                while !into.is_empty() {
                    match file.read_at(into, at + count as u64) {
                        Ok(0) => break,
                        Ok(read) => {
                            count += read;
                            into = into.get_mut(read..).unwrap_or_default();
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(count)
            }
            Self::Gzip(gzip) => gzip.read(at, into),
        }
    }
}

impl Gzip {
    /// Fills `into` as far as there is something. Going back means to decompress from the beginning.
    fn read(&mut self, offset: u64, mut into: &mut [u8]) -> io::Result<usize> {
        if offset < self.at {
            let mut file = self.decoder.get_ref().get_ref().try_clone()?;
            file.rewind()?;
            self.decoder = MultiGzDecoder::new(BufReader::new(file));
            self.at = 0;
        }
        let mut waste = [0; 4096];
        while self.at < offset {
            let long = (offset - self.at).min(waste.len() as u64) as usize;
            let count = self.some(waste.get_mut(..long).unwrap_or_default())?;
            if count == 0 {
                return Ok(0);
            }
        }
        let mut total = 0;
        while !into.is_empty() {
            let count = match self.some(into) {
                Ok(0) => break,
                // What came before the damage is good.
                Err(_) if total > 0 => break,
                count => count?,
            };
            total += count;
            into = into.get_mut(count..).unwrap_or_default();
        }
        Ok(total)
    }

    fn some(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.decoder.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let count = result?;
                    self.at += count as u64;
                    return Ok(count);
                }
            }
        }
    }
}
