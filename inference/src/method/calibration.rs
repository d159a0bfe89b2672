//! Whether posteriors are calibrated: over targets whose truth was drawn from the prior, the truth is one more draw of each
//! posterior.
//!
//! - The rank of each parameter of the truth among the draws is uniform (simulation-based calibration; Talts et al. 2018,
//!   arXiv 1804.06788).
//! - So is its credibility, the share of the posterior that is denser than it: what a highest-density region of 90 % holds in 90 %
//!   of all targets (expected coverage; Hermans et al. 2022, arXiv 2110.06581).
//! - So is the share of the posterior that is nearer to a place drawn at random than the truth (TARP; Lemos et al. 2023,
//!   arXiv 2302.03026), which also tells what ranks of single parameters do not see.

use crate::records::Standings;
use crate::space::ParameterSpace;
use crate::space::circle::turns;
use serde::{Deserialize, Serialize};

/// A p-value below this, multiplied by the number of tests, shows that posteriors are not calibrated.
const LEAST_P: f64 = 0.01;
/// Fewest targets that a verdict is made on.
const FEWEST_TARGETS: u64 = 50;
/// Levels of credibility whose coverage is told.
const N_LEVELS: usize = 20;

/// Weighted draws of one posterior, as a check sees them.
#[derive(Debug, Clone, Copy)]
pub struct SeenPosterior<'a> {
    /// Unconstrained, `[draw][parameter]`.
    pub z: &'a [f64],
    /// log posterior density in the parameters' own units up to a constant, one a draw.
    pub log_density: &'a [f64],
    /// Not negative, with any sum above 0.
    pub weight: &'a [f64],
}

/// `truth` and its log density are as a draw's; `reference` is a place in turns (shares of the prior below it, `[parameter]`)
/// drawn without regard to the truth. None where no draw weighs anything.
pub fn standings(
    space: &ParameterSpace,
    posterior: SeenPosterior,
    truth: (&[f64], f64),
    reference: &[f64],
) -> Option<Standings> {
    let d = space.len();
    let total: f64 = posterior.weight.iter().sum();
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let (z, log_density) = truth;
    let rows = posterior.z.chunks_exact(d);
    let rank =
        (0..d).map(|j| share_below(rows.clone().map(|row| row[j]), z[j], posterior.weight) / total);
    // Densities are compared the other way around: the denser the smaller.
    let denser = posterior.log_density.iter().map(|density| -density);
    let of_truth = distance(space, z, reference);
    let distances = rows.clone().map(|row| distance(space, row, reference));
    Some(Standings {
        rank: rank.collect(),
        credibility: share_below(denser, -log_density, posterior.weight) / total,
        tarp: share_below(distances, of_truth, posterior.weight) / total,
    })
}

/// The weight of values below a limit, and half of that at it.
fn share_below(values: impl Iterator<Item = f64>, limit: f64, weight: &[f64]) -> f64 {
    let share = |(value, weight): (f64, &f64)| match value.partial_cmp(&limit) {
        Some(std::cmp::Ordering::Less) => *weight,
        Some(std::cmp::Ordering::Equal) => 0.5 * weight,
        Some(std::cmp::Ordering::Greater) | None => 0.0,
    };
    values.zip(weight).map(share).sum()
}

/// Squared, in shares of the prior, on circles the shorter way.
fn distance(space: &ParameterSpace, z: &[f64], reference: &[f64]) -> f64 {
    let parameters = space.parameters.iter().zip(z.iter().zip(reference));
    parameters
        .map(|(parameter, (&z, reference))| {
            let away = (turns(z) - reference).abs();
            match parameter.periodic {
                true => away.min(1.0 - away).powi(2),
                false => away * away,
            }
        })
        .sum()
}

/// How far numbers are from uniform ones between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Uniformity {
    /// The largest difference between their distribution and a uniform one (Kolmogorov and Smirnov).
    pub distance: f64,
    /// The probability of a larger one, were they uniform.
    pub p: f64,
}

/// Of at least one number.
fn uniformity(values: &[f64]) -> Uniformity {
    let sorted = sorted(values);
    let n = sorted.len() as f64;
    let away = |(i, value): (usize, &f64)| ((i + 1) as f64 / n - value).max(value - i as f64 / n);
    let distance = sorted.iter().enumerate().map(away).fold(0.0, f64::max);
    let p = p_of_distance(distance, n);
    Uniformity { distance, p }
}

/// By the limiting distribution with the correction of Stephens (1970): from ten numbers on within 0.0005 of the exact one below
/// 0.05, and 0.015 above.
fn p_of_distance(distance: f64, n: f64) -> f64 {
    let root = n.sqrt();
    let x = (root + 0.12 + 0.11 / root) * distance;
    // Below it the series below ends nowhere, and p is 1 to nine digits.
    if x < 0.3 {
        return 1.0;
    }
    let term = |k: i32| {
        let k = f64::from(k);
        (-2.0 * k * k * x * x).exp()
    };
    let pairs = (0..50).map(|i| term(2 * i + 1) - term(2 * i + 2));
    (2.0 * pairs.sum::<f64>()).clamp(0.0, 1.0)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// One level of a coverage curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Of the posterior.
    pub level: f64,
    /// Share of the targets whose truth is in the region of this level.
    pub found: f64,
}

/// The share of numbers up to each of `n` levels, the last of which is 1.
pub fn coverage(values: &[f64], n: usize) -> Vec<Coverage> {
    let sorted = sorted(values);
    let at = |i: usize| {
        let level = i as f64 / n as f64;
        let n_below = sorted.partition_point(|value| *value <= level);
        let found = n_below as f64 / sorted.len().max(1) as f64;
        Coverage { level, found }
    };
    (1..=n).map(at).collect()
}

/// One of the tests of a calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationTest {
    /// A parameter, `credibility` or `tarp`.
    pub of: String,
    /// Of its standings.
    #[serde(flatten)]
    pub uniformity: Uniformity,
}

/// What the standings of many truths say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Targets that it is made of.
    pub n_targets: u64,
    /// A parameter each, in the order of the space, then credibility and TARP; empty without targets.
    pub tests: Vec<CalibrationTest>,
    /// The smallest p-value times the number of tests, at most 1: what the probability that calibrated posteriors look as bad is
    /// at most. None without targets.
    pub p: Option<f64>,
    /// Of highest-density regions.
    pub coverage: Vec<Coverage>,
    /// Of TARP's regions.
    pub tarp_coverage: Vec<Coverage>,
    /// What is said of it.
    pub verdict: CalibrationVerdict,
}

/// What a calibration shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationVerdict {
    /// Nothing against it.
    Calibrated,
    /// The posteriors are not those of prior and model.
    NotCalibrated,
    /// There are too few targets to tell.
    TooFew,
}

/// Of the parameters of `space` by their names.
pub fn calibration(space: &ParameterSpace, standings: &[&Standings]) -> Calibration {
    let credibility: Vec<f64> = standings.iter().map(|one| one.credibility).collect();
    let tarp: Vec<f64> = standings.iter().map(|one| one.tarp).collect();
    let n_targets = standings.len() as u64;
    let mut tests = Vec::new();
    if n_targets > 0 {
        let mut test = |of: &str, values: &[f64]| {
            tests.push(CalibrationTest {
                of: of.to_owned(),
                uniformity: uniformity(values),
            });
        };
        for (j, parameter) in space.parameters.iter().enumerate() {
            let ranks: Vec<f64> = standings.iter().map(|one| one.rank[j]).collect();
            test(&parameter.name, &ranks);
        }
        test("credibility", &credibility);
        test("tarp", &tarp);
    }
    let smallest = tests.iter().map(|test| test.uniformity.p).reduce(f64::min);
    let p = smallest.map(|p| (p * tests.len() as f64).min(1.0));
    let verdict = match p {
        Some(p) if p < LEAST_P => CalibrationVerdict::NotCalibrated,
        Some(_) if n_targets >= FEWEST_TARGETS => CalibrationVerdict::Calibrated,
        Some(_) | None => CalibrationVerdict::TooFew,
    };
    Calibration {
        n_targets,
        tests,
        p,
        coverage: coverage(&credibility, N_LEVELS),
        tarp_coverage: coverage(&tarp, N_LEVELS),
        verdict,
    }
}

#[cfg(test)]
mod tests;
