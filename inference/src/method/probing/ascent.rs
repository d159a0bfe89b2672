//! Where a search goes next: to the top of a paraboloid through the best draws around it, or else to the best of them.

use crate::base::{cholesky, moments, offset, solved_lower, solved_upper};
use crate::weights::LocalDensity;

/// Draws within this distance, in standard deviations of a density and over √d, are around it.
const REACH: f64 = 2.0;
/// Draws that a paraboloid is fitted to, for each of its coefficients: as many as there are, up to.
const FEWEST_PER_COEFFICIENT: f64 = 1.3;
const MOST_PER_COEFFICIENT: f64 = 2.0;
/// Curvature, over that of the density, added to a paraboloid's: it stays no wider than the density by more than
/// 1 / √, and need not be quite concave.
const DAMPING: f64 = 0.25;
/// The furthest step, in standard deviations and over √d.
const FURTHEST: f64 = 1.75;
/// Variance of the next density over that of the paraboloid.
const PARABOLOID_WIDENING: f64 = 1.5;
/// The best draws say where to go where no paraboloid does: so many, and 2 for each parameter.
const FEWEST_BEST: usize = 3;
/// Variance of the next density over that of the best draws around the old middle, and the share that the old
/// variance has in it.
const BEST_WIDENING: f64 = 1.5;
const OLD_SHARE: f64 = 0.1;

/// A draw around a density.
pub(super) struct Near {
    /// In standard deviations from the density's middle, turned so that it is round.
    y: Vec<f64>,
    log_posterior: f64,
}

impl Near {
    /// None for draws that are not around the density. `cut` is in the density's coordinates.
    pub fn new(density: &LocalDensity, cut: &[f64], log_posterior: f64) -> Option<Self> {
        let y = offset(cut, &density.mean, &density.factor);
        let square: f64 = y.iter().map(|y| y * y).sum();
        (square <= REACH * REACH * cut.len() as f64).then_some(Self { y, log_posterior })
    }

    pub fn log_posterior(&self) -> f64 {
        self.log_posterior
    }
}

/// The next density of a search, the same one where nothing around it says more.
pub(super) fn next(density: &LocalDensity, mut around: Vec<Near>) -> LocalDensity {
    around.sort_by(|a, b| b.log_posterior.total_cmp(&a.log_posterior));
    let d = density.mean.len();
    paraboloid(&around, d)
        .or_else(|| best(&around, d))
        .and_then(|(mean, covariance)| moved(density, &mean, &covariance))
        .unwrap_or_else(|| density.clone())
}

/// Mean and covariance at the top of a paraboloid fitted to the highest draws; None where these are too few or say that
/// there is no top.
fn paraboloid(around: &[Near], d: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let n_coefficients = 1 + d + d * (d + 1) / 2;
    if (around.len() as f64) < FEWEST_PER_COEFFICIENT * n_coefficients as f64 {
        return None;
    }
    let most = (MOST_PER_COEFFICIENT * n_coefficients as f64) as usize;
    let around = &around[..most.min(around.len())];
    let weight = rank_weights(around.len());
    let mut centre = vec![0.0; d];
    for (near, weight) in around.iter().zip(&weight) {
        for (centre, y) in centre.iter_mut().zip(&near.y) {
            *centre += weight * y;
        }
    }
    let rows: Vec<Vec<f64>> = around.iter().map(|near| terms(&near.y, &centre)).collect();
    let height: Vec<f64> = around.iter().map(|near| near.log_posterior).collect();
    let coefficient = least_squares(&rows, &height, &weight)?;
    let gradient = &coefficient[1..=d];
    let mut curvature = vec![0.0; d * d];
    let mut of_pair = coefficient[1 + d..].iter();
    for i in 0..d {
        for j in 0..=i {
            let coefficient = of_pair.next()?;
            // y_i² appears once, y_i y_j once for both orders.
            curvature[i * d + j] -= coefficient;
            curvature[j * d + i] -= coefficient;
        }
        curvature[i * d + i] += DAMPING;
    }
    let factor = cholesky(&curvature, d)?;
    let inverse_times = |x: &[f64]| solved_upper(&factor, &solved_lower(&factor, x));
    let steps = centre.iter().zip(inverse_times(gradient));
    let mut mean: Vec<f64> = steps.map(|(centre, step)| centre + step).collect();
    let length = mean.iter().map(|y| y * y).sum::<f64>().sqrt();
    let furthest = FURTHEST * (d as f64).sqrt();
    if length > furthest {
        mean.iter_mut().for_each(|y| *y *= furthest / length);
    }
    let mut covariance = Vec::with_capacity(d * d);
    for i in 0..d {
        let unit: Vec<f64> = (0..d).map(|j| f64::from(u8::from(i == j))).collect();
        let row = inverse_times(&unit).into_iter();
        covariance.extend(row.map(|x| PARABOLOID_WIDENING * x));
    }
    Some((mean, covariance))
}

/// 1, y - c, and the products of each two of its elements.
fn terms(y: &[f64], centre: &[f64]) -> Vec<f64> {
    let offset: Vec<f64> = y.iter().zip(centre).map(|(y, centre)| y - centre).collect();
    let mut terms = vec![1.0];
    terms.extend(&offset);
    for i in 0..offset.len() {
        terms.extend(offset[..=i].iter().map(|other| offset[i] * other));
    }
    terms
}

/// Coefficients of the weighted least-squares fit of `height` by the columns of `rows`; None where they say nothing.
fn least_squares(rows: &[Vec<f64>], height: &[f64], weight: &[f64]) -> Option<Vec<f64>> {
    const RIDGE: f64 = 1e-10;
    let n = rows.first()?.len();
    // From the mean height: it may be of many thousands, and squares lose half of the digits.
    let weighted = height.iter().zip(weight);
    let mean_height: f64 = weighted.map(|(height, weight)| weight * height).sum();
    let scale = |j: usize| {
        let squares = rows.iter().zip(weight);
        let squares = squares.map(|(row, weight)| weight * row[j] * row[j]);
        squares.sum::<f64>().sqrt().max(f64::MIN_POSITIVE)
    };
    let column_scale: Vec<f64> = (0..n).map(scale).collect();
    let over_scale = |values: &[f64]| -> Vec<f64> {
        let scaled = values.iter().zip(&column_scale);
        scaled.map(|(x, scale)| x / scale).collect()
    };
    let mut normal = vec![0.0; n * n];
    let mut right = vec![0.0; n];
    for ((row, height), weight) in rows.iter().zip(height).zip(weight) {
        let scaled = over_scale(row);
        for i in 0..n {
            right[i] += weight * scaled[i] * (height - mean_height);
            for j in 0..=i {
                normal[i * n + j] += weight * scaled[i] * scaled[j];
            }
        }
    }
    for i in 0..n {
        normal[i * n + i] += RIDGE;
    }
    let factor = cholesky(&normal, n)?;
    let solution = solved_upper(&factor, &solved_lower(&factor, &right));
    Some(over_scale(&solution))
}

/// Mean of the highest draws, and how widely they lie around the old middle: wide along the way up, narrow across it
/// and at a peak (Hansen & Ostermeier 2001).
fn best(around: &[Near], d: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let best = &around[..(FEWEST_BEST + 2 * d).min(around.len())];
    if best.len() < 2 {
        return None;
    }
    let rows: Vec<&[f64]> = best.iter().map(|near| near.y.as_slice()).collect();
    let (mean, mut covariance) = moments(&rows, &rank_weights(best.len()));
    for i in 0..d {
        for j in 0..d {
            let old = f64::from(u8::from(i == j));
            let new = covariance[i * d + j] + mean[i] * mean[j];
            covariance[i * d + j] = BEST_WIDENING * ((1.0 - OLD_SHARE) * new + OLD_SHARE * old);
        }
    }
    Some((mean, covariance))
}

/// Normalized weights that fall with the logarithm of the rank.
pub(super) fn rank_weights(n: usize) -> Vec<f64> {
    let weight = |rank: usize| (n as f64 + 1.0).ln() - (rank as f64 + 1.0).ln();
    let total: f64 = (0..n).map(weight).sum();
    (0..n).map(|rank| weight(rank) / total).collect()
}

/// `mean` and `covariance` are in standard deviations of the density. None where they make no density.
fn moved(density: &LocalDensity, mean: &[f64], covariance: &[f64]) -> Option<LocalDensity> {
    let d = mean.len();
    let inner = cholesky(covariance, d)?;
    let outer = &density.factor;
    // The product of two lower triangular factors is one.
    let mut factor = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            factor[i * d + j] = (j..=i).map(|k| outer[i * d + k] * inner[k * d + j]).sum();
        }
    }
    let mean = (0..d)
        .map(|i| density.mean[i] + (0..=i).map(|j| outer[i * d + j] * mean[j]).sum::<f64>())
        .collect();
    let moved = LocalDensity {
        seams: density.seams.clone(),
        leans: density.leans.clone(),
        mean,
        factor,
    }
    .within_bounds();
    moved.is_valid(d).then_some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::mahalanobis_squared;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn density() -> LocalDensity {
        LocalDensity {
            seams: vec![0.0; 2],
            leans: Vec::new(),
            mean: vec![1.0, -1.0],
            factor: vec![0.5, 0.0, 0.2, 0.3],
        }
    }

    /// Draws of the density around it, of a Gaussian posterior.
    fn around(n: usize, mean: &[f64], factor: &[f64]) -> Vec<Near> {
        let density = density();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        (0..n)
            .filter_map(|_| {
                let z = density.draw(&mut rng);
                Near::new(
                    &density,
                    &z,
                    -0.5 * mahalanobis_squared(&z, mean, factor) - 4e4,
                )
            })
            .collect()
    }

    #[test]
    fn a_gaussian_is_climbed_in_one_step() {
        let (mean, factor) = ([0.7, -1.4], [0.01, 0.0, -0.03, 0.02]);
        let next = next(&density(), around(20, &mean, &factor));
        for (found, expected) in next.mean.iter().zip(&mean) {
            assert!((found - expected).abs() < 1e-3, "{next:?}");
        }
        // As wide as the Gaussian, the widening and a little damping apart.
        for (found, expected) in next.factor.iter().zip(&factor) {
            let expected = PARABOLOID_WIDENING.sqrt() * expected;
            assert!((found - expected).abs() < 2e-4, "{next:?}");
        }
    }

    #[test]
    fn steps_are_no_longer_than_is_known() {
        let factor = [0.5, 0.0, 0.0, 0.5];
        let next = next(&density(), around(40, &[30.0, 5.0], &factor));
        let square = mahalanobis_squared(&next.mean, &density().mean, &density().factor);
        assert!(
            (square.sqrt() - FURTHEST * 2f64.sqrt()).abs() < 1e-9,
            "{square}"
        );
    }

    #[test]
    fn where_no_paraboloid_has_a_top_the_best_draws_lead() {
        // Too few for a paraboloid, then a slope without an end.
        let few = next(&density(), around(5, &[0.7, -1.4], &[0.1, 0.0, 0.0, 0.1]));
        let density = density();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let slope = (0..40).filter_map(|_| {
            let z = density.draw(&mut rng);
            Near::new(&density, &z, (3.0 * z[0]).exp() + z[1])
        });
        let up = next(&density, slope.collect());
        for next in [&few, &up] {
            assert!(next.is_valid(2) && *next != density, "{next:?}");
        }
        assert!(up.mean[0] > density.mean[0] + 0.2, "{up:?}");
        assert_eq!(next(&density, Vec::new()), density);
    }
}
