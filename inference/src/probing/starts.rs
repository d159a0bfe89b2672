//! Where searches begin: the best of what was drawn once and is left behind.

use super::{Knowledge, Search, known_level, next_local};
use crate::circle::opposite_seams;
use crate::ids::{FlowId, LocalId};
use crate::local::{LocalDensity, cholesky, mahalanobis_squared, moments, squared_distance};
use crate::space::{ParameterSpace, standard_normal_log_density};
use std::collections::BTreeMap;

/// Searches of a session.
const N_SEARCHES: usize = 6;
/// Draws that stand for what the flow knows, and neighbours that a start must be higher than.
const N_KNOWN: usize = 600;
const N_NEIGHBOURS: usize = 6;
/// Draws that a start is looked for among.
const MOST_CANDIDATES: usize = 4000;

/// A draw as searches see it.
struct Place<'a> {
    z: &'a [f64],
    /// log p(x|θ) + log N(z), up to a constant the posterior density of z.
    log_posterior: f64,
}

pub(super) fn starts(knowledge: &Knowledge, flow: FlowId) -> Option<BTreeMap<LocalId, Search>> {
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
