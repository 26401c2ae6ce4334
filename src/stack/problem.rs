//! What is wrong with a stack file, said so that whoever wrote it can put it right.
//!
//! Apart so that nothing but this file decides how a problem reads. Shows no line of the file:
//! any line may hold a secret.

use std::fmt;
use std::path::{Path, PathBuf};

use super::document::{Layer, Place};

/// Everything that is wrong with a stack file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// Never empty.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file; `None` for what has nothing to do with one.
    pub file: Option<PathBuf>,
    /// Line and column, from 1, in characters; `None` if it is about the file as a whole.
    pub position: Option<(usize, usize)>,
    /// The key as TOML spells it from the top (`log_stores.dd.api_key`); may be empty.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{}:", file.display())?;
            if let Some((line, column)) = self.position {
                write!(formatter, "{line}:{column}:")?;
            }
            write!(formatter, " ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        write!(formatter, "{}", self.what)?;
        if let Some(help) = &self.help {
            write!(formatter, "\n    help: {help}")?;
        }
        Ok(())
    }
}

/// A problem as it is found, before its place is turned into a line.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) place: Option<Place>,
    pub(crate) key: String,
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

impl Errors {
    /// A problem with the file as a whole.
    pub(super) fn of_file(file: &Path, what: String, help: &str) -> Self {
        let (file, help) = (Some(file.to_owned()), Some(help.to_owned()));
        Self { problems: vec![Problem { file, position: None, key: String::new(), what, help }] }
    }

    /// Puts what was found in order and looks up the lines in `text`, the file's.
    pub(super) fn from_found(mut found: Vec<Found>, file: Option<&Path>, text: &str) -> Self {
        found.sort_by_key(|problem| problem.place);
        let problems = found
            .into_iter()
            .map(|found| {
                let (file, text) = match found.place {
                    // Only a fault of this program leads here: a test reads the default file.
                    Some(Place { layer: Layer::Default, .. }) => {
                        (Some(Path::new("built-in default")), super::DEFAULT)
                    }
                    _ => (file, text),
                };
                Problem {
                    file: file.map(Path::to_owned),
                    position: found.place.map(|place| position(text, place.offset)),
                    key: found.key,
                    what: found.what,
                    help: found.help,
                }
            })
            .collect();
        Self { problems }
    }
}

/// Line and column of a byte, from 1.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

/// The nearest of `names`, if one is near enough to be what was meant.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(2);
    names
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= limit && *distance < known.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// `did you mean "x"?`, or all there are to choose from.
pub(crate) fn suggest(name: &str, what: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(known) => format!("did you mean {known:?}?"),
        None if names.is_empty() => format!("there are no {what}"),
        None => format!("the {what} are: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(position("a\nbü c", 0), (1, 1));
        assert_eq!(position("a\nbü c", 6), (2, 4));
        assert_eq!(position("a\n", 9), (2, 1));
    }

    #[test]
    fn names_that_are_far_are_not_near() {
        let names = ["drain_idle", "drain_max", "dd"];
        assert_eq!(nearest("drian_idle", names), Some("drain_idle"));
        assert_eq!(nearest("grace", names), None);
        assert_eq!(nearest("x", names), None);
        assert_eq!(suggest("x", "keys", &["a1", "b1"]), "the keys are: a1, b1");
    }
}
