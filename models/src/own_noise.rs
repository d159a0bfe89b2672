//! Forward models that draw noise of their own and give their own likelihood.

use crate::simulator::{SimulationError, Simulator};
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

    /// As [`Simulator::n_data`].
    fn n_data(&self) -> usize;

    /// An error where there is no answer at this θ.
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
        Ok(())
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
        Ok(self.0.log_likelihood(&state, observed))
    }
}
