//! A path with wildcards and captures, and what a path says that matches it.
//!
//! ```text
//! /steps/{pipeline_run_id}/{step_id}.log    /var/log/jobs/**/*.log    /data/run-[0-9]*/{step_id}-{attempt}.out
//! ```
//!
//! Each part between slashes is matched by itself: `*` any text, `?` one character, `[…]` one of several (`[!…]` none of
//! them), `{name}` any text, kept under that name; `**`, alone between slashes, any folders or none.
//! As in a shell, none of these begins with a dot that is not written out. `\` takes the next character as it is. Where two captures
//! could share a text, the first takes as little as it can.
//!
//! Apart from [`Globs`](super::Globs), which walks: this is pure. Values come from whoever may make
//! files, so they are checked before they become anybody's metadata.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The longest value of a capture, bytes.
const MAX_VALUE: usize = 256;

/// A path with wildcards and captures.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    root: PathBuf,
    pub(super) parts: Vec<Part>,
    names: Vec<String>,
}

/// What stands between two slashes, after the root.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A name.
    Name(String),
    /// Names that match; the numbers are those of the captures in it.
    Pattern(Regex, Vec<usize>),
    /// Folders, any number of them.
    Folders,
}

/// What a path says by its captures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// `{pipeline_run_id}`
    pub pipeline_run_id: Option<String>,
    /// `{step_id}`
    pub step_id: Option<String>,
    /// `{attempt}`
    pub attempt: Option<u32>,
    /// `{source}`
    pub source: Option<String>,
    /// All others, and those written `{attributes.NAME}`, under NAME.
    pub attributes: BTreeMap<String, String>,
}

/// Why a template is none.
#[derive(Debug, thiserror::Error)]
pub enum BadTemplate {
    /// It is relative.
    #[error(
        "a path with wildcards has to begin with `/`, such as `/steps/{{pipeline_run_id}}/{{step_id}}.log`"
    )]
    Relative,
    /// It ends with a folder.
    #[error("the path has to end with the name of files, such as `*.log`")]
    NoFile,
    /// A bracket is not closed.
    #[error("`{0}` is not closed; put a `\\` before it if it belongs to the name")]
    Open(char),
    /// `**` beside other text.
    #[error("`**` has to stand alone between two slashes")]
    Folders,
    /// `.` or `..` as a part.
    #[error("`{0}` cannot be a part of the path")]
    Dots(String),
    /// A capture without a name, or with characters that names of attributes do not have.
    #[error("`{{{0}}}` is no name: letters, digits, `_`, `.` and `-` make one")]
    Name(String),
    /// The same name twice.
    #[error("`{{{0}}}` is there twice; write `*` for one of them")]
    Twice(String),
    /// Characters in brackets that cannot be.
    #[error("`{0}` is not a set of characters")]
    Set(String),
}

/// Why a path that matches is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// Nothing there.
    #[error("{0} is empty")]
    Empty(String),
    /// Too much there.
    #[error("{0} is longer than {MAX_VALUE} bytes")]
    Long(String),
    /// Not text, or with control characters.
    #[error("{0} has characters that cannot be shown")]
    Characters(String),
    /// `.` or `..`.
    #[error("{0} has no letter or digit")]
    Dots(String),
    /// Not a number from 1.
    #[error("attempt is not a number from 1")]
    Attempt,
}

impl Template {
    /// Reads a template.
    pub fn new(text: &str) -> Result<Self, BadTemplate> {
        let rest = text.strip_prefix('/').ok_or(BadTemplate::Relative)?;
        let mut template = Self {
            text: text.to_owned(),
            root: PathBuf::from("/"),
            parts: Vec::new(),
            names: Vec::new(),
        };
        for part in split(rest).into_iter().filter(|part| !part.is_empty()) {
            let part = template.part(&part)?;
            template.parts.push(part);
        }
        if rest.ends_with('/')
            || !matches!(template.parts.last(), Some(Part::Name(_) | Part::Pattern(..)))
        {
            return Err(BadTemplate::NoFile);
        }
        // What is the same for all paths is where the walk begins; the last part is the file's name.
        let names = template.parts.iter().take_while(|part| matches!(part, Part::Name(_))).count();
        let rest = template.parts.split_off(names.min(template.parts.len() - 1));
        for part in std::mem::replace(&mut template.parts, rest) {
            if let Part::Name(name) = part {
                template.root.push(name);
            }
        }
        Ok(template)
    }

    /// The folder that all paths are below: links may not lead out of it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What a path says, if it matches.
    pub fn captures(&self, path: &Path) -> Option<Result<Captures, BadValue>> {
        let relative = path.strip_prefix(&self.root).ok()?;
        let names: Vec<&OsStr> = relative.iter().collect();
        let mut values = vec![None; self.names.len()];
        matches(&self.parts, &names, &mut values).then(|| self.checked(&values))
    }

    fn part(&mut self, text: &str) -> Result<Part, BadTemplate> {
        match text {
            "**" => return Ok(Part::Folders),
            "." | ".." => return Err(BadTemplate::Dots(text.to_owned())),
            _ if text.contains("**") => return Err(BadTemplate::Folders),
            _ => {}
        }
        let (mut pattern, mut name) = (String::from(r"\A"), String::new());
        let (mut captures, mut literal) = (Vec::new(), true);
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let is_first = pattern.len() == 2;
            let wild = matches!(character, '*' | '?' | '[' | '{');
            if wild {
                literal = false;
            }
            // As in a shell: hidden files have to be asked for.
            let any = if is_first { "[^.]" } else { "." };
            match character {
                '*' if is_first => pattern.push_str("(?:[^.].*)?"),
                '*' => pattern.push_str(".*"),
                '?' => pattern.push_str(any),
                '[' => pattern.push_str(&set(&mut characters)?),
                '{' => {
                    let name = until(&mut characters, '}').ok_or(BadTemplate::Open('{'))?;
                    captures.push(self.name(name)?);
                    pattern.push_str(if is_first { "((?:[^.].*?)?)" } else { "(.*?)" });
                }
                _ => {
                    let plain = if character == '\\' {
                        characters.next().unwrap_or('\\')
                    } else {
                        character
                    };
                    name.push(plain);
                    pattern.push_str(&regex::escape(plain.encode_utf8(&mut [0; 4])));
                }
            }
        }
        if literal {
            return Ok(Part::Name(name));
        }
        pattern.push_str(r"\z");
        let pattern = regex::RegexBuilder::new(&pattern).dot_matches_new_line(true).build();
        pattern
            .map(|pattern| Part::Pattern(pattern, captures))
            .map_err(|_| BadTemplate::Set(text.to_owned()))
    }

    fn name(&mut self, name: String) -> Result<usize, BadTemplate> {
        let name = name.strip_prefix("attributes.").map(ToOwned::to_owned).unwrap_or(name);
        let is_name = name.chars().all(|one| one.is_ascii_alphanumeric() || "_.-".contains(one));
        if name.is_empty() || !is_name {
            return Err(BadTemplate::Name(name));
        }
        if self.names.contains(&name) {
            return Err(BadTemplate::Twice(name));
        }
        self.names.push(name);
        Ok(self.names.len() - 1)
    }

    pub(super) fn no_values(&self) -> Vec<Option<String>> {
        vec![None; self.names.len()]
    }

    /// The captures, if all of them may be metadata.
    pub(super) fn checked(&self, values: &[Option<String>]) -> Result<Captures, BadValue> {
        let mut captures = Captures::default();
        for (name, value) in self.names.iter().zip(values) {
            let value = value.as_deref().unwrap_or_default();
            check(name, value)?;
            let value = value.to_owned();
            match name.as_str() {
                "pipeline_run_id" => captures.pipeline_run_id = Some(value),
                "step_id" => captures.step_id = Some(value),
                "source" => captures.source = Some(value),
                "attempt" => {
                    let attempt = value.parse().ok().filter(|attempt| *attempt > 0);
                    captures.attempt = Some(attempt.ok_or(BadValue::Attempt)?);
                }
                _ => {
                    captures.attributes.insert(name.clone(), value);
                }
            }
        }
        Ok(captures)
    }
}

impl Part {
    /// Whether a name matches; keeps what it captures.
    pub(super) fn matches(&self, name: &OsStr, values: &mut [Option<String>]) -> bool {
        match self {
            Self::Name(expected) => name == OsStr::new(expected),
            Self::Folders => !name.as_bytes().starts_with(b"."),
            Self::Pattern(pattern, captures) => {
                // What is not UTF-8 becomes a character that no value may have.
                let name = name.to_string_lossy();
                let Some(found) = pattern.captures(&name) else { return false };
                for (capture, group) in captures.iter().zip(found.iter().skip(1)) {
                    if let Some(value) = values.get_mut(*capture) {
                        *value = group.map(|group| group.as_str().to_owned());
                    }
                }
                true
            }
        }
    }
}

fn matches(parts: &[Part], names: &[&OsStr], values: &mut [Option<String>]) -> bool {
    match (parts.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Part::Folders, rest)), _) => {
            matches(rest, names, values)
                || names.split_first().is_some_and(|(name, names)| {
                    Part::Folders.matches(name, values) && matches(parts, names, values)
                })
        }
        (Some((part, parts)), Some((name, names))) => {
            part.matches(name, values) && matches(parts, names, values)
        }
        _ => false,
    }
}

fn check(name: &str, value: &str) -> Result<(), BadValue> {
    let bad = if value.is_empty() {
        BadValue::Empty
    } else if value.len() > MAX_VALUE {
        BadValue::Long
    } else if value
        .chars()
        .any(|one| one.is_control() || one == '/' || one == char::REPLACEMENT_CHARACTER)
    {
        BadValue::Characters
    } else if value.chars().all(|one| one == '.') {
        BadValue::Dots
    } else {
        return Ok(());
    };
    Err(bad(name.to_owned()))
}

/// The parts between slashes; one in brackets or after `\` is none.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        match (character, parts.last_mut()) {
            ('/', _) if !escaped => parts.push(String::new()),
            (_, Some(part)) => part.push(character),
            (_, None) => {}
        }
        escaped = character == '\\' && !escaped;
    }
    parts
}

fn until(characters: &mut std::str::Chars<'_>, end: char) -> Option<String> {
    let text: String = characters.as_str().split_once(end)?.0.to_owned();
    characters.nth(text.chars().count());
    Some(text)
}

/// `[a-z]`, `[!a-z]`, `[]a]`: as a set of a regular expression.
fn set(characters: &mut std::str::Chars<'_>) -> Result<String, BadTemplate> {
    let mut set = String::from("[");
    let mut first = true;
    while let Some(character) = characters.next() {
        match character {
            '!' | '^' if first && set == "[" => {
                set.push('^');
                continue;
            }
            ']' if !first => {
                set.push(']');
                return Ok(set);
            }
            '-' => set.push('-'),
            _ => {
                let plain =
                    if character == '\\' { characters.next().unwrap_or('\\') } else { character };
                set.push_str(&regex::escape(plain.encode_utf8(&mut [0; 4])));
            }
        }
        first = false;
    }
    Err(BadTemplate::Open('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, path: &str, expected: Option<&[(&str, &str)]>) {
        let template = Template::new(template).unwrap();
        let found = template.captures(Path::new(path)).map(|found| {
            let found = found.unwrap();
            let known = [
                ("pipeline_run_id", found.pipeline_run_id),
                ("step_id", found.step_id),
                ("source", found.source),
                ("attempt", found.attempt.map(|attempt| attempt.to_string())),
            ];
            let known =
                known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            known.chain(found.attributes).collect::<BTreeMap<_, _>>()
        });
        let expected = expected.map(|pairs| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        });
        assert_eq!(found, expected, "{} {path}", template.as_str());
    }

    #[test]
    fn paths_that_match_and_what_they_say() {
        let steps = "/steps/{pipeline_run_id}/{step_id}.log";
        check(
            steps,
            "/steps/r1/train.log",
            Some(&[("pipeline_run_id", "r1"), ("step_id", "train")]),
        );
        for path in [
            "/steps/r1/train.txt",
            "/steps/train.log",
            "/steps/r1/x/train.log",
            "/steps/r1/.train.log",
        ] {
            check(steps, path, None);
        }
        check(
            crate::capture::file::cri::PATH,
            "/var/log/pods/ci_train-0_6d9f-11/step/3.log",
            Some(&[
                ("k8s.namespace.name", "ci"),
                ("k8s.pod.name", "train-0"),
                ("k8s.pod.uid", "6d9f-11"),
                ("k8s.container.name", "step"),
                ("k8s.container.restart_count", "3"),
            ]),
        );
        check(
            "/d/{attributes.team}/{step_id}-{attempt}.{source}.out",
            "/d/x/a-2.hook:before.out",
            Some(&[("team", "x"), ("step_id", "a"), ("attempt", "2"), ("source", "hook:before")]),
        );
    }

    #[test]
    fn wildcards() {
        for (template, path, matched) in [
            ("/a/*.log", "/a/x.log", true),
            ("/a/*.log", "/a/.log", true),
            ("/a/*.log", "/a/.x.log", false),
            ("/a/.*.log", "/a/.x.log", true),
            ("/a/*.log", "/a/b/x.log", false),
            ("/a/?.log", "/a/xy.log", false),
            ("/a/?.log", "/a/ü.log", true),
            ("/a/[0-9b].log", "/a/7.log", true),
            ("/a/[!0-9].log", "/a/7.log", false),
            ("/a/[]].log", "/a/].log", true),
            ("/a/x[&&~~].log", "/a/x&.log", true),
            ("/a/\\*.log", "/a/*.log", true),
            ("/a/\\*.log", "/a/x.log", false),
            ("/a/(x|y)+.log", "/a/(x|y)+.log", true),
            ("/a/**/x.log", "/a/x.log", true),
            ("/a/**/x.log", "/a/b/c/x.log", true),
            ("/a/**/x.log", "/a/.b/x.log", false),
            ("/a/x.log", "/a/x.log", true),
            ("/a/*/x.log", "/b/c/x.log", false),
        ] {
            let found = Template::new(template).unwrap().captures(Path::new(path)).is_some();
            assert_eq!(found, matched, "{template} {path}");
        }
    }

    #[test]
    fn the_walk_begins_where_paths_differ() {
        for (template, root) in [
            ("/a/b/*.log", "/a/b"),
            ("/a/b/c.log", "/a/b"),
            ("/*/b", "/"),
            ("/a/\\*/{step_id}", "/a/*"),
        ] {
            assert_eq!(Template::new(template).unwrap().root(), Path::new(root), "{template}");
        }
    }

    #[test]
    fn templates_that_are_none() {
        for (template, message) in [
            ("a/*.log", "a path with wildcards has to begin with `/`"),
            ("/a/", "the path has to end with the name of files"),
            ("/", "the path has to end with the name of files"),
            ("/a/**", "the path has to end with the name of files"),
            ("/a/x**/y", "`**` has to stand alone"),
            ("/a/../*.log", "`..` cannot be a part"),
            ("/a/{b", "`{` is not closed"),
            ("/a/[b", "`[` is not closed"),
            ("/a/[z-a]", "`[z-a]` is not a set"),
            ("/a/{}", "`{}` is no name"),
            ("/a/{b c}", "`{b c}` is no name"),
            ("/{step_id}/{step_id}.log", "`{step_id}` is there twice"),
            ("/{x}/{attributes.x}.log", "`{x}` is there twice"),
        ] {
            let error = Template::new(template).unwrap_err().to_string();
            assert!(error.starts_with(message), "{template}: {error}");
        }
    }

    #[test]
    fn values_are_checked() {
        let template = Template::new("/a/{step_id}/{attempt}.log").unwrap();
        let long = format!("/a/{}/1.log", "x".repeat(MAX_VALUE + 1));
        for (path, message) in [
            ("/a/x\ny/1.log", "step_id has characters that cannot be shown"),
            ("/a/x/0.log", "attempt is not a number from 1"),
            ("/a/x/-1.log", "attempt is not a number from 1"),
            ("/a/x/.log", "attempt is empty"),
            (long.as_str(), "step_id is longer than 256 bytes"),
        ] {
            let found = template.captures(Path::new(path)).unwrap();
            assert_eq!(found.unwrap_err().to_string(), message, "{path:?}");
        }
        let bytes = Path::new(OsStr::from_bytes(b"/a/\xff/1.log"));
        assert_eq!(template.captures(bytes), Some(Err(BadValue::Characters("step_id".into()))));
        let dots = Template::new("/a/x{step_id}.log").unwrap();
        let found = dots.captures(Path::new("/a/x...log"));
        assert_eq!(found, Some(Err(BadValue::Dots("step_id".into()))));
    }
}
