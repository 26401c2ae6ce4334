//! One line of NDJSON to a [`Line`]: our own layout by hand, anything else through serde.
//!
//! The artifact store writes the fields of a record always in the same order and ends each line
//! with the origin, which the reader knows already. Reading it so costs a tenth of a JSON parser;
//! whatever looks different in any way is given to one.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::page::{Line, Rare, Span, Verdict};
use crate::line::Eol;
use crate::record::{IoStream, Level, Nanos, Record};

/// Reads the record at `at` of `text`; `None` if it is none.
pub(super) fn line(text: &[u8], at: Range<usize>, unescaped: &mut Vec<u8>) -> Option<Line> {
    let mark = unescaped.len();
    if let Some(line) = fast(text, at.clone(), unescaped) {
        return Some(line);
    }
    unescaped.truncate(mark);
    slow(text, at, unescaped)
}

fn fast(text: &[u8], at: Range<usize>, unescaped: &mut Vec<u8>) -> Option<Line> {
    let json = span(at.clone(), false)?;
    let mut fields = Fields { text: text.get(..at.end)?, at: at.start, unescaped };
    fields.expect(b"{\"timestamp\":\"")?;
    let time = fields.time()?;
    fields.expect(b",\"seq\":")?;
    let seq = fields.number()?;
    let (mut level, mut iostream, mut message, mut raw) = (None, None, None, None);
    let (mut eol, mut progress) = (Eol::Lf, false);
    let mut rare: Option<Box<Rare>> = None;
    loop {
        fields.expect(b",\"")?;
        match fields.key()? {
            b"level" => level = Some(level_of(fields.plain()?)?),
            b"iostream" => {
                iostream = Some(match fields.plain()? {
                    b"stdout" => IoStream::Stdout,
                    b"stderr" => IoStream::Stderr,
                    _ => return None,
                });
            }
            b"message" => message = Some(fields.string()?),
            b"raw" => raw = Some(fields.string()?),
            b"eol" => {
                eol = match fields.plain_or_escaped()? {
                    b"" => Eol::None,
                    br"\r\n" => Eol::CrLf,
                    br"\n" => Eol::Lf,
                    _ => return None,
                }
            }
            b"bytes" => rare.get_or_insert_default().bytes = Some(fields.string()?),
            b"part" => rare.get_or_insert_default().part = Some(fields.number()?.try_into().ok()?),
            b"parts" => {
                rare.get_or_insert_default().parts = Some(fields.number()?.try_into().ok()?);
            }
            b"line" => rare.get_or_insert_default().line = Some(fields.number()?),
            b"group" => rare.get_or_insert_default().group = Some(fields.number()?),
            b"progress" => {
                fields.expect(b"true")?;
                progress = true;
            }
            b"event_timestamp" => {
                fields.string()?;
            }
            b"attributes" => {
                fields.object()?;
            }
            b"gap" => {
                let gap = fields.object()?;
                rare.get_or_insert_default().gap = serde_json::from_slice(gap).ok()?;
            }
            // The origin comes last and is the same on every line.
            b"pipeline_run_id" => break,
            _ => return None,
        }
    }
    if fields.text.last() != Some(&b'}') {
        return None;
    }
    Some(Line {
        time,
        seq,
        level,
        iostream: iostream?,
        eol,
        progress,
        stream: 0,
        verdict: Verdict::Match,
        rare,
        json,
        message: message?,
        raw,
        ordinal: 0,
    })
}

/// Any order of fields, any JSON.
fn slow(text: &[u8], at: Range<usize>, unescaped: &mut Vec<u8>) -> Option<Line> {
    let record: Record = serde_json::from_slice(text.get(at.clone())?).ok()?;
    let mut keep = |text: &str| {
        let start = unescaped.len();
        unescaped.extend_from_slice(text.as_bytes());
        span(start..unescaped.len(), true)
    };
    let rare = Rare {
        bytes: match &record.bytes {
            Some(bytes) => Some(keep(bytes)?),
            None => None,
        },
        part: record.part,
        parts: record.parts,
        line: record.line,
        group: record.group,
        gap: record.gap,
    };
    let has_rare = rare.bytes.is_some()
        || rare.part.is_some()
        || rare.parts.is_some()
        || rare.line.is_some()
        || rare.group.is_some()
        || rare.gap.is_some();
    Some(Line {
        time: Nanos::from_rfc3339(&record.timestamp)?,
        seq: record.seq,
        level: record.level,
        iostream: record.iostream,
        eol: match record.eol.as_deref() {
            None | Some("\n") => Eol::Lf,
            Some("\r\n") => Eol::CrLf,
            Some(_) => Eol::None,
        },
        progress: record.progress,
        stream: 0,
        verdict: Verdict::Match,
        rare: has_rare.then(|| Box::new(rare)),
        json: span(at, false)?,
        message: keep(&record.message)?,
        raw: match &record.raw {
            Some(raw) => Some(keep(raw)?),
            None => None,
        },
        ordinal: 0,
    })
}

fn span(range: Range<usize>, unescaped: bool) -> Option<Span> {
    Some(Span {
        start: u32::try_from(range.start).ok()?,
        end: u32::try_from(range.end).ok()?,
        unescaped,
    })
}

fn level_of(name: &[u8]) -> Option<Level> {
    Level::ALL.into_iter().find(|level| level.as_str().as_bytes() == name)
}

/// Where in the line reading stands.
struct Fields<'a> {
    text: &'a [u8],
    at: usize,
    unescaped: &'a mut Vec<u8>,
}

impl<'a> Fields<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expect(&mut self, bytes: &[u8]) -> Option<()> {
        self.rest().starts_with(bytes).then(|| self.at += bytes.len())
    }

    /// What stands before `":`.
    fn key(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest();
        let end = memchr(b'"', rest)?;
        self.at += end + 1;
        self.expect(b":")?;
        rest.get(..end)
    }

    fn number(&mut self) -> Option<u64> {
        let rest = self.rest();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 19 {
            return None;
        }
        self.at += digits;
        let digits = rest.get(..digits)?;
        Some(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    }

    /// A string without escapes.
    fn plain(&mut self) -> Option<&'a [u8]> {
        let text = self.plain_or_escaped()?;
        (!text.contains(&b'\\')).then_some(text)
    }

    /// What stands between the quotes.
    fn plain_or_escaped(&mut self) -> Option<&'a [u8]> {
        self.expect(b"\"")?;
        let start = self.at;
        loop {
            let rest = self.rest();
            let at = memchr2(b'"', b'\\', rest)?;
            if rest.get(at) == Some(&b'"') {
                self.at += at + 1;
                return self.text.get(start..self.at - 1);
            }
            self.at += at + 2;
        }
    }

    fn string(&mut self) -> Option<Span> {
        self.expect(b"\"")?;
        let start = self.at;
        let at = memchr2(b'"', b'\\', self.rest())?;
        if self.text.get(start + at) == Some(&b'"') {
            self.at += at + 1;
            return span(start..start + at, false);
        }
        self.at = start - 1;
        let escaped = self.plain_or_escaped()?;
        let from = self.unescaped.len();
        unescape(escaped, self.unescaped)?;
        span(from..self.unescaped.len(), true)
    }

    /// An object, as text.
    fn object(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut depth = 0_u32;
        loop {
            match self.rest().first()? {
                b'"' => {
                    self.plain_or_escaped()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }

    /// `2026-11-23T06:44:00.000000001Z"`.
    fn time(&mut self) -> Option<Nanos> {
        let (text, _) = self.rest().split_first_chunk::<31>()?;
        self.at += 31;
        let [
            y0,
            y1,
            y2,
            y3,
            b'-',
            m0,
            m1,
            b'-',
            d0,
            d1,
            b'T',
            h0,
            h1,
            b':',
            i0,
            i1,
            b':',
            s0,
            s1,
            b'.',
            nanos @ ..,
            b'Z',
            b'"',
        ] = text
        else {
            return None;
        };
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0_i64, |sum, digit| {
                digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
            })
        };
        let days = days(number(&[*y0, *y1, *y2, *y3])?, number(&[*m0, *m1])?, number(&[*d0, *d1])?);
        let seconds = days * 86_400
            + number(&[*h0, *h1])? * 3600
            + number(&[*i0, *i1])? * 60
            + number(&[*s0, *s1])?;
        seconds.checked_mul(1_000_000_000)?.checked_add(number(nanos)?).map(Nanos)
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; years start in March, so that the
/// day that comes and goes stands last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

/// Appends `escaped` without JSON's escapes.
fn unescape(mut escaped: &[u8], out: &mut Vec<u8>) -> Option<()> {
    while let Some(at) = memchr(b'\\', escaped) {
        out.extend_from_slice(escaped.get(..at)?);
        let (code, rest) = escaped.get(at + 1..)?.split_first()?;
        escaped = rest;
        out.push(match code {
            b'"' | b'\\' | b'/' => *code,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let first = hex(&mut escaped)?;
                let scalar = if (0xD800..0xDC00).contains(&first) {
                    escaped = escaped.strip_prefix(br"\u")?;
                    let second = hex(&mut escaped)?.checked_sub(0xDC00)?;
                    0x1_0000 + ((first - 0xD800) << 10) + second
                } else {
                    first
                };
                let mut buffer = [0; 4];
                let character = char::from_u32(scalar)?.encode_utf8(&mut buffer);
                out.extend_from_slice(character.as_bytes());
                continue;
            }
            _ => return None,
        });
    }
    out.extend_from_slice(escaped);
    Some(())
}

fn hex(text: &mut &[u8]) -> Option<u32> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    *text = rest;
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::page::Page;
    use super::*;
    use crate::record::{Gap, GapReason, Origin};

    fn record() -> impl Strategy<Value = Record> {
        let text = prop_oneof!["\\PC{0,40}", "[\\x00-\\x7f]{0,40}", ".{0,40}"];
        (
            (any::<i64>(), any::<u32>(), 0..7_usize, any::<bool>(), text.clone()),
            (proptest::option::of(text.clone()), 0..3_usize, proptest::option::of(1..9_u32)),
            (proptest::option::of(0..99_u64), any::<bool>(), any::<bool>(), text),
        )
            .prop_map(|((time, seq, level, out, message), (raw, eol, part), rest)| {
                let (group, progress, gap, key) = rest;
                Record {
                    timestamp: Nanos(time).to_rfc3339(),
                    seq: u64::from(seq),
                    level: Level::ALL.get(level).copied(),
                    iostream: if out { IoStream::Stdout } else { IoStream::Stderr },
                    message,
                    raw,
                    bytes: gap.then(|| "AP8=".to_owned()),
                    eol: [None, Some("\r\n".to_owned()), Some(String::new())][eol].clone(),
                    part,
                    parts: part,
                    line: part.map(u64::from),
                    group,
                    progress,
                    gap: gap.then_some(Gap {
                        bytes: 7,
                        lines: 1,
                        reason: GapReason::DroppedOldest,
                    }),
                    event_timestamp: progress.then(|| "2026-11-23T06:44:00Z".to_owned()),
                    attributes: [(key, serde_json::json!({"a": ["}", 1, "\"\\"]}))]
                        .into_iter()
                        .collect(),
                    origin: Origin {
                        pipeline_run_id: "r".into(),
                        step_id: "s".into(),
                        attempt: 1,
                        source: "step".into(),
                    },
                }
            })
    }

    fn both(text: &str) -> (Option<Line>, Vec<u8>, Option<Line>, Vec<u8>) {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let fast = fast(text.as_bytes(), 0..text.len(), &mut one);
        let slow = slow(text.as_bytes(), 0..text.len(), &mut other);
        (fast, one, slow, other)
    }

    proptest! {
        #[test]
        fn by_hand_and_by_serde_are_the_same(record in record()) {
            let text = serde_json::to_string(&record).unwrap();
            let (fast, one, slow, other) = both(&text);
            let (fast, slow) = (fast.unwrap(), slow.unwrap());
            let with = |unescaped| Page {
                text: text.clone().into_bytes(), unescaped, ..Page::default()
            };
            let (one, other) = (with(one), with(other));
            prop_assert_eq!(fast.time, slow.time);
            prop_assert_eq!(fast.seq, record.seq);
            prop_assert_eq!(fast.level, record.level);
            prop_assert_eq!(fast.iostream, record.iostream);
            prop_assert_eq!(fast.eol, slow.eol);
            prop_assert_eq!(fast.progress, record.progress);
            prop_assert_eq!(one.message(&fast), record.message.as_bytes());
            prop_assert_eq!(other.message(&slow), record.message.as_bytes());
            prop_assert_eq!(one.raw(&fast), record.raw.as_deref().map(str::as_bytes));
            prop_assert_eq!(fast.part(), slow.part());
            prop_assert_eq!(fast.group(), record.group);
            prop_assert_eq!(fast.gap(), record.gap.as_ref());
            prop_assert_eq!(one.record(&fast).unwrap(), record);
            let (mut exact, mut expected) = (Vec::new(), Vec::new());
            one.append_exact(&fast, &mut exact);
            other.append_exact(&slow, &mut expected);
            prop_assert_eq!(exact, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            line(&text, 0..text.len(), &mut Vec::new());
            let mut text = text;
            text.splice(0..0, *br#"{"timestamp":"2026-11-23T06:44:00.000000001Z","seq":1,"#);
            line(&text, 0..text.len(), &mut Vec::new());
        }
    }

    #[test]
    fn other_layouts_are_read_too() {
        let text = r#"{ "seq":3,"timestamp":"2026-11-23T07:44:00+01:00","iostream":"stderr",
            "message":"a\u00e9\ud83d\ude00","pipeline_run_id":"r","step_id":"s","attempt":1,"source":"x"}"#;
        let line = line(text.as_bytes(), 0..text.len(), &mut Vec::new()).unwrap();
        assert_eq!(line.seq, 3);
        assert_eq!(line.time, Nanos::from_rfc3339("2026-11-23T06:44:00Z").unwrap());
        let mut out = Vec::new();
        unescape(br"a\u00e9\ud83d\ude00\/", &mut out).unwrap();
        assert_eq!(out, "aé😀/".as_bytes());
        assert_eq!(unescape(br"\ud83d", &mut out), None);
        assert_eq!(unescape(br"\x", &mut out), None);
    }
}
