//! Weights in which no density judges draws that it was fitted to.
//!
//! The mixture of all rounds' proposals is no fair denominator: flows are large at the draws that they were fitted to, so
//! that these weigh too little, and all else too much. Here a draw is weighed by the proposal of its own round alone, which was
//! fixed before it was drawn. Rounds are averaged in proportion to how efficient they are, each half of a round by what
//! its other half says of that: a share that knew its own draws would lean to halves that missed the heaviest ones.

use super::columns::{RoundColumns, WeightsError, round_log_weights};
use super::combined::{CombinedWeights, mass_below};
use super::diagnostics::normalized;
use super::evidence;
use super::evidence::Evidence;

/// A round whose proposal leaves out this share of the posterior does not count, unless all others leave out more: what it says
/// is right on average over many campaigns and low in almost each.
const MOST_LEFT_OUT: f64 = 0.01;

/// Rounds below this share of the best one's efficiency do not count.
const POOR: f64 = 0.8;

/// Shares of the even and the odd rows of each round, in sum 1: rows times the efficiency (Σw)² / (n Σw²) of the other half.
/// None where there is one round only, or none that counts. `mixture` are the weights of all rounds as
/// one mixture.
///
/// Given all that came before, a half's part of the sum is unbiased. What is left of a bias is of second order: the sum
/// of the shares, the choice of rounds that count and the stop know the rounds' own weights.
pub fn shares(
    rounds: &[RoundColumns],
    mixture: &CombinedWeights,
) -> Result<Option<Vec<[f64; 2]>>, WeightsError> {
    let whole = rounds.iter().filter(|round| !round.proposal.is_local());
    if whole.count() < 2 {
        // Its own weights are all there is.
        return Ok(None);
    }
    let missed = rounds
        .iter()
        .map(|round| missed(rounds, mixture, round))
        .collect::<Result<Vec<f64>, WeightsError>>()?;
    let least = missed.iter().copied().fold(f64::INFINITY, f64::min);
    let mut shares = Vec::with_capacity(rounds.len());
    for (round, missed) in rounds.iter().zip(missed) {
        let log_weights = round_log_weights(round);
        let [even, odd] = [0, 1].map(|parity| half(&log_weights, parity));
        shares.push(match missed <= least.max(MOST_LEFT_OUT) && missed < 1.0 {
            true => [
                even.len() as f64 * efficiency(&odd),
                odd.len() as f64 * efficiency(&even),
            ],
            false => [0.0; 2],
        });
    }
    // Flows on the way have lighter tails than the posterior: a few of their draws would be the heaviest of all.
    let rows = |round: &RoundColumns| 0.5 * round.log_prior.len() as f64;
    let best = shares
        .iter()
        .zip(rounds)
        .flat_map(|(share, round)| share.map(|share| share / rows(round).max(1.0)))
        .fold(0.0, f64::max);
    for (share, round) in shares.iter_mut().zip(rounds) {
        for share in share {
            if *share < POOR * best * rows(round) {
                *share = 0.0;
            }
        }
    }
    let mut counting = shares
        .iter_mut()
        .filter(|share| share.iter().sum::<f64>() > 0.0);
    if let (Some(only), None) = (counting.next(), counting.next()) {
        // Nothing is to be weighed against it.
        *only = [0.5; 2];
    }
    let sum: f64 = shares.iter().flatten().sum();
    if sum == 0.0 {
        return Ok(None);
    }
    shares.iter_mut().flatten().for_each(|share| *share /= sum);
    Ok(Some(shares))
}

fn half<T: Copy>(rows: &[T], parity: usize) -> Vec<T> {
    rows.iter().skip(parity).step_by(2).copied().collect()
}

fn efficiency(log_weights: &[f64]) -> f64 {
    let weights = normalized(log_weights);
    let square: f64 = weights.iter().map(|weight| weight * weight).sum();
    match square > 0.0 {
        true => 1.0 / (square * weights.len() as f64),
        false => 0.0,
    }
}

/// w = share_h / n_h · L p / q_r for the rows of half h, normalized over all rows; without a share denominators are infinite.
pub fn combine_fresh(rounds: &[RoundColumns], shares: &[[f64; 2]]) -> CombinedWeights {
    let n: usize = rounds.iter().map(|round| round.log_prior.len()).sum();
    let denominator = |(round, shares): (&RoundColumns, &[f64; 2])| {
        let n_even = round.log_prior.len().div_ceil(2);
        let of_half = [n_even, round.log_prior.len() - n_even];
        let log_factor =
            [0, 1].map(|parity| (shares[parity] * n as f64 / of_half[parity] as f64).ln());
        let column = round.log_proposal.iter().enumerate();
        column.map(|(i, q)| q - log_factor[i % 2]).collect()
    };
    let log_denominator = rounds.iter().zip(shares).map(denominator).collect();
    CombinedWeights {
        evidence: evidence_of(rounds, shares),
        ..CombinedWeights::under(rounds, log_denominator)
    }
}

/// The halves' own evidences, averaged by their shares.
pub fn evidence_of(rounds: &[RoundColumns], shares: &[[f64; 2]]) -> Option<Evidence> {
    let mut estimates: Vec<(f64, Evidence)> = Vec::with_capacity(2 * rounds.len());
    for (round, shares) in rounds.iter().zip(shares) {
        let log_weights = round_log_weights(round);
        for (parity, &share) in shares.iter().enumerate() {
            let evidence = evidence::stratified(&[half(&log_weights, parity)]);
            let evidence = evidence.filter(|_| share > 0.0);
            estimates.extend(evidence.map(|evidence| (share, evidence)));
        }
    }
    evidence::pooled(&estimates)
}

/// The share of the posterior that a round's proposal leaves out, by the draws of all other rounds: left out because of its own
/// heavy draws, a round would take them along. 1 for rounds of searches.
fn missed(
    rounds: &[RoundColumns],
    mixture: &CombinedWeights,
    round: &RoundColumns,
) -> Result<f64, WeightsError> {
    if round.proposal.is_local() {
        return Ok(1.0);
    }
    let Some(evidence) = mixture.evidence else {
        return Ok(0.0);
    };
    let weighted = rounds.iter().zip(&mixture.normalized);
    let others = weighted.filter(|(other, _)| other.round != round.round);
    let mass = mass_below(others, &round.proposal, evidence.log_evidence)?;
    Ok(mass.unwrap_or(0.0))
}

#[cfg(test)]
mod tests;
