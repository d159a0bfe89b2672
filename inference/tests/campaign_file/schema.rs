//! The JSON Schema of campaign files: it takes what is read, and refuses what it can know to be wrong.

use super::{SINE, directory, parse_in};
use serde_json::{Value, json};
use sidereal_inference::campaign::model::{Declaration, Options, Shape};
use sidereal_inference::campaign_file::schema;
use sidereal_models::{Catalogue, ForwardModel, Simulator};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is wrong with a campaign file by the schema, each with its place.
pub(super) fn violations_of(text: &str, models: &Catalogue) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: toml::Table = toml::from_str(text).expect("TOML");
    let file = serde_json::to_value(file).expect("JSON");
    violations(&schema(models), &file, "")
}

/// By the keywords that our schema uses; others are an error of the test.
fn violations(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let holds = |schema: &Value| violations(schema, value, at).is_empty();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    for (keyword, wanted) in schema.as_object().expect("an object") {
        let number = || (value.as_f64(), wanted.as_f64().expect("a number"));
        let length = || wanted.as_u64().expect("a length") as usize;
        let items = value.as_array();
        let fields = value.as_object();
        let is_right = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" => true,
            "type" => match wanted.as_str().expect("a type") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "number" => value.is_number(),
                "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
                other => panic!("the type {other}"),
            },
            "const" => value == wanted,
            "enum" => list(wanted).contains(value),
            "minimum" => matches!(number(), (None, _)) || number().0 >= Some(number().1),
            "maximum" => matches!(number(), (None, _)) || number().0 <= Some(number().1),
            "exclusiveMinimum" => matches!(number(), (None, _)) || number().0 > Some(number().1),
            "minItems" => items.is_none_or(|items| items.len() >= length()),
            "maxItems" => items.is_none_or(|items| items.len() <= length()),
            "minProperties" => fields.is_none_or(|fields| fields.len() >= length()),
            "maxProperties" => fields.is_none_or(|fields| fields.len() <= length()),
            "oneOf" => list(wanted).iter().filter(|schema| holds(schema)).count() == 1,
            "anyOf" => list(wanted).iter().any(holds),
            "if" => {
                if holds(wanted) {
                    found.extend(violations(&schema["then"], value, at));
                }
                true
            }
            "then" => true,
            "allOf" => {
                for schema in list(wanted) {
                    found.extend(violations(&schema, value, at));
                }
                true
            }
            "items" => {
                for (i, item) in items.into_iter().flatten().enumerate() {
                    found.extend(violations(wanted, item, &format!("{at}[{i}]")));
                }
                true
            }
            "properties" => {
                for (name, value) in fields.into_iter().flatten() {
                    if let Some(schema) = wanted.get(name) {
                        found.extend(violations(schema, value, &format!("{at}.{name}")));
                    }
                }
                true
            }
            "propertyNames" => {
                for name in fields.into_iter().flat_map(|fields| fields.keys()) {
                    found.extend(violations(wanted, &json!(name), &format!("{at}.{name}")));
                }
                true
            }
            "required" => fields.is_none_or(|fields| {
                let is_there = |name: &Value| fields.contains_key(name.as_str().expect("a name"));
                list(wanted).iter().all(is_there)
            }),
            "additionalProperties" => {
                let known = |name: &str| schema.get("properties")?.get(name);
                let mut others = fields.into_iter().flatten();
                if *wanted == json!(false) {
                    others.all(|(name, _)| known(name).is_some())
                } else {
                    for (name, value) in others.filter(|(name, _)| known(name).is_none()) {
                        found.extend(violations(wanted, value, &format!("{at}.{name}")));
                    }
                    true
                }
            }
            other => panic!("the keyword {other}"),
        };
        if !is_right {
            found.push(format!("{at}: {keyword}"));
        }
    }
    found
}

/// Stands for the model of `examples/own-model`.
struct RadialVelocity;

impl Declaration for RadialVelocity {
    fn name(&self) -> &str {
        "radial-velocity"
    }
}

impl ForwardModel for RadialVelocity {
    fn build(&self, _: &Options, _: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Err("never run".to_owned())
    }
}

fn files_in(folder: PathBuf) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

#[test]
fn campaign_files_that_we_ship_are_as_the_schema_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = files_in(root.join("fuzz/corpus/campaign_file"));
    paths.push(root.join("deploy/kubernetes/base/campaign/campaign.toml"));
    for folder in files_in(root.join("examples")) {
        let is_campaign = |path: &PathBuf| {
            let is_toml = path
                .extension()
                .is_some_and(|extension| extension == "toml");
            is_toml && !path.ends_with("Cargo.toml")
        };
        paths.extend(files_in(folder).into_iter().filter(is_campaign));
    }
    assert!(paths.len() >= 14, "{paths:?}");
    let models = Catalogue::default().with_guest(RadialVelocity);
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a campaign file");
        assert_eq!(violations_of(&text, &models), [""; 0], "{path:?}");
    }
}

#[test]
fn what_is_wrong_whatever_else_the_file_says_is_refused() {
    let table: [(&str, &str, &[&str]); 18] = [
        ("name = \"test\"", "", &[": required"]),
        ("", "[round]", &[": additionalProperties"]),
        ("name", "seed = -1\nname", &[".seed: minimum"]),
        ("name", "seed = 0.5\nname", &[".seed: type"]),
        (
            "sd = 2",
            "sd = 0",
            &[".parameters[1].prior.normal.sd: exclusiveMinimum"],
        ),
        (
            "sd = 2",
            "s = 2",
            &[
                ".parameters[1].prior.normal: required",
                ".parameters[1].prior.normal: additionalProperties",
            ],
        ),
        (
            "sd = 2 }",
            "sd = 2 }, uniform = { low = 0, high = 1 }",
            &[".parameters[1].prior: maxProperties"],
        ),
        ("\"sine\"", "\"sin\"", &[".simulator: oneOf"]),
        ("\"sine\"", "\"sine\"\nperiod = 3", &[".simulator: oneOf"]),
        ("\"sine\"", "\"sine\"\nversion = 2", &[".simulator: oneOf"]),
        ("\"sine\"", "\"transit\"", &[".simulator: oneOf"]),
        ("builtin", "guest", &[".simulator: oneOf"]),
        ("", "missing = \"no\"", &[".observation.missing: enum"]),
        (
            "",
            "[noise]\ngaussian = { sigma = \"mine\" }",
            &[".noise.gaussian.sigma: anyOf"],
        ),
        (
            "",
            "[flow]\nkind = \"nsf\"\ncomponents = 3",
            &[".flow.components: enum"],
        ),
        (
            "",
            "[training]\nvalidation_fraction = 0.6",
            &[".training.validation_fraction: maximum"],
        ),
        (
            "",
            "[rounds.stop]\nwall_time = true",
            &[".rounds.stop.wall_time: anyOf"],
        ),
        ("", "[workers]\ncount = 1001", &[".workers.count: maximum"]),
    ];
    for (old, new, expected) in table {
        let text = match old {
            "" => format!("{SINE}{new}\n"),
            old => SINE.replacen(old, new, 1),
        };
        assert_eq!(
            violations_of(&text, &Catalogue::default()),
            expected,
            "{new}"
        );
        assert!(parse_in(directory().path(), &text).is_err(), "{new}");
    }
}

#[test]
fn options_of_models_are_as_they_declare_them() {
    let schema = schema(&Catalogue::default());
    let models = schema["properties"]["simulator"]["oneOf"]
        .as_array()
        .expect("models");
    let model = |name: &str| {
        let is_it = |model: &&Value| model["title"] == name;
        models.iter().find(is_it).expect("the model")
    };
    let spectrum = model("absorption-spectrum");
    assert_eq!(spectrum["required"], json!(["builtin", "lines"]));
    assert_eq!(spectrum["properties"]["lines"]["minItems"], 2);
    assert_eq!(spectrum["properties"]["lines"]["maxItems"], 2);
    assert_eq!(spectrum["properties"]["version"], json!({ "const": 1 }));
    assert_eq!(spectrum["additionalProperties"], false);
    let sir = model("sir");
    assert_eq!(sir["description"], "parameters beta, gamma");
    assert_eq!(
        sir["properties"]["tests"],
        json!({
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000_000,
            "description": "people tested on each day",
            "default": 1000,
        })
    );
}

/// Every default is one that its key takes.
#[test]
fn defaults_are_taken() {
    fn check(schema: &Value, at: &str, n_checked: &mut usize) {
        match schema {
            Value::Object(fields) => {
                if let Some(default) = fields.get("default") {
                    assert_eq!(violations(schema, default, at), [""; 0]);
                    *n_checked += 1;
                }
                for (name, inner) in fields {
                    check(inner, &format!("{at}/{name}"), n_checked);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    check(item, &format!("{at}/{i}"), n_checked);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut n_checked = 0;
    check(&schema(&Catalogue::default()), "", &mut n_checked);
    assert!(n_checked > 25, "{n_checked} defaults");
}
