//! Typed reading of one table, key by key, that never stops at the first problem.
//!
//! Each method looks for one key and, where it is there and right, puts its value in place of
//! the default; what is wrong is noted and reading goes on. A table is left with
//! [`Reader::finish`], which notes the keys that nobody asked for: the keys that are read *are*
//! the keys that are known.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::document::{self, Entry, Node, Place, Table, Value};
use super::env::Env;
use super::kind::{ANY, Kind, Recorded, Recorder};
use super::problem::{Found, nearest, suggest};
use super::reference::{self, Sources};

/// What reading one stack file shares between its tables.
pub(crate) struct Context<'a> {
    pub(crate) env: &'a Env,
    /// Of the stack file.
    pub(crate) folder: &'a Path,
    pub(crate) found: Vec<Found>,
    /// Values that must not be shown.
    pub(crate) secrets: Vec<String>,
    /// Where secret values were written out.
    pub(crate) literals: Vec<Literal>,
    /// Takes down what is read; tables that are not there are then read as empty ones.
    pub(crate) recorder: Option<Recorder>,
}

/// A table that is not there.
pub(super) static EMPTY: Table = Table { entries: Vec::new() };

/// A secret that stands in the file itself.
#[derive(Clone, Debug)]
pub(crate) struct Literal {
    pub(crate) key: String,
    pub(crate) place: Place,
}

/// Whether references are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// They are needed: one that is missing is a problem.
    Followed,
    /// They are not: values that have one keep their default.
    Unread,
}

/// One table being read.
pub(crate) struct Reader<'a, 'c, 'd> {
    context: &'a mut Context<'c>,
    table: &'d Table,
    path: String,
    place: Option<Place>,
    secrets: Secrets,
    asked: Vec<String>,
    hinted: Vec<&'static str>,
    secret_keys: Vec<Cow<'static, str>>,
}

/// A value without its references.
pub(crate) enum Scalar {
    Text(String),
    Integer(i64),
    Flag(bool),
    Float(f64),
    Other,
}

impl<'a, 'c, 'd> Reader<'a, 'c, 'd> {
    /// Says anew whether references are followed.
    pub(crate) fn follow(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// Reads `table`, which is at `path` from the top.
    pub(crate) fn new(
        context: &'a mut Context<'c>,
        table: &'d Table,
        path: &str,
        place: Option<Place>,
        secrets: Secrets,
    ) -> Self {
        Self {
            context,
            table,
            path: path.to_owned(),
            place,
            secrets,
            asked: Vec::new(),
            hinted: Vec::new(),
            secret_keys: Vec::new(),
        }
    }

    /// Says which keys hold secrets: their values are never shown.
    pub(crate) fn keep_secret<K: Into<Cow<'static, str>>>(
        &mut self,
        keys: impl Iterator<Item = K>,
    ) {
        self.secret_keys.extend(keys.map(Into::into));
    }

    /// The texts of a list, each with its place. `None`: not there, or not such a list.
    pub(crate) fn list(
        &mut self,
        key: &str,
        example: &str,
    ) -> Option<(Vec<(String, Place)>, Place)> {
        let kind = || Kind::Texts { example: example.to_owned() };
        self.record(key, kind, || None);
        let entry = self.entry(key)?;
        let Value::List(nodes) = &entry.node.value else {
            self.unexpected(key, &entry.node, &kind().to_string());
            return None;
        };
        let mut texts = Vec::new();
        for node in nodes {
            match self.scalar(key, node) {
                Some(Scalar::Text(text)) if !text.is_empty() => texts.push((text, node.place)),
                Some(_) => self.unexpected(key, node, &kind().to_string()),
                None => {}
            }
        }
        (texts.len() == nodes.len()).then_some((texts, entry.node.place))
    }

    /// Every key that nobody has asked for and `known` knows, as text. `known` also says whether
    /// the value is secret.
    pub(crate) fn rest(
        &mut self,
        known: impl Fn(&str) -> Option<Secret>,
        mut each: impl FnMut(&str, String),
    ) {
        if known(ANY).is_some() {
            self.record(ANY, || Kind::Scalar, || None);
        }
        for entry in &self.table.entries {
            if self.asked.contains(&entry.key) {
                continue;
            }
            let Some(secret) = known(&entry.key) else { continue };
            self.asked.push(entry.key.clone());
            if secret == Secret::Yes {
                self.mark_secret(entry);
            }
            match self.scalar(&entry.key, &entry.node) {
                Some(Scalar::Text(text)) => each(&entry.key, text),
                Some(Scalar::Integer(value)) => each(&entry.key, value.to_string()),
                Some(Scalar::Flag(flag)) => each(&entry.key, flag.to_string()),
                Some(Scalar::Float(_) | Scalar::Other) => {
                    self.unexpected(&entry.key, &entry.node, &Kind::Scalar.to_string());
                }
                None => {}
            }
        }
    }

    /// As [`Self::rest`], of keys of which the usual ones are known by name: too many to be listed
    /// in an error, but a misspelt one is compared with them.
    pub(crate) fn options(
        &mut self,
        usual: &'static [&'static str],
        known: impl Fn(&str) -> Option<Secret>,
        each: impl FnMut(&str, String),
    ) {
        for name in usual {
            self.record(name, || Kind::Scalar, || None);
            if let (Some(recorder), Some(secret)) = (&mut self.context.recorder, known(name)) {
                recorder.recorded.last_mut().into_iter().for_each(|it| it.secret = secret);
            }
        }
        self.rest(known, each);
        self.hinted.extend(usual);
    }

    /// Every entry, each asked for: tables whose keys are the user's.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &'d Entry> + use<'d> {
        self.asked.extend(self.table.entries.iter().map(|entry| entry.key.clone()));
        self.table.entries.iter()
    }

    /// The table below `key`, to be read in turn.
    pub(crate) fn table(&mut self, key: &str) -> Option<Reader<'_, 'c, 'd>> {
        self.record(key, || Kind::Table, || None);
        self.asked.push(key.to_owned());
        match self.table.get(key) {
            Some(entry) => {
                // What stands in it is marked one by one as it is read.
                if self.secret_keys.iter().any(|it| it == key)
                    && !matches!(entry.node.value, Value::Table(_))
                {
                    self.mark_secret(entry);
                }
                self.below(entry, "a table")
            }
            None if self.context.recorder.is_some() => {
                let path = self.path_of(key);
                Some(Reader::new(self.context, &EMPTY, &path, None, self.secrets))
            }
            None => None,
        }
    }

    /// The tables of the list below `key`, each to be read in turn. A path names no number: two
    /// tables of a list have the same keys, and the line says which is meant.
    pub(crate) fn tables(&mut self, key: &str, mut each: impl FnMut(&mut Reader<'_, 'c, 'd>)) {
        self.asked.push(key.to_owned());
        let path = self.path_of(key);
        let Some(entry) = self.table.get(key) else {
            if self.context.recorder.is_some() {
                each(&mut Reader::new(self.context, &EMPTY, &path, None, self.secrets));
            }
            return;
        };
        let Value::List(nodes) = &entry.node.value else {
            self.unexpected(key, &entry.node, &format!("a list of tables: [[{path}]]"));
            return;
        };
        for node in nodes {
            let Value::Table(table) = &node.value else {
                self.unexpected(key, node, "a table");
                continue;
            };
            let mut reader =
                Reader::new(self.context, table, &path, Some(node.place), self.secrets);
            each(&mut reader);
            reader.finish();
        }
    }

    /// The table that `entry` of this one should be.
    pub(crate) fn below(&mut self, entry: &'d Entry, expected: &str) -> Option<Reader<'_, 'c, 'd>> {
        let path = self.path_of(&entry.key);
        let Value::Table(table) = &entry.node.value else {
            self.unexpected(&entry.key, &entry.node, expected);
            return None;
        };
        Some(Reader::new(self.context, table, &path, Some(entry.place), self.secrets))
    }

    /// A variable of the environment that stands in for a key; not looked at where references are
    /// not followed. One that is not UTF-8 is a problem.
    pub(crate) fn variable(&mut self, name: &str, secret: Secret) -> Option<String> {
        if self.secrets == Secrets::Unread {
            return None;
        }
        let Some(value) = self.context.env.get(name)?.to_str() else {
            self.problem("", format!("the environment variable {name} is not UTF-8"), None);
            return None;
        };
        if secret == Secret::Yes {
            self.context.secrets.push(value.to_owned());
        }
        Some(value.to_owned())
    }

    /// A path as variables have it: relative ones start at the current directory.
    pub(crate) fn path_of_process(&self, written: &str) -> PathBuf {
        self.context.env.absolute(Path::new(written))
    }

    /// What a relative path starts from.
    pub(super) fn origin(&self) -> (&'c Env, &'c Path) {
        (self.context.env, self.context.folder)
    }

    /// Where a local artifact store lies unless it says so.
    pub(crate) fn default_data(&self) -> PathBuf {
        self.context.env.data()
    }

    /// Notes that `key` names something that does not exist.
    pub(crate) fn not_there<'n>(
        &mut self,
        key: &str,
        noun: &str,
        name: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        let place = self.table.get(key).map(|entry| entry.node.place).or(self.place);
        self.not_there_at(place, key, noun, name, names);
    }

    /// As [`Self::not_there`], of one name in a list.
    pub(crate) fn not_there_at<'n>(
        &mut self,
        place: Option<Place>,
        key: &str,
        noun: &str,
        name: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        let help = suggest(name, &format!("{noun}s"), &names.collect::<Vec<_>>());
        self.note(place, key, format!("there is no {noun} {name:?}"), Some(help));
    }

    /// Whether one of `keys` is there, whatever it says: then its absence is no problem.
    pub(crate) fn is_unclear(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.table.get(key).is_some())
    }

    /// Notes a problem with `key` of this table, or with the table if `key` is empty.
    pub(crate) fn problem(&mut self, key: &str, what: String, help: Option<String>) {
        let place = self.table.get(key).map(|entry| entry.node.place).or(self.place);
        self.note(place, key, what, help);
    }

    /// Notes that two keys do not go together, at the one that the file has.
    pub(crate) fn conflict(&mut self, keys: [&str; 2], what: String) {
        let entries = keys.map(|key| self.table.get(key));
        let written = entries.into_iter().flatten().max_by_key(|entry| entry.place.layer);
        let key = written.map_or(keys[0], |entry| entry.key.as_str());
        self.problem(key, what, None);
    }

    /// Notes a problem at `place`.
    pub(crate) fn note(
        &mut self,
        place: Option<Place>,
        key: &str,
        what: String,
        help: Option<String>,
    ) {
        let key = self.path_of(key);
        self.context.found.push(Found { place, key, what, help });
    }

    /// Notes that `key` is not there.
    pub(crate) fn require(&mut self, key: &str, example: &str) {
        if let Some(recorder) = &mut self.context.recorder {
            recorder.required.push(join(&self.path, key));
        }
        if self.table.get(key).is_none() {
            let help = format!("add {key} = {example:?}");
            self.note(self.place, key, "missing".to_owned(), Some(help));
        }
    }

    /// Notes the keys that nobody has asked for.
    pub(crate) fn finish(self) {
        let asked: Vec<&str> = self.asked.iter().map(String::as_str).collect();
        let help = |key: &str| match nearest(key, self.hinted.iter().copied()) {
            Some(_) => suggest(key, "keys here", &[&asked[..], &self.hinted[..]].concat()),
            None if self.hinted.is_empty() => suggest(key, "keys here", &asked),
            None => suggest(key, "keys here", &asked) + ", and more: see docs/stack-file.md",
        };
        let unknown = self.table.entries.iter().filter(|it| !asked.contains(&it.key.as_str()));
        for entry in unknown {
            self.context.found.push(Found {
                place: Some(entry.place),
                key: join(&self.path, &entry.key),
                what: "unknown key".to_owned(),
                help: Some(help(&entry.key)),
            });
        }
    }

    /// The keys asked for so far.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> &[String] {
        &self.asked
    }

    /// Says that `keys` are read elsewhere.
    pub(crate) fn ask(&mut self, keys: &[&str]) {
        self.asked.extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// Reads one key. `kind` says what is expected, `default` what `into` holds, as TOML.
    pub(super) fn set<T>(
        &mut self,
        key: &str,
        kind: impl Fn() -> Kind,
        default: impl FnOnce(&T) -> Option<Value>,
        into: &mut T,
        parse: impl FnOnce(&Scalar) -> Option<T>,
    ) {
        self.record(key, &kind, || default(into));
        let Some(entry) = self.entry(key) else { return };
        let Some(scalar) = self.scalar(key, &entry.node) else { return };
        match parse(&scalar) {
            Some(value) => *into = value,
            None => self.unexpected(key, &entry.node, &kind().to_string()),
        }
    }

    fn record(
        &mut self,
        key: &str,
        kind: impl FnOnce() -> Kind,
        default: impl FnOnce() -> Option<Value>,
    ) {
        let Some(recorder) = &mut self.context.recorder else { return };
        let secret =
            if self.secret_keys.iter().any(|it| it == key) { Secret::Yes } else { Secret::No };
        recorder.recorded.push(Recorded {
            path: self.path.clone(),
            key: key.to_owned(),
            kind: kind(),
            default: default(),
            secret,
        });
    }

    fn entry(&mut self, key: &str) -> Option<&'d Entry> {
        self.asked.push(key.to_owned());
        let entry = self.table.get(key)?;
        if self.secret_keys.iter().any(|it| it == key) {
            self.mark_secret(entry);
        }
        Some(entry)
    }

    /// The value with its references resolved. `None`: a problem with them, already noted, or
    /// they are unread.
    fn scalar(&mut self, key: &str, node: &Node) -> Option<Scalar> {
        Some(match &node.value {
            Value::Text(written) => {
                let sources = match self.secrets {
                    Secrets::Followed => {
                        Sources::World { env: self.context.env, folder: self.context.folder }
                    }
                    Secrets::Unread => Sources::Unread,
                };
                match reference::resolve(written, &sources) {
                    Ok(resolved) => {
                        let resolved = resolved?;
                        self.context.secrets.extend(resolved.secrets);
                        Scalar::Text(resolved.text)
                    }
                    Err(error) => {
                        self.note(Some(node.place), key, error.to_string(), Some(error.help()));
                        return None;
                    }
                }
            }
            Value::Integer(value) => Scalar::Integer(*value),
            Value::Flag(flag) => Scalar::Flag(*flag),
            Value::Float(value) => Scalar::Float(*value),
            Value::Time | Value::List(_) | Value::Table(_) => Scalar::Other,
        })
    }

    fn mark_secret(&mut self, entry: &Entry) {
        let written = match &entry.node.value {
            Value::Text(text) if reference::has_reference(text) => return,
            Value::Text(text) => text.clone(),
            Value::Integer(value) => value.to_string(),
            _ => String::new(),
        };
        self.context.secrets.push(written);
        let (key, place) = (self.path_of(&entry.key), entry.node.place);
        self.context.literals.push(Literal { key, place });
    }

    fn unexpected(&mut self, key: &str, node: &Node, expected: &str) {
        let secret = self.context.literals.iter().any(|literal| literal.place == node.place);
        let what = format!("expected {expected}, found {}", shown(&node.value, secret));
        self.note(Some(node.place), key, what, None);
    }

    fn path_of(&self, key: &str) -> String {
        if key.is_empty() { self.path.clone() } else { join(&self.path, key) }
    }
}

/// Whether a key's value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    /// Never.
    Yes,
    /// As it was written.
    No,
}

/// A key as TOML spells it from the top.
pub(crate) fn join(path: &str, key: &str) -> String {
    let key = document::spell(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A value as it was written, cut where it is long.
fn shown(value: &Value, secret: bool) -> String {
    match value {
        Value::Text(_) if secret => "other text".to_owned(),
        Value::Text(text) if text.chars().count() > 60 => {
            format!("{}…", document::quote(&text.chars().take(60).collect::<String>()))
        }
        Value::Text(text) => document::quote(text),
        Value::Integer(_) if secret => "an integer".to_owned(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Time => "a date or time".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}
