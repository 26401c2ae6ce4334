//! An attribute as it is given on the command line, and the TOML value that it becomes.
//!
//! What kind of value a key takes is known from the flavor, so nobody has to quote for TOML: an
//! integer becomes one, a list may be written with commas. Whether the value is a good one, loading
//! the file says.

use std::fmt;

use toml_edit::{Array, Value};

use crate::stack::kind::Kind;

/// `--key=value` or `--table.key=value`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// The key of the component's table.
    pub(crate) key: String,
    /// A key in the table that stands there.
    pub(crate) below: Option<String>,
    /// May be a secret.
    pub(crate) value: String,
}

/// Shows no value.
impl fmt::Debug for Attribute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}=…", self.name())
    }
}

impl Attribute {
    /// Takes `name` apart at its first dot.
    pub(crate) fn new(name: &str, value: String) -> Self {
        let (key, below) = split(name);
        Self { key, below, value }
    }

    /// As it was given.
    pub(crate) fn name(&self) -> String {
        match &self.below {
            Some(below) => format!("{}.{below}", self.key),
            None => self.key.clone(),
        }
    }
}

/// A key and, behind its first dot, a key in the table that stands there.
pub(super) fn split(name: &str) -> (String, Option<String>) {
    match name.split_once('.') {
        Some((key, below)) => (key.to_owned(), Some(below.trim_matches('"').to_owned())),
        None => (name.to_owned(), None),
    }
}

/// `text` as a value for a key of that kind. Text that cannot be one stays text: loading says what
/// is wrong with it.
pub(super) fn value(kind: Option<&Kind>, text: &str) -> Value {
    let typed = match kind {
        Some(Kind::Count { .. } | Kind::Integer) => text.parse::<i64>().ok().map(Value::from),
        Some(Kind::Number) => integer(text).or_else(|| text.parse::<f64>().ok().map(Value::from)),
        Some(Kind::Bytes { .. }) => integer(text),
        Some(Kind::Flag) => text.parse::<bool>().ok().map(Value::from),
        Some(Kind::Texts { .. }) => Some(parsed(text, '[').unwrap_or_else(|| commas(text))),
        Some(Kind::Table) => parsed(text, '{'),
        Some(Kind::Scalar) | None => {
            text.parse::<bool>().ok().map(Value::from).or_else(|| integer(text))
        }
        Some(Kind::Duration { .. } | Kind::Choice(_) | Kind::Path | Kind::Text { .. }) => None,
    };
    typed.unwrap_or_else(|| Value::from(text))
}

/// An integer, but not what only looks like one: `007`.
fn integer(text: &str) -> Option<Value> {
    text.parse::<i64>().ok().filter(|value| value.to_string() == text).map(Value::from)
}

/// TOML that begins with `open`.
fn parsed(text: &str, open: char) -> Option<Value> {
    if text.trim_start().starts_with(open) { text.trim().parse().ok() } else { None }
}

fn commas(text: &str) -> Value {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Value::Array(parts.collect::<Array>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_their_keys_take() {
        let count = Kind::Count { least: 1, most: 9 };
        let bytes = Kind::Bytes { least: 1, most: 9 };
        let texts = Kind::Texts { example: String::new() };
        let word = Kind::Choice(Vec::new());
        let text = Kind::Text { example: String::new() };
        for (kind, written, expected) in [
            (Some(&count), "7", "7"),
            (Some(&count), "many", "\"many\""),
            (Some(&bytes), "4 MiB", "\"4 MiB\""),
            (Some(&bytes), "4096", "4096"),
            (Some(&Kind::Flag), "true", "true"),
            (Some(&Kind::Flag), "yes", "\"yes\""),
            (Some(&texts), "a, b", "[\"a\", \"b\"]"),
            (Some(&texts), "['a,b']", "['a,b']"),
            (Some(&Kind::Table), "{ a = \"b\" }", "{ a = \"b\" }"),
            (Some(&word), "json", "\"json\""),
            (Some(&text), "12345", "\"12345\""),
            (Some(&text), "C:\\x", "'C:\\x'"),
            (None, "true", "true"),
            (None, "8080", "8080"),
            (None, "007", "\"007\""),
            (None, "${env:X}", "\"${env:X}\""),
        ] {
            assert_eq!(value(kind, written).to_string(), expected, "{written} for {kind:?}");
        }
    }

    #[test]
    fn names_are_taken_apart_at_the_first_dot() {
        let attribute = Attribute::new("headers.x-key", "hunter2".to_owned());
        assert_eq!(
            (attribute.key.as_str(), attribute.below.as_deref()),
            ("headers", Some("x-key"))
        );
        assert_eq!(format!("{attribute:?}"), "headers.x-key=…");
        assert_eq!(split("labels.\"k8s.pod\""), ("labels".into(), Some("k8s.pod".into())));
    }
}
