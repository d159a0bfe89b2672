//! Recorded rows as the trainer reads them: shards and draws in row order, never shard order.

use crate::training_set::TrainingSet;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::draws::Draws;
use sidereal_inference::ids::RoundId;
use sidereal_inference::shard::{RowStatus, ShardRows};
use sidereal_inference::table::TableError;
use sidereal_inference::task::FinalRound;
use std::path::Path;

/// Recorded rows that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("{round}: rows {found} follow where row {expected} is next")]
    Gap {
        round: RoundId,
        found: u64,
        expected: u64,
    },
}

/// Appends the rows of the newest of `rounds` (as many as the campaign says) whose simulation did not fail.
pub fn load_training_rows(
    set: &mut TrainingSet,
    rounds: &[FinalRound],
    directory: &Path,
) -> Result<(), RowsError> {
    let campaign = set.campaign();
    let newest = usize::try_from(campaign.training.rounds).unwrap_or(usize::MAX);
    for round in &rounds[rounds.len().saturating_sub(newest)..] {
        for_each_shard(campaign, round, directory, |rows| {
            for i in 0..rows.draws.n_rows() {
                if rows.status[i] == RowStatus::Ok {
                    let simulated = &rows.simulated[i * rows.n_data..(i + 1) * rows.n_data];
                    set.push(rows.draws.z_row(i), simulated, 1.0);
                }
            }
        })?;
    }
    set.normalize_weights();
    Ok(())
}

/// All draws of a round, from its draws file where there is one, else from its shards.
pub fn load_draws(
    campaign: &Campaign,
    round: &FinalRound,
    directory: &Path,
) -> Result<Draws, RowsError> {
    if let Some(stored) = &round.draws {
        return Ok(Draws::load(
            directory,
            stored,
            &campaign.space,
            round.round,
        )?);
    }
    Ok(Draws::from_prior(
        &campaign.space,
        campaign.seed,
        round.round,
        0..round.n_rows,
    ))
}

fn for_each_shard(
    campaign: &Campaign,
    round: &FinalRound,
    directory: &Path,
    mut on_rows: impl FnMut(&ShardRows),
) -> Result<(), RowsError> {
    let mut shards: Vec<_> = round.shards.iter().collect();
    shards.sort_by_key(|shard| shard.first_row);
    let mut next = 0;
    for shard in shards {
        if shard.first_row != next {
            return Err(RowsError::Gap {
                round: round.round,
                found: shard.first_row,
                expected: next,
            });
        }
        next += shard.n_rows;
        on_rows(&ShardRows::load(directory, shard, &campaign.space)?);
    }
    if next != round.n_rows {
        return Err(RowsError::Gap {
            round: round.round,
            found: round.n_rows,
            expected: next,
        });
    }
    Ok(())
}
