//! Observed data with their errors, as read from a table.

use crate::files;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One observation: `value[i]` ± `sigma[i]` at `grid[i]`; all of one length, at least 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub grid: Vec<f64>,
    pub value: Vec<f64>,
    /// Standard errors, all positive and finite; none at all where the simulator draws the noise.
    pub sigma: Vec<f64>,
}

/// Where the standard errors of an observation are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Errors {
    /// In a column `sigma`.
    Column,
    /// In a column `sigma`, or this one for all data.
    ColumnOr(f64),
    /// There are none: the simulator draws the noise.
    None,
    /// There are none, and the grid may be missing too: the data are then counted from 0.
    NoneNorGrid,
}

/// Everything that is wrong with an observation, one message a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", mistakes.join("\n"))]
pub struct ObservationError {
    pub mistakes: Vec<String>,
}

impl Observation {
    /// Reads comma-separated values with a header line: the grid in the first column under any name,
    /// `value`, and `sigma`, as `errors` says. Lines that begin with `#` are comments.
    pub fn read_csv(path: &Path, errors: Errors) -> Result<Self, ObservationError> {
        let bytes = files::read(path).map_err(|error| ObservationError {
            mistakes: vec![error.to_string()],
        })?;
        Self::parse_csv(&bytes, path, errors)
    }

    /// As [`Self::read_csv`]; `path` is for messages.
    pub fn parse_csv(bytes: &[u8], path: &Path, errors: Errors) -> Result<Self, ObservationError> {
        let mut mistakes = CsvMistakes::new(path);
        let observation = parse(bytes, errors, &mut mistakes);
        match observation {
            Some(observation) if mistakes.is_empty() => Ok(observation),
            Some(_) | None => Err(ObservationError {
                mistakes: mistakes.into_messages(),
            }),
        }
    }

    pub fn len(&self) -> usize {
        self.value.len()
    }

    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }
}

/// Where the columns of an observation are.
struct Columns {
    names: Vec<String>,
    /// None: data are counted from 0.
    grid: Option<usize>,
    value: usize,
    sigma: SigmaColumn,
}

enum SigmaColumn {
    At(usize),
    Constant(f64),
    None,
}

fn parse(bytes: &[u8], errors: Errors, mistakes: &mut CsvMistakes) -> Option<Observation> {
    let mut rows = csv_rows(bytes).into_iter();
    let Some((line, header)) = rows.next() else {
        mistakes.add_file("empty, expected a header line with the grid's name, value and sigma");
        return None;
    };
    let columns = find_columns(line, header, errors, mistakes)?;
    let mut observation = Observation {
        grid: Vec::new(),
        value: Vec::new(),
        sigma: Vec::new(),
    };
    for (line, row) in rows {
        let row = match row {
            Ok(row) if row.len() == columns.names.len() => row,
            Ok(row) => {
                let expected = columns.names.len();
                mistakes.add(
                    line,
                    format!("found {} fields, expected {expected}", row.len()),
                );
                continue;
            }
            Err(message) => {
                mistakes.add(line, message);
                continue;
            }
        };
        let mut number = |column: usize, expected: Expected| {
            let number = parse_number(&row[column], expected);
            number.unwrap_or_else(|message| {
                mistakes.add(line, format!("{}: {message}", columns.names[column]));
                f64::NAN
            })
        };
        let n_before = observation.value.len();
        observation.grid.push(match columns.grid {
            Some(column) => number(column, Expected::Finite),
            None => n_before as f64,
        });
        observation
            .value
            .push(number(columns.value, Expected::Finite));
        match columns.sigma {
            SigmaColumn::At(column) => observation.sigma.push(number(column, Expected::Positive)),
            SigmaColumn::Constant(sigma) => observation.sigma.push(sigma),
            SigmaColumn::None => {}
        }
    }
    if observation.is_empty() && mistakes.is_empty() {
        mistakes.add_file("no rows, expected at least one below the header line");
    }
    Some(observation)
}

fn find_columns(
    line: u64,
    header: Result<Vec<String>, String>,
    errors: Errors,
    mistakes: &mut CsvMistakes,
) -> Option<Columns> {
    let names = match header {
        Ok(names) => names,
        Err(message) => {
            mistakes.add(line, message);
            return None;
        }
    };
    let position = |name: &str| names.iter().position(|found| found == name);
    let value = position("value");
    let found = format!("found the columns {}", names.join(", "));
    if value.is_none() {
        mistakes.add(line, format!("missing column value; {found}"));
    }
    let sigma = match (position("sigma"), errors) {
        (Some(_), Errors::None | Errors::NoneNorGrid) => {
            mistakes.add(
                line,
                "found a column sigma, expected none: the simulator draws the noise",
            );
            SigmaColumn::None
        }
        (None, Errors::Column) => {
            mistakes.add(
                line,
                format!("missing column sigma, and noise.gaussian.sigma is not a number that could stand for it; {found}"),
            );
            SigmaColumn::None
        }
        (Some(column), Errors::Column | Errors::ColumnOr(_)) => SigmaColumn::At(column),
        (None, Errors::ColumnOr(sigma)) => SigmaColumn::Constant(sigma),
        (None, Errors::None | Errors::NoneNorGrid) => SigmaColumn::None,
    };
    let has_grid = match errors {
        Errors::NoneNorGrid => names.len() != 1,
        Errors::Column | Errors::ColumnOr(_) | Errors::None => true,
    };
    if has_grid && matches!(names[0].as_str(), "value" | "sigma") {
        mistakes.add(
            line,
            format!(
                "the first column is {}, expected the grid (times, wavelengths, ...)",
                names[0]
            ),
        );
    }
    for (i, name) in names.iter().enumerate().skip(1) {
        if name != "value" && name != "sigma" {
            let expected = match errors {
                Errors::Column | Errors::ColumnOr(_) => "value and sigma",
                Errors::None | Errors::NoneNorGrid => "value",
            };
            mistakes.add(
                line,
                format!("unknown column {name}, expected {expected} after the grid"),
            );
        } else if names[..i].contains(name) {
            mistakes.add(line, format!("column {name} is there twice"));
        }
    }
    if !mistakes.is_empty() {
        return None;
    }
    Some(Columns {
        grid: has_grid.then_some(0),
        value: value?,
        sigma,
        names,
    })
}

/// What a number in a table has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Finite,
    Positive,
}

/// Networks compute in single precision: numbers must have a place there.
pub(crate) fn check_number(number: f64, expected: Expected) -> Result<f64, String> {
    if !number.is_finite() || !(number as f32).is_finite() {
        return Err(format!(
            "found {number}, expected a finite number (of single precision)"
        ));
    }
    if expected == Expected::Positive && (number as f32) <= 0.0 {
        return Err(format!(
            "found {number}, expected a positive number (of single precision)"
        ));
    }
    Ok(number)
}

pub(crate) fn parse_number(text: &str, expected: Expected) -> Result<f64, String> {
    if text.is_empty() {
        return Err("found nothing, expected a number".to_owned());
    }
    let number = text
        .parse::<f64>()
        .map_err(|_| format!("found {text:?}, expected a number"))?;
    check_number(number, expected)
}

/// Lines of comma-separated text with their numbers, fields trimmed; what cannot be read as a message.
pub(crate) fn csv_rows(bytes: &[u8]) -> Vec<(u64, Result<Vec<String>, String>)> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let mut rows = Vec::new();
    let mut record = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {
                let line = record.position().map_or(0, csv::Position::line);
                let fields: Result<Vec<String>, _> = record
                    .iter()
                    .map(|field| std::str::from_utf8(field).map(str::to_owned))
                    .collect();
                rows.push((
                    line,
                    fields.map_err(|_| "found bytes that are not UTF-8 text".to_owned()),
                ));
            }
            Ok(false) => return rows,
            Err(error) => {
                rows.push((reader.position().line(), Err(error.to_string())));
                return rows;
            }
        }
    }
}

/// Mistakes in one table; after the first few they are only counted.
pub(crate) struct CsvMistakes {
    path: String,
    messages: Vec<String>,
    n_more: usize,
}

impl CsvMistakes {
    const MAX_SHOWN: usize = 10;

    pub fn new(path: &Path) -> Self {
        Self {
            path: path.display().to_string(),
            messages: Vec::new(),
            n_more: 0,
        }
    }

    pub fn add(&mut self, line: u64, message: impl std::fmt::Display) {
        self.push(format!("{}:{line}: {message}", self.path));
    }

    pub fn add_file(&mut self, message: impl std::fmt::Display) {
        self.push(format!("{}: {message}", self.path));
    }

    fn push(&mut self, message: String) {
        if self.messages.len() < Self::MAX_SHOWN {
            self.messages.push(message);
        } else {
            self.n_more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub fn into_messages(mut self) -> Vec<String> {
        if self.n_more > 0 {
            self.messages
                .push(format!("{}: and {} more mistakes", self.path, self.n_more));
        }
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, errors: Errors) -> Result<Observation, String> {
        Observation::parse_csv(text.as_bytes(), Path::new("obs.csv"), errors)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn reads_columns_by_name() {
        let expected = Observation {
            grid: vec![0.0, 0.5],
            value: vec![1.0, -2.5e-3],
            sigma: vec![0.1, 0.2],
        };
        assert_eq!(
            parse(
                "time,value,sigma\n0,1,0.1\n0.5,-2.5e-3,0.2\n",
                Errors::Column
            ),
            Ok(expected.clone())
        );
        let commented = "# by hand\r\n t , sigma , value \r\n0, 0.1, 1\r\n\r\n0.5, 0.2, -2.5e-3";
        assert_eq!(
            parse(commented, Errors::ColumnOr(9.0)),
            Ok(expected.clone())
        );
        assert_eq!(
            parse("t,value\n0,1\n0.5,-2.5e-3", Errors::ColumnOr(0.3)),
            Ok(Observation {
                sigma: vec![0.3, 0.3],
                ..expected
            })
        );
    }

    #[test]
    fn data_without_errors_may_be_values_alone() {
        let expected = Observation {
            grid: vec![0.0, 1.0, 2.0],
            value: vec![1.0, -2.5, 0.0],
            sigma: Vec::new(),
        };
        assert_eq!(
            parse("value\n1\n-2.5\n0\n", Errors::NoneNorGrid),
            Ok(expected.clone())
        );
        assert_eq!(
            parse("day,value\n0,1\n17,-2.5\n34,0\n", Errors::None),
            Ok(Observation {
                grid: vec![0.0, 17.0, 34.0],
                ..expected
            })
        );
        let mistakes = [
            (
                "day,value,sigma\n0,1,1\n",
                "obs.csv:1: found a column sigma, expected none: the simulator draws the noise",
            ),
            (
                "value,day\n1,0\n",
                "obs.csv:1: the first column is value, expected the grid (times, wavelengths, ...)\n\
                 obs.csv:1: unknown column day, expected value after the grid",
            ),
            (
                "value\n1\n",
                "obs.csv:1: the first column is value, expected the grid (times, wavelengths, ...)",
            ),
            (
                "x\n1\n",
                "obs.csv:1: missing column value; found the columns x",
            ),
        ];
        for (text, expected) in mistakes {
            assert_eq!(parse(text, Errors::None).expect_err(text), expected);
        }
    }

    #[test]
    fn every_mistake_is_named_with_file_line_and_column() {
        let table: &[(&str, &str)] = &[
            (
                "",
                "obs.csv: empty, expected a header line with the grid's name, value and sigma",
            ),
            (
                "# nothing\n\n",
                "obs.csv: empty, expected a header line with the grid's name, value and sigma",
            ),
            (
                "time,value,sigma\n",
                "obs.csv: no rows, expected at least one below the header line",
            ),
            (
                "time,flux,sigma\n0,1,1\n",
                "obs.csv:1: missing column value; found the columns time, flux, sigma\n\
              obs.csv:1: unknown column flux, expected value and sigma after the grid",
            ),
            (
                "time,value\n0,1\n",
                "obs.csv:1: missing column sigma, and noise.gaussian.sigma is not a number that could stand for it; \
              found the columns time, value",
            ),
            (
                "value,sigma\n0,1\n",
                "obs.csv:1: the first column is value, expected the grid (times, wavelengths, ...)",
            ),
            (
                "t,value,sigma,value\n0,1,1,1\n",
                "obs.csv:1: column value is there twice",
            ),
            (
                "t,value,sigma\n0,1,0\n1,2,-3\n2,nan,1\n3,,1\n4,1.2.3,1\n5,inf,1e-60\n6,1\n",
                "obs.csv:2: sigma: found 0, expected a positive number (of single precision)\n\
              obs.csv:3: sigma: found -3, expected a positive number (of single precision)\n\
              obs.csv:4: value: found NaN, expected a finite number (of single precision)\n\
              obs.csv:5: value: found nothing, expected a number\n\
              obs.csv:6: value: found \"1.2.3\", expected a number\n\
              obs.csv:7: value: found inf, expected a finite number (of single precision)\n\
              obs.csv:7: sigma: found 0.000000000000000000000000000000000000000000000000000000000001, \
              expected a positive number (of single precision)\n\
              obs.csv:8: found 2 fields, expected 3",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text, Errors::Column).expect_err(text), *expected);
        }
    }

    #[test]
    fn long_lists_of_mistakes_are_cut() {
        let text = format!("t,value,sigma\n{}", "0,1,0\n".repeat(15));
        let message = parse(&text, Errors::Column).expect_err("zero sigma");
        assert_eq!(message.lines().count(), 11);
        assert!(
            message.ends_with("obs.csv: and 5 more mistakes"),
            "{message}"
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        let error = Observation::parse_csv(
            b"t,value,sigma\n\xff\xfe,1,1\n",
            Path::new("obs.csv"),
            Errors::Column,
        );
        assert_eq!(
            error.expect_err("bytes").to_string(),
            "obs.csv:2: found bytes that are not UTF-8 text"
        );
    }
}
