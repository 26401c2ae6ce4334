//! What values a key takes: said in an error, shown by `flavor describe`, turned into the schema.
//!
//! Nobody writes a list of kinds: each comes from the call that reads the key. A [`Recorder`] in
//! the reader's context takes them down while every table is read as if it were empty, so what is
//! described is what is read. Apart from the reading so that a kind knows nothing of a file.

use std::fmt;
use std::time::Duration;

use super::document::Value;
use super::reader::Secret;

/// What values a key takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An integer.
    Count {
        least: u64,
        most: u64,
    },
    /// A number of bytes: an integer, or text with a unit.
    Bytes {
        least: u64,
        most: u64,
    },
    /// A time span: text with a unit.
    Duration {
        least: Duration,
        most: Duration,
        inf: bool,
    },
    /// An integer, or a number, of any size.
    Integer,
    Number,
    Flag,
    /// One of a few words.
    Choice(Vec<String>),
    Path,
    Text {
        example: String,
    },
    /// A list of texts; the example is TOML.
    Texts {
        example: String,
    },
    /// A table; what stands in it is recorded below its path.
    Table,
    /// Text, or what can stand for it without quotes.
    Scalar,
}

/// What a value is, where only that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Integer,
    Number,
    Flag,
}

impl Type {
    /// As a kind.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Text => Kind::Text { example: "…".to_owned() },
            Self::Integer => Kind::Integer,
            Self::Number => Kind::Number,
            Self::Flag => Kind::Flag,
        }
    }
}

/// As in "expected …".
impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { least, most } => {
                write!(formatter, "an integer from {least} to {most}")
            }
            Self::Bytes { least, most } => {
                let (least, most) = (size(*least), size(*most));
                write!(formatter, "a size from {least} to {most}, such as \"4 MiB\"")
            }
            Self::Duration { least, most, inf } => {
                let (least, most) = (span(*least), span(*most));
                write!(formatter, "a duration from {least} to {most}, such as \"30s\"")?;
                formatter.write_str(if *inf { ", or \"inf\"" } else { "" })
            }
            Self::Integer => formatter.write_str("an integer"),
            Self::Number => formatter.write_str("a number"),
            Self::Flag => formatter.write_str("true or false"),
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
                write!(formatter, "one of {}", words.join(", "))
            }
            Self::Path => formatter.write_str("a path, such as \"/var/lib/steplog\""),
            Self::Text { example } => write!(formatter, "text, such as {example:?}"),
            Self::Texts { example } => write!(formatter, "a list of texts, such as {example}"),
            Self::Table => formatter.write_str("a table"),
            Self::Scalar => formatter.write_str("text, an integer, true or false"),
        }
    }
}

/// Bytes in the largest unit that divides them.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(bits, _)| bytes != 0 && bytes.trailing_zeros() >= *bits) {
        Some((bits, unit)) => format!("{} {unit}", bytes >> bits),
        None => format!("{bytes} B"),
    }
}

/// A time span as it is written.
pub(crate) fn span(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Takes down which keys are read, and how.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// In the order in which they were read.
    pub(crate) recorded: Vec<Recorded>,
    /// Keys that must be there, spelt from the top.
    pub(crate) required: Vec<String>,
}

/// One key, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Of its table, from the top.
    pub(crate) path: String,
    /// `*` for any name.
    pub(crate) key: String,
    pub(crate) kind: Kind,
    /// What is used without it, where that is a value of its kind.
    pub(crate) default: Option<Value>,
    pub(crate) secret: Secret,
}

/// The key of [`Recorded`] for tables whose names are the user's.
pub(crate) const ANY: &str = "*";
