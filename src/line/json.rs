//! Lines that are one JSON object: what to show of them, and the rest as attributes.
//!
//! Asked by a store's encoder, only for lines that begin with `{`. The raw text is kept by the
//! caller; nothing is lost where this gets it wrong.

use serde_json::{Map, Value};

use super::level;
use crate::record::{Level, Nanos};

/// Longer lines stay text.
const MOST_BYTES: usize = 64 << 10;
/// Deeper ones too.
const MOST_DEPTH: usize = 16;
/// Keys of the message, the likeliest first.
const MESSAGE_KEYS: [&str; 5] = ["message", "msg", "event", "log", "body"];
/// Keys of the time.
const TIME_KEYS: [&str; 9] =
    ["timestamp", "time", "ts", "@timestamp", "datetime", "asctime", "@t", "eventTime", "t"];

/// What a JSON line holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lifted {
    /// What the line is about; none if no key says so, and then the whole text is the message.
    pub message: Option<String>,
    /// How serious it says it is.
    pub level: Option<Level>,
    /// When it says it was written, RFC 3339 UTC with nanoseconds.
    pub event_timestamp: Option<String>,
    /// All other fields, and those above that could not be understood.
    pub attributes: Map<String, Value>,
}

/// Lifts the fields of a line that is one JSON object; `None` for any other.
pub fn lift(text: &[u8]) -> Option<Lifted> {
    let text = text.trim_ascii();
    if !text.starts_with(b"{") || !text.ends_with(b"}") || text.len() > MOST_BYTES {
        return None;
    }
    if depth(text) > MOST_DEPTH {
        return None;
    }
    let mut attributes: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let mut lifted = Lifted::default();
    let message =
        MESSAGE_KEYS.iter().find(|key| attributes.get(**key).is_some_and(Value::is_string));
    if let Some(Value::String(message)) = message.and_then(|key| attributes.remove(*key)) {
        lifted.message = Some(message);
    }
    let level = level::JSON_KEYS.iter().find_map(|key| {
        let found = json_level(key, attributes.get(*key)?)?;
        Some((*key, found))
    });
    if let Some((key, level)) = level {
        attributes.remove(key);
        lifted.level = Some(level);
    }
    let time = TIME_KEYS.iter().find_map(|key| Some((*key, time(attributes.get(*key)?)?)));
    if let Some((key, time)) = time {
        attributes.remove(key);
        lifted.event_timestamp = Some(time);
    }
    lifted.attributes = attributes;
    Some(lifted)
}

fn json_level(key: &str, value: &Value) -> Option<Level> {
    match value {
        Value::String(name) => level::from_word(name.as_bytes()),
        Value::Number(number) => level::from_number(key.as_bytes(), number.as_u64()?),
        _ => None,
    }
}

/// A time as loggers write it: RFC 3339, the same with a space, or seconds, milli-, micro- or
/// nanoseconds since the epoch, told apart by their size.
fn time(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => time_text(text),
        Value::Number(number) => {
            let nanos = match number.as_i64() {
                Some(whole) => epoch(whole)?,
                None => epoch_seconds(number.as_f64()?)?,
            };
            Some(nanos.to_rfc3339())
        }
        _ => None,
    }
}

fn time_text(text: &str) -> Option<String> {
    const LONGEST: usize = 40;
    if text.len() < 10 || text.len() > LONGEST {
        return None;
    }
    if let Some(nanos) = Nanos::from_rfc3339(text) {
        return Some(nanos.to_rfc3339());
    }
    if let Ok(number) = text.parse::<f64>() {
        return time(&number_value(text, number));
    }
    // Python writes a comma before the milliseconds, and many write no zone: UTC is assumed.
    let text = text.replacen(',', ".", 1);
    if let Some(nanos) = Nanos::from_rfc3339(&text) {
        return Some(nanos.to_rfc3339());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let timestamp = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    i64::try_from(timestamp.as_nanosecond()).ok().map(|nanos| Nanos(nanos).to_rfc3339())
}

fn number_value(text: &str, number: f64) -> Value {
    text.parse::<i64>().map_or_else(|_| Value::from(number), Value::from)
}

/// 1973 to 5138 in seconds, milliseconds, microseconds or nanoseconds.
fn epoch(number: i64) -> Option<Nanos> {
    let scale = match number {
        100_000_000..=99_999_999_999 => 1_000_000_000,
        100_000_000_000..=99_999_999_999_999 => 1_000_000,
        100_000_000_000_000..=99_999_999_999_999_999 => 1_000,
        100_000_000_000_000_000.. => 1,
        _ => return None,
    };
    number.checked_mul(scale).map(Nanos)
}

fn epoch_seconds(number: f64) -> Option<Nanos> {
    let whole = number.trunc();
    let Nanos(base) = epoch(whole as i64)?;
    let scale = base as f64 / whole;
    Some(Nanos(base + ((number - whole) * scale).round() as i64))
}

/// How deep brackets nest, strings left out.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
