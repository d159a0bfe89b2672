//! The peer of the rows: the same Parquet files written by `ArrowWriter` and synced, nothing else.

use crate::Fallible;
use crate::usage::Usage;
use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sidereal_inference::records::{Directory, ShardFile};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::thread::scope;
use std::time::Instant;

pub struct Written {
    pub seconds: f64,
    pub cpu_s: f64,
}

/// Writes the rows of these shards once more, a file for each, on so many threads. Reading them is not counted.
pub fn write(directory: &Directory, shards: &[ShardFile], n_threads: usize) -> Fallible<Written> {
    let batches: Vec<RecordBatch> = shards
        .iter()
        .map(|shard| read(directory, shard))
        .collect::<Fallible<_>>()?;
    let place = tempfile::tempdir()?;
    let folder = File::open(place.path())?;
    let before = Usage::of_this_process()?;
    let started = Instant::now();
    scope(|scope| {
        let write_every = |first: usize| {
            let path = |i: usize| place.path().join(format!("{i}.parquet"));
            let (batches, folder) = (&batches, &folder);
            move || -> Fallible {
                for i in (first..batches.len()).step_by(n_threads) {
                    write_file(&path(i), &batches[i])?;
                    folder.sync_all()?;
                }
                Ok(())
            }
        };
        let threads: Vec<_> = (0..n_threads)
            .map(|first| scope.spawn(write_every(first)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a writer panicked")?)
    })?;
    Ok(Written {
        seconds: started.elapsed().as_secs_f64(),
        cpu_s: Usage::of_this_process()?.cpu_s - before.cpu_s,
    })
}

fn read(directory: &Directory, shard: &ShardFile) -> Fallible<RecordBatch> {
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(directory.read(&shard.file.path)?)?
        .with_batch_size(usize::try_from(shard.n_rows)?)
        .build()?;
    Ok(batches.next().ok_or("an empty shard")??)
}

/// With the properties of our shards.
fn write_file(path: &Path, batch: &RecordBatch) -> Fallible {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_enabled(false)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    let mut file = File::create(path)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(())
}
