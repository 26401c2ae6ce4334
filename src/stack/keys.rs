//! Every key that a stack file may have, as data: for `flavor describe`, completions, typed edits
//! and the schema.
//!
//! Made by reading empty tables with a [`Recorder`]: what is described is what is read. A key whose
//! bounds depend on a choice (`level` on `codec`) is found by reading once more for each word of each
//! choice. Costs microseconds and is on no step's way. What a key is for is taken from the manual,
//! which is compiled in.

use std::path::{Path, PathBuf};

use super::document::{Entry, Layer, Node, Place, Table, Value, parse};
use super::env::Env;
use super::kind::{Kind, Recorded, Recorder};
use super::manual;
use super::reader::{Context, Reader, Secret, Secrets, join};
use super::sections;
use crate::stores::artifact::{self, Location};
use crate::stores::custom::{Registered, declared};
use crate::stores::{Flavor, Read, Siblings};

/// A key, and all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct KeyInfo {
    /// `*` for any name.
    pub(crate) name: String,
    /// At least one; the first is the usual one.
    pub(crate) kinds: Vec<Variant>,
    /// What is used without it.
    pub(crate) default: Option<Value>,
    /// It must be there.
    pub(crate) required: bool,
    pub(crate) secret: bool,
    /// What it is for; may be empty.
    pub(crate) about: String,
    /// What stands in it, if it is a table.
    pub(crate) below: Vec<KeyInfo>,
}

/// What values a key takes where another key has a certain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) kind: Kind,
    /// Key and word; none: it is the usual one.
    pub(crate) with: Option<(String, String)>,
}

impl KeyInfo {
    /// The usual kind.
    pub(crate) fn kind(&self) -> &Kind {
        static NONE: Kind = Kind::Scalar;
        self.kinds.first().map_or(&NONE, |variant| &variant.kind)
    }
}

/// The keys that stand beside `flavor`.
pub(crate) fn of_flavor(flavor: &Flavor) -> Vec<KeyInfo> {
    let mut keys = gather("", |table| record(|context| read(flavor, context, table)));
    for key in &mut keys {
        let declared = flavor.keys().find(|declared| declared.name == key.name);
        if let Some(declared) = declared {
            key.secret |= declared.secret == Secret::Yes;
            // What a declaration says stands: it may depend on the world (`path`).
            key.default = constant(declared.default).or(key.default.take());
        }
        key.about = manual::about_flavor_key(flavor.name, &key.name);
    }
    keys
}

/// The keys that the program of a flavor of the user's own has declared, and those that all share.
pub(crate) fn of_registered(registered: &Registered) -> Vec<KeyInfo> {
    let table = Table::default();
    let recorder = record(|context| {
        let mut reader = Reader::new(context, &table, "", None, Secrets::Unread);
        let secret = registered.keys.iter().flatten().filter(|key| key.secret);
        reader.keep_secret(secret.map(|key| key.name.clone()));
        drop(declared::read("", &mut reader, registered));
    });
    let mut keys = Vec::new();
    add(&mut keys, &recorder, "", None);
    for key in &mut keys {
        let declared = registered.keys.iter().flatten().find(|it| it.name == key.name);
        match declared {
            Some(declared) => {
                key.about.clone_from(&declared.description);
                key.default = declared.default.as_ref().and_then(|it| constant(&it.to_string()));
            }
            None => key.about = manual::about_shared_key(&key.name),
        }
    }
    keys
}

/// The keys of a settings table: `capture`, `spool`, …
pub(crate) fn of_section(section: &str) -> Vec<KeyInfo> {
    let mut keys = gather(section, |table| {
        let mut document = Table::default();
        push(&mut document, section, Value::Table(table.clone()));
        record(|context| drop(sections::read(context, &document, Secrets::Unread)))
    });
    let default = parse(super::DEFAULT, Layer::Default).unwrap_or_default();
    for key in &mut keys {
        let written = default.table(section).and_then(|table| table.get(&key.name));
        if let Some(entry) = written {
            key.default = Some(entry.node.value.clone());
        }
        key.about = manual::about_section_key(section, &key.name);
    }
    keys
}

/// The keys of a table of `[[inputs]]`.
pub(crate) fn of_inputs() -> Vec<KeyInfo> {
    let mut keys = gather("inputs", |table| {
        let mut document = Table::default();
        let place = Place { layer: Layer::Default, offset: 0 };
        let input = Node { value: Value::Table(table.clone()), place };
        push(&mut document, "inputs", Value::List(vec![input]));
        record(|context| drop(sections::read(context, &document, Secrets::Unread)))
    });
    for key in &mut keys {
        key.about = manual::about_section_key("[inputs]", &key.name);
    }
    keys
}

/// A configuration of this flavor from an empty table; of no use but to be asked what it can do.
#[cfg(test)]
pub(crate) fn log_store_example(flavor: &Flavor) -> Option<crate::stores::Config> {
    let Read::LogStore(read) = flavor.read else { return None };
    let mut config = None;
    record(|context| {
        let table = Table::default();
        let mut reader = Reader::new(context, &table, "", None, Secrets::Unread);
        let own = artifact::Config::new(Location::Local { path: PathBuf::new() });
        config = Some(read(&mut reader, &Siblings { own: &own, all: &[] }));
    });
    config
}

fn read(flavor: &Flavor, context: &mut Context<'_>, table: &Table) {
    let mut reader = Reader::new(context, table, "", None, Secrets::Unread);
    let secret = flavor.keys().filter(|key| key.secret == Secret::Yes);
    reader.keep_secret(secret.map(|key| key.name));
    match flavor.read {
        Read::ArtifactStore(read) => drop(read(&mut reader)),
        Read::LogStore(read) => {
            let own = artifact::Config::new(Location::Local { path: PathBuf::new() });
            drop(read(&mut reader, &Siblings { own: &own, all: &[] }));
        }
    }
}

fn record(read: impl FnOnce(&mut Context<'_>)) -> Recorder {
    // A world of its own: what is recorded must not depend on the machine.
    let env = Env::given(0, []);
    let mut context = Context {
        env: &env,
        folder: Path::new("/"),
        found: Vec::new(),
        secrets: Vec::new(),
        literals: Vec::new(),
        recorder: Some(Recorder::default()),
    };
    read(&mut context);
    context.recorder.unwrap_or_default()
}

/// Reads the table at `path` empty, then with each word of each choice.
fn gather(path: &str, read: impl Fn(&Table) -> Recorder) -> Vec<KeyInfo> {
    let usual = read(&Table::default());
    let mut keys = Vec::new();
    add(&mut keys, &usual, path, None);
    let choices = usual.recorded.iter().filter(|it| it.path == path);
    for recorded in choices {
        let Kind::Choice(words) = &recorded.kind else { continue };
        for word in words {
            let mut table = Table::default();
            push(&mut table, &recorded.key, Value::Text(word.clone()));
            add(&mut keys, &read(&table), path, Some((&recorded.key, word)));
        }
    }
    keys
}

fn add(keys: &mut Vec<KeyInfo>, recorder: &Recorder, path: &str, with: Option<(&str, &str)>) {
    for recorded in recorder.recorded.iter().filter(|it| it.path == path) {
        let Recorded { key, kind, default, secret, .. } = recorded;
        let with = with.map(|(key, word)| (key.to_owned(), word.to_owned()));
        let variant = Variant { kind: kind.clone(), with };
        if let Some(known) = keys.iter_mut().find(|known| known.name == *key) {
            if known.kinds.iter().all(|it| it.kind != variant.kind) {
                known.kinds.push(variant);
            }
            continue;
        }
        let mut below = Vec::new();
        if matches!(kind, Kind::Table) {
            add(&mut below, recorder, &join(path, key), None);
            for key in &mut below {
                key.secret |= *secret == Secret::Yes;
            }
        }
        keys.push(KeyInfo {
            name: key.clone(),
            kinds: vec![variant],
            default: default.clone(),
            required: recorder.required.contains(&join(path, key)),
            secret: *secret == Secret::Yes,
            about: String::new(),
            below,
        });
    }
}

/// A value that is written as TOML in the code.
fn constant(toml: &str) -> Option<Value> {
    let table = parse(&format!("value = {toml}"), Layer::Default).ok()?;
    table.get("value").map(|entry| entry.node.value.clone())
}

fn push(table: &mut Table, key: &str, value: Value) {
    let place = Place { layer: Layer::Default, offset: 0 };
    table.entries.push(Entry { key: key.to_owned(), place, node: Node { value, place } });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::kind::ANY;
    use crate::stores::FLAVORS;

    fn key<'a>(keys: &'a [KeyInfo], name: &str) -> &'a KeyInfo {
        keys.iter().find(|key| key.name == name).unwrap_or_else(|| panic!("no key {name}"))
    }

    /// A new flavor learns here what its keys lack.
    #[test]
    fn every_declared_key_is_described() {
        for flavor in FLAVORS {
            let keys = of_flavor(flavor);
            for declared in flavor.keys() {
                let name = format!("{} of {}", declared.name, flavor.name);
                let key = keys.iter().find(|key| key.name == declared.name);
                let key = key.unwrap_or_else(|| panic!("{name} is not read from an empty table"));
                assert!(!key.about.is_empty(), "{name} is in no table of the manual");
            }
        }
        for key in of_inputs() {
            assert!(!key.about.is_empty(), "inputs.{} is in no table of the manual", key.name);
        }
        for section in ["metadata", "capture", "redact", "spool", "ship", "agent", "server"] {
            for key in of_section(section) {
                let name = format!("{section}.{}", key.name);
                assert!(!key.about.is_empty(), "{name} is in no table of the manual");
                // Without it there is no HTTP at all.
                let optional = name.starts_with("agent.http")
                    || ["tls_certificate", "tls_key", "token", "token_file", "identity_header"]
                        .iter()
                        .any(|key| name == format!("server.{key}"));
                let known = key.default.is_some() || matches!(key.kind(), Kind::Path | Kind::Table);
                let known = known || optional;
                assert!(known, "{name} has no default");
            }
        }
    }

    #[test]
    fn kinds_defaults_and_bounds_are_those_that_are_read() {
        let http = of_flavor(FLAVORS.iter().find(|flavor| flavor.name == "http").unwrap());
        let endpoint = key(&http, "endpoint");
        assert!(endpoint.required && !endpoint.secret);
        let size = key(&http, "max_export_batch_size");
        assert_eq!(*size.kind(), Kind::Count { least: 1, most: 100_000 });
        assert!(matches!(size.default, Some(Value::Integer(2_000))), "{:?}", size.default);
        let format = key(&http, "format");
        assert_eq!(*format.kind(), Kind::Choice(vec!["ndjson".into(), "json".into()]));
        assert!(matches!(&format.default, Some(Value::Text(word)) if word == "ndjson"));
        assert!(key(&http, "export_timeout_millis").default.is_none());
        let headers = key(&http, "headers");
        assert!(headers.secret && headers.below.iter().any(|key| key.name == ANY));
        assert!(headers.below.iter().all(|key| key.secret));
    }

    #[test]
    fn bounds_that_depend_on_a_choice_are_found() {
        let local = of_flavor(FLAVORS.iter().find(|flavor| flavor.name == "local").unwrap());
        let level = key(&local, "level");
        let gzip = Some(("codec".to_owned(), "gzip".to_owned()));
        let usual = Variant { kind: Kind::Count { least: 1, most: 22 }, with: None };
        let other = Variant { kind: Kind::Count { least: 0, most: 9 }, with: gzip };
        assert_eq!(level.kinds, [usual, other]);
    }

    #[test]
    fn options_of_clients_are_known_with_their_secrets() {
        let s3 = of_flavor(FLAVORS.iter().find(|flavor| flavor.name == "s3").unwrap());
        assert!(key(&s3, "secret_access_key").secret);
        assert!(!key(&s3, "region").secret);
    }
}
