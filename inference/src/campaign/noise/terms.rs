//! What Gaussian noise takes from the parameters: an offset added to the data, and a jitter added to sigma in quadrature.

use crate::base::normal::LN_SQRT_2_PI;
use crate::campaign::observation::Observation;
use crate::space::ParameterSpace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which parameters the noise takes; the model is not given them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NoiseTerms {
    /// Its square is added to that of sigma.
    pub jitter: Option<NoiseTerm>,
    /// Added to what the simulator gives.
    pub offset: Option<NoiseTerm>,
    /// Of the data, where a term goes by them; else none.
    pub labels: Labels,
}

/// Names of parameters of the space, fixed ones among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseTerm {
    /// One for all data.
    One(String),
    /// By a datum's label; data of other labels have none.
    ByLabel(BTreeMap<String, String>),
}

impl NoiseTerm {
    /// The names, in the order of labels.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::One(name) => vec![name],
            Self::ByLabel(name_by_label) => name_by_label.values().map(String::as_str).collect(),
        }
    }
}

/// A text for each datum, such as the instrument that took it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Labels {
    /// In the order in which they come first.
    distinct: Vec<String>,
    /// Of each datum, which of these.
    of_data: Vec<usize>,
}

impl From<Vec<String>> for Labels {
    fn from(labels: Vec<String>) -> Self {
        let mut found = Self::default();
        let mut place_by_label = BTreeMap::new();
        for label in labels {
            let n = place_by_label.len();
            let place = *place_by_label.entry(label.clone()).or_insert(n);
            if place == n {
                found.distinct.push(label);
            }
            found.of_data.push(place);
        }
        found
    }
}

impl From<Labels> for Vec<String> {
    fn from(labels: Labels) -> Self {
        labels.iter().map(str::to_owned).collect()
    }
}

impl Labels {
    /// The different ones, in the order in which they come first.
    pub fn distinct(&self) -> &[String] {
        &self.distinct
    }

    /// One a datum.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let of_data = self.of_data.iter();
        of_data.map(|&place| self.distinct[place].as_str())
    }

    /// Whether no data have any.
    pub fn is_empty(&self) -> bool {
        self.of_data.is_empty()
    }

    /// How many data have one.
    pub fn len(&self) -> usize {
        self.of_data.len()
    }
}

impl NoiseTerms {
    /// Of all parameters that the noise takes, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in self.terms().flat_map(NoiseTerm::names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether the noise takes no parameters.
    pub fn is_empty(&self) -> bool {
        self.terms().next().is_none()
    }

    /// The noise of a simulation with these parameters; NaN where the space has none of a name, which validation rules out.
    pub fn of_row(&self, space: &ParameterSpace, theta: &[f64]) -> RowNoise<'_> {
        let value = |name: &str| space.value(name, theta).unwrap_or(f64::NAN);
        let of_data = |term: &Option<NoiseTerm>| match term {
            None => OfData::None,
            Some(NoiseTerm::One(name)) => OfData::All(value(name)),
            Some(NoiseTerm::ByLabel(name_by_label)) => OfData::ByLabel {
                value_by_label: self
                    .labels
                    .distinct
                    .iter()
                    .map(|label| name_by_label.get(label).map(|name| value(name)))
                    .collect(),
                of_data: &self.labels.of_data,
            },
        };
        RowNoise {
            jitter: of_data(&self.jitter),
            offset: of_data(&self.offset),
        }
    }

    fn terms(&self) -> impl Iterator<Item = &NoiseTerm> {
        self.jitter.iter().chain(&self.offset)
    }
}

/// What the parameters of one simulation make of the noise; by default nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowNoise<'a> {
    jitter: OfData<'a>,
    offset: OfData<'a>,
}

/// A number for each datum, or none.
#[derive(Debug, Clone, Default, PartialEq)]
enum OfData<'a> {
    #[default]
    None,
    All(f64),
    ByLabel {
        value_by_label: Vec<Option<f64>>,
        of_data: &'a [usize],
    },
}

impl OfData<'_> {
    fn get(&self, datum: usize) -> Option<f64> {
        match self {
            Self::None => None,
            Self::All(value) => Some(*value),
            Self::ByLabel {
                value_by_label,
                of_data,
            } => *value_by_label.get(*of_data.get(datum)?)?,
        }
    }
}

impl RowNoise<'_> {
    /// The mean of a datum that the simulator says is `simulated`.
    pub fn mean(&self, datum: usize, simulated: f64) -> f64 {
        match self.offset.get(datum) {
            Some(offset) => simulated + offset,
            None => simulated,
        }
    }

    /// The standard deviation of a datum whose own is `sigma`.
    pub fn sd(&self, datum: usize, sigma: f64) -> f64 {
        match self.jitter.get(datum) {
            Some(jitter) => libm::hypot(sigma, jitter),
            None => sigma,
        }
    }

    /// log p(observation | simulated data without noise), normalized, with the observation's sigma.
    ///
    /// NaN where a simulated value is not finite (the simulator failed, whatever it says) and where
    /// there are not as many of them as observed values: the caller makes a failed row of it. -inf is
    /// an answer: the likelihood is known to be zero.
    pub fn log_likelihood(&self, observation: &Observation, simulated: &[f64]) -> f64 {
        let n = observation.value.len();
        if simulated.len() != n
            || observation.sigma.len() != n
            || simulated.iter().any(|x| !x.is_finite())
        {
            return f64::NAN;
        }
        let mut chi_square = 0.0;
        let mut log_norm = 0.0;
        for (value, sd, mean) in self.beside(observation, simulated) {
            let residual = (value - mean) / sd;
            chi_square += residual * residual;
            log_norm += LN_SQRT_2_PI + sd.ln();
        }
        -0.5 * chi_square - log_norm
    }

    /// [`Self::log_likelihood`] of data that are known in single precision, and how far from it that of the data
    /// themselves may be.
    pub fn log_likelihood_of_rounded(
        &self,
        observation: &Observation,
        rounded: &[f32],
    ) -> (f64, f64) {
        let simulated: Vec<f64> = rounded.iter().map(|&x| f64::from(x)).collect();
        let log_likelihood = self.log_likelihood(observation, &simulated);
        let mut change = 0.0;
        for ((value, sd, mean), x) in self.beside(observation, &simulated).zip(&simulated) {
            // Half a unit in the last place, also of numbers near zero, whose units do not shrink any more.
            let rounding =
                0.5 * f64::from(f32::EPSILON) * x.abs().max(f64::from(f32::MIN_POSITIVE));
            let shift = rounding / sd;
            change += shift * ((value - mean) / sd).abs() + 0.5 * shift * shift;
        }
        // Sums of doubles are rounded too.
        (log_likelihood, change + 1e-9 * (1.0 + log_likelihood.abs()))
    }

    /// How much larger the jitter makes the sum of ln sigma over all data.
    pub fn log_widening(&self, observation: &Observation) -> f64 {
        match self.jitter {
            OfData::None => 0.0,
            OfData::All(_) | OfData::ByLabel { .. } => {
                let sigma = observation.sigma.iter().enumerate();
                sigma
                    .map(|(i, &sigma)| (self.sd(i, sigma) / sigma).ln())
                    .sum()
            }
        }
    }

    /// The observation as it compares with simulated data: without the offset, and with the jitter in its sigma.
    pub fn reduced(&self, observation: &Observation) -> Observation {
        let value = observation.value.iter().enumerate();
        let sigma = observation.sigma.iter().enumerate();
        Observation {
            grid: observation.grid.clone(),
            value: value
                .map(|(i, &value)| value - self.offset.get(i).unwrap_or(0.0))
                .collect(),
            sigma: sigma.map(|(i, &sigma)| self.sd(i, sigma)).collect(),
        }
    }

    /// Value, standard deviation and mean of each datum.
    fn beside(
        &self,
        observation: &Observation,
        simulated: &[f64],
    ) -> impl Iterator<Item = (f64, f64, f64)> {
        let data = observation.value.iter().zip(&observation.sigma);
        let data = data.zip(simulated).enumerate();
        data.map(|(i, ((&value, &sigma), &x))| (value, self.sd(i, sigma), self.mean(i, x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Fixed, Parameter, Prior};

    fn observation() -> Observation {
        Observation {
            grid: vec![0.0, 1.0, 2.0],
            value: vec![1.0, -2.0, 4.0],
            sigma: vec![0.5, 3.0, 2.0],
        }
    }

    #[test]
    fn likelihood_is_normalized_with_each_points_sigma() {
        // Residuals of 2, -1 and 2 sigma; Σ ln(2π σ²) / 2 = 3/2 ln 2π + ln 3.
        let expected = -4.5 - 1.5 * (2.0 * std::f64::consts::PI).ln() - 3f64.ln();
        let none = RowNoise::default();
        let found = none.log_likelihood(&observation(), &[0.0, 1.0, 0.0]);
        assert!((found - expected).abs() < 1e-14, "{found}");
        assert_eq!(
            none.log_likelihood(&observation(), &[1e200, 0.0, 0.0]),
            f64::NEG_INFINITY
        );
    }

    #[test]
    fn jitter_and_offset_go_by_label() {
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            prior: Prior::Uniform {
                low: 0.0,
                high: 10.0,
            },
            periodic: false,
        };
        let mut space = ParameterSpace::independent(vec![parameter("s_b"), parameter("gamma")]);
        space.fixed.push(Fixed {
            sd: None,
            name: "s_a".to_owned(),
            value: 1.2,
            position: 1,
        });
        let by = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            NoiseTerm::ByLabel(
                pairs
                    .map(|(label, name)| ((*label).to_owned(), (*name).to_owned()))
                    .collect(),
            )
        };
        let terms = NoiseTerms {
            jitter: Some(by(&[("a", "s_a"), ("b", "s_b")])),
            offset: Some(by(&[("b", "gamma")])),
            labels: Labels::from(["a", "b", "c"].map(str::to_owned).to_vec()),
        };
        assert_eq!(terms.names(), ["s_a", "s_b", "gamma"]);
        let noise = terms.of_row(&space, &[4.0, 2.5]);
        // sqrt(0.5² + 1.2²) = 1.3 and sqrt(3² + 4²) = 5; c has neither.
        let sd = [0.5, 3.0, 2.0].iter().enumerate();
        let sd: Vec<f64> = sd.map(|(i, &sigma)| noise.sd(i, sigma)).collect();
        assert_eq!(sd, [1.3, 5.0, 2.0]);
        let mean: Vec<f64> = (0..3).map(|i| noise.mean(i, 1.0)).collect();
        assert_eq!(mean, [1.0, 3.5, 1.0]);
        // Residuals of 0, -5.5 / 5 and 3 / 2.
        let expected = -0.5 * (1.21 + 2.25)
            - 1.5 * (2.0 * std::f64::consts::PI).ln()
            - (1.3f64 * 5.0 * 2.0).ln();
        let found = noise.log_likelihood(&observation(), &[1.0; 3]);
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        let widening = noise.log_widening(&observation());
        assert!(
            (widening - (13.0f64 / 3.0).ln()).abs() < 1e-15,
            "{widening}"
        );
        let reduced = noise.reduced(&observation());
        assert_eq!(reduced.value, [1.0, -4.5, 4.0]);
        assert_eq!(reduced.sigma, [1.3, 5.0, 2.0]);
        assert_eq!(
            RowNoise::default().log_likelihood(&reduced, &[1.0; 3]),
            found
        );
        // One for all.
        let one = NoiseTerms {
            jitter: Some(NoiseTerm::One("s_b".to_owned())),
            ..NoiseTerms::default()
        };
        assert_eq!(one.of_row(&space, &[4.0, 2.5]).sd(1, 3.0), 5.0);
        // A name that is none makes no likelihood.
        let wrong = NoiseTerms {
            offset: Some(NoiseTerm::One("none".to_owned())),
            ..NoiseTerms::default()
        };
        let wrong = wrong.of_row(&space, &[4.0, 2.5]);
        assert!(wrong.log_likelihood(&observation(), &[1.0; 3]).is_nan());
    }

    #[test]
    fn labels_are_written_as_they_were_read() {
        let given = ["b", "a", "b"].map(str::to_owned).to_vec();
        let labels = Labels::from(given.clone());
        assert_eq!(labels.distinct(), ["b", "a"]);
        assert_eq!(Vec::from(labels), given);
    }

    #[test]
    fn data_in_single_precision_bound_the_likelihood_of_the_data_themselves() {
        // A residual of 20,000 sigma, and two of nearly none.
        let observed = Observation {
            sigma: vec![5e-5, 2.0, 2.0],
            ..observation()
        };
        for i in 0..1000 {
            let data = [f64::from(i).sin(), -2.0 + 1e-3 * f64::from(i).cos(), 4.0];
            let exact = RowNoise::default().log_likelihood(&observed, &data);
            let rounded = data.map(|x| x as f32);
            let (found, tolerance) =
                RowNoise::default().log_likelihood_of_rounded(&observed, &rounded);
            assert!(
                (found - exact).abs() <= tolerance,
                "{found}, {exact}, {tolerance}"
            );
            assert!(
                tolerance < 2e-3 * (1.0 + 2.0 * exact.abs().sqrt()),
                "{tolerance} of {exact}"
            );
        }
    }

    #[test]
    fn what_is_no_simulation_has_no_likelihood() {
        for simulated in [
            &[0.0, f64::NAN, 0.0][..],
            &[f64::INFINITY, 0.0, 0.0],
            &[f64::NEG_INFINITY, 0.0, 0.0],
            &[0.0],
            &[0.0; 4],
        ] {
            assert!(
                RowNoise::default()
                    .log_likelihood(&observation(), simulated)
                    .is_nan(),
                "{simulated:?}"
            );
        }
    }
}
