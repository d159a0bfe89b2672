//! `summary.json`: what a campaign found and how far to trust it.

use crate::circle::{axis_start, moved_to};
use crate::coverage::MissingMass;
use crate::evidence::Evidence;
use crate::fit_check::Fit;
use crate::ids::{FlowId, RoundId};
use crate::modes::Mode;
use crate::posterior::Posterior;
use crate::proposal::Proposal;
use crate::refinement::Objective;
use crate::space::ParameterSpace;
use crate::stopping::StopReason;
use crate::weights::{self, RoundColumns, WeightsError};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// `format` of a summary.
pub const SUMMARY_FORMAT: &str = "sidereal-summary";

/// `version` of a summary.
pub const SUMMARY_VERSION: u32 = 1;

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
}

/// Diagnostics of a set of importance weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightDiagnostics {
    /// Rows, failed ones included.
    pub n: u64,
    /// Paper eq. 2: 1 / Σ w² - 1 with Σ w = 1.
    pub n_eff: f64,
    /// n_eff / n.
    pub efficiency: f64,
    /// None where too few weights are positive to tell.
    pub pareto_k: Option<f64>,
    /// Largest normalized weight.
    pub max_weight: f64,
    /// None where no weight is positive.
    pub evidence: Option<Evidence>,
}

/// One round, weighed with the weights of its own proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundSummary {
    pub round: RoundId,
    pub kind: RoundKind,
    pub proposal: Proposal,
    pub n_failed: u64,
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

/// One parameter's weighted marginal. On a circle it is cut in an empty place, and mean and median lie within its
/// bounds; quantiles are those next to the median and may lie beyond a bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterSummary {
    pub name: String,
    pub mean: f64,
    pub sd: f64,
    pub median: f64,
    pub quantile_16: f64,
    pub quantile_84: f64,
}

/// The content of `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub format: String,
    pub version: u32,
    pub campaign: String,
    pub seed: u64,
    pub simulations: u64,
    pub rounds: Vec<RoundSummary>,
    /// Weights of all rounds combined; None for amortized campaigns without an observation.
    pub combined: Option<WeightDiagnostics>,
    /// Fresh draws of the last round alone.
    pub fresh: Option<WeightDiagnostics>,
    pub parameters: Vec<ParameterSummary>,
    /// Pieces of the posterior, the heaviest first; empty where too few draws are worth anything.
    pub modes: Vec<Mode>,
    pub best_flow: Option<FlowId>,
    /// Directory of the best flow's model, in the campaign directory; what `sidereal predict` takes.
    pub model: Option<String>,
    /// None while the campaign goes on.
    pub stop_reason: Option<StopReason>,
    /// Why the result is not to be trusted; empty where it is. Non-empty means exit status 3.
    pub warnings: Vec<String>,
    /// Whether the model fits the data; None without an observation.
    pub fit: Option<Fit>,
    /// None without an observation.
    pub missing_mass: Option<MissingMass>,
    pub training: Vec<TrainingSummary>,
    /// Conditions of reproducibility that failed; empty: the same file and seed give the same bytes.
    pub not_reproducible: Vec<String>,
    /// Everything that depends on the clock and the machine.
    pub timing: Timing,
}

/// How one flow was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    pub flow: FlowId,
    /// What the flow was fitted to.
    pub objective: Objective,
    pub n_rows: u64,
    pub n_epochs: u32,
    /// Counted from 1; 0: none was better than the start.
    pub best_epoch: u32,
    pub best_validation_loss: f64,
    /// Mean loss of each epoch.
    pub training_loss: Vec<f64>,
    pub validation_loss: Vec<f64>,
    /// Times the training went back to an earlier epoch because it diverged, or its loss was not finite.
    pub n_recoveries: u32,
    /// SHA-256 of the model's weights.
    pub weights_sha256: String,
}

/// Seconds spent, of this machine and run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub total_s: f64,
    pub rounds: Vec<RoundTiming>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundTiming {
    pub round: u32,
    pub simulating_s: f64,
    pub training_s: f64,
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
    let newest = weights::newest_component_log_weights(columns)?;
    Ok(RoundSummary {
        round: columns.round,
        kind,
        proposal: columns.proposal.clone(),
        n_failed: failed.iter().filter(|&&failed| failed).count() as u64,
        failed_median: failed_median(theta, failed),
        all: weights::diagnostics(&weights::round_log_weights(columns)),
        newest_component: weights::diagnostics(&newest),
        efficiency_error: weights::bootstrap_efficiency_error(&newest, rng),
    })
}

/// Each parameter's weighted marginal, in the order of the space; NaN where no weight is positive.
pub fn parameter_summaries(space: &ParameterSpace, posterior: &Posterior) -> Vec<ParameterSummary> {
    marginals(space, posterior, &posterior.weight)
}

/// As [`parameter_summaries`], with other weights.
pub(crate) fn marginals(
    space: &ParameterSpace,
    posterior: &Posterior,
    weight: &[f64],
) -> Vec<ParameterSummary> {
    space
        .parameters
        .iter()
        .enumerate()
        .map(|(j, parameter)| {
            let column: Vec<f64> = (0..posterior.n_rows())
                .map(|i| posterior.theta_row(i)[j])
                .collect();
            if parameter.periodic {
                summarize_circle(&parameter.name, &column, weight, parameter.prior.support())
            } else {
                summarize_parameter(&parameter.name, &column, weight)
            }
        })
        .collect()
}

/// Weighted quantiles at `probabilities` of values of non-negative weight, NaN where none is positive.
///
/// Each value sits in the middle of its own step of the distribution function; between values the
/// function is linear, beyond the outermost ones it stands still. Equal weights and two values make the
/// median their mean.
pub fn weighted_quantiles(values: &[f64], weights: &[f64], probabilities: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<(f64, f64)> = values
        .iter()
        .copied()
        .zip(weights.iter().copied())
        .filter(|&(_, weight)| weight > 0.0)
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sorted.iter().map(|&(_, weight)| weight).sum();
    let mut below = 0.0;
    let steps: Vec<(f64, f64)> = sorted
        .iter()
        .map(|&(value, weight)| {
            let middle = (below + 0.5 * weight) / total;
            below += weight;
            (middle, value)
        })
        .collect();
    probabilities
        .iter()
        .map(|&probability| interpolate(&steps, probability))
        .collect()
}

fn summarize_parameter(name: &str, values: &[f64], weights: &[f64]) -> ParameterSummary {
    let total: f64 = weights.iter().sum();
    let expectation = |f: &dyn Fn(f64) -> f64| {
        values
            .iter()
            .zip(weights)
            .map(|(&value, weight)| weight * f(value))
            .sum::<f64>()
            / total
    };
    let mean = expectation(&|value| value);
    let quantiles = weighted_quantiles(values, weights, &[0.16, 0.5, 0.84]);
    ParameterSummary {
        name: name.to_owned(),
        mean,
        sd: expectation(&|value| (value - mean) * (value - mean)).sqrt(),
        median: quantiles[1],
        quantile_16: quantiles[0],
        quantile_84: quantiles[2],
    }
}

fn summarize_circle(
    name: &str,
    values: &[f64],
    weights: &[f64],
    (low, high): (f64, f64),
) -> ParameterSummary {
    let period = high - low;
    let start = axis_start(values, weights, (low, high));
    let moved: Vec<f64> = values
        .iter()
        .map(|&value| moved_to(start, period, value))
        .collect();
    let found = summarize_parameter(name, &moved, weights);
    let mean = moved_to(low, period, found.mean);
    let median = moved_to(low, period, found.median);
    ParameterSummary {
        mean,
        median,
        quantile_16: found.quantile_16 - found.median + median,
        quantile_84: found.quantile_84 - found.median + median,
        ..found
    }
}

/// The value at `probability` of (probability, value) steps in rising order.
fn interpolate(steps: &[(f64, f64)], probability: f64) -> f64 {
    let (Some(&(_, smallest)), Some(&(_, largest))) = (steps.first(), steps.last()) else {
        return f64::NAN;
    };
    let after = steps.partition_point(|&(middle, _)| middle < probability);
    match (
        after.checked_sub(1).map(|before| steps[before]),
        steps.get(after),
    ) {
        (None, _) => smallest,
        (Some(_), None) => largest,
        (Some((p0, x0)), Some(&(p1, x1))) => x0 + (x1 - x0) * (probability - p0) / (p1 - p0),
    }
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
    let column = |j: usize| -> Vec<f64> {
        theta
            .iter()
            .skip(j)
            .step_by(n_parameters)
            .copied()
            .collect()
    };
    Some(
        (0..n_parameters)
            .map(|j| weighted_quantiles(&column(j), &weights, &[0.5])[0])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::Prior;
    use crate::space::Parameter;
    use rand_chacha::rand_core::SeedableRng;
    use std::collections::BTreeMap;

    #[test]
    fn quantiles_of_equal_weights_are_the_usual_ones() {
        let values = [3.0, 1.0, 2.0, 5.0, 4.0];
        let found = weighted_quantiles(&values, &[0.2; 5], &[0.0, 0.1, 0.3, 0.5, 0.6, 1.0]);
        for (found, expected) in found.iter().zip([1.0, 1.0, 2.0, 3.0, 3.5, 5.0]) {
            assert!(
                (found - expected).abs() < 1e-12,
                "{found} is not {expected}"
            );
        }
        assert_eq!(weighted_quantiles(&[1.0, 2.0], &[0.5, 0.5], &[0.5]), [1.5]);
    }

    #[test]
    fn weights_count_as_repetitions_and_zero_as_absence() {
        let found = weighted_quantiles(&[9.0, 1.0, 2.0], &[0.0, 3.0, 1.0], &[0.375, 0.625, 0.99]);
        assert_eq!(found, [1.0, 1.5, 2.0]);
        assert!(weighted_quantiles(&[1.0], &[0.0], &[0.5])[0].is_nan());
    }

    #[test]
    fn parameters_are_summarized_by_weight() {
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            prior: Prior::Normal { mean: 0.0, sd: 1.0 },
            periodic: false,
        };
        let space = ParameterSpace::independent(vec![parameter("a"), parameter("b")]);
        let posterior = Posterior {
            n_parameters: 2,
            theta: vec![0.0, 7.0, 4.0, 7.0, 1e9, -1e9],
            log_likelihood: vec![0.0; 3],
            log_prior: vec![0.0; 3],
            log_proposal: vec![0.0; 3],
            round: vec![0; 3],
            row_id: vec![0, 1, 2],
            weight: vec![0.75, 0.25, 0.0],
        };
        let found = parameter_summaries(&space, &posterior);
        assert_eq!(
            (found[0].name.as_str(), found[0].mean, found[0].sd),
            ("a", 1.0, 3f64.sqrt())
        );
        // The steps' middles are at 0.375 and 0.875.
        assert_eq!((found[0].quantile_16, found[0].median), (0.0, 1.0));
        assert!((found[0].quantile_84 - 3.72).abs() < 1e-14);
        assert_eq!(
            (found[1].mean, found[1].sd, found[1].median),
            (7.0, 0.0, 7.0)
        );
    }

    #[test]
    fn parameters_on_circles_are_summarized_across_their_bounds() {
        let space = ParameterSpace::independent(vec![Parameter {
            name: "phase".to_owned(),
            prior: Prior::Uniform {
                low: 0.0,
                high: 360.0,
            },
            periodic: true,
        }]);
        let rounded = |value: f64| (1e9 * value).round() / 1e9;
        let summary = |theta: &[f64]| {
            let n = theta.len();
            let posterior = Posterior {
                n_parameters: 1,
                theta: theta.to_vec(),
                log_likelihood: vec![0.0; n],
                log_prior: vec![0.0; n],
                log_proposal: vec![0.0; n],
                round: vec![0; n],
                row_id: (0..n as u64).collect(),
                weight: vec![1.0 / n as f64; n],
            };
            let found = parameter_summaries(&space, &posterior).remove(0);
            [
                found.mean,
                found.sd,
                found.median,
                found.quantile_16,
                found.quantile_84,
            ]
            .map(rounded)
        };
        // 350, 354, 358, 362, 366: their variance is 32.
        let sd = rounded(32f64.sqrt());
        let (low, high) = (351.2, 364.8);
        assert_eq!(
            summary(&[350.0, 354.0, 358.0, 2.0, 6.0]),
            [358.0, sd, 358.0, low, high]
        );
        // The same a third of a turn further on, and where the median is beyond the bound.
        assert_eq!(
            summary(&[110.0, 114.0, 118.0, 122.0, 126.0]),
            [118.0, sd, 118.0, 111.2, 124.8]
        );
        assert_eq!(
            summary(&[354.0, 358.0, 2.0, 6.0, 10.0]),
            [2.0, sd, 2.0, -4.8, 8.8]
        );
    }

    #[test]
    fn a_round_is_summarized_with_its_failed_rows() {
        let columns = RoundColumns {
            round: RoundId(0),
            proposal: Proposal::prior(),
            log_likelihood: vec![Some(0.0), None, Some(0.0), None, None],
            log_prior: vec![-1.0; 5],
            log_proposal: vec![-1.0; 5],
            component: vec![-1; 5],
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
            (found.all.n, found.all.n_eff, found.all.efficiency),
            (5, 1.0, 0.2)
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
            component: vec![-1; 2],
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
