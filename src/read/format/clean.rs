//! Text of strangers, made safe to show.
//!
//! What a step prints may hold anything: sequences that clear the screen, set the title, type
//! into the terminal, or turn text around so that it reads as something else. Only colours and
//! tabs get through to a terminal; the rest is left out or shown by name. Where the output is not
//! a terminal, bytes stay as they are, except that escape sequences go unless colours are wanted.

use crate::line::ansi;

const ESCAPE: u8 = 0x1b;
const RESET: &[u8] = b"\x1b[0m";
/// A message of several lines is one record: its further lines stand in.
const INDENT: &[u8] = b"\n    ";

/// What is let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaning {
    /// Colours and other looks (SGR) stay.
    pub colours: bool,
    /// It goes to a terminal: other control characters are shown by name.
    pub terminal: bool,
}

/// Appends `text`, cleaned.
pub fn append(text: &[u8], cleaning: Cleaning, out: &mut Vec<u8>) {
    if is_plain(text, cleaning) {
        out.extend_from_slice(text);
        return;
    }
    let mut rest = text;
    let mut coloured = false;
    while let Some(byte) = rest.first() {
        let taken = match byte {
            &ESCAPE => {
                let len = ansi::sequence_len(rest);
                let sequence = rest.get(..len).unwrap_or(rest);
                if cleaning.colours && is_colour(sequence) {
                    out.extend_from_slice(sequence);
                    coloured = true;
                }
                len
            }
            b'\n' => {
                out.extend_from_slice(INDENT);
                1
            }
            b'\t' => {
                out.push(b'\t');
                1
            }
            0..0x20 | 0x7f if cleaning.terminal => {
                out.extend_from_slice(&[b'^', byte ^ 0x40]);
                1
            }
            0xc2 | 0xe2 if cleaning.terminal => {
                let (len, shown) = invisible(rest);
                match shown {
                    Some(name) => out.extend_from_slice(format!("<U+{name:04X}>").as_bytes()),
                    None => out.extend_from_slice(rest.get(..len).unwrap_or_default()),
                }
                len
            }
            _ => {
                let len = rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len());
                // A special byte that nothing above wants is taken by itself.
                let len = len.max(1);
                out.extend_from_slice(rest.get(..len).unwrap_or_default());
                len
            }
        };
        rest = rest.get(taken.max(1)..).unwrap_or_default();
    }
    if coloured && !out.ends_with(RESET) {
        out.extend_from_slice(RESET);
    }
}

fn is_plain(text: &[u8], cleaning: Cleaning) -> bool {
    if cleaning.terminal {
        !text.iter().any(|byte| is_special(*byte) && *byte != b'\t')
    } else {
        memchr::memchr2(ESCAPE, b'\n', text).is_none()
    }
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, 0x7f | 0xc2 | 0xe2)
}

/// `ESC [ … m` with nothing but numbers in it.
fn is_colour(sequence: &[u8]) -> bool {
    sequence
        .strip_prefix(b"\x1b[")
        .and_then(|rest| rest.strip_suffix(b"m"))
        .is_some_and(|body| body.iter().all(|byte| matches!(byte, b'0'..=b';')))
}

/// Length of the character that `text` begins with, and its number if it does something unseen:
/// C1 control characters, and marks that change the direction of text.
fn invisible(text: &[u8]) -> (usize, Option<u32>) {
    match text {
        [0xc2, low @ 0x80..=0x9f, ..] => (2, Some(u32::from(*low))),
        [0xe2, 0x80, low @ (0x8e | 0x8f | 0xaa..=0xae), ..] => {
            (3, Some(0x2000 + u32::from(*low - 0x80)))
        }
        [0xe2, 0x81, low @ 0xa6..=0xa9, ..] => (3, Some(0x2040 + u32::from(*low - 0x80))),
        _ => (1, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str, colours: bool, terminal: bool) -> String {
        let mut out = Vec::new();
        append(text.as_bytes(), Cleaning { colours, terminal }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_gets_through() {
        for (text, piped, piped_coloured, shown, shown_coloured) in [
            ("plain é ✓", "plain é ✓", "plain é ✓", "plain é ✓", "plain é ✓"),
            ("a\tb", "a\tb", "a\tb", "a\tb", "a\tb"),
            ("\x1b[31mred", "red", "\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m"),
            ("\x1b[1mb\x1b[0m", "b", "\x1b[1mb\x1b[0m", "b", "\x1b[1mb\x1b[0m"),
            ("\x1b[2J\x1b[Hx", "x", "x", "x", "x"),
            ("\x1b]0;title\x07x", "x", "x", "x", "x"),
            ("\x1b[>4;1mx", "x", "x", "x", "x"),
            ("a\x08b\x07", "a\x08b\x07", "a\x08b\x07", "a^Hb^G", "a^Hb^G"),
            ("a\u{9b}31mb", "a\u{9b}31mb", "a\u{9b}31mb", "a<U+009B>31mb", "a<U+009B>31mb"),
            ("a\u{202e}b", "a\u{202e}b", "a\u{202e}b", "a<U+202E>b", "a<U+202E>b"),
            ("a\u{2066}b", "a\u{2066}b", "a\u{2066}b", "a<U+2066>b", "a<U+2066>b"),
            ("1\n2", "1\n    2", "1\n    2", "1\n    2", "1\n    2"),
            ("\x1b", "", "", "", ""),
        ] {
            let all = [
                clean(text, false, false),
                clean(text, true, false),
                clean(text, false, true),
                clean(text, true, true),
            ];
            assert_eq!(all, [piped, piped_coloured, shown, shown_coloured], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_colours_reaches_a_terminal(text in "(\\PC|[\\x00-\\x9f]|\x1b\\[[0-9;]*[a-zA-Z])*") {
            let shown = clean(&text, false, true);
            prop_assert!(!shown.chars().any(|it| it.is_control() && it != '\t' && it != '\n'));
            let coloured = clean(&text, true, true);
            for rest in coloured.split('\x1b').skip(1) {
                let end = rest.find('m').unwrap();
                prop_assert!(rest[1..end].chars().all(|it| it.is_ascii_digit() || ":;".contains(it)));
            }
        }
    }
}
