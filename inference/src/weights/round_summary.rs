//! One round in numbers.

use super::columns::{RoundColumns, WeightsError, newest_component_log_weights, round_log_weights};
use super::diagnostics::{WeightDiagnostics, bootstrap_efficiency_error, diagnostics};
use super::proposal::Proposal;
use crate::base::{RoundId, column, weighted_quantiles};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What a round is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundKind {
    /// Draw, simulate, weigh, decide, train.
    Training,
    /// Draws around places that a search for lost modes has come to.
    Probe,
    /// Fresh draws from the best proposal after the stop; nothing is trained on them.
    TopUp,
    /// Simulated by another campaign, and weighed here.
    Reused,
}

/// One round, weighed with the weights of its own proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundSummary {
    /// Its number.
    pub round: RoundId,
    /// What it is for.
    pub kind: RoundKind,
    /// What its rows were drawn from.
    pub proposal: Proposal,
    /// Rows that the forward model gave no answer for.
    pub n_failed: u64,
    /// Rows whose likelihood is above zero; all that did not fail, where there is no likelihood.
    pub n_possible: u64,
    /// Per parameter (in order) the median of failed rows' parameters; None where none failed.
    pub failed_median: Option<Vec<f64>>,
    /// All rows of the round.
    #[serde(flatten)]
    pub all: WeightDiagnostics,
    /// The rows drawn from the newest component alone, weighed with that component's density.
    pub newest_component: WeightDiagnostics,
    /// Bootstrap standard error of the newest component's efficiency.
    pub efficiency_error: f64,
}

/// One round's summary, from its columns.
///
/// `theta` is row-major; `failed` says which rows the simulator gave no answer for. `rng` is for the
/// bootstrap.
pub fn summarize_round(
    kind: RoundKind,
    columns: &RoundColumns,
    theta: &[f64],
    failed: &[bool],
    rng: &mut ChaCha8Rng,
) -> Result<RoundSummary, WeightsError> {
    let newest = newest_component_log_weights(columns)?;
    Ok(RoundSummary {
        round: columns.round,
        kind,
        proposal: columns.proposal.clone(),
        n_failed: failed.iter().filter(|&&failed| failed).count() as u64,
        n_possible: n_possible(columns, failed),
        failed_median: failed_median(theta, failed),
        all: diagnostics(&round_log_weights(columns)),
        newest_component: diagnostics(&newest),
        efficiency_error: bootstrap_efficiency_error(&newest, rng),
    })
}

fn n_possible(columns: &RoundColumns, failed: &[bool]) -> u64 {
    let is_possible = |i: &usize| {
        !failed[*i] && columns.log_likelihood[*i].is_none_or(|value| value > f64::NEG_INFINITY)
    };
    (0..failed.len()).filter(is_possible).count() as u64
}

/// Per parameter the median over the failed rows.
fn failed_median(theta: &[f64], failed: &[bool]) -> Option<Vec<f64>> {
    let n_parameters = theta.len().checked_div(failed.len())?;
    let weights: Vec<f64> = failed
        .iter()
        .map(|&failed| if failed { 1.0 } else { 0.0 })
        .collect();
    if !failed.contains(&true) {
        return None;
    }
    let median = |j| weighted_quantiles(&column(theta, n_parameters, j), &weights, &[0.5])[0];
    Some((0..n_parameters).map(median).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Component;
    use rand_chacha::rand_core::SeedableRng;
    use std::collections::BTreeMap;

    #[test]
    fn a_round_is_summarized_with_its_failed_rows() {
        let columns = RoundColumns {
            round: RoundId(0),
            proposal: Proposal::prior(),
            log_likelihood: vec![Some(0.0), None, Some(f64::NEG_INFINITY), None, None],
            log_prior: vec![-1.0; 5],
            log_proposal: vec![-1.0; 5],
            component: vec![Component::Prior; 5],
            log_flow: BTreeMap::new(),
            z: Vec::new(),
        };
        let theta = [0.0, 0.0, 1.0, 30.0, 0.0, 0.0, 2.0, 10.0, 3.0, 20.0];
        let failed = [false, true, false, true, true];
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let found = summarize_round(RoundKind::Training, &columns, &theta, &failed, &mut rng)
            .expect("complete columns");
        assert_eq!(
            (found.round, found.n_failed, found.failed_median),
            (RoundId(0), 3, Some(vec![2.0, 20.0]))
        );
        assert_eq!(
            (found.all.n, found.n_possible, found.all.n_eff),
            (5, 1, 0.0)
        );
        assert_eq!(found.newest_component, found.all);
        assert!(found.efficiency_error > 0.0);
    }

    #[test]
    fn diagnostics_of_a_round_stand_beside_its_number_in_json() {
        let columns = RoundColumns {
            round: RoundId(4),
            proposal: Proposal::prior(),
            log_likelihood: vec![Some(0.0); 2],
            log_prior: vec![0.0; 2],
            log_proposal: vec![0.0; 2],
            component: vec![Component::Prior; 2],
            log_flow: BTreeMap::new(),
            z: Vec::new(),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let summary = summarize_round(
            RoundKind::TopUp,
            &columns,
            &[1.0, 2.0],
            &[false; 2],
            &mut rng,
        )
        .expect("round");
        let json = serde_json::to_value(&summary).expect("json");
        assert_eq!(
            (
                json["round"].as_u64(),
                json["kind"].as_str(),
                json["n"].as_u64()
            ),
            (Some(4), Some("top_up"), Some(2))
        );
        assert_eq!(json["failed_median"], serde_json::Value::Null);
        assert_eq!(
            serde_json::from_value::<RoundSummary>(json).expect("round trip"),
            summary
        );
    }
}
