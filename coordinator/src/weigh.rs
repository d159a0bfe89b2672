//! Weighs a complete round, by itself and together with all earlier ones.

use crate::campaign::state::newest_flow;
use sidereal_inference::base::{FlowId, Purpose, RowId, stream};
use sidereal_inference::campaign::{Campaign, Refinement, StopRule};
use sidereal_inference::method::{Knowledge, Probing, probe};
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{Directory, FinalRound, load_rows};
use sidereal_inference::weights::{
    Objective, RoundKind, RoundSummary, WeightDiagnostics, WeightsError, combine, summarize_round,
};
use std::collections::BTreeMap;

/// A round whose stored columns cannot be turned into weights.
#[derive(Debug, thiserror::Error)]
pub enum WeighError {
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Its columns do not give weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl WeighError {
    /// Whether the storage is at fault and not what is stored.
    pub fn is_store_fault(&self) -> bool {
        match self {
            Self::Table(error) => error.is_store_fault(),
            Self::Weights(_) => false,
        }
    }
}

/// What a weighed round tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    pub summary: RoundSummary,
    /// All rounds together; None without an observation.
    pub combined: Option<WeightDiagnostics>,
    /// Searches for lost modes that begin or go on.
    pub probing: Option<Probing>,
}

/// Weighs the last of `rounds`; a pure function of the files that they name and of what was recorded before.
/// None where there is no round.
pub fn weigh(
    directory: &Directory,
    campaign: &Campaign,
    rounds: &[FinalRound],
    kind: RoundKind,
    objectives: &BTreeMap<FlowId, Objective>,
    probing: Option<&Probing>,
) -> Result<Option<Findings>, WeighError> {
    let Some((last, earlier)) = rounds.split_last() else {
        return Ok(None);
    };
    let rows = load_rows(directory, campaign, last)?;
    let mut rng = stream(campaign.seed, last.round, RowId(0), Purpose::Bootstrap);
    let summary = summarize_round(kind, &rows.columns, &rows.theta, &rows.is_failed, &mut rng)?;
    if campaign.observation.is_none() {
        return Ok(Some(Findings {
            summary,
            combined: None,
            probing: None,
        }));
    }
    let mut columns = Vec::with_capacity(rounds.len());
    for round in earlier {
        columns.push(load_rows(directory, campaign, round)?.columns);
    }
    columns.push(rows.columns);
    let combined = combine(&columns, campaign.rounds.combine)?.diagnostics();
    let newest = newest_flow(&last.proposal).and_then(|flow| objectives.get(&flow).copied());
    let probing = match (kind, campaign.rounds.stop.rule) {
        (RoundKind::Training | RoundKind::Probe, StopRule::Bootstrap) => probe(&Knowledge {
            space: &campaign.space,
            rounds: &columns,
            evidence: combined.evidence,
            objective: newest,
            is_led: campaign.refinement() == Refinement::Surrogate,
            previous: probing,
        }),
        (RoundKind::TopUp | RoundKind::Reused, _) | (_, StopRule::Paper) => None,
    };
    Ok(Some(Findings {
        summary,
        combined: Some(combined),
        probing,
    }))
}
