//! A part of a log, by its bytes: what `Range` asks for, and cutting it out of what goes by. Pure.

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What `Range` asks for.
pub(super) enum Asked {
    Part(Range<u64>),
    Beyond,
}

/// One range; what is none is not there, as RFC 9110 has it. A server that has something newer would send the whole:
/// here nothing ever changes.
pub(super) fn asked(headers: &HeaderMap, length: u64) -> Option<Asked> {
    let text = headers.get(header::RANGE)?.to_str().ok()?;
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let range = if from.is_empty() {
        let last = number(to)?;
        length.saturating_sub(last)..length
    } else {
        let end = if to.is_empty() { length } else { number(to)?.saturating_add(1).min(length) };
        number(from)?..end
    };
    Some(if range.is_empty() { Asked::Beyond } else { Asked::Part(range) })
}

/// The part of all bytes that is wanted.
pub(super) struct Window {
    range: Option<Range<u64>>,
    /// Bytes that have gone by.
    at: u64,
}

impl Window {
    /// Of what begins behind so many bytes.
    pub(super) fn new(range: Option<Range<u64>>, at: u64) -> Self {
        Self { range, at }
    }

    /// Of these bytes, which come next, those that are wanted.
    pub(super) fn of<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.at;
        self.at += bytes.len() as u64;
        let Some(range) = &self.range else { return bytes };
        let from = range.start.saturating_sub(start).min(bytes.len() as u64);
        let to = range.end.saturating_sub(start).min(bytes.len() as u64);
        bytes.get(from as usize..to as usize).unwrap_or_default()
    }

    /// Nothing that is wanted comes any more.
    pub(super) fn is_over(&self) -> bool {
        self.range.as_ref().is_some_and(|range| self.at >= range.end)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=0-9", Some(0..10)),
            ("bytes=5-", Some(5..100)),
            ("bytes=-7", Some(93..100)),
            ("bytes=90-200", Some(90..100)),
            ("bytes=-700", Some(0..100)),
            ("bytes=x-9", None),
            ("bytes=0-9,20-29", None),
            ("lines=0-9", None),
        ] {
            let found = match asked(&headers(header::RANGE, text), 100) {
                Some(Asked::Part(range)) => Some(range),
                _ => None,
            };
            assert_eq!(found, expected, "{text}");
        }
        for text in ["bytes=100-", "bytes=9-8", "bytes=-0"] {
            let found = asked(&headers(header::RANGE, text), 100);
            assert!(matches!(found, Some(Asked::Beyond)), "{text}");
        }
    }

    #[test]
    fn a_window_of_pieces() {
        let mut window = Window { range: Some(3..8), at: 0 };
        let parts: Vec<&[u8]> = ["abcd", "efg", "hij"].map(|it| window.of(it.as_bytes())).into();
        assert_eq!(parts.concat(), b"defgh");
        assert!(window.is_over());
    }
}
