//! Lines whose first words are a message of a known kind: exceptions, crashes, failed builds.

use super::keys;
use crate::record::Level;

/// `ValueError: …`, `json.decoder.JSONDecodeError: …`, `UserWarning: …`
pub(super) fn exception(word: &[u8], after: &[u8]) -> Option<Level> {
    if !matches!(after.first(), None | Some(b':')) {
        return None;
    }
    let level = if word.ends_with(b"Error") || word.ends_with(b"Exception") {
        Level::Error
    } else if word.ends_with(b"Warning") {
        Level::Warning
    } else if word == b"KeyboardInterrupt" && after.is_empty() {
        return Some(Level::Error);
    } else {
        return None;
    };
    let believed = match after {
        [] => word.len() > 9,
        [b':'] => true,
        [b':', b' ', ..] => !is_value(after.get(1..)?),
        _ => false,
    };
    believed.then_some(level)
}

/// First words of lines that are always the same.
pub(super) fn phrase(word: &[u8], after: &[u8]) -> Option<Level> {
    let (expected, level): (&[u8], _) = match word {
        b"Traceback" => (b" (most recent call last)", Level::Error),
        b"Exception" => (b" in thread ", Level::Error),
        b"Fatal" => (b" Python error: ", Level::Critical),
        b"fatal" => (b" error: ", Level::Critical),
        b"Segmentation" => (b" fault", Level::Critical),
        b"thread" => {
            let panicked =
                after.starts_with(b" '") && memchr::memmem::find(after, b" panicked at ").is_some();
            return panicked.then_some(Level::Error);
        }
        b"make" => {
            let failed = after.first().is_some_and(|byte| matches!(byte, b':' | b'['))
                && memchr::memmem::find(after, b": *** ").is_some();
            return failed.then_some(Level::Error);
        }
        b"npm" => {
            let rest = after.strip_prefix(b" ")?;
            let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            return keys::from_word(rest.get(..length)?);
        }
        _ => return None,
    };
    after.starts_with(expected).then_some(level)
}

/// Whether what follows `error:` is a setting or a measurement and no message.
pub(super) fn is_value(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let length = text.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    let Some((first, rest)) = text.split_at_checked(length) else { return false };
    let number = first.trim_ascii_end().strip_suffix(b"%").unwrap_or(first);
    let number = number.strip_suffix(b",").unwrap_or(number);
    let is_number = number.first().is_some_and(u8::is_ascii_digit)
        && number.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'-' | b'+'));
    if is_number {
        return rest.is_empty() || number.contains(&b'.') || number.len() < first.len();
    }
    let words: [&[u8]; 9] =
        [b"true", b"false", b"yes", b"no", b"on", b"off", b"none", b"null", b"nan"];
    rest.is_empty() && words.iter().any(|word| word.eq_ignore_ascii_case(first))
}
