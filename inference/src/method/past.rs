//! What a campaign has come to.

use crate::base::FlowId;
use crate::campaign::Refinement;
use crate::weights::{Objective, RoundKind, RoundSummary, WeightDiagnostics};
use std::collections::BTreeMap;

/// What a campaign with an observation has come to, its last round weighed.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Of the campaign.
    pub n_parameters: usize,
    /// What flows are fitted to.
    pub refinement: Refinement,
    /// The training rounds, reused ones first.
    pub history: &'a [RoundSummary],
    /// The newest flow that is known to have lost a mode.
    pub blind: Option<FlowId>,
    /// What each flow was fitted to.
    pub objectives: &'a BTreeMap<FlowId, Objective>,
    /// The weights of all rounds.
    pub combined: &'a WeightDiagnostics,
    /// All of them so far, without reused ones.
    pub simulations: u64,
    /// Seconds since the campaign's first start.
    pub elapsed_s: f64,
}

impl Past<'_> {
    /// Training rounds that this campaign has simulated itself.
    pub(crate) fn n_rounds(&self) -> u64 {
        let own = self.history.iter();
        own.filter(|summary| summary.kind != RoundKind::Reused)
            .count() as u64
    }
}
