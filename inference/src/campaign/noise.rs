//! The random step of the forward model: noise and likelihood are one definition.

mod linear;
mod terms;

pub use linear::LinearFit;
pub use terms::{Labels, NoiseTerm, NoiseTerms, RowNoise};

use super::observation::Observation;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Where the standard deviations of the Gaussian noise come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigmaSource {
    /// The observation's own error of each point.
    Observed,
    /// The same constant for every point.
    Constant(f64),
    /// One value for all points of a simulation, drawn anew each time from U(low, high).
    Uniform {
        /// In units of the data, as `high`.
        low: f64,
        /// Above `low`.
        high: f64,
    },
    /// One value for all points of a simulation, drawn anew each time, log-uniform.
    LogUniform {
        /// Above 0.
        low: f64,
        /// Above `low`.
        high: f64,
    },
    /// One row of a table of real error bars (each of the data's length), drawn anew each time.
    Table(Vec<Vec<f64>>),
}

/// The random step of a campaign's forward model, which is its likelihood too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Added to what the simulator gives, anew in every epoch of training.
    Gaussian(GaussianNoise),
    /// The simulator draws it, and gives log p(observation | θ) itself. Training sees each simulation with
    /// the noise that it was drawn with.
    Simulator,
}

impl Noise {
    /// Whether sigma differs between simulations, so that the featurizer must be shown it.
    pub fn sigma_varies(&self) -> bool {
        match self {
            Self::Gaussian(gaussian) => gaussian.sigma_varies(),
            Self::Simulator => false,
        }
    }

    /// Offset and jitter; None where the simulator draws the noise.
    pub fn terms(&self) -> Option<&NoiseTerms> {
        match self {
            Self::Gaussian(gaussian) => Some(&gaussian.terms),
            Self::Simulator => None,
        }
    }
}

/// Independent Gaussian noise: x = simulator(θ) + offset + sqrt(sigma² + jitter²) · ε.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GaussianNoise {
    /// The standard deviations.
    pub sigma: SigmaSource,
    /// Offset and jitter, which are parameters.
    pub terms: NoiseTerms,
}

impl GaussianNoise {
    /// Noise that takes no parameters.
    pub fn of_sigma(sigma: SigmaSource) -> Self {
        Self {
            sigma,
            terms: NoiseTerms::default(),
        }
    }

    /// Fills `sigma` with the standard deviations of one simulation's noise.
    ///
    /// `Observed` takes the observation's; without an observation of that length, which validation
    /// rules out, it fills NaN.
    pub fn draw_sigma<R: Rng>(
        &self,
        observation: Option<&Observation>,
        rng: &mut R,
        sigma: &mut [f64],
    ) {
        match &self.sigma {
            SigmaSource::Observed => {
                fill_from(sigma, observation.map(|observation| &observation.sigma[..]))
            }
            SigmaSource::Constant(value) => sigma.fill(*value),
            SigmaSource::Uniform { low, high } => {
                let u: f64 = rng.random();
                sigma.fill((low + (high - low) * u).clamp(*low, *high));
            }
            SigmaSource::LogUniform { low, high } => {
                let u: f64 = rng.random();
                sigma.fill((low.ln() + (high / low).ln() * u).exp().clamp(*low, *high));
            }
            SigmaSource::Table(rows) => {
                let row = (rng.random::<f64>() * rows.len() as f64) as usize;
                fill_from(sigma, rows.get(row).map(|row| &row[..]));
            }
        }
    }

    /// Whether sigma differs between simulations, so that the featurizer must be shown it.
    pub fn sigma_varies(&self) -> bool {
        match &self.sigma {
            SigmaSource::Observed | SigmaSource::Constant(_) => false,
            SigmaSource::Uniform { .. } | SigmaSource::LogUniform { .. } => true,
            SigmaSource::Table(rows) => rows.len() > 1,
        }
    }
}

fn fill_from(sigma: &mut [f64], source: Option<&[f64]>) {
    match source {
        Some(source) if source.len() == sigma.len() => sigma.copy_from_slice(source),
        Some(_) | None => sigma.fill(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn observation() -> Observation {
        Observation {
            grid: vec![0.0, 1.0],
            value: vec![1.0, -2.0],
            sigma: vec![0.5, 2.0],
        }
    }

    #[test]
    fn sigma_comes_from_where_it_is_said_to() {
        let draw = |sigma: SigmaSource, seed: u64| {
            let mut drawn = [0.0; 2];
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            GaussianNoise::of_sigma(sigma).draw_sigma(Some(&observation()), &mut rng, &mut drawn);
            drawn
        };
        assert_eq!(draw(SigmaSource::Observed, 0), [0.5, 2.0]);
        assert_eq!(draw(SigmaSource::Constant(0.1), 0), [0.1, 0.1]);
        let (mut sum, mut sum_of_logs, mut second_row) = (0.0, 0.0, 0);
        for seed in 0..4000 {
            let uniform = draw(
                SigmaSource::Uniform {
                    low: 1.0,
                    high: 3.0,
                },
                seed,
            );
            let log_uniform = draw(
                SigmaSource::LogUniform {
                    low: 0.01,
                    high: 1.0,
                },
                seed,
            );
            for [first, second] in [uniform, log_uniform] {
                assert_eq!(first, second, "one sigma a simulation");
            }
            assert!((1.0..=3.0).contains(&uniform[0]) && (0.01..=1.0).contains(&log_uniform[0]));
            sum += uniform[0];
            sum_of_logs += log_uniform[0].log10();
            let row = draw(
                SigmaSource::Table(vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]]),
                seed,
            );
            assert!([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].contains(&row));
            second_row += usize::from(row == [3.0, 4.0]);
        }
        // Within 4.5 standard errors of 2, -1 and a third.
        assert!(
            (sum / 4000.0 - 2.0).abs() < 4.5 * (1.0 / 3f64).sqrt() / 4000f64.sqrt(),
            "{sum}"
        );
        assert!(
            (sum_of_logs / 4000.0 + 1.0).abs() < 4.5 * (1.0 / 3f64).sqrt() / 4000f64.sqrt(),
            "{sum_of_logs}"
        );
        assert!(
            (second_row as f64 - 4000.0 / 3.0).abs() < 4.5 * (4000.0 * 2.0 / 9.0f64).sqrt(),
            "{second_row}"
        );
    }
}
