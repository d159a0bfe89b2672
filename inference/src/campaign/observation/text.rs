//! Tables as text: comma, tab, semicolon or white space between the fields, with or without a header; ECSV.

use super::cell::{Cell, Column, Expected, check_number};
use super::ecsv;
use super::lines::{Delimiter, Lines};
use super::mistakes::{FileMistakes, Place};

/// A table whose rows are read once it is known which of their columns are needed.
pub(super) struct TextTable<'a> {
    pub columns: Vec<Column>,
    /// Where their names stand.
    pub header: Place,
    pub is_ecsv: bool,
    delimiter: Delimiter,
    /// Those below the header.
    lines: Lines<'a>,
}

impl<'a> TextTable<'a> {
    /// `is_known` says of a name whether it may be a column's that is looked for.
    pub fn open(bytes: &'a [u8], is_known: &dyn Fn(&str) -> bool) -> Result<Self, (Place, String)> {
        let mut lines = Lines::new(bytes);
        if ecsv::is_ecsv(&lines) {
            return Self::open_ecsv(lines);
        }
        let mut comments: Vec<(u64, &[u8])> = Vec::new();
        let (line, first, below) = loop {
            let at = lines.clone();
            let Some((line, text)) = lines.next() else {
                return Err((Place::File, EMPTY.to_owned()));
            };
            match text.trim_ascii_start() {
                [] => {}
                [b'#', comment @ ..] => comments.push((line, comment)),
                [..] => break (line, text, at),
            }
        };
        let delimiter = Delimiter::of(first);
        let fields = names(first, delimiter).map_err(|message| (Place::Line(line), message))?;
        let is_number = |name: &String| name.parse::<f64>().is_ok();
        if !fields.iter().any(is_number) {
            return Ok(Self {
                columns: fields.iter().map(|name| Column::of_header(name)).collect(),
                header: Place::Line(line),
                is_ecsv: false,
                delimiter,
                lines,
            });
        }
        // The first row has numbers: names stand in a comment, or there are none.
        let (header, columns) = comment_header(&comments, delimiter, fields.len(), is_known)
            .unwrap_or_else(|| {
                let numbered = |i| Column::of_header(&format!("col{i}"));
                let columns = (1..=fields.len()).map(numbered).collect();
                (line, columns)
            });
        Ok(Self {
            columns,
            header: Place::Line(header),
            is_ecsv: false,
            delimiter,
            lines: below,
        })
    }

    fn open_ecsv(mut lines: Lines<'a>) -> Result<Self, (Place, String)> {
        let header = ecsv::Header::read(lines.clone());
        let Some((line, first)) = lines.next_row() else {
            return Err((Place::File, EMPTY.to_owned()));
        };
        let names =
            names(first, header.delimiter).map_err(|message| (Place::Line(line), message))?;
        let column = |name: String| Column {
            unit: header.unit_by_name.get(&name).cloned(),
            name,
        };
        Ok(Self {
            columns: names.into_iter().map(column).collect(),
            header: Place::Line(line),
            is_ecsv: true,
            delimiter: header.delimiter,
            lines,
        })
    }

    /// Gives the cells of the columns `wanted` of each row, in that order, then what stands in the column `label`.
    pub fn read(
        self,
        wanted: &[usize],
        label: Option<usize>,
        mistakes: &mut FileMistakes,
        take: &mut dyn FnMut(Place, &[Cell], &mut FileMistakes),
    ) {
        let mut lines = self.lines;
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut cells = Vec::with_capacity(wanted.len());
        while let Some((line, text)) = lines.next_row() {
            let place = Place::Line(line);
            if let Err(message) = split(text, self.delimiter, &mut fields) {
                mistakes.add(place, message);
                continue;
            }
            if fields.len() != self.columns.len() {
                let (found, expected) = (fields.len(), self.columns.len());
                mistakes.add(place, format!("found {found} fields, expected {expected}"));
                continue;
            }
            cells.clear();
            cells.extend(wanted.iter().map(|&column| cell(fields[column])));
            cells.extend(label.map(|column| label_cell(fields[column])));
            take(place, &cells, mistakes);
        }
    }
}

const EMPTY: &str = "empty, expected a header line with the grid's name, value and sigma";

/// The last comment that has as many fields as the rows; one with a name that is known comes first.
fn comment_header(
    comments: &[(u64, &[u8])],
    delimiter: Delimiter,
    n_columns: usize,
    is_known: &dyn Fn(&str) -> bool,
) -> Option<(u64, Vec<Column>)> {
    let mut last = None;
    for &(line, comment) in comments.iter().rev() {
        let columns = [delimiter, Delimiter::Whitespace]
            .into_iter()
            .filter_map(|delimiter| names(comment, delimiter).ok())
            .map(|names| with_units(&names))
            .find(|columns| columns.len() == n_columns);
        let Some(columns) = columns else { continue };
        if columns.iter().any(|column| is_known(&column.name)) {
            return Some((line, columns));
        }
        last = last.or(Some((line, columns)));
    }
    last
}

/// Columns of names that were taken apart at white space, which may stand before a unit in brackets.
fn with_units(names: &[String]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for name in names {
        let unit = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        match (unit, columns.last_mut()) {
            (Some(unit), Some(column)) if column.unit.is_none() => {
                column.unit = Some(unit.trim().to_owned());
            }
            (Some(_) | None, _) => columns.push(Column::of_header(name)),
        }
    }
    columns
}

fn names(line: &[u8], delimiter: Delimiter) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    split(line, delimiter, &mut fields)?;
    let text = |field: &&[u8]| str::from_utf8(field).map(str::to_owned);
    let names: Result<Vec<String>, _> = fields.iter().map(text).collect();
    names.map_err(|_| NOT_UTF8.to_owned())
}

/// The fields of one line, trimmed, and without the quotes around them.
fn split<'a>(
    line: &'a [u8],
    delimiter: Delimiter,
    fields: &mut Vec<&'a [u8]>,
) -> Result<(), String> {
    fields.clear();
    let is_end = |byte: u8| match delimiter {
        Delimiter::Byte(delimiter) => byte == delimiter,
        Delimiter::Whitespace => byte.is_ascii_whitespace(),
    };
    let mut rest = match delimiter {
        Delimiter::Byte(_) => line,
        Delimiter::Whitespace => line.trim_ascii(),
    };
    loop {
        let start = rest
            .iter()
            .position(|&byte| !byte.is_ascii_whitespace() || is_end(byte))
            .unwrap_or(rest.len());
        let (field, after) = if rest.get(start) == Some(&b'"') {
            let inside = &rest[start + 1..];
            let length = quoted_length(inside).ok_or("found a quote that is not closed")?;
            (&inside[..length], &inside[length + 1..])
        } else {
            let length = rest.iter().position(|&byte| is_end(byte));
            rest.split_at(length.unwrap_or(rest.len()))
        };
        fields.push(field.trim_ascii());
        rest = match delimiter {
            Delimiter::Byte(_) => match after.iter().position(|&byte| is_end(byte)) {
                Some(position) if after[..position].trim_ascii().is_empty() => {
                    &after[position + 1..]
                }
                None if after.trim_ascii().is_empty() => return Ok(()),
                Some(_) | None => return Err("found text behind a closing quote".to_owned()),
            },
            Delimiter::Whitespace => after.trim_ascii_start(),
        };
        if rest.is_empty() && delimiter == Delimiter::Whitespace {
            return Ok(());
        }
    }
}

/// Up to the quote that closes it: two quotes are one in the text.
fn quoted_length(inside: &[u8]) -> Option<usize> {
    let mut i = 0;
    loop {
        i += inside[i..].iter().position(|&byte| byte == b'"')?;
        if inside.get(i + 1) != Some(&b'"') {
            return Some(i);
        }
        i += 2;
    }
}

/// Lines of comma-separated text without a header.
pub(crate) fn rows(bytes: &[u8]) -> impl Iterator<Item = (u64, Result<Vec<&[u8]>, String>)> {
    let mut lines = Lines::new(bytes);
    std::iter::from_fn(move || {
        let (line, text) = lines.next_row()?;
        let mut fields = Vec::new();
        let split = split(text, Delimiter::Byte(b','), &mut fields);
        Some((line, split.map(|()| fields)))
    })
}

const NOT_UTF8: &str = "found bytes that are not UTF-8 text";

/// How people and programs write that there is no number.
const MISSING: [&str; 8] = ["", "na", "n/a", "nan", "none", "null", "masked", "--"];

fn cell(field: &[u8]) -> Cell {
    let Ok(text) = str::from_utf8(field) else {
        return Cell::Bad(NOT_UTF8.to_owned());
    };
    match number(text) {
        Some(number) if number.is_nan() => Cell::Missing("NaN".to_owned()),
        Some(number) => Cell::Number(number),
        None if text.is_empty() => Cell::Missing("nothing".to_owned()),
        None if MISSING.iter().any(|word| text.eq_ignore_ascii_case(word)) => {
            Cell::Missing(text.to_owned())
        }
        None => Cell::Bad(format!("found {text:?}, expected a number")),
    }
}

fn label_cell(field: &[u8]) -> Cell {
    match str::from_utf8(field) {
        Ok("") => Cell::Missing("nothing".to_owned()),
        Ok(text) => Cell::Text(text.to_owned()),
        Err(_) => Cell::Bad(NOT_UTF8.to_owned()),
    }
}

/// Exponents may be Fortran's, `1.5D-3`.
fn number(text: &str) -> Option<f64> {
    let plain = text.parse().ok();
    plain.or_else(|| text.replace(['D', 'd'], "e").parse().ok())
}

/// A number of a table without a header.
pub(crate) fn parse_number(field: &[u8], expected: Expected) -> Result<f64, String> {
    match cell(field) {
        Cell::Number(number) => check_number(number, expected),
        Cell::Text(found) | Cell::Missing(found) => {
            Err(format!("found {found}, expected a number"))
        }
        Cell::Bad(message) => Err(message),
    }
}
