//! The kinds of values that a [`Reader`] knows: counts, sizes, durations, flags, words, paths, texts.
//!
//! Each method reads one key into a setting that holds its default. Apart from the reader's
//! mechanics so that a kind of value, its spelling and its bounds are one short function.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::reader::{Reader, Scalar};

impl Reader<'_, '_, '_> {
    /// An integer within `range`.
    pub(crate) fn count<N: TryFrom<u64>>(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        into: &mut N,
    ) {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        self.set(key, &expected, into, |scalar| match scalar {
            Scalar::Integer(value) => in_range(u64::try_from(*value).ok()?, &range),
            _ => None,
        });
    }

    /// A number of bytes within `range`: an integer, or text with a unit, IEC or SI.
    pub(crate) fn bytes<N: TryFrom<u64>>(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        into: &mut N,
    ) {
        let (least, most) = (size(*range.start()), size(*range.end()));
        let expected = format!("a size from {least} to {most}, such as \"4 MiB\"");
        self.set(key, &expected, into, |scalar| {
            let value = match scalar {
                Scalar::Text(text) => text.trim().parse::<ByteSize>().ok()?.as_u64(),
                Scalar::Integer(value) => u64::try_from(*value).ok()?,
                _ => return None,
            };
            in_range(value, &range)
        });
    }

    /// A time span within `range`: text with a unit.
    pub(crate) fn duration(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
        into: &mut Duration,
    ) {
        let expected = format!("{}, such as \"30s\"", span(&range));
        self.set(key, &expected, into, |scalar| parse_duration(scalar, &range));
    }

    /// A time span within `range`, or `"inf"` for none.
    pub(crate) fn duration_or_inf(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
        into: &mut Option<Duration>,
    ) {
        let expected = format!("{}, such as \"30s\", or \"inf\"", span(&range));
        self.set(key, &expected, into, |scalar| match scalar {
            Scalar::Text(text) if text == "inf" => Some(None),
            scalar => parse_duration(scalar, &range).map(Some),
        });
    }

    /// A time span within `range`, kept as milliseconds.
    pub(crate) fn milliseconds(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
        into: &mut u64,
    ) {
        let mut value = Duration::from_millis(*into);
        self.duration(key, range, &mut value);
        *into = value.as_millis() as u64;
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &str, into: &mut bool) {
        self.set(key, "true or false", into, |scalar| match scalar {
            Scalar::Flag(flag) => Some(*flag),
            _ => None,
        });
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)], into: &mut T) {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        self.set(key, &format!("one of {}", words.join(", ")), into, |scalar| match scalar {
            Scalar::Text(text) => choices.iter().find(|(word, _)| word == text).map(|it| it.1),
            _ => None,
        });
    }

    /// A path.
    pub(crate) fn path(&mut self, key: &str, into: &mut PathBuf) {
        let (env, folder) = self.origin();
        self.set(key, "a path, such as \"/var/lib/steplog\"", into, |scalar| match scalar {
            Scalar::Text(text) if !text.is_empty() => Some(env.path(text, folder)),
            _ => None,
        });
    }

    /// Text that must be there; `None` if it is not, or is not known (see [`Secrets::Unread`]).
    pub(crate) fn required_text(&mut self, key: &str, example: &str) -> Option<String> {
        self.require(key, example);
        self.optional_text(key, example)
    }

    /// Text that may be there.
    pub(crate) fn optional_text(&mut self, key: &str, example: &str) -> Option<String> {
        let mut into = None;
        self.set(key, &format!("text, such as {example:?}"), &mut into, |scalar| match scalar {
            Scalar::Text(text) if !text.is_empty() => Some(Some(text.clone())),
            _ => None,
        });
        into
    }

    /// A list of texts, none of them empty.
    pub(crate) fn texts(&mut self, key: &str, example: &str, into: &mut Vec<String>) {
        if let Some((texts, _)) = self.list(key, example) {
            *into = texts.into_iter().map(|(text, _)| text).collect();
        }
    }

    /// A list of paths.
    pub(crate) fn paths(&mut self, key: &str, example: &str, into: &mut Vec<PathBuf>) {
        if let Some((texts, _)) = self.list(key, example) {
            let (env, folder) = self.origin();
            *into = texts.iter().map(|(text, _)| env.path(text, folder)).collect();
        }
    }

    /// As [`Self::texts`], of at least one.
    pub(crate) fn some_texts(
        &mut self,
        key: &str,
        example: &str,
        without: &str,
        into: &mut Vec<String>,
    ) {
        if let Some((texts, place)) = self.list(key, example) {
            if texts.is_empty() {
                let what = format!("expected at least one, such as {example}");
                self.note(Some(place), key, what, Some(format!("leave the key out {without}")));
            } else {
                *into = texts.into_iter().map(|(text, _)| text).collect();
            }
        }
    }
}

fn in_range<N: TryFrom<u64>>(value: u64, range: &RangeInclusive<u64>) -> Option<N> {
    if range.contains(&value) { N::try_from(value).ok() } else { None }
}

fn parse_duration(scalar: &Scalar, range: &RangeInclusive<Duration>) -> Option<Duration> {
    let Scalar::Text(text) = scalar else { return None };
    humantime::parse_duration(text).ok().filter(|value| range.contains(value))
}

fn span(range: &RangeInclusive<Duration>) -> impl Display {
    let text = |duration: &Duration| humantime::format_duration(*duration).to_string();
    format!("a duration from {} to {}", text(range.start()), text(range.end()))
}

/// Bytes in the largest unit that divides them.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(bits, _)| bytes != 0 && bytes.trailing_zeros() >= *bits) {
        Some((bits, unit)) => format!("{} {unit}", bytes >> bits),
        None => format!("{bytes} B"),
    }
}
