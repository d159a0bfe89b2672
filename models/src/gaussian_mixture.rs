//! `gaussian-mixture`: θ with a wide or a narrow Gaussian scatter, each half of the time (Sisson et al. 2007;
//! Lueckmann et al. 2021, appendix T.7).

use crate::{
    Abscissae, Declaration, ForwardModel, ModelNoise, Options, OwnNoise, Shape, SimulationError,
    Simulator, WithOwnNoise,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::{LN_2, PI};
use std::sync::Arc;

/// Standard deviations of the two components, which weigh the same.
const SCATTERS: [f64; 2] = [1.0, 0.1];

/// Takes any parameters, and has as many data.
pub(crate) struct GaussianMixture;

impl Declaration for GaussianMixture {
    fn name(&self) -> &str {
        "gaussian-mixture"
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::None
    }

    fn n_data(&self, n_parameters: usize) -> Option<usize> {
        Some(n_parameters)
    }

    fn noise(&self) -> ModelNoise {
        ModelNoise::Own
    }
}

impl ForwardModel for GaussianMixture {
    fn build(&self, _: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        let n = shape.n_parameters;
        Ok(Arc::new(WithOwnNoise(Mixture { n })))
    }
}

struct Mixture {
    n: usize,
}

impl OwnNoise for Mixture {
    type State = Vec<f64>;

    fn n_data(&self) -> usize {
        self.n
    }

    fn state(&self, parameters: &[f64]) -> Result<Vec<f64>, SimulationError> {
        Ok(parameters.to_vec())
    }

    /// All data of one draw are of the same component.
    fn draw(&self, mean: &Vec<f64>, rng: &mut ChaCha8Rng, out: &mut [f64]) {
        let scatter = SCATTERS[usize::from(rng.random::<f64>() < 0.5)];
        for (value, mean) in out.iter_mut().zip(mean) {
            let normal: f64 = StandardNormal.sample(rng);
            *value = mean + scatter * normal;
        }
    }

    fn log_likelihood(&self, mean: &Vec<f64>, observed: &[f64]) -> f64 {
        let square: f64 = observed
            .iter()
            .zip(mean)
            .map(|(value, mean)| (value - mean) * (value - mean))
            .sum();
        let [wide, narrow] = SCATTERS.map(|scatter| {
            -0.5 * square / (scatter * scatter)
                - self.n as f64 * libm::log(scatter * libm::sqrt(2.0 * PI))
        });
        let larger = wide.max(narrow);
        if larger == f64::NEG_INFINITY {
            return larger;
        }
        larger + libm::log1p(libm::exp(wide.min(narrow) - larger)) - LN_2
    }
}
