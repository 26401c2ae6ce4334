//! JSON string escapes, at the speed of memory for text that needs none.
//!
//! Apart because it is the innermost loop. Writes only the inside of a string, without quotes.

/// Bytes that are looked at in one go; the compiler turns the loop over them into vector code.
const WIDE: usize = 32;

/// What stands for a byte: 0 itself, `u` six characters, anything else a backslash and that.
fn escape_of(byte: u8) -> u8 {
    match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        0..0x20 => b'u',
        _ => 0,
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Appends `text` (UTF-8) as the inside of a JSON string; tells whether anything was escaped.
#[inline]
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) -> bool {
    let plain = plain_prefix(text);
    let (head, rest) = text.split_at_checked(plain).unwrap_or((text, &[]));
    out.extend_from_slice(head);
    if rest.is_empty() {
        return false;
    }
    escape_rest(rest, out);
    true
}

/// `rest` begins with a byte that needs an escape.
fn escape_rest(mut rest: &[u8], out: &mut Vec<u8>) {
    while let Some((first, behind)) = rest.split_first() {
        match escape_of(*first) {
            0 => out.push(*first),
            b'u' => {
                let (high, low) = (usize::from(first >> 4), usize::from(first & 15));
                out.extend_from_slice(b"\\u00");
                out.extend(HEX.get(high));
                out.extend(HEX.get(low));
            }
            short => out.extend_from_slice(&[b'\\', short]),
        }
        let plain = plain_prefix(behind);
        let (head, tail) = behind.split_at_checked(plain).unwrap_or((behind, &[]));
        out.extend_from_slice(head);
        rest = tail;
    }
}

/// How many bytes from the start need no escape.
#[inline]
fn plain_prefix(text: &[u8]) -> usize {
    let mut at = 0;
    let (chunks, _) = text.as_chunks::<WIDE>();
    for chunk in chunks {
        if any_special(chunk) {
            break;
        }
        at += WIDE;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + narrow_prefix(rest)
}

/// The same, eight bytes at a time, then one.
#[inline]
fn narrow_prefix(text: &[u8]) -> usize {
    let mut at = 0;
    let (words, tail) = text.as_chunks::<8>();
    for word in words {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(|byte| escape_of(*byte) != 0).unwrap_or(tail.len())
}

#[inline]
fn any_special(chunk: &[u8; WIDE]) -> bool {
    let mut special = 0_u8;
    for byte in chunk {
        special |= u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\');
    }
    special != 0
}

/// The high bit of each byte that needs an escape; exact up to and including the lowest of them.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHS;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(word, b'"') | equal(word, b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        let special = escape(text.as_bytes(), &mut out);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(special, out != text, "{text:?}");
        out
    }

    fn check(text: &str) {
        let json = serde_json::to_string(text).unwrap();
        assert_eq!(format!("\"{}\"", escaped(text)), json);
    }

    #[test]
    fn every_byte_at_every_position_of_a_wide_step() {
        for special in (0..=0x7f_u8).map(char::from) {
            for before in 0..40 {
                check(&format!("{}{special}{}", "x".repeat(before), "é".repeat(21)));
            }
        }
    }

    proptest! {
        #[test]
        fn as_serde_json_does(text in "\\PC*|[\\x00-\\x7f]{0,200}|.{0,100}") {
            check(&text);
        }
    }
}
