//! Densities around one place of the parameter space: what probing for lost modes draws from.

use crate::base::{cholesky, mahalanobis_squared, normal, offset, solved_lower, solved_upper};
use crate::space::{Lean, circle, standard_normal_log_density};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// Heavy tails, so that weights stay bounded where a mode is wider than it seemed.
const DEGREES_OF_FREEDOM: usize = 5;

/// A multivariate Student t density of 5 degrees of freedom over unconstrained z, circles cut at `seams`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalDensity {
    /// Where the circle of each periodic parameter is cut, in turns; 0 for others (see [`circle`]).
    pub seams: Vec<f64>,
    /// Which bounds are near; empty where none is. What follows is of the coordinate v that has them at a finite place, and
    /// the density is cut off there, one parameter after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leans: Vec<Lean>,
    /// Of z, cut at the seams (or of v).
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
            && (self.leans.is_empty() || self.leans.len() == d)
            && self.mean.iter().chain(&self.factor).all(|x| x.is_finite())
            && self.seams.iter().all(|seam| (0.0..1.0).contains(seam))
            && (0..d).all(|i| self.factor[i * d + i] > 0.0)
    }

    /// log [q(z) / N(z; 0, 1)] at a stored z: with the log prior added, log q(θ).
    pub fn log_ratio_to_prior(&self, z: &[f64]) -> f64 {
        let cut = self.cut(z);
        if self.leans.is_empty() {
            return self.log_density(&cut) - standard_normal_log_density(&cut);
        }
        let leaning = self.leans.iter().filter(|lean| **lean != Lean::None);
        // Of a normal v only a half is the prior.
        let log_prior = standard_normal_log_density(&cut) + leaning.count() as f64 * LN_2;
        self.log_density_within(&cut) - log_prior
    }

    /// A draw of z, cut at the prior's bounds as draws store it.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        if !self.leans.is_empty() {
            return self.draw_within(rng);
        }
        let d = self.mean.len();
        let direction: Vec<f64> = (0..d).map(|_| standard_normal(rng)).collect();
        let stretch = stretch(DEGREES_OF_FREEDOM, rng);
        (0..d)
            .map(|i| {
                let offset: f64 = (0..=i).map(|j| self.factor[i * d + j] * direction[j]).sum();
                let z = (self.mean[i] + stretch * offset).clamp(-Z_LIMIT, Z_LIMIT);
                circle::uncut(self.seams[i], z)
            })
            .collect()
    }

    /// Each parameter in its turn from its own t density given those before it, cut off at its bounds.
    fn draw_within(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let d = self.mean.len();
        let (mut offset, mut square) = (Vec::with_capacity(d), 0.0);
        let mut z = Vec::with_capacity(d);
        for i in 0..d {
            let one = self.given(i, &offset, square);
            let own: f64 = loop {
                let own = match one.is_usable() {
                    true => one.scale * standard_normal(rng) * stretch(one.degrees, rng),
                    false => (self.lean(i).draw(rng) - one.middle) / one.width,
                };
                let v = one.middle + one.width * own;
                if one.bounds.0 <= v && v <= one.bounds.1 {
                    break own;
                }
            };
            let v = (one.middle + one.width * own).clamp(-Z_LIMIT, Z_LIMIT);
            z.push(self.uncut_one(i, v));
            square += own * own;
            offset.push(own);
        }
        z
    }

    fn log_density_within(&self, cut: &[f64]) -> f64 {
        let offset = offset(cut, &self.mean, &self.factor);
        let (mut log_density, mut square) = (0.0, 0.0);
        for (i, own) in offset.iter().enumerate() {
            let one = self.given(i, &offset[..i], square);
            log_density += match one.is_usable() {
                true => {
                    student_log_density(one.degrees, own / one.scale)
                        - (one.scale * one.width).ln()
                        - one.mass.ln()
                }
                false => normal::log_density(cut[i]) + LN_2,
            };
            square += own * own;
        }
        log_density
    }

    /// The density of one parameter given the offsets of those before it, in standard deviations, and the sum of their squares.
    fn given(&self, i: usize, offset: &[f64], square: f64) -> Given {
        let d = self.mean.len();
        let pulls = offset.iter().enumerate();
        let pulls = pulls.map(|(j, offset)| self.factor[i * d + j] * offset);
        let middle = self.mean[i] + pulls.sum::<f64>();
        let degrees = DEGREES_OF_FREEDOM + i;
        let scale = ((DEGREES_OF_FREEDOM as f64 + square) / degrees as f64).sqrt();
        let width = self.factor[i * d + i];
        let bounds = self.lean(i).bounds();
        let below = |bound: f64| match bound.is_finite() {
            true => student_cdf(degrees, (bound - middle) / (scale * width)),
            false => f64::from(u8::from(bound > 0.0)),
        };
        Given {
            degrees,
            middle,
            scale,
            width,
            bounds,
            mass: below(bounds.1) - below(bounds.0),
        }
    }

    fn lean(&self, parameter: usize) -> Lean {
        self.leans.get(parameter).copied().unwrap_or_default()
    }

    /// The same density, `factor` times as wide.
    pub fn scaled(self, factor: f64) -> Self {
        let scaled = self.factor.iter().map(|entry| factor * entry).collect();
        Self {
            factor: scaled,
            ..self
        }
    }

    /// z of the same point, with circles cut here, or its v where a bound is near.
    pub fn cut(&self, z: &[f64]) -> Vec<f64> {
        z.iter()
            .enumerate()
            .map(|(j, &z)| match self.lean(j) {
                Lean::None => circle::cut_at(self.seams[j], z).0,
                lean @ (Lean::Low | Lean::High | Lean::Both) => lean.v(z).0,
            })
            .collect()
    }

    /// The inverse of [`cut`](Self::cut), for a place within the bounds.
    pub fn uncut(&self, cut: &[f64]) -> Vec<f64> {
        let parameters = cut.iter().enumerate();
        parameters.map(|(j, &v)| self.uncut_one(j, v)).collect()
    }

    fn uncut_one(&self, j: usize, v: f64) -> f64 {
        match self.lean(j) {
            Lean::None => circle::uncut(self.seams[j], v),
            lean @ (Lean::Low | Lean::High | Lean::Both) => lean.z(v),
        }
    }

    /// The density with its middle moved within the bounds.
    pub fn within_bounds(mut self) -> Self {
        for (mean, lean) in self.mean.iter_mut().zip(&self.leans) {
            let (low, high) = lean.bounds();
            *mean = mean.clamp(low, high);
        }
        self
    }

    /// The density with its middle on the bounds that it is near, and the other parameters as they are expected there; None
    /// where it is near none, or on all of them.
    pub fn at_bounds(&self) -> Option<Self> {
        /// In standard deviations.
        const NEAR: f64 = 3.0;
        let d = self.mean.len();
        let row = |i: usize| &self.factor[i * d..(i + 1) * d];
        let covariance =
            |i: usize, j: usize| -> f64 { row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum() };
        let mut near = Vec::new();
        for (i, lean) in self.leans.iter().enumerate() {
            let (low, high) = lean.bounds();
            let (to_low, to_high) = (low - self.mean[i], high - self.mean[i]);
            let step = if -to_low < to_high { to_low } else { to_high };
            if step.abs() < NEAR * covariance(i, i).sqrt() {
                near.push((i, step));
            }
        }
        if near.iter().all(|(_, step)| *step == 0.0) {
            return None;
        }
        let n = near.len();
        let among: Vec<f64> = near
            .iter()
            .flat_map(|&(i, _)| near.iter().map(move |&(j, _)| covariance(i, j)))
            .collect();
        let steps: Vec<f64> = near.iter().map(|(_, step)| *step).collect();
        let factor = cholesky(&among, n)?;
        let pull = solved_upper(&factor, &solved_lower(&factor, &steps));
        let mut mean = self.mean.clone();
        for (j, mean) in mean.iter_mut().enumerate() {
            let pulls = near.iter().zip(&pull);
            let pulls = pulls.map(|((i, _), pull)| covariance(*i, j) * pull);
            *mean += pulls.sum::<f64>();
        }
        for (i, step) in near {
            mean[i] = self.mean[i] + step;
        }
        let moved = Self {
            mean,
            ..self.clone()
        };
        Some(moved.within_bounds())
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

/// One parameter of a density, given those before it.
struct Given {
    degrees: usize,
    middle: f64,
    /// Of the offset, and then of the parameter for an offset of one.
    scale: f64,
    width: f64,
    bounds: (f64, f64),
    /// Of the t density within the bounds.
    mass: f64,
}

impl Given {
    /// Where next to nothing of it is within the bounds the parameter has its prior instead.
    fn is_usable(&self) -> bool {
        const LEAST_MASS: f64 = 1e-3;
        self.mass >= LEAST_MASS
    }
}

fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// √(ν / χ²_ν): what makes a normal number one of Student's.
fn stretch(degrees: usize, rng: &mut ChaCha8Rng) -> f64 {
    let chi_square: f64 = (0..degrees).map(|_| standard_normal(rng).powi(2)).sum();
    // A uniform number instead of a zero that would throw the draw to infinity.
    let chi_square = chi_square.max(rng.random::<f64>() * 1e-12 + f64::MIN_POSITIVE);
    (degrees as f64 / chi_square).sqrt()
}

fn student_log_density(degrees: usize, t: f64) -> f64 {
    let nu = degrees as f64;
    let half = 0.5 * (nu + 1.0);
    libm::lgamma(half)
        - libm::lgamma(0.5 * nu)
        - 0.5 * (nu * std::f64::consts::PI).ln()
        - half * (t * t / nu).ln_1p()
}

/// Abramowitz & Stegun 26.7.3 and 26.7.4; absolutely exact to about 1e-15.
fn student_cdf(degrees: usize, t: f64) -> f64 {
    let angle = (t / (degrees as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let first = degrees % 2;
    // cos^first (1 + a_1 cos² + a_1 a_2 cos⁴ + ..), each a_k = (2k - 1 + first) / (2k + first).
    let (mut term, mut sum) = (if first == 1 { cos } else { 1.0 }, 0.0);
    for k in 0..degrees / 2 {
        sum += term;
        let k = k as f64 + 1.0;
        term *= cos * cos * (2.0 * k - 1.0 + first as f64) / (2.0 * k + first as f64);
    }
    match first {
        1 => 0.5 + (angle + sin * sum) / std::f64::consts::PI,
        _ => 0.5 + 0.5 * sin * sum,
    }
}

/// Draws beyond this |z| are no different to any prior.
const Z_LIMIT: f64 = 37.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::normal;
    use rand_chacha::rand_core::SeedableRng;

    fn density() -> LocalDensity {
        LocalDensity {
            seams: vec![0.25, 0.0],
            leans: Vec::new(),
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
    fn a_middle_near_a_bound_is_moved_onto_it_with_what_goes_along() {
        let density = LocalDensity {
            leans: vec![Lean::High, Lean::None],
            mean: vec![-0.1, -1.0],
            ..density()
        };
        // Half a standard deviation of the first; the second falls by 0.5 times that.
        let moved = density.at_bounds().expect("it is near");
        assert_eq!(moved.mean[0], 0.0);
        assert!((moved.mean[1] - -1.05).abs() < 1e-12, "{moved:?}");
        assert_eq!(moved.factor, density.factor);
        assert_eq!(moved.at_bounds(), None, "it is there");
        let far = LocalDensity {
            mean: vec![-0.7, -1.0],
            ..density.clone()
        };
        assert_eq!(far.at_bounds(), None);
        let nowhere = LocalDensity {
            leans: Vec::new(),
            ..density
        };
        assert_eq!(nowhere.at_bounds(), None);
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
    fn student_distribution_is_that_of_tables() {
        for (degrees, t, expected) in [
            (5, 2.015_048_372_669_157, 0.95),
            (6, 1.943_180_280_515_307, 0.95),
            (10, -2.228_138_851_964_938_5, 0.025),
            (13, 0.0, 0.5),
        ] {
            let found = student_cdf(degrees, t);
            assert!((found - expected).abs() < 1e-9, "{degrees} {t}: {found}");
        }
    }

    #[test]
    fn cut_off_at_bounds_densities_integrate_to_one_and_draws_follow_them() {
        // The middle of the first is beyond its bound; of the second both bounds are near.
        for (mean, leans) in [
            (vec![0.3, -1.0], vec![Lean::High, Lean::None]),
            (vec![-0.2, 0.6], vec![Lean::Low, Lean::Both]),
            // Next to nothing of the second's density is within.
            (vec![0.5, -9.0], vec![Lean::Low, Lean::Low]),
        ] {
            let density = LocalDensity {
                seams: vec![0.0; 2],
                leans,
                mean,
                factor: vec![0.2, 0.0, -0.1, 0.5],
            };
            assert!(density.is_valid(2));
            let (n, mut sum) = (900, 0.0);
            for i in 0..n {
                for j in 0..n {
                    let z = [i, j].map(|i| {
                        normal::quantile_of_log(((f64::from(i) + 0.5) / f64::from(n)).ln())
                    });
                    sum += density.log_ratio_to_prior(&z).exp();
                }
            }
            let integral = sum / f64::from(n * n);
            assert!((integral - 1.0).abs() < 4e-3, "{density:?}: {integral}");
            // Shares of the draws in quarters of the prior against the density's own.
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let n_draws = 40_000;
            let (mut found, mut expected) = ([0.0; 2], [0.0; 2]);
            for _ in 0..n_draws {
                let z = density.draw(&mut rng);
                assert!(z.iter().all(|z| z.is_finite()));
                found[0] += f64::from(u8::from(z[0] > 0.5)) / f64::from(n_draws);
                found[1] += f64::from(u8::from(z[1] > 0.0)) / f64::from(n_draws);
            }
            for i in 0..n {
                for j in 0..n {
                    let u = [i, j].map(|i| (f64::from(i) + 0.5) / f64::from(n));
                    let z = u.map(|u| normal::quantile_of_log(u.ln()));
                    let share = density.log_ratio_to_prior(&z).exp() / f64::from(n * n);
                    expected[0] += if z[0] > 0.5 { share } else { 0.0 };
                    expected[1] += if z[1] > 0.0 { share } else { 0.0 };
                }
            }
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 0.012,
                    "{density:?}: {found} {expected}"
                );
            }
            let z = density.draw(&mut rng);
            let back = density.uncut(&density.cut(&z));
            assert!(z.iter().zip(back).all(|(z, back)| (z - back).abs() < 1e-6));
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
}
