//! `samples.parquet`: draws of equal weight, for whatever takes no weights. What people are shown only, so that a corner plot of all columns is one of
//! the posterior.

use super::directory::Directory;
use super::posterior::Posterior;
use super::table::{Column, Format, TableError, encode};
use crate::base::{Purpose, RoundId, RowId, column, equal_draws, stream};
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
    /// As [`ParameterSpace::shown`].
    pub names: Vec<String>,
    /// Row-major with a column a name; NaN where there is no value.
    pub shown: Vec<f64>,
}

impl Samples {
    /// As many rows as the posterior is worth, its n_eff, and 1,000 at least: a draw that weighs more than a row's share
    /// stands there more than once. No rows where no weight is positive.
    pub fn of(space: &ParameterSpace, posterior: &Posterior, seed: u64) -> Self {
        let n_rows = (n_eff_of(&posterior.weight).round() as usize).max(FEWEST_ROWS);
        let mut rng = stream(seed, RoundId(0), RowId(0), Purpose::Resample);
        let mut chosen = equal_draws(&posterior.weight, n_rows, rng.random_range(0.0..1.0));
        // The comb leaves the draws in the order of rounds.
        chosen.shuffle(&mut rng);
        Self {
            names: space.shown().map(|(name, _)| name.to_owned()).collect(),
            shown: chosen
                .iter()
                .flat_map(|&i| posterior.shown_row(space, i))
                .collect(),
        }
    }

    /// Writes [`SAMPLES_FILE`]; the same draws give the same bytes.
    pub fn store(&self, directory: &Directory) -> Result<(), TableError> {
        let bytes = self.encode(&directory.join(SAMPLES_FILE))?;
        Ok(directory.write(SAMPLES_FILE, bytes)?)
    }

    /// The file's bytes; `path` is for messages.
    pub fn encode(&self, path: &Path) -> Result<Vec<u8>, TableError> {
        let names = self.names.iter().enumerate();
        let columns = names.map(|(j, name)| {
            Column::doubles(name.as_str(), column(&self.shown, self.names.len(), j))
        });
        encode(path, FORMAT, &[], columns.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::table::{Read, decode};
    use crate::space::{Parameter, Prior};

    fn space() -> ParameterSpace {
        let prior = Prior::Uniform {
            low: 0.0,
            high: 2.0,
        };
        ParameterSpace::independent(vec![Parameter {
            name: "a".to_owned(),
            prior,
            periodic: false,
        }])
    }

    fn posterior(weight: Vec<f64>) -> Posterior {
        let n = weight.len();
        let rising = |step: f64| (0..n).map(|i| step * i as f64).collect::<Vec<f64>>();
        Posterior {
            n_parameters: 1,
            theta: rising(0.5),
            n_derived: 0,
            derived: Vec::new(),
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
        let samples = Samples::of(&space(), &posterior(vec![0.5, 0.0, 0.25, 0.25]), 7);
        let count = |value: f64| {
            samples
                .shown
                .iter()
                .filter(|theta| **theta == value)
                .count()
        };
        assert_eq!([0.0, 0.5, 1.0, 1.5].map(count), [500, 0, 250, 250]);
        assert!(!samples.shown.is_sorted());
        assert_eq!(samples.shown[..8], [0.0, 0.0, 1.5, 1.0, 1.0, 0.0, 0.0, 1.0]);

        // 1 / Σw² - 1 of 3,000 equal weights.
        let many = Samples::of(&space(), &posterior(vec![1.0 / 3000.0; 3000]), 7);
        assert_eq!(many.shown.len(), 2999);
        let nothing = Samples::of(&space(), &posterior(vec![0.0; 3]), 7);
        assert!(nothing.shown.is_empty());
    }

    #[test]
    fn the_file_is_the_same_for_the_same_seed_and_has_no_weights() {
        let directory = Directory::in_memory();
        let posterior = posterior(vec![0.125, 0.5, 0.375]);
        let bytes = |seed| {
            let samples = Samples::of(&space(), &posterior, seed);
            samples.store(&directory).expect("store");
            directory.read(SAMPLES_FILE).expect("read")
        };
        let first = bytes(3);
        assert_eq!(first, bytes(3));
        assert_ne!(first, bytes(4));
        let names = ["a".to_owned()];
        let path = directory.join(SAMPLES_FILE);
        let table = decode(&path, FORMAT, &names, Read::All, first).expect("a table");
        let samples = Samples::of(&space(), &posterior, 3);
        let column = |name: &str| table.finite_f64s(name).expect("a column");
        assert_eq!(column("a"), samples.shown);
    }
}
