//! Mean, covariance and evidence of linear-Gaussian models in 2, 5 and 10 dimensions against the
//! closed form, within Monte Carlo error.

use crate::setup::{fit, results, write};
use std::fmt::Write;

/// Posterior of x = M θ + noise with θ ~ N(0, 1) and noise ~ N(0, sigma²): mean, covariance, log evidence.
struct ClosedForm {
    mean: Vec<f64>,
    covariance: Vec<Vec<f64>>,
    log_evidence: f64,
}

fn closed_form(matrix: &[Vec<f64>], value: &[f64], sigma: f64) -> ClosedForm {
    let d = matrix[0].len();
    let mut precision = vec![vec![0.0; d]; d];
    let mut shift = vec![0.0; d];
    for (row, value) in matrix.iter().zip(value) {
        for i in 0..d {
            shift[i] += row[i] * value / (sigma * sigma);
            for j in 0..d {
                precision[i][j] += row[i] * row[j] / (sigma * sigma);
            }
        }
    }
    for (i, row) in precision.iter_mut().enumerate() {
        row[i] += 1.0;
    }
    let (covariance, log_determinant) = inverse(&precision);
    let mean: Vec<f64> = covariance
        .iter()
        .map(|row| row.iter().zip(&shift).map(|(a, b)| a * b).sum())
        .collect();
    // log N(x; 0, M Mᵀ + sigma² 1) by the matrix determinant lemma and Woodbury's identity.
    let n = value.len() as f64;
    let square: f64 = value
        .iter()
        .map(|value| value * value / (sigma * sigma))
        .sum();
    let explained: f64 = mean
        .iter()
        .zip(&shift)
        .map(|(mean, shift)| mean * shift)
        .sum();
    let log_evidence = -0.5
        * (n * (2.0 * std::f64::consts::PI).ln() + 2.0 * n * sigma.ln() + log_determinant + square
            - explained);
    ClosedForm {
        mean,
        covariance,
        log_evidence,
    }
}

/// Inverse and log determinant by Gauss-Jordan elimination.
fn inverse(matrix: &[Vec<f64>]) -> (Vec<Vec<f64>>, f64) {
    let d = matrix.len();
    let mut left = matrix.to_vec();
    let mut right: Vec<Vec<f64>> = (0..d)
        .map(|i| (0..d).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    let mut log_determinant = 0.0;
    for pivot in 0..d {
        let value = left[pivot][pivot];
        log_determinant += value.ln();
        for j in 0..d {
            left[pivot][j] /= value;
            right[pivot][j] /= value;
        }
        for i in (0..d).filter(|&i| i != pivot) {
            let factor = left[i][pivot];
            for j in 0..d {
                let (from_left, from_right) = (left[pivot][j], right[pivot][j]);
                left[i][j] -= factor * from_left;
                right[i][j] -= factor * from_right;
            }
        }
    }
    (right, log_determinant)
}

/// `training` is appended to `[training]`; the last `n_linear` of the parameters are integrated out.
fn check(d: usize, n_linear: usize, simulations: u64, epochs: u32, training: &str) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let sigma = 0.5;
    let n_data = d + 3;
    let matrix: Vec<Vec<f64>> = (0..n_data)
        .map(|i| {
            (0..d)
                .map(|j| ((1 + i) as f64 * (1 + j) as f64 * 0.7).cos())
                .collect()
        })
        .collect();
    let value: Vec<f64> = (0..n_data).map(|i| (i as f64 * 1.3).sin()).collect();
    let mut observation = "index,value,sigma\n".to_owned();
    let mut toml = format!(
        "name = \"linear-{d}\"\nseed = 7\n[observation]\npath = \"observation.csv\"\n\
         [training]\nmax_epochs = {epochs}\n{training}\n\
         [rounds]\nmax = 4\nsimulations = {simulations}\n[rounds.stop]\nn_eff = 1500\n\
         [simulator]\nbuiltin = \"linear-gaussian\"\nmatrix = {matrix:?}\n"
    );
    if n_linear > 0 {
        let names: Vec<String> = (d - n_linear..d).map(|j| format!("p{j}")).collect();
        writeln!(toml, "[likelihood]\nlinear = {names:?}").expect("writing to a string");
    }
    for (i, value) in value.iter().enumerate() {
        writeln!(observation, "{i},{value},{sigma}").expect("writing to a string");
    }
    for j in 0..d {
        write!(
            toml,
            "[[parameters]]\nname = \"p{j}\"\nprior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }}\n"
        )
        .expect("writing to a string");
    }
    write(directory.path(), "observation.csv", &observation);
    let campaign = write(directory.path(), "campaign.toml", &toml);
    let out = directory.path().join("out");
    fit(&campaign, &out, &[], &[0]);

    let found = results(&out);
    let expected = closed_form(&matrix, &value, sigma);
    let combined = found.summary.combined.expect("there is an observation");
    let n = combined.n_eff;
    assert!(n >= 400.0, "n_eff {n}");
    let evidence = combined.evidence.expect("weights are positive");
    assert!(
        (evidence.log_evidence - expected.log_evidence).abs() < 4.5 * evidence.error + 1e-3,
        "log evidence {} ± {}, expected {}",
        evidence.log_evidence,
        evidence.error,
        expected.log_evidence
    );
    let posterior = &found.posterior;
    // Linear parameters stand behind the others here as there.
    let all: Vec<Vec<f64>> = (0..posterior.n_rows())
        .map(|row| {
            let derived = &posterior.derived[row * n_linear..(row + 1) * n_linear];
            [posterior.theta_row(row), derived].concat()
        })
        .collect();
    let average = |f: &dyn Fn(&[f64]) -> f64| -> f64 {
        let rows = all.iter().zip(&posterior.weight);
        rows.map(|(theta, weight)| weight * f(theta)).sum()
    };
    for i in 0..d {
        let sd = expected.covariance[i][i].sqrt();
        let mean = average(&|theta| theta[i]);
        assert!(
            (mean - expected.mean[i]).abs() < 4.5 * sd / n.sqrt(),
            "mean of p{i}: {mean}, expected {}",
            expected.mean[i]
        );
        for j in 0..=i {
            let other = expected.covariance[j][j].sqrt();
            let covariance =
                average(&|theta| (theta[i] - expected.mean[i]) * (theta[j] - expected.mean[j]));
            let difference = (covariance - expected.covariance[i][j]).abs() / (sd * other);
            assert!(
                difference < 4.5 * (2.0 / n).sqrt(),
                "covariance of p{i}, p{j} is off by {difference} of the sds"
            );
        }
    }
}

#[test]
fn two_dimensions() {
    check(2, 0, 1500, 40, "");
}

#[test]
fn five_dimensions() {
    check(5, 0, 2500, 60, "");
}

#[test]
fn ten_dimensions() {
    check(10, 0, 4000, 60, "");
}

#[test]
fn five_dimensions_by_a_surrogate() {
    check(5, 0, 2500, 60, "surrogate = true");
}

#[test]
fn forty_linear_parameters_beside_two_others() {
    check(42, 40, 1500, 40, "");
}

#[test]
fn losses_without_refinement() {
    for loss in ["nll", "apt"] {
        let training = format!("loss = \"{loss}\"\nrefinement = false");
        check(2, 0, 1000, 20, &training);
    }
}
