//! The Parquet schema of shards.

use crate::base::RoundId;
use crate::base::files::StoredFileError;
use crate::campaign::Campaign;
use crate::records::directory::Directory;
use crate::records::draws::{Draws, derived_columns, derived_of_table};
use crate::records::table::{Column, Format, Read, Table, TableError, decode, encode, names};
use crate::records::task::ShardFile;
use crate::space::ParameterSpace;
use arrow_array::{Float64Array, StringArray};
use bytes::Bytes;
use std::fmt::Display;
use std::path::Path;

pub(super) const FORMAT: Format = Format {
    name: "sidereal-shard",
    version: "1",
};

/// The column of the data before noise.
pub(crate) const DATA: &str = "x";

/// Longest message of a failed row; a longer one is cut.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// Shards that are read at the same time, and most bytes of them.
const FILES_AT_A_TIME: usize = 32;
const BYTES_AT_A_TIME: u64 = 64 << 20;

/// Whether the forward model answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowStatus {
    /// It did.
    Ok,
    /// It did not.
    Failed,
}

impl RowStatus {
    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::Failed]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// The message of a row that was tried several times: for a crash, a limit of time or memory, or whatever else need not come
/// again.
pub fn tried_again(n_tries: u32, message: impl Display) -> String {
    format!("{TRIED}{n_tries} times: {message}")
}

/// Whether a row failed so.
pub(crate) fn was_tried_again(message: &str) -> bool {
    message.starts_with(TRIED)
}

const TRIED: &str = "tried ";

/// What the columns of a campaign's shards follow from.
#[derive(Debug, Clone, Copy)]
pub struct ShardLayout<'a> {
    /// Which parameters there are.
    pub space: &'a ParameterSpace,
    /// Length of the data; 0 where the model is a log-likelihood alone: there is no column of data then.
    pub n_data: usize,
}

impl<'a> ShardLayout<'a> {
    /// Of this campaign's.
    pub fn of(campaign: &'a Campaign) -> Self {
        Self {
            space: &campaign.space,
            n_data: campaign.simulator.grid.len(),
        }
    }

    /// All columns but those of the data. Where there are none, a parameter may have their name.
    pub(crate) fn but_data(self) -> Read<'static> {
        match self.n_data {
            0 => Read::All,
            _ => Read::Without(DATA),
        }
    }
}

/// The rows of one batch, simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardRows {
    /// Of which the data are.
    pub draws: Draws,
    /// log p(x_obs|θ): -inf where it is known to be zero, None where it is unknown (no observation, or
    /// the simulator failed); never NaN.
    pub log_likelihood: Vec<Option<f64>>,
    /// Length of the data; 0 where they were not read.
    pub n_data: usize,
    /// The data before noise, row-major with `n_data` columns; NaN where the simulator failed.
    pub simulated: Vec<f32>,
    /// Derived quantities of a row.
    pub n_derived: usize,
    /// What the model gives beside, row-major with `n_derived` columns; NaN where it has no value or the simulator failed.
    pub derived: Vec<f64>,
    /// One a row.
    pub status: Vec<RowStatus>,
    /// Why a row failed.
    pub message: Vec<Option<String>>,
}

impl ShardRows {
    /// Draws that nobody could run: failed rows with the reason.
    pub fn given_up(draws: Draws, layout: ShardLayout<'_>, message: &str) -> Self {
        let mut rows = Self::unanswered(draws, layout);
        (0..rows.status.len()).for_each(|i| rows.fail(i, message.to_owned()));
        rows
    }

    /// Draws whose data and likelihoods are to be filled in; none has failed.
    pub fn unanswered(draws: Draws, layout: ShardLayout<'_>) -> Self {
        let n_rows = draws.n_rows();
        let (n_data, n_derived) = (layout.n_data, layout.space.derived.len());
        Self {
            draws,
            log_likelihood: vec![None; n_rows],
            n_data,
            simulated: vec![f32::NAN; n_rows * n_data],
            n_derived,
            derived: vec![f64::NAN; n_rows * n_derived],
            status: vec![RowStatus::Ok; n_rows],
            message: vec![None; n_rows],
        }
    }

    /// Adds the rows that follow directly, of the same layout.
    pub fn append(&mut self, next: Self) {
        debug_assert_eq!((self.n_data, self.n_derived), (next.n_data, next.n_derived));
        self.draws.append(next.draws);
        self.log_likelihood.extend(next.log_likelihood);
        self.simulated.extend(next.simulated);
        self.derived.extend(next.derived);
        self.status.extend(next.status);
        self.message.extend(next.message);
    }

    /// The `i`-th row here has no answer.
    pub fn fail(&mut self, i: usize, message: String) {
        let (n_data, n_derived) = (self.n_data, self.n_derived);
        self.simulated[i * n_data..(i + 1) * n_data].fill(f32::NAN);
        self.derived[i * n_derived..(i + 1) * n_derived].fill(f64::NAN);
        self.log_likelihood[i] = None;
        self.status[i] = RowStatus::Failed;
        self.message[i] = Some(message);
    }

    /// Rows without an answer.
    pub fn n_failed(&self) -> u64 {
        let is_failed = |status: &&RowStatus| **status == RowStatus::Failed;
        self.status.iter().filter(is_failed).count() as u64
    }

    /// The data of the `i`-th row here.
    pub fn simulated_row(&self, i: usize) -> &[f32] {
        &self.simulated[i * self.n_data..(i + 1) * self.n_data]
    }

    /// The derived quantities of the `i`-th row here.
    pub fn derived_row(&self, i: usize) -> &[f64] {
        &self.derived[i * self.n_derived..(i + 1) * self.n_derived]
    }

    /// Writes the file; the same rows give the same bytes. Messages of more than [`MAX_MESSAGE_BYTES`] are cut.
    pub fn store(
        &self,
        directory: &Directory,
        relative: &str,
        space: &ParameterSpace,
    ) -> Result<ShardFile, TableError> {
        let path = directory.join(relative);
        let round = [("round", self.draws.round.0.to_string())];
        let messages = self.message.iter();
        let messages: Vec<_> = messages.map(|text| text.as_deref().map(cut)).collect();
        let columns = self.columns(&path, space, &messages)?;
        let bytes = encode(&path, FORMAT, &round, columns)?;
        Ok(ShardFile {
            round: self.draws.round,
            first_row: self.draws.first_row,
            n_rows: self.draws.n_rows() as u64,
            n_failed: self.n_failed(),
            file: directory.store(relative, bytes)?,
        })
    }

    pub(super) fn columns(
        &self,
        path: &Path,
        space: &ParameterSpace,
        messages: &[Option<&str>],
    ) -> Result<Vec<Column>, TableError> {
        let log_likelihood = Float64Array::from(self.log_likelihood.clone());
        let status = self.status.iter().map(|status| status.name());
        let mut columns = self.draws.columns(space);
        columns.extend([
            Column::nullable("log_likelihood", log_likelihood),
            Column::new("status", StringArray::from_iter_values(status)),
            Column::nullable("message", StringArray::from(messages.to_vec())),
        ]);
        columns.extend(derived_columns(space, &self.derived));
        if self.n_data > 0 {
            columns.push(Column::lists(DATA, path, self.n_data, &self.simulated)?);
        }
        Ok(columns)
    }

    /// The whole shard; refuses other rows than `shard` names and values that no row can have.
    pub fn load(
        directory: &Directory,
        shard: &ShardFile,
        layout: ShardLayout<'_>,
    ) -> Result<Self, TableError> {
        let bytes = directory.read_stored(&shard.file)?;
        Self::parse(directory, shard, bytes, layout, Read::All)
    }

    /// As [`Self::load`], without reading the data.
    pub fn load_without_data(
        directory: &Directory,
        shard: &ShardFile,
        layout: ShardLayout<'_>,
    ) -> Result<Self, TableError> {
        let bytes = directory.read_stored(&shard.file)?;
        Self::parse(directory, shard, bytes, layout, layout.but_data())
    }

    fn parse(
        directory: &Directory,
        shard: &ShardFile,
        bytes: Bytes,
        layout: ShardLayout<'_>,
        read: Read<'_>,
    ) -> Result<Self, TableError> {
        let path = directory.join(&shard.file.path);
        let table = decode(&path, FORMAT, &column_names(&path, layout)?, read, bytes)?;
        table.check_metadata("round", &shard.round.0.to_string())?;
        table.check_rows(shard.first_row, shard.n_rows)?;
        let rows = Self::from_table(&table, layout, shard.round, shard.first_row, read)?;
        check_n_failed(directory, shard, rows.n_failed())?;
        Ok(rows)
    }

    pub(super) fn from_table(
        table: &Table,
        layout: ShardLayout<'_>,
        round: RoundId,
        first_row: u64,
        read: Read<'_>,
    ) -> Result<Self, TableError> {
        let (n_data, simulated) = match read {
            Read::All if layout.n_data > 0 => table.lists(DATA)?,
            Read::All | Read::Without(_) => (0, Vec::new()),
        };
        Ok(Self {
            draws: Draws::from_table(table, layout.space, round, first_row)?,
            log_likelihood: table.optional_log_f64s("log_likelihood")?,
            n_data,
            simulated,
            n_derived: layout.space.derived.len(),
            derived: derived_of_table(table, layout.space)?,
            status: status_of_table(table)?,
            message: table.optional_strings("message")?,
        })
    }
}

/// Calls `on_rows` with whole shards, one after the other. Their files are read some at a time, so that a store far away
/// is waited for once for all of them; one that is missing or not as recorded is an error that says how to mend it.
pub fn for_each_rows(
    directory: &Directory,
    shards: &[ShardFile],
    layout: ShardLayout<'_>,
    on_rows: impl FnMut(ShardRows),
) -> Result<(), TableError> {
    for_each_shard(directory, shards, layout, Read::All, on_rows)
}

/// As [`for_each_rows`], with or without the data.
pub(crate) fn for_each_shard(
    directory: &Directory,
    shards: &[ShardFile],
    layout: ShardLayout<'_>,
    read: Read<'_>,
    mut on_rows: impl FnMut(ShardRows),
) -> Result<(), TableError> {
    for group in at_a_time(shards) {
        let files: Vec<_> = group.iter().map(|shard| &shard.file).collect();
        let all_bytes = directory.read_all_stored(&files).map_err(|source| {
            if source.is_store_fault() {
                return TableError::Stored(source);
            }
            TableError::DamagedShard {
                location: directory.location().to_owned(),
                source: Box::new(source),
            }
        })?;
        for (shard, bytes) in group.iter().zip(all_bytes) {
            on_rows(ShardRows::parse(directory, shard, bytes, layout, read)?);
        }
    }
    Ok(())
}

/// Which of these shards are missing or not as recorded, and how; an error where the storage is at fault.
pub fn damaged(
    directory: &Directory,
    shards: &[ShardFile],
) -> Result<Vec<(ShardFile, StoredFileError)>, StoredFileError> {
    let mut damaged = Vec::new();
    for group in at_a_time(shards) {
        let files: Vec<_> = group.iter().map(|shard| &shard.file).collect();
        if directory.read_all_stored(&files).is_ok() {
            continue;
        }
        for shard in group {
            match directory.read_stored(&shard.file) {
                Ok(_) => {}
                Err(error) if error.is_store_fault() => return Err(error),
                Err(error) => damaged.push((shard.clone(), error)),
            }
        }
    }
    Ok(damaged)
}

/// As many shards as are read at the same time, again and again.
fn at_a_time(shards: &[ShardFile]) -> impl Iterator<Item = &[ShardFile]> {
    let mut rest = shards;
    std::iter::from_fn(move || {
        let mut n_bytes = 0;
        let n = rest
            .iter()
            .take(FILES_AT_A_TIME)
            .take_while(|shard| {
                let fits = n_bytes == 0 || n_bytes + shard.file.n_bytes <= BYTES_AT_A_TIME;
                n_bytes += shard.file.n_bytes;
                fits
            })
            .count();
        let (now, later) = rest.split_at(n);
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

/// The beginning of a message that is too long.
fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)]
}

pub(super) fn column_names(
    path: &Path,
    layout: ShardLayout<'_>,
) -> Result<Vec<String>, TableError> {
    let none = Draws::empty(RoundId(0), 0, layout.space.len());
    let none = ShardRows::given_up(none, layout, "");
    let columns = none.columns(path, layout.space, &[])?;
    Ok(names(&columns))
}

fn status_of_table(table: &Table) -> Result<Vec<RowStatus>, TableError> {
    let mut statuses = Vec::with_capacity(table.n_rows());
    for (i, name) in table.strings("status")?.into_iter().enumerate() {
        let status = RowStatus::from_name(name);
        statuses.push(status.ok_or_else(|| table.cell("status", i, name, "ok or failed"))?);
    }
    Ok(statuses)
}

pub(super) fn check_n_failed(
    directory: &Directory,
    shard: &ShardFile,
    n_failed: u64,
) -> Result<(), TableError> {
    if n_failed == shard.n_failed {
        return Ok(());
    }
    let (path, what) = (
        directory.join(&shard.file.path),
        "the number of failed rows",
    );
    Err(TableError::content(&path, what, n_failed, shard.n_failed))
}
