//! The campaign file: TOML -> `document` -> `validate` -> [`Campaign`], and back.
//!
//! Every mistake is collected, so that a user mends a file in one go.

mod builtin;
mod compare;
mod defaults;
mod document;
mod estimator;
mod forward_model;
mod noise;
mod parameters;
mod validate;
mod write;

#[cfg(test)]
mod tests;

pub use compare::{changed_keys, identity};
pub use write::to_toml;

use crate::campaign::Campaign;
use crate::files;
use document::{Mistakes, Section};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Everything that is wrong with a campaign file, one message a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", mistakes.join("\n"))]
pub struct CampaignError {
    pub path: PathBuf,
    /// Each with file, line, key, what was found and what is expected.
    pub mistakes: Vec<String>,
}

/// Reads and validates a campaign file; paths in it are relative to its directory.
pub fn load(path: &Path) -> Result<Campaign, CampaignError> {
    let error = |message: String| CampaignError {
        path: path.to_owned(),
        mistakes: vec![message],
    };
    let bytes = files::read(path).map_err(|source| error(source.to_string()))?;
    let text = str::from_utf8(&bytes).map_err(|source| {
        let line = 1 + bytes[..source.valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        error(format!(
            "{}:{line}: found bytes that are not UTF-8 text",
            path.display()
        ))
    })?;
    parse(text, path)
}

/// As [`load`], for text; `path` is for messages and for relative paths.
pub fn parse(text: &str, path: &Path) -> Result<Campaign, CampaignError> {
    let directory = path.parent().unwrap_or(Path::new(""));
    validated(text, Mistakes::of_file(path, text), directory).map_err(|mistakes| CampaignError {
        path: path.to_owned(),
        mistakes,
    })
}

/// Refuses a campaign that was not read from a campaign file where none would give it: all rules of campaign files hold
/// of it too. One message a mistake, with the key, what was found and what is expected.
pub fn check(campaign: &Campaign) -> Result<(), Vec<String>> {
    let again = validated(&to_toml(campaign), Mistakes::of_values(), Path::new(""))?;
    if again == *campaign {
        return Ok(());
    }
    // What follows from other keys does not stand in a file.
    let json = |campaign: &Campaign| serde_json::to_value(campaign).unwrap_or_default();
    let difference = first_difference("", &json(campaign), &json(&again));
    Err(vec![difference.unwrap_or_else(|| {
        "found a campaign that no campaign file gives".to_owned()
    })])
}

fn validated(text: &str, mistakes: Mistakes, directory: &Path) -> Result<Campaign, Vec<String>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        mistakes.add(error.span().map(|span| span.start), error.message());
    }
    let campaign = if errors.is_empty() {
        validate::campaign(&Section::root(&mistakes, table.get_ref()), directory)
    } else {
        None
    };
    let mistakes = mistakes.into_messages();
    match campaign {
        Some(campaign) if mistakes.is_empty() => Ok(campaign),
        Some(_) | None => Err(mistakes),
    }
}

fn first_difference(path: &str, found: &Json, expected: &Json) -> Option<String> {
    match (found, expected) {
        (Json::Object(found), Json::Object(expected)) => {
            let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
            keys.into_iter().find_map(|key| {
                let inner = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let of = |object: &serde_json::Map<String, Json>| {
                    object.get(key).cloned().unwrap_or_default()
                };
                first_difference(&inner, &of(found), &of(expected))
            })
        }
        (Json::Array(found), Json::Array(expected)) if found.len() == expected.len() => found
            .iter()
            .zip(expected)
            .enumerate()
            .find_map(|(i, (found, expected))| {
                first_difference(&format!("{path}[{i}]"), found, expected)
            }),
        (Json::Array(found), Json::Array(expected)) => Some(format!(
            "{path}: found {} values, expected {}",
            found.len(),
            expected.len()
        )),
        (found, expected) => {
            (found != expected).then(|| format!("{path}: found {found}, expected {expected}"))
        }
    }
}
