//! How serious a line says it is, from how it is laid out.
//!
//! A level is believed only where a logger would put it: at the start, in brackets, behind a
//! timestamp, between separators, under a `level` key. The same word in prose ("no errors",
//! "information about") is not one. A line that does not say has no level; stderr is none either.
//!
//! This runs for every line that is shipped: it looks at the first 128 bytes (JSON: 2 KiB), once,
//! byte by byte, and allocates nothing.

mod header;
mod keys;
mod message;

#[cfg(test)]
mod tests;

pub(super) use keys::{JSON_KEYS, from_number, from_word};

use crate::record::Level;

/// How much of a line is looked at.
const PREFIX: usize = 128;
const ESCAPE: u8 = 0x1b;

/// The level that a line names, if it names one where a logger would.
#[inline]
pub fn detect(text: &[u8]) -> Option<Level> {
    let prefix = text.get(..PREFIX).unwrap_or(text);
    match prefix.first()? {
        b'{' => {
            if let Some(level) = keys::json(text) {
                return Some(level);
            }
            header::detect(prefix)
        }
        b'<' => kernel(prefix).or_else(|| header::detect(prefix)),
        _ => plain(prefix),
    }
}

fn plain(prefix: &[u8]) -> Option<Level> {
    if memchr::memchr(ESCAPE, prefix).is_none() {
        return header::detect(prefix);
    }
    let mut buffer = [0_u8; PREFIX];
    let length = strip_into(prefix, &mut buffer);
    header::detect(buffer.get(..length)?)
}

/// `<0>` to `<7>` as the kernel and journald write it.
fn kernel(prefix: &[u8]) -> Option<Level> {
    match prefix {
        [b'<', digit @ b'0'..=b'7', b'>', ..] => from_syslog(u64::from(digit - b'0')),
        _ => None,
    }
}

fn from_syslog(number: u64) -> Option<Level> {
    Some(match number {
        0..=2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warning,
        5 | 6 => Level::Info,
        7 => Level::Debug,
        _ => return None,
    })
}

/// Copies `text` without escape sequences; returns the length.
fn strip_into(text: &[u8], into: &mut [u8]) -> usize {
    let mut length = 0;
    let mut rest = text;
    while let Some(first) = rest.first() {
        if *first == ESCAPE {
            rest = rest.get(super::ansi::sequence_len(rest)..).unwrap_or_default();
            continue;
        }
        let run = memchr::memchr(ESCAPE, rest).unwrap_or(rest.len());
        let (plain, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
        if let Some(place) = into.get_mut(length..length + plain.len()) {
            place.copy_from_slice(plain);
            length += plain.len();
        }
        rest = after;
    }
    length
}
