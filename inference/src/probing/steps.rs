//! One step of every search: how its draws say where to go, and when to end.

use super::{Knowledge, Outcome, Probing, Search, known_level, next_local};
use crate::circle::uncut;
use crate::evidence::Evidence;
use crate::ids::LocalId;
use crate::local::{LocalDensity, cholesky, mahalanobis_squared, moments};
use crate::proposal::{Component, log_sum_exp};
use crate::weights::{RoundColumns, effective_sample_size, normalized};
use std::collections::BTreeMap;

/// Effective draws that a step leaves, for each parameter.
const EFFECTIVE_PER_PARAMETER: f64 = 2.0;
/// Effective draws below which a search has not seen a peak, however high it stands.
const FEWEST_AT_PEAK: f64 = 1.0;
/// Steps after which a search is given up.
const MOST_STEPS: u32 = 12;
/// Simulations of a session, for each parameter, after which no further step is made.
const MOST_SIMULATIONS: usize = 250;
/// A peak with less than this share of the posterior does not matter.
const NEGLIGIBLE_SHARE: f64 = 1e-3;
/// A search is given up as hopeless where its peak seems lower than that by this factor, in nats.
const HOPELESS: f64 = 12.0;

/// What a step brought, at the inverse temperature that leaves enough effective draws.
struct Climb {
    exponent: f64,
    /// Effective draws at that temperature.
    n_eff: f64,
    /// Normalized, one a draw of the search.
    weight: Vec<f64>,
    /// log of the share of the posterior that its peak holds, were it a Gaussian.
    log_share: f64,
    /// log of the share of the posterior that its draws hold by their own untempered weights, those left out
    /// where the flow knows it already.
    log_found_share: f64,
}

pub(super) fn step(
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
            Some(outcome @ (Outcome::Known | Outcome::Negligible | Outcome::GivenUp { .. })) => {
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
        .filter(|&row| last.component[row] == code)
        .collect();
    // Failed rows stay in the count with a likelihood of zero, as everywhere.
    if own.iter().all(|&row| last.log_likelihood[row].is_none()) {
        let share = search.share;
        return (search.clone(), Some(Outcome::GivenUp { share }));
    }
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
    } else if climb.exponent == 1.0 && climb.n_eff >= FEWEST_AT_PEAK {
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
        n_eff: most,
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
