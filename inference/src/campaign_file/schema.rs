//! The JSON Schema (draft 2020-12) of campaign files, from the declarations of keys and models.
//!
//! It refuses nothing that is read, but not all that is refused: what depends on other keys it does not know.

use super::choices::{Choice, FeaturizerKind, FlowKind};
use super::key::{Interval, Key, KeyDefault, Takes};
use super::keys::file::{FEATURIZER, FLOW, KEYS, SIMULATOR};
use super::keys::simulator::{GRID, VERSION};
use super::keys::{featurizer, flow, simulator};
use super::model::{ORIGINS, key_of};
use crate::campaign::model::{
    Declaration, Declarations, ModelParameters, OptionDefault, OptionKind, Origin,
};
use serde_json::{Map, Value, json};

/// Of campaign files that name one of `models`.
pub fn schema(models: &dyn Declarations) -> Value {
    let mut schema = table(KEYS);
    let properties = &mut schema["properties"];
    properties[SIMULATOR.name] = simulators(models);
    properties[FEATURIZER.name]["allOf"] = by_kind(&featurizer::KIND, FeaturizerKind::options);
    properties[FLOW.name]["allOf"] = by_kind(&flow::KIND, FlowKind::options);
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "campaign file of sidereal",
    });
    if let (Some(whole), Some(schema)) = (whole.as_object_mut(), schema.as_object_mut()) {
        whole.append(schema);
    }
    whole
}

/// Which of its keys a section may have, by its kind.
fn by_kind<T: Choice>(kind: &Key, options: impl Fn(T) -> &'static [Key]) -> Value {
    let rules = T::NAMED.iter().map(|(name, value)| {
        let names = options(*value).iter().map(|key| key.name);
        let names: Vec<&str> = [kind.name].into_iter().chain(names).collect();
        json!({
            "if": { "properties": { kind.name: { "const": name } }, "required": [kind.name] },
            "then": { "propertyNames": { "enum": names } },
        })
    });
    rules.collect()
}

/// `[simulator]`: one table for each model.
fn simulators(models: &dyn Declarations) -> Value {
    let of_origin = |(key, origin): (Key, Origin)| {
        let models = models.of(origin).into_iter();
        models.map(move |declaration| model(key, declaration))
    };
    let external = external().into_iter();
    let models: Vec<Value> = ORIGINS
        .into_iter()
        .flat_map(of_origin)
        .chain(external)
        .collect();
    json!({ "description": SIMULATOR.about, "oneOf": models })
}

/// Functions in Python, and programs.
fn external() -> [Value; 2] {
    let keys = simulator::KEYS.iter().copied();
    let is_of_catalogue = |key: &Key| {
        let mut of_catalogues = simulator::OF_CATALOGUES.iter();
        key.name != GRID.name && of_catalogues.any(|other| other.name == key.name)
    };
    let keys: Vec<Key> = keys.filter(|key| !is_of_catalogue(key)).collect();
    [simulator::PYTHON, simulator::COMMAND].map(|origin| {
        let other = |key: &Key| {
            key.name == origin.name
                || ![simulator::PYTHON.name, simulator::COMMAND.name].contains(&key.name)
        };
        let keys: Vec<Key> = keys.iter().copied().filter(other).collect();
        let mut schema = table(&keys);
        schema["title"] = json!(origin.about);
        schema["required"] = json!([origin.name]);
        schema
    })
}

fn model(origin: Key, declaration: &dyn Declaration) -> Value {
    let options = declaration.options();
    let keys: Vec<Key> = [VERSION, GRID]
        .into_iter()
        .chain(options.iter().map(key_of))
        .collect();
    let mut schema = table(&keys);
    schema["title"] = json!(declaration.name());
    match declaration.parameters() {
        ModelParameters::Named(names) => {
            schema["description"] = json!(format!("parameters {}", names.join(", ")));
        }
        ModelParameters::Count(n) => schema["description"] = json!(format!("any {n} parameters")),
        ModelParameters::Any => {}
    }
    let properties = &mut schema["properties"];
    properties[origin.name] = json!({ "const": declaration.name() });
    properties[VERSION.name] = json!({ "const": declaration.version() });
    for option in &options {
        let property = &mut properties[option.name];
        if let OptionDefault::Value(value) = &option.default {
            property["default"] = json!(value);
        }
        if let OptionKind::Positives(n) = option.kind {
            property["minItems"] = json!(n);
            property["maxItems"] = json!(n);
        }
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.insert(0, json!(origin.name));
    }
    schema
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| matches!(key.default, KeyDefault::Required))
        .map(|key| key.name)
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(key: &Key) -> Value {
    let mut about = key.about.to_owned();
    let mut schema = taken(&key.takes);
    match key.default {
        KeyDefault::Value(text) => {
            schema["default"] = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        }
        KeyDefault::Words(words) => about.push_str(&format!("; default: {words}")),
        KeyDefault::Required | KeyDefault::Nothing => {}
    }
    if key.may_change {
        about.push_str("; may change while a campaign goes on");
    }
    schema["description"] = json!(about);
    schema
}

fn taken(takes: &Takes) -> Value {
    match takes {
        Takes::Text => json!({ "type": "string" }),
        Takes::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Takes::TextByKey => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        Takes::Word(word) => json!({ "const": word }),
        Takes::Boolean => json!({ "type": "boolean" }),
        Takes::Number(interval) => number(*interval),
        Takes::Whole(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Takes::Choice(names) => json!({ "enum": names() }),
        Takes::Numbers(interval) => json!({ "type": "array", "items": number(*interval) }),
        Takes::Rows(interval) => {
            json!({ "type": "array", "items": taken(&Takes::Numbers(*interval)) })
        }
        Takes::Table(keys) => table(keys),
        Takes::OneOf(keys, _) => {
            let mut schema = table(keys);
            schema["minProperties"] = json!(1);
            schema["maxProperties"] = json!(1);
            schema
        }
        Takes::Tables(keys) => json!({ "type": "array", "items": table(keys), "minItems": 1 }),
        Takes::Any(takes, _) => {
            let alternatives: Vec<Value> = takes.iter().map(taken).collect();
            json!({ "anyOf": alternatives })
        }
    }
}

fn number(interval: Interval) -> Value {
    match interval {
        Interval::All => json!({ "type": "number" }),
        Interval::Positive => json!({ "type": "number", "exclusiveMinimum": 0 }),
        Interval::Between(low, high) => {
            json!({ "type": "number", "minimum": low, "maximum": high })
        }
        Interval::PositiveUpTo(high) => {
            json!({ "type": "number", "exclusiveMinimum": 0, "maximum": high })
        }
    }
}
