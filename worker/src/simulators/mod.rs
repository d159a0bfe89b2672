//! Forward models: what a simulator promises, and the built-in ones.

use rand_chacha::ChaCha8Rng;
use sidereal_inference::campaign::{BuiltinModel, SimulatorSpec};
use sidereal_inference::space::ParameterSpace;
use std::sync::Arc;

mod absorption_spectrum;
mod linear_gaussian;
mod microlensing;
mod occultation;
mod sine;
mod transit;

/// The expensive, noise-free part of a forward model, run once per draw.
///
/// Promise of an implementation:
/// - `simulate` writes all `n_data()` values of `out` (its length), in the order of the data; `n_data` is
///   at least 1 and never changes.
/// - It is a function of `parameters` (in the order of the campaign file) and `rng` alone: not of earlier
///   calls, of the thread, or of what `out` held. The same arguments give the same bits.
/// - `Ok(())` means that every value is finite; a θ that has no answer is a [`SimulationError`]. What `out` holds after an
///   error is ignored.
/// - It does not panic; where it does all the same, the worker records a failed row.
pub trait Simulator: Send + Sync {
    fn n_data(&self) -> usize;

    fn simulate(
        &self,
        parameters: &[f64],
        rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError>;
}

/// Why one θ was not simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// The model has no answer at this θ; trying again gives the same error.
    #[error("{0}")]
    Impossible(String),
    /// Something other than θ went wrong; the worker tries again before it records a failed row.
    #[error("{0}")]
    Transient(String),
}

impl SimulationError {
    /// Whether trying the same θ again can help.
    pub fn is_recoverable(&self) -> bool {
        match self {
            Self::Impossible(_) => false,
            Self::Transient(_) => true,
        }
    }
}

/// A campaign whose simulator cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error(
        "simulator `{model}` takes the parameters {}, found {}",
        list(expected),
        list(found)
    )]
    Parameters {
        model: &'static str,
        expected: Vec<String>,
        found: Vec<String>,
    },
    #[error("simulator `{model}`: {message}")]
    Option {
        model: &'static str,
        message: String,
    },
    #[error(
        "the simulator gives {found} values, the campaign's grid has {expected} points, at least 1 of each"
    )]
    Length { found: usize, expected: usize },
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

/// The built-in simulator of a campaign; its parameters may stand in any order in `space`.
pub fn build(
    spec: &SimulatorSpec,
    space: &ParameterSpace,
) -> Result<Arc<dyn Simulator>, BuildError> {
    if spec.grid.is_empty() {
        let message = "the grid is empty, expected at least one abscissa".to_owned();
        return Err(BuildError::Option {
            model: name_of(&spec.model),
            message,
        });
    }
    if let Some(index) = spec.grid.iter().position(|abscissa| !abscissa.is_finite()) {
        let message = format!(
            "grid value {index} is {}, expected a finite number",
            spec.grid[index]
        );
        return Err(BuildError::Option {
            model: name_of(&spec.model),
            message,
        });
    }
    let grid = spec.grid.clone();
    Ok(match &spec.model {
        BuiltinModel::Sine => Arc::new(sine::Sine::build(grid, space)?),
        BuiltinModel::Microlensing => Arc::new(microlensing::Microlensing::build(grid, space)?),
        BuiltinModel::Transit { period } => {
            Arc::new(transit::Transit::build(*period, grid, space)?)
        }
        BuiltinModel::AbsorptionSpectrum {
            pivot,
            half_range,
            lines,
        } => Arc::new(absorption_spectrum::AbsorptionSpectrum::build(
            *pivot,
            *half_range,
            *lines,
            grid,
            space,
        )?),
        BuiltinModel::LinearGaussian { matrix } => Arc::new(
            linear_gaussian::LinearGaussian::build(matrix, &grid, space)?,
        ),
    })
}

/// Name of a model in the campaign file.
fn name_of(model: &BuiltinModel) -> &'static str {
    match model {
        BuiltinModel::Sine => sine::NAME,
        BuiltinModel::Microlensing => microlensing::NAME,
        BuiltinModel::Transit { .. } => transit::NAME,
        BuiltinModel::AbsorptionSpectrum { .. } => absorption_spectrum::NAME,
        BuiltinModel::LinearGaussian { .. } => linear_gaussian::NAME,
    }
}

/// Where each of a model's parameters stands in the campaign's order.
fn positions<const N: usize>(
    model: &'static str,
    names: [&str; N],
    space: &ParameterSpace,
) -> Result<[usize; N], BuildError> {
    let found: Vec<String> = space
        .parameters
        .iter()
        .map(|parameter| parameter.name.clone())
        .collect();
    let mut positions = [0; N];
    let mut all_found = found.len() == N;
    for (position, name) in positions.iter_mut().zip(names) {
        match found.iter().position(|candidate| candidate == name) {
            Some(index) => *position = index,
            None => all_found = false,
        }
    }
    if all_found {
        return Ok(positions);
    }
    let expected = names.map(str::to_owned).to_vec();
    Err(BuildError::Parameters {
        model,
        expected,
        found,
    })
}

/// A model's parameters in its own order, all finite.
fn ordered<const N: usize>(
    names: [&str; N],
    positions: [usize; N],
    parameters: &[f64],
) -> Result<[f64; N], SimulationError> {
    let mut ordered = [0.0; N];
    for ((value, position), name) in ordered.iter_mut().zip(positions).zip(names) {
        let Some(&parameter) = parameters.get(position) else {
            let message = format!("{} parameters, expected {N}", parameters.len());
            return Err(SimulationError::Impossible(message));
        };
        if !parameter.is_finite() {
            return Err(SimulationError::Impossible(format!(
                "{name} is {parameter}, expected a finite number"
            )));
        }
        *value = parameter;
    }
    Ok(ordered)
}

/// Refuses values that are not finite, naming the first datum.
pub(crate) fn check_finite(out: &[f64]) -> Result<(), SimulationError> {
    match out.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(datum) => Err(SimulationError::Impossible(format!(
            "datum {datum} is {}, expected a finite number",
            out[datum]
        ))),
    }
}
