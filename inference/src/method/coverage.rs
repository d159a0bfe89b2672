//! What posterior mass a proposal may be missing, and how that is known.

use super::probing::Outcome;
use crate::base::FlowId;
use crate::weights::{CombinedWeights, Component, RoundColumns, mass_below};
use serde::{Deserialize, Serialize};

/// What the final proposal may be missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MissingMass {
    /// The final flow; None where the prior is all there is.
    pub flow: Option<FlowId>,
    /// Of the posterior mass that was drawn, the share where the density of the final proposal is under 1 % of the
    /// estimated posterior density. Of places that no draw came near it says nothing.
    pub mass: Option<f64>,
    /// Draws from the prior with a known likelihood.
    pub n_prior_draws: u64,
    /// The smallest prior volume that these have hit with 95 % probability, 3 / n: the limit of `mass`.
    pub prior_volume: Option<f64>,
    /// Calls of the forward model by searches for lost modes.
    pub probing_simulations: u64,
    /// How these searches ended.
    pub outcomes: Vec<Outcome>,
}

/// `combined` belongs to `rounds`; `outcomes` are those of all searches.
pub fn missing_mass(
    rounds: &[RoundColumns],
    combined: &CombinedWeights,
    flow: Option<FlowId>,
    outcomes: Vec<Outcome>,
) -> MissingMass {
    let n_prior = rounds
        .iter()
        .flat_map(|round| round.component.iter().zip(&round.log_likelihood))
        .filter(|(component, log_likelihood)| {
            **component == Component::Prior && log_likelihood.is_some()
        })
        .count();
    MissingMass {
        flow,
        mass: flow.and_then(|_| mass_not_covered(rounds, combined)),
        n_prior_draws: n_prior as u64,
        prior_volume: (n_prior > 0).then(|| (3.0 / n_prior as f64).min(1.0)),
        probing_simulations: rounds
            .iter()
            .filter(|round| round.proposal.is_local())
            .map(|round| round.component.len() as u64)
            .sum(),
        outcomes,
    }
}

/// The share of the weighted draws where the last proposal of all of the space is under 1 % of the posterior density L p / Z;
/// None where a round is not scored or no weight is positive.
fn mass_not_covered(rounds: &[RoundColumns], combined: &CombinedWeights) -> Option<f64> {
    let log_evidence = combined.evidence?.log_evidence;
    let mut newest_first = rounds.iter().rev();
    let last = newest_first.find(|round| !round.proposal.is_local())?;
    let weighted = rounds.iter().zip(&combined.normalized);
    mass_below(weighted, &last.proposal, log_evidence).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RoundId;
    use crate::campaign::Combine;
    use crate::weights::{Proposal, combine};
    use std::collections::BTreeMap;

    #[test]
    fn missing_mass_is_that_where_the_flow_is_far_too_low() {
        let flow = FlowId(0);
        // A flat posterior over a prior of density 1: Z = 1. The flow forgot the last of four rows.
        let columns = RoundColumns {
            round: RoundId(0),
            proposal: Proposal::of(vec![(Component::Flow(flow), 1.0)]),
            log_likelihood: vec![Some(0.0), Some(0.0), Some(0.0), Some(0.0), None],
            log_prior: vec![0.0; 5],
            log_proposal: vec![0.8f64.ln(); 5],
            component: vec![Component::Prior; 5],
            log_flow: BTreeMap::from([(
                flow,
                vec![0.0, 1.0, 0.0101f64.ln(), 0.0099f64.ln(), -50.0],
            )]),
            z: Vec::new(),
        };
        let rounds = [columns];
        let combined = combine(&rounds, Combine::Mixture).expect("complete columns");
        let found = missing_mass(&rounds, &combined, Some(flow), vec![Outcome::Known]);
        assert_eq!((found.n_prior_draws, found.prior_volume), (4, Some(0.75)));
        assert_eq!(found.mass.map(|mass| (100.0 * mass).round()), Some(25.0));
        assert_eq!(found.outcomes, [Outcome::Known]);
        let elsewhere = Proposal::of(vec![(Component::Flow(FlowId(9)), 1.0)]);
        let unscored = [RoundColumns {
            proposal: elsewhere,
            ..rounds[0].clone()
        }];
        let unscored = missing_mass(&unscored, &combined, Some(FlowId(9)), Vec::new());
        assert_eq!(unscored.mass, None);
        assert_eq!(
            missing_mass(&rounds, &combined, None, Vec::new()).mass,
            None
        );
    }
}
