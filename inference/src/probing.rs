//! Probing for lost modes: likelihood-guided local searches from the best draws that the newest flow calls
//! improbable.
//!
//! n_eff does not see a mode that the proposals have left. What is left of one are draws of earlier, broader
//! proposals that lie in its basin, too low to weigh anything. From the best of these, places that are
//! higher than all their neighbours, each search draws around, moves to where the tempered weights of its
//! draws are, and raises the temperature's inverse until it has come to a peak (local adaptive importance
//! sampling; Cappé et al. 2008). Its draws have a density like any others, so they are rows of a round of
//! their own and weigh in the posterior with all others: what a search finds is taken in by being found.

use crate::circle::{opposite_seams, uncut};
use crate::evidence::Evidence;
use crate::ids::{FlowId, LocalId};
use crate::local::{LocalDensity, cholesky};
use crate::proposal::{Component, Proposal, log_sum_exp};
use crate::refinement::Objective;
use crate::space::{ParameterSpace, standard_normal_log_density};
use crate::stopping::MIN_N_EFF;
use crate::weights::{RoundColumns, effective_sample_size, normalized};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Searches of a session.
const N_SEARCHES: usize = 6;
/// Draws of a search at each step, for each parameter.
const DRAWS_PER_PARAMETER: usize = 10;
/// Effective draws that a step leaves, for each parameter.
const EFFECTIVE_PER_PARAMETER: f64 = 2.0;
/// Steps after which a search is given up.
const MOST_STEPS: u32 = 12;
/// Simulations of a session, for each parameter, after which no further step is made.
const MOST_SIMULATIONS: usize = 250;
/// Sessions of a campaign: one more after each that found something.
const MOST_SESSIONS: u32 = 3;
/// A flow knows where it is denser than at the least dense of this share of its own draws.
const KNOWN_QUANTILE: f64 = 0.003;
/// Draws that stand for what the flow knows, and neighbours that a start must be higher than.
const N_KNOWN: usize = 600;
const N_NEIGHBOURS: usize = 6;
/// Draws that a start is looked for among.
const MOST_CANDIDATES: usize = 4000;
/// A peak with less than this share of the posterior does not matter.
const NEGLIGIBLE_SHARE: f64 = 1e-3;
/// A search is given up as hopeless where its peak seems lower than that by this factor, in nats.
const HOPELESS: f64 = 12.0;

/// A session of searches, from one round to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probing {
    /// Counted from 1.
    pub session: u32,
    /// The flow whose knowledge is doubted.
    pub flow: FlowId,
    /// What is to be drawn next; empty once the session is over.
    pub searches: BTreeMap<LocalId, Search>,
    /// Searches of this session that came to an end, in that order.
    pub outcomes: Vec<Outcome>,
}

/// A search before its next step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Steps made so far.
    pub n_steps: u32,
    pub density: LocalDensity,
    /// The share of the posterior that its last draws held; 0 before the first step.
    pub share: f64,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It climbed to where the flow draws already.
    Known,
    /// Its peak holds too little of the posterior to matter.
    Negligible,
    /// It came to a peak that the flow calls improbable, with this share of the posterior.
    Found { share: f64 },
    /// It came to where another search was before it.
    Merged,
    /// It was given up on the way; its last draws held this share of the posterior, where the flow
    /// does not know it already.
    GivenUp { share: f64 },
}

impl Probing {
    /// What the next step draws from, and how many rows; None once the session is over.
    pub fn next_round(&self, n_parameters: usize) -> Option<(Proposal, u64)> {
        if self.searches.is_empty() {
            return None;
        }
        let locals: BTreeMap<LocalId, LocalDensity> = self
            .searches
            .iter()
            .map(|(&id, search)| (id, search.density.clone()))
            .collect();
        let n_rows = locals.len() * DRAWS_PER_PARAMETER * n_parameters;
        Some((Proposal::of_locals(locals), n_rows as u64))
    }

    /// Whether a search found a mode that the flow had lost.
    pub fn has_found(&self) -> bool {
        self.outcomes.iter().any(|outcome| match outcome {
            Outcome::Found { .. } => true,
            Outcome::Known | Outcome::Negligible | Outcome::Merged | Outcome::GivenUp { .. } => {
                false
            }
        })
    }

    /// The session with its searches given up, because nothing is left for them.
    pub fn given_up(mut self) -> Self {
        let searches = std::mem::take(&mut self.searches);
        self.outcomes.extend(searches.into_values().map(|search| {
            let share = search.share;
            Outcome::GivenUp { share }
        }));
        self
    }
}

/// What is known when a round is weighed.
pub struct Knowledge<'a> {
    pub space: &'a ParameterSpace,
    /// All rounds, the one just weighed last.
    pub rounds: &'a [RoundColumns],
    /// Of the posterior; None where no weight is positive.
    pub evidence: Option<Evidence>,
    /// What the newest flow that drew was fitted to.
    pub objective: Option<Objective>,
    pub previous: Option<&'a Probing>,
}

/// The session that goes on or begins after the last round; None where there is nothing to probe.
///
/// A session begins after the first round of a flow that was fitted to untempered draws, and once more after
/// one that found something.
pub fn probe(knowledge: &Knowledge) -> Option<Probing> {
    let (last, evidence) = (knowledge.rounds.last()?, knowledge.evidence?);
    if last.proposal.is_local() {
        let previous = knowledge.previous?;
        return Some(step(knowledge, previous, last, evidence));
    }
    let session = match knowledge.previous {
        None => 1,
        Some(previous) if previous.has_found() && previous.session < MOST_SESSIONS => {
            previous.session + 1
        }
        Some(_) => return None,
    };
    let (Component::Flow(flow), Some(Objective::WeightedDraws { exponent: 1.0 })) =
        (last.proposal.newest(), knowledge.objective)
    else {
        return None;
    };
    if effective_sample_size(&crate::weights::round_log_weights(last)) < MIN_N_EFF {
        return None;
    }
    let searches = starts(knowledge, flow)?;
    (!searches.is_empty()).then_some(Probing {
        session,
        flow,
        searches,
        outcomes: Vec::new(),
    })
}

/// log q_flow above which the flow knows a place: a low quantile over its own draws.
fn known_level(rounds: &[RoundColumns], flow: FlowId) -> Option<f64> {
    let code = Component::Flow(flow).code();
    let mut own = Vec::new();
    for round in rounds {
        let column = round.log_flow.get(&flow)?;
        let drawn = column.iter().zip(&round.component);
        own.extend(
            drawn
                .filter(|(_, component)| **component == code)
                .map(|(q, _)| *q),
        );
    }
    own.sort_by(f64::total_cmp);
    own.get((KNOWN_QUANTILE * own.len() as f64) as usize)
        .copied()
}

/// A draw as searches see it.
struct Place<'a> {
    z: &'a [f64],
    /// log p(x|θ) + log N(z), up to a constant the posterior density of z.
    log_posterior: f64,
}

fn starts(knowledge: &Knowledge, flow: FlowId) -> Option<BTreeMap<LocalId, Search>> {
    let d = knowledge.space.len();
    let level = known_level(knowledge.rounds, flow)?;
    let mut unknown = Vec::new();
    let mut known = Vec::new();
    for round in knowledge.rounds {
        let column = round.log_flow.get(&flow)?;
        for ((z, log_flow), log_likelihood) in round
            .z
            .chunks_exact(d)
            .zip(column)
            .zip(&round.log_likelihood)
        {
            let Some(log_likelihood) = log_likelihood.filter(|value| value.is_finite()) else {
                continue;
            };
            let place = Place {
                z,
                log_posterior: log_likelihood + standard_normal_log_density(z),
            };
            if *log_flow < level {
                unknown.push(place);
            } else {
                known.push(place);
            }
        }
    }
    unknown.sort_by(|a, b| b.log_posterior.total_cmp(&a.log_posterior));
    unknown.truncate(MOST_CANDIDATES);
    let stride = known.len().div_ceil(N_KNOWN).max(1);
    let peak = known
        .iter()
        .map(|place| place.log_posterior)
        .fold(f64::NEG_INFINITY, f64::max);
    let known: Vec<Place> = known.into_iter().step_by(stride).collect();
    let mut next = next_local(knowledge.rounds);
    let mut searches = BTreeMap::new();
    for index in 0..unknown.len() {
        if searches.len() == N_SEARCHES {
            break;
        }
        let neighbours = nearest(&unknown[index], &unknown, &known, 4 * d + 4);
        let is_top = neighbours
            .iter()
            .take(N_NEIGHBOURS)
            .all(|other| other.log_posterior <= unknown[index].log_posterior);
        if !is_top || is_slope_of_known(&unknown[index], &known, peak, d) {
            continue;
        }
        let density = around(knowledge.space, &unknown[index], &neighbours);
        let search = Search {
            n_steps: 0,
            density,
            share: 0.0,
        };
        searches.insert(LocalId(next), search);
        next += 1;
    }
    Some(searches)
}

/// The number of the next local density of the campaign.
fn next_local(rounds: &[RoundColumns]) -> u32 {
    rounds
        .iter()
        .flat_map(|round| round.proposal.locals.keys())
        .map(|id| id.0.saturating_add(1))
        .max()
        .unwrap_or(0)
}

/// The `n` draws next to a place, itself left out, the nearest first.
fn nearest<'a>(
    place: &Place,
    unknown: &'a [Place<'a>],
    known: &'a [Place<'a>],
    n: usize,
) -> Vec<&'a Place<'a>> {
    let mut by_distance: Vec<(f64, &Place)> = unknown
        .iter()
        .chain(known)
        .filter(|other| !std::ptr::eq(other.z, place.z))
        .map(|other| (squared_distance(place.z, other.z), other))
        .collect();
    let n = n.min(by_distance.len());
    if n > 0 && n < by_distance.len() {
        by_distance.select_nth_unstable_by(n - 1, |a, b| a.0.total_cmp(&b.0));
    }
    by_distance.truncate(n);
    by_distance.sort_by(|a, b| a.0.total_cmp(&b.0));
    by_distance.into_iter().map(|(_, other)| other).collect()
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Whether a place is as high as the nearest part of what the flow knows explains, were that a Gaussian
/// of twice its variance.
fn is_slope_of_known(place: &Place, known: &[Place], peak: f64, d: usize) -> bool {
    let drop = peak - place.log_posterior;
    let mut by_distance: Vec<(f64, &Place)> = known
        .iter()
        .map(|other| (squared_distance(place.z, other.z), other))
        .collect();
    by_distance.sort_by(|a, b| a.0.total_cmp(&b.0));
    let part = &by_distance[..(known.len() / 3).min(known.len())];
    if part.len() < 3 * d {
        return false;
    }
    let rows: Vec<&[f64]> = part.iter().map(|(_, other)| other.z).collect();
    let weight = vec![1.0 / rows.len() as f64; rows.len()];
    let (mean, covariance) = moments(&rows, &weight);
    let Some(factor) = cholesky(&covariance, d) else {
        return false;
    };
    mahalanobis_squared(place.z, &mean, &factor) <= 2.0 * 2.0 * drop
}

fn mahalanobis_squared(z: &[f64], mean: &[f64], factor: &[f64]) -> f64 {
    let d = mean.len();
    let mut solved = vec![0.0; d];
    for i in 0..d {
        let before: f64 = (0..i).map(|j| factor[i * d + j] * solved[j]).sum();
        solved[i] = (z[i] - mean[i] - before) / factor[i * d + i];
    }
    solved.iter().map(|x| x * x).sum()
}

/// A density at a place, as wide as its neighbourhood.
fn around(space: &ParameterSpace, place: &Place, neighbours: &[&Place]) -> LocalDensity {
    let d = place.z.len();
    let frame = LocalDensity {
        seams: opposite_seams(space, place.z),
        mean: vec![0.0; d],
        factor: Vec::new(),
    };
    let mean = frame.cut(place.z);
    let mut variance = vec![0.0; d];
    for other in neighbours {
        for (variance, (z, mean)) in variance
            .iter_mut()
            .zip(frame.cut(other.z).iter().zip(&mean))
        {
            *variance += (z - mean).powi(2) / neighbours.len() as f64;
        }
    }
    let mut factor = vec![0.0; d * d];
    for i in 0..d {
        factor[i * d + i] = variance[i].sqrt().clamp(1e-6, 1.0);
    }
    LocalDensity {
        mean,
        factor,
        ..frame
    }
}

/// Weighted mean and covariance (row-major) of rows; weights sum to 1.
fn moments<Z: AsRef<[f64]>>(rows: &[Z], weight: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let d = rows.first().map_or(0, |row| row.as_ref().len());
    let mut mean = vec![0.0; d];
    for (row, weight) in rows.iter().zip(weight) {
        for (mean, z) in mean.iter_mut().zip(row.as_ref()) {
            *mean += weight * z;
        }
    }
    let mut covariance = vec![0.0; d * d];
    for (row, weight) in rows.iter().zip(weight) {
        let row = row.as_ref();
        for i in 0..d {
            for j in 0..d {
                covariance[i * d + j] += weight * (row[i] - mean[i]) * (row[j] - mean[j]);
            }
        }
    }
    (mean, covariance)
}

/// What a step brought, at the inverse temperature that leaves enough effective draws.
struct Climb {
    exponent: f64,
    /// Normalized, one a draw of the search.
    weight: Vec<f64>,
    /// log of the share of the posterior that its peak holds, were it a Gaussian.
    log_share: f64,
    /// log of the share of the posterior that its draws hold by their own untempered weights, those left out
    /// where the flow knows it already.
    log_found_share: f64,
}

fn step(
    knowledge: &Knowledge,
    previous: &Probing,
    last: &RoundColumns,
    evidence: Evidence,
) -> Probing {
    let mut next = next_local(knowledge.rounds);
    let mut probing = Probing {
        searches: BTreeMap::new(),
        ..previous.clone()
    };
    let level = known_level(knowledge.rounds, previous.flow);
    // Where a search stands or has ended at a peak, no other is needed.
    let mut taken: Vec<LocalDensity> = Vec::new();
    for (id, search) in &previous.searches {
        let (search, outcome) = step_of(knowledge, previous, last, evidence, level, *id, search);
        let is_taken = taken.iter().any(|other| is_inside(other, &search.density));
        match outcome {
            Some(outcome @ (Outcome::Known | Outcome::Negligible)) => {
                probing.outcomes.push(outcome)
            }
            Some(_) | None if is_taken => probing.outcomes.push(Outcome::Merged),
            Some(outcome) => {
                taken.push(search.density);
                probing.outcomes.push(outcome);
            }
            None => {
                taken.push(search.density.clone());
                probing.searches.insert(LocalId(next), search);
                next += 1;
            }
        }
    }
    let simulations: usize = knowledge
        .rounds
        .iter()
        .filter(|round| round.proposal.is_local())
        .map(|round| round.component.len())
        .sum();
    if simulations >= MOST_SIMULATIONS * knowledge.space.len() * probing.session as usize {
        probing.given_up()
    } else {
        probing
    }
}

/// Whether the middle of `density` lies within two standard deviations of `other`.
fn is_inside(other: &LocalDensity, density: &LocalDensity) -> bool {
    let z: Vec<f64> = density
        .mean
        .iter()
        .zip(&density.seams)
        .map(|(&mean, &seam)| uncut(seam, mean))
        .collect();
    mahalanobis_squared(&other.cut(&z), &other.mean, &other.factor) < 4.0
}

fn step_of(
    knowledge: &Knowledge,
    previous: &Probing,
    last: &RoundColumns,
    evidence: Evidence,
    level: Option<f64>,
    id: LocalId,
    search: &Search,
) -> (Search, Option<Outcome>) {
    let d = knowledge.space.len();
    let code = Component::Local(id).code();
    let own: Vec<usize> = (0..last.component.len())
        .filter(|&row| last.component[row] == code && last.log_likelihood[row].is_some())
        .collect();
    let cut: Vec<Vec<f64>> = own
        .iter()
        .map(|&row| search.density.cut(&last.z[row * d..(row + 1) * d]))
        .collect();
    let log_likelihood: Vec<f64> = own
        .iter()
        .map(|&row| last.log_likelihood[row].unwrap_or(f64::NEG_INFINITY))
        .collect();
    // log p(θ) - log q(θ): the prior's density over the search's.
    let log_ratio: Vec<f64> = own
        .iter()
        .map(|&row| {
            -search
                .density
                .log_ratio_to_prior(&last.z[row * d..(row + 1) * d])
        })
        .collect();
    let log_flow = last.log_flow.get(&previous.flow);
    let is_known: Vec<bool> = own
        .iter()
        .map(|&row| match (log_flow, level) {
            (Some(column), Some(level)) => column[row] >= level,
            (None, _) | (_, None) => false,
        })
        .collect();
    let log_evidence = evidence.log_evidence;
    let Some(climb) = climb(&log_likelihood, &log_ratio, &is_known, d, log_evidence) else {
        return (search.clone(), Some(Outcome::Negligible));
    };
    let known_weight: f64 = climb
        .weight
        .iter()
        .zip(&is_known)
        .filter(|(_, is_known)| **is_known)
        .map(|(weight, _)| weight)
        .sum();
    let n_steps = search.n_steps + 1;
    let share = climb.log_share.min(0.0).exp();
    let found_share = climb.log_found_share.min(0.0).exp();
    let outcome = if known_weight > 0.5 {
        Some(Outcome::Known)
    } else if climb.exponent == 1.0 && share < NEGLIGIBLE_SHARE
        || n_steps >= 2 && climb.log_share < NEGLIGIBLE_SHARE.ln() - HOPELESS
    {
        Some(Outcome::Negligible)
    } else if climb.exponent == 1.0 {
        Some(Outcome::Found { share })
    } else if n_steps >= MOST_STEPS {
        Some(Outcome::GivenUp { share: found_share })
    } else {
        None
    };
    let moved = Search {
        n_steps,
        density: moved(&search.density, &cut, &climb.weight),
        share: found_share,
    };
    (moved, outcome)
}

/// None where no draw of the search has a positive likelihood.
fn climb(
    log_likelihood: &[f64],
    log_ratio: &[f64],
    is_known: &[bool],
    d: usize,
    log_evidence: f64,
) -> Option<Climb> {
    const SMALLEST_EXPONENT: f64 = 1e-8;
    const STEP: f64 = 1.25;
    let log_weights = |exponent: f64| -> Vec<f64> {
        log_likelihood
            .iter()
            .zip(log_ratio)
            .map(|(log_l, log_ratio)| exponent * log_l + log_ratio)
            .collect()
    };
    let fewest = EFFECTIVE_PER_PARAMETER * d as f64;
    // Downwards from 1: at small exponents the draws in the tails, whose density is small, are all that weighs.
    let (mut exponent, mut candidate, mut most) = (1.0, 1.0, 0.0);
    while candidate > SMALLEST_EXPONENT {
        let n_eff = effective_sample_size(&log_weights(candidate));
        if n_eff > most {
            (exponent, most) = (candidate, n_eff);
        }
        if n_eff >= fewest {
            break;
        }
        candidate /= STEP;
    }
    let untempered = log_sum_exp(log_weights(1.0).into_iter().zip(is_known).map(
        |(log_weight, &is_known)| {
            if is_known {
                f64::NEG_INFINITY
            } else {
                log_weight
            }
        },
    ));
    let log_weights = log_weights(exponent);
    let weight = normalized(&log_weights);
    if weight.iter().sum::<f64>() == 0.0 {
        return None;
    }
    let log_sum = log_sum_exp(log_weights.iter().copied());
    let weight_count = log_weights.len();
    let log_mean_weight = log_sum - (weight_count as f64).ln();
    let mean_log_likelihood: f64 = weight
        .iter()
        .zip(log_likelihood)
        .filter(|(weight, _)| **weight > 0.0)
        .map(|(weight, log_l)| weight * log_l)
        .sum();
    // Of a Gaussian peak in d dimensions: <log L> = log L_max - d / (2 β), and the mass goes as β^(-d/2).
    let half = 0.5 * d as f64;
    let log_peak = mean_log_likelihood + half / exponent;
    let log_mass = log_mean_weight + (1.0 - exponent) * log_peak + half * exponent.ln();
    Some(Climb {
        exponent,
        weight,
        log_share: log_mass - log_evidence,
        log_found_share: untempered - (weight_count as f64).ln() - log_evidence,
    })
}

/// The density moved to where the weighted draws are; its own width keeps that from collapsing.
fn moved(density: &LocalDensity, cut: &[Vec<f64>], weight: &[f64]) -> LocalDensity {
    let d = density.mean.len();
    let (mean, mut covariance) = moments(cut, weight);
    let n_eff = 1.0 / weight.iter().map(|weight| weight * weight).sum::<f64>();
    let keep = 0.1 * d as f64 / (n_eff + d as f64);
    for i in 0..d {
        for j in 0..d {
            let own: f64 = (0..d)
                .map(|k| density.factor[i * d + k] * density.factor[j * d + k])
                .sum();
            covariance[i * d + j] = (1.0 - keep) * covariance[i * d + j] + keep * own;
        }
    }
    match cholesky(&covariance, d) {
        Some(factor) if mean.iter().all(|mean| mean.is_finite()) => LocalDensity {
            seams: density.seams.clone(),
            mean,
            factor,
        },
        Some(_) | None => density.clone(),
    }
}

#[cfg(test)]
mod tests;
