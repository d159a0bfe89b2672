//! Evidence with its error, from importance weights.

use crate::base::largest;
use serde::{Deserialize, Serialize};

/// log Z and the standard error of log Z (relative error of Z).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// log Z, natural.
    pub log_evidence: f64,
    /// Standard error of log Z.
    pub error: f64,
}

/// Z as the mean weight of a stratified sample: unnormalized log weights, one slice a stratum.
///
/// The error of Z is sqrt(Σ_s n_s var_s(w)) / n; a stratum of one row, whose variance is unknown,
/// counts with its weight squared. None where no weight is positive.
pub fn stratified<S: AsRef<[f64]>>(strata: &[S]) -> Option<Evidence> {
    let n: usize = strata.iter().map(|stratum| stratum.as_ref().len()).sum();
    let all = strata.iter().flat_map(|stratum| stratum.as_ref());
    let largest = largest(all.copied());
    if !largest.is_finite() {
        return None;
    }
    let mut total = 0.0;
    let mut sum_of_variances = 0.0;
    for stratum in strata {
        let stratum = stratum.as_ref().iter();
        let weights: Vec<f64> = stratum
            .map(|log_weight| (log_weight - largest).exp())
            .collect();
        let sum: f64 = weights.iter().sum();
        total += sum;
        sum_of_variances += n_times_variance(&weights, sum);
    }
    Some(Evidence {
        log_evidence: largest + (total / n as f64).ln(),
        error: sum_of_variances.sqrt() / total,
    })
}

/// Σ λ_r Z_r of independent estimates with shares λ that sum to 1; None where nothing has a share.
pub fn pooled(estimates: &[(f64, Evidence)]) -> Option<Evidence> {
    let counting = estimates.iter().filter(|(share, _)| *share > 0.0);
    let largest = largest(counting.map(|(_, evidence)| evidence.log_evidence));
    if !largest.is_finite() {
        return None;
    }
    let mut total = 0.0;
    let mut variance = 0.0;
    for (share, evidence) in estimates {
        let part = share * (evidence.log_evidence - largest).exp();
        total += part;
        variance += (part * evidence.error).powi(2);
    }
    Some(Evidence {
        log_evidence: largest + total.ln(),
        error: variance.sqrt() / total,
    })
}

fn n_times_variance(weights: &[f64], sum: f64) -> f64 {
    let n = weights.len() as f64;
    if weights.len() < 2 {
        return weights.iter().map(|weight| weight * weight).sum();
    }
    let mean = sum / n;
    let squares = weights
        .iter()
        .map(|weight| (weight - mean) * (weight - mean));
    let squares: f64 = squares.sum();
    n * squares / (n - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(weights: &[f64]) -> Vec<f64> {
        weights.iter().map(|weight| weight.ln()).collect()
    }

    #[test]
    fn evidence_is_the_mean_weight_with_the_error_of_each_stratum() {
        // Means 2 and 6, variances 2 and 4 (n - 1), n 2 and 3: Z = 22/5, error sqrt(2·2 + 3·4)/5 = 4/5.
        let found = stratified(&[logs(&[1.0, 3.0]), logs(&[4.0, 6.0, 8.0])]).expect("evidence");
        assert!((found.log_evidence - 4.4f64.ln()).abs() < 1e-15);
        assert!((found.error - 0.8 / 4.4).abs() < 1e-15);
        // As one stratum the difference of the means counts too.
        let plain = stratified(&[logs(&[1.0, 3.0, 4.0, 6.0, 8.0])]).expect("evidence");
        assert!((plain.error - (7.3f64 / 5.0).sqrt() / 4.4).abs() < 1e-15);
    }

    #[test]
    fn evidence_neither_overflows_nor_needs_a_positive_weight_everywhere() {
        let found = stratified(&[vec![5000.0, f64::NEG_INFINITY], vec![f64::NEG_INFINITY; 2]])
            .expect("evidence");
        assert!((found.log_evidence - (5000.0 - 4f64.ln())).abs() < 1e-12);
        // n var = 2 · 1/2, so the relative error is 1.
        assert!((found.error - 1.0).abs() < 1e-15);
        assert_eq!(stratified(&[vec![f64::NEG_INFINITY; 3]]), None);
        assert_eq!(stratified::<Vec<f64>>(&[]), None);
    }

    #[test]
    fn pooled_estimates_average_with_their_shares() {
        let evidence = |z: f64, error: f64| Evidence {
            log_evidence: z.ln(),
            error,
        };
        let found =
            pooled(&[(0.25, evidence(4.0, 0.5)), (0.75, evidence(8.0, 0.25))]).expect("evidence");
        assert!((found.log_evidence - 7f64.ln()).abs() < 1e-15);
        assert!((found.error - (0.5f64.powi(2) + 1.5f64.powi(2)).sqrt() / 7.0).abs() < 1e-15);
        assert_eq!(pooled(&[(0.0, evidence(1.0, 1.0))]), None);
    }
}
