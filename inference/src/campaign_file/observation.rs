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

/// An observation, and where it is from if that is a file, with what stands in its column `label`.
pub(super) fn observation(
    section: &Section<'_>,
    directory: &Path,
    errors: Errors,
    reading: &Reading,
    label: Option<&str>,
) -> Option<(Observation, Option<Source>)> {
    let Some(path) = section.get(&PATH) else {
        return Some((inline_observation(section, errors)?, None));
    };
    for key in [GRID, VALUE, SIGMA] {
        if let Some(entry) = section.get(&key) {
            entry.mistake("expected either path or the numbers themselves, not both");
        }
    }
    let full_path = directory.join(path.text()?);
    let bytes = path.accept(files::read(&full_path, files::MOST_DATA_BYTES))?;
    match Observation::parse(&bytes, &full_path, errors, reading, label) {
        Ok((observation, source)) => Some((observation, Some(source))),
        Err(error) => {
            path.add_foreign(error.mistakes);
            None
        }
    }
}

/// How files of observations are read.
pub(super) fn reading(section: &Section<'_>) -> Option<Reading> {
    let columns = section.optional(&COLUMNS, column_names);
    let missing = section.choice(&MISSING);
    let hdu = section.optional(&HDU, |entry| match entry.is_text() {
        true => entry.text().map(|name| Hdu::Name(name.to_owned())),
        false => entry.whole().map(Hdu::Index),
    });
    Some(Reading {
        columns: columns?.unwrap_or_default(),
        missing: missing?,
        hdu: hdu?,
    })
}

/// `{ grid = "bjd", value = "flux", sigma = "flux_err" }`, or some of these.
pub(super) fn column_names(entry: &Entry<'_>) -> Option<ColumnNames> {
    let section = entry.checked_section()?;
    let name = |role| section.optional(role, |entry| entry.text().map(str::to_owned));
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
        return section.refuse(format!(
            "expected path = \"observation.csv\", or the {lists}"
        ));
    }
    let list = |key: &Key, expected| numbers(&section.require(key, "a list of numbers")?, expected);
    let value = list(&VALUE, Expected::Finite);
    let grid = match (errors, section.get(&GRID)) {
        (Errors::NoneNorGrid, None) => value.as_ref().map(|value| counted(value.len())),
        (Errors::NoneNorGrid, Some(_))
        | (Errors::Column | Errors::ColumnOr(_) | Errors::Constant(_) | Errors::None, _) => {
            list(&GRID, Expected::Finite)
        }
    };
    let (sigma, has_sigma) = match (errors, section.get(&SIGMA)) {
        (Errors::None | Errors::NoneNorGrid, Some(sigma)) => {
            return sigma.refuse("expected none: the simulator draws the noise");
        }
        (Errors::None | Errors::NoneNorGrid, None) => (Some(Vec::new()), false),
        (Errors::ColumnOr(sigma) | Errors::Constant(sigma), None) => {
            let n = value.as_ref().map(Vec::len);
            (n.map(|n| vec![sigma; n]), true)
        }
        (Errors::Column | Errors::ColumnOr(_) | Errors::Constant(_), _) => {
            (list(&SIGMA, Expected::Positive), true)
        }
    };
    let (grid, value, sigma) = (grid?, value?, sigma?);
    let [n_grid, n, n_sigma] = [&grid, &value, &sigma].map(Vec::len);
    if n == 0 || n_grid != n || has_sigma && n_sigma != n {
        let found = match has_sigma {
            true => format!("{n_grid} numbers in grid, {n} in value and {n_sigma} in sigma"),
            false => format!("{n_grid} numbers in grid and {n} in value"),
        };
        return section.refuse(format!(
            "found {found}, expected as many in each, at least one"
        ));
    }
    Some(Observation { grid, value, sigma })
}
