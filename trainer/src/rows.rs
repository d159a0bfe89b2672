//! Recorded rows as the trainer reads them: shards and draws in row order, never shard order.

use crate::surrogate::Simulations;
use crate::training_set::TrainingSet;
use sidereal_inference::base::{FlowId, RoundId};
use sidereal_inference::campaign::{Campaign, Refinement};
use sidereal_inference::method::{asks_surrogate, tempered_weights};
use sidereal_inference::records::shard::{RowStatus, ShardLayout, ShardRows, for_each_rows};
use sidereal_inference::records::table::TableError;
use sidereal_inference::records::{Directory, Draws, FinalRound, load_rows};
use sidereal_inference::space::circle::emptiest_seams;
use sidereal_inference::space::{emphasis, leans};
use sidereal_inference::weights;
use sidereal_inference::weights::{Objective, RoundColumns, WeightsError};

/// Recorded rows that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("{round}: rows {found} follow where row {expected} is next")]
    Gap {
        round: RoundId,
        found: u64,
        expected: u64,
    },
}

/// Whether a place θ is left out of what flows are fitted to, up to the first one at the last exponent: for measuring
/// how modes are found that all flows on the way have lost.
pub type BlindSpot = fn(&[f64]) -> bool;

/// What the next flow after `earlier` is to be fitted to, with its rows: the weighted draws of all rounds, or simulations of
/// the newest ones (as many as the campaign says) where no one posterior is asked for, or flows are not to be refined.
pub fn training_set<'a>(
    campaign: &'a Campaign,
    flow: FlowId,
    earlier: &[(FlowId, Objective)],
    rounds: &[FinalRound],
    directory: &Directory,
    blind_spot: Option<BlindSpot>,
    pool: &rayon::ThreadPool,
) -> Result<TrainingSet<'a>, RowsError> {
    let has_arrived = earlier
        .iter()
        .any(|(_, objective)| objective.is_final(campaign.space.len()));
    let is_seen = |theta: &[f64]| has_arrived || blind_spot.is_none_or(|is_blind| !is_blind(theta));
    if campaign.observation.is_none() || !campaign.is_refined() {
        let newest = usize::try_from(campaign.training.rounds).unwrap_or(usize::MAX);
        let newest = &rounds[rounds.len().saturating_sub(newest)..];
        return simulations(campaign, flow, newest, directory, is_seen);
    }
    let columns = columns(campaign, rounds, directory)?;
    let objectives: Vec<Objective> = earlier.iter().map(|(_, objective)| *objective).collect();
    let space = &campaign.space;
    if campaign.refinement() == Refinement::Surrogate
        && asks_surrogate(&columns, space.len(), &objectives)?
        && let Some(z) =
            surrogate_draws(campaign, flow, earlier.is_empty(), rounds, directory, pool)?
    {
        let objective = Objective::SurrogateDraws;
        let weight = vec![1.0 / (z.len() / space.len()) as f64; z.len() / space.len()];
        return Ok(draws(campaign, flow, objective, &z, &weight, is_seen));
    }
    let tempered = tempered_weights(&columns, campaign.space.len(), &objectives)?;
    let weight = weights::normalized(&tempered.log_weights.concat());
    let mut z = Vec::new();
    for round in rounds {
        z.extend(load_draws(campaign, round, directory)?.z);
    }
    let objective = Objective::WeightedDraws {
        exponent: tempered.exponent,
    };
    Ok(draws(campaign, flow, objective, &z, &weight, is_seen))
}

/// Weighted draws `[n, parameters]`.
fn draws<'a>(
    campaign: &'a Campaign,
    flow: FlowId,
    objective: Objective,
    z: &[f64],
    weight: &[f64],
    is_seen: impl Fn(&[f64]) -> bool,
) -> TrainingSet<'a> {
    let d = campaign.space.len();
    let mut theta = vec![0.0; z.len()];
    for (z, theta) in z.chunks_exact(d).zip(theta.chunks_exact_mut(d)) {
        campaign.space.constrain(z, theta);
    }
    let leans = leans(&campaign.space, &theta, weight);
    let emphasis = emphasis(&leans, &theta, weight);
    let mut set = TrainingSet::new(campaign, flow, objective)
        .with_seams(emptiest_seams(&campaign.space, z, weight))
        .with_leans(leans);
    let draws = z.chunks_exact(d).zip(theta.chunks_exact(d));
    for ((z, theta), (&weight, emphasis)) in draws.zip(weight.iter().zip(emphasis)) {
        if weight > 0.0 && is_seen(theta) {
            set.push_draw(z, weight * emphasis);
        }
    }
    set
}

/// Draws `[n, parameters]` of the posterior by what the simulations so far foretell; none where they foretell nothing.
fn surrogate_draws(
    campaign: &Campaign,
    flow: FlowId,
    is_first: bool,
    rounds: &[FinalRound],
    directory: &Directory,
    pool: &rayon::ThreadPool,
) -> Result<Option<Vec<f64>>, RowsError> {
    let Some(observation) = &campaign.observation else {
        return Ok(None);
    };
    let mut simulations = Simulations::new(campaign, observation);
    for round in rounds {
        for_each_shard(campaign, round, directory, |rows| simulations.push(&rows))?;
    }
    Ok(simulations.posterior_draws(flow, is_first, pool))
}

fn columns(
    campaign: &Campaign,
    rounds: &[FinalRound],
    directory: &Directory,
) -> Result<Vec<RoundColumns>, RowsError> {
    let of_round = |round| Ok(load_rows(directory, campaign, round)?.columns);
    rounds.iter().map(of_round).collect()
}

/// The rows of `rounds` whose simulation did not fail.
fn simulations<'a>(
    campaign: &'a Campaign,
    flow: FlowId,
    rounds: &[FinalRound],
    directory: &Directory,
    is_seen: impl Fn(&[f64]) -> bool,
) -> Result<TrainingSet<'a>, RowsError> {
    let mut set = TrainingSet::new(campaign, flow, Objective::Simulations);
    for round in rounds {
        for_each_shard(campaign, round, directory, |rows| {
            for i in 0..rows.draws.n_rows() {
                if rows.status[i] == RowStatus::Ok && is_seen(rows.draws.theta_row(i)) {
                    let simulated = &rows.simulated[i * rows.n_data..(i + 1) * rows.n_data];
                    set.push_simulation(rows.draws.z_row(i), simulated);
                }
            }
        })?;
    }
    Ok(set)
}

/// All draws of a round, from its draws file where there is one, else from its shards.
pub fn load_draws(
    campaign: &Campaign,
    round: &FinalRound,
    directory: &Directory,
) -> Result<Draws, RowsError> {
    let (space, id) = (&campaign.space, round.round);
    Ok(match &round.draws {
        Some(stored) => Draws::load(directory, stored, space, id)?,
        None => Draws::from_prior(space, campaign.seed, id, 0..round.n_rows),
    })
}

fn for_each_shard(
    campaign: &Campaign,
    round: &FinalRound,
    directory: &Directory,
    on_rows: impl FnMut(ShardRows),
) -> Result<(), RowsError> {
    let mut shards = round.shards.clone();
    shards.sort_by_key(|shard| shard.first_row);
    let mut next = 0;
    let starts = shards.iter().map(|shard| (shard.first_row, shard.n_rows));
    for (found, n_rows) in starts.chain([(round.n_rows, 0)]) {
        if found != next {
            return Err(RowsError::Gap {
                round: round.round,
                found,
                expected: next,
            });
        }
        next += n_rows;
    }
    let layout = ShardLayout::of(campaign);
    Ok(for_each_rows(directory, &shards, layout, on_rows)?)
}
