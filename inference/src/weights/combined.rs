//! The weights of all rounds together, however they came about.

use super::columns::RoundColumns;
use super::diagnostics::{WeightDiagnostics, diagnostics_with};
use super::evidence::Evidence;

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

/// The share of weighted draws where a density is under 1 % of the posterior's: rounds with that density and their weights, whose
/// sum is what it is a share of.
pub(crate) fn mass_below<'a>(
    rounds: impl Iterator<Item = (&'a RoundColumns, &'a Vec<f64>, &'a Vec<f64>)>,
    log_evidence: f64,
) -> Option<f64> {
    let (mut below, mut total) = (0.0, 0.0);
    for (round, log_density, weights) in rounds {
        for (i, weight) in weights.iter().enumerate() {
            total += weight;
            let log_posterior =
                round.log_likelihood[i].map(|log_l| log_l + round.log_prior[i] - log_evidence);
            if log_posterior
                .is_some_and(|log_posterior| log_density[i] < log_posterior + MISSED.ln())
            {
                below += weight;
            }
        }
    }
    (total > 0.0).then(|| below / total)
}
