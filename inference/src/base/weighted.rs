//! Sums, quantiles and draws of values with weights.

/// log Σ exp(term); -inf for no terms.
pub fn log_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = largest(terms.clone());
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.map(|term| (term - largest).exp()).sum::<f64>().ln()
}

/// -inf for no values.
pub fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}

/// Weighted quantiles at `probabilities` of values of non-negative weight, NaN where none is positive.
///
/// Each value sits in the middle of its own step of the distribution function; between values the
/// function is linear, beyond the outermost ones it stands still. Equal weights and two values make the
/// median their mean.
pub fn weighted_quantiles(values: &[f64], weights: &[f64], probabilities: &[f64]) -> Vec<f64> {
    let sorted = sorted_with_weights(values.iter().copied(), weights);
    let total: f64 = sorted.iter().map(|&(_, weight)| weight).sum();
    let mut below = 0.0;
    let step = |&(value, weight): &(f64, f64)| {
        let middle = (below + 0.5 * weight) / total;
        below += weight;
        (middle, value)
    };
    let steps: Vec<(f64, f64)> = sorted.iter().map(step).collect();
    let at = |&probability| interpolate(&steps, probability);
    probabilities.iter().map(at).collect()
}

/// Values of positive weight with their weights, the smallest first.
pub fn sorted_with_weights(values: impl Iterator<Item = f64>, weights: &[f64]) -> Vec<(f64, f64)> {
    let weighted = values.zip(weights.iter().copied());
    let mut sorted: Vec<(f64, f64)> = weighted.filter(|&(_, weight)| weight > 0.0).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted
}

/// The value at `probability` of (probability, value) steps in rising order.
fn interpolate(steps: &[(f64, f64)], probability: f64) -> f64 {
    let (Some(&(_, smallest)), Some(&(_, largest))) = (steps.first(), steps.last()) else {
        return f64::NAN;
    };
    let after = steps.partition_point(|&(middle, _)| middle < probability);
    let before = after.checked_sub(1).map(|before| steps[before]);
    match (before, steps.get(after)) {
        (None, _) => smallest,
        (Some(_), None) => largest,
        (Some((p0, x0)), Some(&(p1, x1))) => x0 + (x1 - x0) * (probability - p0) / (p1 - p0),
    }
}

/// `n` draws of equal weight, by their places, in order: each draw as often as its weight says, up to one time
/// (systematic resampling, whose comb begins `offset` of a tooth, in [0, 1), after nothing). Empty where no weight is
/// positive.
pub fn equal_draws(weight: &[f64], n: usize, offset: f64) -> Vec<usize> {
    let total: f64 = weight.iter().sum();
    let mut chosen = Vec::with_capacity(n);
    let mut below = 0.0;
    for (i, weight) in weight.iter().enumerate() {
        below += weight;
        while chosen.len() < n && (chosen.len() as f64 + offset) * total < below * n as f64 {
            chosen.push(i);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_equal_weights_are_the_usual_ones() {
        let values = [3.0, 1.0, 2.0, 5.0, 4.0];
        let found = weighted_quantiles(&values, &[0.2; 5], &[0.0, 0.1, 0.3, 0.5, 0.6, 1.0]);
        for (found, expected) in found.iter().zip([1.0, 1.0, 2.0, 3.0, 3.5, 5.0]) {
            assert!(
                (found - expected).abs() < 1e-12,
                "{found} is not {expected}"
            );
        }
        assert_eq!(weighted_quantiles(&[1.0, 2.0], &[0.5, 0.5], &[0.5]), [1.5]);
    }

    #[test]
    fn weights_count_as_repetitions_and_zero_as_absence() {
        let found = weighted_quantiles(&[9.0, 1.0, 2.0], &[0.0, 3.0, 1.0], &[0.375, 0.625, 0.99]);
        assert_eq!(found, [1.0, 1.5, 2.0]);
        assert!(weighted_quantiles(&[1.0], &[0.0], &[0.5])[0].is_nan());
    }

    #[test]
    fn draws_are_taken_as_often_as_they_weigh() {
        assert_eq!(equal_draws(&[0.5, 0.0, 0.25, 0.25], 4, 0.5), [0, 0, 2, 3]);
        assert_eq!(equal_draws(&[0.1, 0.2, 0.3, 0.4], 2, 0.5), [1, 3]);
        assert_eq!(equal_draws(&[0.1, 0.2, 0.3, 0.4], 2, 0.0), [0, 2]);
        assert_eq!(equal_draws(&[0.1, 0.2, 0.3, 0.4], 2, 0.9), [2, 3]);
        assert_eq!(equal_draws(&[0.0, 2.0], 3, 0.5), [1, 1, 1]);
        assert!(equal_draws(&[0.0, 0.0], 3, 0.5).is_empty());
        assert!(equal_draws(&[], 3, 0.5).is_empty());
    }

    #[test]
    fn sums_of_exponentials_neither_overflow_nor_underflow() {
        assert!((log_sum_exp([1e4, 1e4].into_iter()) - (1e4 + 2f64.ln())).abs() < 1e-11);
        assert!((log_sum_exp([-1e4, -1e4].into_iter()) - (-1e4 + 2f64.ln())).abs() < 1e-11);
        assert_eq!(log_sum_exp([f64::NEG_INFINITY, -3.0].into_iter()), -3.0);
        assert_eq!(log_sum_exp(std::iter::empty()), f64::NEG_INFINITY);
    }
}
