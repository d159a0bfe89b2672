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
mod observation;
mod parameters;
mod validate;
mod write;

#[cfg(test)]
mod tests;

pub use compare::{changed_keys, identity};
pub use write::to_toml;

use crate::campaign::Campaign;
use crate::files;
use crate::observation::{ColumnNames, Source};
use document::{Mistakes, Section};
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
    load_with_source(path).map(|(campaign, _)| campaign)
}

/// As [`load`], with where the observation is from, if that is a file.
pub fn load_with_source(path: &Path) -> Result<(Campaign, Option<Source>), CampaignError> {
    let error = |message: String| CampaignError {
        path: path.to_owned(),
        mistakes: vec![message],
    };
    let bytes =
        files::read(path, files::MOST_TEXT_BYTES).map_err(|source| error(source.to_string()))?;
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
    parse_with_source(text, path)
}

/// As [`load`], for text; `path` is for messages and for relative paths.
pub fn parse(text: &str, path: &Path) -> Result<Campaign, CampaignError> {
    parse_with_source(text, path).map(|(campaign, _)| campaign)
}

fn parse_with_source(text: &str, path: &Path) -> Result<(Campaign, Option<Source>), CampaignError> {
    let directory = path.parent().unwrap_or(Path::new(""));
    read_document(text, path, |root| validate::campaign(root, directory))
}

/// The names of columns as `columns` in `[observation]` has them: `{ grid = "bjd", value = "flux" }`. `argument` is
/// for messages.
pub fn parse_columns(text: &str, argument: &str) -> Result<ColumnNames, CampaignError> {
    let text = format!("columns = {text}");
    read_document(&text, Path::new(argument), |root| {
        root.check_keys(&["columns"]);
        let entry = root.require("columns", "{ grid = \"...\", value = \"...\" }")?;
        observation::column_names(&entry)
    })
}

/// What `read` makes of a document without mistakes.
fn read_document<T>(
    text: &str,
    path: &Path,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Result<T, CampaignError> {
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mistakes = Mistakes::new(path, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        mistakes.add(error.span().map(|span| span.start), error.message());
    }
    let found = if errors.is_empty() {
        read(&Section::root(&mistakes, table.get_ref()))
    } else {
        None
    };
    let mistakes = mistakes.into_messages();
    match found {
        Some(found) if mistakes.is_empty() => Ok(found),
        Some(_) | None => Err(CampaignError {
            path: path.to_owned(),
            mistakes,
        }),
    }
}
