//! Observed data with their errors.

use crate::base::files;
use serde::{Deserialize, Serialize};

/// One observation: `value[i]` ± `sigma[i]` at `grid[i]`; all of one length. No data at all where the model is a
/// log-likelihood alone, which has them itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Abscissae, in any unit and any order.
    pub grid: Vec<f64>,
    /// In the unit of the forward model's data.
    pub value: Vec<f64>,
    /// Standard errors, all positive and finite; none at all where the simulator draws the noise.
    pub sigma: Vec<f64>,
}

impl Observation {
    /// Of a model that is a log-likelihood alone.
    pub fn of_the_model() -> Self {
        Self {
            grid: Vec::new(),
            value: Vec::new(),
            sigma: Vec::new(),
        }
    }

    /// The number of data.
    pub fn len(&self) -> usize {
        self.value.len()
    }

    /// Where the model is a log-likelihood alone.
    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// How many points of the grid stand where an earlier one does, and how many go back behind the one before
    /// (or, where most go down, ahead of it).
    pub fn disorder(&self) -> (usize, usize) {
        let mut sorted = self.grid.clone();
        sorted.sort_by(f64::total_cmp);
        let n_repeated = sorted.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let count = |is: fn(f64, f64) -> bool| {
            let pairs = self.grid.windows(2);
            pairs.filter(|pair| is(pair[0], pair[1])).count()
        };
        let (n_up, n_down) = (count(|a, b| a < b), count(|a, b| a > b));
        (n_repeated, n_up.min(n_down))
    }

    /// SHA-256 of all numbers, to tell whether it is still the same.
    pub fn sha256(&self) -> String {
        let mut bytes = Vec::new();
        for numbers in [&self.grid, &self.value, &self.sigma] {
            bytes.extend((numbers.len() as u64).to_le_bytes());
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        files::sha256_hex(&bytes)
    }
}
