//! Draws of one round: parameters with their unconstrained z and log densities, and `draws.parquet`.

use super::directory::{Directory, StoredFile};
use super::table::{Column, Format, Read, Table, TableError, decode, encode, names};
use crate::base::{Purpose, RoundId, RowId, column, stream};
use crate::space::ParameterSpace;
use crate::weights::Component;
use arrow_array::{Float64Array, Int32Array, UInt64Array};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

const FORMAT: Format = Format {
    name: "sidereal-draws",
    version: "1",
};

/// Rows `first_row ..` of a round, column by column; matrices are row-major with `n_parameters` columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    /// Its number.
    pub round: RoundId,
    /// Counted from 0 within the round.
    pub first_row: u64,
    /// Columns of the matrices.
    pub n_parameters: usize,
    /// Unconstrained parameters, standard normal under the prior; what flows score.
    pub z: Vec<f64>,
    /// Parameters in their own units, `space.constrain(z)`.
    pub theta: Vec<f64>,
    /// log p(θ), in the parameters' own units.
    pub log_prior: Vec<f64>,
    /// log q(θ) of the whole proposal of this round.
    pub log_proposal: Vec<f64>,
    /// What each row was drawn from.
    pub component: Vec<Component>,
}

impl Draws {
    /// No rows yet; the next one is `first_row`.
    pub fn empty(round: RoundId, first_row: u64, n_parameters: usize) -> Self {
        Self {
            round,
            first_row,
            n_parameters,
            z: Vec::new(),
            theta: Vec::new(),
            log_prior: Vec::new(),
            log_proposal: Vec::new(),
            component: Vec::new(),
        }
    }

    /// Rows `rows` of a round that draws from the prior. Each row has its own stream: first the uniform
    /// number that picks the component (unused here), then one standard normal number a parameter.
    pub fn from_prior(space: &ParameterSpace, seed: u64, round: RoundId, rows: Range<u64>) -> Self {
        let n_parameters = space.len();
        let mut draws = Self::empty(round, rows.start, n_parameters);
        let mut z = vec![0.0; n_parameters];
        let mut theta = vec![0.0; n_parameters];
        for row in rows {
            let mut rng = stream(seed, round, RowId(row), Purpose::Draw);
            let _picks_component: f64 = rng.random();
            for z in &mut z {
                *z = StandardNormal.sample(&mut rng);
            }
            space.constrain(&z, &mut theta);
            let log_prior = space.log_prior(&theta);
            draws.z.extend_from_slice(&z);
            draws.theta.extend_from_slice(&theta);
            draws.log_prior.push(log_prior);
            draws.log_proposal.push(log_prior);
            draws.component.push(Component::Prior);
        }
        draws
    }

    /// Rows here.
    pub fn n_rows(&self) -> usize {
        self.component.len()
    }

    /// The row after the last one here.
    pub fn end_row(&self) -> u64 {
        self.first_row + self.n_rows() as u64
    }

    /// The `i`-th row here, row `first_row + i` of the round.
    pub fn z_row(&self, i: usize) -> &[f64] {
        &self.z[i * self.n_parameters..(i + 1) * self.n_parameters]
    }

    /// As [`z_row`](Self::z_row).
    pub fn theta_row(&self, i: usize) -> &[f64] {
        &self.theta[i * self.n_parameters..(i + 1) * self.n_parameters]
    }

    /// Rows `rows` of the round, as far as they are here.
    pub fn slice(&self, rows: Range<u64>) -> Self {
        let place =
            |row: u64| (row.clamp(self.first_row, self.end_row()) - self.first_row) as usize;
        let start = place(rows.start);
        let end = place(rows.end).max(start);
        let matrix = start * self.n_parameters..end * self.n_parameters;
        Self {
            round: self.round,
            first_row: self.first_row + start as u64,
            n_parameters: self.n_parameters,
            z: self.z[matrix.clone()].to_vec(),
            theta: self.theta[matrix].to_vec(),
            log_prior: self.log_prior[start..end].to_vec(),
            log_proposal: self.log_proposal[start..end].to_vec(),
            component: self.component[start..end].to_vec(),
        }
    }

    /// Adds the rows that follow directly.
    pub fn append(&mut self, next: Self) {
        debug_assert_eq!(
            (self.round, self.end_row()),
            (next.round, next.first_row),
            "rows follow each other"
        );
        self.z.extend(next.z);
        self.theta.extend(next.theta);
        self.log_prior.extend(next.log_prior);
        self.log_proposal.extend(next.log_proposal);
        self.component.extend(next.component);
    }

    /// Writes them whole; the error is one of the storage. The same draws give the same bytes.
    pub fn store(
        &self,
        space: &ParameterSpace,
        directory: &Directory,
        relative: &str,
    ) -> Result<StoredFile, TableError> {
        let path = directory.join(relative);
        let round = [("round", self.round.0.to_string())];
        let bytes = encode(&path, FORMAT, &round, self.columns(space))?;
        Ok(directory.store(relative, bytes)?)
    }

    /// All rows of `round`; refuses a file of another format, round or parameter space.
    pub fn load(
        directory: &Directory,
        stored: &StoredFile,
        space: &ParameterSpace,
        round: RoundId,
    ) -> Result<Self, TableError> {
        let path = directory.join(&stored.path);
        let bytes = directory.read_stored(stored)?;
        let columns = Self::empty(round, 0, space.len()).columns(space);
        let table = decode(&path, FORMAT, &names(&columns), Read::All, bytes)?;
        table.check_metadata("round", &round.0.to_string())?;
        table.check_rows(0, table.n_rows() as u64)?;
        Self::from_table(&table, space, round, 0)
    }

    /// Row ids, parameters, z, log densities and components; shards begin with them.
    pub(super) fn columns(&self, space: &ParameterSpace) -> Vec<Column> {
        let row_ids = UInt64Array::from_iter_values(self.first_row..self.end_row());
        let mut columns = vec![Column::new("row_id", row_ids)];
        columns.extend(parameter_columns(space, "", &self.theta));
        columns.extend(parameter_columns(space, "z_", &self.z));
        let codes = self.component.iter().map(|component| component.code());
        columns.extend([
            Column::doubles("log_prior", self.log_prior.clone()),
            Column::doubles("log_proposal", self.log_proposal.clone()),
            Column::new("component", Int32Array::from_iter_values(codes)),
        ]);
        columns
    }

    pub(crate) fn from_table(
        table: &Table,
        space: &ParameterSpace,
        round: RoundId,
        first_row: u64,
    ) -> Result<Self, TableError> {
        let codes = table.i32s("component")?;
        Ok(Self {
            round,
            first_row,
            n_parameters: space.len(),
            z: parameters_of_table(table, space, "z_")?,
            theta: parameters_of_table(table, space, "")?,
            log_prior: table.log_f64s("log_prior")?,
            log_proposal: table.log_f64s("log_proposal")?,
            component: codes.into_iter().map(Component::from_code).collect(),
        })
    }
}

/// One column a parameter of a row-major matrix; names are those of the parameters behind `prefix`.
pub(super) fn parameter_columns(
    space: &ParameterSpace,
    prefix: &str,
    matrix: &[f64],
) -> impl Iterator<Item = Column> {
    let names = space.names().into_iter().enumerate();
    names.map(move |(j, name)| {
        let values = column(matrix, space.len(), j);
        Column::doubles(format!("{prefix}{name}"), values)
    })
}

/// One column a derived quantity of a row-major matrix; NaN is no value.
pub(super) fn derived_columns(
    space: &ParameterSpace,
    matrix: &[f64],
) -> impl Iterator<Item = Column> {
    let derived = space.derived.iter().enumerate();
    derived.map(move |(j, derived)| {
        let values = column(matrix, space.derived.len(), j).into_iter();
        let values = values.map(|value| (!value.is_nan()).then_some(value));
        Column::nullable(derived.name.as_str(), Float64Array::from_iter(values))
    })
}

/// The row-major matrix of such columns, with NaN where there is no value.
pub(super) fn derived_of_table(
    table: &Table,
    space: &ParameterSpace,
) -> Result<Vec<f64>, TableError> {
    let mut columns = Vec::new();
    for derived in &space.derived {
        columns.push(table.optional_f64s(&derived.name)?);
    }
    let mut matrix = Vec::with_capacity(table.n_rows() * columns.len());
    for i in 0..table.n_rows() {
        matrix.extend(columns.iter().map(|column| column[i].unwrap_or(f64::NAN)));
    }
    Ok(matrix)
}

/// The row-major matrix of such columns; refuses numbers that are not finite.
pub(super) fn parameters_of_table(
    table: &Table,
    space: &ParameterSpace,
    prefix: &str,
) -> Result<Vec<f64>, TableError> {
    let mut columns = Vec::new();
    for name in space.names() {
        columns.push(table.finite_f64s(&format!("{prefix}{name}"))?);
    }
    let mut matrix = Vec::with_capacity(table.n_rows() * columns.len());
    for i in 0..table.n_rows() {
        matrix.extend(columns.iter().map(|column| column[i]));
    }
    Ok(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Prior};

    fn space() -> ParameterSpace {
        let parameter = |name: &str, prior| Parameter {
            name: name.to_owned(),
            prior,
            periodic: false,
        };
        ParameterSpace::independent(vec![
            parameter(
                "a",
                Prior::Uniform {
                    low: -1.0,
                    high: 3.0,
                },
            ),
            parameter("b", Prior::Normal { mean: 2.0, sd: 0.5 }),
        ])
    }

    #[test]
    fn rows_do_not_depend_on_the_range_they_are_drawn_in() {
        let space = space();
        let whole = Draws::from_prior(&space, 7, RoundId(0), 0..100);
        assert_eq!(whole.n_rows(), 100);
        assert_eq!(
            whole.slice(40..60),
            Draws::from_prior(&space, 7, RoundId(0), 40..60)
        );
        assert_eq!(
            whole.slice(90..200),
            Draws::from_prior(&space, 7, RoundId(0), 90..100)
        );
        assert_eq!(whole.slice(200..300).n_rows(), 0);
        let mut parts = whole.slice(0..33);
        parts.append(whole.slice(33..34));
        parts.append(whole.slice(34..100));
        assert_eq!(parts, whole);
        assert_ne!(whole.z, Draws::from_prior(&space, 8, RoundId(0), 0..100).z);
        assert_ne!(whole.z, Draws::from_prior(&space, 7, RoundId(1), 0..100).z);
    }

    #[test]
    fn draws_are_found_again_bit_for_bit_and_written_the_same_twice() {
        let space = space();
        let directory = Directory::in_memory();
        let mut draws = Draws::from_prior(&space, 7, RoundId(3), 0..5000);
        draws.log_proposal[17] = -1e300;
        draws.component[18] = Component::Flow(crate::base::FlowId(2));
        let stored = draws
            .store(&space, &directory, "draws.parquet")
            .expect("store");
        let again = draws
            .store(&space, &directory, "again.parquet")
            .expect("store");
        assert_eq!(stored.sha256, again.sha256);
        let loaded = Draws::load(&directory, &stored, &space, RoundId(3)).expect("load");
        assert_eq!(loaded, draws);
    }

    #[test]
    fn draws_of_something_else_are_refused() {
        let space = space();
        let directory = Directory::in_memory();
        let draws = Draws::from_prior(&space, 7, RoundId(3), 0..5);
        let stored = draws
            .store(&space, &directory, "draws.parquet")
            .expect("store");
        let path = directory.join("draws.parquet");
        let refused = |space: &ParameterSpace, round| {
            let error = Draws::load(&directory, &stored, space, round).expect_err("refused");
            error
                .to_string()
                .replace(&path.display().to_string(), "FILE")
        };
        assert_eq!(
            refused(&space, RoundId(4)),
            "FILE: sidereal.round is 3, expected 4"
        );
        let mut other = space.clone();
        other.parameters[1].name = "c".to_owned();
        assert_eq!(
            refused(&other, RoundId(3)),
            "FILE: the list of columns is row_id, a, b, z_a, z_b, log_prior, log_proposal, component, \
             expected row_id, a, c, z_a, z_c, log_prior, log_proposal, component"
        );

        let tail = draws
            .slice(2..5)
            .store(&space, &directory, "tail.parquet")
            .expect("store");
        let error = Draws::load(&directory, &tail, &space, RoundId(3)).expect_err("refused");
        assert!(
            error
                .to_string()
                .ends_with("row_id in line 0 is 2, expected 0"),
            "{error}"
        );

        let mut broken = draws.clone();
        broken.theta[3] = f64::NAN;
        let broken = broken
            .store(&space, &directory, "broken.parquet")
            .expect("store");
        let error = Draws::load(&directory, &broken, &space, RoundId(3)).expect_err("refused");
        assert!(
            error
                .to_string()
                .ends_with("b in line 1 is NaN, expected a finite number"),
            "{error}"
        );
    }
}
