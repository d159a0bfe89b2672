//! What must not change within a campaign: every key but those that are declared to.

use super::write::parts;
use crate::base::CampaignHash;
use crate::base::files::sha256_hex;
use crate::campaign::Campaign;
use std::collections::{BTreeMap, BTreeSet};
use toml::Value;

/// Hash of what must not change: equal for two campaigns exactly where [`changed_keys`] finds none.
pub fn identity(campaign: &Campaign) -> CampaignHash {
    let mut text = String::from("sidereal campaign 1\n");
    for (key, value) in fixed_values(campaign) {
        text.push_str(&format!("{key} = {}\n", canonical(&value)));
    }
    CampaignHash(sha256_hex(text.as_bytes()))
}

/// Keys that differ and must not: `rounds.simulations: 2560 -> 5120`.
pub fn changed_keys(old: &Campaign, new: &Campaign) -> Vec<String> {
    let (old, new) = (fixed_values(old), fixed_values(new));
    let mut changes = Vec::new();
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) if old == new => {}
            (Some(Value::Array(old)), Some(Value::Array(new))) => {
                changes.push(changed_list(key, old, new))
            }
            (old, new) => {
                let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), describe);
                changes.push(format!("{key}: {} -> {}", show(old), show(new)));
            }
        }
    }
    changes
}

fn changed_list(key: &str, old: &[Value], new: &[Value]) -> String {
    if old.len() != new.len() {
        return format!("{key}: {} values -> {} values", old.len(), new.len());
    }
    let pairs = old.iter().zip(new).enumerate();
    let mut different = pairs.filter(|(_, (old, new))| old != new);
    let n_different = different.clone().count();
    match different.next() {
        Some((i, (Value::Array(old), Value::Array(new)))) => {
            changed_list(&format!("{key}[{i}]"), old, new)
        }
        Some((i, (old, new))) => {
            let change = format!("{key}[{i}]: {} -> {}", describe(old), describe(new));
            match n_different {
                1 => change,
                n => format!("{change} (and {} more)", n - 1),
            }
        }
        None => format!("{key}: changed"),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("{} values", values.len()),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table(_) => canonical(value),
    }
}

/// One text for one value, whatever the version of the TOML crate: identities are made of it.
fn canonical(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(date) => date.to_string(),
        Value::Array(values) => format!("[{}]", list(values.iter().map(canonical).collect())),
        Value::Table(table) => {
            let entries = table.iter();
            let entries = entries.map(|(name, value)| format!("{name} = {}", canonical(value)));
            format!("{{{}}}", list(entries.collect()))
        }
    }
}

/// All values that must not change, by key.
fn fixed_values(campaign: &Campaign) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for part in parts(campaign) {
        for (name, value) in part.entries {
            let key = match part.key.as_str() {
                "" => name.to_owned(),
                table => format!("{table}.{name}"),
            };
            let mut declared = part.declared.iter();
            let may_change = declared.any(|key| key.name == name && key.may_change);
            if !may_change {
                insert_leaves(&mut values, key, value);
            }
        }
    }
    values
}

fn insert_leaves(values: &mut BTreeMap<String, Value>, key: String, value: Value) {
    if let Value::Table(table) = value {
        for (name, value) in table {
            insert_leaves(values, format!("{key}.{name}"), value);
        }
    } else {
        values.insert(key, value);
    }
}
