//! Lines that redraw themselves with carriage returns: what a terminal would show in the end.
//!
//! The stores keep every state; readers show the last one unless asked for all.

use std::borrow::Cow;

const RETURN: u8 = b'\r';

/// Whether a line redraws itself. A carriage return before the line end alone does not.
pub fn is_progress(text: &[u8]) -> bool {
    memchr::memchr(RETURN, text)
        .is_some_and(|at| text.get(at..).unwrap_or_default().iter().any(|byte| *byte != RETURN))
}

/// The states of a line in order, the empty ones left out.
pub fn states(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split(|byte| *byte == RETURN).filter(|state| !state.is_empty())
}

/// What a terminal shows when the line is done: each state is written over the one before it, so
/// that what a longer one leaves behind stays visible unless it is erased (`ESC [K`, `ESC [2K`).
///
/// Only the last 64 states are looked at. Colours are kept where no two states mix.
pub fn last(text: &[u8]) -> Cow<'_, [u8]> {
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

    #[test]
    fn a_return_at_the_end_is_no_progress() {
        let table = [("a\rb", true), ("\ra", true), ("a\r", false), ("a\r\r", false), ("a", false)];
        for (text, expected) in table {
            assert_eq!(is_progress(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn states_are_in_order() {
        let all: Vec<_> = states(b"\r1\r\r2\r3").collect();
        assert_eq!(all, [b"1", b"2", b"3"]);
    }
}
