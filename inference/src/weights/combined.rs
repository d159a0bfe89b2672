//! The weights of all rounds together, however they came about.

use super::columns::{RoundColumns, WeightsError, log_density_under, log_weights_under};
use super::diagnostics::{WeightDiagnostics, diagnostics_with, normalized};
use super::evidence::Evidence;
use super::proposal::Proposal;

/// All rounds' weights together; one vector a round, one element a row.
#[derive(Debug, Clone, PartialEq)]
pub struct CombinedWeights {
    /// Unnormalized: log L + log p - log denominator.
    pub log_weights: Vec<Vec<f64>>,
    /// What each row's weight was divided by: the mixture over all rounds' rows, or the row's own proposal.
    pub log_denominator: Vec<Vec<f64>>,
    /// Sum to 1 over all rounds; all zero where no weight is positive.
    pub normalized: Vec<Vec<f64>>,
    /// None where no weight is positive.
    pub evidence: Option<Evidence>,
}

impl CombinedWeights {
    /// Rows weighed by these denominators, normalized over all rounds; the evidence is still to be told.
    pub(super) fn under(rounds: &[RoundColumns], log_denominator: Vec<Vec<f64>>) -> Self {
        let columns = rounds.iter().zip(&log_denominator);
        let log_weights: Vec<Vec<f64>> = columns
            .map(|(round, column)| log_weights_under(round, column))
            .collect();
        let mut all = normalized(&log_weights.concat()).into_iter();
        let of_round = |round: &Vec<f64>| all.by_ref().take(round.len()).collect();
        Self {
            normalized: log_weights.iter().map(of_round).collect(),
            log_weights,
            log_denominator,
            evidence: None,
        }
    }

    /// Diagnostics of the combined sample.
    pub fn diagnostics(&self) -> WeightDiagnostics {
        let log_weights: Vec<f64> = self
            .normalized
            .iter()
            .flatten()
            .map(|weight| weight.ln())
            .collect();
        diagnostics_with(&log_weights, self.evidence)
    }
}

/// A proposal misses a place where its density is below this share of the posterior's.
const MISSED: f64 = 0.01;

/// The share of weighted draws where a proposal is under 1 % of the posterior: of rounds with their weights, whose sum is
/// what it is a share of. None where no weight is positive.
pub(crate) fn mass_below<'a>(
    rounds: impl Iterator<Item = (&'a RoundColumns, &'a Vec<f64>)>,
    proposal: &Proposal,
    log_evidence: f64,
) -> Result<Option<f64>, WeightsError> {
    let (mut below, mut total) = (0.0, 0.0);
    for (round, weights) in rounds {
        let log_density = log_density_under(round, proposal)?;
        for (i, weight) in weights.iter().enumerate() {
            total += weight;
            let is_below = round.log_likelihood[i].is_some_and(|log_likelihood| {
                let log_posterior = log_likelihood + round.log_prior[i] - log_evidence;
                log_density[i] < log_posterior + MISSED.ln()
            });
            if is_below {
                below += weight;
            }
        }
    }
    Ok((total > 0.0).then(|| below / total))
}
