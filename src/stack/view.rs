//! A stack as a person may see it: effective, complete, and without its secrets.
//!
//! Made from what was written, not from what it resolved to: a reference shows as the reference,
//! so nothing that came from one can slip out, and what is printed is a stack file again.

use std::fmt;
use std::path::{Path, PathBuf};

use super::document::{Entry, Layer, Node, Place, Table, Value, quote, spell};
use super::keys;
use super::reader::Literal;
use super::reference::has_reference;
use crate::stores::custom::Registered;
use crate::stores::{Component, Flavor};

/// Stands where a secret was written out.
pub const MASK: &str = "********";

/// Secrets shorter than this would mask half of a message.
const MIN_SCRUBBED: usize = 4;

/// One stack of a file, to be shown.
#[derive(Clone)]
pub struct View {
    /// The stack's name.
    pub name: String,
    /// The one that is active.
    pub active: Option<String>,
    /// Where it was read from; `None`: the built-in default.
    pub file: Option<PathBuf>,
    /// All stacks of the file.
    pub stacks: Vec<StackLine>,
    /// What the stack uses, by name.
    pub(super) artifact_stores: Vec<String>,
    pub(super) log_stores: Vec<String>,
    /// All flavors of the user's own.
    pub(super) flavors: Vec<Registered>,
    /// What is used where the file names no folder.
    pub(super) spool_dir: PathBuf,
    pub(super) data: PathBuf,
    pub(super) literals: Vec<Literal>,
    pub(super) secrets: Vec<String>,
    pub(super) document: Table,
}

/// A stack in one line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StackLine {
    /// Its name.
    pub name: String,
    /// The name of its artifact store.
    pub artifact_store: String,
    /// The names of its log stores; empty: the artifact store keeps the logs.
    pub log_stores: Vec<String>,
}

/// A store in one line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct StoreLine {
    /// Its name.
    pub(crate) name: String,
    /// Its flavor.
    pub(crate) flavor: String,
    /// The active stack uses it.
    pub(crate) active: bool,
    /// Stacks that use it.
    pub(crate) stacks: Vec<String>,
}

impl View {
    /// All stores of the file, in its order.
    pub(crate) fn stores(&self, component: Component) -> Vec<StoreLine> {
        let section = component.section();
        let entries = self.document.table(section).into_iter().flat_map(|table| &table.entries);
        let line = |entry: &Entry| {
            let name = entry.key.clone();
            let users = self.stacks.iter().filter(|stack| self.uses(stack, component, &name));
            let stacks: Vec<String> = users.map(|stack| stack.name.clone()).collect();
            let active = self.active.as_ref().is_some_and(|active| stacks.contains(active));
            let flavor = self.flavor(section, &name).unwrap_or_default().to_owned();
            StoreLine { name, flavor, active, stacks }
        };
        entries.map(line).collect()
    }

    /// The stack that is active.
    pub(crate) fn active_stack(&self) -> Option<&StackLine> {
        self.stacks.iter().find(|stack| Some(&stack.name) == self.active.as_ref())
    }

    fn uses(&self, stack: &StackLine, component: Component, name: &str) -> bool {
        match component {
            Component::LogStore => stack.log_stores.iter().any(|store| store == name),
            Component::ArtifactStore => {
                let behind = |store: &String| {
                    let table = self.document.table("log_stores").and_then(|it| it.table(store));
                    table.and_then(|table| table.text("artifact_store")) == Some(name)
                };
                stack.artifact_store == name || stack.log_stores.iter().any(behind)
            }
        }
    }

    /// The table of a store as TOML, with its defaults and without its secrets.
    pub(crate) fn store_toml(&self, component: Component, name: &str) -> Option<String> {
        let table = self.component(component.section(), name)?;
        let mut toml = String::new();
        write_table(&mut toml, &super::reader::join(component.section(), name), &table);
        Some(toml)
    }

    /// The same as JSON, without the header.
    pub(crate) fn store_json(&self, component: Component, name: &str) -> Option<serde_json::Value> {
        self.component(component.section(), name).map(|table| json_table(&table))
    }

    /// Flavors of the user's own.
    pub(crate) fn flavors(&self) -> &[Registered] {
        &self.flavors
    }

    /// As a stack file: only this stack and what it uses, with every default filled in.
    pub fn to_toml(&self) -> String {
        let mut toml = String::new();
        write_table(&mut toml, "", &self.effective());
        toml
    }

    /// The same as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        json_table(&self.effective())
    }

    /// The keys of secrets that stand in the file itself, all components counted.
    pub fn literal_secrets(&self) -> impl Iterator<Item = &str> {
        self.literals.iter().map(|literal| literal.key.as_str())
    }

    /// `text` without any secret of this stack, and without the queries of URLs, which sign
    /// requests: for what a client says when it fails.
    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().filter(|secret| secret.len() >= MIN_SCRUBBED) {
            text = text.replace(secret.as_str(), MASK);
        }
        let mut scrubbed = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(scheme) = rest.find("://") {
            let (before, url) = rest.split_at(scheme);
            let end = url.find(|c: char| c.is_whitespace() || "\"')>".contains(c));
            let (url, after) = url.split_at(end.unwrap_or(url.len()));
            scrubbed.push_str(before);
            scrubbed.push_str(without_user(url.split('?').next().unwrap_or(url)).as_str());
            rest = after;
        }
        scrubbed + rest
    }

    fn effective(&self) -> Table {
        let mut top = Table::default();
        push(&mut top, "active", Value::Text(self.name.clone()));
        let flavors = self.flavors_used();
        for (section, used) in [
            ("stacks", std::slice::from_ref(&self.name)),
            ("artifact_stores", &self.artifact_stores),
            ("log_stores", &self.log_stores),
            ("flavors", &flavors),
        ] {
            let mut tables = Table::default();
            for name in used {
                if let Some(table) = self.component(section, name) {
                    push(&mut tables, name, Value::Table(table));
                }
            }
            push(&mut top, section, Value::Table(tables));
        }
        for section in ["metadata", "capture", "redact", "spool", "ship", "agent", "server"] {
            let mut table = self.document.table(section).map(|it| self.masked(it));
            if let (Some(table), "spool") = (&mut table, section) {
                fill_path(table, "dir", &self.spool_dir);
            }
            push(&mut top, section, Value::Table(table.unwrap_or_default()));
        }
        if let Some(inputs) = self.document.get("inputs") {
            push(&mut top, "inputs", self.masked_node(&inputs.node).value);
        }
        top
    }

    /// The table of one component, masked and with its defaults.
    fn component(&self, section: &str, name: &str) -> Option<Table> {
        let table = self.document.table(section)?.table(name)?;
        let mut table = self.masked(table);
        self.fill(section, &mut table);
        Some(table)
    }

    /// The flavors of the user's own that the stack's log stores have.
    fn flavors_used(&self) -> Vec<String> {
        let used = |flavor: &&Registered| {
            let mut flavors =
                self.log_stores.iter().filter_map(|name| self.flavor("log_stores", name));
            flavors.any(|name| name == flavor.name)
        };
        self.flavors.iter().filter(used).map(|flavor| flavor.name.clone()).collect()
    }

    fn flavor(&self, section: &str, name: &str) -> Option<&str> {
        self.document.table(section)?.table(name)?.text("flavor")
    }

    /// Adds the defaults of a component's flavor.
    fn fill(&self, section: &str, table: &mut Table) {
        let component = [Component::ArtifactStore, Component::LogStore]
            .into_iter()
            .find(|component| component.section() == section);
        let Some(component) = component else { return };
        let Some(name) = table.text("flavor").map(str::to_owned) else { return };
        let Some(flavor) = Flavor::of(component).find(|flavor| flavor.name == name) else { return };
        if name == "local" {
            fill_path(table, "path", &self.data);
        }
        // A log store that is an artifact store has that one's settings, not the flavor's.
        if name == "artifact" {
            return;
        }
        for key in keys::of_flavor(flavor) {
            if let (None, Some(default)) = (table.get(&key.name), key.default) {
                push(table, &key.name, default);
            }
        }
    }

    fn masked(&self, table: &Table) -> Table {
        let entries = table.entries.iter().map(|entry| Entry {
            key: entry.key.clone(),
            place: entry.place,
            node: self.masked_node(&entry.node),
        });
        Table { entries: entries.collect() }
    }

    fn masked_node(&self, node: &Node) -> Node {
        let literal = self.literals.iter().any(|literal| literal.place == node.place);
        let value = match &node.value {
            _ if literal => Value::Text(MASK.to_owned()),
            Value::Text(text) => Value::Text(without_query(&without_user(text))),
            Value::List(nodes) => {
                Value::List(nodes.iter().map(|node| self.masked_node(node)).collect())
            }
            Value::Table(table) => Value::Table(self.masked(table)),
            other => other.clone(),
        };
        Node { value, place: node.place }
    }
}

/// Shows what [`View::to_toml`] shows.
impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_toml())
    }
}

/// A URL without the user and password before its host.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{MASK}@{host}{path}"),
        None => text.to_owned(),
    }
}

/// A URL without its query, where keys may stand; references may be seen.
fn without_query(text: &str) -> String {
    match text.split_once('?') {
        Some((url, query)) if url.contains("://") && !has_reference(query) => {
            format!("{url}?{MASK}")
        }
        _ => text.to_owned(),
    }
}

/// Adds a folder that nothing names, first but for `flavor`.
fn fill_path(table: &mut Table, key: &str, path: &Path) {
    if table.get(key).is_none() {
        let at = usize::from(table.get("flavor").is_some());
        table.entries.insert(at, entry(key, Value::Text(path.display().to_string())));
    }
}

fn push(table: &mut Table, key: &str, value: Value) {
    table.entries.push(entry(key, value));
}

fn entry(key: &str, value: Value) -> Entry {
    let place = Place { layer: Layer::Default, offset: 0 };
    Entry { key: key.to_owned(), place, node: Node { value, place } }
}

/// Tables down to the second level have headers, deeper ones stand in one line.
fn write_table(toml: &mut String, path: &str, table: &Table) {
    let is_section = |entry: &&Entry| {
        matches!(entry.node.value, Value::Table(_)) && path.matches('.').count() < 1
    };
    let mut lines = String::new();
    for entry in table.entries.iter().filter(|entry| !is_section(entry)) {
        line(&mut lines, &entry.key, &entry.node.value);
    }
    if !lines.is_empty() {
        if !path.is_empty() {
            line_break(toml);
            toml.push('[');
            toml.push_str(path);
            toml.push_str("]\n");
        }
        toml.push_str(&lines);
    }
    for entry in table.entries.iter().filter(is_section) {
        if let Value::Table(table) = &entry.node.value {
            write_table(toml, &super::reader::join(path, &entry.key), table);
        }
    }
}

fn line_break(toml: &mut String) {
    if !toml.is_empty() {
        toml.push('\n');
    }
}

fn line(toml: &mut String, key: &str, value: &Value) {
    let short = spelled(value);
    let key = spell(key);
    match value {
        Value::List(nodes) if key.len() + short.len() > 96 => {
            toml.push_str(&key);
            toml.push_str(" = [\n");
            for node in nodes {
                toml.push_str("    ");
                toml.push_str(&spelled(&node.value));
                toml.push_str(",\n");
            }
            toml.push_str("]\n");
        }
        _ => {
            toml.push_str(&key);
            toml.push_str(" = ");
            toml.push_str(&short);
            toml.push('\n');
        }
    }
}

/// A value as TOML, on one line.
pub(crate) fn spelled(value: &Value) -> String {
    match value {
        Value::Text(text) => quote(text),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Time => quote("a date or time"),
        Value::List(nodes) => {
            let nodes: Vec<_> = nodes.iter().map(|node| spelled(&node.value)).collect();
            format!("[{}]", nodes.join(", "))
        }
        Value::Table(table) => {
            let entries = table.entries.iter();
            let entries: Vec<_> = entries
                .map(|entry| format!("{} = {}", spell(&entry.key), spelled(&entry.node.value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn json_table(table: &Table) -> serde_json::Value {
    let entries = table.entries.iter();
    entries.map(|entry| (entry.key.clone(), json(&entry.node.value))).collect()
}

/// A value as JSON.
pub(crate) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Flag(flag) => (*flag).into(),
        Value::Time => serde_json::Value::Null,
        Value::List(nodes) => nodes.iter().map(|node| json(&node.value)).collect(),
        Value::Table(table) => json_table(table),
    }
}
