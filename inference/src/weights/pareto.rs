//! Pareto k̂ of importance weights (Vehtari, Simpson, Gelman, Yao & Gabry 2024).

use crate::base::largest;

/// Shape k̂ of the generalized Pareto distribution of the largest weights, as `loo` and ArviZ give it;
/// above 0.7 a sum over these weights is not to be trusted.
///
/// `log_weights` are unnormalized, -inf for weights of zero. None where fewer than 5 weights lie
/// above the cutoff, for which all weights being equal is one reason.
pub fn k_hat(log_weights: &[f64]) -> Option<f64> {
    let largest = largest(log_weights.iter().copied());
    if !largest.is_finite() {
        return None;
    }
    let relative = log_weights.iter().map(|log_weight| log_weight - largest);
    let mut sorted: Vec<f64> = relative.collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let n_tail = (n / 5.0).min(3.0 * n.sqrt()).ceil() as usize;
    let log_cutoff = sorted
        .get(sorted.len().checked_sub(n_tail + 1)?)?
        .max(f64::MIN_POSITIVE.ln());
    let cutoff = log_cutoff.exp();
    let tail: Vec<f64> = sorted
        .iter()
        .filter(|&&log_weight| log_weight > log_cutoff)
        .map(|log_weight| log_weight.exp() - cutoff)
        .collect();
    if tail.len() < 5 {
        return None;
    }
    let k = generalized_pareto_shape(&tail);
    k.is_finite().then_some(k)
}

/// Posterior mean of the shape (Zhang & Stephens 2009) of sorted positive values, drawn to 1/2 by a
/// prior that weighs as much as 10 of them.
fn generalized_pareto_shape(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    let n_grid = 30 + (n as f64).sqrt() as usize;
    let quartile = sorted[(n as f64 / 4.0 + 0.5) as usize - 1];
    let largest = sorted[n - 1];
    let shape = |b: f64| sorted.iter().map(|x| (-b * x).ln_1p()).sum::<f64>() / n as f64;
    let grid: Vec<(f64, f64)> = (1..=n_grid)
        .map(|i| {
            let b = (1.0 - (n_grid as f64 / (i as f64 - 0.5)).sqrt()) / (3.0 * quartile)
                + 1.0 / largest;
            let k = shape(b);
            (b, n as f64 * ((-b / k).ln() - k - 1.0))
        })
        .collect();
    let (mut sum, mut sum_of_b) = (0.0, 0.0);
    for &(b, log_likelihood) in &grid {
        let others = grid
            .iter()
            .map(|&(_, other)| (other - log_likelihood).exp());
        let weight = 1.0 / others.sum::<f64>();
        if weight >= 10.0 * f64::EPSILON {
            sum += weight;
            sum_of_b += weight * b;
        }
    }
    let (n, k) = (n as f64, shape(sum_of_b / sum));
    (n * k + 10.0 * 0.5) / (n + 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evenly spread numbers in (0, 1), the same in every language.
    fn uniform(i: usize) -> f64 {
        ((i + 1) as f64 * 0.618_033_988_749_894_9) % 1.0
    }

    fn log_weights(n: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..n).map(|i| f(uniform(i))).collect()
    }

    /// ArviZ 0.23.4, `psislw(log_weights)[1]`.
    #[test]
    fn shapes_agree_with_arviz() {
        let pareto = |n, k: f64| log_weights(n, move |u| -k * u.ln());
        let bounded = |n| log_weights(n, |u| u.ln());
        let gauss = |n| log_weights(n, |u| -0.5 * (3.0 * u - 1.0).powi(2) - 50.0);
        let third_zero = (0..2000)
            .map(|i| {
                if i % 3 == 0 {
                    f64::NEG_INFINITY
                } else {
                    -0.5 * uniform(i).ln() - 700.0
                }
            })
            .collect();
        let few = |n, n_positive| {
            let mut log_weights = vec![f64::NEG_INFINITY; n];
            (0..n_positive).for_each(|i: usize| log_weights[i] = -uniform(i).ln());
            log_weights
        };
        let table: Vec<(Vec<f64>, f64)> = vec![
            (pareto(100, 0.3), 0.399_312_437_003_897_74),
            (pareto(100, 0.7), 0.630_535_950_814_653_3),
            (pareto(100, 1.2), 0.917_282_301_299_867_2),
            (bounded(100), -0.363_775_633_363_256_86),
            (gauss(100), -1.047_493_334_058_650_7),
            (pareto(1000, 0.3), 0.296_726_340_632_550_93),
            (pareto(1000, 0.7), 0.636_492_184_596_248_2),
            (pareto(1000, 1.2), 1.062_384_692_859_097_6),
            (bounded(1000), -0.824_233_274_292_693),
            (gauss(1000), -1.589_274_906_097_443),
            (pareto(5000, 0.3), 0.309_456_842_817_951_5),
            (pareto(5000, 0.7), 0.683_776_514_926_501_4),
            (pareto(5000, 1.2), 1.151_433_965_972_360_3),
            (bounded(5000), -0.900_767_369_175_715_3),
            (gauss(5000), -1.700_088_728_640_827_3),
            (third_zero, 0.433_218_868_017_268_06),
            (few(500, 60), 0.388_091_977_059_643_9),
            (few(5000, 6), 0.362_357_341_408_921_9),
        ];
        for (i, (log_weights, expected)) in table.iter().enumerate() {
            let found = k_hat(log_weights).expect("enough weights");
            assert!(
                (found - expected).abs() < 1e-9,
                "case {i}: {found}, expected {expected}"
            );
        }
        assert_eq!(k_hat(&few(5000, 4)), None);
    }

    #[test]
    fn too_few_or_equal_weights_have_no_shape() {
        for log_weights in [
            vec![],
            vec![1.0],
            vec![0.0; 500],
            vec![f64::NEG_INFINITY; 50],
        ] {
            assert_eq!(k_hat(&log_weights), None);
        }
    }
}
