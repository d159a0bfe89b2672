//! `samples.parquet`: draws of equal weight, for whatever takes no weights. Parameters only, so that a corner plot of all columns is one of
//! the posterior.

use super::directory::Directory;
use super::draws::parameter_columns;
use super::posterior::Posterior;
use super::table::{Format, TableError, encode};
use crate::base::{Purpose, RoundId, RowId, equal_draws, stream};
use crate::space::ParameterSpace;
use crate::weights::n_eff_of;

use rand::RngExt;
use rand::seq::SliceRandom;
use std::path::Path;

const FORMAT: Format = Format {
    name: "sidereal-samples",
    version: "1",
};

/// Its name, in a campaign or prediction directory.
pub const SAMPLES_FILE: &str = "samples.parquet";

/// Rows that a histogram needs, even where the posterior is worth fewer.
const FEWEST_ROWS: usize = 1000;

/// Draws of a posterior, each as often as its weight says, in random order.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Columns of `theta`.
    pub n_parameters: usize,
    /// Row-major with `n_parameters` columns.
    pub theta: Vec<f64>,
}

impl Samples {
    /// As many rows as the posterior is worth, its n_eff, and 1,000 at least: a draw that weighs more than a row's share
    /// stands there more than once. No rows where no weight is positive.
    pub fn of(posterior: &Posterior, seed: u64) -> Self {
        let n_rows = (n_eff_of(&posterior.weight).round() as usize).max(FEWEST_ROWS);
        let mut rng = stream(seed, RoundId(0), RowId(0), Purpose::Resample);
        let mut chosen = equal_draws(&posterior.weight, n_rows, rng.random_range(0.0..1.0));
        // The comb leaves the draws in the order of rounds.
        chosen.shuffle(&mut rng);
        Self {
            n_parameters: posterior.n_parameters,
            theta: chosen
                .iter()
                .flat_map(|&i| posterior.theta_row(i))
                .copied()
                .collect(),
        }
    }

    /// Writes [`SAMPLES_FILE`]; the same draws give the same bytes.
    pub fn store(&self, space: &ParameterSpace, directory: &Directory) -> Result<(), TableError> {
        let bytes = self.encode(space, &directory.join(SAMPLES_FILE))?;
        Ok(directory.write(SAMPLES_FILE, bytes)?)
    }

    /// The file's bytes; `path` is for messages.
    pub fn encode(&self, space: &ParameterSpace, path: &Path) -> Result<Vec<u8>, TableError> {
        let columns = parameter_columns(space, "", &self.theta);
        encode(path, FORMAT, &[], columns.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::table::{Read, decode};
    use crate::space::{Parameter, Prior};

    fn posterior(weight: Vec<f64>) -> Posterior {
        let n = weight.len();
        let rising = |step: f64| (0..n).map(|i| step * i as f64).collect::<Vec<f64>>();
        Posterior {
            n_parameters: 1,
            theta: rising(0.5),
            log_likelihood: rising(-1.0),
            log_prior: rising(0.25),
            log_proposal: vec![0.0; n],
            round: vec![0; n],
            row_id: (0..n as u64).collect(),
            weight,
        }
    }

    #[test]
    fn draws_are_there_as_often_as_they_weigh_and_in_random_order() {
        let samples = Samples::of(&posterior(vec![0.5, 0.0, 0.25, 0.25]), 7);
        let count = |value: f64| {
            samples
                .theta
                .iter()
                .filter(|theta| **theta == value)
                .count()
        };
        assert_eq!([0.0, 0.5, 1.0, 1.5].map(count), [500, 0, 250, 250]);
        assert!(!samples.theta.is_sorted());
        assert_eq!(samples.theta[..8], [0.0, 0.0, 1.5, 1.0, 1.0, 0.0, 0.0, 1.0]);

        // 1 / Σw² - 1 of 3,000 equal weights.
        let many = Samples::of(&posterior(vec![1.0 / 3000.0; 3000]), 7);
        assert_eq!(many.theta.len(), 2999);
        let nothing = Samples::of(&posterior(vec![0.0; 3]), 7);
        assert!(nothing.theta.is_empty());
    }

    #[test]
    fn the_file_is_the_same_for_the_same_seed_and_has_no_weights() {
        let prior = Prior::Uniform {
            low: 0.0,
            high: 2.0,
        };
        let space = ParameterSpace::independent(vec![Parameter {
            name: "a".to_owned(),
            prior,
            periodic: false,
        }]);
        let directory = Directory::in_memory();
        let posterior = posterior(vec![0.125, 0.5, 0.375]);
        let bytes = |seed| {
            let samples = Samples::of(&posterior, seed);
            samples.store(&space, &directory).expect("store");
            directory.read(SAMPLES_FILE).expect("read")
        };
        let first = bytes(3);
        assert_eq!(first, bytes(3));
        assert_ne!(first, bytes(4));
        let names = ["a".to_owned()];
        let path = directory.join(SAMPLES_FILE);
        let table = decode(&path, FORMAT, &names, Read::All, first).expect("a table");
        let samples = Samples::of(&posterior, 3);
        let column = |name: &str| table.finite_f64s(name).expect("a column");
        assert_eq!(column("a"), samples.theta);
    }
}
