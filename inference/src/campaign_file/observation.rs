//! `[observation]`: a file and how it is read, or the numbers themselves.

use super::document::{Entry, Section};
use super::key::Key;
use super::keys::observation::{
    COLUMNS, GRID, GRID_NAME, HDU, MISSING, PATH, SIGMA, SIGMA_NAME, VALUE, VALUE_NAME,
};
use super::rows::{counted, numbers};
use crate::base::files;
use crate::campaign::{ColumnNames, Errors, Expected, Hdu, Observation, Reading, Source};
use std::path::Path;

/// An observation, and where it is from if that is a file.
pub(super) struct Given {
    pub observation: Observation,
    pub source: Option<Source>,
}

pub(super) fn observation(
    section: &Section<'_>,
    directory: &Path,
    errors: Errors,
    reading: &Reading,
) -> Option<Given> {
    let Some(path) = section.get(&PATH) else {
        let observation = inline_observation(section, errors)?;
        return Some(Given {
            observation,
            source: None,
        });
    };
    for key in [GRID, VALUE, SIGMA] {
        if let Some(entry) = section.get(&key) {
            entry.mistake("expected either path or the numbers themselves, not both");
        }
    }
    let full_path = directory.join(path.text()?);
    let bytes = match files::read(&full_path, files::MOST_DATA_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            path.mistake(error);
            return None;
        }
    };
    match Observation::parse(&bytes, &full_path, errors, reading) {
        Ok((observation, source)) => Some(Given {
            observation,
            source: Some(source),
        }),
        Err(error) => {
            path.add_foreign(error.mistakes);
            None
        }
    }
}

/// How files of observations are read.
pub(super) fn reading(section: &Section<'_>) -> Option<Reading> {
    let columns = match section.get(&COLUMNS) {
        Some(entry) => column_names(&entry),
        None => Some(ColumnNames::default()),
    };
    let missing = section.choice(&MISSING);
    let hdu = match section.get(&HDU) {
        Some(entry) if entry.is_text() => entry.text().map(|name| Some(Hdu::Name(name.to_owned()))),
        Some(entry) => entry.whole().map(|index| Some(Hdu::Index(index))),
        None => Some(None),
    };
    Some(Reading {
        columns: columns?,
        missing: missing?,
        hdu: hdu?,
    })
}

/// `{ grid = "bjd", value = "flux", sigma = "flux_err" }`, or some of these.
pub(super) fn column_names(entry: &Entry<'_>) -> Option<ColumnNames> {
    let section = entry.checked_section()?;
    let name = |role: &Key| match section.get(role) {
        Some(entry) => entry.text().map(|name| Some(name.to_owned())),
        None => Some(None),
    };
    let (grid, value, sigma) = (name(&GRID_NAME), name(&VALUE_NAME), name(&SIGMA_NAME));
    Some(ColumnNames {
        grid: grid?,
        value: value?,
        sigma: sigma?,
    })
}

fn inline_observation(section: &Section<'_>, errors: Errors) -> Option<Observation> {
    if section.get(&VALUE).is_none() && section.get(&GRID).is_none() {
        let lists = match errors {
            Errors::Column | Errors::ColumnOr(_) | Errors::Constant(_) => {
                "lists grid, value and sigma"
            }
            Errors::None => "lists grid and value",
            Errors::NoneNorGrid => "list value",
        };
        section.mistake(format!(
            "expected path = \"observation.csv\", or the {lists}"
        ));
        return None;
    }
    let list = |key: &Key, expected| {
        section
            .require(key, "a list of numbers")
            .and_then(|entry| numbers(&entry, expected))
    };
    let value = list(&VALUE, Expected::Finite);
    let grid = match (errors, section.get(&GRID), &value) {
        (Errors::NoneNorGrid, None, Some(value)) => Some(counted(value.len())),
        (Errors::NoneNorGrid, None, None) => None,
        (Errors::NoneNorGrid, Some(_), _)
        | (Errors::Column | Errors::ColumnOr(_) | Errors::Constant(_) | Errors::None, _, _) => {
            list(&GRID, Expected::Finite)
        }
    };
    let sigma = match (errors, section.get(&SIGMA), &value) {
        (Errors::None | Errors::NoneNorGrid, Some(sigma), _) => {
            sigma.mistake("expected none: the simulator draws the noise");
            None
        }
        (Errors::None | Errors::NoneNorGrid, None, _) => {
            let (grid, value) = (grid?, value?);
            if value.is_empty() || grid.len() != value.len() {
                section.mistake(format!(
                    "found {} numbers in grid and {} in value, expected as many in each, at least one",
                    grid.len(),
                    value.len()
                ));
                return None;
            }
            return Some(Observation {
                grid,
                value,
                sigma: Vec::new(),
            });
        }
        (Errors::ColumnOr(sigma) | Errors::Constant(sigma), None, Some(value)) => {
            Some(vec![sigma; value.len()])
        }
        (Errors::ColumnOr(_) | Errors::Constant(_), None, None) => None,
        (Errors::Column | Errors::ColumnOr(_) | Errors::Constant(_), _, _) => {
            list(&SIGMA, Expected::Positive)
        }
    };
    let observation = Observation {
        grid: grid?,
        value: value?,
        sigma: sigma?,
    };
    let lengths = [
        observation.grid.len(),
        observation.value.len(),
        observation.sigma.len(),
    ];
    if observation.is_empty() || lengths != [observation.len(); 3] {
        let [grid, value, sigma] = lengths;
        section.mistake(format!(
            "found {grid} numbers in grid, {value} in value and {sigma} in sigma, expected as many in each, at least one"
        ));
        return None;
    }
    Some(observation)
}
