//! Observations of many targets in one Parquet file: a row a datum, with the target that it belongs to.

use super::cell::{Column, Expected, check_number};
use super::columns::{self, Sigma};
use super::observed::Observation;
use super::parquet_file::{BEGINNING, ParquetColumns, ParquetFile, undamaged};
use super::reading::{Errors, Missing, Reading};
use crate::base::{TargetId, files};
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::types::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, LargeStringArray, PrimitiveArray, StringArray, StringViewArray,
};
use std::collections::BTreeMap;
use std::path::Path;

/// The column that says which target a datum is of.
pub const TARGET_COLUMN: &str = "target";

/// One target of a catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Of this target alone.
    pub id: TargetId,
    /// What was observed, in the order of its rows; else what is wrong with them, in words.
    pub observation: Result<Observation, String>,
}

/// Whether a file's beginning is that of a catalogue.
pub fn is_catalogue(beginning: &[u8]) -> bool {
    beginning.starts_with(BEGINNING)
}

impl Target {
    /// All targets of a file, in the order of their first rows, which need not be together. A row that cannot be used is its
    /// target's mistake alone; what is wrong with the columns is the file's.
    pub fn read_all(path: &Path, errors: Errors, reading: &Reading) -> Result<Vec<Self>, String> {
        let bytes = files::read(path, files::MOST_DATA_BYTES).map_err(|error| error.to_string())?;
        undamaged(|| parse(bytes, errors, reading))
            .map_err(|mistake| format!("{}: {mistake}", path.display()))
    }
}

fn parse(bytes: Vec<u8>, errors: Errors, reading: &Reading) -> Result<Vec<Target>, String> {
    let file = ParquetFile::open(bytes)?;
    let is_target = |name: &String| name == TARGET_COLUMN;
    if !file.names.iter().any(is_target) {
        return Err(format!(
            "found the columns {}, expected one called {TARGET_COLUMN}, which says what a row belongs to",
            file.names.join(", ")
        ));
    }
    let others = file.names.iter().filter(|name| !is_target(name));
    let others: Vec<Column> = others
        .map(|name| Column {
            name: name.clone(),
            unit: None,
        })
        .collect();
    let chosen = columns::choose(&others, &reading.columns, errors, None)?;
    let (sigma_at, constant) = match chosen.sigma {
        Sigma::At(column) => (Some(column), None),
        Sigma::Constant(sigma) => (None, Some(sigma)),
        Sigma::None => (None, None),
    };
    let name = |column: usize| others[column].name.as_str();
    let roles = Roles {
        grid: chosen.grid.map(name),
        value: name(chosen.value),
        sigma: sigma_at.map(name),
    };
    let wanted: Vec<&str> = [Some(TARGET_COLUMN), Some(roles.value)]
        .into_iter()
        .chain([roles.grid, roles.sigma])
        .flatten()
        .collect();
    let found = file.read(&wanted)?;
    let ids = ids(&found)?;
    if ids.is_empty() {
        return Err("no rows, expected at least one".to_owned());
    }
    let numbers = |name: Option<&str>| name.map(|name| found.numbers(name)).transpose();
    let (grid, sigma) = (numbers(roles.grid)?, numbers(roles.sigma)?);
    let value = found.numbers(roles.value)?;

    let mut place_by_id: BTreeMap<TargetId, usize> = BTreeMap::new();
    let mut rows_of: Vec<Rows> = Vec::new();
    for (row, id) in ids.into_iter().enumerate() {
        let place = *place_by_id.entry(id.clone()).or_insert_with(|| {
            rows_of.push(Rows::new(id));
            rows_of.len() - 1
        });
        let datum = Datum {
            grid: grid.as_ref().map(|grid| grid[row]),
            value: value[row],
            sigma: sigma.as_ref().map(|sigma| sigma[row]),
        };
        rows_of[place].take(row, &datum, &roles, reading.missing);
    }
    let targets = rows_of.into_iter().map(|rows| rows.target(constant));
    Ok(targets.collect())
}

/// Names of the columns.
struct Roles<'a> {
    grid: Option<&'a str>,
    value: &'a str,
    sigma: Option<&'a str>,
}

/// NaN where a number is missing.
struct Datum {
    grid: Option<f64>,
    value: f64,
    sigma: Option<f64>,
}

/// The rows of one target so far.
struct Rows {
    id: TargetId,
    observation: Observation,
    has_grid: bool,
    n_dropped: usize,
    mistake: Option<String>,
    n_more: usize,
}

impl Rows {
    fn new(id: TargetId) -> Self {
        Self {
            id,
            observation: Observation::of_the_model(),
            has_grid: false,
            n_dropped: 0,
            mistake: None,
            n_more: 0,
        }
    }

    /// `row` is counted from 0.
    fn take(&mut self, row: usize, datum: &Datum, roles: &Roles, missing: Missing) {
        let numbers = [
            roles.grid.zip(datum.grid).map(|it| (it, Expected::Finite)),
            Some(((roles.value, datum.value), Expected::Finite)),
            roles
                .sigma
                .zip(datum.sigma)
                .map(|it| (it, Expected::Positive)),
        ];
        let numbers = numbers.into_iter().flatten();
        let mut is_missing = false;
        let mut mistakes = Vec::new();
        for ((name, number), expected) in numbers {
            let mistake = match number.is_nan() {
                true => Err("found no number, expected one (missing = \"drop\" in [observation] leaves such rows out)".to_owned()),
                false => check_number(number, expected).map(drop),
            };
            is_missing |= number.is_nan();
            mistakes.extend(
                mistake
                    .err()
                    .map(|mistake| format!("row {}: {name}: {mistake}", row + 1)),
            );
        }
        if is_missing && missing == Missing::Drop {
            self.n_dropped += 1;
            return;
        }
        for mistake in mistakes {
            match self.mistake {
                None => self.mistake = Some(mistake),
                Some(_) => self.n_more += 1,
            }
        }
        self.has_grid = datum.grid.is_some();
        let observation = &mut self.observation;
        observation.grid.extend(datum.grid);
        observation.value.push(datum.value);
        observation.sigma.extend(datum.sigma);
    }

    fn target(self, constant: Option<f64>) -> Target {
        let mut observation = self.observation;
        let n_data = observation.len();
        if !self.has_grid {
            observation.grid = (0..n_data).map(|i| i as f64).collect();
        }
        if let Some(sigma) = constant {
            observation.sigma = vec![sigma; n_data];
        }
        let mistake = match (self.mistake, self.n_more) {
            (None, _) if n_data == 0 => Some(format!(
                "no rows are left, in each of {} a number is missing",
                self.n_dropped
            )),
            (Some(mistake), n) if n > 0 => Some(format!("{mistake}; and {n} more mistakes")),
            (mistake, _) => mistake,
        };
        Target {
            id: self.id,
            observation: mistake.map_or(Ok(observation), Err),
        }
    }
}

fn ids(found: &ParquetColumns) -> Result<Vec<TargetId>, String> {
    let mut ids = Vec::new();
    for array in found.arrays(TARGET_COLUMN)? {
        for id in ids_of(array)? {
            let row = ids.len() + 1;
            ids.push(
                id.ok_or_else(|| format!("row {row}: found no {TARGET_COLUMN}, expected one"))?,
            );
        }
    }
    Ok(ids)
}

/// None where there is none.
fn ids_of(array: &ArrayRef) -> Result<Vec<Option<TargetId>>, String> {
    let texts = texts_of(array).or_else(|| {
        // pandas has such columns for categories.
        let dictionary = arrow_array::cast::AsArray::as_any_dictionary_opt(array)?;
        let texts = texts_of(dictionary.values())?;
        let keys = dictionary.normalized_keys().into_iter().enumerate();
        let text = |(i, key)| match dictionary.keys().is_null(i) {
            true => None,
            false => texts.get(key).cloned().flatten(),
        };
        Some(keys.map(text).collect())
    });
    if let Some(texts) = texts {
        let names = texts.into_iter().map(|text| text.map(TargetId::Name));
        return Ok(names.collect());
    }
    let integers = integers_of(array).ok_or_else(|| {
        let kind = array.data_type();
        format!("column {TARGET_COLUMN} is of type {kind}, expected text or integers")
    })?;
    let id = |integer: Option<i128>| match integer.map(i64::try_from) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(TargetId::Number(number))),
        Some(Err(_)) => Err(format!(
            "column {TARGET_COLUMN} has {}, expected at most {}",
            integer.unwrap_or_default(),
            i64::MAX
        )),
    };
    integers.into_iter().map(id).collect()
}

fn texts_of(array: &ArrayRef) -> Option<Vec<Option<String>>> {
    let array = array.as_any();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    if let Some(texts) = array.downcast_ref::<StringArray>() {
        Some(texts.iter().map(owned).collect())
    } else if let Some(texts) = array.downcast_ref::<LargeStringArray>() {
        Some(texts.iter().map(owned).collect())
    } else {
        let texts = array.downcast_ref::<StringViewArray>()?;
        Some(texts.iter().map(owned).collect())
    }
}

fn integers_of(array: &ArrayRef) -> Option<Vec<Option<i128>>> {
    fn of<T>(array: &ArrayRef) -> Option<Vec<Option<i128>>>
    where
        T: arrow_array::types::ArrowPrimitiveType,
        i128: From<T::Native>,
    {
        let array = array.as_any().downcast_ref::<PrimitiveArray<T>>()?;
        Some(array.iter().map(|value| value.map(i128::from)).collect())
    }
    of::<Int64Type>(array)
        .or_else(|| of::<Int32Type>(array))
        .or_else(|| of::<Int16Type>(array))
        .or_else(|| of::<Int8Type>(array))
        .or_else(|| of::<UInt64Type>(array))
        .or_else(|| of::<UInt32Type>(array))
        .or_else(|| of::<UInt16Type>(array))
        .or_else(|| of::<UInt8Type>(array))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    fn bytes(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, values)| (name, values, true)),
        );
        let batch = batch.expect("columns of one length");
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("one batch");
        writer.close().expect("the end");
        bytes
    }

    fn doubles(values: Vec<Option<f64>>) -> ArrayRef {
        Arc::new(Float64Array::from(values))
    }

    fn names(names: [&str; 5]) -> ArrayRef {
        Arc::new(StringArray::from(names.to_vec()))
    }

    fn five(sigma: [Option<f64>; 5]) -> Vec<(&'static str, ArrayRef)> {
        vec![
            (
                "time",
                doubles([0.0, 0.0, 1.0, 1.0, 2.0].map(Some).to_vec()),
            ),
            ("target", names(["b", "a", "b", "a", "b"])),
            (
                "flux",
                doubles([1.0, 2.0, 3.0, 4.0, 5.0].map(Some).to_vec()),
            ),
            ("flux_err", doubles(sigma.to_vec())),
        ]
    }

    fn observation(grid: &[f64], value: &[f64], sigma: &[f64]) -> Observation {
        Observation {
            grid: grid.to_vec(),
            value: value.to_vec(),
            sigma: sigma.to_vec(),
        }
    }

    fn name(name: &str) -> TargetId {
        TargetId::Name(name.to_owned())
    }

    fn parsed(columns: Vec<(&str, ArrayRef)>, errors: Errors) -> Result<Vec<Target>, String> {
        parse(bytes(columns), errors, &Reading::default())
    }

    #[test]
    fn rows_find_their_targets() {
        let found = parsed(five([0.1, 0.2, 0.3, 0.4, 0.5].map(Some)), Errors::Column);
        let expected = [
            Target {
                id: name("b"),
                observation: Ok(observation(
                    &[0.0, 1.0, 2.0],
                    &[1.0, 3.0, 5.0],
                    &[0.1, 0.3, 0.5],
                )),
            },
            Target {
                id: name("a"),
                observation: Ok(observation(&[0.0, 1.0], &[2.0, 4.0], &[0.2, 0.4])),
            },
        ];
        assert_eq!(found.expect("two targets"), expected);
    }

    #[test]
    fn integers_and_categories_are_ids_too() {
        let mut columns = five([Some(0.1); 5]);
        columns[1].1 = Arc::new(Int64Array::from(vec![7, -3, 7, 7, 7]));
        let found = parsed(columns, Errors::Constant(0.5)).expect("two targets");
        let ids: Vec<&TargetId> = found.iter().map(|target| &target.id).collect();
        assert_eq!(ids, [&TargetId::Number(7), &TargetId::Number(-3)]);
        let one = observation(&[0.0], &[2.0], &[0.5]);
        assert_eq!(found[1].observation, Ok(one));

        let categories: arrow_array::DictionaryArray<Int8Type> =
            ["x", "y", "x", "x", "y"].into_iter().collect();
        let mut columns = five([Some(0.1); 5]);
        columns[1].1 = Arc::new(categories);
        let found = parsed(columns, Errors::Column).expect("two targets");
        let ids: Vec<TargetId> = found.into_iter().map(|target| target.id).collect();
        assert_eq!(ids, [name("x"), name("y")]);
    }

    #[test]
    fn a_bad_row_is_its_targets_mistake_alone() {
        let sigma = [Some(0.1), None, Some(0.3), Some(-0.4), Some(0.5)];
        let found = parsed(five(sigma), Errors::Column).expect("two targets");
        assert!(found[0].observation.is_ok());
        let message = "row 2: flux_err: found no number, expected one (missing = \"drop\" in [observation] leaves such rows \
                       out); and 1 more mistakes";
        assert_eq!(found[1].observation, Err(message.to_owned()));

        let reading = Reading {
            missing: Missing::Drop,
            ..Reading::default()
        };
        let dropped = |sigma| parse(bytes(five(sigma)), Errors::Column, &reading);
        let found = dropped(sigma).expect("two targets");
        let message =
            "row 4: flux_err: found -0.4, expected a positive number (of single precision)";
        assert_eq!(found[1].observation, Err(message.to_owned()));
        let found = dropped([Some(0.1), None, Some(0.3), None, Some(0.5)]).expect("two targets");
        let message = "no rows are left, in each of 2 a number is missing";
        assert_eq!(found[1].observation, Err(message.to_owned()));
    }

    #[test]
    fn what_is_wrong_with_columns_is_the_files_mistake() {
        let refused = |columns| parsed(columns, Errors::Column).expect_err("refused");
        let mut columns = five([Some(0.1); 5]);
        columns.remove(1);
        assert_eq!(
            refused(columns),
            "found the columns time, flux, flux_err, expected one called target, which says what a row belongs to"
        );
        let mut columns = five([Some(0.1); 5]);
        columns[1].1 = doubles(vec![Some(1.0); 5]);
        assert_eq!(
            refused(columns),
            "column target is of type Float64, expected text or integers"
        );
        let mut columns = five([Some(0.1); 5]);
        columns[1].1 = Arc::new(StringArray::from(vec![Some("a"), None, None, None, None]));
        assert_eq!(refused(columns), "row 2: found no target, expected one");
        let mut columns = five([Some(0.1); 5]);
        columns[2].1 = names(["1", "2", "3", "4", "5"]);
        assert_eq!(
            refused(columns),
            "column flux is of type Utf8, expected numbers"
        );
        let mut columns = five([Some(0.1); 5]);
        columns.remove(2);
        assert!(refused(columns).contains("no column has a name that is known as a value's"));

        let good = bytes(five([Some(0.1); 5]));
        for length in 0..good.len() {
            let cut =
                undamaged(|| parse(good[..length].to_vec(), Errors::Column, &Reading::default()));
            assert!(cut.is_err(), "{length} of {} bytes", good.len());
        }
    }
}
