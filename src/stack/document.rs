//! TOML text to a tree in which every key and value knows where it was written.
//!
//! A tree of our own, so that the user's file can be laid over the built-in default and an error
//! still names the line it is about. Knows nothing of what the keys mean, but for one name:
//! a table with a `flavor` stands for itself and is not mixed with another's keys.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Which text something was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// The built-in default.
    Default,
    /// The user's file.
    File,
}

/// Where something was written: the byte offset into its layer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) layer: Layer,
    pub(crate) offset: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// What TOML can say.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    /// Dates and times have no use here; kept to be named in an error.
    Time,
    List(Vec<Node>),
    Table(Table),
}

/// Keys in the order they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

/// A key, its place, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// What is wrong with the text as TOML.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) place: Place,
    /// Says nothing of what stands there: that may be a secret.
    pub(crate) message: String,
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The table below `key`, if it is one.
    pub(crate) fn table(&self, key: &str) -> Option<&Self> {
        match &self.get(key)?.node.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The text below `key`, if it is one.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Text as TOML quotes it. JSON's escapes are TOML's, but that JSON leaves one control character be.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A key as TOML spells it: bare where it can be.
pub(crate) fn spell(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quote(key) }
}

/// Reads TOML; all syntax errors at once.
pub(crate) fn parse(text: &str, layer: Layer) -> Result<Table, Vec<SyntaxError>> {
    let (parsed, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| SyntaxError {
            place: Place { layer, offset: error.span().map_or(text.len(), |span| span.start) },
            message: error.message().to_owned(),
        })
        .collect();
    let table = convert_table(parsed.get_ref(), layer, &mut errors);
    if errors.is_empty() { Ok(table) } else { Err(errors) }
}

/// Lays `over` over `base`, key by key.
pub(crate) fn merge(base: &mut Table, over: Table) {
    for entry in over.entries {
        let Some(below) = base.entries.iter_mut().find(|below| below.key == entry.key) else {
            base.entries.push(entry);
            continue;
        };
        match (&mut below.node.value, entry.node.value) {
            (Value::Table(base), Value::Table(over)) if over.get("flavor").is_none() => {
                merge(base, over);
                below.node.place = entry.node.place;
            }
            (value, over) => {
                *value = over;
                below.node.place = entry.node.place;
            }
        }
        below.place = entry.place;
    }
}

fn convert_table(table: &DeTable<'_>, layer: Layer, errors: &mut Vec<SyntaxError>) -> Table {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            place: Place { layer, offset: key.span().start },
            node: convert(value, layer, errors),
        })
        .collect();
    entries.sort_by_key(|entry| entry.place);
    Table { entries }
}

fn convert(node: &Spanned<DeValue<'_>>, layer: Layer, errors: &mut Vec<SyntaxError>) -> Node {
    let place = Place { layer, offset: node.span().start };
    let value = match node.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
            if parsed.is_err() {
                let message = "integer does not fit 64 bits".to_owned();
                errors.push(SyntaxError { place, message });
            }
            Value::Integer(parsed.unwrap_or_default())
        }
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Time,
        DeValue::Array(list) => {
            Value::List(list.iter().map(|node| convert(node, layer, errors)).collect())
        }
        DeValue::Table(table) => Value::Table(convert_table(table, layer, errors)),
    };
    Node { value, place }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(table: &Table) -> Vec<&str> {
        table.entries.iter().map(|entry| entry.key.as_str()).collect()
    }

    #[test]
    fn keys_keep_their_order_and_know_their_place() {
        let text = "b = 1\na = 0x_10\n[z.y]\nc = [true, 1.5]\n";
        let table = parse("b = 1\na = 0x10\n[z.y]\nc = [true, 1.5]\n", Layer::File).unwrap();
        assert_eq!(keys(&table), ["b", "a", "z"]);
        assert!(matches!(table.get("a").unwrap().node.value, Value::Integer(16)));
        let inner = table.table("z").unwrap().table("y").unwrap();
        assert_eq!(inner.get("c").unwrap().place.offset, text.find("c =").unwrap() - 1);
    }

    #[test]
    fn all_syntax_errors_are_found() {
        let errors = parse("a = \nb = 1\nb = 2\nc = 99999999999999999999\n", Layer::File);
        assert_eq!(errors.unwrap_err().len(), 3);
    }

    #[test]
    fn a_table_with_a_flavor_replaces_and_others_are_mixed() {
        let parse = |text| parse(text, Layer::File).unwrap();
        let mut base = parse("[s]\na = 1\nb = 1\n[x]\nflavor = 'one'\nkey = 1\n");
        merge(&mut base, parse("[s]\nb = 2\n[x]\nflavor = 'two'\n"));
        assert_eq!(keys(base.table("s").unwrap()), ["a", "b"]);
        assert!(matches!(base.table("s").unwrap().get("b").unwrap().node.value, Value::Integer(2)));
        assert_eq!(keys(base.table("x").unwrap()), ["flavor"]);
    }
}
