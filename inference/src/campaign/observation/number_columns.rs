//! Columns of numbers of a table of any size, by their names: text, ECSV, FITS or Parquet.

use super::cell::Cell;
use super::mistakes::{FileMistakes, Place};
use super::open::Table;
use super::reading::Reading;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Numbers by column and row; NaN where there is none.
#[derive(Debug)]
pub(crate) struct NumberColumns {
    /// Names of all columns of the file.
    pub names: Vec<String>,
    /// Of the columns that were asked for; None where there is none of that name.
    pub columns: Vec<Option<Vec<f64>>>,
}

/// Those called `wanted`, as far as there are; else what is wrong with the file. `path` is for messages.
pub(crate) fn number_columns(
    path: &Path,
    bytes: Vec<u8>,
    wanted: &[&str],
) -> Result<NumberColumns, Vec<String>> {
    let mut mistakes = FileMistakes::new(path);
    let found = match bytes.starts_with(b"PAR1") {
        true => of_parquet(bytes, wanted, &mut mistakes),
        false => of_text(&bytes, wanted, &mut mistakes),
    };
    match found {
        Some(found) if mistakes.is_empty() => Ok(found),
        Some(_) | None => Err(mistakes.into_messages()),
    }
}

fn of_text(bytes: &[u8], wanted: &[&str], mistakes: &mut FileMistakes) -> Option<NumberColumns> {
    let is_known = |name: &str| wanted.contains(&name);
    let (table, _) = Table::open(bytes, &Reading::default(), &is_known)
        .map_err(|(place, message)| mistakes.add(place, message))
        .ok()?;
    let names: Vec<String> = table
        .columns()
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let places: Vec<Option<usize>> = wanted
        .iter()
        .map(|wanted| names.iter().position(|name| name == wanted))
        .collect();
    let chosen: Vec<usize> = places.iter().flatten().copied().collect();
    let mut numbers: Vec<Vec<f64>> = vec![Vec::new(); chosen.len()];
    table.read(&chosen, None, mistakes, &mut |place, cells, mistakes| {
        for ((cell, numbers), &column) in cells.iter().zip(&mut numbers).zip(&chosen) {
            match cell {
                Cell::Number(number) => numbers.push(*number),
                Cell::Missing(_) => numbers.push(f64::NAN),
                Cell::Text(found) | Cell::Bad(found) => {
                    mistakes.add(place, format!("{}: {found}", names[column]));
                }
            }
        }
    });
    let mut numbers = numbers.into_iter();
    let columns = places
        .iter()
        .map(|place| place.and_then(|_| numbers.next()));
    Some(NumberColumns {
        columns: columns.collect(),
        names,
    })
}

fn of_parquet(
    bytes: Vec<u8>,
    wanted: &[&str],
    mistakes: &mut FileMistakes,
) -> Option<NumberColumns> {
    // The parquet crate means to return errors, but has panicked on damaged files before.
    let read = catch_unwind(AssertUnwindSafe(|| read_parquet(bytes, wanted)));
    read.unwrap_or_else(|_| Err("the file is damaged".to_owned()))
        .map_err(|message| mistakes.add(Place::File, message))
        .ok()
}

fn read_parquet(bytes: Vec<u8>, wanted: &[&str]) -> Result<NumberColumns, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))
        .map_err(|error| error.to_string())?;
    let fields = builder.schema().fields().iter();
    let names: Vec<String> = fields.map(|field| field.name().clone()).collect();
    let places = wanted
        .iter()
        .filter_map(|wanted| names.iter().position(|name| name == wanted));
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    let reader = builder
        .with_projection(mask)
        .build()
        .map_err(|error| error.to_string())?;
    let batches: Result<Vec<RecordBatch>, _> = reader.collect();
    let batches = batches.map_err(|error| error.to_string())?;
    let column = |wanted: &&str| -> Result<Option<Vec<f64>>, String> {
        if !names.iter().any(|name| name == wanted) {
            return Ok(None);
        }
        let mut numbers = Vec::new();
        for batch in &batches {
            let array = batch.column_by_name(wanted).ok_or("a column is missing")?;
            numbers.extend(numbers_of(array).ok_or_else(|| {
                let kind = array.data_type();
                format!("column {wanted} is of type {kind}, expected numbers")
            })?);
        }
        Ok(Some(numbers))
    };
    let columns: Result<Vec<_>, String> = wanted.iter().map(column).collect();
    Ok(NumberColumns {
        columns: columns?,
        names,
    })
}

fn numbers_of(array: &ArrayRef) -> Option<Vec<f64>> {
    fn of<T: ArrowPrimitiveType>(
        array: &ArrayRef,
        number: fn(T::Native) -> f64,
    ) -> Option<Vec<f64>> {
        let array = array.as_any().downcast_ref::<PrimitiveArray<T>>()?;
        let numbers = array.iter().map(|value| value.map_or(f64::NAN, number));
        Some(numbers.collect())
    }
    of::<Float64Type>(array, |x| x)
        .or_else(|| of::<Float32Type>(array, f64::from))
        .or_else(|| of::<Int64Type>(array, |x| x as f64))
        .or_else(|| of::<Int32Type>(array, f64::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Float64Array;
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;
    use std::sync::Arc;

    #[test]
    fn parquet_as_pandas_and_pyarrow_write_it_is_read() {
        for compression in [Compression::SNAPPY, Compression::UNCOMPRESSED] {
            let values: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None]));
            let batch = RecordBatch::try_from_iter([("a", values)]).expect("one column");
            let properties = WriterProperties::builder().set_compression(compression);
            let mut bytes = Vec::new();
            let mut writer =
                ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build()))
                    .expect("a writer");
            writer.write(&batch).expect("one batch");
            writer.close().expect("the end");
            let found = number_columns(Path::new("a.parquet"), bytes, &["a", "b"]).expect("read");
            let a = found.columns[0].as_ref().expect("a");
            assert!(a[0] == 1.5 && a[1].is_nan() && a.len() == 2, "{a:?}");
            assert!(found.columns[1].is_none());
            assert_eq!(found.names, ["a"]);
        }
    }
}
