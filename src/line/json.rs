//! Lines that are one JSON object: what to show of them, and the rest as attributes.
//!
//! Asked by a store's encoder, only for lines that begin with `{`. The raw text is kept by the
//! caller; nothing is lost where this gets it wrong.

use serde_json::{Map, Value};

use super::level;
use crate::record::{Level, Nanos};

/// Longer lines stay text. No line is, unless `max_line_bytes` was raised beyond its default and this.
const MOST_BYTES: usize = 1 << 20;
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
    if !(0.0..9.0e18).contains(&number) {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lifted(text: &str) -> Lifted {
        lift(text.as_bytes()).unwrap()
    }

    #[test]
    fn fields_are_lifted() {
        let found = lifted(
            r#" {"timestamp":"2024-01-01T12:00:00.5+01:00","level":"warn","message":"slow","ms":12,"user":{"id":1}} "#,
        );
        assert_eq!(found.message.as_deref(), Some("slow"));
        assert_eq!(found.level, Some(Level::Warning));
        assert_eq!(found.event_timestamp.as_deref(), Some("2024-01-01T11:00:00.500000000Z"));
        assert_eq!(Value::Object(found.attributes), json!({"ms": 12, "user": {"id": 1}}));
    }

    #[test]
    fn each_key_is_known() {
        for key in MESSAGE_KEYS {
            assert_eq!(lifted(&format!(r#"{{"{key}":"x"}}"#)).message.as_deref(), Some("x"));
        }
        for key in level::JSON_KEYS {
            let value =
                if key == "levelno" || key == "severityNumber" { "17" } else { "\"error\"" };
            assert!(lifted(&format!(r#"{{"{key}":{value}}}"#)).level.is_some(), "{key}");
        }
        for key in TIME_KEYS {
            let found = lifted(&format!(r#"{{"{key}":"2024-01-01T00:00:00Z"}}"#));
            assert_eq!(found.event_timestamp.as_deref(), Some("2024-01-01T00:00:00.000000000Z"));
            assert!(found.attributes.is_empty());
        }
    }

    #[test]
    fn the_first_message_key_wins_and_the_others_stay() {
        let found = lifted(r#"{"event":"b","message":"a","msg":7}"#);
        assert_eq!(found.message.as_deref(), Some("a"));
        assert_eq!(Value::Object(found.attributes), json!({"event": "b", "msg": 7}));
    }

    #[test]
    fn what_is_not_understood_stays_an_attribute() {
        let found = lifted(r#"{"level":"beginner","time":"soon","message":{"a":1}}"#);
        let expected = json!({"level": "beginner", "time": "soon", "message": {"a": 1}});
        assert_eq!((found.message, found.level, found.event_timestamp), (None, None, None));
        assert_eq!(Value::Object(found.attributes), expected);
    }

    #[test]
    fn times() {
        let table = [
            ("1704110400", Some("2024-01-01T12:00:00.000000000Z")),
            ("1704110400.25", Some("2024-01-01T12:00:00.250000000Z")),
            ("1704110400123", Some("2024-01-01T12:00:00.123000000Z")),
            ("1704110400123456", Some("2024-01-01T12:00:00.123456000Z")),
            ("1704110400123456789", Some("2024-01-01T12:00:00.123456789Z")),
            (r#""1704110400""#, Some("2024-01-01T12:00:00.000000000Z")),
            (r#""2024-01-01 12:00:00,123""#, Some("2024-01-01T12:00:00.123000000Z")),
            (r#""2024-01-01T12:00:00""#, Some("2024-01-01T12:00:00.000000000Z")),
            (r#""2024-01-01 12:00:00+00:00""#, Some("2024-01-01T12:00:00.000000000Z")),
            ("12", None),
            ("-1704110400", None),
            ("1e300", None),
            ("0.5", None),
            (r#""12:00:00""#, None),
            (r#""2024-13-01T00:00:00Z""#, None),
            ("true", None),
            ("99999999999999999999", None),
        ];
        for (value, expected) in table {
            let found = lifted(&format!(r#"{{"ts":{value}}}"#)).event_timestamp;
            assert_eq!(found.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn only_whole_objects_of_sane_size_are_lifted() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(20), "}".repeat(20));
        let brackets = format!(r#"{{"a":"{}"}}"#, "[".repeat(100));
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MOST_BYTES));
        for text in
            ["", "{", "}", "{}x", "x{}", "[1]", "null", "{a:1}", r#"{"a":1} {"b":2}"#, &deep, &long]
        {
            assert_eq!(lift(text.as_bytes()), None, "{text}");
        }
        assert_eq!(lifted("{}"), Lifted::default());
        assert_eq!(lifted(&brackets).attributes.len(), 1);
        assert!(lift(b"{\"a\":\"\xff\"}").is_none());
    }
}
