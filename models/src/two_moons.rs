//! `two-moons`: a crescent-shaped scatter around a folded map of two parameters, whose posterior has two modes
//! (Greenberg et al. 2019; Lueckmann et al. 2021, appendix T.8).

use crate::{
    Abscissae, Declaration, ForwardModel, ModelNoise, ModelParameters, Options, OwnNoise, Shape,
    SimulationError, Simulator, WithOwnNoise, exactly,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::sync::Arc;

/// The crescent: half a circle of this radius, with this scatter of it, around (CENTRE, 0).
const RADIUS: f64 = 0.1;
const SCATTER: f64 = 0.01;
const CENTRE: f64 = 0.25;

pub(crate) struct TwoMoons;

impl Declaration for TwoMoons {
    fn name(&self) -> &str {
        "two-moons"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Count(2)
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::None
    }

    fn n_data(&self, _: usize) -> Option<usize> {
        Some(2)
    }

    fn noise(&self) -> ModelNoise {
        ModelNoise::Own
    }
}

impl ForwardModel for TwoMoons {
    fn build(&self, _: &Options, _: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Ok(Arc::new(WithOwnNoise(Crescent)))
    }
}

struct Crescent;

impl OwnNoise for Crescent {
    /// What the crescent is shifted by.
    type State = [f64; 2];

    fn n_data(&self) -> usize {
        2
    }

    fn state(&self, parameters: &[f64]) -> Result<[f64; 2], SimulationError> {
        let [first, second] = exactly(parameters)?;
        Ok([
            -(first + second).abs() * FRAC_1_SQRT_2,
            (second - first) * FRAC_1_SQRT_2,
        ])
    }

    fn draw(&self, shift: &[f64; 2], rng: &mut ChaCha8Rng, out: &mut [f64]) {
        let angle = (rng.random::<f64>() - 0.5) * PI;
        let normal: f64 = StandardNormal.sample(rng);
        let radius = RADIUS + SCATTER * normal;
        out[0] = radius * libm::cos(angle) + CENTRE + shift[0];
        out[1] = radius * libm::sin(angle) + shift[1];
    }

    /// The density of the point at radius r and angle a is N(r) / (pi r) on the open half circle. Radii are
    /// taken to be positive, which they are up to ten standard deviations.
    fn log_likelihood(&self, shift: &[f64; 2], observed: &[f64]) -> f64 {
        let (across, along) = (observed[0] - shift[0] - CENTRE, observed[1] - shift[1]);
        if across < 0.0 {
            return f64::NEG_INFINITY;
        }
        let radius = libm::hypot(across, along);
        let residual = (radius - RADIUS) / SCATTER;
        let log_norm = 0.5 * libm::log(2.0 * PI) + libm::log(SCATTER * PI);
        -0.5 * residual * residual - log_norm - libm::log(radius.max(f64::MIN_POSITIVE))
    }
}
