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
    let mistakes = Mistakes::new(path, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        mistakes.add(error.span().map(|span| span.start), error.message());
    }
    let campaign = if errors.is_empty() {
        let directory = path.parent().unwrap_or(Path::new(""));
        validate::campaign(&Section::root(&mistakes, table.get_ref()), directory)
    } else {
        None
    };
    let mistakes = mistakes.into_messages();
    match campaign {
        Some(campaign) if mistakes.is_empty() => Ok(campaign),
        Some(_) | None => Err(CampaignError {
            path: path.to_owned(),
            mistakes,
        }),
    }
}
