//! Reading a round's files: its draws, and the columns that its weights are made of.

use sidereal_inference::campaign::Campaign;
use sidereal_inference::draws::Draws;
use sidereal_inference::ids::{FlowId, RoundId};
use sidereal_inference::scores::Scores;
use sidereal_inference::shard::{RowStatus, load_log_columns};
use sidereal_inference::table::TableError;
use sidereal_inference::task::FinalRound;
use sidereal_inference::weights::RoundColumns;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::campaign::state::RoundPlan;

/// Where the draws of a round come from.
#[derive(Debug)]
pub enum RoundDraws {
    /// Made on the fly, so that memory does not grow with the round.
    Prior(RoundId),
    Stored(Box<Draws>),
}

impl RoundDraws {
    pub fn load(
        directory: &Path,
        campaign: &Campaign,
        plan: &RoundPlan,
    ) -> Result<Self, TableError> {
        match &plan.draws {
            None => Ok(Self::Prior(plan.round)),
            Some(stored) => {
                let draws = Draws::load(directory, stored, &campaign.space, plan.round)?;
                Ok(Self::Stored(Box::new(draws)))
            }
        }
    }

    /// The draws of some rows, which must belong to the round.
    pub fn rows(&self, campaign: &Campaign, rows: Range<u64>) -> Draws {
        match self {
            Self::Prior(round) => Draws::from_prior(&campaign.space, campaign.seed, *round, rows),
            Self::Stored(draws) => draws.slice(rows),
        }
    }
}

/// A round's rows, in row order, without the simulated data.
#[derive(Debug)]
pub struct RoundRows {
    pub columns: RoundColumns,
    /// Row-major, `n_parameters` columns.
    pub theta: Vec<f64>,
    pub is_failed: Vec<bool>,
}

/// Reads the shards in row order, and the scores beside them.
pub fn load_rows(
    directory: &Path,
    campaign: &Campaign,
    round: &FinalRound,
) -> Result<RoundRows, TableError> {
    let mut rows = RoundRows {
        columns: RoundColumns {
            round: round.round,
            proposal: round.proposal.clone(),
            log_likelihood: Vec::new(),
            log_prior: Vec::new(),
            log_proposal: Vec::new(),
            component: Vec::new(),
            log_flow: log_flow(directory, round)?,
        },
        theta: Vec::new(),
        is_failed: Vec::new(),
    };
    for shard in &round.shards {
        let read = load_log_columns(directory, shard, &campaign.space)?;
        let columns = &mut rows.columns;
        columns.log_likelihood.extend(read.log_likelihood);
        columns.log_prior.extend(read.log_prior);
        columns.log_proposal.extend(read.log_proposal);
        columns.component.extend(read.component);
        rows.theta.extend(read.theta);
        rows.is_failed
            .extend(read.status.iter().map(|status| match status {
                RowStatus::Ok => false,
                RowStatus::Failed => true,
            }));
    }
    Ok(rows)
}

fn log_flow(
    directory: &Path,
    round: &FinalRound,
) -> Result<BTreeMap<FlowId, Vec<f64>>, TableError> {
    let mut log_flow = BTreeMap::new();
    for stored in &round.scores {
        let scores = Scores::load(directory, stored, round.n_rows)?;
        log_flow.extend(scores.flows.into_iter().zip(scores.log_density));
    }
    Ok(log_flow)
}
