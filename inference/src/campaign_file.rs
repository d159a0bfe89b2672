//! The campaign file: TOML -> `document` -> `validate` -> [`Campaign`], and back.
//!
//! Every mistake is collected, so that a user mends a file in one go.

mod choices;
mod compare;
mod defaults;
mod document;
mod estimator;
mod external;
mod forward_model;
mod key;
pub mod keys;
mod linear;
mod model;
mod noise;
mod noise_terms;
mod observation;
mod parameters;
mod rows;
mod samples;
mod schema;
mod validate;
mod write;

pub use choices::{Choice, FeaturizerKind, FlowKind, LossKind};
pub use compare::{changed_keys, identity};
pub use schema::schema;
pub use write::to_toml;

use crate::base::files;
use crate::campaign::model::Declarations;
use crate::campaign::{Campaign, ColumnNames, Source};
use document::{Mistakes, Section};
use key::Key;
use keys::observation::COLUMNS;
use model::Known;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Everything that is wrong with a campaign file, one message a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", mistakes.join("\n"))]
pub struct CampaignError {
    /// Of the file; for text that was no file, what it is called.
    pub path: PathBuf,
    /// Each with file, line, key, what was found and what is expected.
    pub mistakes: Vec<String>,
}

impl CampaignError {
    fn of(path: &Path) -> impl FnOnce(Vec<String>) -> Self {
        |mistakes| Self {
            path: path.to_owned(),
            mistakes,
        }
    }
}

/// Reads and validates a campaign file that names one of `models`; paths in it are relative to its directory.
pub fn load(path: &Path, models: &dyn Declarations) -> Result<Campaign, CampaignError> {
    load_with_source(path, models).map(|(campaign, _)| campaign)
}

/// As [`load`], with where the observation is from, if that is a file.
pub fn load_with_source(
    path: &Path,
    models: &dyn Declarations,
) -> Result<(Campaign, Option<Source>), CampaignError> {
    let error = |message: String| CampaignError::of(path)(vec![message]);
    let bytes =
        files::read(path, files::MOST_TEXT_BYTES).map_err(|source| error(source.to_string()))?;
    let text = str::from_utf8(&bytes).map_err(|source| {
        let before = bytes[..source.valid_up_to()].iter();
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        let path = path.display();
        error(format!(
            "{path}:{line}: found bytes that are not UTF-8 text"
        ))
    })?;
    parse_against(text, path, Known::Models(models))
}

/// As [`load`], for text; `path` is for messages and for relative paths.
pub fn parse(
    text: &str,
    path: &Path,
    models: &dyn Declarations,
) -> Result<Campaign, CampaignError> {
    parse_against(text, path, Known::Models(models)).map(|(campaign, _)| campaign)
}

/// Reads what [`to_toml`] has written, also where nobody here knows the model: what stands in the file about it is
/// held against the model's own declaration before it is built.
pub fn parse_recorded(text: &str, path: &Path) -> Result<Campaign, CampaignError> {
    parse_against(text, path, Known::Recorded).map(|(campaign, _)| campaign)
}

fn parse_against(
    text: &str,
    path: &Path,
    known: Known<'_>,
) -> Result<(Campaign, Option<Source>), CampaignError> {
    let directory = path.parent().unwrap_or(Path::new(""));
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mistakes = Mistakes::of_file(path, text);
    let read = |root: &Section<'_>| validate::campaign(root, directory, known);
    read_document(text, mistakes, keys::file::KEYS, read).map_err(CampaignError::of(path))
}

/// Refuses a campaign that was not read from a campaign file where none would give it: all rules of campaign files hold
/// of it too, but those of its model. One message a mistake, with the key, what was found and what is expected.
pub fn check(campaign: &Campaign) -> Result<(), Vec<String>> {
    let (text, mistakes) = (to_toml(campaign), Mistakes::of_values());
    let read = |root: &Section<'_>| validate::campaign(root, Path::new(""), Known::Recorded);
    let (again, _) = read_document(&text, mistakes, keys::file::KEYS, read)?;
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

/// The names of columns as `columns` in `[observation]` has them: `{ grid = "bjd", value = "flux" }`. `argument` is
/// for messages.
pub fn parse_columns(text: &str, argument: &str) -> Result<ColumnNames, CampaignError> {
    let text = format!("{} = {text}", COLUMNS.name);
    let path = Path::new(argument);
    read_document(&text, Mistakes::of_file(path, &text), &[COLUMNS], |root| {
        root.check_keys();
        let entry = root.require(&COLUMNS, "{ grid = \"...\", value = \"...\" }")?;
        observation::column_names(&entry)
    })
    .map_err(CampaignError::of(path))
}

/// What `read` makes of a document without mistakes.
fn read_document<T>(
    text: &str,
    mistakes: Mistakes,
    keys: &'static [Key],
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Result<T, Vec<String>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        mistakes.add(error.span().map(|span| span.start), error.message());
    }
    let found = match errors.is_empty() {
        true => read(&Section::root(&mistakes, table.get_ref(), keys)),
        false => None,
    };
    let mistakes = mistakes.into_messages();
    match found {
        Some(found) if mistakes.is_empty() => Ok(found),
        Some(_) | None => Err(mistakes),
    }
}

fn first_difference(path: &str, found: &Json, expected: &Json) -> Option<String> {
    match (found, expected) {
        (Json::Object(found), Json::Object(expected)) => {
            let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
            keys.into_iter().find_map(|key| {
                let inner = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                let of = |object: &Map<String, Json>| object.get(key).cloned().unwrap_or_default();
                first_difference(&inner, &of(found), &of(expected))
            })
        }
        (Json::Array(found), Json::Array(expected)) if found.len() == expected.len() => {
            let mut pairs = found.iter().zip(expected).enumerate();
            pairs.find_map(|(i, (found, expected))| {
                first_difference(&format!("{path}[{i}]"), found, expected)
            })
        }
        (Json::Array(found), Json::Array(expected)) => {
            let (found, expected) = (found.len(), expected.len());
            Some(format!("{path}: found {found} values, expected {expected}"))
        }
        (found, expected) => {
            (found != expected).then(|| format!("{path}: found {found}, expected {expected}"))
        }
    }
}
