//! Where text may be cut without breaking a character or a terminal's escape sequence.
//!
//! Apart because both reasons for cutting (too long, idle) ask it, and because the answer may
//! depend on nothing but the text before the cut: frames must not show in where lines are cut.

/// How far a cut backs up for an escape sequence. Longer ones (a hyperlink with a long address)
/// are cut.
pub(super) const REACH: usize = 256;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// The length of `text` without an unfinished character or escape sequence at its end.
///
/// What is left out stays left out when it is asked about alone.
pub(super) fn boundary(text: &[u8]) -> usize {
    let tail_start = text.len().saturating_sub(REACH);
    let tail = text.get(tail_start..).unwrap_or_default();
    match unfinished_escape(tail) {
        Some(at) => tail_start + at,
        None => text.len() - unfinished_character(tail),
    }
}

/// Where to cut a line whose text goes on after `text`: [`boundary`], unless that would leave next
/// to nothing.
pub(super) fn long_line(text: &[u8]) -> usize {
    let cut = boundary(text);
    if cut > text.len() / 2 { cut } else { text.len() }
}

/// How many bytes at the end are the beginning of a UTF-8 sequence.
fn unfinished_character(text: &[u8]) -> usize {
    for (back, byte) in text.iter().rev().take(3).enumerate() {
        let have = back + 1;
        let need = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return 0,
        };
        return if need > have { have } else { 0 };
    }
    0
}

/// Where an escape sequence starts that has no end.
fn unfinished_escape(text: &[u8]) -> Option<usize> {
    let last = memchr::memrchr(ESCAPE, text)?;
    let before = text.get(..last).unwrap_or_default();
    let after = text.get(last + 1..).unwrap_or_default();
    match after.split_first() {
        // A lone ESC may be the end of a string, whose terminator is ESC \.
        None => Some(open_string(before).unwrap_or(last)),
        Some((b'\\', _)) => None,
        Some((b'[', rest)) => csi_is_open(rest).then_some(last),
        Some((kind, rest)) if is_string(*kind) => (!rest.contains(&BELL)).then_some(last),
        Some((b' '..=b'/', rest)) => {
            rest.iter().all(|byte| matches!(byte, b' '..=b'/')).then_some(last)
        }
        Some(_) => None,
    }
}

/// Parameters and intermediates only: the final byte is missing.
fn csi_is_open(after: &[u8]) -> bool {
    after.iter().all(|byte| matches!(byte, b' '..=b'?'))
}

/// OSC, DCS, APC, PM and SOS are followed by a string.
fn is_string(kind: u8) -> bool {
    matches!(kind, b']' | b'P' | b'_' | b'^' | b'X')
}

/// Where a string sequence starts that runs to the end of `text`.
fn open_string(text: &[u8]) -> Option<usize> {
    let start = memchr::memrchr(ESCAPE, text)?;
    let after = text.get(start + 1..).unwrap_or_default();
    let (kind, rest) = after.split_first()?;
    (is_string(*kind) && !rest.contains(&BELL)).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries() {
        let table: &[(&[u8], usize)] = &[
            (b"", 0),
            (b"abc", 3),
            ("häß".as_bytes(), 5),
            (b"h\xc3", 1),
            (b"x\xe2\x96", 1),
            (b"x\xf0\x9f\x98", 1),
            (b"x\xf0\x9f\x98\x80", 5),
            (b"x\x80\x80\x80\x80", 5),
            (b"x\xff", 2),
            (b"a\x1b", 1),
            (b"a\x1b[", 1),
            (b"a\x1b[38;5;1", 1),
            (b"a\x1b[38;5;1m", 10),
            (b"a\x1b[31mred\x1b[", 9),
            (b"a\x1b]8;;http://x", 1),
            (b"a\x1b]8;;http://x\x07", 15),
            (b"a\x1b]8;;http://x\x1b", 1),
            (b"a\x1b]8;;http://x\x1b\\", 16),
            (b"a\x1b(", 1),
            (b"a\x1b(B", 4),
            (b"a\x1b[31\nb", 7),
            (b"a\x1bM", 3),
        ];
        for (text, expected) in table {
            assert_eq!(boundary(text), *expected, "{:?}", String::from_utf8_lossy(text));
            let rest = text.get(*expected..).unwrap();
            assert_eq!(boundary(rest), 0, "the rest of {:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn backing_up_is_bounded() {
        let mut text = b"x\x1b]8;;".to_vec();
        text.extend(std::iter::repeat_n(b'u', REACH));
        assert_eq!(boundary(&text), text.len());
        assert_eq!(long_line(b"\x1b[3"), 3);
    }
}
