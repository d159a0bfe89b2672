//! `summary.json`: what a campaign found and how far to trust it.

use crate::base::FlowId;
use crate::method::fit_check::Fit;
use crate::method::{MissingMass, Mode, RoundTiming, StopReason};
use crate::records::{ParameterSummary, ReusedSource, TrainingSummary};
use crate::weights::{RoundSummary, WeightDiagnostics};
use serde::{Deserialize, Serialize};

/// `format` of a summary.
pub const SUMMARY_FORMAT: &str = "sidereal-summary";

/// `version` of a summary.
pub const SUMMARY_VERSION: u32 = 1;

/// The content of `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SUMMARY_FORMAT`]
    pub format: String,
    /// [`SUMMARY_VERSION`]
    pub version: u32,
    /// The campaign's name.
    pub campaign: String,
    /// The campaign's seed.
    pub seed: u64,
    /// Rows of all rounds, failed ones and searches included, but for those that were reused.
    pub simulations: u64,
    /// Earlier campaigns whose simulations are the first rounds of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reused: Vec<ReusedSource>,
    /// In their order.
    pub rounds: Vec<RoundSummary>,
    /// Weights of all rounds combined; None for amortized campaigns without an observation.
    pub combined: Option<WeightDiagnostics>,
    /// Fresh draws of the last round alone.
    pub fresh: Option<WeightDiagnostics>,
    /// Weighted marginals, in the order of the campaign file; empty without an observation.
    pub parameters: Vec<ParameterSummary>,
    /// Pieces of the posterior, the heaviest first; empty where too few draws are worth anything.
    pub modes: Vec<Mode>,
    /// What the final proposal is made of; None where that is the prior, or was an earlier campaign's.
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
    /// How each flow was trained, in their order.
    pub training: Vec<TrainingSummary>,
    /// Conditions of reproducibility that failed; empty: the same file and seed give the same bytes.
    pub not_reproducible: Vec<String>,
    /// Everything that depends on the clock and the machine.
    pub timing: Timing,
}

/// Seconds spent, of this machine and run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Of the whole campaign, all runs together.
    pub total_s: f64,
    /// In their order.
    pub rounds: Vec<RoundTiming>,
}
