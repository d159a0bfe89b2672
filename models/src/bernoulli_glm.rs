//! `bernoulli-glm`: yes-or-no events y, one a row of a design matrix X, with log odds Xθ; the data are the
//! sufficient statistics Xᵀy (Lueckmann et al. 2021, appendix T.5).

use super::SimulationError;
use super::own_noise::{OwnNoise, check_parameters, check_sizes};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sidereal_inference::space::ParameterSpace;

#[derive(Debug)]
pub(super) struct BernoulliGlm {
    design_matrix: Vec<Vec<f64>>,
    n: usize,
}

/// One θ, and the log odds of each event.
#[derive(Debug)]
pub(super) struct LogOdds {
    parameters: Vec<f64>,
    log_odds: Vec<f64>,
}

impl BernoulliGlm {
    pub(super) fn build(
        design_matrix: &[Vec<f64>],
        grid: &[f64],
        space: &ParameterSpace,
    ) -> Result<Self, String> {
        let n = space.len();
        check_sizes((grid.len(), n), (n, n))?;
        for (i, row) in design_matrix.iter().enumerate() {
            if row.len() != n || !row.iter().all(|entry| entry.is_finite()) {
                return Err(format!(
                    "row {i} of the design matrix has {} numbers, expected {n}, all finite",
                    row.len()
                ));
            }
        }
        Ok(Self {
            design_matrix: design_matrix.to_vec(),
            n,
        })
    }
}

impl OwnNoise for BernoulliGlm {
    type State = LogOdds;

    fn n_data(&self) -> usize {
        self.n
    }

    fn state(&self, parameters: &[f64]) -> Result<LogOdds, SimulationError> {
        check_parameters(parameters, self.n)?;
        let log_odds: Vec<f64> = self
            .design_matrix
            .iter()
            .map(|row| row.iter().zip(parameters).map(|(x, theta)| x * theta).sum())
            .collect();
        if !log_odds.iter().all(|log_odds: &f64| log_odds.is_finite()) {
            let message = "the log odds are beyond what numbers can hold".to_owned();
            return Err(SimulationError::Impossible(message));
        }
        Ok(LogOdds {
            parameters: parameters.to_vec(),
            log_odds,
        })
    }

    fn draw(&self, state: &LogOdds, rng: &mut ChaCha8Rng, out: &mut [f64]) {
        out.fill(0.0);
        for (row, &log_odds) in self.design_matrix.iter().zip(&state.log_odds) {
            let probability = 1.0 / (1.0 + libm::exp(-log_odds));
            if rng.random::<f64>() < probability {
                for (value, entry) in out.iter_mut().zip(row) {
                    *value += entry;
                }
            }
        }
    }

    /// The probability of the events themselves: θᵀ Xᵀy - Σ ln(1 + exp(Xθ)). That of their statistics has
    /// another constant, the number of y with the same Xᵀy.
    fn log_likelihood(&self, state: &LogOdds, observed: &[f64]) -> f64 {
        let linear: f64 = observed
            .iter()
            .zip(&state.parameters)
            .map(|(statistic, theta)| statistic * theta)
            .sum();
        let log_norm: f64 = state
            .log_odds
            .iter()
            .map(|&log_odds| log_odds.max(0.0) + libm::log1p(libm::exp(-log_odds.abs())))
            .sum();
        linear - log_norm
    }
}
