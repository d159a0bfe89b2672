//! Normalized weights, effective sample size and efficiency, in log space and f64.

use super::evidence::Evidence;
use super::{evidence, pareto};
use crate::base::largest;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Below this n_eff an efficiency is not judged and a result is not trusted.
pub const MIN_N_EFF: f64 = 100.0;

/// Above this Pareto k̂ importance sampling estimates are not reliable (Vehtari et al. 2024).
pub const MAX_PARETO_K: f64 = 0.7;

/// Resamples behind [`bootstrap_efficiency_error`].
const N_RESAMPLES: usize = 200;

/// Diagnostics of a set of importance weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightDiagnostics {
    /// Rows, failed ones included.
    pub n: u64,
    /// Paper eq. 2: 1 / Σ w² - 1 with Σ w = 1.
    pub n_eff: f64,
    /// n_eff / n.
    pub efficiency: f64,
    /// None where too few weights are positive to tell.
    pub pareto_k: Option<f64>,
    /// Largest normalized weight.
    pub max_weight: f64,
    /// None where no weight is positive.
    pub evidence: Option<Evidence>,
}

/// log L + log p - log q of one row; -inf (a weight of zero) where the likelihood is unknown or zero.
///
/// Never NaN: where the terms leave no number the weight is zero.
pub fn log_weight(log_likelihood: Option<f64>, log_prior: f64, log_proposal: f64) -> f64 {
    log_likelihood
        .map(|log_likelihood| log_likelihood + log_prior - log_proposal)
        .filter(|log_weight| !log_weight.is_nan())
        .unwrap_or(f64::NEG_INFINITY)
}

/// Weights that sum to 1, or all zero where none is positive; infinite ones share everything.
pub fn normalized(log_weights: &[f64]) -> Vec<f64> {
    let mut weights = relative(log_weights);
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 {
        weights.iter_mut().for_each(|weight| *weight /= sum);
    }
    weights
}

/// Paper eq. 2: 1 / Σ w² - 1 with Σ w = 1; 0 where no weight is positive.
pub fn effective_sample_size(log_weights: &[f64]) -> f64 {
    n_eff_of(&relative(log_weights))
}

/// Diagnostics of one set of unnormalized log weights, failed rows (-inf) included.
pub fn diagnostics(log_weights: &[f64]) -> WeightDiagnostics {
    diagnostics_with(log_weights, evidence::stratified(&[log_weights]))
}

/// Bootstrap standard error of the efficiency: the spread of n_eff / n over 200 resamples of the rows.
pub fn bootstrap_efficiency_error(log_weights: &[f64], rng: &mut ChaCha8Rng) -> f64 {
    let n = log_weights.len();
    if n == 0 {
        return 0.0;
    }
    let weights = relative(log_weights);
    let resample = |_| {
        let (mut sum, mut sum_of_squares) = (0.0, 0.0);
        for _ in 0..n {
            let weight = weights[below(n, rng)];
            sum += weight;
            sum_of_squares += weight * weight;
        }
        n_eff_from_sums(sum, sum_of_squares) / n as f64
    };
    let efficiencies: Vec<f64> = (0..N_RESAMPLES).map(resample).collect();
    let mean = efficiencies.iter().sum::<f64>() / N_RESAMPLES as f64;
    let squares = efficiencies.iter().map(|other| (other - mean).powi(2));
    let squares: f64 = squares.sum();
    (squares / (N_RESAMPLES - 1) as f64).sqrt()
}

/// Diagnostics of weights whose evidence is not that of one plain sample.
pub(super) fn diagnostics_with(
    log_weights: &[f64],
    evidence: Option<Evidence>,
) -> WeightDiagnostics {
    let n_eff = effective_sample_size(log_weights);
    let n = log_weights.len();
    WeightDiagnostics {
        n: n as u64,
        n_eff,
        efficiency: if n == 0 { 0.0 } else { n_eff / n as f64 },
        pareto_k: pareto::k_hat(log_weights),
        max_weight: normalized(log_weights).into_iter().fold(0.0, f64::max),
        evidence,
    }
}

/// Weights relative to the largest; all zero where none is positive.
fn relative(log_weights: &[f64]) -> Vec<f64> {
    let largest = largest(log_weights.iter().copied());
    let weight = |&log_weight: &f64| match largest.is_finite() {
        true => (log_weight - largest).exp(),
        false if log_weight == f64::INFINITY => 1.0,
        false => 0.0,
    };
    log_weights.iter().map(weight).collect()
}

/// Paper eq. 2 of weights, whatever their sum: (Σ w)² / Σ w² - 1; 0 where none is positive.
pub fn n_eff_of(weights: &[f64]) -> f64 {
    n_eff_from_sums(
        weights.iter().sum(),
        weights.iter().map(|weight| weight * weight).sum(),
    )
}

fn n_eff_from_sums(sum: f64, sum_of_squares: f64) -> f64 {
    // Rounding must not make a single weight's 1 - 1 negative.
    if sum_of_squares > 0.0 {
        (sum * sum / sum_of_squares - 1.0).max(0.0)
    } else {
        0.0
    }
}

/// A number in 0..n, by multiplication: its bias of n / 2^64 is nothing.
fn below(n: usize, rng: &mut ChaCha8Rng) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::evidence::Evidence;
    use rand::RngExt;
    use rand_chacha::rand_core::SeedableRng;

    const ZERO: f64 = f64::NEG_INFINITY;

    #[test]
    fn log_weight_is_never_nan() {
        assert_eq!(log_weight(Some(-3.0), -2.0, -1.0), -4.0);
        assert_eq!(log_weight(None, -2.0, -1.0), ZERO);
        assert_eq!(log_weight(Some(ZERO), -2.0, -1.0), ZERO);
        assert_eq!(log_weight(Some(ZERO), -2.0, ZERO), ZERO);
        assert_eq!(log_weight(Some(f64::NAN), -2.0, -1.0), ZERO);
    }

    #[test]
    fn weights_sum_to_one_however_large_their_logarithms() {
        assert_eq!(normalized(&[1000.0, 1000.0, ZERO]), [0.5, 0.5, 0.0]);
        assert_eq!(normalized(&[ZERO, ZERO]), [0.0, 0.0]);
        assert_eq!(normalized(&[f64::INFINITY, 0.0]), [1.0, 0.0]);
        assert!(normalized(&[]).is_empty());
    }

    #[test]
    fn n_eff_is_equation_2_of_the_paper() {
        assert_eq!(effective_sample_size(&[-7.0; 50]), 49.0);
        assert_eq!(effective_sample_size(&[-7.0, -7.0, ZERO, ZERO]), 1.0);
        assert_eq!(effective_sample_size(&[-7.0, ZERO]), 0.0);
        assert_eq!(effective_sample_size(&[ZERO; 5]), 0.0);
        // Weights 3/4 and 1/4: 1 / (10/16) - 1.
        assert!((effective_sample_size(&[3f64.ln(), 0.0]) - 0.6).abs() < 1e-15);
    }

    #[test]
    fn diagnostics_count_rows_of_weight_zero() {
        let found = diagnostics(&[0.0, 0.0, ZERO, ZERO]);
        let error = (4.0f64 / 3.0).sqrt() / 2.0;
        let Some(Evidence {
            log_evidence,
            error: found_error,
        }) = found.evidence
        else {
            panic!("no evidence");
        };
        assert!((log_evidence - 0.5f64.ln()).abs() < 1e-15 && (found_error - error).abs() < 1e-15);
        assert_eq!((found.n, found.n_eff, found.efficiency), (4, 1.0, 0.25));
        assert_eq!((found.pareto_k, found.max_weight), (None, 0.5));
        let nothing = diagnostics(&[]);
        assert_eq!(
            (
                nothing.n,
                nothing.n_eff,
                nothing.efficiency,
                nothing.evidence
            ),
            (0, 0.0, 0.0, None)
        );
    }

    #[test]
    fn bootstrap_error_is_that_of_the_closed_form() {
        // Weights of 0 or 1 with share p of ones: efficiency is p - 1/n, its error sqrt(p (1 - p) / n).
        let n = 2000;
        let log_weights: Vec<f64> = (0..n)
            .map(|i| if i % 4 == 0 { 0.0 } else { ZERO })
            .collect();
        let expected = (0.25 * 0.75 / f64::from(n)).sqrt();
        let found = bootstrap_efficiency_error(&log_weights, &mut ChaCha8Rng::seed_from_u64(3));
        // 200 resamples know it to 5 %.
        assert!((found / expected - 1.0).abs() < 0.2, "{found} {expected}");
        assert_eq!(
            found,
            bootstrap_efficiency_error(&log_weights, &mut ChaCha8Rng::seed_from_u64(3))
        );
        assert!(bootstrap_efficiency_error(&[0.0; 10], &mut ChaCha8Rng::seed_from_u64(3)) < 1e-13);
        assert_eq!(
            bootstrap_efficiency_error(&[], &mut ChaCha8Rng::seed_from_u64(3)),
            0.0
        );
    }

    #[test]
    fn bootstrap_error_is_the_spread_over_repetitions() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut errors = 0.0;
        let efficiencies: Vec<f64> = (0..200)
            .map(|_| {
                let log_weights: Vec<f64> = (0..500).map(|_| rng.random::<f64>().ln()).collect();
                errors += bootstrap_efficiency_error(&log_weights, &mut rng) / 200.0;
                effective_sample_size(&log_weights) / 500.0
            })
            .collect();
        let mean = efficiencies.iter().sum::<f64>() / 200.0;
        let sd = (efficiencies.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 199.0).sqrt();
        // (E w)² / E w² = 3/4 for uniform weights.
        assert!((mean - 0.748).abs() < 0.005, "{mean}");
        assert!((errors / sd - 1.0).abs() < 0.2, "{errors} {sd}");
    }
}
