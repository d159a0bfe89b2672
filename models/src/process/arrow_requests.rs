//! Requests as an Arrow stream.

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Float64Array, RecordBatch, UInt64Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// Makes the bytes of a stream of requests, piece by piece.
pub struct RequestWriter {
    schema: SchemaRef,
    stream: StreamWriter<Vec<u8>>,
}

impl RequestWriter {
    pub fn new(parameters: &[String]) -> Result<Self, ArrowError> {
        let mut fields = vec![
            Field::new("row_id", DataType::UInt64, false),
            Field::new("seed", DataType::FixedSizeBinary(16), false),
        ];
        fields.extend(
            parameters
                .iter()
                .map(|name| Field::new(name, DataType::Float64, false)),
        );
        let schema = Arc::new(Schema::new(fields));
        let stream = StreamWriter::try_new(Vec::new(), &schema)?;
        Ok(Self { schema, stream })
    }

    /// The next request's bytes, before the first one with the stream's schema; `theta` is \[row, parameter\].
    pub fn request(
        &mut self,
        first_row: u64,
        theta: &[f64],
        seeds: &[[u8; 16]],
    ) -> Result<Vec<u8>, ArrowError> {
        let n_rows = seeds.len();
        let row_ids = UInt64Array::from_iter_values(first_row..first_row + n_rows as u64);
        let seeds = seeds.as_flattened().to_vec().into();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(row_ids),
            Arc::new(FixedSizeBinaryArray::try_new(16, seeds, None)?),
        ];
        let width = self.schema.fields().len() - columns.len();
        for place in 0..width {
            let values = theta.iter().skip(place).step_by(width).copied();
            columns.push(Arc::new(Float64Array::from_iter_values(values)));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.stream.write(&batch)?;
        Ok(std::mem::take(self.stream.get_mut()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_ipc::reader::StreamReader;

    #[test]
    fn requests_are_one_stream() {
        let names = ["a", "b"].map(str::to_owned);
        let mut writer = RequestWriter::new(&names).unwrap();
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
