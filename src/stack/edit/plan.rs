//! One change to one text: whether it may be made, and everything that follows from it.
//!
//! Pure. One function a change, in the order of [`Change`].

use toml_edit::{DocumentMut, InlineTable, Item, TableLike, Value};

use super::known::Known;
use super::value::{self, Attribute};
use super::{Change, EditError, tree};
use crate::stack::keys;
use crate::stack::resolve::is_name;
use crate::stores::custom::{DeclaredKey, Registered};
use crate::stores::{Component, FLAVORS, Flavor};

/// The order of a file.
const SECTIONS: &[&str] = &["stacks", "artifact_stores", "log_stores", "flavors"];

/// `text`, changed. The text is TOML.
pub(super) fn apply(text: &str, known: &Known, change: &Change) -> Result<String, EditError> {
    // `Known` has read it, with the same parser.
    let mut document = text.parse::<DocumentMut>().unwrap_or_default();
    let mut plan = Plan { document: &mut document, known };
    plan.make(change)?;
    let wanted = match change {
        Change::SetStack { name } | Change::RegisterStack { name, set: true, .. } => Some(name),
        Change::RenameStack { from, to } if known.active.as_ref() == Some(from) => Some(to),
        _ => known.active.as_ref(),
    };
    let changed = document.to_string();
    // What is active changes only where that was asked for.
    if let Some(wanted) = wanted
        && Known::read(&changed).is_ok_and(|known| known.active.as_ref() != Some(wanted))
    {
        tree::set_top(&mut document, "active", wanted.as_str());
        return Ok(document.to_string());
    }
    Ok(changed)
}

struct Plan<'a> {
    document: &'a mut DocumentMut,
    known: &'a Known,
}

impl Plan<'_> {
    fn make(&mut self, change: &Change) -> Result<(), EditError> {
        match change {
            Change::Register { component, name, flavor, attributes } => {
                self.new_name(component.section(), component.noun(), name)?;
                let table = self.table(component.section(), name)?;
                tree::set(table, "flavor", flavor.as_str());
                self.set(*component, name, Some(flavor), attributes)
            }
            Change::Update { component, name, attributes } => {
                self.existing(component.section(), component.noun(), name)?;
                if attributes.iter().any(|attribute| attribute.key == "flavor") {
                    return Err(EditError::Flavor(name.clone()));
                }
                let flavor = self.known.flavor(*component, name);
                self.set(*component, name, flavor, attributes)
            }
            Change::RemoveAttributes { component, name, keys } => {
                self.remove_attributes(*component, name, keys)
            }
            Change::Rename { component, from, to } => self.rename(*component, from, to),
            Change::Copy { component, from, to } => {
                self.existing(component.section(), component.noun(), from)?;
                self.new_name(component.section(), component.noun(), to)?;
                self.copy(component.section(), from, to)?;
                self.name_flavor(*component, from, to)
            }
            Change::Delete { component, name } => {
                self.existing(component.section(), component.noun(), name)?;
                Self::unused(component.noun(), name, self.known.users(*component, name))?;
                self.delete(component.section(), component.noun(), name)
            }
            Change::RegisterFlavor(registered) => self.register_flavor(registered),
            Change::DeleteFlavor { name } => {
                if FLAVORS.iter().any(|flavor| flavor.name == name) {
                    return Err(EditError::BuiltIn { noun: "flavor", name: name.clone() });
                }
                self.existing("flavors", "flavor", name)?;
                let users = self.known.log_stores_with("flavor", name);
                let users = users.iter().map(|store| format!("the log store {store:?}")).collect();
                Self::unused("flavor", name, users)?;
                self.delete("flavors", "flavor", name)
            }
            Change::RegisterStack { name, artifact_store, log_stores, .. } => {
                self.new_name("stacks", "stack", name)?;
                self.compose(name, Some(artifact_store), log_stores)
            }
            Change::UpdateStack { name, artifact_store, log_stores } => {
                let stack = self.known.stack(name.as_deref())?;
                let own =
                    stack.artifact_store.filter(|_| !self.known.in_file("stacks", &stack.name));
                let artifact_store = artifact_store.clone().or(own);
                self.compose(&stack.name, artifact_store.as_ref(), log_stores)
            }
            Change::RemoveLogStores { name, log_stores } => {
                self.remove_log_stores(name.as_deref(), log_stores)
            }
            Change::SetStack { name } => self.existing("stacks", "stack", name),
            Change::RenameStack { from, to } => {
                self.existing("stacks", "stack", from)?;
                self.new_name("stacks", "stack", to)?;
                if self.known.in_file("stacks", from) {
                    self.complete_stack(from)?;
                    tree::rename_entry(self.document, "stacks", from, to);
                    Ok(())
                } else {
                    Err(EditError::BuiltIn { noun: "stack", name: from.clone() })
                }
            }
            Change::CopyStack { from, to } => {
                self.existing("stacks", "stack", from)?;
                self.new_name("stacks", "stack", to)?;
                let stack = self.known.stack(Some(from))?;
                self.copy("stacks", from, to)?;
                self.compose(to, stack.artifact_store.as_ref(), &stack.log_stores)
            }
            Change::DeleteStack { name } => {
                self.existing("stacks", "stack", name)?;
                if self.known.active.as_ref() == Some(name) {
                    return Err(EditError::Active(name.clone()));
                }
                self.delete("stacks", "stack", name)
            }
        }
    }

    fn register_flavor(&mut self, registered: &Registered) -> Result<(), EditError> {
        let Registered { name, command, can_fetch, keys } = registered;
        if FLAVORS.iter().any(|flavor| flavor.name == name) {
            return Err(EditError::BuiltIn { noun: "flavor", name: name.clone() });
        }
        if command.iter().all(String::is_empty) {
            return Err(EditError::NoCommand);
        }
        if !self.known.has("flavors", name) {
            self.new_name("flavors", "flavor", name)?;
        }
        let table = self.table("flavors", name)?;
        tree::set(table, "command", tree::list(command));
        tree::remove(table, "keys");
        if *can_fetch {
            tree::set(table, "can_fetch", true);
        } else {
            tree::remove(table, "can_fetch");
        }
        if let Some(keys) = keys {
            table.insert("keys", Item::Table(keys.iter().map(declared_key).collect()));
        }
        Ok(())
    }

    fn set(
        &mut self,
        component: Component,
        name: &str,
        flavor: Option<&str>,
        attributes: &[Attribute],
    ) -> Result<(), EditError> {
        let built_in = Flavor::of(component).find(|known| Some(known.name) == flavor);
        let own = self.known.flavors.iter().find(|known| Some(known.name.as_str()) == flavor);
        let keys = match (built_in, own) {
            (Some(flavor), _) => keys::of_flavor(flavor),
            (None, Some(registered)) => keys::of_registered(registered),
            (None, None) => Vec::new(),
        };
        let table = self.table(component.section(), name)?;
        for attribute in attributes {
            let Attribute { key, below, value } = attribute;
            let known = keys.iter().find(|known| known.name == *key);
            match below {
                None => {
                    let value = value::value(known.map(keys::KeyInfo::kind), value);
                    tree::set(table, key, value);
                }
                Some(below) => {
                    // Only text stands in the tables of built-in flavors: a key that is all digits
                    // must not become a number.
                    let value = match known {
                        Some(_) => toml_edit::Value::from(value.as_str()),
                        None => value::value(None, value),
                    };
                    if !tree::set_below(table, key, below, value) {
                        let (name, key) = (name.to_owned(), key.clone());
                        return Err(EditError::NotATable { name, key });
                    }
                }
            }
        }
        Ok(())
    }

    fn remove_attributes(
        &mut self,
        component: Component,
        name: &str,
        keys: &[String],
    ) -> Result<(), EditError> {
        self.existing(component.section(), component.noun(), name)?;
        for written in keys {
            let (key, below) = value::split(written);
            if key == "flavor" {
                return Err(EditError::Flavor(name.to_owned()));
            }
            let table = tree::entry(self.document, component.section(), name);
            let removed = match (table, below) {
                (None, _) => false,
                (Some(table), None) => tree::remove(table, &key),
                (Some(table), Some(below)) => {
                    let inner = table.get_mut(&key).and_then(Item::as_table_like_mut);
                    let removed = inner.is_some_and(|inner| tree::remove(inner, &below));
                    let empty = |item: &Item| item.as_table_like().is_some_and(TableLike::is_empty);
                    if table.get(&key).is_some_and(empty) {
                        tree::remove(table, &key);
                    }
                    removed
                }
            };
            if !removed {
                let (name, key) = (name.to_owned(), written.clone());
                return Err(EditError::NoAttribute { name, key });
            }
        }
        Ok(())
    }

    fn rename(&mut self, component: Component, from: &str, to: &str) -> Result<(), EditError> {
        let (section, noun) = (component.section(), component.noun());
        self.existing(section, noun, from)?;
        self.new_name(section, noun, to)?;
        if !self.known.in_file(section, from) {
            return Err(EditError::BuiltIn { noun, name: from.to_owned() });
        }
        self.name_flavor(component, from, from)?;
        tree::rename_entry(self.document, section, from, to);
        for stack in self.known.stacks() {
            match component {
                Component::ArtifactStore if stack.artifact_store.as_deref() == Some(from) => {
                    tree::set(self.table("stacks", &stack.name)?, "artifact_store", to);
                }
                Component::LogStore if stack.log_stores.iter().any(|store| store == from) => {
                    let table = self.table("stacks", &stack.name)?;
                    let list = table.get_mut("log_stores").and_then(Item::as_array_mut);
                    if let Some(list) = list {
                        tree::replace_in_list(list, from, to);
                    }
                }
                _ => {}
            }
        }
        if component == Component::ArtifactStore {
            for store in self.known.log_stores_with("artifact_store", from) {
                tree::set(self.table("log_stores", &store)?, "artifact_store", to);
            }
        }
        Ok(())
    }

    /// A table that only changes a built-in one has no flavor; under another name it needs it.
    fn name_flavor(&mut self, component: Component, from: &str, at: &str) -> Result<(), EditError> {
        let Some(flavor) = self.known.flavor(component, from) else { return Ok(()) };
        let table = self.table(component.section(), at)?;
        if table.get("flavor").is_none() {
            tree::set(table, "flavor", flavor);
        }
        Ok(())
    }

    /// Likewise a stack's artifact store.
    fn complete_stack(&mut self, name: &str) -> Result<(), EditError> {
        let stack = self.known.stack(Some(name))?;
        self.compose(name, stack.artifact_store.as_ref(), &[])
    }

    /// What a stack is made of; no log stores: they stay.
    fn compose(
        &mut self,
        name: &str,
        artifact_store: Option<&String>,
        log_stores: &[String],
    ) -> Result<(), EditError> {
        if let Some(store) = artifact_store {
            self.existing("artifact_stores", Component::ArtifactStore.noun(), store)?;
        }
        let mut named: Vec<String> = Vec::new();
        for store in log_stores {
            self.existing("log_stores", Component::LogStore.noun(), store)?;
            if !named.contains(store) {
                named.push(store.clone());
            }
        }
        let table = self.table("stacks", name)?;
        if let Some(store) = artifact_store {
            tree::set(table, "artifact_store", store.as_str());
        }
        if !named.is_empty() {
            tree::set(table, "log_stores", tree::list(&named));
        }
        Ok(())
    }

    fn remove_log_stores(
        &mut self,
        name: Option<&str>,
        log_stores: &[String],
    ) -> Result<(), EditError> {
        let stack = self.known.stack(name)?;
        for store in log_stores {
            if !stack.log_stores.contains(store) {
                let (name, known) = (store.clone(), stack.log_stores);
                return Err(EditError::NoSuch { noun: "log store", name, known });
            }
        }
        let Some(table) = tree::entry(self.document, "stacks", &stack.name) else { return Ok(()) };
        let left = stack.log_stores.iter().any(|store| !log_stores.contains(store));
        if log_stores.is_empty() || !left {
            tree::remove(table, "log_stores");
        } else if let Some(list) = table.get_mut("log_stores").and_then(Item::as_array_mut) {
            for store in log_stores {
                tree::remove_from_list(list, store);
            }
        }
        Ok(())
    }

    fn copy(&mut self, section: &str, from: &str, to: &str) -> Result<(), EditError> {
        tree::copy_entry(self.document, section, from, to);
        self.table(section, to).map(drop)
    }

    fn delete(&mut self, section: &str, noun: &'static str, name: &str) -> Result<(), EditError> {
        if Known::is_built_in(section, name) && !self.known.in_file(section, name) {
            return Err(EditError::BuiltIn { noun, name: name.to_owned() });
        }
        tree::remove_entry(self.document, section, name);
        Ok(())
    }

    fn unused(noun: &'static str, name: &str, by: Vec<String>) -> Result<(), EditError> {
        if by.is_empty() {
            return Ok(());
        }
        Err(EditError::InUse { noun, name: name.to_owned(), by })
    }

    fn existing(&self, section: &str, noun: &'static str, name: &str) -> Result<(), EditError> {
        if self.known.has(section, name) {
            Ok(())
        } else {
            Err(self.known.no_such(section, noun, name))
        }
    }

    fn new_name(&self, section: &str, noun: &'static str, name: &str) -> Result<(), EditError> {
        if self.known.has(section, name) {
            Err(EditError::Exists { noun, name: name.to_owned() })
        } else if is_name(name) {
            Ok(())
        } else {
            Err(EditError::Name(name.to_owned()))
        }
    }

    /// The table in the file, made if it is not there.
    fn table(&mut self, section: &str, name: &str) -> Result<&mut dyn TableLike, EditError> {
        let table = tree::entry_or_new(self.document, section, name, SECTIONS);
        table.ok_or_else(|| EditError::NotATable { name: section.to_owned(), key: name.to_owned() })
    }
}

/// As `[flavors.NAME.keys]` has it.
fn declared_key(key: &DeclaredKey) -> (String, Item) {
    let mut table = InlineTable::new();
    table.insert("type", key.type_word().into());
    if !key.choices.is_empty() {
        table.insert("enum", tree::list(&key.choices));
    }
    for (word, flag) in [("required", key.required), ("secret", key.secret)] {
        if flag {
            table.insert(word, true.into());
        }
    }
    // A default that is no plain value is the program's own affair.
    let default = key.default.as_ref().and_then(|value| value.to_string().parse().ok());
    if let Some(
        default @ (Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_)),
    ) = default
    {
        table.insert("default", default);
    }
    if !key.description.is_empty() {
        table.insert("description", key.description.as_str().into());
    }
    (key.name.clone(), Item::Value(Value::InlineTable(table)))
}
