//! The JSON Schema (draft 7) of a stack file, for editors that complete and check it.
//!
//! Made from what reading a file does ([`keys`]) and the table of flavors. Where it cannot say all
//! that loading checks (names that must exist, sizes in units) it is the more generous of the two:
//! it refuses no file that loads. `docs/stack.schema.json` is its output; a test keeps it so.

use serde_json::{Map, Value, json};

use super::keys::{self, KeyInfo};
use super::kind::{ANY, Kind};
use super::{manual, view};
use crate::stores::{Component, Flavor};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$";
/// What stands for a secret may stand for any text.
const REFERENCE: &str = r"\$\{";
const SIZE: &str = r"^\s*[0-9.]+\s*([kKmMgGtTpPeE][iI]?)?[bB]?\s*$|\$\{";
const SPAN: &str = r"^\s*(0|([0-9]+(\.[0-9]*)?\s*[a-zA-Zµ]+\s*)+)\s*$|\$\{";

/// The schema.
pub(crate) fn schema() -> Value {
    let mut properties = Map::new();
    let mut add = |name: &str, schema: Value| properties.insert(name.to_owned(), schema);
    add(
        "active",
        described("the stack that is used", json!({ "type": "string", "default": "default" })),
    );
    add("stacks", described("what is used together, by name", named(stack())));
    let mut artifact_stores = named(stores(Component::ArtifactStore));
    // The built-in one may be changed without saying what it is.
    if let (Some(local), Value::Object(fields)) = (
        Flavor::of(Component::ArtifactStore).find(|flavor| flavor.name == "local"),
        &mut artifact_stores,
    ) {
        let changed = json!({ "anyOf": [stores(Component::ArtifactStore), table(local, false)] });
        fields.insert("properties".to_owned(), json!({ "local": changed }));
    }
    add("artifact_stores", described("where objects are kept, by name", artifact_stores));
    add(
        "log_stores",
        described("where logs are kept, by name", named(stores(Component::LogStore))),
    );
    add("flavors", described("flavors of log stores of your own, by name", named(flavor())));
    for section in ["metadata", "capture", "redact", "spool", "ship", "agent", "server"] {
        let mut schema = object(&keys::of_section(section), Map::new());
        if section == "metadata" {
            set(&mut schema, "attributes", attributes());
        }
        let about = manual::about_section(section);
        add(section, described(&about, schema));
    }
    let mut input = object(&keys::of_inputs(), Map::new());
    if let Some(metadata) = input.pointer_mut("/properties/metadata") {
        set(metadata, "attributes", any_text());
    }
    let inputs = json!({ "type": "array", "items": input });
    add("inputs", described(&manual::about_section("[inputs]"), inputs));
    json!({
        "$schema": DRAFT,
        "title": "steplog stack file",
        "description": "where logs go, and every limit",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Names of the user's, each with such a table. Not as `patternProperties`, which would hold for those
/// in `properties` as well.
fn named(table: Value) -> Value {
    json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": table })
}

fn stack() -> Value {
    json!({
        "type": "object",
        "properties": {
            "artifact_store": {
                "description": "the name of an artifact store",
                "type": "string",
            },
            "log_stores": {
                "description": "names of log stores; each gets everything. Without it the artifact store keeps the logs",
                "type": "array",
                "items": { "type": "string" },
                "minItems": 1,
                "uniqueItems": true,
            },
        },
        "additionalProperties": false,
    })
}

fn flavor() -> Value {
    json!({
        "type": "object",
        "properties": {
            "command": {
                "description": "the program and its arguments",
                "type": "array",
                "items": { "type": "string" },
                "minItems": 1,
            },
            "can_fetch": { "description": "it can be read back", "type": "boolean", "default": false },
            "keys": {
                "description": "the keys that it takes, by name; without it, any",
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "type": { "enum": ["string", "integer", "number", "boolean"] },
                        "enum": { "type": "array", "items": { "type": "string" } },
                        "required": { "type": "boolean" },
                        "secret": { "type": "boolean" },
                        "default": { "type": ["string", "number", "boolean"] },
                        "description": { "type": "string" },
                    },
                    "required": ["type"],
                    "additionalProperties": false,
                },
            },
        },
        "required": ["command"],
        "additionalProperties": false,
    })
}

/// A store of any flavor.
fn stores(component: Component) -> Value {
    let mut all: Vec<_> = Flavor::of(component).map(|flavor| table(flavor, true)).collect();
    if component == Component::LogStore {
        let built_in: Vec<_> = Flavor::of(component).map(|flavor| flavor.name).collect();
        all.push(json!({
            "type": "object",
            "properties": {
                "flavor": {
                    "description": "one of your own: see flavors",
                    "type": "string",
                    "not": { "enum": built_in },
                },
            },
            "required": ["flavor"],
        }));
    }
    json!({ "oneOf": all })
}

/// The table of a store of this flavor, with `flavor` or without.
fn table(flavor: &Flavor, named: bool) -> Value {
    let mut first = Map::new();
    if named {
        let about = manual::flavor_line(flavor.name).map(|line| line.writes_to.replace('`', ""));
        let about = about.unwrap_or_else(|| format!("a store of the flavor {}", flavor.name));
        let schema = described(&about, json!({ "const": flavor.name }));
        first.insert("flavor".to_owned(), schema);
    }
    let mut schema = object(&keys::of_flavor(flavor), first);
    if named {
        let required = schema.get("required").and_then(Value::as_array).cloned();
        let mut required = required.unwrap_or_default();
        required.insert(0, "flavor".into());
        put(&mut schema, "required", required.into());
    } else {
        put(&mut schema, "required", json!([]));
    }
    if let Some((prefix, others)) = flavor.other_options() {
        let pattern = format!("^{prefix}|^({})$", others.join("|"));
        put(&mut schema, "patternProperties", json!({ (pattern): scalar() }));
    }
    schema
}

/// A table with these keys, behind those of `properties`.
fn object(keys: &[KeyInfo], mut properties: Map<String, Value>) -> Value {
    let mut required = Vec::new();
    for key in keys.iter().filter(|key| key.name != ANY) {
        if key.required {
            required.push(Value::from(key.name.as_str()));
        }
        properties.insert(key.name.clone(), property(key));
    }
    let any = keys.iter().find(|key| key.name == ANY).map(|key| value(key, key.kind()));
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": any.unwrap_or(Value::Bool(false)),
    });
    if !required.is_empty() {
        put(&mut schema, "required", required.into());
    }
    schema
}

fn property(key: &KeyInfo) -> Value {
    let mut kinds: Vec<Value> = key.kinds.iter().map(|it| value(key, &it.kind)).collect();
    let mut schema = match (kinds.len(), kinds.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            kinds.extend(last);
            json!({ "anyOf": kinds })
        }
    };
    if !key.about.is_empty() {
        schema = described(&key.about, schema);
    }
    if let Some(default) = &key.default {
        put(&mut schema, "default", view::json(default));
    }
    schema
}

fn value(key: &KeyInfo, kind: &Kind) -> Value {
    match kind {
        Kind::Count { least, most } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Bytes { least, most } => json!({ "anyOf": [
            { "type": "string", "pattern": SIZE },
            { "type": "integer", "minimum": least, "maximum": most },
        ] }),
        Kind::Duration { inf: false, .. } => json!({ "type": "string", "pattern": SPAN }),
        Kind::Duration { inf: true, .. } => {
            json!({ "anyOf": [{ "const": "inf" }, { "type": "string", "pattern": SPAN }] })
        }
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Choice(words) => {
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": REFERENCE }] })
        }
        Kind::Path | Kind::Text { .. } => json!({ "type": "string", "minLength": 1 }),
        Kind::Texts { .. } => {
            json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
        }
        Kind::Table => object(&key.below, Map::new()),
        Kind::Scalar => scalar(),
    }
}

fn scalar() -> Value {
    json!({ "type": ["string", "integer", "boolean"] })
}

/// `[metadata.attributes]`: names of the user's.
fn attributes() -> Value {
    let one = |key: &str, about: &str| {
        json!({
            "type": "object",
            "properties": { (key): { "description": about, "type": "string", "minLength": 1 } },
            "required": [key],
            "additionalProperties": false,
        })
    };
    json!({
        "description": "more metadata, by name",
        "type": "object",
        "additionalProperties": {
            "oneOf": [one("env", "from this environment variable"), one("value", "this text")],
        },
    })
}

/// Texts by names of the user's.
fn any_text() -> Value {
    json!({
        "description": "more metadata, by name",
        "type": "object",
        "additionalProperties": scalar(),
    })
}

fn described(about: &str, mut schema: Value) -> Value {
    put(&mut schema, "description", about.into());
    schema
}

fn put(schema: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = schema {
        fields.insert(key.to_owned(), value);
    }
}

fn set(schema: &mut Value, property: &str, value: Value) {
    if let Some(properties) = schema.get_mut("properties") {
        put(properties, property, value);
    }
}
