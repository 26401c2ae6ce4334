//! Text without a terminal's escape sequences, for readers that do not write to a terminal.
//!
//! The stores keep them; nothing here is asked on the way in.

use std::borrow::Cow;

const ESCAPE: u8 = 0x1b;

/// `text` without escape sequences (CSI, OSC and other strings, two-character ones). All other
/// bytes stay, an unfinished sequence at the end goes.
pub fn strip(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(ESCAPE, text) else { return Cow::Borrowed(text) };
    let (plain, mut rest) = text.split_at(first);
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(plain);
    while !rest.is_empty() {
        let (_, after) = rest.split_at(sequence_len(rest));
        let next = memchr::memchr(ESCAPE, after).unwrap_or(after.len());
        let (plain, tail) = after.split_at(next);
        out.extend_from_slice(plain);
        rest = tail;
    }
    Cow::Owned(out)
}

/// As [`strip`], for text that is known to be UTF-8.
pub fn strip_str(text: &str) -> Cow<'_, str> {
    match strip(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // Sequences are ASCII from end to end except the text of strings, so what stays is UTF-8.
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        },
    }
}

/// Bytes of the escape sequence that `text` begins with; 1 for an ESC that begins none.
pub(crate) fn sequence_len(text: &[u8]) -> usize {
    let after = text.get(2..).unwrap_or_default();
    match text.get(1) {
        Some(b'[') => {
            let body = after.iter().take_while(|byte| matches!(byte, b' '..=b'?')).count();
            // A byte that cannot end it is not part of it.
            2 + body + usize::from(matches!(after.get(body), Some(b'@'..=b'~')))
        }
        Some(b']' | b'P' | b'_' | b'^' | b'X') => match memchr::memchr2(0x07, ESCAPE, after) {
            Some(end) if after.get(end) == Some(&0x07) => 2 + end + 1,
            Some(end) if after.get(end + 1) == Some(&b'\\') => 2 + end + 2,
            Some(end) => 2 + end,
            None => text.len(),
        },
        Some(b' '..=b'/') => {
            let body = after.iter().take_while(|byte| matches!(byte, b' '..=b'/')).count();
            2 + body + usize::from(matches!(after.get(body), Some(b'0'..=b'~')))
        }
        Some(b'0'..=b'~') => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_and_text_stays() {
        let table = [
            ("plain", "plain"),
            ("", ""),
            ("\x1b[31mred\x1b[0m", "red"),
            ("a\x1b[1;38;5;208mb\x1b[mc", "abc"),
            ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
            ("\x1b]0;title\x1b\\text", "text"),
            ("\x1b(Bx\x1b7y\x1b=z", "xyz"),
            ("end\x1b[3", "end"),
            ("end\x1b", "end"),
            ("end\x1b]8;;http", "end"),
            ("\x1b[2K\r 10%", "\r 10%"),
            ("\x1bäb", "äb"),
            ("\x1b[\nb", "\nb"),
            ("\x1b\x1b[1mx", "x"),
        ];
        for (text, expected) in table {
            assert_eq!(strip_str(text), expected, "{text:?}");
        }
    }

    #[test]
    fn text_without_escapes_is_not_copied() {
        assert!(matches!(strip(b"plain"), Cow::Borrowed(_)));
        assert!(matches!(strip_str("plain"), Cow::Borrowed(_)));
    }
}
