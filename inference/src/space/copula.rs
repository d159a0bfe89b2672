//! Correlations of parameters that are fitted to the same samples: their z are normal together (a Gaussian copula).

use super::prior::Prior;
use super::prior_error::PriorError;
use crate::base::{cholesky_of_pivots, solved_lower};
use std::collections::BTreeMap;

/// A correlation matrix is refused whose pivots are smaller: one parameter all but follows from the others.
const LEAST_PIVOT: f64 = 1e-6;

/// With the lower Cholesky factor C of the correlation matrix, the parameters' own z are y = C z; z is standard normal.
#[derive(Debug, Clone, PartialEq)]
pub struct Copula {
    positions: Vec<usize>,
    /// Row-major.
    factor: Vec<f64>,
}

impl Copula {
    /// Of parameters with priors from the same samples, by their correlations.
    pub(super) fn of(parameters: &[(&str, &Prior)]) -> Result<Vec<Self>, PriorError> {
        let mut positions_by_digest: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (position, (name, prior)) in parameters.iter().enumerate() {
            if let Prior::Samples(density) = prior {
                let positions = positions_by_digest.entry(&density.digest).or_default();
                let (found, expected) = (density.correlations.len(), positions.len());
                if found != expected {
                    return Err(PriorError(format!(
                        "the prior of {name} has {found} correlations, expected {expected}, one with each earlier parameter of \
                         the same samples"
                    )));
                }
                positions.push(position);
            }
        }
        let several = positions_by_digest.into_values();
        several
            .filter(|positions| positions.len() > 1)
            .map(|positions| Self::of_positions(parameters, positions))
            .collect()
    }

    fn of_positions(
        parameters: &[(&str, &Prior)],
        positions: Vec<usize>,
    ) -> Result<Self, PriorError> {
        let d = positions.len();
        let mut matrix = vec![0.0; d * d];
        for (i, &position) in positions.iter().enumerate() {
            matrix[i * d + i] = 1.0;
            if let Prior::Samples(density) = parameters[position].1 {
                for (j, &rho) in density.correlations.iter().enumerate() {
                    matrix[i * d + j] = rho;
                    matrix[j * d + i] = rho;
                }
            }
        }
        let is_usable = |pivot: f64, _| pivot > LEAST_PIVOT;
        let factor = cholesky_of_pivots(&matrix, d, is_usable).map_err(|(i, _)| {
            let name = parameters[positions[i]].0;
            PriorError(format!(
                "{name} all but follows from the parameters before it that have the same samples, expected a density of all \
                 of them"
            ))
        })?;
        Ok(Self { positions, factor })
    }

    /// Places in the space of the parameters that it is of.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// y of its parameters, from z of all.
    pub(super) fn correlated(&self, z: &[f64]) -> Vec<f64> {
        let d = self.positions.len();
        let row = |i: usize| {
            let own = self.positions.iter().take(i + 1).enumerate();
            own.map(|(j, &place)| self.factor[i * d + j] * z[place])
                .sum()
        };
        (0..d).map(row).collect()
    }

    /// z of its parameters, from their y.
    pub(super) fn whitened(&self, y: &[f64]) -> Vec<f64> {
        solved_lower(&self.factor, y)
    }

    /// log of the joint density of y over the product of standard normal ones.
    pub(super) fn log_correction(&self, y: &[f64]) -> f64 {
        let d = y.len();
        let square = |values: &[f64]| -> f64 { values.iter().map(|value| value * value).sum() };
        let log_determinant: f64 = (0..d).map(|i| self.factor[i * d + i].ln()).sum();
        0.5 * (square(y) - square(&self.whitened(y))) - log_determinant
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::sampled::SampledDensity;

    fn prior(correlations: &[f64], digest: &str) -> Prior {
        Prior::Samples(SampledDensity {
            low: None,
            high: None,
            reach: 1.0,
            values: vec![-2.0, 0.0, 2.0],
            correlations: correlations.to_vec(),
            digest: digest.to_owned(),
        })
    }

    #[test]
    fn parameters_of_one_file_are_correlated_and_others_are_not() {
        let (a, b, c) = (prior(&[], "one"), prior(&[0.6], "one"), prior(&[], "two"));
        let copulas = Copula::of(&[("a", &a), ("c", &c), ("b", &b)]).expect("copulas");
        let [copula] = &copulas[..] else {
            panic!("{copulas:?}");
        };
        assert_eq!(copula.positions(), [0, 2]);
        // The factor is [1, 0], [0.6, 0.8].
        let y = copula.correlated(&[1.0, 5.0, 0.5]);
        assert_eq!(y, [1.0, 1.0]);
        assert_eq!(copula.whitened(&y), [1.0, 0.5]);
        // The bivariate normal over the product: exp(-1 / 1.6 + 1) / 0.8.
        let expected = -1.0 / 1.6 + 1.0 - 0.8f64.ln();
        assert!((copula.log_correction(&y) - expected).abs() < 1e-15);
    }

    #[test]
    fn what_is_no_correlation_matrix_is_refused() {
        let (a, b) = (prior(&[], "one"), prior(&[0.999_999_9], "one"));
        let error = Copula::of(&[("a", &a), ("b", &b)]).expect_err("one and the same");
        assert!(error.0.starts_with("b all but follows from"), "{error}");
        let error = Copula::of(&[("b", &b), ("a", &a)]).expect_err("none is earlier");
        assert_eq!(
            error.0,
            "the prior of b has 1 correlations, expected 0, one with each earlier parameter of the same samples"
        );
    }
}
