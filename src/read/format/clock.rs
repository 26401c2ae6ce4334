//! The time in front of a line, in the ways a person may want it.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::record::Nanos;

/// How times are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `2026-11-23T06:44:00.123Z`
    Utc,
    /// `2026-11-23T07:44:00.123+01:00`
    Local,
    /// Since the first stream started: `+12.345s`
    Relative,
    /// Since the line before: `+0.012s`
    Delta,
}

/// Writes times; most lines share their second with the line before.
#[derive(Debug)]
pub struct Clock {
    style: Style,
    zone: TimeZone,
    /// Of relative times.
    start: Nanos,
    last: Option<Nanos>,
    /// A second, and what stands before and behind its fraction.
    second: Option<(i64, String, String)>,
}

impl Clock {
    /// `start` is where relative times begin.
    pub fn new(style: Style, zone: TimeZone, start: Nanos) -> Self {
        Self { style, zone, start, last: None, second: None }
    }

    /// Appends the time.
    pub fn append(&mut self, time: Nanos, out: &mut Vec<u8>) {
        match self.style {
            Style::Utc | Style::Local => self.absolute(time, out),
            Style::Relative => difference(time.0.saturating_sub(self.start.0), out),
            Style::Delta => {
                let last = self.last.replace(time).unwrap_or(time);
                difference(time.0.saturating_sub(last.0), out);
            }
        }
    }

    fn absolute(&mut self, time: Nanos, out: &mut Vec<u8>) {
        let second = time.0.div_euclid(1_000_000_000);
        let millis = time.0.rem_euclid(1_000_000_000) / 1_000_000;
        if self.second.as_ref().is_none_or(|(known, ..)| *known != second) {
            let Ok(timestamp) = Timestamp::from_second(second) else { return };
            let zoned = match self.style {
                Style::Local => timestamp.to_zoned(self.zone.clone()),
                _ => timestamp.to_zoned(TimeZone::UTC),
            };
            let offset = match self.style {
                Style::Local => zoned.strftime("%:z").to_string(),
                _ => "Z".to_owned(),
            };
            self.second = Some((second, zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string(), offset));
        }
        if let Some((_, before, behind)) = &self.second {
            out.extend_from_slice(before.as_bytes());
            let digit = |value: i64| b'0' + (value % 10) as u8;
            out.extend([b'.', digit(millis / 100), digit(millis / 10), digit(millis)]);
            out.extend_from_slice(behind.as_bytes());
        }
    }
}

fn difference(nanos: i64, out: &mut Vec<u8>) {
    let sign = if nanos < 0 { '-' } else { '+' };
    let millis = nanos.unsigned_abs() / 1_000_000;
    let mut text = String::new();
    if write!(text, "{sign}{}.{:03}s", millis / 1000, millis % 1000).is_ok() {
        // Columns of equal width up to a day.
        out.extend(std::iter::repeat_n(b' ', 11_usize.saturating_sub(text.len())));
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles() {
        let time = |text| Nanos::from_rfc3339(text).unwrap();
        let start = time("2026-11-23T06:44:00Z");
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        for (style, expected) in [
            (
                Style::Utc,
                "2026-11-23T06:43:59.999Z 2026-11-23T06:44:12.345Z 2026-11-23T06:44:12.346Z ",
            ),
            (
                Style::Local,
                "2026-11-23T07:43:59.999+01:00 2026-11-23T07:44:12.345+01:00 2026-11-23T07:44:12.346+01:00 ",
            ),
            (Style::Relative, "    -0.000s    +12.345s    +12.346s "),
            (Style::Delta, "    +0.000s    +12.345s     +0.001s "),
        ] {
            let mut clock = Clock::new(style, zone.clone(), start);
            let mut out = Vec::new();
            for at in [
                "2026-11-23T06:43:59.9999Z",
                "2026-11-23T06:44:12.345Z",
                "2026-11-23T06:44:12.346Z",
            ] {
                clock.append(time(at), &mut out);
                out.push(b' ');
            }
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
