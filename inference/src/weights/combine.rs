//! Weights of all rounds together: one deterministic mixture, or the paper's round by round.

use super::columns::{RoundColumns, WeightsError, check, mixture_log_proposal, round_log_weights};
use super::combined::CombinedWeights;
use super::diagnostics::{effective_sample_size, normalized};
use super::evidence::Evidence;
use super::{evidence, fresh};
use crate::campaign::Combine;

/// Weights of all rounds together.
///
/// `Fresh`: each draw by its own round's proposal, L p / q_r, halves of rounds in proportion to their efficiency.
/// `Mixture`: w = L p / Σ_s (n_s / n) q_s, normalized over all rows. `PerRound`: each round's L p / q_r normalized, then
/// in proportion to its n_eff.
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
    let combined = CombinedWeights::under(rounds, mixture_log_proposal(rounds)?);
    Ok(CombinedWeights {
        evidence: evidence::stratified(&combined.log_weights),
        ..combined
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
    let scaled = |(round, share): (&Vec<f64>, &f64)| {
        let weights = normalized(round).into_iter();
        weights.map(|weight| share * weight).collect()
    };
    let own = rounds.iter().map(|round| round.log_proposal.clone());
    CombinedWeights {
        normalized: log_weights.iter().zip(&shares).map(scaled).collect(),
        log_weights,
        log_denominator: own.collect(),
        evidence: evidence::pooled(&estimates),
    }
}

#[cfg(test)]
mod tests;
