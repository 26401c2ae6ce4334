//! Cursor moves between the rows of a terminal: which line ends only lead back down.
//!
//! Bars below each other (nested tqdm, rich, docker) are redrawn by moving the cursor up, `ESC [ 2 A`,
//! and down again, by as many line ends. Taken for ends of lines, these would be one line for each
//! redraw. So a line end does not end the line where the cursor is above the lowest row that the
//! line has reached, if what follows draws on: `\r`, another line end or an escape sequence. Text
//! that follows is a line of its own, as what is printed when the bars are done.
//!
//! Apart because capture asks too, and because it is pure: the same bytes, the same rows.

const ESCAPE: u8 = 0x1b;

/// No line is followed further up; a screen is not much higher.
const MOST: u32 = 200;

/// How many rows the cursor is above the lowest one, after `text`, if it was `above` before.
/// Line ends in `text` are taken for moves.
pub(crate) fn above(text: &[u8], mut above: u32) -> u32 {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(ESCAPE, b'\n', rest) {
        let (_, here) = rest.split_at(at);
        let (moved, len) = match here {
            [ESCAPE, ..] => cursor_move(here).unwrap_or((0, 1)),
            _ => (-1, 1),
        };
        above = above.saturating_add_signed(moved).min(MOST);
        rest = here.get(len..).unwrap_or_default();
    }
    above
}

/// Whether the cursor goes up anywhere in `text`.
pub(crate) fn moves_up(text: &[u8]) -> bool {
    memchr::memchr_iter(ESCAPE, text).any(|at| {
        let here = text.get(at..).unwrap_or_default();
        cursor_move(here).is_some_and(|(rows, _)| rows > 0)
    })
}

/// Whether a byte behind a line end that may be a move makes it one.
pub(crate) fn draws_on(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | ESCAPE)
}

/// Up (`A`, `F`) or down (`B`, `E`) by how many rows, and the length of the sequence.
pub(super) fn cursor_move(text: &[u8]) -> Option<(i32, usize)> {
    const DIGITS: usize = 4;
    let after = text.strip_prefix(b"\x1b[")?;
    let digits = after.iter().take(DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, end) = after.split_at_checked(digits)?;
    let number = number.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0'));
    let rows = match end.first()? {
        b'A' | b'F' => number.max(1),
        b'B' | b'E' => -number.max(1),
        _ => return None,
    };
    Some((rows, 2 + digits + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_counted() {
        let table: &[(&str, u32, u32)] = &[
            ("plain", 0, 0),
            ("plain", 3, 3),
            ("\x1b[A", 0, 1),
            ("\r 10%\x1b[A\x1b[A", 0, 2),
            ("\x1b[2A\x1b[K\x1b[0F", 0, 3),
            ("\x1b[2Aa\nb", 0, 1),
            ("\x1b[2A\x1b[B", 0, 1),
            ("\x1b[5E", 2, 0),
            ("\n", 0, 0),
            ("\x1b[31m\x1b[1;2A\x1b[?25l\x1b[99999A", 0, 0),
            ("\x1b[9999A", 0, MOST),
            ("\x1b\x1b[A", 0, 1),
            ("\x1b[", 1, 1),
        ];
        for (text, before, expected) in table {
            assert_eq!(above(text.as_bytes(), *before), *expected, "{text:?}");
        }
        assert!(moves_up(b"x\x1b[mx\x1b[3A") && !moves_up(b"\x1b[m\x1b[B\x1b["));
    }

    proptest::proptest! {
        #[test]
        fn in_pieces_as_in_one(pieces in proptest::collection::vec("(\x1b\\[[0-9]{0,3}[ABEFm]|\n|x)*", 1..5)) {
            let whole = above(pieces.concat().as_bytes(), 0);
            let parts = pieces.iter().fold(0, |before, piece| above(piece.as_bytes(), before));
            proptest::prop_assert_eq!(whole, parts);
        }
    }
}
