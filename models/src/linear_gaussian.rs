//! `linear-gaussian`: x = matrix · θ, whose posterior under Gaussian priors and noise is Gaussian,
//! with its evidence in closed form (Bishop 2006, Pattern Recognition and Machine Learning, section
//! 2.3.3).

use super::{SimulationError, Simulator, check_finite};
use rand_chacha::ChaCha8Rng;
use sidereal_inference::space::ParameterSpace;

/// Parameters come in the campaign's order, one column of the matrix each.
#[derive(Debug)]
pub(super) struct LinearGaussian {
    rows: Vec<Vec<f64>>,
    names: Vec<String>,
}

impl LinearGaussian {
    pub(super) fn build(
        matrix: &[Vec<f64>],
        grid: &[f64],
        space: &ParameterSpace,
    ) -> Result<Self, String> {
        let names: Vec<String> = space
            .parameters
            .iter()
            .map(|parameter| parameter.name.clone())
            .collect();
        if matrix.len() != grid.len() {
            return Err(format!(
                "matrix has {} rows, expected one per datum, {}",
                matrix.len(),
                grid.len()
            ));
        }
        for (index, row) in matrix.iter().enumerate() {
            if row.len() != names.len() {
                let n_columns = row.len();
                return Err(format!(
                    "row {index} of matrix has {n_columns} columns, expected one per parameter, {}",
                    names.len()
                ));
            }
            if let Some(entry) = row.iter().find(|entry| !entry.is_finite()) {
                return Err(format!(
                    "row {index} of matrix has {entry}, expected finite numbers"
                ));
            }
        }
        Ok(Self {
            rows: matrix.to_vec(),
            names,
        })
    }
}

impl Simulator for LinearGaussian {
    fn n_data(&self) -> usize {
        self.rows.len()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        if parameters.len() != self.names.len() {
            let message = format!(
                "found {} parameters, expected {}",
                parameters.len(),
                self.names.len()
            );
            return Err(SimulationError::Impossible(message));
        }
        for (name, parameter) in self.names.iter().zip(parameters) {
            if !parameter.is_finite() {
                let message = format!("{name} is {parameter}, expected a finite number");
                return Err(SimulationError::Impossible(message));
            }
        }
        for (value, row) in out.iter_mut().zip(&self.rows) {
            *value = row
                .iter()
                .zip(parameters)
                .map(|(entry, parameter)| entry * parameter)
                .sum();
        }
        check_finite(out)
    }
}
