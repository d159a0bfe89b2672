//! Observed data with their errors, as read from a table.

mod catalogue;
mod cell;
mod columns;
mod ecsv;
mod fits;
mod lines;
mod mistakes;
mod number_columns;
mod observed;
mod open;
mod parquet_file;
mod reading;
mod text;

#[cfg(test)]
mod tests;

pub use catalogue::{TARGET_COLUMN, Target, is_catalogue};
pub use cell::Column;
pub(crate) use cell::{Expected, check_number};
pub(crate) use mistakes::{FileMistakes, Place};
pub(crate) use number_columns::number_columns;
pub use observed::Observation;
pub use open::Format;
pub use reading::{ColumnNames, Errors, Hdu, Missing, Reading};
pub(crate) use text::{parse_number, rows};

use crate::base::files;
use cell::Cell;
use columns::Sigma;
use open::Table;
use std::path::{Path, PathBuf};

/// What a file says of an observation beside its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it was given.
    pub path: PathBuf,
    /// What its content turned out to be.
    pub format: Format,
    /// None: data are counted from 0.
    pub grid: Option<Column>,
    /// The column of the values.
    pub value: Column,
    /// None: not from the file.
    pub sigma: Option<Column>,
    /// None: none was asked for.
    pub label: Option<Column>,
    /// What stands in its column, a text a datum.
    pub labels: Vec<String>,
    /// Rows in which something is missing, left out.
    pub n_dropped: usize,
}

/// Everything that is wrong with an observation, one message a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", mistakes.join("\n"))]
pub struct ObservationError {
    pub mistakes: Vec<String>,
}

impl Observation {
    /// Reads a table, whose format its content tells: text with columns (commas, tabs, semicolons or white space
    /// between them; lines that begin with `#` are comments), ECSV, or a binary table of a FITS file.
    pub fn read(
        path: &Path,
        errors: Errors,
        reading: &Reading,
    ) -> Result<(Self, Source), ObservationError> {
        let bytes =
            files::read(path, files::MOST_DATA_BYTES).map_err(|error| ObservationError {
                mistakes: vec![error.to_string()],
            })?;
        Self::parse(&bytes, path, errors, reading, None)
    }

    /// As [`Self::read`], with what stands in the column `label`; `path` is for messages.
    pub fn parse(
        bytes: &[u8],
        path: &Path,
        errors: Errors,
        reading: &Reading,
        label: Option<&str>,
    ) -> Result<(Self, Source), ObservationError> {
        let mut mistakes = FileMistakes::new(path);
        match parse(bytes, path, errors, reading, label, &mut mistakes) {
            Some(found) if mistakes.is_empty() => Ok(found),
            Some(_) | None => Err(ObservationError {
                mistakes: mistakes.into_messages(),
            }),
        }
    }
}

fn parse(
    bytes: &[u8],
    path: &Path,
    errors: Errors,
    reading: &Reading,
    label: Option<&str>,
    mistakes: &mut FileMistakes,
) -> Option<(Observation, Source)> {
    let is_known = |name: &str| columns::is_known(name, &reading.columns) || label == Some(name);
    let (table, format) = match Table::open(bytes, reading, &is_known) {
        Ok(opened) => opened,
        Err((place, message)) => {
            mistakes.add(place, message);
            return None;
        }
    };
    let chosen = match columns::choose(table.columns(), &reading.columns, errors, label) {
        Ok(chosen) => chosen,
        Err(message) => {
            mistakes.add(table.header(), message);
            return None;
        }
    };
    let (sigma_at, constant) = match chosen.sigma {
        Sigma::At(column) => (Some(column), None),
        Sigma::Constant(sigma) => (None, Some(sigma)),
        Sigma::None => (None, None),
    };
    let column = |i: usize| table.columns()[i].clone();
    let mut source = Source {
        path: path.to_owned(),
        format,
        grid: chosen.grid.map(column),
        value: column(chosen.value),
        sigma: sigma_at.map(column),
        label: chosen.label.map(column),
        labels: Vec::new(),
        n_dropped: 0,
    };
    // What is read of each row, in order, and what it has to be.
    let roles: Vec<(usize, Expected)> = [
        chosen.grid.map(|grid| (grid, Expected::Finite)),
        Some((chosen.value, Expected::Finite)),
        sigma_at.map(|sigma| (sigma, Expected::Positive)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let wanted: Vec<usize> = roles.iter().map(|&(column, _)| column).collect();
    let names = wanted.iter().chain(&chosen.label);
    let names: Vec<String> = names.map(|&i| column(i).name).collect();
    let mut numbers: Vec<Vec<f64>> = vec![Vec::new(); wanted.len()];
    table.read(&wanted, chosen.label, mistakes, &mut |place, cells, mistakes| {
        let is_missing = |cell: &Cell| matches!(cell, Cell::Missing(_));
        if reading.missing == Missing::Drop && cells.iter().any(is_missing) {
            source.n_dropped += 1;
            return;
        }
        for (i, cell) in cells.iter().enumerate() {
            let expected = roles.get(i).map(|&(_, expected)| expected);
            let taken = match (cell, expected) {
                (Cell::Number(number), Some(expected)) => {
                    check_number(*number, expected).map(|number| numbers[i].push(number))
                }
                (Cell::Text(label), _) => {
                    source.labels.push(label.clone());
                    Ok(())
                }
                (Cell::Missing(found), _) => Err(format!(
                    "found {found}, expected a {} (missing = \"drop\" in [observation] leaves such rows out)",
                    if expected.is_some() { "number" } else { "text" }
                )),
                (Cell::Bad(message), _) => Err(message.clone()),
                (Cell::Number(number), None) => Err(format!("found {number}, expected a text")),
            };
            if let Err(message) = taken {
                mistakes.add(place, format!("{}: {message}", names[i]));
            }
        }
    });
    if !mistakes.is_empty() {
        return None;
    }
    let mut lists = numbers.into_iter();
    let grid = chosen.grid.and_then(|_| lists.next());
    let value = lists.next()?;
    if value.is_empty() {
        mistakes.add(
            Place::File,
            match source.n_dropped {
                0 => "no rows, expected at least one below the header line".to_owned(),
                n => format!("no rows are left, in each of {n} a number is missing"),
            },
        );
        return None;
    }
    let observation = Observation {
        grid: grid.unwrap_or_else(|| (0..value.len()).map(|i| i as f64).collect()),
        sigma: match constant {
            Some(sigma) => vec![sigma; value.len()],
            None => lists.next().unwrap_or_default(),
        },
        value,
    };
    Some((observation, source))
}
