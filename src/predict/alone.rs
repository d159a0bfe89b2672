//! What a model's network says alone of an observation: draws and densities, as CSV.

use super::{DRAWS, PredictArguments};
use crate::exit::CommandError;
use sidereal_inference::base::files;
use sidereal_inference::campaign::Observation;
use sidereal_inference::records::Draws;
use sidereal_inference::space::ParameterSpace;
use sidereal_predict::{PredictError, Predictor};
use std::path::Path;

/// What is asked of the network alone.
pub enum Asked {
    Draws {
        n_draws: u64,
        seed: u64,
    },
    /// The density at rows of parameters.
    DensityAt(Vec<f64>),
}

/// None where weighted draws are asked for.
pub fn asked(
    arguments: &PredictArguments,
    space: &ParameterSpace,
) -> Result<Option<Asked>, CommandError> {
    if let Some(path) = &arguments.density_at {
        return Ok(Some(Asked::DensityAt(points(path, space)?)));
    }
    Ok(arguments.alone.then_some(Asked::Draws {
        n_draws: arguments.draws.unwrap_or(DRAWS),
        seed: arguments.seed,
    }))
}

impl Asked {
    pub fn answer(
        self,
        predictor: &Predictor,
        observation: &Observation,
    ) -> Result<Draws, PredictError> {
        match self {
            Self::Draws { n_draws, seed } => predictor.draws(observation, n_draws, seed),
            Self::DensityAt(theta) => predictor.density_at(observation, theta),
        }
    }
}

/// A line a row: parameters, `log_prior` and `log_density`, with all digits that they need.
pub fn csv(space: &ParameterSpace, draws: &Draws) -> String {
    let mut text = space.names().join(",");
    text.push_str(",log_prior,log_density\n");
    let densities = draws.log_prior.iter().zip(&draws.log_proposal);
    for (i, (log_prior, log_density)) in densities.enumerate() {
        for theta in draws.theta_row(i) {
            text.push_str(&format!("{theta},"));
        }
        text.push_str(&format!("{log_prior},{log_density}\n"));
    }
    text
}

/// Rows of parameters, one after the other; every line that is none is told.
fn points(path: &Path, space: &ParameterSpace) -> Result<Vec<f64>, CommandError> {
    let bytes = files::read(path, files::MOST_DATA_BYTES).map_err(CommandError::unusable)?;
    let mut theta = Vec::new();
    let mut mistakes = Vec::new();
    for (i, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        let numbers: Result<Vec<f64>, _> =
            line.split(',').map(|word| word.trim().parse()).collect();
        match numbers {
            Ok(row) if row.len() == space.len() && row.iter().all(|value| value.is_finite()) => {
                theta.extend(row);
            }
            Ok(_) | Err(_) => mistakes.push(format!(
                "{}: line {}: found {line:?}, expected {} numbers: {}",
                path.display(),
                i + 1,
                space.len(),
                space.names().join(", ")
            )),
        }
    }
    if mistakes.is_empty() {
        Ok(theta)
    } else {
        Err(CommandError::UnusableInput(mistakes.join("\n")))
    }
}
