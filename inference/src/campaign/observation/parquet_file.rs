//! Parquet files of others, whatever wrote them: columns by their names.

use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How such a file begins.
pub(super) const BEGINNING: &[u8] = b"PAR1";

/// A file that is open: its columns are known, its rows not yet read.
pub(super) struct ParquetFile {
    builder: ParquetRecordBatchReaderBuilder<Bytes>,
    /// Names of all columns.
    pub names: Vec<String>,
}

/// The columns of a file that were asked for.
pub(super) struct ParquetColumns {
    batches: Vec<RecordBatch>,
}

/// The parquet crate means to return errors, but has panicked on damaged files before.
pub(super) fn undamaged<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("the file is damaged".to_owned()))
}

impl ParquetFile {
    pub fn open(bytes: Vec<u8>) -> Result<Self, String> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))
            .map_err(|error| error.to_string())?;
        let fields = builder.schema().fields().iter();
        let names = fields.map(|field| field.name().clone()).collect();
        Ok(Self { builder, names })
    }

    /// The columns called `wanted`, as far as there are.
    pub fn read(self, wanted: &[&str]) -> Result<ParquetColumns, String> {
        let places = wanted
            .iter()
            .filter_map(|wanted| self.names.iter().position(|name| name == wanted));
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), places);
        let reader = self
            .builder
            .with_projection(mask)
            .build()
            .map_err(|error| error.to_string())?;
        let batches: Result<Vec<RecordBatch>, _> = reader.collect();
        let batches = batches.map_err(|error| error.to_string())?;
        Ok(ParquetColumns { batches })
    }
}

impl ParquetColumns {
    /// A column of numbers; NaN where there is none.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, String> {
        let mut numbers = Vec::new();
        for array in self.arrays(name)? {
            numbers.extend(numbers_of(array).ok_or_else(|| {
                let kind = array.data_type();
                format!("column {name} is of type {kind}, expected numbers")
            })?);
        }
        Ok(numbers)
    }

    /// A column piece by piece.
    pub fn arrays(&self, name: &str) -> Result<Vec<&ArrayRef>, String> {
        let array = |batch| RecordBatch::column_by_name(batch, name).ok_or("a column is missing");
        let arrays: Result<Vec<_>, _> = self.batches.iter().map(array).collect();
        Ok(arrays?)
    }
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
