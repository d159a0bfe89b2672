//! Densities around one place of the parameter space: what probing for lost modes draws from.

use crate::circle;
use crate::space::standard_normal_log_density;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Heavy tails, so that weights stay bounded where a mode is wider than it seemed.
const DEGREES_OF_FREEDOM: usize = 5;

/// A multivariate Student t density of 5 degrees of freedom over unconstrained z, circles cut at `seams`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalDensity {
    /// Where the circle of each periodic parameter is cut, in turns; 0 for others (see [`circle`]).
    pub seams: Vec<f64>,
    /// Of z, cut there.
    pub mean: Vec<f64>,
    /// Lower triangular factor of the scale matrix, row-major `[d, d]`, with a positive diagonal.
    pub factor: Vec<f64>,
}

impl LocalDensity {
    /// Whether lengths agree and the numbers make a density.
    pub fn is_valid(&self, n_parameters: usize) -> bool {
        let d = n_parameters;
        self.mean.len() == d
            && self.seams.len() == d
            && self.factor.len() == d * d
            && self.mean.iter().chain(&self.factor).all(|x| x.is_finite())
            && self.seams.iter().all(|seam| (0.0..1.0).contains(seam))
            && (0..d).all(|i| self.factor[i * d + i] > 0.0)
    }

    /// log [q(z) / N(z; 0, 1)] at a stored z: with the log prior added, log q(θ).
    pub fn log_ratio_to_prior(&self, z: &[f64]) -> f64 {
        let cut = self.cut(z);
        self.log_density(&cut) - standard_normal_log_density(&cut)
    }

    /// A draw of z, cut at the prior's bounds as draws store it.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let d = self.mean.len();
        let normal = |rng: &mut ChaCha8Rng| -> f64 { StandardNormal.sample(rng) };
        let direction: Vec<f64> = (0..d).map(|_| normal(rng)).collect();
        let chi_square: f64 = (0..DEGREES_OF_FREEDOM).map(|_| normal(rng).powi(2)).sum();
        // A uniform number instead of a zero that would throw the draw to infinity.
        let chi_square = chi_square.max(rng.random::<f64>() * 1e-12 + f64::MIN_POSITIVE);
        let stretch = (DEGREES_OF_FREEDOM as f64 / chi_square).sqrt();
        (0..d)
            .map(|i| {
                let offset: f64 = (0..=i).map(|j| self.factor[i * d + j] * direction[j]).sum();
                let z = (self.mean[i] + stretch * offset).clamp(-Z_LIMIT, Z_LIMIT);
                circle::uncut(self.seams[i], z)
            })
            .collect()
    }

    /// z of the same point, with circles cut here.
    pub fn cut(&self, z: &[f64]) -> Vec<f64> {
        z.iter()
            .zip(&self.seams)
            .map(|(&z, &seam)| circle::cut_at(seam, z).0)
            .collect()
    }

    fn log_density(&self, cut: &[f64]) -> f64 {
        let d = self.mean.len();
        let nu = DEGREES_OF_FREEDOM as f64;
        let log_determinant: f64 = (0..d).map(|i| self.factor[i * d + i].ln()).sum();
        let distance = mahalanobis_squared(cut, &self.mean, &self.factor);
        let half = 0.5 * (nu + d as f64);
        libm::lgamma(half)
            - libm::lgamma(0.5 * nu)
            - 0.5 * d as f64 * (nu * std::f64::consts::PI).ln()
            - log_determinant
            - half * (distance / nu).ln_1p()
    }
}

/// Draws beyond this |z| are no different to any prior.
const Z_LIMIT: f64 = 37.0;

/// Lower triangular Cholesky factor, row-major; None where the matrix is not positive definite.
pub fn cholesky(matrix: &[f64], d: usize) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| factor[i * d + k] * factor[j * d + k]).sum();
            let rest = matrix[i * d + j] - sum;
            if i == j {
                if !(rest > 0.0 && rest.is_finite()) {
                    return None;
                }
                factor[i * d + i] = rest.sqrt();
            } else {
                factor[i * d + j] = rest / factor[j * d + j];
            }
        }
    }
    Some(factor)
}

/// F⁻¹ x, F lower triangular and row-major.
pub fn solved_lower(factor: &[f64], x: &[f64]) -> Vec<f64> {
    let d = x.len();
    let mut solved = vec![0.0; d];
    for i in 0..d {
        let before: f64 = (0..i).map(|j| factor[i * d + j] * solved[j]).sum();
        solved[i] = (x[i] - before) / factor[i * d + i];
    }
    solved
}

/// F⁻ᵀ x, F lower triangular and row-major.
pub fn solved_upper(factor: &[f64], x: &[f64]) -> Vec<f64> {
    let d = x.len();
    let mut solved = vec![0.0; d];
    for i in (0..d).rev() {
        let after: f64 = (i + 1..d).map(|j| factor[j * d + i] * solved[j]).sum();
        solved[i] = (x[i] - after) / factor[i * d + i];
    }
    solved
}

/// (z - mean)ᵀ (F Fᵀ)⁻¹ (z - mean), F lower triangular and row-major.
pub fn mahalanobis_squared(z: &[f64], mean: &[f64], factor: &[f64]) -> f64 {
    let offset: Vec<f64> = z.iter().zip(mean).map(|(z, mean)| z - mean).collect();
    solved_lower(factor, &offset).iter().map(|x| x * x).sum()
}

/// Weighted mean and covariance (row-major) of rows; weights sum to 1.
pub fn moments<Z: AsRef<[f64]>>(rows: &[Z], weight: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let d = rows.first().map_or(0, |row| row.as_ref().len());
    let mut mean = vec![0.0; d];
    for (row, weight) in rows.iter().zip(weight) {
        for (mean, z) in mean.iter_mut().zip(row.as_ref()) {
            *mean += weight * z;
        }
    }
    let mut covariance = vec![0.0; d * d];
    for (row, weight) in rows.iter().zip(weight) {
        let row = row.as_ref();
        for i in 0..d {
            for j in 0..d {
                covariance[i * d + j] += weight * (row[i] - mean[i]) * (row[j] - mean[j]);
            }
        }
    }
    (mean, covariance)
}

pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal;
    use rand_chacha::rand_core::SeedableRng;

    fn density() -> LocalDensity {
        LocalDensity {
            seams: vec![0.25, 0.0],
            mean: vec![0.3, -1.0],
            factor: vec![0.2, 0.0, -0.1, 0.5],
        }
    }

    #[test]
    fn density_integrates_to_one_over_the_uncut_plane() {
        // In turns of the circle, so that the seam is nothing special: dz = dt / φ(z).
        let density = density();
        let (n_turns, n_z, half_width) = (400, 3000, 30.0);
        let mut sum = 0.0;
        for i in 0..n_turns {
            let z0 = normal::quantile_of_log(((i as f64 + 0.5) / n_turns as f64).ln());
            for j in 0..n_z {
                let z1 = (j as f64 + 0.5) / n_z as f64 * 2.0 * half_width - half_width;
                let prior = normal::log_density(z1);
                sum += (density.log_ratio_to_prior(&[z0, z1]) + prior).exp();
            }
        }
        let integral = sum / n_turns as f64 * 2.0 * half_width / n_z as f64;
        assert!((integral - 1.0).abs() < 2e-3, "{integral}");
    }

    #[test]
    fn draws_follow_the_density() {
        // E_q[N/q] over draws of q is the prior's mass: 1, whatever the seam.
        let density = density();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let n = 200_000;
        let (mut mean, mut square) = ([0.0; 2], [0.0; 2]);
        for _ in 0..n {
            let z = density.cut(&density.draw(&mut rng));
            for i in 0..2 {
                mean[i] += z[i] / n as f64;
                square[i] += (z[i] - density.mean[i]).powi(2) / n as f64;
            }
        }
        // Variance ν / (ν - 2) of the scale: 5/3.
        let variance = [0.04 * 5.0 / 3.0, 0.26 * 5.0 / 3.0];
        for i in 0..2 {
            assert!((mean[i] - density.mean[i]).abs() < 5e-3, "{mean:?}");
            assert!((square[i] / variance[i] - 1.0).abs() < 0.05, "{square:?}");
        }
    }

    #[test]
    fn only_densities_are_valid() {
        assert!(density().is_valid(2));
        assert!(!density().is_valid(3));
        let flat = LocalDensity {
            factor: vec![0.2, 0.0, 0.1, 0.0],
            ..density()
        };
        assert!(!flat.is_valid(2));
        let seam = LocalDensity {
            seams: vec![1.0, 0.0],
            ..density()
        };
        assert!(!seam.is_valid(2));
    }

    #[test]
    fn factors_square_to_the_matrix() {
        let found = cholesky(&[4.0, 2.0, 2.0, 5.0], 2).expect("positive definite");
        assert_eq!(found, [2.0, 0.0, 1.0, 2.0]);
        assert_eq!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2), None);
        assert_eq!(cholesky(&[f64::NAN], 1), None);
    }
}
