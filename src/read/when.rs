//! Times as people write them: `10m`, `today`, `07:30`, `2026-11-23 07:30`, RFC 3339.
//!
//! Pure, given the current time and a time zone.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::record::Nanos;

/// Not a time in any form that is known.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a time: {0} (say 10m, today, yesterday, 07:30, 2026-11-23, 2026-11-23T07:30:00Z)")]
pub struct WhenError(String);

/// The time that `text` means, seen from `now` in the time zone `zone`. A length of time means
/// that long ago; what has no zone is in this one.
pub fn parse(text: &str, now: Nanos, zone: &TimeZone) -> Result<Nanos, WhenError> {
    let fail = || WhenError(text.to_owned());
    let text = text.trim();
    if let Ok(ago) = humantime::parse_duration(text.strip_suffix(" ago").unwrap_or(text)) {
        let nanos = i64::try_from(ago.as_nanos()).map_err(|_| fail())?;
        return Ok(Nanos(now.0.saturating_sub(nanos)));
    }
    if let Some(time) = Nanos::from_rfc3339(text) {
        return Ok(time);
    }
    let here = zoned(now, zone).ok_or_else(fail)?;
    let midnight = |day: civil::Date| day.to_zoned(zone.clone()).ok();
    let time = match text {
        "now" => Some(here),
        "today" => midnight(here.date()),
        "yesterday" => here.date().yesterday().ok().and_then(midnight),
        _ => at(text, &here, zone),
    };
    time.and_then(|time| nanos(time.timestamp())).ok_or_else(fail)
}

fn at(text: &str, here: &Zoned, zone: &TimeZone) -> Option<Zoned> {
    let seconds = text.strip_prefix('@').and_then(|seconds| seconds.parse::<i64>().ok());
    if let Some(seconds) = seconds {
        return Some(Timestamp::from_second(seconds).ok()?.to_zoned(zone.clone()));
    }
    // First: of a day and a time, the time alone can be read too.
    if let Ok(day_and_time) = text.parse::<civil::DateTime>() {
        return day_and_time.to_zoned(zone.clone()).ok();
    }
    // Without the colon, `10` would be ten o'clock.
    let time = text.contains(':').then(|| text.parse::<civil::Time>().ok()).flatten()?;
    here.date().to_datetime(time).to_zoned(zone.clone()).ok()
}

fn zoned(time: Nanos, zone: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_nanosecond(i128::from(time.0)).ok()?.to_zoned(zone.clone()))
}

fn nanos(time: Timestamp) -> Option<Nanos> {
    i64::try_from(time.as_nanosecond()).ok().map(Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let now = Nanos::from_rfc3339("2026-11-23T06:44:00Z").unwrap();
        for (text, expected) in [
            ("10m", "2026-11-23T06:34:00Z"),
            ("1h30m", "2026-11-23T05:14:00Z"),
            ("2days ago", "2026-11-21T06:44:00Z"),
            ("now", "2026-11-23T06:44:00Z"),
            ("today", "2026-11-22T23:00:00Z"),
            ("yesterday", "2026-11-21T23:00:00Z"),
            ("07:30", "2026-11-23T06:30:00Z"),
            ("07:30:01.5", "2026-11-23T06:30:01.5Z"),
            ("2026-11-23", "2026-11-22T23:00:00Z"),
            ("2026-11-23 07:30", "2026-11-23T06:30:00Z"),
            ("2026-11-20 07:30", "2026-11-20T06:30:00Z"),
            ("2025-01-02T07:30:00", "2025-01-02T06:30:00Z"),
            ("2026-11-23T07:30:00", "2026-11-23T06:30:00Z"),
            ("2026-11-23T07:30:00Z", "2026-11-23T07:30:00Z"),
            ("2026-11-23T07:30:00+02:00", "2026-11-23T05:30:00Z"),
            ("@1700000000", "2023-11-14T22:13:20Z"),
        ] {
            let time = parse(text, now, &zone).unwrap();
            assert_eq!(time, Nanos::from_rfc3339(expected).unwrap(), "{text}");
        }
        for text in ["", "soon", "25:00", "10", "2026-13-01"] {
            assert!(parse(text, now, &zone).is_err(), "{text}");
        }
    }
}
