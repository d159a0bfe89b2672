//! Parameters that the data are linear in: integrated out of the likelihood in closed form, and drawn from what is left.
//!
//! With normal priors x = b(θ) + Σ_k u_k a_k(θ) + noise, where u_k ~ N(0, 1) and a_k is what the data change by where the k-th
//! parameter is one prior standard deviation larger. In units of the noise, r = (x_obs - b) / σ and A = (a_1 ...) / σ, the
//! posterior of u is N(m, P⁻¹) with P = 1 + AᵀA and P m = Aᵀ r, and
//! log p(x_obs | θ) = -(|r - A m|² + |m|²) / 2 - ln det P / 2 - Σ ln (σ √2π)
//! (Luger et al. 2017, section 3; Hogg et al. 2020).

use super::terms::RowNoise;
use crate::base::normal::LN_SQRT_2_PI;
use crate::base::{cholesky, solved_lower, solved_upper};
use crate::campaign::observation::Observation;

/// What the data say of one row's linear parameters, in prior standard deviations from their prior means.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearFit {
    /// log p(x_obs | θ), with the linear parameters integrated out; normalized.
    pub log_likelihood: f64,
    mean: Vec<f64>,
    /// Lower Cholesky factor of the precision, row-major.
    factor: Vec<f64>,
}

impl LinearFit {
    /// Of data that the model says are `base` where all linear parameters are at their prior means, and change by a column each
    /// where one is a standard deviation larger; all of the observation's length. None where they are no finite numbers.
    pub fn new(
        noise: &RowNoise<'_>,
        observation: &Observation,
        base: &[f64],
        columns: &[&[f64]],
    ) -> Option<Self> {
        let (n, k) = (observation.value.len(), columns.len());
        let is_whole = |column: &[f64]| column.len() == n && column.iter().all(|x| x.is_finite());
        if !is_whole(base) || !columns.iter().all(|column| is_whole(column)) {
            return None;
        }
        let mut residual = Vec::with_capacity(n);
        let mut inverse_sd = Vec::with_capacity(n);
        let mut log_norm = 0.0;
        let data = observation.value.iter().zip(&observation.sigma).zip(base);
        for (i, ((value, &sigma), &base)) in data.enumerate() {
            let sd = noise.sd(i, sigma);
            residual.push((value - noise.mean(i, base)) / sd);
            inverse_sd.push(1.0 / sd);
            log_norm += LN_SQRT_2_PI + sd.ln();
        }
        let scaled: Vec<Vec<f64>> = columns
            .iter()
            .map(|column| {
                column
                    .iter()
                    .zip(&inverse_sd)
                    .map(|(x, inverse)| x * inverse)
            })
            .map(Iterator::collect)
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut precision = vec![0.0; k * k];
        for i in 0..k {
            for j in 0..=i {
                let unit = if i == j { 1.0 } else { 0.0 };
                let value = unit + dot(&scaled[i], &scaled[j]);
                precision[i * k + j] = value;
                precision[j * k + i] = value;
            }
        }
        let factor = cholesky(&precision, k)?;
        let shift: Vec<f64> = scaled.iter().map(|column| dot(column, &residual)).collect();
        let mean = solved_upper(&factor, &solved_lower(&factor, &shift));
        // From what is left at the mean: the difference of two large squares would lose their digits.
        for (column, &mean) in scaled.iter().zip(&mean) {
            for (residual, x) in residual.iter_mut().zip(column) {
                *residual -= mean * x;
            }
        }
        let log_determinant: f64 = (0..k).map(|i| factor[i * k + i].ln()).sum();
        let square = dot(&residual, &residual) + dot(&mean, &mean);
        Some(Self {
            log_likelihood: -0.5 * square - log_determinant - log_norm,
            mean,
            factor,
        })
    }

    /// A draw given the data, from as many standard normal numbers.
    pub fn draw(&self, normal: &[f64]) -> Vec<f64> {
        let away = solved_upper(&self.factor, normal);
        self.mean
            .iter()
            .zip(away)
            .map(|(mean, x)| mean + x)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation() -> Observation {
        Observation {
            grid: vec![0.0, 1.0, 2.0],
            value: vec![1.0, 2.5, 2.0],
            sigma: vec![0.5, 1.0, 2.0],
        }
    }

    #[test]
    fn the_likelihood_is_the_integral_over_what_is_linear() {
        let (base, columns) = ([0.2, -0.1, 0.4], [[1.0, 0.5, 0.0], [0.0, 1.0, 3.0]]);
        let noise = RowNoise::default();
        let columns: Vec<&[f64]> = columns.iter().map(|column| &column[..]).collect();
        let fit = LinearFit::new(&noise, &observation(), &base, &columns).expect("finite");
        const STEP: f64 = 0.02;
        let places = || (-400..=400).map(|i| f64::from(i) * STEP);
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for u in places() {
            for v in places() {
                let at = |i: usize| base[i] + u * columns[0][i] + v * columns[1][i];
                let data: Vec<f64> = (0..3).map(at).collect();
                let log_prior = -0.5 * (u * u + v * v) - 2.0 * LN_SQRT_2_PI;
                let density = (noise.log_likelihood(&observation(), &data) + log_prior).exp();
                sum += density * STEP * STEP;
                first += density * u * STEP * STEP;
                second += density * v * v * STEP * STEP;
            }
        }
        assert!((fit.log_likelihood - sum.ln()).abs() < 1e-9, "{}", sum.ln());
        assert!((fit.draw(&[0.0, 0.0])[0] - first / sum).abs() < 1e-9);
        // The second moment of draws, by their two directions.
        let mean = fit.draw(&[0.0, 0.0])[1];
        let away = |normal: [f64; 2]| fit.draw(&normal)[1] - mean;
        let variance = away([1.0, 0.0]).powi(2) + away([0.0, 1.0]).powi(2);
        assert!((mean * mean + variance - second / sum).abs() < 1e-9);
    }

    #[test]
    fn without_columns_it_is_the_likelihood_and_far_data_keep_their_digits() {
        let noise = RowNoise::default();
        let base = [0.2, -0.1, 0.4];
        let fit = LinearFit::new(&noise, &observation(), &base, &[]).expect("finite");
        let expected = noise.log_likelihood(&observation(), &base);
        assert!((fit.log_likelihood - expected).abs() < 1e-12);
        assert!(fit.draw(&[]).is_empty());
        // A baseline of 1e8 with a prior as wide leaves residuals of order one.
        let far = Observation {
            value: vec![1e8 + 0.5, 1e8 - 0.5, 1e8],
            sigma: vec![1.0; 3],
            ..observation()
        };
        let column = [1e8; 3];
        let fit = LinearFit::new(&noise, &far, &[0.0; 3], &[&column]).expect("finite");
        // |r - A m|² = 1/2, m = 1, and P = 1 + 3e16.
        let expected = -0.5 * (0.5 + 1.0) - 0.5 * (3e16_f64).ln() - 3.0 * LN_SQRT_2_PI;
        assert!(
            (fit.log_likelihood - expected).abs() < 1e-6,
            "{}",
            fit.log_likelihood
        );
        assert_eq!(LinearFit::new(&noise, &far, &[f64::NAN; 3], &[]), None);
        assert_eq!(LinearFit::new(&noise, &far, &[0.0; 2], &[]), None);
    }
}
