//! Requests as an Arrow stream.

use crate::process::settings::Hello;
use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, FixedSizeListArray, Float64Array, RecordBatch, UInt64Array,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use std::sync::Arc;

/// Makes the bytes of a stream of requests, piece by piece.
pub struct RequestWriter {
    schema: SchemaRef,
    stream: StreamWriter<Vec<u8>>,
}

impl RequestWriter {
    pub fn new(hello: &Hello) -> Result<Self, ArrowError> {
        let mut fields = vec![
            Field::new("row_id", DataType::UInt64, false),
            Field::new("seed", DataType::FixedSizeBinary(16), false),
        ];
        if hello.functions.noise.is_some() {
            let width = i32::try_from(hello.n_data)
                .map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))?;
            let list = DataType::FixedSizeList(item(), width);
            fields.push(Field::new("x", list, false));
        }
        let parameters = hello.parameters.iter();
        fields.extend(parameters.map(|name| Field::new(name, DataType::Float64, false)));
        let schema = Arc::new(Schema::new(fields));
        let stream = StreamWriter::try_new(Vec::new(), &schema)?;
        Ok(Self { schema, stream })
    }

    /// The next request's bytes, before the first one with the stream's schema; `inputs` is \[row, input\], with what
    /// [`Hello::n_inputs`] counts.
    pub fn request(
        &mut self,
        first_row: u64,
        inputs: &[f64],
        seeds: &[[u8; 16]],
    ) -> Result<Vec<u8>, ArrowError> {
        let n_rows = seeds.len();
        let row_ids = UInt64Array::from_iter_values(first_row..first_row + n_rows as u64);
        let seeds = seeds.as_flattened().to_vec().into();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(row_ids),
            Arc::new(FixedSizeBinaryArray::try_new(16, seeds, None)?),
        ];
        let n_inputs = inputs.len() / n_rows.max(1);
        let mut place = 0;
        for field in &self.schema.fields()[columns.len()..] {
            let rows = inputs.chunks_exact(n_inputs.max(1));
            if let DataType::FixedSizeList(item, width) = field.data_type() {
                let n_data = *width as usize;
                let values = rows.flat_map(|row| row[place..place + n_data].iter().copied());
                let values = Arc::new(Float64Array::from_iter_values(values));
                let list = FixedSizeListArray::try_new(Arc::clone(item), *width, values, None)?;
                columns.push(Arc::new(list));
                place += n_data;
            } else {
                let values = rows.map(|row| row[place]);
                columns.push(Arc::new(Float64Array::from_iter_values(values)));
                place += 1;
            }
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.stream.write(&batch)?;
        Ok(std::mem::take(self.stream.get_mut()))
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float64, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::settings::Functions;
    use arrow_ipc::reader::StreamReader;

    fn hello(parameters: &[&str], n_data: usize, noise: Option<&str>) -> Hello {
        Hello {
            functions: Functions {
                noise: noise.map(str::to_owned),
                ..Functions::default()
            },
            parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
            n_data,
            observed: None,
            theta: None,
            blobs: Vec::new(),
            block: 0,
            global_rng: false,
        }
    }

    #[test]
    fn data_to_add_noise_to_are_one_column_before_the_parameters() {
        let mut writer = RequestWriter::new(&hello(&["a"], 2, Some("noise.py:f"))).unwrap();
        let bytes = writer
            .request(4, &[1.0, 2.0, 0.5, 3.0, 4.0, 0.25], &[[1; 16], [2; 16]])
            .unwrap();
        let found: Vec<RecordBatch> = StreamReader::try_new(bytes.as_slice(), None)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let values = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0]));
        let x = FixedSizeListArray::try_new(item(), 2, values, None).unwrap();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(vec![4, 5])),
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1; 16], [2; 16]].iter()).unwrap()),
            Arc::new(x),
            Arc::new(Float64Array::from(vec![0.5, 0.25])),
        ];
        let expected = RecordBatch::try_new(found[0].schema(), columns).unwrap();
        assert_eq!(found, [expected]);
        let schema = found[0].schema();
        let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        assert_eq!(names, ["row_id", "seed", "x", "a"]);
    }

    #[test]
    fn requests_are_one_stream() {
        let mut writer = RequestWriter::new(&hello(&["a", "b"], 3, None)).unwrap();
        let mut bytes = writer
            .request(7, &[1.0, 2.0, 3.0, 4.0], &[[1; 16], [2; 16]])
            .unwrap();
        bytes.extend(writer.request(9, &[5.0, 6.0], &[[3; 16]]).unwrap());
        let found: Vec<RecordBatch> = StreamReader::try_new(bytes.as_slice(), None)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let expected = |ids: Vec<u64>, seeds: &[[u8; 16]], a: Vec<f64>, b: Vec<f64>| {
            let seeds = FixedSizeBinaryArray::try_from_iter(seeds.iter()).unwrap();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from(ids)),
                Arc::new(seeds),
                Arc::new(Float64Array::from(a)),
                Arc::new(Float64Array::from(b)),
            ];
            RecordBatch::try_new(found[0].schema(), columns).unwrap()
        };
        assert_eq!(
            found,
            [
                expected(
                    vec![7, 8],
                    &[[1; 16], [2; 16]],
                    vec![1.0, 3.0],
                    vec![2.0, 4.0]
                ),
                expected(vec![9], &[[3; 16]], vec![5.0], vec![6.0]),
            ]
        );
    }
}
