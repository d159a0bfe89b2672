//! Forward models that draw noise of their own and give their own likelihood.

use super::{SimulationError, Simulator, check_finite};
use rand_chacha::ChaCha8Rng;

/// A model whose data have a distribution of their own: what is expensive is done once for each θ, and
/// both data and likelihood come from it.
///
/// Promise of an implementation: `draw` draws from exactly the distribution whose log density (of discrete
/// data: log probability) `log_likelihood` is. It may be off by a constant that does not depend on θ, which is
/// then said in the model's documentation. -inf means that the observation is impossible at this θ.
pub trait OwnNoise: Send + Sync {
    /// All that the distribution of the data depends on.
    type State;

    fn n_data(&self) -> usize;

    fn state(&self, parameters: &[f64]) -> Result<Self::State, SimulationError>;

    /// Writes one draw of all `n_data()` values.
    fn draw(&self, state: &Self::State, rng: &mut ChaCha8Rng, out: &mut [f64]);

    /// `observed` has `n_data()` values.
    fn log_likelihood(&self, state: &Self::State, observed: &[f64]) -> f64;
}

/// An [`OwnNoise`] model as a simulator.
#[derive(Debug)]
pub struct WithOwnNoise<M>(pub M);

impl<M: OwnNoise> Simulator for WithOwnNoise<M> {
    fn n_data(&self) -> usize {
        self.0.n_data()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        self.0.draw(&self.0.state(parameters)?, rng, out);
        check_finite(out)
    }

    fn gives_likelihood(&self) -> bool {
        true
    }

    fn simulate_and_weigh(
        &self,
        parameters: &[f64],
        observed: &[f64],
        rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<f64, SimulationError> {
        let state = self.0.state(parameters)?;
        self.0.draw(&state, rng, out);
        check_finite(out)?;
        if observed.len() != self.n_data() {
            let (found, expected) = (observed.len(), self.n_data());
            let message = format!("the observation has {found} values, expected {expected}");
            return Err(SimulationError::Impossible(message));
        }
        Ok(self.0.log_likelihood(&state, observed))
    }
}

/// Parameters in the campaign's order under any names, all finite.
pub(super) fn finite<const N: usize>(parameters: &[f64]) -> Result<[f64; N], SimulationError> {
    let Ok(parameters) = <[f64; N]>::try_from(parameters) else {
        let message = format!("found {} parameters, expected {N}", parameters.len());
        return Err(SimulationError::Impossible(message));
    };
    check_parameters(&parameters, N)?;
    Ok(parameters)
}

/// Refuses parameters that are not `n` finite numbers.
pub(super) fn check_parameters(parameters: &[f64], n: usize) -> Result<(), SimulationError> {
    if parameters.len() != n {
        let message = format!("found {} parameters, expected {n}", parameters.len());
        return Err(SimulationError::Impossible(message));
    }
    match parameters.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(SimulationError::Impossible(format!(
            "parameter {index} is {}, expected a finite number",
            parameters[index]
        ))),
    }
}

/// Refuses campaigns whose numbers of data or parameters are not the model's.
pub(super) fn check_sizes(
    (found_data, n_data): (usize, usize),
    (found_parameters, n_parameters): (usize, usize),
) -> Result<(), String> {
    for (what, found, expected) in [
        ("data", found_data, n_data),
        ("parameters", found_parameters, n_parameters),
    ] {
        if found != expected {
            return Err(format!("found {found} {what}, expected {expected}"));
        }
    }
    Ok(())
}
