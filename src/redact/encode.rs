//! The forms in which a secret value may be printed.
//!
//! Apart from the search because it is a table of encodings and nothing else. It does not judge
//! whether a form is long enough to be masked.
//!
//! | form | what of it |
//! |---|---|
//! | raw | the value; if it has several lines, also each of them (not PEM's `-----` lines) |
//! | base64 | standard and URL alphabet, at the 3 alignments the value can have in encoded data; the characters that the neighbours decide as well stay. Long values also as wrapped at 64 and 76 columns |
//! | percent | RFC 3986, `/` kept (Python's quote), `!'()*` kept (JavaScript's), `+` for a space; hex in both cases |
//! | JSON | plain, `\/`, `\u` for non-ASCII, `<>&` escaped (Go); and JSON within JSON |

use std::fmt::Write;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Calls `take` with each form of `value`; the same form may come more than once.
pub(super) fn forms(value: &[u8], mut take: impl FnMut(&[u8])) {
    let value = value.trim_ascii();
    encoded(value, &mut take);
    if value.contains(&b'\n') {
        for line in value.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
            // PEM's borders are the same in every key.
            if !line.starts_with(b"-----") && line.len() >= super::MIN_SECRET {
                encoded(line, &mut take);
            }
        }
    }
}

fn encoded(value: &[u8], take: &mut impl FnMut(&[u8])) {
    take(value);
    // Only what is long enough itself counts: an encoding does not make a secret of a short one.
    if value.len() < super::MIN_SECRET {
        return;
    }
    base64(value, take);
    percent(value, take);
    if let Ok(text) = std::str::from_utf8(value) {
        json(text, take);
    }
}

fn base64(value: &[u8], take: &mut impl FnMut(&[u8])) {
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for (before, first) in [(0, 0), (1, 2), (2, 3)] {
            let mut data = vec![0; before];
            data.extend_from_slice(value);
            let text = engine.encode(&data);
            let text = text.as_bytes();
            // The characters that no neighbour has a part in; then with the last one as it is
            // where the data ends with the value.
            take(text.get(first..data.len() * 8 / 6).unwrap_or_default());
            take(text.get(first..).unwrap_or_default());
            if before == 0 {
                for width in [64, 76] {
                    if text.len() > width {
                        text.chunks(width).for_each(&mut *take);
                    }
                }
            }
            super::wipe(&mut data);
        }
    }
}

fn percent(value: &[u8], take: &mut impl FnMut(&[u8])) {
    for kept in [&b"-._~"[..], b"-._~/", b"-._~!*'()"] {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            let mut text = Vec::with_capacity(value.len() * 3);
            for &byte in value {
                if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
                    text.push(byte);
                } else {
                    let digit = |nibble: u8| digits.get(usize::from(nibble)).copied();
                    text.push(b'%');
                    text.extend(digit(byte >> 4));
                    text.extend(digit(byte & 15));
                }
            }
            take(&text);
            if value.contains(&b' ') {
                let plus = String::from_utf8_lossy(&text).replace("%20", "+");
                take(plus.as_bytes());
            }
        }
    }
}

/// How JSON's writers differ.
struct JsonStyle {
    /// Characters written as `\uXXXX` beside the control characters.
    unicode: fn(char) -> bool,
    /// Whether `/` becomes `\/`.
    slash: bool,
}

fn json(value: &str, take: &mut impl FnMut(&[u8])) {
    let styles = [
        JsonStyle { unicode: |_| false, slash: false },
        JsonStyle { unicode: |_| false, slash: true },
        JsonStyle { unicode: |c| !c.is_ascii(), slash: false },
        JsonStyle { unicode: |c| matches!(c, '<' | '>' | '&'), slash: false },
    ];
    for style in &styles {
        let once = json_text(value, style);
        take(once.as_bytes());
        take(json_text(&once, style).as_bytes());
    }
}

fn json_text(value: &str, style: &JsonStyle) -> String {
    let mut text = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '/' if style.slash => text.push_str("\\/"),
            c if c < ' ' || (style.unicode)(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(text, "\\u{unit:04x}").unwrap_or_default();
                }
            }
            c => text.push(c),
        }
    }
    text
}
