//! `slcp` ("simple likelihood, complex posterior"): four points in the plane from one Gaussian whose mean,
//! scatters and correlation are the five parameters (Papamakarios et al. 2019; Lueckmann et al. 2021, appendix T.3).

use crate::{
    Abscissae, Declaration, ForwardModel, ModelNoise, ModelParameters, Options, OwnNoise, Shape,
    SimulationError, Simulator, WithOwnNoise, exactly, impossible,
};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::PI;
use std::sync::Arc;

const N_POINTS: usize = 4;

/// Added to both variances, so that the covariance stays positive definite.
const LEAST_VARIANCE: f64 = 1e-6;

/// The Gaussian of the points: its mean, and the lower Cholesky factor [[a, 0], [b, c]] of its covariance.
#[derive(Debug)]
struct PointDistribution {
    mean: [f64; 2],
    factor: [f64; 3],
}

pub(crate) struct Slcp;

impl Declaration for Slcp {
    fn name(&self) -> &str {
        "slcp"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Count(5)
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::None
    }

    fn n_data(&self, _: usize) -> Option<usize> {
        Some(2 * N_POINTS)
    }

    fn noise(&self) -> ModelNoise {
        ModelNoise::Own
    }
}

impl ForwardModel for Slcp {
    fn build(&self, _: &Options, _: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Ok(Arc::new(WithOwnNoise(Points)))
    }
}

struct Points;

impl OwnNoise for Points {
    type State = PointDistribution;

    fn n_data(&self) -> usize {
        2 * N_POINTS
    }

    fn state(&self, parameters: &[f64]) -> Result<PointDistribution, SimulationError> {
        let [x, y, root_x, root_y, slope] = exactly(parameters)?;
        let (scatter_x, scatter_y) = (root_x * root_x, root_y * root_y);
        let (variance_x, variance_y) = (scatter_x * scatter_x, scatter_y * scatter_y);
        // 1 - tanh² without cancellation.
        let cosh = libm::cosh(slope);
        let unexplained = 1.0 / (cosh * cosh);
        let a = libm::sqrt(variance_x + LEAST_VARIANCE);
        let b = libm::tanh(slope) * scatter_x * scatter_y / a;
        // det / a², det = (vx + e)(vy + e) - ρ² vx vy
        let determinant = variance_x * variance_y * unexplained
            + LEAST_VARIANCE * (variance_x + variance_y + LEAST_VARIANCE);
        let factor = [a, b, libm::sqrt(determinant) / a];
        if !factor.iter().all(|entry| entry.is_finite()) {
            return Err(impossible(format!(
                "the scatters {scatter_x} and {scatter_y} are too large"
            )));
        }
        Ok(PointDistribution {
            mean: [x, y],
            factor,
        })
    }

    fn draw(&self, points: &PointDistribution, rng: &mut ChaCha8Rng, out: &mut [f64]) {
        let ([x, y], [a, b, c]) = (points.mean, points.factor);
        for point in out.chunks_exact_mut(2) {
            let first: f64 = StandardNormal.sample(rng);
            let second: f64 = StandardNormal.sample(rng);
            point[0] = x + a * first;
            point[1] = y + b * first + c * second;
        }
    }

    fn log_likelihood(&self, points: &PointDistribution, observed: &[f64]) -> f64 {
        let ([x, y], [a, b, c]) = (points.mean, points.factor);
        let log_norm = libm::log(2.0 * PI) + libm::log(a) + libm::log(c);
        observed
            .chunks_exact(2)
            .map(|point| {
                let first = (point[0] - x) / a;
                let second = (point[1] - y - b * first) / c;
                -0.5 * (first * first + second * second) - log_norm
            })
            .sum()
    }
}
