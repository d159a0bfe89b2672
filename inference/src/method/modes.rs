//! Modes of a posterior: pieces of its weighted draws between which the density falls.
//!
//! Draws and their neighbours make a graph; each peak on it has a hill, and hills that no fall of the density parts are
//! one. Neighbours are found in a metric in which draws next to each other differ alike in all directions, so that long
//! ridges do not fall apart and modes stay apart. What the graph parts must be apart on a line, too: along the direction
//! that tells two pieces apart best, by the measure of Ashman et al. (1994).

use super::hills::{Hills, neighbours};
use crate::base::{cholesky, equal_draws, moments, solved_lower, solved_upper, squared_distance};
use crate::records::{ParameterSummary, Posterior, marginals};
use crate::space::ParameterSpace;
use crate::space::circle::embedded;
use crate::weights::MIN_N_EFF;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Draws that stand for all, taken in proportion to their weight.
const N_DRAWS: usize = 800;
/// Neighbours of a draw, and one for each parameter.
const NEIGHBOURS: usize = 9;
/// Neighbours whose differences make the metric, and how often it is made anew.
const NEAREST: usize = 3;
const N_METRICS: usize = 4;
/// Nats that the density must fall by between two modes.
const LEAST_FALL: f64 = 1.5;
/// Distance of two modes' means in units of the root mean square of their standard deviations. Two halves of a Gaussian are 2.7
/// apart.
const LEAST_SEPARATION: f64 = 3.0;

/// The same for pieces that a flow is to see one by one: every draw is clearly of one of them.
const FAR_APART: f64 = 6.0;
/// Fewest of the draws that stand for all in such a piece.
const LEAST_PIECE: usize = 16;

/// One piece of a posterior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mode {
    /// Share of the posterior.
    pub mass: f64,
    /// Standard error of the mass, by the weights in it and outside (Owen 2013, section 9.2): √(mass (1 - mass) / n_eff) where
    /// they are alike.
    pub error: f64,
    /// Marginals of its draws alone, in the order of the space.
    pub parameters: Vec<ParameterSummary>,
}

/// The modes of a posterior that is worth `n_eff` draws, the heaviest first; none where these are too few to tell.
pub fn modes(space: &ParameterSpace, posterior: &Posterior, n_eff: f64) -> Vec<Mode> {
    // Not a number where nothing weighs anything.
    if n_eff.is_nan() || n_eff < MIN_N_EFF {
        return Vec::new();
    }
    let mode_of = assigned(space, posterior);
    let n_modes = mode_of.iter().flatten().max().map_or(0, |last| last + 1);
    let summary = |mode: usize| {
        let rows = mode_of.iter().zip(&posterior.weight);
        let weight: Vec<f64> = rows
            .map(|(own, &weight)| if *own == Some(mode) { weight } else { 0.0 })
            .collect();
        let mass = weight.iter().sum::<f64>().min(1.0);
        let all = posterior.weight.iter().zip(&weight);
        let square = all.map(|(of_row, own)| (own - mass * of_row).powi(2));
        Mode {
            mass,
            error: square.sum::<f64>().sqrt(),
            parameters: marginals(space, posterior, &weight),
        }
    };
    let mut modes: Vec<Mode> = (0..n_modes).map(summary).collect();
    modes.sort_by(|a, b| b.mass.total_cmp(&a.mass));
    modes
}

/// For each of `places`, which are draws of equal weight, the number of its piece, from 0 on: pieces are so far apart that
/// each draw is clearly of one of them, and none is small. The density is told by how near a draw's neighbours are.
pub fn far_apart(places: &[Vec<f64>]) -> Vec<usize> {
    let d = places.first().map_or(0, Vec::len);
    let mut spread = places.to_vec();
    spread_alike(&mut spread);
    let n_nearest = NEIGHBOURS + d;
    let height = |(i, nearest): (usize, &Vec<usize>)| {
        let reach = nearest
            .last()
            .map_or(0.0, |&j| squared_distance(&spread[i], &spread[j]));
        -0.5 * d as f64 * reach.max(f64::MIN_POSITIVE).ln()
    };
    let nearest = neighbours(&spread, n_nearest);
    let heights: Vec<f64> = nearest.iter().enumerate().map(height).collect();
    let mut order: Vec<usize> = (0..spread.len()).collect();
    order.sort_by(|&a, &b| heights[b].total_cmp(&heights[a]).then(a.cmp(&b)));
    let ordered: Vec<Vec<f64>> = order.iter().map(|&i| spread[i].clone()).collect();
    let heights: Vec<f64> = order.iter().map(|&i| heights[i]).collect();
    let found = separated(&ordered, hills(&ordered, &heights), FAR_APART);
    let mut piece_of = vec![0; places.len()];
    for (&place, piece) in order.iter().zip(found) {
        piece_of[place] = piece;
    }
    without_small(&spread, piece_of, LEAST_PIECE.max(2 * d))
}

/// Pieces numbered anew, where those of fewer than `least` places are parts of the ones next to them.
fn without_small(places: &[Vec<f64>], piece_of: Vec<usize>, least: usize) -> Vec<usize> {
    let n_of = |piece: usize| piece_of.iter().filter(|&&one| one == piece).count();
    let numbers: BTreeSet<usize> = piece_of.iter().copied().collect();
    let large: Vec<usize> = numbers
        .into_iter()
        .filter(|&one| n_of(one) >= least)
        .collect();
    let number = |piece: usize| large.iter().position(|&one| one == piece);
    let of_place = |i: usize| {
        let distance = |&j: &usize| squared_distance(&places[i], &places[j]);
        let in_large = (0..places.len()).filter(|&j| number(piece_of[j]).is_some());
        number(piece_of[i]).or_else(|| {
            in_large
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
                .and_then(|j| number(piece_of[j]))
        })
    };
    (0..places.len())
        .map(|i| of_place(i).unwrap_or(0))
        .collect()
}

/// The mode of each row; None for rows of no weight.
fn assigned(space: &ParameterSpace, posterior: &Posterior) -> Vec<Option<usize>> {
    let chosen = highest_first(posterior);
    let at = |row: usize| {
        let mut z = vec![0.0; space.len()];
        space.unconstrain(posterior.theta_row(row), &mut z);
        embedded(space, &z)
    };
    let mut places: Vec<Vec<f64>> = chosen.iter().map(|&row| at(row)).collect();
    let factors = spread_alike(&mut places);
    let heights: Vec<f64> = chosen.iter().map(|&row| height(posterior, row)).collect();
    let piece_of = separated(&places, hills(&places, &heights), LEAST_SEPARATION);
    let nearest_piece = |row: usize| {
        let place = factors
            .iter()
            .fold(at(row), |place, factor| solved_lower(factor, &place));
        let distance = |i: &usize| squared_distance(&places[*i], &place);
        (0..places.len())
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .map(|i| piece_of[i])
    };
    let piece = |row: usize| match posterior.weight[row] > 0.0 {
        true => nearest_piece(row),
        false => None,
    };
    (0..posterior.n_rows()).map(piece).collect()
}

/// Rows that stand for the posterior, each once.
fn highest_first(posterior: &Posterior) -> Vec<usize> {
    let mut rows = equal_draws(&posterior.weight, N_DRAWS, 0.5);
    rows.dedup();
    rows.sort_by(|&a, &b| {
        let (a_height, b_height) = (height(posterior, a), height(posterior, b));
        b_height.total_cmp(&a_height).then(a.cmp(&b))
    });
    rows
}

/// The posterior density of a row, up to a constant.
fn height(posterior: &Posterior, row: usize) -> f64 {
    posterior.log_likelihood[row] + posterior.log_prior[row]
}

/// Moves the places to where neighbours differ alike in all directions; by lower triangular factors, one after the other.
fn spread_alike(places: &mut [Vec<f64>]) -> Vec<Vec<f64>> {
    let mut factors = Vec::new();
    let mut apply = |covariance: &[f64], places: &mut [Vec<f64>]| {
        let d = places.first().map_or(0, Vec::len);
        if let Some(factor) = regular_cholesky(covariance, d) {
            for place in places.iter_mut() {
                *place = solved_lower(&factor, place);
            }
            factors.push(factor);
        }
    };
    let equal = vec![1.0 / places.len().max(1) as f64; places.len()];
    apply(&moments(places, &equal).1, places);
    for _ in 0..N_METRICS {
        let mut differences: Vec<Vec<f64>> = Vec::new();
        for (i, nearest) in neighbours(places, NEAREST).iter().enumerate() {
            differences.extend(nearest.iter().map(|&j| difference(&places[i], &places[j])));
        }
        let equal = vec![1.0 / differences.len().max(1) as f64; differences.len()];
        apply(&moments(&differences, &equal).1, places);
    }
    factors
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Of a matrix that may be singular: on circles two coordinates stand for one parameter.
fn regular_cholesky(matrix: &[f64], d: usize) -> Option<Vec<f64>> {
    let mut matrix = matrix.to_vec();
    let trace: f64 = (0..d).map(|i| matrix[i * d + i]).sum();
    for i in 0..d {
        matrix[i * d + i] += 1e-9 * trace / d as f64;
    }
    cholesky(&matrix, d)
}

/// For each place the top of its hill. Places are ordered, the highest first.
fn hills(places: &[Vec<f64>], heights: &[f64]) -> Vec<usize> {
    let nearest = neighbours(places, NEIGHBOURS + places.first().map_or(0, Vec::len));
    let mut graph: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); places.len()];
    for (i, of_one) in nearest.iter().enumerate() {
        for &j in of_one {
            graph[i].insert(j);
            graph[j].insert(i);
        }
    }
    let mut hills = Hills::new(places.len());
    for i in 0..places.len() {
        let higher = || graph[i].iter().copied().filter(|&j| j < i);
        let tops: BTreeSet<usize> = higher().map(|j| hills.top(j)).collect();
        let mut tops = tops.into_iter();
        let Some(highest) = tops.next() else {
            continue;
        };
        for lower in tops {
            if heights[lower] - heights[i] < LEAST_FALL {
                hills.join(lower, highest);
            }
        }
        let distance = |j: &usize| squared_distance(&places[i], &places[*j]);
        let next = higher().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        if let Some(next) = next {
            let top = hills.top(next);
            hills.join(i, top);
        }
    }
    (0..places.len()).map(|i| hills.top(i)).collect()
}

/// For each place the number of its piece: hills that do not stand apart by `least` are one piece, the closest are joined
/// first. A single place has no spread to tell a distance by and goes with the place next to it.
fn separated(places: &[Vec<f64>], hill_of: Vec<usize>, least: f64) -> Vec<usize> {
    let hill_of = without_small(places, hill_of, 2);
    let mut pieces: Vec<Vec<usize>> = Vec::new();
    for hill in hill_of.iter().copied().collect::<BTreeSet<usize>>() {
        pieces.push((0..places.len()).filter(|&i| hill_of[i] == hill).collect());
    }
    loop {
        let closest = (0..pieces.len())
            .flat_map(|a| (a + 1..pieces.len()).map(move |b| (a, b)))
            .map(|(a, b)| (separation(places, &pieces[a], &pieces[b]), a, b))
            .min_by(|x, y| x.0.total_cmp(&y.0));
        match closest {
            Some((separation, a, b)) if separation < least => {
                let joined = pieces.remove(b);
                pieces[a].extend(joined);
            }
            Some(_) | None => break,
        }
    }
    let mut piece_of = vec![0; places.len()];
    for (number, piece) in pieces.iter().enumerate() {
        for &i in piece {
            piece_of[i] = number;
        }
    }
    piece_of
}

/// Distance of two pieces along their linear discriminant, by their spread along it.
fn separation(places: &[Vec<f64>], a: &[usize], b: &[usize]) -> f64 {
    let moments_of = |piece: &[usize]| {
        let rows: Vec<&[f64]> = piece.iter().map(|&i| places[i].as_slice()).collect();
        moments(&rows, &vec![1.0 / piece.len() as f64; piece.len()])
    };
    let ((mean_a, covariance_a), (mean_b, covariance_b)) = (moments_of(a), moments_of(b));
    let share = a.len() as f64 / (a.len() + b.len()) as f64;
    let both = covariance_a.iter().zip(&covariance_b);
    let pooled: Vec<f64> = both
        .map(|(of_a, of_b)| share * of_a + (1.0 - share) * of_b)
        .collect();
    let d = mean_a.len();
    let Some(factor) = regular_cholesky(&pooled, d) else {
        return 0.0;
    };
    let between = difference(&mean_a, &mean_b);
    let direction = solved_upper(&factor, &solved_lower(&factor, &between));
    let variance_along = |covariance: &[f64]| -> f64 {
        (0..d)
            .flat_map(|i| (0..d).map(move |j| (i, j)))
            .map(|(i, j)| direction[i] * covariance[i * d + j] * direction[j])
            .sum()
    };
    let distance: f64 = direction.iter().zip(&between).map(|(x, y)| x * y).sum();
    let mean_square = 0.5 * (variance_along(&covariance_a) + variance_along(&covariance_b));
    distance.abs() / mean_square.max(f64::MIN_POSITIVE).sqrt()
}

#[cfg(test)]
mod tests;
