//! The format in which a Kubernetes node keeps what containers print (CRI logging), taken off again.
//!
//! ```text
//! 2026-11-25T10:11:12.123456789Z stdout P the first part of a long li
//! 2026-11-25T10:11:12.123456799Z stdout F ne
//! ```
//!
//! A line of the file is a line of the container (`F`) or a part of one (`P`: more of it comes with the next line of
//! the same stream). Its text goes on as it is, after `F` with a line feed. Nothing has to be kept
//! from one line to the next, so reading can go on after any of them.
//!
//! A spool frame has one iostream and one time. So a block ends where the iostream changes, and before
//! the first line whose time is not within `span` of the block's first line: times are never said
//! too late, and too early by less than `span`; the order of lines is kept.
//!
//! What is not in this format is given on as it is, line feed included, as stdout, and counted; it has no
//! time and ends no block of stdout.
//!
//! Pure: works in the bytes it is given, which hold the outcome afterwards.

use std::time::Duration;

use memchr::memchr;

use super::trace::Trace;
use crate::record::{IoStream, Nanos};

/// The path of a container's log on a node, as the template of an input: its captures are OpenTelemetry's names.
pub const PATH: &str = "/var/log/pods/{k8s.namespace.name}_{k8s.pod.name}_{k8s.pod.uid}/\
                        {k8s.container.name}/{k8s.container.restart_count}.log";

/// `2026-11-25T10:11:12`, the part of a time that seconds of lines share.
const SECOND: usize = 19;

/// What was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes of the file.
    pub(super) consumed: usize,
    /// Bytes that they became, at the beginning of where they were.
    pub(super) len: usize,
    pub(super) iostream: IoStream,
    /// Of the first line that has one.
    pub(super) time: Option<Nanos>,
    /// Lines that were none.
    pub(super) malformed: u64,
}

/// One line without its line feed.
struct Line<'a> {
    iostream: IoStream,
    time: Nanos,
    /// No part of the line follows.
    whole: bool,
    text: &'a [u8],
}

/// Cuts whole lines off the beginning of `raw`, as far as they fit one block. With `rest` what is left behind the
/// last line feed counts as a line too. `None`: there is no line.
pub(super) fn cut(raw: &mut [u8], rest: bool, span: Duration, trace: &mut Trace) -> Option<Cut> {
    let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    let mut clock = Clock::default();
    let mut cut: Option<Cut> = None;
    loop {
        let (consumed, len) = cut.map_or((0, 0), |cut| (cut.consumed, cut.len));
        let ahead = raw.get(consumed..).unwrap_or_default();
        let (body, ended) = match memchr(b'\n', ahead) {
            Some(end) => (ahead.get(..end).unwrap_or_default(), true),
            None if rest && !ahead.is_empty() => (ahead, false),
            None => return cut,
        };
        let line = parse(body, &mut clock);
        let iostream = line.as_ref().map_or(IoStream::Stdout, |line| line.iostream);
        let time = line.as_ref().map(|line| line.time);
        if let Some(cut) = cut {
            let late = match (cut.time, time) {
                (Some(first), Some(time)) => {
                    time.0.saturating_sub(first.0).unsigned_abs() as i64 >= span.max(1)
                }
                _ => false,
            };
            if cut.iostream != iostream || late {
                return Some(cut);
            }
        }
        let malformed = u64::from(line.is_none());
        let (skip, newline) = match line {
            Some(line) => (body.len() - line.text.len(), ended && line.whole),
            None => (0, ended),
        };
        let body_len = body.len();
        let next = consumed + body_len + usize::from(ended);
        trace.push(raw.get(consumed..next).unwrap_or_default());
        raw.copy_within(consumed + skip..consumed + body_len, len);
        let mut end = len + body_len - skip;
        if newline && let Some(place) = raw.get_mut(end) {
            *place = b'\n';
            end += 1;
        }
        cut = Some(Cut {
            consumed: next,
            len: end,
            iostream,
            time: cut.and_then(|cut| cut.time).or(time),
            malformed: cut.map_or(0, |cut| cut.malformed) + malformed,
        });
    }
}

fn parse<'a>(line: &'a [u8], clock: &mut Clock) -> Option<Line<'a>> {
    let (time, rest) = split(line)?;
    let (iostream, rest) = split(rest)?;
    let iostream = match iostream {
        b"stdout" => IoStream::Stdout,
        b"stderr" => IoStream::Stderr,
        _ => return None,
    };
    // Some runtimes leave the space out before an empty text.
    let (tags, text) = split(rest).unwrap_or((rest, &[]));
    let whole = match tags.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Line { iostream, time: clock.read(time)?, whole, text })
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr(b' ', text)?;
    Some((text.get(..space)?, text.get(space + 1..)?))
}

/// Reads times, most of which are in the same second as the one before.
#[derive(Default)]
struct Clock {
    second: [u8; SECOND],
    zone: [u8; 6],
    zone_len: usize,
    start: Option<Nanos>,
}

impl Clock {
    /// A time in RFC 3339 with up to nine decimals.
    fn read(&mut self, text: &[u8]) -> Option<Nanos> {
        let (second, rest) = text.split_first_chunk::<SECOND>()?;
        let (fraction, zone) = match rest.split_first() {
            Some((b'.', rest)) => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                rest.split_at(digits)
            }
            _ => rest.split_at(0),
        };
        if fraction.len() > 9 || (fraction.is_empty() && rest.first() == Some(&b'.')) {
            return None;
        }
        let same_zone = self.zone.get(..self.zone_len) == Some(zone);
        if self.start.is_none() || *second != self.second || !same_zone {
            if second.get(10) != Some(&b'T') || !is_zone(zone) {
                return None;
            }
            let whole = [second.as_slice(), zone].concat();
            self.start = Some(Nanos::from_rfc3339(std::str::from_utf8(&whole).ok()?)?);
            self.second = *second;
            self.zone.get_mut(..zone.len())?.copy_from_slice(zone);
            self.zone_len = zone.len();
        }
        let mut nanos = 0;
        for place in 0..9 {
            nanos = nanos * 10 + i64::from(fraction.get(place).map_or(0, |digit| digit - b'0'));
        }
        self.start.map(|start| Nanos(start.0.saturating_add(nanos)))
    }
}

fn is_zone(zone: &[u8]) -> bool {
    match zone {
        b"Z" => true,
        [b'+' | b'-', hours @ .., b':', _, _] => hours.len() == 2,
        _ => false,
    }
}

/// Whatever the bytes are, none is lost or doubled.
#[cfg(any(test, fuzzing))]
pub(super) fn holds(text: &[u8], span: Duration) {
    let mut raw = text.to_vec();
    let mut rest = raw.as_mut_slice();
    let mut streams = [Vec::new(), Vec::new()];
    let mut trace = Trace::default();
    while let Some(cut) = cut(rest, true, span, &mut trace) {
        let (this, next) = rest.split_at_mut(cut.consumed);
        let text = this.get(..cut.len).expect("within what was consumed");
        streams.get_mut(cut.iostream as usize).expect("one of two").extend_from_slice(text);
        rest = next;
    }
    assert!(rest.is_empty());
    assert_eq!(streams, reference(text));
}

#[cfg(any(test, fuzzing))]
/// What the bytes come to by the words of the format, without a thought of speed.
#[cfg(any(test, fuzzing))]
fn reference(text: &[u8]) -> [Vec<u8>; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        match parse(body, &mut Clock::default()) {
            Some(parsed) => {
                let stream = streams.get_mut(parsed.iostream as usize).expect("one of two");
                stream.extend_from_slice(parsed.text);
                if parsed.whole && body.len() < line.len() {
                    stream.push(b'\n');
                }
            }
            None => streams.first_mut().expect("one of two").extend_from_slice(line),
        }
    }
    streams
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: Duration = Duration::from_millis(10);

    /// All blocks of a text: iostream, time, bytes.
    fn blocks(text: &[u8]) -> (Vec<(IoStream, Option<String>, String)>, u64) {
        let mut raw = text.to_vec();
        let mut rest = raw.as_mut_slice();
        let (mut found, mut malformed, mut trace) = (Vec::new(), 0, Trace::default());
        while let Some(cut) = cut(rest, true, SPAN, &mut trace) {
            let (this, next) = rest.split_at_mut(cut.consumed);
            let text = String::from_utf8_lossy(&this[..cut.len]).into_owned();
            found.push((cut.iostream, cut.time.map(Nanos::to_rfc3339), text));
            malformed += cut.malformed;
            rest = next;
        }
        assert!(rest.is_empty());
        assert!(text.ends_with(trace.tail.as_bytes()));
        (found, malformed)
    }

    fn check(text: &str, expected: &[(IoStream, &str, &str)], expected_malformed: u64) {
        let (found, malformed) = blocks(text.as_bytes());
        let found: Vec<_> = found
            .iter()
            .map(|(iostream, time, text)| (*iostream, time.as_deref().unwrap_or_default(), &**text))
            .collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(malformed, expected_malformed, "{text}");
    }

    use IoStream::{Stderr, Stdout};

    #[test]
    fn parts_are_joined_and_the_prefix_is_gone() {
        check(
            "2026-11-25T10:11:12.123456789Z stdout P one \n2026-11-25T10:11:12.123456799Z stdout F line\n\
             2026-11-25T10:11:12.13Z stdout F \n2026-11-25T10:11:12.13Z stdout F\n",
            &[(Stdout, "2026-11-25T10:11:12.123456789Z", "one line\n\n\n")],
            0,
        );
    }

    #[test]
    fn a_block_ends_where_iostream_or_time_change() {
        check(
            "2026-11-25T10:11:12.000Z stdout F a\n2026-11-25T10:11:12.009999999Z stdout F b\n\
             2026-11-25T10:11:12.010Z stdout F c\n2026-11-25T10:11:12.010Z stderr P d\n\
             2026-11-25T11:11:12.010+01:00 stderr F e\n2026-11-25T10:11:11Z stderr F f\n",
            &[
                (Stdout, "2026-11-25T10:11:12.000000000Z", "a\nb\n"),
                (Stdout, "2026-11-25T10:11:12.010000000Z", "c\n"),
                (Stderr, "2026-11-25T10:11:12.010000000Z", "de\n"),
                (Stderr, "2026-11-25T10:11:11.000000000Z", "f\n"),
            ],
            0,
        );
    }

    #[test]
    fn what_is_not_in_the_format_is_kept_as_it_is() {
        for line in [
            "plain text",
            "",
            "2026-11-25T10:11:12Z stdout X text",
            "2026-11-25T10:11:12Z stdin F text",
            "2026-11-25T10:11:12 stdout F text",
            "2026-11-25 10:11:12Z stdout F text",
            "2026-11-25T10:11:12.Z stdout F text",
            "2026-11-25T10:11:12.1234567890Z stdout F text",
            "2026-11-25T10:11:12Z[Europe/Berlin] stdout F text",
            "2026-13-25T10:11:12Z stdout F text",
            "2026-11-25T10:11:12Z stdout",
        ] {
            check(&format!("{line}\n"), &[(Stdout, "", &format!("{line}\n"))], 1);
        }
        check(
            "junk\n2026-11-25T10:11:12Z stdout F:x a\n2026-11-25T10:11:12Z stdout P torn",
            &[(Stdout, "2026-11-25T10:11:12.000000000Z", "junk\na\ntorn")],
            1,
        );
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let time = prop_oneof![
            9 => (0_u32..60, 0_u32..1_000_000_000)
                .prop_map(|(second, nanos)| format!("2026-11-25T10:11:{second:02}.{nanos:09}Z")),
            1 => "[0-9T:.Z+-]{0,35}",
        ];
        let text = prop::collection::vec(any::<u8>(), 0..40);
        let stream = prop_oneof![9 => "stdout|stderr", 1 => "[a-z]{0,7}"];
        let tags = prop_oneof![9 => "P|F|F:x", 1 => "[A-Z:]{0,3}"];
        prop_oneof![
            9 => (time, stream, tags, text.clone()).prop_map(|(time, stream, tags, text)| {
                let mut line = format!("{time} {stream} {tags} ").into_bytes();
                line.extend(text);
                line.push(b'\n');
                line
            }),
            1 => text,
        ]
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_doubled(lines in prop::collection::vec(line(), 0..30)) {
            holds(&lines.concat(), SPAN);
        }
    }
}
