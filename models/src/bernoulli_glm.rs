//! `bernoulli-glm`: yes-or-no events y, one a row of a design matrix X, with log odds Xθ; the data are the
//! sufficient statistics Xᵀy (Lueckmann et al. 2021, appendix T.5).

use crate::linear_gaussian::check_rows;
use crate::{
    Abscissae, Complaint, Declaration, ForwardModel, ModelNoise, ModelOption, OptionKind, Options,
    OwnNoise, Shape, SimulationError, Simulator, WithOwnNoise, impossible,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Takes any parameters, one a column of the design matrix, and has as many data.
pub(crate) struct BernoulliGlm;

impl Declaration for BernoulliGlm {
    fn name(&self) -> &str {
        "bernoulli-glm"
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::None
    }

    fn n_data(&self, n_parameters: usize) -> Option<usize> {
        Some(n_parameters)
    }

    fn options(&self) -> Vec<ModelOption> {
        let about = "a list of rows, or a CSV file without a header, with one column a parameter";
        vec![ModelOption::required(
            "design_matrix",
            OptionKind::Rows,
            about,
        )]
    }

    fn noise(&self) -> ModelNoise {
        ModelNoise::Own
    }

    fn settle(&self, options: &mut Options, shape: Shape<'_>) -> Result<(), Complaint> {
        let rows = options.rows("design_matrix")?;
        if rows.is_empty() {
            let message = "found no rows, expected one a Bernoulli draw";
            return Err(Complaint::of_option("design_matrix", message));
        }
        check_rows("design_matrix", rows, shape.n_parameters)
    }
}

impl ForwardModel for BernoulliGlm {
    fn build(&self, options: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Ok(Arc::new(WithOwnNoise(Events {
            design_matrix: options.rows("design_matrix")?.to_vec(),
            n: shape.n_parameters,
        })))
    }
}

struct Events {
    design_matrix: Vec<Vec<f64>>,
    n: usize,
}

/// One θ, and the log odds of each event.
struct LogOdds {
    parameters: Vec<f64>,
    log_odds: Vec<f64>,
}

impl OwnNoise for Events {
    type State = LogOdds;

    fn n_data(&self) -> usize {
        self.n
    }

    fn state(&self, parameters: &[f64]) -> Result<LogOdds, SimulationError> {
        let log_odds: Vec<f64> = self
            .design_matrix
            .iter()
            .map(|row| row.iter().zip(parameters).map(|(x, theta)| x * theta).sum())
            .collect();
        if !log_odds.iter().all(|log_odds: &f64| log_odds.is_finite()) {
            return Err(impossible("the log odds are beyond what numbers can hold"));
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
