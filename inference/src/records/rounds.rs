//! Reading a weighed round's files: the columns that its weights are made of.

use super::directory::Directory;
use super::scores::Scores;
use super::shard::{RowStatus, ShardLayout, for_each_rows, for_each_shard, was_tried_again};
use super::table::TableError;
use super::task::FinalRound;
use crate::base::FlowId;
use crate::campaign::Campaign;
use crate::weights::RoundColumns;
use std::collections::{BTreeMap, BTreeSet};

/// A round's rows, in row order, without the simulated data.
#[derive(Debug)]
pub struct RoundRows {
    /// What weights are made of.
    pub columns: RoundColumns,
    /// Row-major, `n_parameters` columns.
    pub theta: Vec<f64>,
    /// What the model gives beside, row-major with a column a derived quantity.
    pub derived: Vec<f64>,
    /// Which rows the forward model gave no answer for.
    pub is_failed: Vec<bool>,
    /// Rows that failed after several tries, by their numbers, with the reason: another run may have answered them.
    pub tried_again: Vec<(u64, String)>,
}

/// Reads the shards in row order, and the scores beside them.
pub fn load_rows(
    directory: &Directory,
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
            z: Vec::new(),
        },
        theta: Vec::new(),
        derived: Vec::new(),
        is_failed: Vec::new(),
        tried_again: Vec::new(),
    };
    let layout = ShardLayout::of(campaign);
    for_each_shard(
        directory,
        &round.shards,
        layout,
        layout.but_data(),
        |read| {
            let messages = (read.draws.first_row..).zip(read.message);
            let tried_again = messages.filter_map(|(row, message)| {
                Some((row, message.filter(|message| was_tried_again(message))?))
            });
            rows.tried_again.extend(tried_again);
            let columns = &mut rows.columns;
            columns.log_likelihood.extend(read.log_likelihood);
            columns.log_prior.extend(read.draws.log_prior);
            columns.log_proposal.extend(read.draws.log_proposal);
            columns.component.extend(read.draws.component);
            columns.z.extend(read.draws.z);
            rows.theta.extend(read.draws.theta);
            rows.derived.extend(read.derived);
            let is_failed = |status: &RowStatus| *status == RowStatus::Failed;
            rows.is_failed.extend(read.status.iter().map(is_failed));
        },
    )?;
    Ok(rows)
}

/// The data before noise of some of a round's rows; only the shards that hold them are read.
pub fn load_simulated(
    directory: &Directory,
    campaign: &Campaign,
    round: &FinalRound,
    rows: &BTreeSet<u64>,
) -> Result<BTreeMap<u64, Vec<f32>>, TableError> {
    let mut simulated = BTreeMap::new();
    let shards: Vec<_> = round
        .shards
        .iter()
        .filter(|shard| {
            let end = shard.first_row.saturating_add(shard.n_rows);
            rows.range(shard.first_row..end).next().is_some()
        })
        .cloned()
        .collect();
    for_each_rows(directory, &shards, ShardLayout::of(campaign), |shard| {
        for &row in rows.range(shard.draws.first_row..shard.draws.end_row()) {
            let i = (row - shard.draws.first_row) as usize;
            simulated.insert(row, shard.simulated_row(i).to_vec());
        }
    })?;
    Ok(simulated)
}

fn log_flow(
    directory: &Directory,
    round: &FinalRound,
) -> Result<BTreeMap<FlowId, Vec<f64>>, TableError> {
    let mut log_flow = BTreeMap::new();
    for stored in &round.scores {
        let scores = Scores::load(directory, stored, round.n_rows)?;
        log_flow.extend(scores.flows.into_iter().zip(scores.log_density));
    }
    Ok(log_flow)
}
