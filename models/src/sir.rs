//! `sir`: an epidemic of susceptible, infected and recovered people (Kermack and McKendrick 1927), of which on some
//! days a number of people is tested (Lueckmann et al. 2021, appendix T.9).

use crate::dormand_prince::{check_times, integrate};
use crate::{
    Abscissae, Complaint, Declaration, ForwardModel, ModelNoise, ModelOption, ModelParameters,
    OptionKind, Options, OwnNoise, Shape, SimulationError, Simulator, WithOwnNoise, exactly,
    impossible,
};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use std::sync::Arc;

/// As in sbibm.
const POPULATION: f64 = 1e6;
const INFECTED: f64 = 1.0;
const TESTS: u64 = 1000;

const TOLERANCE: f64 = 1e-10;

/// An infected share below this has no place among normal numbers.
const LEAST_SHARE: f64 = 1e-300;

pub(crate) struct Sir;

impl Declaration for Sir {
    fn name(&self) -> &str {
        "sir"
    }

    fn parameters(&self) -> ModelParameters {
        ModelParameters::Named(&["beta", "gamma"])
    }

    fn abscissae(&self) -> Abscissae {
        Abscissae::Grid("day")
    }

    fn options(&self) -> Vec<ModelOption> {
        vec![
            ModelOption::with_default("population", OptionKind::Positive, POPULATION, "people"),
            ModelOption::with_default(
                "infected",
                OptionKind::Positive,
                INFECTED,
                "infected people at day 0",
            ),
            ModelOption::with_default(
                "tests",
                OptionKind::Whole(1..=1_000_000_000),
                TESTS,
                "people tested on each day",
            ),
        ]
    }

    fn noise(&self) -> ModelNoise {
        ModelNoise::Own
    }

    fn settle(&self, options: &mut Options, shape: Shape<'_>) -> Result<(), Complaint> {
        let (infected, population) = (options.number("infected")?, options.number("population")?);
        if !(LEAST_SHARE..1.0).contains(&(infected / population)) {
            return Err(Complaint::of_model(format!(
                "infected {infected} are not fewer than the population, {population}"
            )));
        }
        check_times("the grid", shape.grid)
    }

    fn impossible(&self, options: &Options, datum: f64) -> Option<String> {
        let tests = options.whole("tests").ok()?;
        let is_possible = datum.fract() == 0.0 && (0.0..=tests as f64).contains(&datum);
        (!is_possible).then(|| format!("a whole number of positive tests, 0 to {tests}"))
    }
}

impl ForwardModel for Sir {
    fn build(&self, options: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Ok(Arc::new(WithOwnNoise(Epidemic {
            days: shape.grid.to_vec(),
            infected: options.number("infected")? / options.number("population")?,
            tests: options.whole("tests")?,
        })))
    }
}

pub(crate) struct Epidemic {
    pub days: Vec<f64>,
    /// Infected at day 0, as a share of the population.
    pub infected: f64,
    pub tests: u64,
}

impl OwnNoise for Epidemic {
    /// The infected share on each day.
    type State = Vec<f64>;

    fn n_data(&self) -> usize {
        self.days.len()
    }

    /// With s = S/N and u = ln(I/N): s' = -β s exp(u), u' = β s - γ. R follows from the two.
    fn state(&self, parameters: &[f64]) -> Result<Vec<f64>, SimulationError> {
        let [beta, gamma] = exactly(parameters)?;
        let slope = |&[susceptible, log_infected]: &[f64; 2]| {
            let contacts = beta * susceptible;
            [-contacts * libm::exp(log_infected), contacts - gamma]
        };
        let start = [1.0 - self.infected, libm::log(self.infected)];
        let solution = integrate(slope, start, &self.days, TOLERANCE)
            .map_err(|error| impossible(error.to_string()))?;
        Ok(solution
            .iter()
            .map(|[_, log_infected]| libm::exp(*log_infected).clamp(LEAST_SHARE, 1.0))
            .collect())
    }

    fn draw(&self, shares: &Vec<f64>, rng: &mut ChaCha8Rng, out: &mut [f64]) {
        for (value, &share) in out.iter_mut().zip(shares) {
            *value = match Binomial::new(self.tests, share) {
                Ok(binomial) => binomial.sample(rng) as f64,
                // Shares are in (0, 1].
                Err(_) => f64::NAN,
            };
        }
    }

    fn log_likelihood(&self, shares: &Vec<f64>, observed: &[f64]) -> f64 {
        shares
            .iter()
            .zip(observed)
            .map(|(&share, &count)| log_binomial(self.tests as f64, share, count))
            .sum()
    }
}

/// log P(count) of a binomial distribution; -inf of what is no count.
fn log_binomial(n: f64, share: f64, count: f64) -> f64 {
    if !(0.0..=n).contains(&count) || count.fract() != 0.0 {
        return f64::NEG_INFINITY;
    }
    let log_choices =
        libm::lgamma(n + 1.0) - libm::lgamma(count + 1.0) - libm::lgamma(n - count + 1.0);
    // 0 ln 0 = 0.
    let log_power = |count: f64, log_share: f64| if count == 0.0 { 0.0 } else { count * log_share };
    log_choices + log_power(count, libm::log(share)) + log_power(n - count, libm::log1p(-share))
}
