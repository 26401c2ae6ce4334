//! What a gap says where its lines would have been.

use crate::record::{Gap, GapReason};
use crate::words::counted;

/// `[steplog] 1,234 bytes (56 lines) lost: the spool was full (drop_oldest)`
pub(super) fn text(gap: &Gap) -> String {
    let reason = match gap.reason {
        GapReason::DroppedOldest => "the spool was full (drop_oldest)",
        GapReason::DroppedNewest => "the spool was full (drop_newest)",
        GapReason::WriteFailed => "the spool could not be written",
        GapReason::Corrupt => "the spool was damaged",
        GapReason::Missing => "a piece of the spool is missing",
    };
    let bytes = counted(gap.bytes, "byte");
    if gap.lines == 0 {
        return format!("[steplog] {bytes} lost: {reason}");
    }
    format!("[steplog] {bytes} ({}) lost: {reason}", counted(gap.lines, "line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let table = [
            (1, 0, GapReason::Corrupt, "1 byte lost: the spool was damaged"),
            (
                999,
                1,
                GapReason::WriteFailed,
                "999 bytes (1 line) lost: the spool could not be written",
            ),
            (
                1_000,
                2,
                GapReason::DroppedNewest,
                "1,000 bytes (2 lines) lost: the spool was full (drop_newest)",
            ),
            (
                1_234_567,
                12_345,
                GapReason::Missing,
                "1,234,567 bytes (12,345 lines) lost: a piece of the spool is missing",
            ),
        ];
        for (bytes, lines, reason, expected) in table {
            assert_eq!(text(&Gap { bytes, lines, reason }), format!("[steplog] {expected}"));
        }
    }
}
