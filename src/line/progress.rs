//! Lines that redraw themselves: what a terminal would show in the end.
//!
//! The stores keep every state; readers show the last one unless asked for all. A line redraws itself
//! with carriage returns, and where it has line ends in it, over several rows ([`rows`]).

use std::borrow::Cow;
use std::collections::VecDeque;

use super::{ansi, rows};

const RETURN: u8 = b'\r';

/// Rows that are kept; those above have scrolled away.
const MOST_ROWS: usize = 200;

/// Bytes of a row after which its earlier states are forgotten.
const ROW_BYTES: usize = 64 << 10;

/// The states of a line in order, the empty ones left out.
pub fn states(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split(|byte| matches!(*byte, RETURN | b'\n'))
        .filter(|state| !ansi::strip(state).is_empty())
}

/// The rows that one line is drawn on, as far as it goes.
#[derive(Debug, Default)]
pub struct Screen {
    /// What was written to each, all states.
    rows: VecDeque<Vec<u8>>,
    /// The cursor's.
    at: usize,
}

impl Screen {
    /// The line goes on with `text`.
    pub fn feed(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() {
            let next = memchr::memchr2(b'\x1b', b'\n', rest).unwrap_or(rest.len());
            let (plain, here) = rest.split_at(next);
            self.write(plain);
            let len = match here {
                [] => break,
                [b'\n', ..] => {
                    self.go(1);
                    1
                }
                _ => {
                    if let Some((up, len)) = rows::cursor_move(here) {
                        self.go(-up);
                        len
                    } else {
                        self.write(b"\x1b");
                        1
                    }
                }
            };
            rest = here.get(len..).unwrap_or_default();
        }
    }

    /// The last state of each row, rows with nothing on them left out; at least one.
    pub fn shown(&self) -> Vec<Cow<'_, [u8]>> {
        let is_blank = |row: &[u8]| ansi::strip(row).iter().all(|byte| *byte == b' ');
        let rows = self.rows.iter().map(|row| last(row));
        let mut shown: Vec<_> = rows.filter(|row| !is_blank(row)).collect();
        if shown.is_empty() {
            shown.push(Cow::Borrowed(&[]));
        }
        shown
    }

    fn write(&mut self, text: &[u8]) {
        while self.rows.len() <= self.at {
            self.rows.push_back(Vec::new());
        }
        let Some(row) = self.rows.get_mut(self.at) else { return };
        row.extend_from_slice(text);
        if row.len() > ROW_BYTES {
            let mut shown = last(row).into_owned();
            let excess = shown.len().saturating_sub(ROW_BYTES / 2);
            shown.drain(..excess);
            *row = shown;
        }
    }

    /// To the beginning of a row further down.
    fn go(&mut self, down: i32) {
        self.write(&[]);
        let steps = down.unsigned_abs() as usize;
        if down < 0 {
            for _ in self.at..steps {
                self.rows.push_front(Vec::new());
            }
            self.at = self.at.saturating_sub(steps);
            self.rows.truncate(MOST_ROWS);
        } else {
            self.at += steps;
            self.write(&[]);
            while self.rows.len() > MOST_ROWS {
                self.rows.pop_front();
                self.at = self.at.saturating_sub(1);
            }
        }
        self.write(&[RETURN]);
    }
}

/// What a terminal shows of one row: each state is written over the one before it, so that what a
/// longer one leaves behind stays visible unless it is erased (`ESC [K`, `ESC [2K`).
///
/// Only the last 64 states are looked at. Colours are kept where no two states mix.
fn last(text: &[u8]) -> Cow<'_, [u8]> {
    const STATES: usize = 64;
    if memchr::memchr(RETURN, text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut shown: Option<Cow<'_, [u8]>> = None;
    let mut recent: Vec<&[u8]> = states(text).rev().take(STATES).collect();
    recent.reverse();
    for state in recent {
        shown = Some(match shown {
            None => Cow::Borrowed(state),
            Some(before) => write_over(&before, state),
        });
    }
    shown.unwrap_or(Cow::Borrowed(&[]))
}

fn write_over<'a>(before: &[u8], state: &'a [u8]) -> Cow<'a, [u8]> {
    if erases(state) || width(state) >= width(before) {
        return Cow::Borrowed(state);
    }
    let before = super::ansi::strip(before);
    let left = skip_columns(&before, width(state));
    if left.iter().all(|byte| *byte == b' ') {
        return Cow::Borrowed(state);
    }
    let mut mixed = state.to_vec();
    mixed.extend_from_slice(left);
    Cow::Owned(mixed)
}

/// `ESC [K`, `ESC [0K` and `ESC [2K` clear what was there.
fn erases(state: &[u8]) -> bool {
    [b"\x1b[K".as_slice(), b"\x1b[0K", b"\x1b[2K"]
        .iter()
        .any(|sequence| memchr::memmem::find(state, sequence).is_some())
}

/// Columns, taking each character for one.
fn width(text: &[u8]) -> usize {
    super::ansi::strip(text).iter().filter(|byte| starts_character(**byte)).count()
}

fn skip_columns(text: &[u8], columns: usize) -> &[u8] {
    let at = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| starts_character(**byte))
        .nth(columns)
        .map_or(text.len(), |(at, _)| at);
    text.get(at..).unwrap_or_default()
}

fn starts_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_is_shown() {
        let table = [
            ("plain", "plain"),
            ("", ""),
            ("\r", ""),
            ("  0%\r 50%\r100%", "100%"),
            ("\r  0%\r 50%\r", " 50%"),
            ("loading data\rdone", "doneing data"),
            ("loading data\r\x1b[Kdone", "\x1b[Kdone"),
            ("loading data\r\x1b[2Kdone", "\x1b[2Kdone"),
            ("a long one   \rb", "b long one   "),
            ("xx  \ryy", "yy"),
            ("\x1b[31m 1%\x1b[0m\r\x1b[32m 2%\x1b[0m", "\x1b[32m 2%\x1b[0m"),
            ("ääää\rxx", "xxää"),
        ];
        for (text, expected) in table {
            assert_eq!(String::from_utf8_lossy(&last(text.as_bytes())), expected, "{text:?}");
        }
    }

    fn shown(text: &str) -> Vec<String> {
        let mut screen = Screen::default();
        screen.feed(text.as_bytes());
        let rows = screen.shown();
        rows.iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect()
    }

    #[test]
    fn rows_are_shown_as_they_ended() {
        let table: &[(&str, &[&str])] = &[
            ("plain", &["plain"]),
            ("\r 1%\r 2%", &[" 2%"]),
            ("\r 1%\r   ", &[""]),
            ("\r in 1\x1b[A\r out 1\n\r in 2\x1b[A\r out 2", &[" out 2", " in 2"]),
            ("\rout\n\rin 1\x1b[A\n\r    \x1b[A\rOUT", &["OUT"]),
            ("\x1b[2Aa\nb\nc\x1b[2A\x1b[KA\x1b[2EC", &["\x1b[KA", "b", "C"]),
            ("\x1b[31mred\x1b[B\rx", &["\x1b[31mred", "x"]),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_bar_that_is_drawn_a_million_times_is_small() {
        let mut screen = Screen::default();
        for number in 0..1_000_000 {
            screen.feed(format!("\n\rinner {number}\x1b[A\router").as_bytes());
            screen.feed(if number % 1000 == 0 { b"\x1b[B\n" } else { b"" });
        }
        assert!(screen.rows.len() <= MOST_ROWS);
        assert!(screen.rows.iter().all(|row| row.len() <= ROW_BYTES));
        assert_eq!(screen.shown().last().map(|row| &**row), Some(b"inner 999999".as_slice()));
    }

    #[test]
    fn states_are_in_order() {
        let all: Vec<_> = states(b"\r1\r\x1b[A\n\r2\r3").collect();
        assert_eq!(all, [b"1", b"2", b"3"]);
    }
}
