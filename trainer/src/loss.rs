//! What is maximized of each row: its log density, or with atoms the log probability that its parameters and
//! not another row's made its data.

use crate::estimator::Estimator;
use crate::parameters::vector;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use sidereal_inference::campaign::Loss;
use sidereal_inference::space::standard_normal_log_density;

/// The score of each row, `[n]`, whose weighted mean is the negative loss.
///
/// `y` is `[n, parameters]`, `x` `[n, length, channels]` or none where the flow sees no data, `log_prior`
/// the log density of the prior at each y. With atoms a row's score depends on the other rows, in their order.
pub fn log_score(
    estimator: &Estimator,
    loss: Loss,
    y: Tensor<2>,
    x: Option<Tensor<3>>,
    log_prior: &[f32],
) -> Tensor<1> {
    match (loss, x) {
        (Loss::Apt { atoms }, Some(x)) => {
            let features = estimator.features(x);
            log_atomic(estimator, atoms, y, features, log_prior)
        }
        (Loss::Nll | Loss::Apt { .. }, x) => estimator.log_density(y, x),
    }
}

/// log of the prior's density at the y of a stored z, where `log_determinant` is log |det dy/dz|: the prior of z is
/// standard normal.
pub(crate) fn log_prior(z: &[f64], log_determinant: f64) -> f64 {
    standard_normal_log_density(z) - log_determinant
}

/// log of [q(y_0|x) / p(y_0)] / Σ_k [q(y_k|x) / p(y_k)] of each row, y_0 its own and the others those of the
/// rows after it, around the end (Greenberg et al. 2019, eq. 7); fewer atoms where there are fewer rows.
///
/// Rows come shuffled, in training and in validation, so the next ones are as good as any, and no random numbers are
/// needed.
fn log_atomic(
    estimator: &Estimator,
    atoms: usize,
    y: Tensor<2>,
    features: Tensor<2>,
    log_prior: &[f32],
) -> Tensor<1> {
    let n = log_prior.len();
    let atoms = atoms.min(n);
    let shifted = |k: usize| {
        let parts = [(k, n - k), (0, k)].into_iter().filter(|part| part.1 > 0);
        parts.map(|(first, n)| y.clone().narrow(0, first, n))
    };
    let all = Tensor::cat((0..atoms).flat_map(shifted).collect(), 0);
    let prior: Vec<f32> = (0..atoms * n)
        .map(|i| log_prior[(i / n + i % n) % n])
        .collect();
    let prior = vector(prior, &y.device());
    let log_ratio = estimator.log_density_of(all, features.repeat_dim(0, atoms)) - prior;
    log_softmax(log_ratio.reshape([atoms, n]), 0)
        .narrow(0, 0, 1)
        .reshape([n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standardization::Standardization;

    use sidereal_inference::space::circle::Circle;

    #[test]
    fn the_prior_of_y_is_that_of_z_stretched() {
        let standardization = Standardization {
            seams: vec![0.0; 2],
            leans: Vec::new(),
            circles: Vec::new(),
            z_mean: vec![0.25, -1.0],
            z_sd: vec![0.5, 2.0],
            pieces: Vec::new(),
            x_mean: Vec::new(),
            x_sd: Vec::new(),
            log_sigma: None,
        };
        let z = [0.5, 1.0];
        let mut y = Vec::new();
        let log_determinant = standardization.append_y(&z, &mut y);
        // y ~ N(-mean / sd, 1 / sd²)
        let expected: f64 = (0..2)
            .map(|i| {
                let (mean, sd) = (standardization.z_mean[i], standardization.z_sd[i]);
                standard_normal_log_density(&[sd * (f64::from(y[i]) + mean / sd)]) + sd.ln()
            })
            .sum();
        assert!((log_prior(&z, log_determinant) - expected).abs() < 1e-12);
    }

    /// Where a circle is cut or centred, the prior of its y is one of mass one all the same.
    #[test]
    fn the_prior_of_y_has_mass_one_on_circles() {
        let circle = Circle {
            centre: 0.9,
            enlargement: 7.0,
        };
        for (seam, circle) in [(0.3, None), (0.0, Some(circle))] {
            let standardization = Standardization {
                seams: vec![seam],
                leans: Vec::new(),
                circles: vec![circle],
                z_mean: vec![0.25],
                z_sd: vec![0.5],
                pieces: Vec::new(),
                x_mean: Vec::new(),
                x_sd: Vec::new(),
                log_sigma: None,
            };
            let (low, high) = match circle {
                Some(_) => (-0.5, 0.5),
                None => (-20.0, 20.0),
            };
            let n = 20_000;
            let step = (high - low) / f64::from(n);
            let mass: f64 = (0..n)
                .map(|i| {
                    let y = low + step * (f64::from(i) + 0.5);
                    let (mut z, mut again) = ([0.0], Vec::new());
                    standardization.z(&[y as f32], &mut z);
                    let log_determinant = standardization.append_y(&z, &mut again);
                    log_prior(&z, log_determinant).exp() * step
                })
                .sum();
            assert!((mass - 1.0).abs() < 1e-3, "{standardization:?}: {mass}");
        }
    }
}
