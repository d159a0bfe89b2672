//! `lotka-volterra`: prey and predators, counted with a log-normal scatter (Lotka 1920; Lueckmann et al. 2021,
//! appendix T.10).

use super::dormand_prince::integrate;
use super::own_noise::OwnNoise;
use super::sir::check_times;
use super::{SimulationError, ordered, positions};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sidereal_inference::space::ParameterSpace;
use std::f64::consts::PI;

const PARAMETERS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

const TOLERANCE: f64 = 1e-10;

/// What is counted does not leave this range, as in sbibm.
const LEAST: f64 = 1e-10;
const MOST: f64 = 1e4;

#[derive(Debug)]
pub(super) struct LotkaVolterra {
    times: Vec<f64>,
    /// ln of prey and predators at time 0.
    start: [f64; 2],
    /// Standard deviation of the logarithm of a count.
    scatter: f64,
    positions: [usize; 4],
}

impl LotkaVolterra {
    /// `grid` has the times of the prey, then the same of the predators.
    pub(super) fn build(
        [prey, predators]: [f64; 2],
        scatter: f64,
        grid: &[f64],
        space: &ParameterSpace,
    ) -> Result<Self, String> {
        let (times, again) = grid.split_at(grid.len() / 2);
        if times != again {
            return Err("the grid is not the same times twice".to_owned());
        }
        check_times(times)?;
        if ![prey, predators, scatter]
            .iter()
            .all(|number| *number > 0.0 && number.is_finite())
        {
            return Err(format!(
                "prey {prey}, predators {predators} and scatter {scatter} are not all positive numbers"
            ));
        }
        Ok(Self {
            times: times.to_vec(),
            start: [prey, predators].map(libm::log),
            scatter,
            positions: positions(PARAMETERS, space)?,
        })
    }
}

impl OwnNoise for LotkaVolterra {
    /// ln of the prey at each time, then of the predators.
    type State = Vec<f64>;

    fn n_data(&self) -> usize {
        2 * self.times.len()
    }

    /// In logarithms, so that few animals are as exact as many: (ln x)' = α - β y, (ln y)' = δ x - γ.
    fn state(&self, parameters: &[f64]) -> Result<Vec<f64>, SimulationError> {
        let [alpha, beta, gamma, delta] = ordered(PARAMETERS, self.positions, parameters)?;
        let slope = |&[log_prey, log_predators]: &[f64; 2]| {
            [
                alpha - beta * libm::exp(log_predators),
                delta * libm::exp(log_prey) - gamma,
            ]
        };
        let solution = integrate(slope, self.start, &self.times, TOLERANCE)
            .map_err(|error| SimulationError::Impossible(error.to_string()))?;
        let (least, most) = (libm::log(LEAST), libm::log(MOST));
        let of = |species: usize| {
            solution
                .iter()
                .map(move |logs| logs[species].clamp(least, most))
        };
        Ok(of(0).chain(of(1)).collect())
    }

    fn draw(&self, logs: &Vec<f64>, rng: &mut ChaCha8Rng, out: &mut [f64]) {
        for (value, log) in out.iter_mut().zip(logs) {
            let normal: f64 = StandardNormal.sample(rng);
            *value = libm::exp(log + self.scatter * normal);
        }
    }

    fn log_likelihood(&self, logs: &Vec<f64>, observed: &[f64]) -> f64 {
        let log_norm = libm::log(self.scatter * libm::sqrt(2.0 * PI));
        logs.iter()
            .zip(observed)
            .map(|(log, &count)| {
                if count <= 0.0 {
                    return f64::NEG_INFINITY;
                }
                let log_count = libm::log(count);
                let residual = (log_count - log) / self.scatter;
                -0.5 * residual * residual - log_norm - log_count
            })
            .sum()
    }
}
