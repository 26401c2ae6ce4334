//! Known lines: input that can be told apart line by line, and comparing that says where two
//! outputs part instead of printing megabytes.

use std::fmt::Write as _;

/// `count` different lines of about 120 bytes, as a logger would write them.
pub(crate) fn numbered(count: usize) -> String {
    let mut text = String::with_capacity(count * 120);
    for number in 0..count {
        writeln!(text, "{}", numbered_line(number)).unwrap();
    }
    text
}

/// The line of that number in [`numbered`]; all are of the same length.
pub(crate) fn numbered_line(number: usize) -> String {
    let level = ["INFO", "DEBUG", "WARNING", "ERROR"]
        [usize::from(number.is_multiple_of(97)) + 2 * usize::from(number.is_multiple_of(1009))];
    let hash = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!(
        "2026-11-23 10:00:00,123 {level:<7} trainer.loop line={number:08} step={hash:016x} loss=0.123456 lr=0.000100 gpu=0 mem=12345MiB"
    )
}

/// Panics with the first difference if the bytes are not the same.
#[track_caller]
pub(crate) fn assert_same(what: &str, expected: &[u8], found: &[u8]) {
    if expected == found {
        return;
    }
    let at = expected.iter().zip(found).take_while(|(left, right)| left == right).count();
    let line = count(&expected[..at]);
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(100).min(bytes.len());
        let to = (at + 200).min(bytes.len());
        String::from_utf8_lossy(&bytes[from..to]).into_owned()
    };
    panic!(
        "{what}: {} bytes expected, {} found, first difference at byte {at} (line {line})\n\
         --- expected …\n{}\n--- found …\n{}",
        expected.len(),
        found.len(),
        around(expected),
        around(found)
    );
}

/// Line ends.
pub(crate) fn count(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}
