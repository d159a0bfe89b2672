//! The parameter space: named parameters, their joint prior, and the map to unconstrained z.

use super::copula::Copula;
use super::joint_normal::JointNormal;
use super::prior::Prior;
use super::prior_error::PriorError;
use crate::base::normal;
use serde::{Deserialize, Serialize};

/// One named parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Letters, digits and _, as campaign files and results have it.
    pub name: String,
    /// Of the parameter alone, where it is one of a joint prior.
    pub prior: Prior,
    /// Whether the bounds of its uniform prior are one and the same point (phases, angles).
    pub periodic: bool,
}

/// A number that the model takes among its parameters, the same for every draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fixed {
    /// As a parameter's.
    pub name: String,
    /// In its own units, finite.
    pub value: f64,
    /// Its place among all that the model takes, in the order of the campaign file.
    pub position: usize,
    /// Of a linear parameter: the standard deviation of its normal prior, whose mean is `value`. Its own value is not the same for
    /// every draw, but drawn where a row is simulated, given the row's parameters and the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
}

/// A quantity that the model gives with each draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derived {
    /// As a parameter's.
    pub name: String,
    /// Why it is there.
    pub kind: DerivedKind,
}

/// Why a derived quantity is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DerivedKind {
    /// It is what a prior transform gives, and the parameters are coordinates of the unit cube: people are shown it in
    /// place of these.
    Transformed,
    /// The model gives it beside what it is asked for.
    Blob,
    /// A linear parameter, integrated out of the likelihood, and drawn given all others.
    Linear,
}

/// All parameters of a campaign, in the order of the campaign file. Never empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredParameterSpace")]
pub struct ParameterSpace {
    /// In that order.
    pub parameters: Vec<Parameter>,
    /// The prior of those parameters that are correlated; the others' are independent.
    pub joint: Option<JointNormal>,
    /// What the model takes beside, by ascending position.
    pub fixed: Vec<Fixed>,
    /// What the model gives with each draw, those of a prior transform first.
    pub derived: Vec<Derived>,
    /// Names of those parameters, fixed ones among them, that the noise takes and the model does not.
    pub of_noise: Vec<String>,
    /// Of those parameters that are fitted to the same samples; they follow from the parameters' priors.
    #[serde(skip)]
    pub copulas: Vec<Copula>,
}

/// As model files and journals have it.
#[derive(Deserialize)]
struct StoredParameterSpace {
    parameters: Vec<Parameter>,
    joint: Option<JointNormal>,
    fixed: Vec<Fixed>,
    derived: Vec<Derived>,
    of_noise: Vec<String>,
}

impl TryFrom<StoredParameterSpace> for ParameterSpace {
    type Error = PriorError;

    fn try_from(stored: StoredParameterSpace) -> Result<Self, PriorError> {
        let n = stored.parameters.len();
        if n == 0 {
            return Err(PriorError(
                "no parameters, expected at least one".to_owned(),
            ));
        }
        let positions = stored
            .joint
            .as_ref()
            .map_or(&[][..], JointNormal::positions);
        let ascend = positions.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascend || positions.iter().any(|&position| position >= n) {
            return Err(PriorError(format!(
                "the joint prior is of the parameters {positions:?}, expected ascending places below {n}"
            )));
        }
        let n_all = n + stored.fixed.len();
        let ascend = stored
            .fixed
            .windows(2)
            .all(|pair| pair[0].position < pair[1].position);
        if !ascend || stored.fixed.iter().any(|fixed| fixed.position >= n_all) {
            return Err(PriorError(format!(
                "the places of fixed parameters are not ascending and below {n_all}"
            )));
        }
        Ok(Self {
            copulas: copulas(&stored.parameters)?,
            parameters: stored.parameters,
            joint: stored.joint,
            fixed: stored.fixed,
            derived: stored.derived,
            of_noise: stored.of_noise,
        })
    }
}

impl ParameterSpace {
    /// Parameters whose priors are independent.
    pub fn independent(parameters: Vec<Parameter>) -> Self {
        Self {
            parameters,
            joint: None,
            fixed: Vec::new(),
            derived: Vec::new(),
            of_noise: Vec::new(),
            copulas: Vec::new(),
        }
    }

    /// Uniform on [0, 1] in each of `d` parameters, the last of which is a circle.
    #[cfg(test)]
    pub(crate) fn unit_cube(d: usize) -> Self {
        let parameter = |j: usize| Parameter {
            name: format!("p{j}"),
            prior: Prior::Uniform {
                low: 0.0,
                high: 1.0,
            },
            periodic: j == d - 1,
        };
        Self::independent((0..d).map(parameter).collect())
    }

    /// With the correlations of parameters that are fitted to the same samples.
    pub fn correlated(self) -> Result<Self, PriorError> {
        Ok(Self {
            copulas: copulas(&self.parameters)?,
            ..self
        })
    }

    /// Whether the parameter at `position` is one of the joint prior.
    pub fn is_joint(&self, position: usize) -> bool {
        self.joint
            .as_ref()
            .is_some_and(|joint| joint.positions().contains(&position))
    }

    /// The number of parameters.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a parameter space is never empty"
    )]
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// In that order.
    pub fn names(&self) -> Vec<&str> {
        self.parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect()
    }

    /// Of all columns that say where a draw is: the parameters', then the derived quantities'.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        let parameters = self.parameters.iter().map(|parameter| &parameter.name);
        let derived = self.derived.iter().map(|derived| &derived.name);
        parameters.chain(derived).map(String::as_str)
    }

    /// What people are shown, in order: the parameters, or what a prior transform makes of them, then what the model gives
    /// beside. With the parameter that a column is, if it is one.
    pub fn shown(&self) -> impl Iterator<Item = (&str, Option<&Parameter>)> {
        let parameters: &[Parameter] = match self.is_transformed() {
            true => &[],
            false => &self.parameters,
        };
        let parameters = parameters
            .iter()
            .map(|parameter| (parameter.name.as_str(), Some(parameter)));
        let derived = self
            .derived
            .iter()
            .map(|derived| (derived.name.as_str(), None));
        parameters.chain(derived)
    }

    /// Whether the parameters are coordinates of the unit cube, and what a prior transform makes of them is shown.
    pub fn is_transformed(&self) -> bool {
        self.derived
            .iter()
            .any(|derived| derived.kind == DerivedKind::Transformed)
    }

    /// Names of all that the model takes, in the order of the campaign file.
    pub fn model_names(&self) -> Vec<&str> {
        let mut names = self.all_names();
        names.retain(|name| !self.is_of_noise(name));
        names
    }

    /// All that the model takes for a θ of `len()` elements.
    pub fn model_parameters(&self, theta: &[f64]) -> Vec<f64> {
        let mut all = theta.to_vec();
        for fixed in &self.fixed {
            all.insert(fixed.position, fixed.value);
        }
        if self.of_noise.is_empty() {
            return all;
        }
        let named = self.all_names().into_iter().zip(all);
        named
            .filter(|(name, _)| !self.is_of_noise(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// Linear parameters, in order.
    pub fn linear(&self) -> impl Iterator<Item = &Fixed> {
        self.fixed.iter().filter(|fixed| fixed.sd.is_some())
    }

    /// The same with linear parameters among the others: what the model is asked with. Derived quantities and correlations are
    /// left out.
    pub fn with_linear(&self) -> Self {
        let mut parameters = self.parameters.clone();
        let mut kept = Vec::new();
        for fixed in &self.fixed {
            match fixed.sd {
                None => kept.push(fixed.clone()),
                Some(sd) => parameters.insert(
                    fixed.position - kept.len(),
                    Parameter {
                        name: fixed.name.clone(),
                        prior: Prior::Normal {
                            mean: fixed.value,
                            sd,
                        },
                        periodic: false,
                    },
                ),
            }
        }
        Self {
            fixed: kept,
            of_noise: self.of_noise.clone(),
            ..Self::independent(parameters)
        }
    }

    /// θ of [`Self::with_linear`] from θ of this space and the values of linear parameters.
    pub fn theta_with_linear(&self, theta: &[f64], linear: &[f64]) -> Vec<f64> {
        let mut all = theta.to_vec();
        let mut n_kept = 0;
        let mut values = linear.iter();
        for fixed in &self.fixed {
            match fixed.sd.and_then(|_| values.next()) {
                Some(&value) => all.insert(fixed.position - n_kept, value),
                None => n_kept += 1,
            }
        }
        all
    }

    /// Whether θ itself is what the model takes, where that has the parameters in the campaign's order.
    pub fn is_all_of_the_model(&self) -> bool {
        self.fixed.is_empty() && self.of_noise.is_empty()
    }

    /// Of the parameter of this name, or of the fixed one, for a θ of `len()` elements.
    pub fn value(&self, name: &str, theta: &[f64]) -> Option<f64> {
        let mut named = self.parameters.iter().zip(theta);
        let found = named.find(|(parameter, _)| parameter.name == name);
        let fixed = || self.fixed.iter().find(|fixed| fixed.name == name);
        found
            .map(|(_, &value)| value)
            .or_else(|| Some(fixed()?.value))
    }

    fn all_names(&self) -> Vec<&str> {
        let mut names = self.names();
        for fixed in &self.fixed {
            names.insert(fixed.position, &fixed.name);
        }
        names
    }

    fn is_of_noise(&self, name: &str) -> bool {
        self.of_noise.iter().any(|of_noise| of_noise == name)
    }

    /// log p(θ) in the parameters' own units; -inf outside the prior. `theta` has `len()` elements.
    pub fn log_prior(&self, theta: &[f64]) -> f64 {
        assert_eq!(theta.len(), self.len(), "one value per parameter");
        let independent: f64 = self
            .parameters
            .iter()
            .zip(theta)
            .enumerate()
            .filter(|(position, _)| !self.is_joint(*position))
            .map(|(_, (parameter, &x))| parameter.prior.log_density(x))
            .sum();
        if independent == f64::NEG_INFINITY {
            return independent;
        }
        let copulas = self.copulas.iter();
        let corrections = copulas.map(|copula| copula.log_correction(&self.own_z(copula, theta)));
        let independent = corrections.fold(independent, |sum, correction| sum + correction);
        match &self.joint {
            Some(joint) => independent + joint.log_density(theta),
            None => independent,
        }
    }

    /// Fills `theta` from the unconstrained `z`; always within the prior. Both have `len()` elements.
    pub fn constrain(&self, z: &[f64], theta: &mut [f64]) {
        assert_eq!(
            (z.len(), theta.len()),
            (self.len(), self.len()),
            "one value per parameter"
        );
        for ((parameter, &z), x) in self.parameters.iter().zip(z).zip(theta.iter_mut()) {
            *x = parameter.prior.from_unconstrained(z);
        }
        for copula in &self.copulas {
            for (&place, y) in copula.positions().iter().zip(copula.correlated(z)) {
                theta[place] = self.parameters[place].prior.from_unconstrained(y);
            }
        }
        if let Some(joint) = &self.joint {
            joint.constrain(z, theta);
        }
    }

    /// Fills `z` from `theta`: the inverse of [`Self::constrain`] as far as θ's digits go. Near a bound
    /// that is not zero θ is the coarser of the two, which is why draws store z.
    pub fn unconstrain(&self, theta: &[f64], z: &mut [f64]) {
        assert_eq!(
            (theta.len(), z.len()),
            (self.len(), self.len()),
            "one value per parameter"
        );
        for ((parameter, &x), z) in self.parameters.iter().zip(theta).zip(z.iter_mut()) {
            *z = parameter.prior.to_unconstrained(x);
        }
        for copula in &self.copulas {
            let whitened = copula.whitened(&self.own_z(copula, theta));
            for (&place, whitened) in copula.positions().iter().zip(whitened) {
                z[place] = whitened;
            }
        }
        if let Some(joint) = &self.joint {
            joint.unconstrain(theta, z);
        }
    }

    /// Of the parameters of a copula, each by its own prior.
    fn own_z(&self, copula: &Copula, theta: &[f64]) -> Vec<f64> {
        let places = copula.positions().iter();
        places
            .map(|&place| self.parameters[place].prior.to_unconstrained(theta[place]))
            .collect()
    }

    /// log q(θ) in the parameters' own units of a density that is `log_density_z` at z, where
    /// θ = constrain(z): log q_z(z) - log N(z; 0, 1) + log p(θ).
    pub fn log_density(&self, z: &[f64], theta: &[f64], log_density_z: f64) -> f64 {
        log_density_z - standard_normal_log_density(z) + self.log_prior(theta)
    }
}

fn copulas(parameters: &[Parameter]) -> Result<Vec<Copula>, PriorError> {
    let named = parameters.iter();
    let named: Vec<(&str, &Prior)> = named
        .map(|parameter| (parameter.name.as_str(), &parameter.prior))
        .collect();
    Copula::of(&named)
}

/// log N(z; 0, 1) of all elements together.
pub fn standard_normal_log_density(z: &[f64]) -> f64 {
    z.iter().map(|&z| normal::log_density(z)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::joint_normal::Spread;

    #[test]
    fn spaces_whose_joint_prior_is_of_no_parameters_are_refused() {
        let stored = |positions: &str| {
            let space = format!(
                r#"{{"parameters": [{{"name": "a", "prior": {{"normal": {{"mean": 0.0, "sd": 1.0}}}}, "periodic": false}},
                    {{"name": "b", "prior": {{"normal": {{"mean": 0.0, "sd": 1.0}}}}, "periodic": false}}],
                    "fixed": [], "derived": [], "of_noise": [], "joint": {{"positions": {positions}, "mean": [0.0, 0.0],
                    "spread": {{"covariance": [[1.0, 0.0], [0.0, 1.0]]}}}}}}"#
            );
            serde_json::from_str::<ParameterSpace>(&space).map_err(|error| error.to_string())
        };
        let space = stored("[0, 1]").expect("two parameters");
        let written = serde_json::to_string(&space).expect("a space");
        assert_eq!(
            serde_json::from_str::<ParameterSpace>(&written).ok(),
            Some(space)
        );
        for positions in ["[0, 2]", "[1, 1]", "[1, 0]"] {
            let error = stored(positions).expect_err("no such parameters");
            let expected = format!(
                "the joint prior is of the parameters {positions}, expected ascending places below 2"
            );
            assert!(error.starts_with(&expected), "{error}");
        }
        let none = serde_json::from_str::<ParameterSpace>(r#"{"parameters": [], "joint": null}"#);
        assert!(none.is_err());
    }

    #[test]
    fn density_of_a_pushed_forward_normal_is_exact() {
        // θ = 10 + 2 z and q_z = N(1, 1): q(θ) = N(12, 2).
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            prior: Prior::Normal {
                mean: 10.0,
                sd: 2.0,
            },
            periodic: false,
        };
        let space = ParameterSpace::independent(vec![parameter("a"), parameter("b")]);
        let z = [0.25, -1.5];
        let mut theta = [0.0; 2];
        space.constrain(&z, &mut theta);
        assert_eq!(theta, [10.5, 7.0]);
        let log_density_z = z.iter().map(|z| normal::log_density(z - 1.0)).sum();
        let expected: f64 = theta
            .iter()
            .map(|x| normal::log_density((x - 12.0) / 2.0) - 2f64.ln())
            .sum();
        assert!((space.log_density(&z, &theta, log_density_z) - expected).abs() < 1e-14);
        // The prior itself in z is the prior in θ.
        assert_eq!(
            space.log_density(&z, &theta, standard_normal_log_density(&z)),
            space.log_prior(&theta)
        );
        let mut again = [0.0; 2];
        space.unconstrain(&theta, &mut again);
        assert_eq!(again, z);
    }

    #[test]
    fn joint_and_independent_parameters_stand_side_by_side() {
        let parameter = |name: &str, prior: Prior| Parameter {
            name: name.to_owned(),
            prior,
            periodic: false,
        };
        let marginal = Prior::Normal { mean: 0.0, sd: 1.0 };
        let uniform = Prior::Uniform {
            low: 0.0,
            high: 2.0,
        };
        let covariance = vec![vec![1.0, 0.6], vec![0.6, 1.0]];
        let space = ParameterSpace {
            parameters: vec![
                parameter("a", marginal.clone()),
                parameter("b", uniform),
                parameter("c", marginal),
            ],
            fixed: Vec::new(),
            derived: Vec::new(),
            of_noise: Vec::new(),
            copulas: Vec::new(),
            joint: Some(
                JointNormal::new(vec![0, 2], vec![0.0; 2], Spread::Covariance(covariance))
                    .expect("a prior"),
            ),
        };
        let z = [1.0, 0.0, 0.5];
        let mut theta = [0.0; 3];
        space.constrain(&z, &mut theta);
        // The Cholesky factor is [1, 0], [0.6, 0.8].
        assert_eq!(theta, [1.0, 1.0, 1.0]);
        let mut again = [0.0; 3];
        space.unconstrain(&theta, &mut again);
        assert_eq!(again, z);
        // Density of the pair at (1, 1): exp(-1 / 1.6) / (2 pi 0.8).
        let expected = -1.0 / 1.6 - (2.0 * std::f64::consts::PI * 0.8).ln() - 2f64.ln();
        assert!((space.log_prior(&theta) - expected).abs() < 1e-14);
        assert_eq!(space.log_prior(&[1.0, 2.1, 1.0]), f64::NEG_INFINITY);
        assert_eq!(space.log_prior(&[f64::NAN, 1.0, 1.0]), f64::NEG_INFINITY);
        let log_normal = standard_normal_log_density(&z);
        assert!((space.log_density(&z, &theta, log_normal) - expected).abs() < 1e-14);
    }

    #[test]
    fn one_parameter_outside_makes_the_prior_zero() {
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            prior: Prior::Uniform {
                low: 0.0,
                high: 2.0,
            },
            periodic: false,
        };
        let space = ParameterSpace::independent(vec![parameter("a"), parameter("b")]);
        assert_eq!(space.names(), ["a", "b"]);
        assert_eq!(space.log_prior(&[1.0, 2.0]), -2.0 * 2f64.ln());
        assert_eq!(space.log_prior(&[1.0, 2.1]), f64::NEG_INFINITY);
    }
}
