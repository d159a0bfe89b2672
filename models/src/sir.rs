//! `sir`: an epidemic of susceptible, infected and recovered people (Kermack and McKendrick 1927), of which on some
//! days a number of people is tested (Lueckmann et al. 2021, appendix T.9).

use super::dormand_prince::integrate;
use super::own_noise::OwnNoise;
use super::{SimulationError, ordered, positions};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use sidereal_inference::space::ParameterSpace;

const PARAMETERS: [&str; 2] = ["beta", "gamma"];

const TOLERANCE: f64 = 1e-10;

/// An infected share below this has no place among normal numbers.
const LEAST_SHARE: f64 = 1e-300;

#[derive(Debug)]
pub(super) struct Sir {
    days: Vec<f64>,
    /// Infected at day 0, as a share of the population.
    infected: f64,
    tests: u64,
    positions: [usize; 2],
}

impl Sir {
    pub(super) fn build(
        population: f64,
        infected: f64,
        tests: u64,
        days: Vec<f64>,
        space: &ParameterSpace,
    ) -> Result<Self, String> {
        check_times(&days)?;
        let share = infected / population;
        if !(LEAST_SHARE..1.0).contains(&share) {
            return Err(format!(
                "{infected} infected of {population} are not a share in (0, 1)"
            ));
        }
        Ok(Self {
            days,
            infected: share,
            tests,
            positions: positions(PARAMETERS, space)?,
        })
    }
}

impl OwnNoise for Sir {
    /// The infected share on each day.
    type State = Vec<f64>;

    fn n_data(&self) -> usize {
        self.days.len()
    }

    /// With s = S/N and u = ln(I/N): s' = -β s exp(u), u' = β s - γ. R follows from the two.
    fn state(&self, parameters: &[f64]) -> Result<Vec<f64>, SimulationError> {
        let [beta, gamma] = ordered(PARAMETERS, self.positions, parameters)?;
        let slope = |&[susceptible, log_infected]: &[f64; 2]| {
            let contacts = beta * susceptible;
            [-contacts * libm::exp(log_infected), contacts - gamma]
        };
        let start = [1.0 - self.infected, libm::log(self.infected)];
        let solution = integrate(slope, start, &self.days, TOLERANCE)
            .map_err(|error| SimulationError::Impossible(error.to_string()))?;
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

/// Differential equations begin at time 0.
pub(super) fn check_times(times: &[f64]) -> Result<(), String> {
    let ascend = times.windows(2).all(|pair| pair[0] < pair[1]);
    match times.first() {
        Some(&first) if first >= 0.0 && ascend => Ok(()),
        Some(_) | None => Err("expected times from 0 on, each after the one before".to_owned()),
    }
}
