//! Lists of numbers, and lists of such lists, in place or in a file.

use super::document::Entry;
use crate::base::files;
use crate::campaign::{Expected, FileMistakes, Place, check_number, parse_number, rows};
use std::path::Path;

/// Numbers that have a place in single precision.
pub(super) fn numbers(entry: &Entry<'_>, expected: Expected) -> Option<Vec<f64>> {
    let number = |item: &Entry<'_>| item.accept(check_number(item.number()?, expected));
    entry.each("a list of numbers", number)
}

/// How many numbers each row has.
#[derive(Clone, Copy)]
pub(super) struct Width {
    pub n: usize,
    /// What they are, and why so many.
    pub what: &'static str,
    pub reason: &'static str,
}

impl Width {
    fn check(self, found: usize) -> Result<(), String> {
        let Self { n, what, reason } = self;
        match found == n {
            true => Ok(()),
            false => Err(format!("found {found} {what}, expected {n}, {reason}")),
        }
    }
}

/// Rows in place, or those of a CSV file without a header; of any width where none is given.
pub(super) fn rows_of_numbers(
    entry: &Entry<'_>,
    directory: &Path,
    expected: Expected,
    width: Option<Width>,
) -> Option<Vec<Vec<f64>>> {
    if entry.is_text() {
        return rows_of_file(entry, directory, expected, width);
    }
    entry.each(&entry.expected(), |item| {
        let row = numbers(item, expected)?;
        item.accept(width.map_or(Ok(()), |width| width.check(row.len())))?;
        Some(row)
    })
}

fn rows_of_file(
    entry: &Entry<'_>,
    directory: &Path,
    expected: Expected,
    width: Option<Width>,
) -> Option<Vec<Vec<f64>>> {
    let path = directory.join(entry.text()?);
    let bytes = entry.accept(files::read(&path, files::MOST_DATA_BYTES))?;
    let mut mistakes = FileMistakes::new(&path);
    let mut table = Vec::new();
    for (line, fields) in rows(&bytes) {
        let line = Place::Line(line);
        let fields = fields.and_then(|fields| {
            width.map_or(Ok(()), |width| width.check(fields.len()))?;
            Ok(fields)
        });
        let fields = match fields {
            Ok(fields) => fields,
            Err(message) => {
                mistakes.add(line, message);
                continue;
            }
        };
        let mut row = Vec::with_capacity(fields.len());
        for (j, field) in fields.iter().enumerate() {
            match parse_number(field, expected) {
                Ok(number) => row.push(number),
                Err(message) => mistakes.add(line, format!("column {}: {message}", j + 1)),
            }
        }
        table.push(row);
    }
    if !mistakes.is_empty() {
        entry.add_foreign(mistakes.into_messages());
        return None;
    }
    Some(table)
}

/// 0, 1, 2, ...: the grid of data that have no abscissae.
pub(super) fn counted(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64).collect()
}
