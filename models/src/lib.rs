//! Forward models: what a simulator promises, and the built-in ones.

use rand_chacha::ChaCha8Rng;
use sidereal_inference::campaign::{BuiltinModel, SimulatorSpec};
use sidereal_inference::space::ParameterSpace;
use std::sync::Arc;

mod absorption_spectrum;
mod bernoulli_glm;
mod dormand_prince;
mod gaussian_mixture;
mod linear_gaussian;
mod lotka_volterra;
mod microlensing;
mod occultation;
mod own_noise;
mod sine;
mod sir;
mod slcp;
mod transit;
mod two_moons;

#[cfg(test)]
mod own_noise_tests;
#[cfg(test)]
mod tests;

use absorption_spectrum::AbsorptionSpectrum;
use bernoulli_glm::BernoulliGlm;
use gaussian_mixture::GaussianMixture;
use linear_gaussian::LinearGaussian;
use lotka_volterra::LotkaVolterra;
use microlensing::Microlensing;
pub use own_noise::{OwnNoise, WithOwnNoise};
use sine::Sine;
use sir::Sir;
use slcp::Slcp;
use transit::Transit;
use two_moons::TwoMoons;

/// The expensive part of a forward model, run once per draw: without noise where that is Gaussian, and with it where
/// the simulator gives its own likelihood ([`OwnNoise`] is the simplest way to write such a one).
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

    /// Whether [`Self::simulate_and_weigh`] has an answer: what `simulate` draws is data with noise.
    fn gives_likelihood(&self) -> bool {
        false
    }

    /// As [`Self::simulate`], with the log-likelihood log p(observed | parameters) of the data's own
    /// distribution; it depends on `observed` and the parameters alone, and `out` not on `observed`.
    fn simulate_and_weigh(
        &self,
        _parameters: &[f64],
        _observed: &[f64],
        _rng: &mut ChaCha8Rng,
        _out: &mut [f64],
    ) -> Result<f64, SimulationError> {
        let message = "the simulator gives no likelihood of its own".to_owned();
        Err(SimulationError::Impossible(message))
    }
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
    #[error(
        "the campaign's model is its user's own (simulator.own = true), expected a built-in one: only the program that brings the model can run it"
    )]
    Own,
    #[error(
        "the campaign file names the built-in model `{model}` and a model of one's own was given, expected own = true under [simulator]"
    )]
    NotOwn { model: &'static str },
}

/// The built-in simulator of a campaign; its parameters may stand in any order in `space`, but
/// `linear-gaussian` takes them in that order.
pub fn build(
    spec: &SimulatorSpec,
    space: &ParameterSpace,
) -> Result<Arc<dyn Simulator>, BuildError> {
    if spec.is_own {
        return Err(BuildError::Own);
    }
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
        BuiltinModel::TwoMoons => Arc::new(WithOwnNoise(TwoMoons::build(&grid, space)?)),
        BuiltinModel::GaussianMixture => {
            Arc::new(WithOwnNoise(GaussianMixture::build(&grid, space)?))
        }
        BuiltinModel::Slcp => Arc::new(WithOwnNoise(Slcp::build(&grid, space)?)),
        BuiltinModel::BernoulliGlm { design_matrix } => Arc::new(WithOwnNoise(
            BernoulliGlm::build(design_matrix, &grid, space)?,
        )),
        BuiltinModel::Sir {
            population,
            infected,
            tests,
        } => Arc::new(WithOwnNoise(Sir::build(
            *population,
            *infected,
            *tests,
            grid,
            space,
        )?)),
        BuiltinModel::LotkaVolterra {
            prey,
            predators,
            scatter,
        } => Arc::new(WithOwnNoise(LotkaVolterra::build(
            [*prey, *predators],
            *scatter,
            &grid,
            space,
        )?)),
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
