//! Bytes to lines: what a spool's frames say, cut into lines the same way every time.
//!
//! Pure: no I/O, no clock. The same frames give the same lines with the same `seq`, however they
//! are handed over and from whatever [`State`] reading is taken up again; a shipper that is
//! killed and started anew therefore sends the same records.
//!
//! ```text
//! spool frames ──► Splitter ──► Block { bytes, lines[] } ──► a store's encoder
//!                   │ line ends, parts, time
//!                   │ level      (`level`)
//!                   └ group      (`group`)
//! ```
//!
//! Bars drawn over several rows of a terminal are one line, with line ends in it (`rows`).
//!
//! What a store's encoder asks per line is here too: JSON lifting (`json`); and what a reader
//! asks: what a terminal would show of a line (`ansi`, `progress`).

mod cut;
mod gap;
mod group;
mod pending;
mod splitter;
mod state;

pub mod ansi;
pub mod json;
pub mod level;
pub mod progress;
pub(crate) mod rows;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

pub use splitter::Splitter;
pub use state::{OpenGroup, OpenLine, State, StreamState};

use serde::{Deserialize, Serialize};

use crate::record::{Gap, IoStream, Level, Nanos};

/// How lines are cut. Kept in the spool's `meta.json`, so that a later version or another stack
/// file cuts the same lines from the same spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// A longer line becomes several records that share an id. Bytes.
    pub max_line_bytes: usize,
    /// Join tracebacks by a group id.
    pub multiline: bool,
    /// Lines in one group at the most.
    pub max_group_lines: u32,
    /// A group ends when its stream has been quiet this long. Milliseconds.
    pub group_timeout_ms: u64,
    /// A block is handed on at this many raw bytes.
    pub block_bytes: usize,
    /// A block is handed on at this many lines.
    pub block_lines: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_line_bytes: 256 << 10,
            multiline: true,
            max_group_lines: 1000,
            group_timeout_ms: 2000,
            block_bytes: 1 << 20,
            block_lines: 16 << 10,
        }
    }
}

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
    /// Nothing: a part of a line, or the end of the output.
    None,
}

/// Where a record stands in a line that did not fit one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// `seq` of the first part: the id that all parts share.
    pub line: u64,
    /// This part, from 1.
    pub number: u32,
    /// No part follows.
    pub last: bool,
}

/// One line of a [`Block`]. Its `seq` is the block's first plus its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// First byte in [`Block::bytes`].
    pub start: u32,
    /// Bytes, without the line end.
    pub len: u32,
    /// When its first byte was read; never before the line before it.
    pub time: Nanos,
    /// Which descriptor.
    pub iostream: IoStream,
    /// How it ended.
    pub eol: Eol,
    /// What it says of itself.
    pub level: Option<Level>,
    /// `seq` of the first line of its traceback.
    pub group: Option<u64>,
    /// It says what its group is about: the exception below a traceback, the message of a panic. Not the
    /// group's first line, which may say so itself; of several the last counts.
    pub headline: bool,
    /// Set where the line did not fit one record.
    pub part: Option<Part>,
    /// Index into [`Block::gaps`]: this line stands for lines that were lost.
    pub gap: Option<u32>,
}

/// Lines in a row, with the bytes they are made of; the unit that is encoded and compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// `seq` of the first line.
    pub first_seq: u64,
    /// Raw text of all lines; line ends may stand between them and belong to none.
    pub bytes: Vec<u8>,
    /// In order of `seq`.
    pub lines: Vec<Line>,
    /// What lines with [`Line::gap`] stand for.
    pub gaps: Vec<Gap>,
    /// Bytes of the writer's stream that these lines stand for, line ends included, gaps not.
    pub raw_bytes: u64,
}

impl Block {
    /// The text of a line; empty if it is not one of this block's.
    pub fn text(&self, line: &Line) -> &[u8] {
        let start = line.start as usize;
        self.bytes.get(start..start + line.len as usize).unwrap_or_default()
    }

    /// `seq` of the line after the last.
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.lines.len() as u64
    }

    /// Empties it for reuse; `first_seq` becomes that of the next line.
    pub fn clear(&mut self) {
        self.first_seq = self.next_seq();
        self.bytes.clear();
        self.lines.clear();
        self.gaps.clear();
        self.raw_bytes = 0;
    }
}
