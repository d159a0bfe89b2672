//! Weights in which no density judges draws that it was fitted to.
//!
//! The mixture of all rounds' proposals is no fair denominator: flows are large at the draws that they were fitted to, so
//! that these weigh too little, and all else too much. Here a draw is weighed by the proposal of its own round alone, which was
//! fixed before it was drawn, and rounds are averaged with shares that were fixed before them too. Given all that came
//! before, each round's part is then unbiased, for the posterior as for the evidence.

use super::combine::{
    CombinedWeights, RoundColumns, WeightsError, log_density_under, log_weights_under,
    round_log_weights,
};
use super::{effective_sample_size, normalized};
use crate::coverage::mass_below;
use crate::evidence::{self, Evidence};
use crate::proposal::log_sum_exp;
use crate::stopping::MIN_N_EFF;

/// A round whose proposal leaves out this share of the posterior does not count: what it says is right on average over many
/// campaigns and low in almost each.
const MOST_LEFT_OUT: f64 = 0.01;

/// Shares of the rounds, in sum 1, in proportion to their rows and to the efficiency that the earlier draws foretold; None
/// where no round counts. `mixture` are the weights of all rounds as one mixture.
///
/// What is left of a bias is of second order: the sum of the shares, the choice of rounds that count and the stop know the
/// rounds' own weights.
pub fn shares(
    rounds: &[RoundColumns],
    mixture: &CombinedWeights,
) -> Result<Option<Vec<f64>>, WeightsError> {
    let mut shares = Vec::with_capacity(rounds.len());
    for (round, foretold) in rounds.iter().zip(foretold(rounds, mixture)?) {
        let is_positive = round_log_weights(round)
            .iter()
            .any(|weight| *weight > f64::NEG_INFINITY);
        shares.push(match foretold.is_whole && is_positive {
            true => foretold.efficiency * round.log_prior.len() as f64,
            false => 0.0,
        });
    }
    let sum: f64 = shares.iter().sum();
    if sum == 0.0 {
        return Ok(None);
    }
    shares.iter_mut().for_each(|share| *share /= sum);
    Ok(Some(shares))
}

/// w = share_r / n_r · L p / q_r, normalized over all rows; rounds without a share have infinite denominators.
pub fn combine_fresh(rounds: &[RoundColumns], shares: &[f64]) -> CombinedWeights {
    let n: usize = rounds.iter().map(|round| round.log_prior.len()).sum();
    let log_denominator: Vec<Vec<f64>> = rounds
        .iter()
        .zip(shares)
        .map(|(round, share)| {
            let rows = round.log_prior.len() as f64;
            let log_factor = (share * n as f64 / rows).ln();
            round.log_proposal.iter().map(|q| q - log_factor).collect()
        })
        .collect();
    let log_weights: Vec<Vec<f64>> = rounds
        .iter()
        .zip(&log_denominator)
        .map(|(round, column)| log_weights_under(round, column))
        .collect();
    let mut all = normalized(&log_weights.concat()).into_iter();
    CombinedWeights {
        normalized: log_weights
            .iter()
            .map(|round| all.by_ref().take(round.len()).collect())
            .collect(),
        log_weights,
        log_denominator,
        evidence: evidence_of(rounds, shares),
    }
}

/// The rounds' own evidences, averaged by their shares.
pub fn evidence_of(rounds: &[RoundColumns], shares: &[f64]) -> Option<Evidence> {
    let estimates: Vec<(f64, Evidence)> = rounds
        .iter()
        .zip(shares)
        .filter(|(_, share)| **share > 0.0)
        .filter_map(|(round, &share)| {
            Some((share, evidence::stratified(&[round_log_weights(round)])?))
        })
        .collect();
    evidence::pooled(&estimates)
}

/// What other draws say of a round's proposal.
struct Foretold {
    /// By the draws of the rounds before it: 1 / Σ W p / (Z q_r), with their weights W as one mixture. Zero for rounds of
    /// searches, and where those draws are worth fewer than 100.
    efficiency: f64,
    /// By the draws of all other rounds: a round that is left out because of its own heavy draws would take them along.
    is_whole: bool,
}

fn foretold(
    rounds: &[RoundColumns],
    mixture: &CombinedWeights,
) -> Result<Vec<Foretold>, WeightsError> {
    // log Σ n_s q_s over the rounds so far, at the rows of every round.
    let mut log_mixture: Vec<Vec<f64>> = rounds
        .iter()
        .map(|round| vec![f64::NEG_INFINITY; round.log_prior.len()])
        .collect();
    let mut foretold = Vec::with_capacity(rounds.len());
    for (index, own) in rounds.iter().enumerate() {
        let log_n = (own.log_prior.len() as f64).ln();
        let log_density: Vec<Vec<f64>> = rounds
            .iter()
            .enumerate()
            .map(|(other, round)| match other == index {
                true => Ok(round.log_proposal.clone()),
                false => log_density_under(round, &own.proposal),
            })
            .collect::<Result<_, WeightsError>>()?;
        let others = rounds
            .iter()
            .zip(&log_density)
            .zip(&mixture.normalized)
            .map(|((round, log_density), weight)| (round, log_density, weight))
            .filter(|(round, _, _)| round.round != own.round);
        let missed = mixture
            .evidence
            .and_then(|evidence| mass_below(others, evidence.log_evidence));
        foretold.push(Foretold {
            efficiency: match own.proposal.is_local() {
                true => 0.0,
                false => foretold_efficiency(&rounds[..index], &log_mixture, &log_density),
            },
            is_whole: missed.is_none_or(|missed| missed < MOST_LEFT_OUT),
        });
        for (sum, log_density) in log_mixture.iter_mut().zip(&log_density) {
            for (sum, log_density) in sum.iter_mut().zip(log_density) {
                *sum = log_sum_exp([*sum, log_n + log_density].into_iter());
            }
        }
    }
    Ok(foretold)
}

/// `log_density` is that of the proposal in question.
fn foretold_efficiency(
    before: &[RoundColumns],
    log_mixture: &[Vec<f64>],
    log_density: &[Vec<f64>],
) -> f64 {
    let mut log_weights = Vec::new();
    let mut log_squares = Vec::new();
    for ((round, mixture), log_density) in before.iter().zip(log_mixture).zip(log_density) {
        let weights = log_weights_under(round, mixture);
        let ratios = log_weights_under(round, log_density);
        log_squares.extend(
            weights
                .iter()
                .zip(ratios)
                .map(|(weight, ratio)| weight + ratio),
        );
        log_weights.extend(weights);
    }
    if effective_sample_size(&log_weights) < MIN_N_EFF {
        return 0.0;
    }
    // Z² / E_q[(L p / q)²]
    let log_evidence = log_sum_exp(log_weights.iter().copied());
    let log_square = log_sum_exp(log_squares.iter().copied());
    (2.0 * log_evidence - log_square).exp().min(1.0)
}

#[cfg(test)]
mod tests;
