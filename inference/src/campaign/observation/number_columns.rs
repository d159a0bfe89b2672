//! Columns of numbers of a table of any size, by their names: text, ECSV, FITS or Parquet.

use super::cell::Cell;
use super::mistakes::{FileMistakes, Place};
use super::open::Table;
use super::parquet_file::{BEGINNING, ParquetFile, undamaged};
use super::reading::Reading;
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
    let found = match bytes.starts_with(BEGINNING) {
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
    undamaged(|| read_parquet(bytes, wanted))
        .map_err(|message| mistakes.add(Place::File, message))
        .ok()
}

fn read_parquet(bytes: Vec<u8>, wanted: &[&str]) -> Result<NumberColumns, String> {
    let file = ParquetFile::open(bytes)?;
    let names = file.names.clone();
    let found = file.read(wanted)?;
    let column = |wanted: &&str| -> Result<Option<Vec<f64>>, String> {
        match names.iter().any(|name| name == wanted) {
            true => found.numbers(wanted).map(Some),
            false => Ok(None),
        }
    };
    let columns: Result<Vec<_>, String> = wanted.iter().map(column).collect();
    Ok(NumberColumns {
        columns: columns?,
        names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Float64Array, RecordBatch};
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
