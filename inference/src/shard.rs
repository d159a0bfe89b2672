//! Shards: the Parquet schema of simulated rows, written by workers and checked by the coordinator.

use crate::draws::{Draws, parameter_column_names, theta_of_table};
use crate::files::{self, read_stored};
use crate::space::ParameterSpace;
use crate::table::{Column, Format, Read, Table, TableError, decode, encode};
use crate::task::ShardFile;
use arrow::array::{Float64Array, Int32Array, StringArray};
use std::path::Path;

const FORMAT: Format = Format {
    name: "sidereal-shard",
    version: "1",
};

/// Whether the forward model answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowStatus {
    Ok,
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

/// The rows of one batch, simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardRows {
    pub draws: Draws,
    /// log p(x_obs|θ): -inf where it is known to be zero, None where it is unknown (no observation, or
    /// the simulator failed); never NaN.
    pub log_likelihood: Vec<Option<f64>>,
    /// Length of the data.
    pub n_data: usize,
    /// The data before noise, row-major with `n_data` columns; NaN where the simulator failed.
    pub simulated: Vec<f32>,
    pub status: Vec<RowStatus>,
    /// Why a row failed.
    pub message: Vec<Option<String>>,
}

/// A shard without z and data: all that weights need.
#[derive(Debug, Clone, PartialEq)]
pub struct LogColumns {
    pub first_row: u64,
    pub n_parameters: usize,
    /// Row-major with `n_parameters` columns.
    pub theta: Vec<f64>,
    pub log_likelihood: Vec<Option<f64>>,
    pub log_prior: Vec<f64>,
    pub log_proposal: Vec<f64>,
    pub component: Vec<i32>,
    pub status: Vec<RowStatus>,
}

impl ShardRows {
    pub fn n_failed(&self) -> u64 {
        self.status
            .iter()
            .filter(|&&status| status == RowStatus::Failed)
            .count() as u64
    }

    /// The data of the `i`-th row here.
    pub fn simulated_row(&self, i: usize) -> &[f32] {
        &self.simulated[i * self.n_data..(i + 1) * self.n_data]
    }

    pub fn store(
        &self,
        directory: &Path,
        relative: &str,
        space: &ParameterSpace,
    ) -> Result<ShardFile, TableError> {
        let path = directory.join(relative);
        let status = self.status.iter().map(|status| status.name());
        let mut columns = self.draws.parameter_columns(space);
        columns.push(Column::nullable(
            "log_likelihood",
            Float64Array::from(self.log_likelihood.clone()),
        ));
        columns.push(Column::new(
            "component",
            Int32Array::from(self.draws.component.clone()),
        ));
        columns.push(Column::new("status", StringArray::from_iter_values(status)));
        columns.push(Column::nullable(
            "message",
            StringArray::from_iter(self.message.iter().map(Option::as_deref)),
        ));
        columns.push(Column::lists("x", &path, self.n_data, &self.simulated)?);
        let bytes = encode(
            &path,
            FORMAT,
            &[("round", self.draws.round.0.to_string())],
            columns,
        )?;
        Ok(ShardFile {
            round: self.draws.round,
            first_row: self.draws.first_row,
            n_rows: self.draws.n_rows() as u64,
            n_failed: self.n_failed(),
            file: files::store(directory, relative, &bytes)?,
        })
    }

    /// The whole shard; refuses other rows than `shard` names and values that no row can have.
    pub fn load(
        directory: &Path,
        shard: &ShardFile,
        space: &ParameterSpace,
    ) -> Result<Self, TableError> {
        let table = open(directory, shard, space, Read::All)?;
        let (n_data, simulated) = table.lists("x")?;
        Ok(Self {
            draws: Draws::from_table(&table, space, shard.round, shard.first_row)?,
            log_likelihood: table.optional_log_f64s("log_likelihood")?,
            n_data,
            simulated,
            status: status_of_table(&table, shard)?,
            message: table.optional_strings("message")?,
        })
    }
}

/// The columns that weights need, without reading the data.
pub fn load_log_columns(
    directory: &Path,
    shard: &ShardFile,
    space: &ParameterSpace,
) -> Result<LogColumns, TableError> {
    let table = open(directory, shard, space, Read::Without("x"))?;
    Ok(LogColumns {
        first_row: shard.first_row,
        n_parameters: space.len(),
        theta: theta_of_table(&table, space)?,
        log_likelihood: table.optional_log_f64s("log_likelihood")?,
        log_prior: table.log_f64s("log_prior")?,
        log_proposal: table.log_f64s("log_proposal")?,
        component: table.i32s("component")?,
        status: status_of_table(&table, shard)?,
    })
}

/// Whether a campaign weighs its draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighed {
    /// There is an observation: every row that did not fail has a log-likelihood.
    ByObservation,
    /// Amortized: no row has a log-likelihood.
    Never,
}

/// Whether a shard holds exactly the draws that were asked for (bit for bit), each with an answer of
/// `n_data` finite numbers and a log-likelihood as `weighed` says, or marked as failed without one.
pub fn check(
    directory: &Path,
    shard: &ShardFile,
    space: &ParameterSpace,
    n_data: usize,
    weighed: Weighed,
    expected: &Draws,
) -> Result<(), TableError> {
    let path = directory.join(&shard.file.path);
    let named = (shard.round.0, shard.first_row, shard.n_rows);
    let asked = (
        expected.round.0,
        expected.first_row,
        expected.n_rows() as u64,
    );
    if named != asked {
        let rows = |(round, first_row, n_rows): (u32, u64, u64)| {
            format!("round {round} row {first_row} and {n_rows} rows from it")
        };
        return Err(TableError::content(
            &path,
            "the batch",
            rows(named),
            rows(asked),
        ));
    }
    let rows = ShardRows::load(directory, shard, space)?;
    if rows.n_data != n_data {
        return Err(TableError::content(
            &path,
            "the width of column x",
            rows.n_data,
            n_data,
        ));
    }

    let draws = &rows.draws;
    let matrices = [
        ("", &draws.theta, &expected.theta),
        ("z_", &draws.z, &expected.z),
    ];
    for (prefix, found, expected) in matrices {
        if let Some(place) = first_difference(found, expected) {
            let (i, j) = (place / space.len(), place % space.len());
            let name = space.names()[j];
            let what = format!("{prefix}{name} in line {i}");
            return Err(TableError::content(
                &path,
                what,
                found[place],
                expected[place],
            ));
        }
    }
    let columns = [
        ("log_prior", &draws.log_prior, &expected.log_prior),
        ("log_proposal", &draws.log_proposal, &expected.log_proposal),
    ];
    for (name, found, expected) in columns {
        if let Some(i) = first_difference(found, expected) {
            return Err(TableError::content(
                &path,
                format!("{name} in line {i}"),
                found[i],
                expected[i],
            ));
        }
    }
    for (i, (found, expected)) in draws.component.iter().zip(&expected.component).enumerate() {
        if found != expected {
            return Err(TableError::content(
                &path,
                format!("component in line {i}"),
                found,
                expected,
            ));
        }
    }

    for (i, &status) in rows.status.iter().enumerate() {
        let known = status == RowStatus::Ok && weighed == Weighed::ByObservation;
        if rows.log_likelihood[i].is_some() != known {
            let what = format!("log_likelihood in line {i} (status {})", status.name());
            let found = rows.log_likelihood[i].map_or("null".to_owned(), |value| value.to_string());
            return Err(TableError::content(
                &path,
                what,
                found,
                if known { "a number" } else { "null" },
            ));
        }
        let broken = rows
            .simulated_row(i)
            .iter()
            .position(|value| !value.is_finite());
        if let (RowStatus::Ok, Some(j)) = (status, broken) {
            let what = format!("x[{j}] in line {i} (status ok)");
            return Err(TableError::content(
                &path,
                what,
                rows.simulated_row(i)[j],
                "a finite number",
            ));
        }
    }
    Ok(())
}

fn open(
    directory: &Path,
    shard: &ShardFile,
    space: &ParameterSpace,
    read: Read<'_>,
) -> Result<Table, TableError> {
    let path = directory.join(&shard.file.path);
    let bytes = read_stored(directory, &shard.file)?;
    let mut names = parameter_column_names(space);
    names.extend(["log_likelihood", "component", "status", "message", "x"].map(str::to_owned));
    let table = decode(&path, FORMAT, &names, read, bytes)?;
    table.check_metadata("round", &shard.round.0.to_string())?;
    table.check_rows(shard.first_row, shard.n_rows)?;
    Ok(table)
}

fn status_of_table(table: &Table, shard: &ShardFile) -> Result<Vec<RowStatus>, TableError> {
    let mut statuses = Vec::with_capacity(table.n_rows());
    for (i, name) in table.strings("status")?.iter().enumerate() {
        let Some(status) = RowStatus::from_name(name) else {
            return Err(table.content(format!("status in line {i}"), name, "ok or failed"));
        };
        statuses.push(status);
    }
    let n_failed = statuses
        .iter()
        .filter(|&&status| status == RowStatus::Failed)
        .count() as u64;
    if n_failed != shard.n_failed {
        return Err(table.content("the number of failed rows", n_failed, shard.n_failed));
    }
    Ok(statuses)
}

fn first_difference(found: &[f64], expected: &[f64]) -> Option<usize> {
    found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found.to_bits() != expected.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RoundId;
    use crate::prior::Prior;
    use crate::space::Parameter;
    use tempfile::TempDir;

    fn space() -> ParameterSpace {
        let prior = Prior::Uniform {
            low: 0.0,
            high: 1.0,
        };
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            prior: prior.clone(),
        };
        ParameterSpace {
            parameters: vec![parameter("a"), parameter("b")],
        }
    }

    /// Rows 10, 11 and 12 of round 1 with three data each; row 11 failed.
    fn rows() -> ShardRows {
        let draws = Draws {
            round: RoundId(1),
            first_row: 10,
            n_parameters: 2,
            z: vec![0.5, -0.5, 1.5, -1.5, 2.5, -2.5],
            theta: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
            log_prior: vec![0.0, 0.0, 0.0],
            log_proposal: vec![1.25, 2.25, 3.25],
            component: vec![0, -1, 0],
        };
        ShardRows {
            draws,
            log_likelihood: vec![Some(-1.0), None, Some(f64::NEG_INFINITY)],
            n_data: 3,
            simulated: vec![1.0, 2.0, 3.0, f32::NAN, f32::NAN, f32::NAN, 7.0, 8.0, 9.0],
            status: vec![RowStatus::Ok, RowStatus::Failed, RowStatus::Ok],
            message: vec![None, Some("no orbit".to_owned()), None],
        }
    }

    fn store(rows: &ShardRows) -> (TempDir, ShardFile) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let shard = rows
            .store(directory.path(), "shard.parquet", &space())
            .expect("store");
        (directory, shard)
    }

    #[test]
    fn shards_are_found_again_and_pass_their_check() {
        let rows = rows();
        let (directory, shard) = store(&rows);
        let numbers = (shard.round, shard.first_row, shard.n_rows, shard.n_failed);
        assert_eq!(numbers, (RoundId(1), 10, 3, 1));
        assert_eq!(store(&rows).1, shard, "the same rows give the same bytes");

        let loaded = ShardRows::load(directory.path(), &shard, &space()).expect("load");
        assert!(loaded.simulated[3..6].iter().all(|value| value.is_nan()));
        let without_nan = |rows: &ShardRows| {
            let simulated = rows
                .simulated
                .iter()
                .map(|&x| if x.is_nan() { -1.0 } else { x })
                .collect();
            ShardRows {
                simulated,
                ..rows.clone()
            }
        };
        assert_eq!(without_nan(&loaded), without_nan(&rows));

        let log_columns =
            load_log_columns(directory.path(), &shard, &space()).expect("log columns");
        let expected = LogColumns {
            first_row: 10,
            n_parameters: 2,
            theta: rows.draws.theta.clone(),
            log_likelihood: rows.log_likelihood.clone(),
            log_prior: rows.draws.log_prior.clone(),
            log_proposal: rows.draws.log_proposal.clone(),
            component: rows.draws.component.clone(),
            status: rows.status.clone(),
        };
        assert_eq!(log_columns, expected);
        check(
            directory.path(),
            &shard,
            &space(),
            3,
            Weighed::ByObservation,
            &rows.draws,
        )
        .expect("check");
    }

    #[test]
    fn an_empty_batch_keeps_its_width() {
        let rows = ShardRows {
            draws: rows().draws.slice(10..10),
            log_likelihood: vec![],
            n_data: 3,
            simulated: vec![],
            status: vec![],
            message: vec![],
        };
        let (directory, shard) = store(&rows);
        assert_eq!(
            ShardRows::load(directory.path(), &shard, &space()).expect("load"),
            rows
        );
    }

    #[test]
    fn every_kind_of_wrong_shard_is_refused_with_its_place() {
        fn change(change: impl FnOnce(&mut ShardRows)) -> ShardRows {
            let mut rows = rows();
            change(&mut rows);
            rows
        }
        let table = [
            (
                change(|rows| rows.draws.theta[3] = 0.41),
                "b in line 1 is 0.41, expected 0.4",
            ),
            (
                change(|rows| rows.draws.z[4] = 0.0),
                "z_a in line 2 is 0, expected 2.5",
            ),
            (
                change(|rows| rows.draws.log_prior[1] = -0.0),
                "log_prior in line 1 is -0, expected 0",
            ),
            (
                change(|rows| rows.draws.log_proposal[2] = 3.5),
                "log_proposal in line 2 is 3.5, expected 3.25",
            ),
            (
                change(|rows| rows.draws.component[1] = 1),
                "component in line 1 is 1, expected -1",
            ),
            (
                change(|rows| rows.draws.first_row = 11),
                "the batch is round 1 row 11 and 3 rows from it, expected round 1 row 10 and 3 rows from it",
            ),
            (
                change(|rows| rows.draws.round = RoundId(2)),
                "the batch is round 2 row 10 and 3 rows from it, expected round 1 row 10 and 3 rows from it",
            ),
            (
                change(|rows| rows.log_likelihood[0] = Some(f64::NAN)),
                "log_likelihood in line 0 is NaN, expected null, a finite number or -inf",
            ),
            (
                change(|rows| rows.log_likelihood[0] = None),
                "log_likelihood in line 0 (status ok) is null, expected a number",
            ),
            (
                change(|rows| rows.log_likelihood[1] = Some(0.5)),
                "log_likelihood in line 1 (status failed) is 0.5, expected null",
            ),
            (
                change(|rows| rows.simulated[7] = f32::INFINITY),
                "x[1] in line 2 (status ok) is inf, expected a finite number",
            ),
            (
                change(|rows| {
                    rows.n_data = 1;
                    rows.simulated = vec![1.0; 3];
                }),
                "the width of column x is 1, expected 3",
            ),
        ];
        for (rows, expected) in table {
            let (directory, shard) = store(&rows);
            let error = check(
                directory.path(),
                &shard,
                &space(),
                3,
                Weighed::ByObservation,
                &super::tests::rows().draws,
            )
            .expect_err(expected);
            let path = directory.path().join("shard.parquet");
            assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));
        }
    }

    #[test]
    fn reports_that_do_not_fit_their_shard_are_refused() {
        let rows = rows();
        let (directory, shard) = store(&rows);
        let refused = |shard: ShardFile| {
            let error = ShardRows::load(directory.path(), &shard, &space())
                .expect_err("refused")
                .to_string();
            error.rsplit(": ").next().unwrap_or_default().to_owned()
        };
        assert_eq!(
            refused(ShardFile {
                n_failed: 0,
                ..shard.clone()
            }),
            "the number of failed rows is 1, expected 0"
        );
        assert_eq!(
            refused(ShardFile {
                n_rows: 4,
                ..shard.clone()
            }),
            "the number of rows is 3, expected 4"
        );
        assert_eq!(
            refused(ShardFile {
                first_row: 9,
                ..shard.clone()
            }),
            "row_id in line 0 is 10, expected 9"
        );
        assert_eq!(
            refused(ShardFile {
                round: RoundId(0),
                ..shard.clone()
            }),
            "sidereal.round is 1, expected 0"
        );

        let never = check(
            directory.path(),
            &shard,
            &space(),
            3,
            Weighed::Never,
            &rows.draws,
        )
        .expect_err("weighed");
        assert!(
            never
                .to_string()
                .ends_with("log_likelihood in line 0 (status ok) is -1, expected null"),
            "{never}"
        );
    }

    #[test]
    fn files_of_other_formats_are_refused() {
        let rows = rows();
        let (directory, shard) = store(&rows);
        let draws = rows
            .draws
            .store(&space(), directory.path(), "draws.parquet")
            .expect("store");
        let error = ShardRows::load(
            directory.path(),
            &ShardFile {
                file: draws,
                ..shard.clone()
            },
            &space(),
        );
        let message = error.expect_err("draws").to_string();
        assert!(
            message.ends_with("sidereal.format is sidereal-draws, expected sidereal-shard"),
            "{message}"
        );

        let text = files::store(directory.path(), "text", b"not a table at all").expect("store");
        let error = ShardRows::load(
            directory.path(),
            &ShardFile {
                file: text,
                ..shard
            },
            &space(),
        );
        let message = error.expect_err("text").to_string();
        let start = format!(
            "cannot read {} as Parquet: ",
            directory.path().join("text").display()
        );
        assert!(message.starts_with(&start), "{message}");
    }
}
