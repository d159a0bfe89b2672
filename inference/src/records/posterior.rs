//! `posterior.parquet`: weighted draws of all rounds.

use super::directory::{Directory, StoredFile};
use super::draws::{derived_columns, derived_of_table, parameter_columns, parameters_of_table};
use super::table::{Column, Format, Read, TableError, decode, encode, names};
use crate::base::{RoundId, RowId};
use crate::space::ParameterSpace;
use arrow_array::{UInt32Array, UInt64Array};
use std::path::Path;

const FORMAT: Format = Format {
    name: "sidereal-posterior",
    version: "1",
};

/// All draws whose likelihood is known, in order of round and row; rows of weight zero included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Posterior {
    /// Columns of `theta`.
    pub n_parameters: usize,
    /// Row-major with `n_parameters` columns.
    pub theta: Vec<f64>,
    /// Columns of `derived`.
    pub n_derived: usize,
    /// What the model gives beside, row-major with `n_derived` columns; NaN where it has no value.
    pub derived: Vec<f64>,
    /// log p(x_obs|θ), normalized.
    pub log_likelihood: Vec<f64>,
    /// log p(θ), in the parameters' own units.
    pub log_prior: Vec<f64>,
    /// The denominator that the weight used: w ∝ exp(log_likelihood + log_prior - log_proposal). Infinite for rows of rounds
    /// that do not count.
    pub log_proposal: Vec<f64>,
    /// The round of each row.
    pub round: Vec<u32>,
    /// The row in its round, as shards have it.
    pub row_id: Vec<u64>,
    /// Sums to 1.
    pub weight: Vec<f64>,
}

/// One weighted draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PosteriorRow<'a> {
    /// As many as there are parameters, in their own units.
    pub theta: &'a [f64],
    /// As many as the model gives beside; NaN where it has no value.
    pub derived: &'a [f64],
    /// log p(x_obs|θ), normalized.
    pub log_likelihood: f64,
    /// log p(θ), in the parameters' own units.
    pub log_prior: f64,
    /// As [`Posterior::log_proposal`].
    pub log_proposal: f64,
    /// The round that drew it.
    pub round: RoundId,
    /// Its row in that round.
    pub row: RowId,
    /// Of all draws' weights, whose sum is 1.
    pub weight: f64,
}

impl Posterior {
    /// Of rows in order of round and row.
    pub fn of_rows<'a>(
        space: &ParameterSpace,
        rows: impl IntoIterator<Item = PosteriorRow<'a>>,
    ) -> Self {
        let mut posterior = Self {
            n_parameters: space.len(),
            n_derived: space.derived.len(),
            ..Self::default()
        };
        for row in rows {
            posterior.theta.extend_from_slice(row.theta);
            posterior.derived.extend_from_slice(row.derived);
            posterior.log_likelihood.push(row.log_likelihood);
            posterior.log_prior.push(row.log_prior);
            posterior.log_proposal.push(row.log_proposal);
            posterior.round.push(row.round.0);
            posterior.row_id.push(row.row.0);
            posterior.weight.push(row.weight);
        }
        posterior
    }

    /// The number of draws.
    pub fn n_rows(&self) -> usize {
        self.weight.len()
    }

    /// The parameters of the `i`-th draw.
    pub fn theta_row(&self, i: usize) -> &[f64] {
        &self.theta[i * self.n_parameters..(i + 1) * self.n_parameters]
    }

    /// What people are shown of the `i`-th draw, in the order of [`ParameterSpace::shown`].
    pub fn shown_row(&self, space: &ParameterSpace, i: usize) -> impl Iterator<Item = f64> {
        let derived = &self.derived[i * self.n_derived..(i + 1) * self.n_derived];
        let theta: &[f64] = match space.is_transformed() {
            true => &[],
            false => self.theta_row(i),
        };
        theta.iter().chain(derived).copied()
    }

    /// Writes the file; the same posterior gives the same bytes.
    pub fn store(
        &self,
        space: &ParameterSpace,
        directory: &Directory,
        relative: &str,
    ) -> Result<StoredFile, TableError> {
        let bytes = self.encode(space, &directory.join(relative))?;
        Ok(directory.store(relative, bytes)?)
    }

    /// The file's bytes; `path` is for messages.
    pub fn encode(&self, space: &ParameterSpace, path: &Path) -> Result<Vec<u8>, TableError> {
        encode(path, FORMAT, &[], self.columns(space))
    }

    fn columns(&self, space: &ParameterSpace) -> Vec<Column> {
        let others = [
            Column::doubles("log_likelihood", self.log_likelihood.clone()),
            Column::doubles("log_prior", self.log_prior.clone()),
            Column::doubles("log_proposal", self.log_proposal.clone()),
            Column::new("round", UInt32Array::from(self.round.clone())),
            Column::new("row_id", UInt64Array::from(self.row_id.clone())),
            Column::doubles("weight", self.weight.clone()),
        ];
        let parameters = parameter_columns(space, "", &self.theta);
        let derived = derived_columns(space, &self.derived);
        parameters.chain(derived).chain(others).collect()
    }

    /// Refuses a file that is missing, of another format or parameter space, or with numbers that are none.
    pub fn load(
        directory: &Directory,
        relative: &str,
        space: &ParameterSpace,
    ) -> Result<Self, TableError> {
        let expected = names(&Self::of_rows(space, []).columns(space));
        let (path, bytes) = (directory.join(relative), directory.read(relative)?);
        let table = decode(&path, FORMAT, &expected, Read::All, bytes)?;
        let weight = table.finite_f64s("weight")?;
        if let Some(i) = weight.iter().position(|&weight| weight < 0.0) {
            return Err(table.cell("weight", i, weight[i], "at least 0"));
        }
        Ok(Self {
            n_parameters: space.len(),
            theta: parameters_of_table(&table, space, "")?,
            n_derived: space.derived.len(),
            derived: derived_of_table(&table, space)?,
            log_likelihood: table.log_f64s("log_likelihood")?,
            log_prior: table.log_f64s("log_prior")?,
            log_proposal: table.log_denominators("log_proposal")?,
            round: table.u32s("round")?,
            row_id: table.u64s("row_id")?,
            weight,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Prior};

    #[test]
    fn posterior_is_found_again_and_damage_is_an_error_not_a_panic() {
        let prior = Prior::Uniform {
            low: 0.0,
            high: 1.0,
        };
        let space = ParameterSpace::independent(vec![Parameter {
            name: "a".to_owned(),
            prior,
            periodic: false,
        }]);
        let posterior = Posterior {
            n_parameters: 1,
            theta: vec![0.25, 0.5, 0.75],
            n_derived: 0,
            derived: Vec::new(),
            log_likelihood: vec![-1.0, f64::NEG_INFINITY, -2.0],
            log_prior: vec![0.0; 3],
            log_proposal: vec![0.5, f64::INFINITY, 0.125],
            round: vec![0, 0, 1],
            row_id: vec![0, 2, 0],
            weight: vec![0.75, 0.0, 0.25],
        };
        let directory = Directory::in_memory();
        posterior
            .store(&space, &directory, "posterior.parquet")
            .expect("store");
        let load = || Posterior::load(&directory, "posterior.parquet", &space);
        assert_eq!(load().expect("load"), posterior);

        let good = directory.read("posterior.parquet").expect("read");
        for length in 0..good.len() {
            directory
                .write("posterior.parquet", good.slice(..length))
                .expect("cut");
            assert!(load().is_err(), "{length} of {} bytes", good.len());
        }
        for place in 0..good.len() {
            let mut bytes = good.to_vec();
            bytes[place] ^= 0x55;
            directory.write("posterior.parquet", bytes).expect("damage");
            // Most changes are noticed; one in the bits of a number cannot be. None may panic.
            let _ = load();
        }
    }
}
