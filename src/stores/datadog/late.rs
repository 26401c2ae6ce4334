//! Entries that come too late for Datadog, which throws away what is more than 18 hours old.
//!
//! A machine may be cut off for longer than that; its spool keeps the lines. They are sent with the
//! earliest time that is still taken and the attribute `late`; when they were written stands in
//! `time_unix_nano` as ever, and that is the time that reading back shows.
//!
//! Decided when a request is sent, not when it is encoded: only then is it known how late it is.

use std::io;

use bytes::Bytes;

use super::encode::{HEAD, NANOS};
use crate::record::Nanos;
use crate::stores::records::compress::Compression;

/// Older entries get another time: an hour less than Datadog takes, for clocks and delays.
pub(super) const OLDEST: Nanos = Nanos(17 * 3600 * 1_000_000_000);
/// What is added to each.
const MARK: &[u8] = b",\"late\":\"true\"";
/// How much an entry may grow.
pub(super) const MARK_BYTES: usize = MARK.len() + 20;

/// The body of a request as it is to be sent at `now`; `None`: as it is.
pub(super) fn restamped(
    body: &[u8],
    compression: Compression,
    now: Nanos,
) -> io::Result<Option<Bytes>> {
    let oldest = (now.0 - OLDEST.0).div_euclid(1_000_000);
    // The first entry is the oldest: a writer's times do not go back.
    let start = compression.decompress_start(body, (1 + HEAD.len() + 20 + NANOS.len()) as u64)?;
    if next(&start, 0).is_none_or(|(_, _, millis)| millis >= oldest) {
        return Ok(None);
    }
    let text = compression.decompress(body)?;
    let mut changed = Vec::with_capacity(text.len() + text.len() / 16);
    let mut done = 0;
    let mut from = 0;
    while let Some((start, end, millis)) = next(&text, from) {
        from = end;
        if millis < oldest {
            changed.extend_from_slice(text.get(done..start).unwrap_or_default());
            changed.extend_from_slice(itoa::Buffer::new().format(oldest).as_bytes());
            changed.extend_from_slice(MARK);
            done = end;
        }
    }
    changed.extend_from_slice(text.get(done..).unwrap_or_default());
    let mut body = Vec::new();
    compression.compress(&[&changed], &mut body)?;
    Ok(Some(body.into()))
}

/// Where the milliseconds of the next entry from `from` on stand, and what they are. What a step
/// printed cannot be taken for the beginning of an entry: its quotes are escaped; attributes lifted
/// from its JSON could, but it would be the attribute that is changed, and reading back does not use it.
fn next(text: &[u8], from: usize) -> Option<(usize, usize, i64)> {
    let mut from = from;
    loop {
        let start = from + memchr::memmem::find(text.get(from..)?, HEAD)? + HEAD.len();
        let rest = text.get(start..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
        let (number, behind) = rest.split_at_checked(digits)?;
        if behind.starts_with(NANOS) {
            let millis = std::str::from_utf8(number).ok()?.parse().ok()?;
            return Some((start, start + digits, millis));
        }
        from = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * 1000;

    fn entry(millis: i64, more: &str) -> String {
        format!("{{\"timestamp\":{millis},\"time_unix_nano\":\"{millis}000001\"{more}}}")
    }

    fn sent(entries: &[String], now: i64) -> Option<String> {
        let mut body = Vec::new();
        let text = format!("[{}]", entries.join(","));
        Compression::Gzip.compress(&[text.as_bytes()], &mut body).unwrap();
        let body = restamped(&body, Compression::Gzip, Nanos(now * 1_000_000)).unwrap()?;
        Some(String::from_utf8(Compression::Gzip.decompress(&body).unwrap()).unwrap())
    }

    #[test]
    fn what_is_late_gets_the_earliest_time_that_is_taken_and_says_so() {
        let now = 1_800_000_000_000;
        let trap = ",\"attributes\":{\"x\":[{\"timestamp\":5},{\"timestamp\":\"y\"}]}";
        let entries =
            [entry(now - 30 * HOUR, trap), entry(now - 17 * HOUR, ""), entry(now, ",\"a\":1")];
        let expected = format!(
            "[{{\"timestamp\":{},\"late\":\"true\",\"time_unix_nano\":\"{}000001\"{trap}}},{},{}]",
            now - 17 * HOUR,
            now - 30 * HOUR,
            entries[1],
            entries[2]
        );
        assert_eq!(sent(&entries, now).unwrap(), expected);
        assert!(expected.len() - entries.join(",").len() - 2 <= MARK_BYTES);
    }

    #[test]
    fn what_is_in_time_is_sent_as_it_is() {
        assert_eq!(sent(&[entry(1000, ""), entry(2000, "")], 1000 + 17 * HOUR), None);
        assert_eq!(sent(&[], 0), None);
    }
}
