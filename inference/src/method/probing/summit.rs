//! Searches that begin where the flow draws: at the highest draw of all, and at one that is far too heavy.

use super::search::{Aim, Knowledge, Search};
use super::starts::{WIDTH_PER_PARAMETER, density_around};
use crate::base::{FlowId, RoundId, squared_distance};
use crate::space::circle::embedded;
use crate::weights::{Evidence, RoundColumns, log_density_under, normalized, round_log_weights};
use std::collections::BTreeMap;

/// A proposal is far below the posterior where its density is less than this share of it.
const FAR_BELOW: f64 = 0.1;
/// A draw is far too heavy that weighs so many times the mean of its round, and this share of its round.
const HEAVY: f64 = 10.0;
const HEAVY_SHARE: f64 = 0.05;

/// Where such searches begin.
pub(super) struct Summits {
    pub starts: Vec<Search>,
    /// Whether a draw of the last round is far too heavy.
    pub is_heavy: bool,
}

/// `last` is a round of `flow`.
pub(super) fn summits(
    knowledge: &Knowledge,
    flow: FlowId,
    last: &RoundColumns,
    evidence: Evidence,
) -> Summits {
    let d = knowledge.space.len();
    let heaviest = heaviest(last, d);
    let mut starts: Vec<&[f64]> = heaviest.into_iter().collect();
    let rows = || knowledge.rounds.iter().flat_map(|round| rows_of(round, d));
    let highest = rows().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((z, _)) = highest
        && heaviest != Some(z)
    {
        starts.push(z);
    }
    let search = |z: &&[f64]| {
        let own = embedded(knowledge.space, z);
        let mut others: Vec<(f64, &[f64])> = Vec::new();
        for (other, _) in rows() {
            let distance = squared_distance(&own, &embedded(knowledge.space, other));
            if distance > 0.0 {
                others.push((distance, other));
            }
        }
        let n = (WIDTH_PER_PARAMETER * d).min(others.len());
        if n < others.len() {
            others.select_nth_unstable_by(n, |a, b| a.0.total_cmp(&b.0));
        }
        let around: Vec<&[f64]> = others[..n].iter().map(|(_, other)| *other).collect();
        Search::begin(density_around(knowledge.space, z, &around), Aim::Summit)
    };
    // Where the flow itself is not scored nothing can be held against it.
    let is_scored = last.log_flow.contains_key(&flow) && evidence.log_evidence.is_finite();
    Summits {
        starts: match is_scored {
            true => starts.iter().map(search).collect(),
            false => Vec::new(),
        },
        is_heavy: is_scored && heaviest.is_some(),
    }
}

/// Where the last proposal of the whole space is not far below the posterior: one element a row of every round.
pub(super) fn near_posterior(
    rounds: &[RoundColumns],
    evidence: Evidence,
) -> Option<BTreeMap<RoundId, Vec<bool>>> {
    let mut newest_first = rounds.iter().rev();
    let last = newest_first.find(|round| !round.proposal.is_local())?;
    let of_round = |round: &RoundColumns| {
        let log_density = log_density_under(round, &last.proposal).ok()?;
        let is_near = |row: usize| {
            round.log_likelihood[row].is_none_or(|log_likelihood| {
                let log_posterior = log_likelihood + round.log_prior[row] - evidence.log_evidence;
                log_density[row] >= log_posterior + FAR_BELOW.ln()
            })
        };
        Some((round.round, (0..log_density.len()).map(is_near).collect()))
    };
    rounds.iter().map(of_round).collect()
}

/// z and log posterior density of θ, up to a constant, of the rows whose likelihood is positive. In θ, because in z the
/// density vanishes at every bound.
fn rows_of(round: &RoundColumns, d: usize) -> impl Iterator<Item = (&[f64], f64)> {
    let densities = round.log_likelihood.iter().zip(&round.log_prior);
    let rows = round.z.chunks_exact(d).zip(densities);
    rows.filter_map(|(z, (log_likelihood, log_prior))| {
        let log_likelihood = log_likelihood.filter(|value| value.is_finite())?;
        Some((z, log_likelihood + log_prior))
    })
}

/// The heaviest draw of a round, where it is far too heavy.
fn heaviest(round: &RoundColumns, d: usize) -> Option<&[f64]> {
    let weight = normalized(&round_log_weights(round));
    let (row, &largest) = weight
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))?;
    let is_heavy = largest >= HEAVY_SHARE && largest * weight.len() as f64 >= HEAVY;
    round.z.get(row * d..(row + 1) * d).filter(|_| is_heavy)
}
