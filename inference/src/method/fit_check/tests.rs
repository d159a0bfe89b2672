//! Fits whose answer is known: exact tables, and linear models with their closed-form posteriors.

use super::*;
use crate::campaign::{GaussianNoise, NoiseTerm, NoiseTerms, RowNoise, SigmaSource};
use crate::space::{Parameter, Prior};
use crate::weights::{log_weight, normalized};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

fn observation(value: &[f64]) -> Observation {
    Observation {
        grid: (0..value.len()).map(|i| i as f64).collect(),
        value: value.to_vec(),
        sigma: vec![0.5; value.len()],
    }
}

fn space(names: &[&str]) -> ParameterSpace {
    let parameter = |name: &&str| Parameter {
        name: (*name).to_owned(),
        prior: Prior::Uniform {
            low: 0.0,
            high: 10.0,
        },
        periodic: false,
    };
    ParameterSpace::independent(names.iter().map(parameter).collect())
}

fn check(
    observation: &Observation,
    n_parameters: usize,
    chi_square: &[f64],
    weight: &[f64],
    best: &[f32],
) -> Fit {
    let best = (best_draw(chi_square), best);
    super::check(observation, n_parameters, chi_square, weight, best)
}

fn checked(fit: Fit) -> FitCheck {
    match fit {
        Fit::Checked(check) => check,
        Fit::NotChecked { reason } => panic!("not checked: {reason}"),
    }
}

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-12 * expected.abs(),
        "{found}, expected {expected}"
    );
}

#[test]
fn chi_square_is_what_the_likelihood_was_made_of() {
    let noise = RowNoise::default();
    let observation = observation(&[1.0, 2.0]);
    // Residuals of 2 and -3 sigma.
    let log_likelihood = noise.log_likelihood(&observation, &[0.0, 3.5]);
    let found = distances(&observation, &[log_likelihood, f64::NEG_INFINITY]);
    close(found[0], 13.0);
    assert_eq!(found[1], f64::INFINITY);
    assert_eq!(best_draw(&[f64::INFINITY, 3.0, 2.0, 2.0]), Some(2));
    assert_eq!(best_draw(&[f64::INFINITY]), None);
}

#[test]
fn survival_functions_are_those_of_tables() {
    // R: pchisq(x, df, lower.tail = FALSE)
    let table = [
        (3.841_458_820_694_124, 1.0, 0.05),
        (18.307_038_053_275_146, 10.0, 0.05),
        (4.0, 3.0, 0.261_464_129_949_110_7),
        (200.0, 2.0, (-100.0_f64).exp()),
        (0.0, 5.0, 1.0),
        (1e5, 2.0, 0.0),
    ];
    for (chi_square, degrees_of_freedom, expected) in table {
        let found = chi_square_survival(chi_square, degrees_of_freedom);
        assert!(
            (found - expected).abs() <= 1e-9 * expected,
            "{chi_square} {degrees_of_freedom}: {found}, expected {expected}"
        );
    }
}

#[test]
fn runs_are_counted_along_the_grid_and_judged_exactly() {
    // Of the 6 orders of two signs each, two have 2, 3 and 4 runs each.
    close(chance_of_runs(2, 2, 2), 1.0 / 3.0);
    close(chance_of_runs(3, 2, 2), 1.0 / 3.0);
    close(chance_of_runs(4, 2, 2), 1.0 / 3.0);
    let all: f64 = (2..=15).map(|runs| chance_of_runs(runs, 7, 12)).sum();
    assert!((all - 1.0).abs() < 1e-12, "{all}");
    let grid = [3.0, 0.0, 2.0, 1.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    let residuals = [1.0, 2.0, 0.5, 3.0, 0.1, -1.0, -2.0, -0.5, -3.0, -1.0];
    let found = runs(&grid, &residuals).expect("two signs");
    assert_eq!((found.n_runs, found.expected), (2, 6.0));
    close(found.p, 2.0 / 252.0);
    assert_eq!(runs(&grid[..5], &residuals[..5]), None);
}

#[test]
fn a_check_has_all_its_numbers() {
    let value = [0.5, -0.5, 0.5, -0.5];
    let chi_square: Vec<f64> = (0..20).map(|i| 4.0 + f64::from(i % 2)).collect();
    let weight = [0.05; 20];
    let found = checked(check(
        &observation(&value),
        1,
        &chi_square,
        &weight,
        &[0.0; 4],
    ));
    let survival = chi_square_survival(4.0, 3.5);
    assert_eq!((found.n_data, found.chi_square), (4, 4.0));
    close(found.mean_chi_square, 4.5);
    assert!((found.effective_parameters - 0.5).abs() < 1e-12);
    assert!((found.degrees_of_freedom - 3.5).abs() < 1e-12);
    assert!((found.p_chi_square - survival).abs() < 1e-12);
    assert_eq!(
        found.largest_residual,
        Some(LargestResidual {
            datum: 3,
            grid: 3.0,
            residual: -1.0,
            p: 1.0
        })
    );
    let signs = found.runs.expect("four data for one parameter");
    assert_eq!((signs.n_runs, signs.expected), (4, 3.0));
    close(signs.p, 1.0);
    assert!((found.p - survival / 0.8).abs() < 1e-12, "{}", found.p);
    // Two parameters may line up the signs of four data.
    let two = check(&observation(&value), 2, &chi_square, &weight, &[0.0; 4]);
    assert_eq!(checked(two).runs, None);
}

#[test]
fn effective_parameters_stay_within_what_is_possible() {
    let value = [0.5, -0.5, 0.5];
    let weight = [0.05; 20];
    let of = |n_parameters, step: f64| {
        let chi_square: Vec<f64> = (0..20).map(|i| 1.0 + step * f64::from(i % 2)).collect();
        let check = checked(check(
            &observation(&value),
            n_parameters,
            &chi_square,
            &weight,
            &[0.0; 3],
        ));
        let rounded = |number: f64| (number * 1e9).round() / 1e9;
        (
            rounded(check.effective_parameters),
            rounded(check.degrees_of_freedom),
        )
    };
    assert_eq!(of(2, 100.0), (2.0, 1.0));
    // As many parameters as data leave one degree, not none.
    assert_eq!(of(5, 100.0), (3.0, 1.0));
    assert_eq!(of(2, 0.0), (0.0, 3.0));
}

#[test]
fn what_cannot_be_checked_says_why() {
    let reason = |fit| match fit {
        Fit::NotChecked { reason } => reason,
        Fit::Checked(check) => panic!("{check:?}"),
    };
    let one = observation(&[0.5]);
    assert_eq!(
        reason(check(&one, 1, &[257.26; 4], &[0.25; 4], &[0.0])),
        "n_eff is 3.0, below 10; the smallest chi-square of all draws is 257.3 for 1 data"
    );
    for (chi_square, weight) in [(f64::INFINITY, 0.05), (1.0, 0.0)] {
        assert_eq!(
            reason(check(&one, 1, &[chi_square; 20], &[weight; 20], &[0.0])),
            "no draw has a positive weight"
        );
    }
    let posterior = Posterior {
        n_parameters: 1,
        theta: vec![0.0],
        n_derived: 0,
        derived: Vec::new(),
        log_likelihood: vec![0.0],
        log_prior: vec![0.0],
        log_proposal: vec![0.0],
        round: vec![0],
        row_id: vec![0],
        weight: vec![1.0],
    };
    let never = |_: &BTreeSet<usize>| Err("asked");
    let own = check_posterior(&space(&["a"]), &Noise::Simulator, &one, &posterior, never);
    let (fit, band) = own.expect("nothing is read");
    assert_eq!(
        reason(fit),
        "the model draws noise of its own, and its data have no errors"
    );
    assert_eq!(band, None);
}

#[test]
fn signs_of_data_without_noise_are_not_judged() {
    let n = 40;
    let value: Vec<f64> = (0..n).map(|i| 0.1 * f64::from(i)).collect();
    let observation = observation(&value);
    // The first half a little below the data, the second above: two runs.
    let close = |by: f64| -> Vec<f32> {
        let shifted = value.iter().zip(0..);
        shifted
            .map(|(value, i)| (value + if i < n / 2 { -by } else { by }) as f32)
            .collect()
    };
    // By a fiftieth of sigma, and by one sigma.
    let found = |by: f64, chi_square: f64| {
        checked(check(
            &observation,
            2,
            &[chi_square; 40],
            &[0.025; 40],
            &close(by),
        ))
    };
    let without_noise = found(0.01, 0.016);
    assert_eq!(without_noise.verdict(), Verdict::Fits);
    assert_eq!(without_noise.runs, None);
    let wrong = found(0.5, 40.0);
    assert_eq!(wrong.runs.as_ref().map(|runs| runs.n_runs), Some(2));
    assert_eq!(wrong.verdict(), Verdict::Misfit);
}

#[test]
fn residuals_of_coarse_data_are_not_judged() {
    let fine = Observation {
        grid: vec![0.0],
        value: vec![5379.5712],
        sigma: vec![2e-4],
    };
    let found = checked(check(&fine, 1, &[1.0; 20], &[0.05; 20], &[5379.571]));
    assert_eq!((found.largest_residual, found.runs), (None, None));
    assert_eq!(found.p, (found.p_chi_square / 0.8).min(1.0));
}

#[test]
fn a_posterior_is_checked_with_the_data_of_its_draws() {
    let noise = Noise::Gaussian(GaussianNoise::of_sigma(SigmaSource::Observed));
    let observation = observation(&[1.0, 1.0, 1.0, 1.0]);
    // The draw of no weight fits best.
    let data = |i: usize| vec![if i == 7 { 1.0 } else { 2.0 + i as f32 }; 4];
    let n = 40;
    let posterior = Posterior {
        n_parameters: 1,
        theta: vec![0.0; n],
        n_derived: 0,
        derived: Vec::new(),
        log_likelihood: (0..n)
            .map(|i| {
                let data: Vec<f64> = data(i).into_iter().map(f64::from).collect();
                RowNoise::default().log_likelihood(&observation, &data)
            })
            .collect(),
        log_prior: vec![0.0; n],
        log_proposal: vec![0.0; n],
        round: vec![0; n],
        row_id: (0..n as u64).collect(),
        weight: (0..n)
            .map(|i| if i < 20 && i != 7 { 1.0 / 19.0 } else { 0.0 })
            .collect(),
    };
    let mut asked = BTreeSet::new();
    let simulated = |draws: &BTreeSet<usize>| {
        asked = draws.clone();
        Ok::<_, ()>(draws.iter().map(|&i| (i, data(i))).collect())
    };
    let (fit, band) = check_posterior(&space(&["a"]), &noise, &observation, &posterior, simulated)
        .expect("all data are there");
    assert_eq!(asked, (0..20).collect());
    let found = checked(fit);
    assert!(found.chi_square < 1e-9, "{}", found.chi_square);
    assert_eq!(found.effective_parameters, 1.0);
    let band = band.expect("data");
    assert_eq!(band.best, [1.0; 4]);
    assert_eq!(band.quantiles[0], [2.0; 4]);
    assert_eq!(band.quantiles[3], [21.0; 4]);
}

#[test]
fn jitter_and_offset_are_in_chi_square_and_residuals() {
    let noise = GaussianNoise {
        sigma: SigmaSource::Observed,
        terms: NoiseTerms {
            jitter: Some(NoiseTerm::One("s".to_owned())),
            offset: Some(NoiseTerm::One("gamma".to_owned())),
            ..NoiseTerms::default()
        },
    };
    let space = space(&["s", "gamma"]);
    let observation = observation(&[5.0, 3.0, 5.0, 3.0]);
    // The model says 1 everywhere: with the offset 3 residuals are ±1. A jitter of 1.2 makes sigma 1.3 of 0.5; the best
    // one, of variance 1, is the first.
    let jitter = |i: usize| match i {
        0 => 0.75f64.sqrt(),
        i if i % 2 == 0 => 0.0,
        _ => 1.2,
    };
    let n = 40;
    let theta: Vec<f64> = (0..n).flat_map(|i| [jitter(i), 3.0]).collect();
    let log_likelihood = theta.chunks(2).map(|theta| {
        let row = noise.terms.of_row(&space, theta);
        row.log_likelihood(&observation, &[1.0; 4])
    });
    let posterior = Posterior {
        n_parameters: 2,
        log_likelihood: log_likelihood.collect(),
        theta,
        n_derived: 0,
        derived: Vec::new(),
        log_prior: vec![0.0; n],
        log_proposal: vec![0.0; n],
        round: vec![0; n],
        row_id: (0..n as u64).collect(),
        weight: (0..n)
            .map(|i| if i % 2 == 1 { 1.0 / 20.0 } else { 0.0 })
            .collect(),
    };
    let simulated =
        |draws: &BTreeSet<usize>| Ok::<_, ()>(draws.iter().map(|&i| (i, vec![1.0; 4])).collect());
    let noise = Noise::Gaussian(noise);
    let (fit, band) =
        check_posterior(&space, &noise, &observation, &posterior, simulated).expect("all data");
    let found = checked(fit);
    close(found.chi_square, 4.0);
    close(found.mean_chi_square, 4.0 / 1.69);
    assert_eq!(found.effective_parameters, 0.0);
    let largest = found.largest_residual.expect("residuals");
    close(largest.residual.abs(), 1.0);
    let band = band.expect("data");
    assert_eq!(band.value, [2.0, 0.0, 2.0, 0.0]);
    assert_eq!(band.best, [1.0; 4]);
    band.sigma.iter().for_each(|&sigma| close(sigma, 1.0));
}

/// A linear model with orthogonal columns, normal priors and sigma 1: everything is known in closed form.
struct Linear {
    grid: Vec<f64>,
    /// Orthonormal.
    columns: Vec<Vec<f64>>,
    /// What the data know of a parameter, in units of its prior: strength² is the Fisher information.
    strength: Vec<f64>,
    value: Vec<f64>,
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Linear {
    /// Data of the model itself: parameters from the prior, noise of sigma 1.
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let d = rng.random_range(1..=6);
        let sizes = [d + 1, d + 3, 9, 16, 40, 100, 200];
        let n = sizes[rng.random_range(0..sizes.len())].max(d + 1);
        let grid: Vec<f64> = (0..n).map(|i| i as f64 / (n - 1) as f64).collect();
        let is_smooth = rng.random::<bool>();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for power in 0..d {
            let mut column: Vec<f64> = grid
                .iter()
                .map(|t| {
                    if is_smooth {
                        (t - 0.5).powi(power)
                    } else {
                        normal(rng)
                    }
                })
                .collect();
            for earlier in columns.iter().chain(&columns) {
                let along = product(earlier, &column);
                column
                    .iter_mut()
                    .zip(earlier)
                    .for_each(|(x, e)| *x -= along * e);
            }
            let length = product(&column, &column).sqrt();
            columns.push(column.iter().map(|x| x / length).collect());
        }
        let strength: Vec<f64> = (0..d)
            .map(|_| 10f64.powf(rng.random_range(-1.0..2.0)))
            .collect();
        let mut value: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
        for (column, strength) in columns.iter().zip(&strength) {
            let theta = strength * normal(rng);
            value
                .iter_mut()
                .zip(column)
                .for_each(|(x, c)| *x += theta * c);
        }
        Self {
            grid,
            columns,
            strength,
            value,
        }
    }

    /// Chi-square of maximum likelihood, and its chance.
    fn exact(&self) -> (f64, f64) {
        let explained: f64 = self
            .columns
            .iter()
            .map(|column| product(column, &self.value).powi(2))
            .sum();
        let chi_square = product(&self.value, &self.value) - explained;
        let n_free = self.value.len() - self.columns.len();
        (chi_square, chi_square_survival(chi_square, n_free as f64))
    }

    /// By weighted draws of a proposal that is a fifth wider than the posterior, and of the prior.
    fn check(&self, rng: &mut ChaCha8Rng) -> FitCheck {
        const WIDER: f64 = 1.2;
        let (n_draws, n_prior) = (1000, 100);
        let (smallest, _) = self.exact();
        let (mut chi_square, mut log_weight_of) = (Vec::new(), Vec::new());
        let mut fits: Vec<Vec<f64>> = Vec::new();
        for draw in 0..n_draws {
            let (mut chi, mut log_ratio) = (smallest, 0.0);
            let mut fit = Vec::new();
            for (column, strength) in self.columns.iter().zip(&self.strength) {
                let projection = product(column, &self.value);
                // Of strength · θ, whose likelihood is N(projection, 1) and whose prior is N(0, strength²).
                let variance = 1.0 / (1.0 + strength.powi(-2));
                let z = normal(rng);
                let at = if draw < n_prior {
                    strength * z
                } else {
                    log_ratio += 0.5 * z * z * (1.0 - WIDER * WIDER);
                    projection * variance + WIDER * variance.sqrt() * z
                };
                chi += (at - projection).powi(2);
                fit.push(at);
            }
            chi_square.push(chi);
            log_weight_of.push(if draw < n_prior {
                f64::NEG_INFINITY
            } else {
                log_weight(Some(log_ratio), 0.0, 0.0)
            });
            fits.push(fit);
        }
        let best = best_draw(&chi_square).expect("finite");
        let mut predicted = vec![0.0; self.value.len()];
        for (column, at) in self.columns.iter().zip(&fits[best]) {
            predicted
                .iter_mut()
                .zip(column)
                .for_each(|(x, c)| *x += at * c);
        }
        let predicted: Vec<f32> = predicted.iter().map(|&x| x as f32).collect();
        let observation = Observation {
            grid: self.grid.clone(),
            value: self.value.clone(),
            sigma: vec![1.0; self.value.len()],
        };
        checked(check(
            &observation,
            self.columns.len(),
            &chi_square,
            &normalized(&log_weight_of),
            &predicted,
        ))
    }
}

#[test]
fn models_that_fit_are_rarely_accused() {
    let mut rng = ChaCha8Rng::seed_from_u64(41);
    let p: Vec<f64> = (0..1000)
        .map(|_| Linear::draw(&mut rng).check(&mut rng).p)
        .collect();
    let below = |limit: f64| p.iter().filter(|&&p| p < limit).count();
    // At 1 % each: 10 with a standard deviation of 3.1.
    assert!(below(0.01) <= 19, "{} of 1000 below 0.01", below(0.01));
    assert_eq!(below(1e-6), 0);
    // Nor is it blind: a third of all below a half at least.
    assert!(below(0.5) >= 250, "{} of 1000 below 0.5", below(0.5));
}

#[test]
fn faults_are_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(43);
    let mut n_found = [(0, 0); 4];
    while let Some(kind) = n_found.iter().position(|&(_, n)| n < 10) {
        let mut linear = Linear::draw(&mut rng);
        let n = linear.value.len();
        match kind {
            0 => linear.value[rng.random_range(0..n)] += 5.0,
            // Twice the noise.
            1 => linear
                .value
                .iter_mut()
                .for_each(|x| *x += 3f64.sqrt() * normal(&mut rng)),
            2 => {
                let (offset, from) = (rng.random_range(1.0..4.0), rng.random_range(0..n));
                linear.value[from..].iter_mut().for_each(|x| *x += offset);
            }
            _ => {
                let (amplitude, frequency) = (rng.random_range(1.0..4.0), rng.random_range(2..20));
                for (x, t) in linear.value.iter_mut().zip(&linear.grid) {
                    *x += amplitude * (f64::from(frequency) * t).sin();
                }
            }
        }
        let (_, p) = linear.exact();
        if p >= MAX_P_OF_DOUBT {
            continue;
        }
        let found = linear.check(&mut rng);
        n_found[kind].1 += 1;
        n_found[kind].0 += u32::from(found.verdict() != Verdict::Fits);
    }
    let n: u32 = n_found.iter().map(|(n, _)| n).sum();
    assert!(n >= 39, "found of each kind: {n_found:?}");
}
