//! Lines to standard output, through a pager where a person sits before it.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use super::super::wrap::say;
use super::pager::Pager;
use crate::read::format::{Formatter, label};
use crate::read::pipeline::Item;
use crate::read::session::Output;
use crate::read::store::{Stream, Trouble};

/// Written at once when so much has gathered.
const BUFFER: usize = 128 << 10;

pub(super) struct Printer {
    formatter: Formatter,
    buffer: Vec<u8>,
    target: Target,
    labels: Labels,
    /// Standard output failed, or its reader has seen enough.
    closed: Option<io::Error>,
    /// What is to be said when the pager has left the screen.
    unsaid: Vec<String>,
}

/// When lines carry the name of their stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    Never,
    /// Where there are several.
    Auto,
    Always,
}

enum Target {
    Stdout(File),
    Pager(Pager),
    /// A pager is started with the first byte.
    NotYet,
}

impl Printer {
    pub(super) fn new(formatter: Formatter, labels: Labels, pager: bool) -> io::Result<Self> {
        let target = if pager { Target::NotYet } else { stdout()? };
        let buffer = Vec::with_capacity(BUFFER * 2);
        Ok(Self { formatter, buffer, target, labels, closed: None, unsaid: Vec::new() })
    }

    /// Writes what is left, waits for the pager. An error unless the reader just went away.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.formatter.finish(&mut self.buffer);
        self.flush();
        if let Target::Pager(pager) = self.target {
            pager.wait();
        }
        self.unsaid.iter().for_each(say);
        match self.closed {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() || self.closed.is_some() {
            return;
        }
        if matches!(self.target, Target::NotYet) {
            match Pager::start().map_or_else(stdout, |pager| Ok(Target::Pager(pager))) {
                Ok(target) => self.target = target,
                Err(error) => self.closed = Some(error),
            }
        }
        let written = match &mut self.target {
            Target::Stdout(file) => file.write_all(&self.buffer),
            Target::Pager(pager) => pager.write_all(&self.buffer),
            Target::NotYet => Ok(()),
        };
        self.closed = self.closed.take().or(written.err());
        self.buffer.clear();
    }
}

impl Output for Printer {
    fn streams(&mut self, streams: &[Stream]) {
        self.formatter.set_labels(match self.labels {
            Labels::Never => Vec::new(),
            Labels::Auto => label::labels(streams, false),
            Labels::Always => label::labels(streams, true),
        });
    }

    fn item(&mut self, item: &Item<'_>) -> ControlFlow<()> {
        self.formatter.append(item, &mut self.buffer);
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
        if self.closed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn trouble(&mut self, trouble: &Trouble) {
        self.flush();
        // A pager draws over what others write to its screen.
        match self.target {
            Target::Pager(_) => self.unsaid.push(trouble.what.clone()),
            Target::Stdout(_) | Target::NotYet => say(&trouble.what),
        }
    }

    fn idle(&mut self) -> ControlFlow<()> {
        self.flush();
        if self.closed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Without the buffer of `io::stdout`, which would be a second one.
fn stdout() -> io::Result<Target> {
    Ok(Target::Stdout(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
}

/// Standard output is a terminal that can do more than print.
pub(super) fn on_terminal() -> bool {
    io::stdout().is_terminal()
}
