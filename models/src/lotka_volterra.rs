//! `lotka-volterra`: prey and predators, counted with a log-normal scatter (Lotka 1920; Lueckmann et al. 2021,
//! appendix T.10).

use crate::dormand_prince::{check_times, integrate};
use crate::{
    Abscissae, Complaint, Declaration, ForwardModel, ModelNoise, ModelOption, ModelParameters,
    OptionKind, Options, OwnNoise, Shape, SimulationError, Simulator, WithOwnNoise, exactly,
    impossible,
};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::PI;
use std::sync::Arc;

/// As in sbibm.
const PREY: f64 = 30.0;
const PREDATORS: f64 = 1.0;
const SCATTER: f64 = 0.1;

const TOLERANCE: f64 = 1e-10;

/// What is counted does not leave this range, as in sbibm.
const LEAST: f64 = 1e-10;
const MOST: f64 = 1e4;

/// The grid has the times of the prey, then the same of the predators.
pub(crate) struct LotkaVolterra;

impl Declaration for LotkaVolterra {
    fn name(&self) -> &str {
        "lotka-volterra"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Named(&["alpha", "beta", "gamma", "delta"])
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::GridPerSeries("time")
    }

    fn options(&self) -> Vec<ModelOption> {
        vec![
            ModelOption::with_default("prey", OptionKind::Positive, PREY, "at time 0"),
            ModelOption::with_default("predators", OptionKind::Positive, PREDATORS, "at time 0"),
            ModelOption::with_default(
                "scatter",
                OptionKind::Positive,
                SCATTER,
                "standard deviation of the logarithm of a count",
            ),
        ]
    }

    fn noise(&self) -> ModelNoise {
        ModelNoise::Own
    }

    fn settle(&self, _: &mut Options, shape: Shape<'_>) -> Result<(), Complaint> {
        let n = shape.grid.len();
        if !n.is_multiple_of(2) {
            return Err(Complaint::of_model(format!(
                "lotka-volterra has as many data of the prey as of the predators, found {n} in all"
            )));
        }
        let (of_prey, of_predators) = shape.grid.split_at(n / 2);
        if of_prey != of_predators {
            return Err(Complaint::of_model(
                "the grid's second half, the times of the predators, is not its first, those of the prey",
            ));
        }
        check_times("the first half of the grid", of_prey)
    }

    fn impossible(&self, _: &Options, datum: f64) -> Option<String> {
        (datum <= 0.0).then(|| "a count above zero".to_owned())
    }
}

impl ForwardModel for LotkaVolterra {
    fn build(&self, options: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        let start = [options.number("prey")?, options.number("predators")?];
        Ok(Arc::new(WithOwnNoise(Animals {
            times: shape.grid[..shape.grid.len() / 2].to_vec(),
            start: start.map(libm::log),
            scatter: options.number("scatter")?,
        })))
    }
}

pub(crate) struct Animals {
    pub times: Vec<f64>,
    /// ln of prey and predators at time 0.
    pub start: [f64; 2],
    /// Standard deviation of the logarithm of a count.
    pub scatter: f64,
}

impl OwnNoise for Animals {
    /// ln of the prey at each time, then of the predators.
    type State = Vec<f64>;

    fn n_data(&self) -> usize {
        2 * self.times.len()
    }

    /// In logarithms, so that few animals are as exact as many: (ln x)' = α - β y, (ln y)' = δ x - γ.
    fn state(&self, parameters: &[f64]) -> Result<Vec<f64>, SimulationError> {
        let [alpha, beta, gamma, delta] = exactly(parameters)?;
        let slope = |&[log_prey, log_predators]: &[f64; 2]| {
            [
                alpha - beta * libm::exp(log_predators),
                delta * libm::exp(log_prey) - gamma,
            ]
        };
        let solution = integrate(slope, self.start, &self.times, TOLERANCE)
            .map_err(|error| impossible(error.to_string()))?;
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
