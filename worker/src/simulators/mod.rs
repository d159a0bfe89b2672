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

#[cfg(test)]
mod tests;

use absorption_spectrum::AbsorptionSpectrum;
use linear_gaussian::LinearGaussian;
use microlensing::Microlensing;
use sine::Sine;
use transit::Transit;

/// The expensive, noise-free part of a forward model, run once per draw.
///
/// Promise of an implementation:
/// - `simulate` writes all `n_data()` values of `out` (its length), in the order of the data;
///   `n_data` is at least 1 and never changes.
/// - It is a function of `parameters` (in the order of the campaign file) and `rng` alone: not of
///   earlier calls, of the thread, or of what `out` held. The same arguments give the same bits.
/// - `Ok(())` means that every value is finite; a θ that has no answer is a [`SimulationError`]. What
///   `out` holds after an error is ignored.
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
    /// Parameters, options or grid are not what the built-in model needs.
    #[error("simulator `{model}`: {message}")]
    Model {
        model: &'static str,
        message: String,
    },
    #[error(
        "the simulator gives {found} values, expected one for each of the grid's {expected} points"
    )]
    Length { found: usize, expected: usize },
}

/// The built-in simulator of a campaign; its parameters may stand in any order in `space`, but
/// `linear-gaussian` takes them in that order.
pub fn build(
    spec: &SimulatorSpec,
    space: &ParameterSpace,
) -> Result<Arc<dyn Simulator>, BuildError> {
    build_model(spec, space).map_err(|message| BuildError::Model {
        model: spec.model.name(),
        message,
    })
}

fn build_model(spec: &SimulatorSpec, space: &ParameterSpace) -> Result<Arc<dyn Simulator>, String> {
    let grid = spec.grid.clone();
    if grid.is_empty() {
        return Err("the grid is empty, expected at least one point".to_owned());
    }
    if let Some(index) = grid.iter().position(|point| !point.is_finite()) {
        let point = grid[index];
        return Err(format!(
            "point {index} of the grid is {point}, expected a finite number"
        ));
    }
    Ok(match &spec.model {
        BuiltinModel::Sine => Arc::new(Sine::build(grid, space)?),
        BuiltinModel::Microlensing => Arc::new(Microlensing::build(grid, space)?),
        BuiltinModel::Transit { period } => Arc::new(Transit::build(*period, grid, space)?),
        BuiltinModel::AbsorptionSpectrum {
            pivot,
            half_range,
            lines,
        } => Arc::new(AbsorptionSpectrum::build(
            *pivot,
            *half_range,
            *lines,
            grid,
            space,
        )?),
        BuiltinModel::LinearGaussian { matrix } => {
            Arc::new(LinearGaussian::build(matrix, &grid, space)?)
        }
    })
}

/// Where each of a model's parameters stands in the campaign's order.
fn positions<const N: usize>(
    names: [&str; N],
    space: &ParameterSpace,
) -> Result<[usize; N], String> {
    let found = space.names();
    let mut positions = [0; N];
    let mut all_found = found.len() == N;
    for (position, name) in positions.iter_mut().zip(names) {
        match found.iter().position(|candidate| *candidate == name) {
            Some(index) => *position = index,
            None => all_found = false,
        }
    }
    if all_found {
        return Ok(positions);
    }
    let (found, expected) = (found.join(", "), names.join(", "));
    Err(format!("found the parameters {found}, expected {expected}"))
}

/// A model's parameters in its own order, all finite. `positions` are those of a space of N names.
fn ordered<const N: usize>(
    names: [&str; N],
    positions: [usize; N],
    parameters: &[f64],
) -> Result<[f64; N], SimulationError> {
    if parameters.len() != N {
        let message = format!("found {} parameters, expected {N}", parameters.len());
        return Err(SimulationError::Impossible(message));
    }
    let ordered = positions.map(|position| parameters[position]);
    if let Some((name, value)) = names
        .iter()
        .zip(ordered)
        .find(|(_, value)| !value.is_finite())
    {
        let message = format!("{name} is {value}, expected a finite number");
        return Err(SimulationError::Impossible(message));
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
