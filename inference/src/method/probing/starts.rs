//! Where searches begin: peaks among what was drawn once and is left behind.
//!
//! Draws and their neighbours make a graph, on which each peak has a prominence: how far one must descend from it to
//! come to a higher one, or to what the flow knows (topological persistence; Chazal et al. 2013). Height alone would
//! not do: the outskirts of the known modes, where earlier flows drew densely, hold many small peaks that are higher
//! than the few draws of the prior in the basin of a mode that no flow ever knew.

use super::search::{Aim, Knowledge, Search, known_level};
use crate::base::{FlowId, normal};
use crate::method::hills::{Hills, neighbours};
use crate::space::circle::{embedded, opposite_seams};
use crate::space::{ParameterSpace, near};
use crate::weights::LocalDensity;
use std::cmp::Ordering;

/// Searches of a session.
const N_SEARCHES: usize = 10;
/// Draws that stand for what the flow knows.
const N_KNOWN: usize = 600;
/// Draws that peaks are looked for among: so many of the highest, and as many that stand for all others.
const N_HIGHEST: usize = 3000;
/// Neighbours of a draw that paths go through: so many, and one for each parameter, but no more than say the width.
/// With few of them every draw but the highest is soon a peak, with many the draws in the basin of a lost mode are
/// neighbours of higher ones beyond its pass.
const NEIGHBOURS: usize = 9;
/// Neighbours of a peak, for each parameter, that say how wide a search begins.
pub(super) const WIDTH_PER_PARAMETER: usize = 4;
/// A peak's prominence counts as log [(drop to its pass) / (drop to itself)], drops from the highest draw of all; below
/// this it is noise.
const LEAST_PROMINENCE: f64 = 0.1;

/// A draw as searches see it.
struct SeenDraw<'a> {
    z: &'a [f64],
    /// Up to a constant the posterior density of z, on the circles of periodic parameters.
    log_posterior: f64,
    is_known: bool,
}

pub(super) fn starts(knowledge: &Knowledge, flow: FlowId) -> Option<Vec<Search>> {
    let places = places(knowledge, flow)?;
    let d = knowledge.space.len();
    // Neighbours are those on the circles of periodic parameters.
    let at = |place: &SeenDraw| embedded(knowledge.space, place.z);
    let at: Vec<Vec<f64>> = places.iter().map(at).collect();
    let neighbours = neighbours(&at, WIDTH_PER_PARAMETER * d);
    let of_peak = |peak: usize| {
        let around: Vec<&[f64]> = neighbours[peak].iter().map(|&i| places[i].z).collect();
        let density = density_around(knowledge.space, places[peak].z, &around);
        Search::begin(density, Aim::LeftBehind)
    };
    let peaks = peaks(&places, &neighbours, d);
    Some(peaks.into_iter().take(N_SEARCHES).map(of_peak).collect())
}

/// The highest first. None where a round is not scored.
fn places<'a>(knowledge: &Knowledge<'a>, flow: FlowId) -> Option<Vec<SeenDraw<'a>>> {
    let d = knowledge.space.len();
    let level = known_level(knowledge.rounds, flow)?;
    let (mut unknown, mut known) = (Vec::new(), Vec::new());
    for round in knowledge.rounds {
        let column = round.log_flow.get(&flow)?;
        let rows = round.z.chunks_exact(d).zip(column);
        for ((z, log_flow), log_likelihood) in rows.zip(&round.log_likelihood) {
            let Some(log_likelihood) = log_likelihood.filter(|value| value.is_finite()) else {
                continue;
            };
            let place = SeenDraw {
                z,
                log_posterior: log_likelihood + log_prior(knowledge.space, z),
                is_known: *log_flow >= level,
            };
            match place.is_known {
                true => known.push(place),
                false => unknown.push(place),
            }
        }
    }
    for draws in [&mut unknown, &mut known] {
        draws.sort_by(by_height);
    }
    let lower = unknown.split_off(unknown.len().min(N_HIGHEST));
    let mut places: Vec<SeenDraw> = unknown
        .into_iter()
        .chain(evenly(lower, N_HIGHEST))
        .chain(evenly(known, N_KNOWN))
        .collect();
    places.sort_by(by_height);
    Some(places)
}

/// log N(z) but for periodic parameters, whose prior is level on their circles.
fn log_prior(space: &ParameterSpace, z: &[f64]) -> f64 {
    let parameters = space.parameters.iter().zip(z);
    let others = parameters.filter(|(parameter, _)| !parameter.periodic);
    others.map(|(_, &z)| normal::log_density(z)).sum()
}

fn by_height(a: &SeenDraw, b: &SeenDraw) -> Ordering {
    b.log_posterior.total_cmp(&a.log_posterior)
}

/// At most `n` of them, the first among them.
fn evenly<T>(all: Vec<T>, n: usize) -> impl Iterator<Item = T> {
    let stride = all.len().div_ceil(n).max(1);
    all.into_iter().step_by(stride)
}

/// Prominent peaks that the flow does not know, the most prominent first. `places` are ordered, the highest first.
fn peaks(places: &[SeenDraw], neighbours: &[Vec<usize>], d: usize) -> Vec<usize> {
    let (Some(highest), Some(lowest)) = (places.first(), places.last()) else {
        return Vec::new();
    };
    // Draws at a peak are lower than its top by d / 2 on average.
    let drop = |place: &SeenDraw| highest.log_posterior - place.log_posterior + 0.5 * d as f64;
    let prominence = |peak: usize, pass: &SeenDraw| (drop(pass) / drop(&places[peak])).ln();
    let mut graph = vec![Vec::new(); places.len()];
    for (i, of_one) in neighbours.iter().enumerate() {
        for &j in of_one.iter().take(NEIGHBOURS + d) {
            graph[i].push(j);
            graph[j].push(i);
        }
    }
    // All that is known is one hill, higher than any other.
    let known = places.iter().position(|place| place.is_known);
    let mut hills = Hills::new(places.len());
    for (i, place) in places.iter().enumerate() {
        if let Some(known) = known.filter(|_| place.is_known) {
            hills.join(i, known);
        }
    }
    let is_higher = |a: usize, b: usize| places[a].is_known || !places[b].is_known && a < b;
    let mut found = Vec::new();
    for (i, place) in places.iter().enumerate() {
        for &j in graph[i].iter().filter(|&&j| j < i || places[j].is_known) {
            let (own, other) = (hills.top(i), hills.top(j));
            if own == other {
                continue;
            }
            let (higher, lower) = match is_higher(own, other) {
                true => (own, other),
                false => (other, own),
            };
            hills.join(lower, higher);
            // The place itself is no peak but part of the other's slope.
            if lower != i {
                found.push((prominence(lower, place), lower));
            }
        }
    }
    // What no descent connects with anything.
    let alone = (0..places.len()).filter(|&i| hills.top(i) == i && Some(i) != known);
    found.extend(alone.map(|i| (prominence(i, lowest), i)));
    found.retain(|(prominence, _)| *prominence >= LEAST_PROMINENCE);
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    found.into_iter().map(|(_, peak)| peak).collect()
}

/// A density at a place, as wide as its neighbourhood.
pub(super) fn density_around(
    space: &ParameterSpace,
    place: &[f64],
    neighbours: &[&[f64]],
) -> LocalDensity {
    let d = place.len();
    let frame = LocalDensity {
        seams: opposite_seams(space, place),
        leans: near(space, place),
        mean: vec![0.0; d],
        factor: Vec::new(),
    };
    let mean = frame.cut(place);
    let mut variance = vec![0.0; d];
    for other in neighbours {
        for (variance, (z, mean)) in variance.iter_mut().zip(frame.cut(other).iter().zip(&mean)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Peaks of a curve over 0, 1, 2, ..., as places among them.
    fn peaks_of(heights: &[f64], is_known: impl Fn(usize) -> bool) -> Vec<usize> {
        let z: Vec<[f64; 1]> = (0..heights.len()).map(|i| [i as f64]).collect();
        let mut places: Vec<SeenDraw> = z
            .iter()
            .zip(heights)
            .enumerate()
            .map(|(i, (z, &log_posterior))| SeenDraw {
                z,
                log_posterior,
                is_known: is_known(i),
            })
            .collect();
        places.sort_by(by_height);
        let at: Vec<Vec<f64>> = places.iter().map(|place| place.z.to_vec()).collect();
        peaks(&places, &neighbours(&at, 2), 1)
            .into_iter()
            .map(|peak| places[peak].z[0] as usize)
            .collect()
    }

    #[test]
    fn peaks_come_by_their_prominence() {
        //             0      1     2      3     4      5      6      7     8
        let heights = [-90.0, -2.0, -60.0, -8.0, -50.0, -49.0, -95.0, -30.0, -99.0];
        // Drops, a half added, of pass and peak: 95.5 / 30.5 for the one at 7, 60.5 / 8.5 for the one at 3; the one
        // at 5 is a ripple of 50.5 / 49.5. What is known counts as the highest.
        assert_eq!(peaks_of(&heights, |i| i == 1), [3, 7]);
        assert_eq!(peaks_of(&heights, |i| i == 3), [1, 7]);
        // The highest of all descends to the lowest draw before it is known to be higher than all.
        assert_eq!(peaks_of(&heights, |_| false), [1, 3, 7]);
        assert_eq!(peaks_of(&heights, |_| true), [0; 0]);
        assert_eq!(peaks_of(&[], |_| true), [0; 0]);
        // The slope of what is known is no peak.
        assert_eq!(peaks_of(&[-4.0, -3.0, -2.0, -1.0], |i| i == 3), [0; 0]);
    }
}
