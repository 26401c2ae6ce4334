//! What a stack file says, as far as an edit has to know: which names there are, and who uses them.
//!
//! Both layers are looked at, the file and the built-in default below it. Apart from resolution,
//! which wants everything to be right: an edit may be what puts a file right.

use super::EditError;
use crate::stack::document::{self, Layer, SyntaxError, Table, Value};
use crate::stack::resolve;
use crate::stores::Component;
use crate::stores::custom::Registered;

/// A file's text, read.
pub(super) struct Known {
    /// The file over the built-in default.
    all: Table,
    /// The file.
    file: Table,
    pub(super) active: Option<String>,
    /// Of the user's own.
    pub(super) flavors: Vec<Registered>,
}

/// A stack, as written.
pub(super) struct StackTable {
    pub(super) name: String,
    pub(super) artifact_store: Option<String>,
    pub(super) log_stores: Vec<String>,
}

impl Known {
    pub(super) fn read(text: &str) -> Result<Self, Vec<SyntaxError>> {
        let file = document::parse(text, Layer::File)?;
        let mut all = document::parse(super::super::DEFAULT, Layer::Default)?;
        document::merge(&mut all, file.clone());
        let active = resolve::active(&file, &all);
        let flavors = resolve::flavors(&all);
        Ok(Self { all, file, active, flavors })
    }

    pub(super) fn names(&self, section: &str) -> Vec<String> {
        let entries = self.all.table(section).into_iter().flat_map(|table| &table.entries);
        entries.map(|entry| entry.key.clone()).collect()
    }

    pub(super) fn has(&self, section: &str, name: &str) -> bool {
        self.all.table(section).is_some_and(|table| table.get(name).is_some())
    }

    /// Whether the file itself has it, wholly or in part.
    pub(super) fn in_file(&self, section: &str, name: &str) -> bool {
        self.file.table(section).is_some_and(|table| table.get(name).is_some())
    }

    /// Whether it is there without the file.
    pub(super) fn is_built_in(section: &str, name: &str) -> bool {
        let default = document::parse(super::super::DEFAULT, Layer::Default).unwrap_or_default();
        default.table(section).is_some_and(|table| table.get(name).is_some())
    }

    pub(super) fn flavor(&self, component: Component, name: &str) -> Option<&str> {
        self.all.table(component.section())?.table(name)?.text("flavor")
    }

    pub(super) fn stacks(&self) -> Vec<StackTable> {
        let entries = self.all.table("stacks").into_iter().flat_map(|table| &table.entries);
        let stacks = entries.filter_map(|entry| {
            let Value::Table(table) = &entry.node.value else { return None };
            let log_stores = match table.get("log_stores").map(|entry| &entry.node.value) {
                Some(Value::List(nodes)) => {
                    let texts = nodes.iter().filter_map(|node| match &node.value {
                        Value::Text(text) => Some(text.clone()),
                        _ => None,
                    });
                    texts.collect()
                }
                _ => Vec::new(),
            };
            Some(StackTable {
                name: entry.key.clone(),
                artifact_store: table.text("artifact_store").map(str::to_owned),
                log_stores,
            })
        });
        stacks.collect()
    }

    /// Log stores that have this value in this key.
    pub(super) fn log_stores_with(&self, key: &str, value: &str) -> Vec<String> {
        let entries = self.all.table("log_stores").into_iter().flat_map(|table| &table.entries);
        let with = entries.filter(|entry| match &entry.node.value {
            Value::Table(table) => table.text(key) == Some(value),
            _ => false,
        });
        with.map(|entry| entry.key.clone()).collect()
    }

    /// Who uses a store, for people.
    pub(super) fn users(&self, component: Component, name: &str) -> Vec<String> {
        let uses = |stack: &StackTable| match component {
            Component::ArtifactStore => stack.artifact_store.as_deref() == Some(name),
            Component::LogStore => stack.log_stores.iter().any(|store| store == name),
        };
        let stacks = self.stacks().into_iter().filter(uses);
        let mut users: Vec<_> = stacks.map(|stack| format!("the stack {:?}", stack.name)).collect();
        if component == Component::ArtifactStore {
            let stores = self.log_stores_with("artifact_store", name);
            users.extend(stores.iter().map(|store| format!("the log store {store:?}")));
        }
        users
    }

    /// The stack that is meant: the named one, or the active one.
    pub(super) fn stack(&self, name: Option<&str>) -> Result<StackTable, EditError> {
        let name = name.or(self.active.as_deref()).ok_or(EditError::NoneActive)?;
        let found = self.stacks().into_iter().find(|stack| stack.name == name);
        found.ok_or_else(|| self.no_such("stacks", "stack", name))
    }

    pub(super) fn no_such(&self, section: &str, noun: &'static str, name: &str) -> EditError {
        EditError::NoSuch { noun, name: name.to_owned(), known: self.names(section) }
    }
}
