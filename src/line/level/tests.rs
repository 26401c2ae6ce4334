//! Real lines of real loggers, and lines that look like them and are not.
use super::*;

#[test]
fn smoke() {
    assert_eq!(detect(b"ERROR: x"), Some(Level::Error));
}
