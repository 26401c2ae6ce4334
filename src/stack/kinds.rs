//! The kinds of values that a [`Reader`] knows: counts, sizes, durations, flags, words, paths, texts.
//!
//! Each method reads one key into a setting that holds its default. Apart from the reader's
//! mechanics so that a kind of value, its spelling and its bounds are one short function.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::document::Value;
use super::kind::{Kind, Type, size, span};
use super::reader::{Reader, Scalar};

impl Reader<'_, '_, '_> {
    /// An integer within `range`.
    pub(crate) fn count<N: TryFrom<u64> + TryInto<u64> + Copy>(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        into: &mut N,
    ) {
        let kind = || Kind::Count { least: *range.start(), most: *range.end() };
        let default = |value: &N| {
            let value = (*value).try_into().ok().filter(|value| range.contains(value))?;
            i64::try_from(value).ok().map(Value::Integer)
        };
        self.set(key, kind, default, into, |scalar| match scalar {
            Scalar::Integer(value) => in_range(u64::try_from(*value).ok()?, &range),
            _ => None,
        });
    }

    /// A number of bytes within `range`: an integer, or text with a unit, IEC or SI.
    pub(crate) fn bytes<N: TryFrom<u64> + TryInto<u64> + Copy>(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        into: &mut N,
    ) {
        let kind = || Kind::Bytes { least: *range.start(), most: *range.end() };
        let default = |value: &N| {
            let value = (*value).try_into().ok().filter(|value| range.contains(value))?;
            Some(Value::Text(size(value)))
        };
        self.set(key, kind, default, into, |scalar| {
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
        let default = |value: &Duration| Some(Value::Text(span(*value)));
        let kind = || duration(&range, false);
        self.set(key, kind, default, into, |scalar| parse_duration(scalar, &range));
    }

    /// A time span within `range`, or `"inf"` for none.
    pub(crate) fn duration_or_inf(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
        into: &mut Option<Duration>,
    ) {
        let default = |value: &Option<Duration>| {
            Some(Value::Text(value.map_or_else(|| "inf".to_owned(), span)))
        };
        self.set(
            key,
            || duration(&range, true),
            default,
            into,
            |scalar| match scalar {
                Scalar::Text(text) if text == "inf" => Some(None),
                scalar => parse_duration(scalar, &range).map(Some),
            },
        );
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
        let default = |value: &bool| Some(Value::Flag(*value));
        self.set(
            key,
            || Kind::Flag,
            default,
            into,
            |scalar| match scalar {
                Scalar::Flag(flag) => Some(*flag),
                _ => None,
            },
        );
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy + PartialEq>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
        into: &mut T,
    ) {
        let kind = || Kind::Choice(choices.iter().map(|(word, _)| (*word).to_owned()).collect());
        let default = |value: &T| {
            let choice = choices.iter().find(|(_, known)| known == value);
            choice.map(|(word, _)| Value::Text((*word).to_owned()))
        };
        self.set(key, kind, default, into, |scalar| match scalar {
            Scalar::Text(text) => choices.iter().find(|(word, _)| word == text).map(|it| it.1),
            _ => None,
        });
    }

    /// A path.
    pub(crate) fn path(&mut self, key: &str, into: &mut PathBuf) {
        let (env, folder) = self.origin();
        self.set(
            key,
            || Kind::Path,
            |_| None,
            into,
            |scalar| match scalar {
                Scalar::Text(text) if !text.is_empty() => Some(env.path(text, folder)),
                _ => None,
            },
        );
    }

    /// Text that must be there; `None` if it is not, or is not known (see [`Secrets::Unread`]).
    pub(crate) fn required_text(&mut self, key: &str, example: &str) -> Option<String> {
        self.require(key, example);
        self.optional_text(key, example)
    }

    /// Text that may be there.
    pub(crate) fn optional_text(&mut self, key: &str, example: &str) -> Option<String> {
        let mut into = None;
        let kind = || Kind::Text { example: example.to_owned() };
        self.set(
            key,
            kind,
            |_| None,
            &mut into,
            |scalar| match scalar {
                Scalar::Text(text) if !text.is_empty() => Some(Some(text.clone())),
                _ => None,
            },
        );
        into
    }

    /// A value of this type that may be there.
    pub(crate) fn typed(&mut self, key: &str, wanted: Type) -> Option<serde_json::Value> {
        let mut into = None;
        self.set(
            key,
            || wanted.kind(),
            |_| None,
            &mut into,
            |scalar| {
                Some(Some(match (wanted, scalar) {
                    (Type::Text, Scalar::Text(text)) if !text.is_empty() => text.as_str().into(),
                    (Type::Integer | Type::Number, Scalar::Integer(value)) => (*value).into(),
                    (Type::Number, Scalar::Float(value)) => (*value).into(),
                    (Type::Flag, Scalar::Flag(flag)) => (*flag).into(),
                    _ => return None,
                }))
            },
        );
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

fn duration(range: &RangeInclusive<Duration>, inf: bool) -> Kind {
    Kind::Duration { least: *range.start(), most: *range.end(), inf }
}
