//! What a campaign has come to.

use crate::base::FlowId;
use crate::campaign::Refinement;
use crate::weights::{Objective, RoundSummary, WeightDiagnostics};
use std::collections::BTreeMap;

/// What a campaign with an observation has come to, its last round weighed.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Of the campaign.
    pub n_parameters: usize,
    /// What flows are fitted to.
    pub refinement: Refinement,
    /// The training rounds.
    pub history: &'a [RoundSummary],
    /// The newest flow that is known to have lost a mode.
    pub blind: Option<FlowId>,
    /// What each flow was fitted to.
    pub objectives: &'a BTreeMap<FlowId, Objective>,
    /// The weights of all rounds.
    pub combined: &'a WeightDiagnostics,
    /// All of them so far.
    pub simulations: u64,
    /// Seconds since the campaign's first start.
    pub elapsed_s: f64,
}
