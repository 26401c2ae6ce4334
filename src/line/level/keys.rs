//! Levels under a key, in JSON and in logfmt, without parsing the rest.

use crate::record::Level;

/// Keys that hold a level, the likeliest first.
pub(in crate::line) const JSON_KEYS: [&str; 12] = [
    "level",
    "severity",
    "levelname",
    "lvl",
    "log.level",
    "loglevel",
    "log_level",
    "severity_text",
    "severityText",
    "@l",
    "levelno",
    "severityNumber",
];

/// How far into a JSON line its level may stand.
const JSON_PREFIX: usize = 2048;
const SPACE: [u8; 2] = [b' ', b'\t'];

/// The names of levels: those of records, and the short ones of some loggers, in any case.
pub(in crate::line) fn from_word(word: &[u8]) -> Option<Level> {
    // The usual ones fit a machine word and are told apart in one comparison each.
    const fn pack(word: &[u8]) -> u64 {
        let (mut packed, mut rest) = (0_u64, word);
        while let [first, after @ ..] = rest {
            packed = packed << 8 | (*first | 0x20) as u64;
            rest = after;
        }
        packed
    }
    macro_rules! names {
        ($packed:ident => $($level:ident: $($name:literal)+;)+) => {
            $($(if $packed == const { pack($name) } { return Some(Level::$level) })+)+
        };
    }
    if !(3..=8).contains(&word.len()) {
        return if word.len() <= 13 { Level::from_name(word) } else { None };
    }
    let packed = pack(word);
    names! { packed =>
        Info: b"info" b"inf" b"notice" b"success";
        Warning: b"warning" b"warn" b"wrn";
        Error: b"error" b"err" b"eror" b"severe" b"fail";
        Debug: b"debug" b"dbg" b"dbug" b"debg" b"verbose" b"fine";
        Critical: b"critical" b"crit" b"fatal" b"ftl" b"panic" b"emerg" b"alert";
        Trace: b"trace" b"trce" b"trc" b"finest";
    }
    None
}

/// What a number under `key` means: 0–7 is syslog's (GELF), 10–60 that of bunyan and pino,
/// except `levelno` (Python) and `severityNumber` (OpenTelemetry).
pub(in crate::line) fn from_number(key: &[u8], number: u64) -> Option<Level> {
    Some(match (key, number) {
        (b"severityNumber", 1..=4) | (b"levelno", 1..=9) => Level::Trace,
        (b"severityNumber", 5..=8) | (b"levelno", 10..=19) => Level::Debug,
        (b"severityNumber", 9..=12) | (b"levelno", 20..=29) => Level::Info,
        (b"severityNumber", 13..=16) | (b"levelno", 30..=39) => Level::Warning,
        (b"severityNumber", 17..=20) | (b"levelno", 40..=49) => Level::Error,
        (b"severityNumber", 21..=24) | (b"levelno", 50..) => Level::Critical,
        (b"severityNumber" | b"levelno", _) => return None,
        (_, 0..=7) => return super::from_syslog(number),
        (_, 10) => Level::Trace,
        (_, 20) => Level::Debug,
        (_, 30) => Level::Info,
        (_, 40) => Level::Warning,
        (_, 50) => Level::Error,
        (_, 60) => Level::Critical,
        _ => return None,
    })
}

/// The level of a JSON object, from a key at its top.
pub(super) fn json(text: &[u8]) -> Option<Level> {
    let text = text.get(..JSON_PREFIX).unwrap_or(text);
    let mut depth = 0_usize;
    let mut at = 0;
    // Only quotes and brackets matter; strings are passed over.
    while let Some(byte) = text.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(text, at + 1)?;
                if depth == 1
                    && let Some(value) = after_colon(text.get(end + 1..)?)
                    && let Some(key) = text.get(at + 1..end)
                    && JSON_KEYS.iter().any(|known| known.as_bytes() == key)
                    && let Some(level) = json_value(key, value)
                {
                    return Some(level);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the quote is that ends the string which `from` is in.
fn string_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        match text.get(at)? {
            b'"' => return Some(at),
            _ => at += 2,
        }
    }
}

/// What stands behind a key: `None` for a string that is none.
fn after_colon(text: &[u8]) -> Option<&[u8]> {
    text.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start)
}

fn json_value(key: &[u8], value: &[u8]) -> Option<Level> {
    match value.split_first()? {
        (b'"', rest) => from_word(rest.get(..string_end(value, 1)? - 1)?),
        (b'0'..=b'9', _) => {
            let digits = value.iter().take(4).take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            from_number(key, number)
        }
        _ => None,
    }
}

/// The level of a line of `key=value` pairs: one that begins with a pair.
pub(super) fn logfmt(text: &[u8]) -> Option<Level> {
    let mut rest = text;
    // A logger writes the level among its first fields.
    for _ in 0..8 {
        let name = rest.iter().take_while(|byte| is_key_byte(**byte)).count();
        let (key, after) = rest.split_at_checked(name)?;
        let value = after.strip_prefix(b"=")?;
        let (value, after) = logfmt_value(value)?;
        if matches!(
            key,
            b"level"
                | b"lvl"
                | b"severity"
                | b"levelname"
                | b"loglevel"
                | b"log_level"
                | b"log.level"
        ) && let Some(level) = from_word(value)
        {
            return Some(level);
        }
        rest = after.get(after.iter().take_while(|byte| SPACE.contains(byte)).count()..)?;
    }
    None
}

fn logfmt_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.starts_with(b"\"") {
        let end = string_end(text, 1)?;
        return Some((text.get(1..end)?, text.get(end + 1..)?));
    }
    text.split_at_checked(text.iter().take_while(|byte| !SPACE.contains(byte)).count())
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@')
}
