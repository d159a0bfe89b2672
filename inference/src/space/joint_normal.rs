//! A multivariate normal prior of several parameters, whitened by a Cholesky factor.

use super::prior::Prior;
use super::prior_error::PriorError;
use crate::base::cholesky_of_pivots;
use crate::base::normal::LN_SQRT_2_PI;
use serde::{Deserialize, Serialize};

/// Entries that should be the same may differ by this much, relative to their diagonal.
const MOST_ASYMMETRY: f64 = 1e-9;

/// A pivot smaller than this part of its diagonal entry has lost all its digits.
const LEAST_PIVOT: f64 = 1e-12;

/// The matrix of a multivariate normal as it was given, row by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Of the parameters in their own units.
    Covariance(Vec<Vec<f64>>),
    /// The inverse of the covariance.
    Precision(Vec<Vec<f64>>),
}

impl Spread {
    /// As campaign files call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Covariance(_) => "covariance",
            Self::Precision(_) => "precision",
        }
    }

    /// As it was given.
    pub fn rows(&self) -> &[Vec<f64>] {
        match self {
            Self::Covariance(rows) | Self::Precision(rows) => rows,
        }
    }
}

/// A multivariate normal of the parameters at `positions` of a space.
///
/// With the lower Cholesky factor C of the matrix, θ = mean + C z where it is the covariance, and
/// θ = mean + C⁻ᵀ z where it is the precision; z is standard normal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredJointNormal")]
pub struct JointNormal {
    positions: Vec<usize>,
    mean: Vec<f64>,
    spread: Spread,
    /// Rows of C, each up to its diagonal.
    factor: Vec<Vec<f64>>,
}

/// As model files have it; the factor is computed anew.
#[derive(Deserialize)]
struct StoredJointNormal {
    positions: Vec<usize>,
    mean: Vec<f64>,
    spread: Spread,
}

impl TryFrom<StoredJointNormal> for JointNormal {
    type Error = PriorError;

    fn try_from(stored: StoredJointNormal) -> Result<Self, PriorError> {
        Self::new(stored.positions, stored.mean, stored.spread)
    }
}

impl JointNormal {
    /// Refuses matrices that are not square, symmetric and positive definite.
    pub fn new(positions: Vec<usize>, mean: Vec<f64>, spread: Spread) -> Result<Self, PriorError> {
        let n = positions.len();
        if mean.len() != n {
            let found = mean.len();
            return refuse(format!(
                "mean has {found} numbers, expected {n}, one a parameter"
            ));
        }
        if let Some((i, value)) = mean.iter().enumerate().find(|(_, m)| !m.is_finite()) {
            return refuse(format!("mean[{i}] is {value}, expected a finite number"));
        }
        let factor = factor_of(spread.rows(), n, spread.name())?;
        let joint = Self {
            positions,
            mean,
            spread,
            factor,
        };
        for (i, &mean) in joint.mean.iter().enumerate() {
            let sd = joint.sd(i);
            if let Err(error) = (Prior::Normal { mean, sd }).check() {
                let spread = joint.spread.name();
                return refuse(format!("parameter {i} of mean and {spread}: {error}"));
            }
        }
        Ok(joint)
    }

    /// Places in the space of the parameters that it is of.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    pub fn spread(&self) -> &Spread {
        &self.spread
    }

    /// Standard deviation of its i-th parameter alone.
    pub fn sd(&self, i: usize) -> f64 {
        match &self.spread {
            Spread::Covariance(_) => norm(&self.factor[i]),
            Spread::Precision(_) => {
                // Row i of C⁻ᵀ is column i of C⁻¹.
                let mut column = vec![0.0; self.mean.len()];
                column[i] = 1.0;
                solve_lower(&self.factor, &mut column);
                norm(&column)
            }
        }
    }

    /// Fills its places of `theta` from those of `z`.
    pub(crate) fn constrain(&self, z: &[f64], theta: &mut [f64]) {
        let mut deviation: Vec<f64> = self.positions.iter().map(|&place| z[place]).collect();
        match &self.spread {
            Spread::Covariance(_) => {
                for (i, row) in self.factor.iter().enumerate().rev() {
                    deviation[i] = dot(row, &deviation);
                }
            }
            Spread::Precision(_) => solve_transposed(&self.factor, &mut deviation),
        }
        for ((&place, mean), deviation) in self.positions.iter().zip(&self.mean).zip(deviation) {
            theta[place] = mean + deviation;
        }
    }

    /// Fills its places of `z` from those of `theta`.
    pub(crate) fn unconstrain(&self, theta: &[f64], z: &mut [f64]) {
        for (&place, z_i) in self.positions.iter().zip(self.whitened(theta)) {
            z[place] = z_i;
        }
    }

    /// log of the normalized density of its places of `theta`; -inf where one is not finite.
    pub(crate) fn log_density(&self, theta: &[f64]) -> f64 {
        let mut places = self.positions.iter();
        if places.any(|&place| !theta[place].is_finite()) {
            return f64::NEG_INFINITY;
        }
        let square: f64 = self.whitened(theta).iter().map(|z| z * z).sum();
        let rows = self.factor.iter().enumerate();
        let log_diagonal: f64 = rows.map(|(i, row)| row[i].ln()).sum();
        let log_determinant = match &self.spread {
            Spread::Covariance(_) => -log_diagonal,
            Spread::Precision(_) => log_diagonal,
        };
        log_determinant - 0.5 * square - self.mean.len() as f64 * LN_SQRT_2_PI
    }

    fn whitened(&self, theta: &[f64]) -> Vec<f64> {
        let own = self.positions.iter().zip(&self.mean);
        let mut z: Vec<f64> = own.map(|(&place, mean)| theta[place] - mean).collect();
        match &self.spread {
            Spread::Covariance(_) => solve_lower(&self.factor, &mut z),
            Spread::Precision(_) => {
                // Cᵀ times the deviation: element i needs elements from i on only.
                for i in 0..z.len() {
                    z[i] = (i..z.len()).map(|k| self.factor[k][i] * z[k]).sum();
                }
            }
        }
        z
    }
}

/// Rows of the lower Cholesky factor, each up to its diagonal.
fn factor_of(matrix: &[Vec<f64>], n: usize, name: &str) -> Result<Vec<Vec<f64>>, PriorError> {
    if matrix.len() != n {
        let found = matrix.len();
        return refuse(format!(
            "{name} has {found} rows, expected {n}, one a parameter"
        ));
    }
    for (i, row) in matrix.iter().enumerate() {
        if row.len() != n {
            let found = row.len();
            return refuse(format!(
                "{name}[{i}] has {found} numbers, expected {n}, one a parameter"
            ));
        }
        if let Some((j, value)) = row.iter().enumerate().find(|(_, entry)| !entry.is_finite()) {
            return refuse(format!(
                "{name}[{i}][{j}] is {value}, expected a finite number"
            ));
        }
        if row[i] <= 0.0 {
            let found = row[i];
            return refuse(format!(
                "{name}[{i}][{i}] is {found}, expected a positive number"
            ));
        }
    }
    for i in 0..n {
        for j in 0..i {
            let (below, above) = (matrix[i][j], matrix[j][i]);
            if (below - above).abs() > MOST_ASYMMETRY * matrix[i][i].sqrt() * matrix[j][j].sqrt() {
                return refuse(format!(
                    "{name} is not symmetric: [{i}][{j}] is {below}, [{j}][{i}] is {above}"
                ));
            }
        }
    }
    let is_usable = |pivot: f64, diagonal: f64| pivot > LEAST_PIVOT * diagonal;
    match cholesky_of_pivots(&matrix.concat(), n, is_usable) {
        Ok(factor) => Ok((0..n).map(|i| factor[i * n..=i * n + i].to_vec()).collect()),
        Err((i, pivot)) => refuse(format!(
            "{name} is not positive definite: pivot {i} of its Cholesky factor is {pivot:e} of {}",
            matrix[i][i]
        )),
    }
}

/// Solves C x = b in place.
fn solve_lower(factor: &[Vec<f64>], b: &mut [f64]) {
    for (i, row) in factor.iter().enumerate() {
        b[i] = (b[i] - dot(&row[..i], b)) / row[i];
    }
}

/// Solves Cᵀ x = b in place.
fn solve_transposed(factor: &[Vec<f64>], b: &mut [f64]) {
    for (i, row) in factor.iter().enumerate().rev() {
        b[i] /= row[i];
        let solved = b[i];
        for (b, entry) in b.iter_mut().zip(&row[..i]) {
            *b -= entry * solved;
        }
    }
}

/// Over the shorter of the two.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(values: &[f64]) -> f64 {
    dot(values, values).sqrt()
}

fn refuse<T>(message: String) -> Result<T, PriorError> {
    Err(PriorError(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Covariance and precision of one and the same distribution, exactly: det 36.
    fn pair() -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let covariance = vec![
            vec![4.0, 2.0, 0.0],
            vec![2.0, 5.0, 4.0],
            vec![0.0, 4.0, 6.25],
        ];
        // Adjugate over the determinant, 4 (31.25 - 16) - 2 (12.5) = 36.
        let adjugate = [
            [15.25, -12.5, 8.0],
            [-12.5, 25.0, -16.0],
            [8.0, -16.0, 16.0],
        ];
        let precision = adjugate
            .iter()
            .map(|row| row.iter().map(|entry| entry / 36.0).collect())
            .collect();
        (covariance, precision)
    }

    fn both() -> [JointNormal; 2] {
        let (covariance, precision) = pair();
        [Spread::Covariance(covariance), Spread::Precision(precision)].map(|spread| {
            JointNormal::new(vec![3, 0, 1], vec![1.0, -2.0, 0.5], spread).expect("a prior")
        })
    }

    #[test]
    fn density_is_the_quadratic_form_in_closed_form() {
        let (_, precision) = pair();
        let theta = [0.3, 2.0, 99.0, -1.5];
        let deviation = [-1.5 - 1.0, 0.3 + 2.0, 2.0 - 0.5];
        let mut form = 0.0;
        for i in 0..3 {
            for j in 0..3 {
                form += deviation[i] * precision[i][j] * deviation[j];
            }
        }
        let expected = -0.5 * form - 0.5 * 36f64.ln() - 3.0 * LN_SQRT_2_PI;
        for joint in both() {
            let found = joint.log_density(&theta);
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            for (i, variance) in [4.0, 5.0, 6.25f64].into_iter().enumerate() {
                assert!((joint.sd(i) - variance.sqrt()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn whitening_is_undone_and_has_the_covariance() {
        let (covariance, _) = pair();
        for joint in both() {
            let z = [0.7, -1.3, 42.0, 2.1];
            let mut theta = [7.0; 4];
            joint.constrain(&z, &mut theta);
            assert_eq!(theta[2], 7.0, "not one of its parameters");
            let mut again = z;
            joint.unconstrain(&theta, &mut again);
            for (again, z) in again.iter().zip(z) {
                assert!((again - z).abs() < 1e-13);
            }
            // The columns of the whitening's matrix W, from unit vectors: W Wᵀ is the covariance.
            let mut columns = Vec::new();
            for place in [3, 0, 1] {
                let mut unit = [0.0; 4];
                unit[place] = 1.0;
                let mut theta = [0.0; 4];
                joint.constrain(&unit, &mut theta);
                columns.push([theta[3] - 1.0, theta[0] + 2.0, theta[1] - 0.5]);
            }
            for i in 0..3 {
                for j in 0..3 {
                    let entry: f64 = columns.iter().map(|column| column[i] * column[j]).sum();
                    assert!((entry - covariance[i][j]).abs() < 1e-12);
                }
            }
            // Change of variables: log p(θ) = log N(z) - ln |det W|, det W = 6.
            let log_normal: f64 = [3, 0, 1]
                .iter()
                .map(|&place: &usize| -0.5 * z[place] * z[place] - LN_SQRT_2_PI)
                .sum();
            assert!((joint.log_density(&theta) - (log_normal - 6f64.ln())).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_no_covariance_is_refused_with_its_numbers() {
        /// Mean, covariance and message.
        type Case = (&'static [f64], &'static [&'static [f64]], &'static str);
        let table: &[Case] = &[
            (
                &[0.0],
                &[&[1.0, 0.0], &[0.0, 1.0]],
                "mean has 1 numbers, expected 2, one a parameter",
            ),
            (
                &[0.0, f64::NAN],
                &[&[1.0, 0.0], &[0.0, 1.0]],
                "mean[1] is NaN, expected a finite number",
            ),
            (
                &[0.0, 0.0],
                &[&[1.0, 0.0]],
                "covariance has 1 rows, expected 2, one a parameter",
            ),
            (
                &[0.0, 0.0],
                &[&[1.0, 0.0], &[0.0]],
                "covariance[1] has 1 numbers, expected 2, one a parameter",
            ),
            (
                &[0.0, 0.0],
                &[&[1.0, 0.0], &[0.0, -1.0]],
                "covariance[1][1] is -1, expected a positive number",
            ),
            (
                &[0.0, 0.0],
                &[&[1.0, 0.5], &[0.4, 1.0]],
                "covariance is not symmetric: [1][0] is 0.4, [0][1] is 0.5",
            ),
            (
                &[0.0, 0.0],
                &[&[1.0, 2.0], &[2.0, 1.0]],
                "covariance is not positive definite: pivot 1 of its Cholesky factor is -3e0 of 1",
            ),
        ];
        for (mean, rows, expected) in table {
            let spread = Spread::Covariance(rows.iter().map(|row| row.to_vec()).collect());
            let error = JointNormal::new(vec![0, 1], mean.to_vec(), spread).expect_err(expected);
            assert_eq!(error.to_string(), *expected);
        }
    }
}
