//! Whether the model fits the data at all: chi-square, the largest residual and the order of signs.
//!
//! With errors that are known, the smallest chi-square of a model that fits follows the chi-square distribution of
//! n - p degrees of freedom, where p is the number of parameters that the data determine. The mean of chi-square
//! over the posterior is larger by p, so that p is the difference of the two: fewer than all parameters where the
//! prior determines some. The best draw is not quite at the minimum; p is then smaller by the same amount, and the
//! test stays one of the posterior's mean against n.

use crate::base::equal_draws;
use crate::base::normal::{LN_SQRT_2_PI, tail};
use crate::campaign::{Noise, Observation, RowNoise};
use crate::records::{BAND_DRAWS, ModelBand, Posterior};
use crate::space::ParameterSpace;
use serde::{Deserialize, Serialize};
use statrs::function::gamma::checked_gamma_ur;
use std::collections::{BTreeMap, BTreeSet};

/// Below this p the fit is doubtful.
pub const MAX_P_OF_DOUBT: f64 = 1e-4;

/// Below this p the model does not fit.
pub const MAX_P_OF_MISFIT: f64 = 1e-6;

/// With fewer effective draws neither the smallest chi-square nor its mean is known.
const MIN_N_EFF: f64 = 10.0;

/// Of the false alarms of the whole check, what each of its parts may cause: the p of the whole is the least of
/// theirs, each divided by its share.
const SHARE_OF_CHI_SQUARE: f64 = 0.8;
const SHARE_OF_LARGEST_RESIDUAL: f64 = 0.15;
const SHARE_OF_RUNS: f64 = 0.05;

/// Parameters that are fitted may line up signs by themselves: by less than a third of a standard deviation of
/// the number of runs where there are this many data for each square of their number.
const MIN_DATA_OF_RUNS: usize = 4;

/// The chance of a chi-square as small as the smallest one, below which data have less noise than their errors say.
const LEAST_P_OF_NOISE: f64 = 1e-3;

/// Simulated data are stored in single precision; coarser than this share of sigma, residuals are not judged.
const MAX_ROUNDING: f64 = 0.1;

/// What a check of fit came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Fit {
    /// The numbers.
    Checked(FitCheck),
    /// It could not be checked.
    NotChecked {
        /// In words.
        reason: String,
    },
}

/// How well the best draw fits the data. All p are chances of a worse fit if the model is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitCheck {
    /// Data of the observation.
    pub n_data: u64,
    /// Of the draw of the largest likelihood: the smallest of all, unless a jitter is a parameter.
    pub chi_square: f64,
    /// Over the posterior.
    pub mean_chi_square: f64,
    /// Parameters that the data determine: mean less smallest chi-square, within what is possible.
    pub effective_parameters: f64,
    /// n_data - effective_parameters, 1 at least.
    pub degrees_of_freedom: f64,
    /// Of a chi-square as large as the smallest one.
    pub p_chi_square: f64,
    /// None where the stored data are too coarse to tell.
    pub largest_residual: Option<LargestResidual>,
    /// None where there are too few data to tell, or the stored ones are too coarse.
    pub runs: Option<Runs>,
    /// Of the whole.
    pub p: f64,
}

/// The datum farthest from the best draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LargestResidual {
    /// Counted from 0.
    pub datum: u64,
    /// Where it stands.
    pub grid: f64,
    /// (observed - predicted) / sigma
    pub residual: f64,
    /// That the largest of all residuals is as large (Bonferroni).
    pub p: f64,
}

/// Runs of residuals of one sign along the grid (Wald and Wolfowitz 1940).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// Along the grid.
    pub n_runs: u64,
    /// The mean number of runs of such signs in random order.
    pub expected: f64,
    /// That there are as few, exactly.
    pub p: f64,
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// p is above [`MAX_P_OF_DOUBT`].
    Fits,
    /// p is below it.
    Doubtful,
    /// p is below [`MAX_P_OF_MISFIT`].
    Misfit,
}

impl FitCheck {
    /// What `p` means.
    pub fn verdict(&self) -> Verdict {
        if self.p < MAX_P_OF_MISFIT {
            Verdict::Misfit
        } else if self.p < MAX_P_OF_DOUBT {
            Verdict::Doubtful
        } else {
            Verdict::Fits
        }
    }
}

/// Checks the fit of a weighed posterior, with the bands of what its draws predict.
///
/// `simulated` gives the data before noise of draws, by their places in the posterior; it is asked for a few hundred.
pub fn check_posterior<E>(
    space: &ParameterSpace,
    noise: &Noise,
    observation: &Observation,
    posterior: &Posterior,
    mut simulated: impl FnMut(&BTreeSet<usize>) -> Result<BTreeMap<usize, Vec<f32>>, E>,
) -> Result<(Fit, Option<ModelBand>), E> {
    let terms = match noise {
        Noise::Gaussian(noise) => &noise.terms,
        Noise::Simulator => {
            let reason = match observation.is_empty() {
                true => "the model is a log-likelihood alone, and gives no data",
                false => "the model draws noise of its own, and its data have no errors",
            };
            let reason = reason.to_owned();
            return Ok((Fit::NotChecked { reason }, None));
        }
    };
    let of_draw = |i: usize| terms.of_row(space, posterior.theta_row(i));
    let n_linear = space.linear().count();
    let chosen = equal_draws(&posterior.weight, BAND_DRAWS, 0.5);
    let distance = match n_linear {
        0 => distances(observation, &posterior.log_likelihood),
        // Their likelihood is not that of a row's data.
        _ => {
            let weighty = (0..posterior.n_rows()).filter(|&i| posterior.weight[i] > 0.0);
            let rows = simulated(&weighty.collect())?;
            let of_row = |i: usize| {
                let data = rows.get(&i).filter(|data| data.len() == observation.len());
                data.map_or(f64::INFINITY, |data| {
                    distance(&of_draw(i), observation, data)
                })
            };
            (0..posterior.n_rows()).map(of_row).collect()
        }
    };
    let best_draw = best_draw(&distance);
    let chi_square: Vec<f64> = distance
        .into_iter()
        .enumerate()
        .map(|(i, distance)| match terms.jitter.is_some() {
            true => (distance - 2.0 * of_draw(i).log_widening(observation)).max(0.0),
            false => distance,
        })
        .collect();
    let reduced = best_draw.map(|i| of_draw(i).reduced(observation));
    let observation = reduced.as_ref().unwrap_or(observation);
    let rows = simulated(&chosen.iter().copied().chain(best_draw).collect())?;
    let data = |i: &usize| {
        let data = rows.get(i)?;
        (data.len() == observation.len()).then_some(data.as_slice())
    };
    let best = best_draw.as_ref().and_then(data).unwrap_or(&[]);
    let drawn: Vec<&[f32]> = chosen.iter().filter_map(data).collect();
    let band =
        (!best.is_empty() && !drawn.is_empty()).then(|| ModelBand::new(observation, best, &drawn));
    let n_parameters = posterior.n_parameters + n_linear;
    let fit = check(
        observation,
        n_parameters,
        &chi_square,
        &posterior.weight,
        (best_draw, best),
    );
    Ok((fit, band))
}

/// Of each draw, from its Gaussian log-likelihood: chi-square, and twice what a jitter adds to the sum of ln sigma; infinite
/// where the log-likelihood is -inf.
fn distances(observation: &Observation, log_likelihood: &[f64]) -> Vec<f64> {
    let log_norm: f64 = observation
        .sigma
        .iter()
        .map(|sigma| LN_SQRT_2_PI + sigma.ln())
        .sum();
    log_likelihood
        .iter()
        .map(|log_likelihood| (-2.0 * (log_likelihood + log_norm)).max(0.0))
        .collect()
}

/// As [`distances`], of one row's own data.
fn distance(noise: &RowNoise<'_>, observation: &Observation, data: &[f32]) -> f64 {
    let (log_likelihood, _) = noise.log_likelihood_of_rounded(observation, data);
    distances(observation, &[log_likelihood])[0]
}

/// The first draw of the smallest finite distance.
fn best_draw(distance: &[f64]) -> Option<usize> {
    (0..distance.len())
        .filter(|&i| distance[i].is_finite())
        .min_by(|&a, &b| distance[a].total_cmp(&distance[b]))
}

/// `observation` is as it compares with the data of the best draw; `chi_square` and `weight` (which sums to 1) have an
/// element a draw, `best` is [`best_draw`] with its predicted data.
fn check(
    observation: &Observation,
    n_parameters: usize,
    chi_square: &[f64],
    weight: &[f64],
    (best_draw, best): (Option<usize>, &[f32]),
) -> Fit {
    let n_data = observation.len();
    let smallest = best_draw.map(|i| chi_square[i]);
    let squares: f64 = weight.iter().map(|weight| weight * weight).sum();
    let (Some(smallest), true) = (smallest, squares > 0.0) else {
        return Fit::NotChecked {
            reason: "no draw has a positive weight".to_owned(),
        };
    };
    let n_eff = 1.0 / squares - 1.0;
    if n_eff < MIN_N_EFF {
        return Fit::NotChecked {
            reason: format!(
                "n_eff is {n_eff:.1}, below {MIN_N_EFF}; the smallest chi-square of all draws is {smallest:.1} for \
                 {n_data} data"
            ),
        };
    }
    let mean: f64 = chi_square
        .iter()
        .zip(weight)
        .filter(|&(_, &weight)| weight > 0.0)
        .map(|(chi_square, weight)| chi_square * weight)
        .sum();
    let most = n_parameters.min(n_data) as f64;
    let effective_parameters = (mean - smallest).clamp(0.0, most);
    let degrees_of_freedom = (n_data as f64 - effective_parameters).max(1.0);
    let p_chi_square = chi_square_survival(smallest, degrees_of_freedom);
    let residuals = residuals(observation, best);
    let largest_residual = residuals
        .as_deref()
        .and_then(|residuals| largest_residual(&observation.grid, residuals));
    // Data that lie closer than their errors (simulated ones without noise, say) have signs that tell nothing.
    let is_noisy = 1.0 - p_chi_square > LEAST_P_OF_NOISE;
    let runs = residuals
        .filter(|_| is_noisy && n_data >= MIN_DATA_OF_RUNS * n_parameters * n_parameters)
        .and_then(|residuals| runs(&observation.grid, &residuals));
    let p = [
        Some(p_chi_square / SHARE_OF_CHI_SQUARE),
        largest_residual
            .as_ref()
            .map(|largest| largest.p / SHARE_OF_LARGEST_RESIDUAL),
        runs.as_ref().map(|runs| runs.p / SHARE_OF_RUNS),
    ]
    .into_iter()
    .flatten()
    .fold(1.0, f64::min);
    Fit::Checked(FitCheck {
        n_data: n_data as u64,
        chi_square: smallest,
        mean_chi_square: mean,
        effective_parameters,
        degrees_of_freedom,
        p_chi_square,
        largest_residual,
        runs,
        p,
    })
}

/// The chance of a chi-square above `chi_square`; zero below the smallest double.
fn chi_square_survival(chi_square: f64, degrees_of_freedom: f64) -> f64 {
    if chi_square <= 0.0 {
        return 1.0;
    }
    checked_gamma_ur(0.5 * degrees_of_freedom, 0.5 * chi_square).unwrap_or(0.0)
}

/// In units of sigma; None where the predicted data are coarser than that.
fn residuals(observation: &Observation, predicted: &[f32]) -> Option<Vec<f64>> {
    if predicted.len() != observation.len() {
        return None;
    }
    let mut residuals = Vec::with_capacity(predicted.len());
    for ((&value, &sigma), &x) in observation
        .value
        .iter()
        .zip(&observation.sigma)
        .zip(predicted)
    {
        let x = f64::from(x);
        if !x.is_finite() || x.abs() * f64::from(f32::EPSILON) / 2.0 > MAX_ROUNDING * sigma {
            return None;
        }
        residuals.push((value - x) / sigma);
    }
    Some(residuals)
}

fn largest_residual(grid: &[f64], residuals: &[f64]) -> Option<LargestResidual> {
    let (datum, &residual) = residuals
        .iter()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()))?;
    Some(LargestResidual {
        datum: datum as u64,
        grid: *grid.get(datum)?,
        residual,
        p: (2.0 * residuals.len() as f64 * tail(residual)).min(1.0),
    })
}

/// None where all residuals have one sign, and where there are none.
fn runs(grid: &[f64], residuals: &[f64]) -> Option<Runs> {
    let mut order: Vec<usize> = (0..residuals.len().min(grid.len())).collect();
    order.sort_by(|&a, &b| grid[a].total_cmp(&grid[b]));
    let is_above: Vec<bool> = order.iter().map(|&i| residuals[i] > 0.0).collect();
    let n_above = is_above.iter().filter(|&&above| above).count();
    let n_below = is_above.len() - n_above;
    let n_runs = 1 + is_above
        .windows(2)
        .filter(|pair| pair[0] != pair[1])
        .count();
    if n_above == 0 || n_below == 0 {
        return None;
    }
    let (above, below) = (n_above as f64, n_below as f64);
    Some(Runs {
        n_runs: n_runs as u64,
        expected: 1.0 + 2.0 * above * below / (above + below),
        p: (2..=n_runs)
            .map(|n_runs| chance_of_runs(n_runs, n_above, n_below))
            .sum::<f64>()
            .min(1.0),
    })
}

/// That `n_runs` runs come of the signs in random order.
fn chance_of_runs(n_runs: usize, n_above: usize, n_below: usize) -> f64 {
    let log_all = log_binomial(n_above + n_below, n_above);
    let ways = |runs_above: usize, runs_below: usize| {
        (log_binomial(n_above - 1, runs_above - 1) + log_binomial(n_below - 1, runs_below - 1)
            - log_all)
            .exp()
    };
    let half = n_runs / 2;
    if n_runs.is_multiple_of(2) {
        2.0 * ways(half, half)
    } else {
        ways(half, half + 1) + ways(half + 1, half)
    }
}

fn log_binomial(n: usize, k: usize) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    let log_factorial = |n: usize| libm::lgamma(n as f64 + 1.0);
    log_factorial(n) - log_factorial(k) - log_factorial(n - k)
}

#[cfg(test)]
mod tests;
