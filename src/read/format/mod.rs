//! Lines to bytes: what a person reads, what the step wrote, or the records.
//!
//! | form | what |
//! |---|---|
//! | text | a line a line: parts joined, progress bars as they ended (a row each), made safe to show |
//! | raw | exactly the bytes that the step wrote |
//! | json | the records, one a line |
//!
//! Writes to memory; who prints it is not known here.

pub mod clean;
pub mod clock;
pub mod label;

use clean::Cleaning;
use clock::Clock;

use super::page::{Line, Page};
use super::pipeline::Item;
use crate::line::progress;
use crate::record::{GapReason, Level};
use crate::words::counted;

/// The form of the output.
#[derive(Debug)]
pub enum Form {
    /// For people.
    Text(Text),
    /// For programs that want what the step wrote.
    Raw,
    /// For programs that want everything.
    Json,
}

/// How lines are shown to people.
#[derive(Debug)]
pub struct Text {
    /// What of the step's bytes is let through.
    pub cleaning: Cleaning,
    /// Colours of our own: labels, times, levels.
    pub colours: bool,
    /// Times in front.
    pub clock: Option<Clock>,
    /// Per stream, what stands in front of its lines.
    pub labels: Vec<String>,
    /// Each state of a progress bar, not only the last.
    pub all_progress: bool,
}

/// Writes lines one after the other.
#[derive(Debug)]
pub struct Formatter {
    form: Form,
    /// A line was written without its end.
    open: Option<Open>,
    scratch: Vec<u8>,
}

/// A line that goes on.
#[derive(Debug)]
struct Open {
    stream: u32,
    line: u64,
    screen: progress::Screen,
    /// Written for it, the last of them without its end.
    rows: usize,
}

const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";
/// Of labels: all but red and yellow, which are levels.
const LABELS: [&str; 6] = ["\x1b[36m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[96m", "\x1b[95m"];

impl Formatter {
    /// In this form.
    pub fn new(form: Form) -> Self {
        Self { form, open: None, scratch: Vec::new() }
    }

    /// Other labels from now on: streams have come up.
    pub fn set_labels(&mut self, labels: Vec<String>) {
        if let Form::Text(text) = &mut self.form {
            text.labels = labels;
        }
    }

    /// Appends an item.
    pub fn append(&mut self, item: &Item<'_>, out: &mut Vec<u8>) {
        let Some(first) = item.line() else { return };
        let more =
            item.more.iter().filter_map(|(page, at)| Some((&**page, page.lines().get(*at)?)));
        let parts = std::iter::once((&**item.page, first)).chain(more);
        match &mut self.form {
            Form::Raw => parts.for_each(|(page, line)| page.append_exact(line, out)),
            Form::Json => parts.for_each(|(page, line)| {
                out.extend_from_slice(page.json(line));
                out.push(b'\n');
            }),
            Form::Text(text) => {
                if item.apart {
                    close(&mut self.open, out);
                    text.separator(out);
                }
                text.append(first, parts, &mut self.open, &mut self.scratch, out);
            }
        }
    }

    /// Ends a line that is open.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        close(&mut self.open, out);
    }
}

fn close(open: &mut Option<Open>, out: &mut Vec<u8>) {
    if open.take().is_some() {
        out.push(b'\n');
    }
}

impl Text {
    fn separator(&self, out: &mut Vec<u8>) {
        let (start, end) = if self.colours { (DIM, RESET) } else { ("", "") };
        out.extend_from_slice(format!("{start}--{end}\n").as_bytes());
    }

    fn append<'a>(
        &mut self,
        first: &Line,
        parts: impl Iterator<Item = (&'a Page, &'a Line)>,
        open: &mut Option<Open>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        scratch.clear();
        let (mut redraws, mut unfinished, mut gap) = (false, None, None);
        for (page, line) in parts {
            scratch.extend_from_slice(page.message(line));
            redraws |= line.progress;
            unfinished = line.part().filter(|part| !part.last);
            gap = gap.or(line.gap());
        }
        if let Some(gap) = gap {
            scratch.clear();
            scratch.extend_from_slice(describe(gap).as_bytes());
        }
        let before = open.take_if(|open| {
            open.stream == first.stream && first.part().is_some_and(|part| part.line == open.line)
        });
        close(open, out);
        let continues = before.is_some();
        let (mut screen, mut rows) =
            before.map_or_else(Default::default, |before| (before.screen, before.rows));
        if redraws || unfinished.is_some() {
            screen.feed(scratch);
        }
        // A bar that goes on is drawn again over itself, where there is a screen to draw on.
        if continues && redraws && self.cleaning.terminal {
            (1..rows).for_each(|_| out.extend_from_slice(b"\r\x1b[K\x1b[A"));
            out.extend_from_slice(b"\r\x1b[K");
        } else if continues && redraws {
            out.push(b'\n');
        }
        if !continues || redraws {
            self.front(first, out);
        }
        let paint = self.paint(first, scratch);
        out.extend_from_slice(paint.as_bytes());
        if redraws && self.all_progress {
            for (number, state) in progress::states(scratch).enumerate() {
                if number > 0 {
                    out.push(b'\n');
                    self.front(first, out);
                }
                clean::append(state, self.cleaning, out);
            }
        } else if redraws {
            let shown = screen.shown();
            for (number, row) in shown.iter().enumerate() {
                if number > 0 {
                    out.push(b'\n');
                    self.front(first, out);
                }
                clean::append(row, self.cleaning, out);
            }
            rows = shown.len();
        } else {
            clean::append(scratch, self.cleaning, out);
        }
        if !paint.is_empty() {
            out.extend_from_slice(RESET.as_bytes());
        }
        *open = unfinished.map(|part| Open { stream: first.stream, line: part.line, screen, rows });
        if open.is_none() {
            out.push(b'\n');
        }
    }

    /// Label and time.
    fn front(&mut self, line: &Line, out: &mut Vec<u8>) {
        let label = self.labels.get(line.stream as usize).filter(|label| !label.is_empty());
        if let Some(label) = label {
            if self.colours {
                let colour = LABELS.get(line.stream as usize % LABELS.len()).unwrap_or(&"");
                out.extend_from_slice(colour.as_bytes());
            }
            out.extend_from_slice(label.as_bytes());
            out.extend_from_slice(b" | ");
            if self.colours {
                out.extend_from_slice(RESET.as_bytes());
            }
        }
        if let Some(clock) = &mut self.clock {
            let (start, end) = if self.colours { (DIM, RESET) } else { ("", "") };
            out.extend_from_slice(start.as_bytes());
            clock.append(line.time, out);
            out.extend_from_slice(end.as_bytes());
            out.push(b' ');
        }
    }

    /// The colour of a whole line: that of its level, unless it has colours of its own.
    fn paint(&self, line: &Line, text: &[u8]) -> &'static str {
        if !self.colours || memchr::memchr(0x1b, text).is_some() {
            return "";
        }
        match line.level {
            _ if line.gap().is_some() => YELLOW,
            Some(Level::Critical | Level::Error) => RED,
            Some(Level::Warning) => YELLOW,
            Some(Level::Debug | Level::Trace) => DIM,
            Some(Level::Info) | None => "",
        }
    }
}

/// A gap in words.
fn describe(gap: &crate::record::Gap) -> String {
    let why = match gap.reason {
        GapReason::DroppedOldest | GapReason::DroppedNewest => "the spool was full",
        GapReason::WriteFailed => "the spool's disk failed",
        GapReason::Corrupt => "the spool was damaged",
        GapReason::Missing => "a piece of the spool is missing",
    };
    format!(
        "[steplog: {} and {} could not be kept: {why}]",
        bytesize::ByteSize(gap.bytes).display().iec(),
        counted(gap.lines, "line end")
    )
}

#[cfg(test)]
mod tests;
