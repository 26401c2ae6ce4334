//! The keys that a program has declared: from its JSON Schema when it is registered, kept in the stack
//! file, and read by them from the table of a log store.
//!
//! ```toml
//! [flavors.sqlite.keys]
//! path = { type = "string", required = true, description = "the database" }
//! token = { type = "string", secret = true }
//! ```
//!
//! Kept so that a stack file can be read, and judged, without starting anybody's program.

use serde_json::{Map, Value};

use super::config::{BOUNDS, Config, Registered, Values};
use super::protocol::Description;
use crate::stack::{Reader, Secret, Type};
use crate::stores::records::config::Batching;

/// A key that a program has declared.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredKey {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub(crate) kind: Type,
    /// Only these texts; none: any.
    pub choices: Vec<String>,
    /// It must be there.
    pub required: bool,
    /// It is never shown.
    pub secret: bool,
    /// What the program uses without it.
    pub default: Option<Value>,
    /// What it is for.
    pub description: String,
}

/// Floats come from files and are only compared with themselves.
impl Eq for DeclaredKey {}

/// What a program's schema cannot have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SchemaError {
    #[error("its config is not a JSON Schema with properties")]
    Shape,
    #[error("the type of its key {0:?} is not string, integer, number or boolean")]
    Type(String),
    #[error("its key {0:?} is one of steplog's own")]
    Taken(String),
}

/// The words of [`Type`].
const TYPES: [(&str, Type); 4] = [
    ("string", Type::Text),
    ("integer", Type::Integer),
    ("number", Type::Number),
    ("boolean", Type::Flag),
];

impl DeclaredKey {
    /// Those of a program's description; none if it has no schema: then it takes any.
    pub(crate) fn of(description: &Description) -> Result<Option<Vec<Self>>, SchemaError> {
        let schema = &description.config;
        if schema.is_null() {
            return Ok(None);
        }
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            // An object without properties takes nothing.
            let empty = schema.as_object().is_some_and(|it| !it.contains_key("properties"));
            return if empty { Ok(Some(Vec::new())) } else { Err(SchemaError::Shape) };
        };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &String| required.is_some_and(|it| it.iter().any(|it| it == name));
        let keys = properties.iter().map(|(name, property)| {
            let text = |key: &str| property.get(key).and_then(Value::as_str).unwrap_or_default();
            let taken = crate::stores::records::config::KEYS.iter().any(|key| key.name == name);
            if taken || name == "flavor" {
                return Err(SchemaError::Taken(name.clone()));
            }
            let kind = TYPES.iter().find(|(word, _)| *word == text("type"));
            let choices = property.get("enum").and_then(Value::as_array).into_iter().flatten();
            Ok(Self {
                name: name.clone(),
                kind: kind.ok_or_else(|| SchemaError::Type(name.clone()))?.1,
                choices: choices.filter_map(Value::as_str).map(str::to_owned).collect(),
                required: is_required(name),
                secret: property.get("writeOnly") == Some(&Value::Bool(true)),
                default: property.get("default").cloned(),
                description: text("description").to_owned(),
            })
        });
        keys.collect::<Result<_, _>>().map(Some)
    }

    /// One of `[flavors.NAME.keys]`.
    fn read(name: &str, reader: &mut Reader<'_, '_, '_>) -> Self {
        let mut key = Self {
            name: name.to_owned(),
            kind: Type::Text,
            choices: Vec::new(),
            required: false,
            secret: false,
            default: None,
            description: String::new(),
        };
        reader.require("type", "string");
        reader.choice("type", &TYPES, &mut key.kind);
        reader.texts("enum", "[\"fast\", \"safe\"]", &mut key.choices);
        reader.flag("required", &mut key.required);
        reader.flag("secret", &mut key.secret);
        key.default = reader.typed("default", key.kind);
        key.description = reader.optional_text("description", "where it is").unwrap_or_default();
        key
    }

    /// The word for what it takes.
    pub(crate) fn type_word(&self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self.kind).map_or("string", |(word, _)| word)
    }
}

/// Reads `[flavors.NAME]`.
pub(crate) fn read_flavor(name: &str, reader: &mut Reader<'_, '_, '_>) -> Registered {
    let example = "[\"python3\", \"/opt/steplog/store.py\"]";
    reader.require("command", example);
    let mut registered =
        Registered { name: name.to_owned(), command: Vec::new(), can_fetch: false, keys: None };
    reader.some_texts("command", example, "and there is no flavor", &mut registered.command);
    reader.flag("can_fetch", &mut registered.can_fetch);
    if let Some(mut keys) = reader.table("keys") {
        let mut declared = Vec::new();
        for entry in keys.all() {
            if let Some(mut key) = keys.below(entry, "a table such as { type = \"string\" }") {
                declared.push(DeclaredKey::read(&entry.key, &mut key));
                key.finish();
            }
        }
        registered.keys = Some(declared);
    }
    registered
}

/// Reads the table of the log store `name`, whose flavor is `registered`.
pub(crate) fn read(name: &str, reader: &mut Reader<'_, '_, '_>, registered: &Registered) -> Config {
    let batching = Batching::read(reader, BOUNDS);
    let mut values = Map::new();
    for key in registered.keys.iter().flatten() {
        if key.required {
            reader.require(&key.name, "…");
        }
        let value = if key.choices.is_empty() {
            reader.typed(&key.name, key.kind)
        } else {
            let choices: Vec<_> = key.choices.iter().map(|word| (word.as_str(), word)).collect();
            let none = String::new();
            let mut word = &none;
            reader.choice(&key.name, &choices, &mut word);
            (!word.is_empty()).then(|| word.as_str().into())
        };
        values.extend(value.map(|value| (key.name.clone(), value)));
    }
    if registered.keys.is_none() {
        reader.rest(
            |_| Some(Secret::No),
            |name, value| {
                values.insert(name.to_owned(), value.into());
            },
        );
    }
    Config {
        log_store: name.to_owned(),
        flavor: registered.clone(),
        values: Values(values),
        batching,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(config: Value) -> Result<Option<Vec<DeclaredKey>>, SchemaError> {
        let (id, name, version) = ("0".to_owned(), "x".to_owned(), String::new());
        DeclaredKey::of(&Description { id, protocol: 1, name, version, can_fetch: false, config })
    }

    #[test]
    fn keys_come_from_the_programs_schema() {
        assert_eq!(of(Value::Null), Ok(None));
        assert_eq!(of(json!({})), Ok(Some(Vec::new())));
        let keys = of(json!({
            "type": "object",
            "properties": {
                "path": { "type": "string", "description": "where" },
                "mode": { "type": "string", "enum": ["fast", "safe"], "default": "safe" },
                "token": { "type": "string", "writeOnly": true },
                "size": { "type": "integer" },
            },
            "required": ["path"],
        }));
        let keys = keys.unwrap().unwrap();
        let key = |name: &str| keys.iter().find(|key| key.name == name).unwrap();
        assert!(key("path").required && !key("path").secret);
        assert_eq!(key("path").description, "where");
        assert_eq!(key("mode").choices, ["fast", "safe"]);
        assert_eq!(key("mode").default, Some("safe".into()));
        assert!(key("token").secret);
        assert_eq!(key("size").type_word(), "integer");
    }

    #[test]
    fn a_schema_that_cannot_be_kept_is_refused() {
        assert_eq!(of(json!([])), Err(SchemaError::Shape));
        let list = json!({ "properties": { "a": { "type": "array" } } });
        assert_eq!(of(list), Err(SchemaError::Type("a".to_owned())));
        let taken = json!({ "properties": { "compression": { "type": "string" } } });
        assert_eq!(of(taken), Err(SchemaError::Taken("compression".to_owned())));
    }
}
