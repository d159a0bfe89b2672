//! Parquet tables of ours: named plain columns, a format name and a version, checked on opening.

mod error;
mod footer;
mod pages;

pub use error::TableError;

use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Float64Array, PrimitiveArray, RecordBatch,
    StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file of ours says that it is, in the Parquet key-value metadata.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    /// `sidereal.format`
    pub name: &'static str,
    /// `sidereal.version`
    pub version: &'static str,
}

/// One column: its name, its values, and whether they may be null.
pub(crate) struct Column {
    name: String,
    values: ArrayRef,
    nullable: bool,
}

impl Column {
    pub fn new(name: impl Into<String>, values: impl Array + 'static) -> Self {
        Self {
            name: name.into(),
            values: Arc::new(values),
            nullable: false,
        }
    }

    pub fn nullable(name: impl Into<String>, values: impl Array + 'static) -> Self {
        Self {
            nullable: true,
            ..Self::new(name, values)
        }
    }

    pub fn doubles(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self::new(name, Float64Array::from(values))
    }

    /// `width` numbers a row.
    pub fn lists(
        name: impl Into<String>,
        path: &Path,
        width: usize,
        values: &[f32],
    ) -> Result<Self, TableError> {
        let name = name.into();
        let size = i32::try_from(width).map_err(|_| {
            TableError::content(path, format!("width of column {name}"), width, i32::MAX)
        })?;
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let values = Arc::new(Float32Array::from(values.to_vec()));
        let lists = FixedSizeListArray::try_new(item, size, values, None)
            .map_err(|source| TableError::parquet("write", path, source))?;
        Ok(Self::new(name, lists))
    }
}

/// What [`decode`] expects of a file of such columns.
pub(crate) fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// The Parquet file of `columns`; the same columns give the same bytes. `path` is for messages.
pub(crate) fn encode(
    path: &Path,
    format: Format,
    metadata: &[(&str, String)],
    columns: Vec<Column>,
) -> Result<Vec<u8>, TableError> {
    let failed = |source: &dyn Display| TableError::parquet("write", path, source);
    let field = |column: &Column| {
        let data_type = column.values.data_type().clone();
        Field::new(&column.name, data_type, column.nullable)
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|column| column.values).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|source| failed(&source))?;

    let mut key_values = vec![
        KeyValue::new("sidereal.format".to_owned(), format.name.to_owned()),
        KeyValue::new("sidereal.version".to_owned(), format.version.to_owned()),
    ];
    for (key, value) in metadata {
        key_values.push(KeyValue::new(format!("sidereal.{key}"), value.clone()));
    }
    let level = ZstdLevel::try_new(1).map_err(|source| failed(&source))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        // Columns of random numbers repeat nothing.
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(key_values))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties))
        .map_err(|source| failed(&source))?;
    writer.write(&batch).map_err(|source| failed(&source))?;
    writer.close().map_err(|source| failed(&source))?;
    Ok(bytes)
}

/// Columns of a file of ours, of all rows or of some that follow each other.
pub(crate) struct Table {
    path: PathBuf,
    batches: Vec<RecordBatch>,
    schema: SchemaRef,
    metadata: Vec<KeyValue>,
    n_rows: usize,
    /// The line of the file that the first row here is.
    first_line: usize,
}

/// Which of a file's columns are read.
#[derive(Clone, Copy)]
pub(crate) enum Read<'a> {
    All,
    Without(&'a str),
}

/// Opens `bytes` as a file of `format` with exactly the columns `names`, and reads them whole.
pub(crate) fn decode(
    path: &Path,
    format: Format,
    names: &[String],
    read: Read<'_>,
    bytes: Bytes,
) -> Result<Table, TableError> {
    let mut pieces = Pieces::open(path, format, names, read, bytes)?;
    let mut batches = Vec::new();
    while let Some(batch) = pieces.read()? {
        batches.push(batch);
    }
    let mut table = pieces.table;
    table.n_rows = batches.iter().map(RecordBatch::num_rows).sum();
    table.batches = batches;
    Ok(table)
}

/// A file of ours that is read some rows at a time, so that memory does not grow with their number.
pub(crate) struct Pieces {
    /// The rows that were read last.
    table: Table,
    reader: ParquetRecordBatchReader,
    contents: Arc<ParquetMetaData>,
}

impl Pieces {
    /// As [`decode`].
    pub fn open(
        path: &Path,
        format: Format,
        names: &[String],
        read: Read<'_>,
        bytes: Bytes,
    ) -> Result<Self, TableError> {
        undamaged(path, || open_or_panic(path, format, names, read, bytes))
    }

    /// The rows that follow; None after the last.
    pub fn next(&mut self) -> Result<Option<&Table>, TableError> {
        let Some(batch) = self.read()? else {
            return Ok(None);
        };
        self.table.first_line += self.table.n_rows;
        self.table.n_rows = batch.num_rows();
        self.table.batches = vec![batch];
        Ok(Some(&self.table))
    }

    /// As [`Table::check_metadata`].
    pub fn check_metadata(&self, key: &str, expected: &str) -> Result<(), TableError> {
        self.table.check_metadata(key, expected)
    }

    /// Of all row groups, each with its column's name.
    fn chunks(&self) -> impl Iterator<Item = (&str, &ColumnChunkMetaData)> {
        let groups = self.contents.row_groups().iter();
        groups.flat_map(|group| group.columns()).map(|chunk| {
            let name = chunk.column_path().parts().first();
            (name.map_or("", String::as_str), chunk)
        })
    }

    /// Refuses, before anything is unpacked, columns that say that they are larger than `most_bytes` of their name,
    /// and those that could be read as more than is unpacked. For files of those who may be broken.
    pub fn check_sizes(&self, most_bytes: impl Fn(&str) -> u64) -> Result<(), TableError> {
        let mut bytes_by_column: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, column) in self.chunks() {
            let repeats = column
                .encodings()
                .find(|encoding| ![Encoding::PLAIN, Encoding::RLE].contains(encoding));
            if let Some(encoding) = repeats {
                let what = format!("the encoding of column {name}");
                return Err(self.table.content(what, encoding, Encoding::PLAIN));
            }
            let n_bytes = u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX);
            let sum = bytes_by_column.entry(name).or_default();
            *sum = sum.saturating_add(n_bytes);
        }
        for (name, n_bytes) in bytes_by_column {
            let most = most_bytes(name);
            if n_bytes > most {
                return Err(self.table.content(
                    format!("the unpacked size of column {name}"),
                    format!("{n_bytes} bytes"),
                    format!("at most {most} bytes"),
                ));
            }
        }
        Ok(())
    }

    /// Refuses pages that are none of ours, and those that say that they unpack to more than their column does.
    fn check_pages(&self, bytes: &[u8]) -> Result<(), TableError> {
        for (name, column) in self.chunks() {
            let start = column
                .dictionary_page_offset()
                .unwrap_or(column.data_page_offset());
            let end = start.saturating_add(column.compressed_size());
            let place = |offset: i64| usize::try_from(offset).ok();
            let range = place(start).zip(place(end));
            let Some(chunk) = range.and_then(|(start, end)| bytes.get(start..end)) else {
                return Err(self.table.content(
                    format!("the place of column {name}"),
                    format!("bytes {start} to {end}"),
                    format!("within the {} bytes of the file", bytes.len()),
                ));
            };
            let unpacked = pages::unpacked_bytes(chunk).map_err(|found| {
                let what = format!("a page of column {name}");
                self.table
                    .content(what, found, "a data page of plain values")
            })?;
            let most = u64::try_from(column.uncompressed_size()).unwrap_or(0);
            if unpacked > most {
                return Err(self.table.content(
                    format!("what the pages of column {name} unpack to"),
                    format!("{unpacked} bytes"),
                    format!("at most the column's {most} bytes"),
                ));
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, TableError> {
        let path = &self.table.path;
        let batch = undamaged(path, || Ok(self.reader.next()))?;
        batch
            .transpose()
            .map_err(|source| TableError::parquet("read", path, source))
    }
}

/// The parquet crate means to return errors, but has panicked on damaged files before.
fn undamaged<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, TableError>,
) -> Result<T, TableError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(TableError::parquet("read", path, "the file is damaged")))
}

fn open_or_panic(
    path: &Path,
    format: Format,
    names: &[String],
    read: Read<'_>,
    bytes: Bytes,
) -> Result<Pieces, TableError> {
    let failed = |source: &dyn Display| TableError::parquet("read", path, source);
    footer::check(&bytes).map_err(|found| failed(&found))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
        .map_err(|source| failed(&source))?;
    let metadata = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .cloned()
        .unwrap_or_default();
    let table = Table {
        path: path.to_owned(),
        batches: Vec::new(),
        schema: builder.schema().clone(),
        metadata,
        n_rows: 0,
        first_line: 0,
    };
    table.check_metadata("format", format.name)?;
    table.check_metadata("version", format.version)?;
    let fields = table.schema.fields().iter();
    let found: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
    if found != names {
        return Err(table.content("the list of columns", found.join(", "), names.join(", ")));
    }
    let roots = (0..names.len()).filter(|&i| match read {
        Read::All => true,
        Read::Without(name) => names[i] != name,
    });
    let contents = Arc::clone(builder.metadata());
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder
        .with_projection(mask)
        .build()
        .map_err(|source| failed(&source))?;
    let pieces = Pieces {
        table,
        reader,
        contents,
    };
    pieces.check_pages(&bytes)?;
    Ok(pieces)
}

impl Table {
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The line of the file that the first row here is.
    pub fn first_line(&self) -> usize {
        self.first_line
    }

    /// "`what` of this file is `found`, expected `expected`".
    pub fn content(
        &self,
        what: impl Display,
        found: impl Display,
        expected: impl Display,
    ) -> TableError {
        TableError::content(&self.path, what, found, expected)
    }

    /// As [`content`](Self::content), of a column in the `i`-th row here, by its line in the file.
    pub fn cell(
        &self,
        column: &str,
        i: usize,
        found: impl Display,
        expected: impl Display,
    ) -> TableError {
        let line = self.first_line + i;
        self.content(format!("{column} in line {line}"), found, expected)
    }

    /// Refuses another value of `sidereal.<key>`.
    pub fn check_metadata(&self, key: &str, expected: &str) -> Result<(), TableError> {
        let key = format!("sidereal.{key}");
        let pair = self.metadata.iter().find(|pair| pair.key == key);
        let found = pair.and_then(|pair| pair.value.as_deref());
        if found != Some(expected) {
            return Err(self.content(key, found.unwrap_or("missing"), expected));
        }
        Ok(())
    }

    /// Refuses rows other than `first_row .. first_row + n_rows`, in order.
    pub fn check_rows(&self, first_row: u64, n_rows: u64) -> Result<(), TableError> {
        if self.n_rows as u64 != n_rows {
            return Err(self.content("the number of rows", self.n_rows, n_rows));
        }
        for (i, found) in self.u64s("row_id")?.into_iter().enumerate() {
            let expected = first_row.saturating_add(i as u64);
            if found != expected {
                return Err(self.cell("row_id", i, found, expected));
            }
        }
        Ok(())
    }

    pub fn u64s(&self, name: &str) -> Result<Vec<u64>, TableError> {
        self.plain::<UInt64Type>(name, "u64")
    }

    pub fn u32s(&self, name: &str) -> Result<Vec<u32>, TableError> {
        self.plain::<UInt32Type>(name, "u32")
    }

    pub fn i32s(&self, name: &str) -> Result<Vec<i32>, TableError> {
        self.plain::<Int32Type>(name, "i32")
    }

    /// A column of finite numbers.
    pub fn finite_f64s(&self, name: &str) -> Result<Vec<f64>, TableError> {
        self.checked_f64s(name, f64::is_finite, "a finite number")
    }

    /// A column of log densities: finite or -inf.
    pub fn log_f64s(&self, name: &str) -> Result<Vec<f64>, TableError> {
        self.checked_f64s(name, is_log, "a finite number or -inf")
    }

    /// Infinite ones too: densities that divide, and so leave nothing.
    pub fn log_denominators(&self, name: &str) -> Result<Vec<f64>, TableError> {
        self.checked_f64s(name, |value| !value.is_nan(), "a number or an infinity")
    }

    fn checked_f64s(
        &self,
        name: &str,
        good: fn(f64) -> bool,
        expected: &str,
    ) -> Result<Vec<f64>, TableError> {
        let values = self.plain::<Float64Type>(name, "f64")?;
        match values.iter().position(|&value| !good(value)) {
            Some(i) => Err(self.cell(name, i, values[i], expected)),
            None => Ok(values),
        }
    }

    /// A column of numbers or nulls.
    pub fn optional_f64s(&self, name: &str) -> Result<Vec<Option<f64>>, TableError> {
        let mut values = Vec::with_capacity(self.n_rows);
        for array in self.arrays::<Float64Array>(name, "f64")? {
            values.extend(array.iter());
        }
        Ok(values)
    }

    /// A column of log densities or nulls.
    pub fn optional_log_f64s(&self, name: &str) -> Result<Vec<Option<f64>>, TableError> {
        let values = self.optional_f64s(name)?;
        for (i, value) in values.iter().enumerate() {
            if let Some(value) = value.filter(|value| !is_log(*value)) {
                return Err(self.cell(name, i, value, "null, a finite number or -inf"));
            }
        }
        Ok(values)
    }

    pub fn strings(&self, name: &str) -> Result<Vec<&str>, TableError> {
        let mut values = Vec::with_capacity(self.n_rows);
        for array in self.required::<StringArray>(name, "utf8")? {
            values.extend(array.iter().map(Option::unwrap_or_default));
        }
        Ok(values)
    }

    pub fn optional_strings(&self, name: &str) -> Result<Vec<Option<String>>, TableError> {
        let mut values = Vec::with_capacity(self.n_rows);
        for array in self.arrays::<StringArray>(name, "utf8")? {
            values.extend(array.iter().map(|value| value.map(str::to_owned)));
        }
        Ok(values)
    }

    /// A column of lists of one length: the length, and the numbers of all rows.
    pub fn lists(&self, name: &str) -> Result<(usize, Vec<f32>), TableError> {
        const KIND: &str = "a fixed-size list of f32";
        let kind = self.schema.field_with_name(name).map(Field::data_type);
        let Ok(DataType::FixedSizeList(_, width)) = kind else {
            return Err(self.content(format!("type of column {name}"), format!("{kind:?}"), KIND));
        };
        let width = usize::try_from(*width).unwrap_or(0);
        let mut numbers = Vec::new();
        for array in self.required::<FixedSizeListArray>(name, KIND)? {
            let Some(values) = array.values().as_any().downcast_ref::<Float32Array>() else {
                return Err(self.wrong_type(name, array, KIND));
            };
            self.refuse_nulls(name, values)?;
            numbers.extend_from_slice(values.values());
        }
        let n_expected = width.saturating_mul(self.n_rows);
        if numbers.len() != n_expected {
            let what = format!("the number of values in column {name}");
            return Err(self.content(what, numbers.len(), n_expected));
        }
        Ok((width, numbers))
    }

    fn plain<T: ArrowPrimitiveType>(
        &self,
        name: &str,
        kind: &str,
    ) -> Result<Vec<T::Native>, TableError> {
        let mut values = Vec::with_capacity(self.n_rows);
        for array in self.required::<PrimitiveArray<T>>(name, kind)? {
            values.extend_from_slice(array.values());
        }
        Ok(values)
    }

    fn required<A: Array + 'static>(&self, name: &str, kind: &str) -> Result<Vec<&A>, TableError> {
        let arrays = self.arrays::<A>(name, kind)?;
        for array in &arrays {
            self.refuse_nulls(name, *array)?;
        }
        Ok(arrays)
    }

    fn refuse_nulls(&self, name: &str, array: &impl Array) -> Result<(), TableError> {
        match array.null_count() {
            0 => Ok(()),
            _ => Err(self.content(format!("column {name}"), "partly null", "without nulls")),
        }
    }

    fn arrays<A: Array + 'static>(&self, name: &str, kind: &str) -> Result<Vec<&A>, TableError> {
        let mut arrays = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let Some(array) = batch.column_by_name(name) else {
                return Err(self.content(format!("column {name}"), "missing", kind));
            };
            let Some(array) = array.as_any().downcast_ref::<A>() else {
                return Err(self.wrong_type(name, array, kind));
            };
            arrays.push(array);
        }
        Ok(arrays)
    }

    fn wrong_type(&self, name: &str, found: &dyn Array, expected: &str) -> TableError {
        let what = format!("type of column {name}");
        self.content(what, found.data_type(), expected)
    }
}

fn is_log(value: f64) -> bool {
    value.is_finite() || value == f64::NEG_INFINITY
}
