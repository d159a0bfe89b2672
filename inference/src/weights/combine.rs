//! Weights of all rounds together: one deterministic mixture, or the paper's round by round.

use super::columns::RoundColumns;
use super::columns::WeightsError;
use super::columns::check;
use super::columns::log_weights_under;
use super::columns::mixture_log_proposal;
use super::columns::round_log_weights;
use super::combined::CombinedWeights;
use super::diagnostics::{effective_sample_size, normalized};
use super::evidence::Evidence;
use super::{evidence, fresh};
use crate::campaign::Combine;

/// Weights of all rounds together.
///
/// `Fresh`: [`fresh::combine_fresh`]. `Mixture`: w = L p / Σ_s (n_s / n) q_s, normalized over all rows. `PerRound`: each
/// round's L p / q_r normalized, then in proportion to its n_eff.
///
/// The evidence is that of fresh draws in any case. Before there are any (no earlier draw foretells a round's efficiency),
/// weights and evidence are those of the mixture, a sample stratified by round, or, for `PerRound`, the rounds' own
/// averaged.
pub fn combine(rounds: &[RoundColumns], how: Combine) -> Result<CombinedWeights, WeightsError> {
    for round in rounds {
        check(round)?;
    }
    let mixture = combine_as_mixture(rounds)?;
    let shares = fresh::shares(rounds, &mixture)?;
    let evidence = shares
        .as_ref()
        .and_then(|shares| fresh::evidence_of(rounds, shares));
    let combined = match (how, shares) {
        (Combine::Fresh, Some(shares)) => fresh::combine_fresh(rounds, &shares),
        (Combine::Fresh, None) | (Combine::Mixture, _) => mixture,
        (Combine::PerRound, _) => combine_per_round(rounds),
    };
    Ok(CombinedWeights {
        evidence: evidence.or(combined.evidence),
        ..combined
    })
}

fn combine_as_mixture(rounds: &[RoundColumns]) -> Result<CombinedWeights, WeightsError> {
    let log_denominator = mixture_log_proposal(rounds)?;
    let log_weights: Vec<Vec<f64>> = rounds
        .iter()
        .zip(&log_denominator)
        .map(|(round, column)| log_weights_under(round, column))
        .collect();
    let mut all = normalized(&log_weights.concat()).into_iter();
    let normalized = log_weights
        .iter()
        .map(|round| all.by_ref().take(round.len()).collect())
        .collect();
    let evidence = evidence::stratified(&log_weights);
    Ok(CombinedWeights {
        log_weights,
        log_denominator,
        normalized,
        evidence,
    })
}

fn combine_per_round(rounds: &[RoundColumns]) -> CombinedWeights {
    let log_weights: Vec<Vec<f64>> = rounds.iter().map(round_log_weights).collect();
    let evidences: Vec<Option<Evidence>> = log_weights
        .iter()
        .map(|round| evidence::stratified(&[round]))
        .collect();
    // Draws around a few places say nothing of the rest, whatever they are worth among themselves.
    let of_rounds = |share: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let share = |(index, round): (usize, &RoundColumns)| match round.proposal.is_local() {
            true => 0.0,
            false => share(index),
        };
        rounds.iter().enumerate().map(share).collect()
    };
    let mut shares = of_rounds(&|index| effective_sample_size(&log_weights[index]));
    if shares.iter().sum::<f64>() == 0.0 {
        // Rounds of at most one positive weight each: n_eff tells them apart no more.
        shares = of_rounds(&|index| if evidences[index].is_some() { 1.0 } else { 0.0 });
    }
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        shares.iter_mut().for_each(|share| *share /= sum);
    }
    let estimates: Vec<(f64, Evidence)> = shares
        .iter()
        .zip(&evidences)
        .filter_map(|(&share, &evidence)| Some((share, evidence?)))
        .collect();
    CombinedWeights {
        normalized: log_weights
            .iter()
            .zip(&shares)
            .map(|(round, share)| {
                normalized(round)
                    .into_iter()
                    .map(|weight| share * weight)
                    .collect()
            })
            .collect(),
        log_weights,
        log_denominator: rounds
            .iter()
            .map(|round| round.log_proposal.clone())
            .collect(),
        evidence: evidence::pooled(&estimates),
    }
}

#[cfg(test)]
mod tests;
