//! Which lines belong together: tracebacks of Python, Java, Go and Rust.
//!
//! Joining is a label, nothing more: each line stays a record of its own, carries the `seq` of
//! the group's first line, and can be shown without the others. A label is given as the line
//! passes, so it never waits for what follows and a checkpoint may fall between any two lines.
//! A first line must therefore be recognisable by itself.

use serde::{Deserialize, Serialize};

use super::{OpenGroup, Settings};
use crate::record::Nanos;

/// What kind of traceback, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// `Traceback (most recent call last):` and its frames.
    Python,
    /// Its last line, `ValueError: …`, has come; another may be chained to it.
    PythonRaised,
    /// `During handling of the above exception, …`: the next traceback belongs to the same group.
    PythonChained,
    /// An exception group, or a box drawn by rich: its frames are all indented or framed.
    PythonBoxed,
    /// `Fatal Python error: …` and the stacks of its threads.
    PythonFatal,
    /// `java.lang.IllegalStateException: …` and its frames.
    Java,
    /// `panic: …` or `goroutine 1 [running]:`.
    Go,
    /// `thread 'main' panicked at src/main.rs:1:2:`, and its message has yet to come.
    RustHead,
    /// The rest of a Rust panic.
    Rust,
}

/// What is said of a line that is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// `seq` of the group's first line.
    pub(super) group: u64,
    /// See [`Line::headline`](super::Line::headline).
    pub(super) headline: bool,
}

/// Looks at one line of an iostream: the group it belongs to, if any. `open` is the group that
/// the iostream's line before it was in.
#[inline]
pub(super) fn step(
    open: &mut Option<OpenGroup>,
    settings: &Settings,
    seq: u64,
    time: Nanos,
    text: &[u8],
) -> Option<Member> {
    if open.is_none() && !may_start(text) {
        return None;
    }
    let (rank, text) = split_rank(text);
    if let Some(group) = open {
        if group.rank != rank && start(text).is_none() {
            // Another process of the same launcher; its lines come in between.
            return None;
        }
        let quiet = time.0.saturating_sub(group.time.0);
        let in_time = quiet <= (settings.group_timeout_ms as i64).saturating_mul(1_000_000);
        let has_room = group.lines < settings.max_group_lines;
        if group.rank == rank
            && in_time
            && has_room
            && let Some(kind) = next(group.kind, text)
        {
            let headline = is_headline(group.kind, kind, text);
            group.kind = kind;
            group.lines += 1;
            group.time = time;
            return Some(Member { group: group.first, headline });
        }
        *open = None;
    }
    let kind = start(text)?;
    *open = Some(OpenGroup { first: seq, lines: 1, time, kind, rank });
    Some(Member { group: seq, headline: false })
}

/// A quick no for nearly all lines.
#[inline]
fn may_start(text: &[u8]) -> bool {
    match text {
        [b'T' | b'E' | b'F' | b'p' | b'f' | b'g' | b't', ..]
        | [b' ', b' ', b'+', ..]
        | [b'[', b'r' | b'd', ..]
        | [0xe2, 0x95, ..] => true,
        [b'a'..=b'z', ..] => java_class(text),
        _ => false,
    }
}

/// What starts with this line.
fn start(text: &[u8]) -> Option<Kind> {
    const TRACEBACK: &[u8] = b"Traceback (most recent call last)";
    match text.first()? {
        b'T' if text.starts_with(TRACEBACK) => Some(Kind::Python),
        b' ' if text.starts_with(b"  + Exception Group Traceback (") => Some(Kind::PythonBoxed),
        0xe2 if text.starts_with("╭─".as_bytes()) => {
            memchr::memmem::find(text, TRACEBACK).map(|_| Kind::PythonBoxed)
        }
        b'F' if text.starts_with(b"Fatal Python error: ") => Some(Kind::PythonFatal),
        b'E' if text.starts_with(b"Exception in thread \"") => Some(Kind::Java),
        b'p' if text.starts_with(b"panic: ") => Some(Kind::Go),
        b'f' if text.starts_with(b"fatal error: ") => Some(Kind::Go),
        b'g' if is_goroutine(text) => Some(Kind::Go),
        b't' if text.starts_with(b"thread '") => {
            memchr::memmem::find(text, b" panicked at ")?;
            Some(if text.ends_with(b":") { Kind::RustHead } else { Kind::Rust })
        }
        b'a'..=b'z' if java_class(text) => Some(Kind::Java),
        _ => None,
    }
}

/// Whether the line goes on with a group, and what the group then is.
fn next(kind: Kind, text: &[u8]) -> Option<Kind> {
    let indented = text.starts_with(b"  ") || text.starts_with(b"\t");
    match kind {
        Kind::Python | Kind::PythonBoxed if indented => Some(kind),
        Kind::Python if is_exception(text) => Some(Kind::PythonRaised),
        Kind::PythonBoxed if text.starts_with("│".as_bytes()) => Some(kind),
        Kind::PythonBoxed if text.starts_with("╰".as_bytes()) => Some(Kind::Python),
        Kind::Python | Kind::PythonBoxed | Kind::PythonRaised if is_chain(text) => {
            Some(Kind::PythonChained)
        }
        Kind::PythonBoxed | Kind::PythonRaised => text.is_empty().then_some(Kind::PythonRaised),
        Kind::PythonChained if text.is_empty() => Some(kind),
        Kind::PythonChained => {
            start(text).filter(|kind| matches!(kind, Kind::Python | Kind::PythonBoxed))
        }
        Kind::Python => None,
        Kind::PythonFatal if text.is_empty() || indented => Some(kind),
        Kind::PythonFatal => {
            let heads: [&[u8]; 5] = [
                b"Current thread 0x",
                b"Thread 0x",
                b"Extension modules: ",
                b"Python runtime state: ",
                b"<no Python frame>",
            ];
            heads.iter().any(|head| text.starts_with(head)).then_some(kind)
        }
        Kind::Java if indented => {
            let text = text.trim_ascii_start();
            let heads: [&[u8]; 5] = [b"at ", b"... ", b"Suppressed: ", b"Caused by: ", b"- "];
            heads.iter().any(|head| text.starts_with(head)).then_some(kind)
        }
        Kind::Java => {
            (text.starts_with(b"Caused by: ") || text.starts_with(b"Wrapped by: ")).then_some(kind)
        }
        Kind::Go => is_go(text, indented).then_some(kind),
        Kind::RustHead => Some(Kind::Rust),
        Kind::Rust => {
            let is_frame = indented
                && matches!(text.trim_ascii_start(), [b'0'..=b'9', ..] | [b'a', b't', b' ', ..]);
            (is_frame || text == b"stack backtrace:" || text.starts_with(b"note: ")).then_some(kind)
        }
    }
}

/// Whether a line by which a group of one kind has become another says what happened. Of Java's it
/// is the first line, and what `Caused by` it is detail.
fn is_headline(before: Kind, now: Kind, text: &[u8]) -> bool {
    match (before, now) {
        (Kind::Python, Kind::PythonRaised) | (Kind::RustHead, Kind::Rust) => true,
        (Kind::PythonBoxed, _) => text.strip_prefix(b"  | ").is_some_and(is_exception),
        (Kind::Go, _) => text.trim_ascii_start().starts_with(b"panic: "),
        _ => false,
    }
}

/// `[rank3]: text` → 3 and the text, as torchrun prefixes lines.
fn split_rank(text: &[u8]) -> (Option<u32>, &[u8]) {
    let parse = || {
        let rest = text.strip_prefix(b"[rank").or_else(|| text.strip_prefix(b"[default"))?;
        let digits = rest.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at_checked(digits)?;
        let rest = rest.strip_prefix(b"]:")?;
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        Some((Some(number), rest.strip_prefix(b" ").unwrap_or(rest)))
    };
    parse().unwrap_or((None, text))
}

/// `ValueError: …`, `package.errors.Failed`: what stands at the end of a Python traceback.
fn is_exception(text: &[u8]) -> bool {
    let name = text.iter().take_while(|byte| is_name_byte(**byte)).count();
    name > 0
        && !text.starts_with(b".")
        && !text.first().is_some_and(u8::is_ascii_digit)
        && matches!(text.get(name), None | Some(b':'))
}

/// What Python prints between chained tracebacks.
fn is_chain(text: &[u8]) -> bool {
    text.starts_with(b"During handling of the above exception, ")
        || text.starts_with(b"The above exception was the direct cause of ")
}

/// `java.lang.IllegalStateException: …`
fn java_class(text: &[u8]) -> bool {
    let length = text.iter().take(256).take_while(|byte| is_name_byte(**byte)).count();
    let Some((class, after)) = text.split_at_checked(length) else { return false };
    matches!(after.first(), None | Some(b':'))
        && class.contains(&b'.')
        && [b"Exception".as_slice(), b"Error", b"Throwable"].iter().any(|end| class.ends_with(end))
}

fn is_goroutine(text: &[u8]) -> bool {
    text.strip_prefix(b"goroutine ").is_some_and(|rest| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && rest.get(digits..).is_some_and(|rest| rest.starts_with(b" ["))
    })
}

fn is_go(text: &[u8], indented: bool) -> bool {
    let heads: [&[u8]; 7] = [
        b"[signal ",
        b"created by ",
        b"panic: ",
        b"runtime stack:",
        b"exit status ",
        b"...",
        b"runtime: ",
    ];
    let call = || {
        text.ends_with(b")")
            && text.contains(&b'(')
            && text.contains(&b'.')
            && !text.iter().take_while(|byte| **byte != b'(').any(|byte| *byte == b' ')
    };
    text.is_empty()
        || (indented && text.starts_with(b"\t"))
        || is_goroutine(text)
        || heads.iter().any(|head| text.starts_with(head))
        || call()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$')
}
