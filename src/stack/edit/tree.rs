//! Changes to a TOML text that leave the rest of it as it is: tables and keys in and out, with the
//! comments that belong to them.
//!
//! A comment belongs to what stands directly below it; one with a blank line behind it belongs to
//! nobody and stays, and so does the first one of a file. Knows TOML, not stack files: a section is
//! any table of tables, written with headers, with dots or in braces.

use toml_edit::{
    Array, Decor, DocumentMut, InlineTable, Item, Key, RawString, Table, TableLike, Value,
};

/// The table of tables `section`, if there is one.
pub(super) fn section<'d>(
    document: &'d mut DocumentMut,
    section: &str,
) -> Option<&'d mut dyn TableLike> {
    document.get_mut(section)?.as_table_like_mut()
}

/// The table `name` of a section.
pub(super) fn entry<'d>(
    document: &'d mut DocumentMut,
    of: &str,
    name: &str,
) -> Option<&'d mut dyn TableLike> {
    section(document, of)?.get_mut(name)?.as_table_like_mut()
}

/// The table `name` of a section; made if it is not there, behind the last of `sections`, which are
/// in the order in which a file has them.
pub(super) fn entry_or_new<'d>(
    document: &'d mut DocumentMut,
    of: &str,
    name: &str,
    sections: &[&str],
) -> Option<&'d mut dyn TableLike> {
    if entry(document, of, name).is_none() {
        let position = position_for(document, of, sections);
        if document.get(of).is_none() {
            let mut table = Table::new();
            table.set_implicit(true);
            document.insert(of, Item::Table(table));
        }
        // Headers below a table in braces are not TOML.
        if document.get(of)?.is_value() {
            let table = Value::InlineTable(InlineTable::new());
            insert_last(section(document, of)?, name, table);
        } else {
            let mut table = Table::new();
            table.set_position(Some(position));
            if position >= last_position(document.as_table()) {
                let trailing = text(Some(document.trailing()));
                if !trailing.trim().is_empty() {
                    table.decor_mut().set_prefix(format!("{}\n\n", trailing.trim_end()));
                    document.set_trailing("");
                }
            }
            section(document, of)?.insert(name, Item::Table(table));
        }
    }
    entry(document, of, name)
}

/// Where a new table of the section goes.
fn position_for(document: &DocumentMut, of: &str, sections: &[&str]) -> isize {
    let last = |section: &&str| document.get(section).and_then(last_position_in);
    let up_to = sections.iter().position(|section| *section == of).map_or(0, |at| at + 1);
    let before = sections.get(..up_to).unwrap_or_default().iter().rev().find_map(last);
    let behind = sections.iter().rev().find_map(last);
    before.or(behind).unwrap_or_else(|| last_position(document.as_table()))
}

fn last_position_in(item: &Item) -> Option<isize> {
    item.as_table().map(last_position).filter(|position| *position >= 0)
}

/// Of a table and all below it; -1 if it has none.
fn last_position(table: &Table) -> isize {
    let below = table.iter().filter_map(|(_, item)| last_position_in(item)).max();
    table.position().unwrap_or(-1).max(below.unwrap_or(-1))
}

/// Takes the table `name` out of its section, and the section with its last one.
pub(super) fn remove_entry(document: &mut DocumentMut, of: &str, name: &str) {
    let first = first_table(document.as_table());
    let Some(section) = section(document, of) else { return };
    let Some(item) = take(section, name) else { return };
    let empty = section.is_empty();
    if empty && document.get(of).and_then(Item::as_table).is_some_and(Table::is_implicit) {
        document.remove(of);
    }
    if let Some(table) = item.as_table()
        && let Some(position) = table.position()
    {
        let comment = text(table.decor().prefix());
        let kept = if first == Some(position) {
            comment.trim_start_matches('\n')
        } else {
            detached(&comment)
        };
        if !kept.trim().is_empty() {
            give_to_next_table(document, position, kept.trim_end());
        }
    }
}

/// The part of a comment that does not belong to what is below it.
fn detached(comment: &str) -> &str {
    let mut end = 0;
    let mut at = 0;
    for line in comment.split_inclusive('\n') {
        at += line.len();
        if line.trim().is_empty() {
            end = at;
        }
    }
    comment.get(..end).unwrap_or_default().trim_end()
}

/// The position of the file's first header, if nothing stands above it.
fn first_table(root: &Table) -> Option<isize> {
    if root.iter().any(|(_, item)| item.is_value()) {
        return None;
    }
    let mut positions = Vec::new();
    positions_of(root, &mut positions);
    positions.into_iter().min()
}

fn positions_of(table: &Table, positions: &mut Vec<isize>) {
    for (_, item) in table {
        if let Item::Table(table) = item {
            if !table.is_implicit() && !table.is_dotted() {
                positions.extend(table.position());
            }
            positions_of(table, positions);
        }
    }
}

/// Puts a comment above the header that follows `position`, or at the end of the file.
fn give_to_next_table(document: &mut DocumentMut, position: isize, comment: &str) {
    let mut positions = Vec::new();
    positions_of(document.as_table(), &mut positions);
    let next = positions.into_iter().filter(|other| *other > position).min();
    if let Some(table) = next.and_then(|next| table_at(document.as_table_mut(), next)) {
        let old = text(table.decor().prefix());
        let old = if old.is_empty() { "\n" } else { &old };
        table.decor_mut().set_prefix(format!("{comment}\n{old}"));
    } else {
        let old = text(Some(document.trailing()));
        document.set_trailing(format!("{comment}\n{old}"));
    }
}

fn table_at(table: &mut Table, position: isize) -> Option<&mut Table> {
    if table.position() == Some(position) && !table.is_implicit() {
        return Some(table);
    }
    table.iter_mut().find_map(|(_, item)| table_at(item.as_table_mut()?, position))
}

/// Gives the table `from` of a section another name, in its place.
pub(super) fn rename_entry(document: &mut DocumentMut, of: &str, from: &str, to: &str) {
    let Some(section) = section(document, of) else { return };
    let names: Vec<String> = section.iter().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let key = section.key(&name).cloned();
        let (Some(key), Some(item)) = (key, section.remove(&name)) else { continue };
        if name == from {
            let renamed = Key::new(to)
                .with_leaf_decor(key.leaf_decor().clone())
                .with_dotted_decor(key.dotted_decor().clone());
            section.entry_format(&renamed).or_insert(item);
        } else {
            section.entry_format(&key).or_insert(item);
        }
    }
}

/// Writes the table `from` of a section once more, directly behind it.
pub(super) fn copy_entry(document: &mut DocumentMut, of: &str, from: &str, to: &str) {
    let Some(section) = section(document, of) else { return };
    let Some(mut copy) = section.get(from).cloned() else { return };
    if let Item::Table(table) = &mut copy {
        let position = last_position(table);
        place(table, position);
        *table.decor_mut() = Decor::default();
    }
    section.insert(to, copy);
}

fn place(table: &mut Table, position: isize) {
    table.set_position(Some(position));
    for (_, item) in table.iter_mut() {
        item.as_table_mut().into_iter().for_each(|table| place(table, position));
    }
}

/// Sets a key; a comment behind the old value stays.
pub(super) fn set(table: &mut dyn TableLike, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    match table.get_mut(key) {
        Some(item) => {
            if let Some(old) = item.as_value() {
                *value.decor_mut() = old.decor().clone();
            }
            *item = Item::Value(value);
        }
        None => insert_last(table, key, value),
    }
}

/// In braces, the space before the closing one belongs to the last value.
fn insert_last(table: &mut dyn TableLike, key: &str, mut value: Value) {
    if let Some(decor) = last_decor(table)
        && let Some(space) = space(decor)
    {
        decor.set_suffix("");
        value.decor_mut().set_suffix(space);
    }
    table.insert(key, Item::Value(value));
}

/// Likewise when it is taken out.
fn take(table: &mut dyn TableLike, key: &str) -> Option<Item> {
    let removed = table.remove(key)?;
    if let Some(space) = removed.as_value().and_then(|value| space(value.decor()))
        && let Some(decor) = last_decor(table)
        && text(decor.suffix()).is_empty()
    {
        decor.set_suffix(space);
    }
    Some(removed)
}

fn last_decor(table: &mut dyn TableLike) -> Option<&mut Decor> {
    let last = table.iter().last().map(|(key, _)| key.to_owned())?;
    table.get_mut(&last)?.as_value_mut().map(Value::decor_mut)
}

fn space(decor: &Decor) -> Option<String> {
    let behind = text(decor.suffix());
    (!behind.is_empty() && behind.trim().is_empty()).then_some(behind)
}

/// Sets `key = value` in the table below `table`'s key `outer`, which is made if it is not there.
/// `false`: there is something else.
pub(super) fn set_below(
    table: &mut dyn TableLike,
    outer: &str,
    key: &str,
    value: impl Into<Value>,
) -> bool {
    if table.get(outer).is_none() {
        table.insert(outer, Item::Value(Value::InlineTable(InlineTable::new())));
    }
    let below = table.get_mut(outer).and_then(Item::as_table_like_mut);
    below.map(|below| set(below, key, value)).is_some()
}

/// Takes a key out of a table; `false`: it has none. A comment that is not the key's stays.
pub(super) fn remove(table: &mut dyn TableLike, key: &str) -> bool {
    let names: Vec<String> = table.iter().map(|(name, _)| name.to_owned()).collect();
    let comment = table.key(key).map(|key| text(key.leaf_decor().prefix())).unwrap_or_default();
    if take(table, key).is_none() {
        return false;
    }
    let next = names.iter().skip_while(|name| *name != key).nth(1);
    let kept = detached(&comment);
    if !kept.is_empty()
        && let Some(mut next) = next.and_then(|next| table.key_mut(next))
    {
        let old = text(next.leaf_decor().prefix());
        next.leaf_decor_mut().set_prefix(format!("{kept}\n\n{old}"));
    }
    true
}

/// Sets a key at the top of the file, below its first comment.
pub(super) fn set_top(document: &mut DocumentMut, key: &str, value: impl Into<Value>) {
    let had_values = document.iter().any(|(_, item)| item.is_value());
    if document.get(key).is_some() || had_values {
        set(document.as_table_mut(), key, value);
        return;
    }
    let first = first_table(document.as_table());
    let comment =
        if let Some(table) = first.and_then(|first| table_at(document.as_table_mut(), first)) {
            let (comment, rest) = first_comment(&text(table.decor().prefix()));
            table.decor_mut().set_prefix(format!("\n{rest}"));
            comment
        } else {
            let (comment, rest) = first_comment(&text(Some(document.trailing())));
            document.set_trailing(rest);
            comment
        };
    document.insert(key, toml_edit::value(value));
    if let Some(mut key) = document.key_mut(key) {
        key.leaf_decor_mut().set_prefix(comment);
    }
}

/// A file's first block of comments, and what follows it.
fn first_comment(text: &str) -> (String, String) {
    let text = text.trim_start_matches('\n');
    match text.split_once("\n\n") {
        Some((comment, rest)) => (format!("{comment}\n"), rest.trim_start_matches('\n').to_owned()),
        None => (text.to_owned(), String::new()),
    }
}

/// The texts of a list.
pub(super) fn list(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(String::as_str).collect::<Array>())
}

/// Replaces a text of a list.
pub(super) fn replace_in_list(list: &mut Array, from: &str, to: &str) {
    let at = list.iter().position(|value| value.as_str() == Some(from));
    if let Some(at) = at {
        list.replace(at, to);
    }
}

/// Takes a text out of a list. What stands behind a text on its line belongs to it, but to TOML it
/// stands before the next.
pub(super) fn remove_from_list(list: &mut Array, name: &str) {
    let Some(at) = list.iter().position(|value| value.as_str() == Some(name)) else { return };
    let removed = list.remove(at);
    let line = |text: String| match text.find('\n') {
        Some(end) => (
            text.get(..end).unwrap_or_default().to_owned(),
            text.get(end..).unwrap_or_default().to_owned(),
        ),
        None => (text, String::new()),
    };
    let (before, rest) = line(text(removed.decor().prefix()));
    match list.get_mut(at) {
        Some(next) => {
            let (_, behind) = line(text(next.decor().prefix()));
            next.decor_mut().set_prefix(format!("{before}{behind}"));
        }
        // On one line there is no such thing.
        None if rest.is_empty() => {}
        None => {
            let (_, behind) = line(text(Some(list.trailing())));
            list.set_trailing(format!("{before}{behind}"));
        }
    }
}

fn text(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or_default().to_owned()
}
