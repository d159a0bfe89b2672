//! What a forward model that is set up for a campaign promises.

use rand_chacha::ChaCha8Rng;

/// The expensive part of a forward model, run once per draw: without noise where that is Gaussian, and with it where
/// the simulator gives its own likelihood ([`OwnNoise`](crate::OwnNoise) is the simplest way to write such a one).
///
/// Promise of an implementation:
/// - `simulate` writes all `n_data()` values of `out` (its length), in the order of the data;
///   `n_data` is at least 1 and never changes.
/// - It is a function of `parameters` and `rng` alone: not of earlier calls, of the thread, or of what `out` held.
///   The same arguments give the same bits.
/// - A θ that has no answer is a [`SimulationError`]; what `out` holds then is ignored. The worker takes a value that is
///   not finite for the same.
/// - It does not panic; where it does all the same, the worker records a failed row.
///
/// `parameters` are finite and as many as the model declares, in the order in which it names them, or else in that of the
/// campaign file.
pub trait Simulator: Send + Sync {
    /// How many values one simulation has.
    fn n_data(&self) -> usize;

    /// Writes one simulation to `out`; see the promise.
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
        Err(impossible("the simulator gives no likelihood of its own"))
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

/// An error that trying again does not mend.
pub fn impossible(message: impl Into<String>) -> SimulationError {
    SimulationError::Impossible(message.into())
}

/// The parameters one by one.
pub fn exactly<const N: usize>(parameters: &[f64]) -> Result<[f64; N], SimulationError> {
    let found = parameters.len();
    <[f64; N]>::try_from(parameters)
        .map_err(|_| impossible(format!("found {found} parameters, expected {N}")))
}
